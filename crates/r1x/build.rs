//! Tells the binary which commit and compiler it comes from.
//!
//! Must not fail where there is no git: an archive of the sources builds as well.

use std::process::Command;

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    let commit = output("git", &["rev-parse", "HEAD"]).unwrap_or_default();
    let dirty = output("git", &["status", "--porcelain", "--untracked-files=no"])
        .map(|changes| (!changes.is_empty()).to_string())
        .unwrap_or_default();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc = output(&rustc, &["--version"]).unwrap_or_default();
    println!("cargo:rustc-env=R1X_GIT_COMMIT={commit}");
    println!("cargo:rustc-env=R1X_GIT_DIRTY={dirty}");
    println!("cargo:rustc-env=R1X_RUSTC={rustc}");
    for path in ["HEAD", "index"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", path]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
}
