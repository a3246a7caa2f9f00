//! Plugins from somebody else whose sources reach for the machine they are built on: nothing of theirs runs there, and
//! nothing of the machine comes into their component.
//!
//! Each language is tried with its own tools. Must not test how a language is compiled.

use std::path::{Path, PathBuf};

use r1x_build::{Source, template};

use crate::support::{environment, refusal};

/// A plugin in Rust as its template has it, with files changed or added, and what building it says; "" when it
/// builds. What an attack started leaves a file behind.
fn built(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("plugin");
    let mark = folder.path().join("ran");
    let template = template::find("rust").unwrap();
    let own = template.files("confined");
    let given = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    let own = own.into_iter().map(|(path, text)| (PathBuf::from(path), text.to_string()));
    for (path, text) in own.chain(given) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // An addition stands behind what the template has.
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let text = text.replace("MARK", mark.to_str().unwrap());
        let text = text.replace("ROOT", root.to_str().unwrap());
        std::fs::write(&path, before + &text).unwrap();
        executable(&path);
    }
    let built = r1x_build::build(&Source::open(&root).unwrap(), &environment());
    assert!(!mark.exists(), "a program of the plugin ran: {files:?}");
    built.err().map(|error| error.to_string()).unwrap_or_default()
}

#[cfg(unix)]
fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if path.extension().is_none() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[cfg(not(unix))]
fn executable(_path: &Path) {}

const SCRIPT: &str = "fn main() { std::fs::write(\"MARK\", \"\").unwrap(); }\n";

#[test]
#[ignore = "needs a Rust compiler for WebAssembly"]
fn rust_runs_no_program_of_a_plugin() {
    let told = built(&[("build.rs", SCRIPT)]);
    assert!(told.contains("the package `confined` would run a program"), "{told}");
    let told = built(&[("sdk/build.rs", SCRIPT)]);
    assert!(told.contains("the package `r1x-plugin` would run a program"), "{told}");
    let macros = "[package]\nname = \"macros\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\nproc-macro = true\n";
    let told = built(&[
        ("Cargo.toml", "\n[dependencies.macros]\npath = \"macros\"\n"),
        ("macros/Cargo.toml", macros),
        ("macros/src/lib.rs", ""),
    ]);
    assert!(told.contains("the package `macros` would run a program"), "{told}");
    // What would be run without a word in any manifest; and a file of its own is there to be read.
    let program = "#!/bin/sh\ntouch MARK\nshift\nexec rustc \"$@\"\n";
    let settings = "[build]\nrustc-wrapper = \"ROOT/wrapper\"\nrustc = \"ROOT/wrapper\"\n";
    let told = built(&[
        (".cargo/config.toml", settings),
        ("wrapper", program),
        ("rust-toolchain.toml", "[toolchain]\npath = \"ROOT/toolchain\"\n"),
        ("toolchain/bin/rustc", program),
        ("toolchain/bin/cargo", program),
        ("src/lib.rs", "const _: &str = include_str!(\"../plugin.toml\");\n"),
    ]);
    assert_eq!(told, "");
}

#[test]
#[ignore = "needs a Rust compiler for WebAssembly"]
fn rust_takes_in_no_file_and_no_variable_of_the_machine() {
    let up = "../".repeat(40);
    let code = format!("const _: &[u8] = include_bytes!(\"{up}etc/hostname\");\n");
    let told = built(&[("src/lib.rs", &code)]);
    assert!(told.contains("etc/hostname, which is none of its files"), "{told}");
    let told = built(&[("sdk/src/lib.rs", "const _: &str = env!(\"PATH\");\n")]);
    assert!(told.contains("it reads the variable PATH of this machine"), "{told}");
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn c_takes_in_no_file_of_the_machine() {
    let reward = "#include \"r1x.h\"\nconst r1x_about about = {0};\n\
                  void reward(const r1x_rollout *rollout, r1x_score *score) { score->reward = 1; }\n";
    for code in [
        "#include \"/etc/hostname\"\n",
        "#include <../../../../../../../../../../../../etc/hostname>\n",
        "const unsigned char stolen[] = {\n#embed \"/etc/hostname\"\n};\n",
        "#if __has_include(\"/etc/hostname\")\nconst int there = 1;\n#endif\n",
    ] {
        let told = refusal("reward.c", &format!("{reward}{code}"));
        assert!(told.contains("etc/hostname, which is no file of the plugin"), "{code}: {told}");
    }
    let assembly = "__asm__(\".incbin \\\"/etc/hostname\\\"\");\n";
    let told = refusal("reward.c", &format!("{reward}{assembly}"));
    assert!(told.contains("inline assembly is disabled"), "{told}");
}

#[test]
#[ignore = "needs componentize-js"]
fn javascript_takes_in_no_file_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.js");
    std::fs::write(&path, "export const secret = 1;\n").unwrap();
    let up = format!("./{}{}", "../".repeat(40), path.display());
    let code = format!(
        "import {{ secret }} from '{up}';\nexport function reward({{ completion }}) {{ return secret; }}\n"
    );
    let told = refusal("reward.js", &code);
    assert!(told.contains("there is no file"), "{told}");
}
