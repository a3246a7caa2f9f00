//! Every template: `r1x plugin new`, then `test` and `bench`, as they are.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::cache;

fn r1x(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_r1x"))
        .args(arguments)
        .current_dir(folder)
        .env("R1X_STORE", folder.join("runs/r1x.sqlite"))
        .env("XDG_CACHE_HOME", cache())
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = r1x(folder, arguments);
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (told(&output.stdout), told(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out
}

/// Two commands from nothing to green, and a third that says what it costs.
fn passes(language: &str) {
    let folder = tempfile::tempdir().unwrap();
    let told = ok(folder.path(), &["plugin", "new", "my-reward", "--lang", language]);
    assert!(told.contains("r1x plugin test ./my-reward"), "{told}");
    let told = ok(folder.path(), &["plugin", "test", "my-reward"]);
    assert!(told.contains("3 of 3 cases pass"), "{told}");
    assert!(told.contains("ok  my-reward 0.1.0"), "{told}");
    assert!(!told.contains("skip"), "every rule applies: {told}");
    let told = ok(folder.path(), &["plugin", "inspect", "my-reward"]);
    assert!(
        told.contains("columns    target\n") && told.contains("parts      answered\n"),
        "{told}"
    );
    assert!(told.contains("Is the number in the answer tag the target?"), "{told}");
    let told = ok(folder.path(), &["plugin", "bench", "my-reward", "-n", "64", "--rounds", "3"]);
    assert!(told.contains("64 completions of 2000 bytes"), "{told}");
}

#[test]
fn python_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let told = ok(folder.path(), &["plugin", "new", "mine"]);
    assert!(told.contains("edit   ./mine/reward.py"), "{told}");
}

#[test]
#[ignore = "needs componentize-py"]
fn python_passes() {
    passes("python");
}

#[test]
#[ignore = "needs componentize-js"]
fn javascript_passes() {
    passes("js");
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn c_passes() {
    passes("c");
}

#[test]
#[ignore = "needs a Rust compiler for WebAssembly"]
fn rust_passes() {
    passes("rust");
}
