//! C: the author's file and the SDK beside this one become a module without imports of any system.

mod inclusion;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::entry::{Entry, Form};
use super::rust::componentise;
use crate::contract;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;
use crate::scratch::{Stage, absolute};
use crate::source::Source;
use crate::tool::{self, Ran, ask};

/// The variable that names the compiler.
pub const VARIABLE: &str = "R1X_WASM_CC";

const FORM: Form = Form { extensions: &["c"], file: "reward.c", function: None };
/// The header that authors include; templates carry a copy for their editors.
pub(crate) const HEADER: &str = include_str!("c/r1x.h");
/// The SDK. The files that end in `.c` are compiled with every plugin.
const SDK: &[(&str, &str)] = &[
    ("r1x.h", HEADER),
    ("r1x_memory.h", include_str!("c/r1x_memory.h")),
    ("format.c", include_str!("c/format.c")),
    ("json.c", include_str!("c/json.c")),
    ("memory.c", include_str!("c/memory.c")),
    ("number.c", include_str!("c/number.c")),
    ("plugin.c", include_str!("c/plugin.c")),
    ("text.c", include_str!("c/text.c")),
];
/// One version of C, bulk memory so that copies are one instruction, nothing of a system, and the mistakes
/// that C forgives as errors. The stack lies below the data, where running out of it is a trap.
const FLAGS: &[&str] = &[
    "-std=c11",
    "-O2",
    "-mbulk-memory",
    "-ffreestanding",
    "-fno-math-errno",
    "-ffp-contract=off",
    "-nostdlib",
    "-fvisibility=hidden",
    // `.incbin` would put any file of this machine into the component.
    "-fno-gnu-inline-asm",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=return-type",
    "-Wl,--no-entry",
    "-Wl,--gc-sections",
    "-Wl,--strip-debug",
    "-Wl,-z,stack-size=262144",
    "-I../sdk",
];
/// The newest of Zig's packages when this was written; any newer one does as well.
const ZIG_PACKAGE: &str = "ziglang";
/// Where the command of the hint installs it, inside the cache folder.
const VENV: &str = "zig";

/// A compiler that makes WebAssembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    program: PathBuf,
    /// What stands before the files.
    arguments: &'static [&'static str],
    /// The first line of what it says about itself.
    pub version: String,
}

/// Zig's linker puts the stack first by itself, and does not know the word for it.
const CLANG: &[&str] = &["--target=wasm32", "-nostdlibinc", "-Wl,--stack-first"];
const ZIG: &[&str] = &["cc", "-target", "wasm32-freestanding", "-fno-sanitize=undefined"];
const ZIG_MODULE: &[&str] =
    &["-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-fno-sanitize=undefined"];

/// What decides the component besides the sources.
pub(crate) fn fingerprint(environment: &Environment) -> Result<String, BuildError> {
    let sdk: String = SDK.iter().flat_map(|(name, text)| [*name, "\0", *text, "\0"]).collect();
    let embedded =
        files::sha256(format!("{}\0{}\0{sdk}", contract::WIT, FLAGS.join(" ")).as_bytes());
    Ok(format!("{} {embedded}", find(environment)?.version))
}

/// Builds the component of a plugin in C.
pub(crate) fn compile(source: &Source, environment: &Environment) -> Result<Vec<u8>, BuildError> {
    let entry = Entry::of(source, &FORM)?;
    let compiler = find(environment)?;
    let stage = Stage::new(environment, "c-build")?;
    stage.copy(source, &entry.file, "author")?;
    for (name, text) in SDK {
        stage.write(&format!("sdk/{name}"), text.as_bytes())?;
    }
    // The plugin's own copy is for its author's editor; what is compiled belongs to this version of r1x.
    let beside = Path::new(&entry.file).with_file_name("r1x.h");
    if stage.path("author").join(&beside).is_file() {
        stage.write(&format!("author/{}", beside.display()), HEADER.as_bytes())?;
    }
    stage.write("sdk/r1x_build.h", facts(source)?.as_bytes())?;
    inclusion::check(&stage, &compiler, &entry)?;
    let ran = stage.run("author", &mut compiler.command(&entry), tool::BUILD)?;
    if !ran.succeeded() {
        return Err(refused(&entry, &compiler, &ran));
    }
    let mut module = stage.read("module.wasm")?;
    contract::embed(&mut module)?;
    componentise(&module)
}

/// What the SDK cannot know before a plugin is built: the manifest's words, and the contract's layouts.
fn facts(source: &Source) -> Result<String, BuildError> {
    let about = &source.manifest.plugin;
    let mut text = String::from("/* Written for one build. */\n");
    for (name, value) in
        [("NAME", &about.name), ("VERSION", &about.version), ("DESCRIPTION", &about.description)]
    {
        text.push_str(&format!("#define R1X_PLUGIN_{name} {}\n", literal(value)));
    }
    for layout in contract::layouts()? {
        let name = layout.name.to_uppercase().replace('-', "_");
        text.push_str(&format!("#define R1X_SIZE_{name} {}\n", layout.size));
        text.push_str(&format!("#define R1X_LAST_{name} {}\n", layout.last));
    }
    Ok(text)
}

/// A text as C writes it. Three octal digits end by themselves, whatever comes next.
fn literal(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" .,:;-_()+*/=<>".contains(&byte);
    let escaped = text.bytes().map(|byte| {
        if plain(byte) { char::from(byte).to_string() } else { format!("\\{byte:03o}") }
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// The compiler: the one that the variable names; clang with its linker on the path; zig on the path; the
/// `ziglang` package in the cache folder.
///
/// # Errors
/// When there is none that makes WebAssembly.
pub fn find(environment: &Environment) -> Result<Compiler, BuildError> {
    if let Some(named) = environment.variable(VARIABLE) {
        let named = Path::new(named);
        // A bare name is looked up on the path, as a shell would.
        let program =
            if named.components().count() > 1 { absolute(named)? } else { named.to_owned() };
        let clang = clang(program.clone());
        return clang.or_else(|reason| zig(program, ZIG).map_err(|_| reason)).map_err(|reason| {
            not_found(
                environment,
                format!("{VARIABLE} names no compiler for WebAssembly: {reason}"),
            )
        });
    }
    let bin = if cfg!(windows) { "Scripts" } else { "bin" };
    let own = absolute(&environment.cache_folder.join(VENV).join(bin).join("python"))?;
    clang("clang".into())
        .or_else(|reason| zig("zig".into(), ZIG).map_err(|_| reason))
        .or_else(|reason| zig(own.clone(), ZIG_MODULE).map_err(|_| reason))
        .map_err(|reason| {
            let looked = format!(
                "a reward in C needs clang with wasm-ld, or zig: {reason}; there is no zig on the path, nor \
                 {} with {ZIG_PACKAGE}",
                own.display()
            );
            not_found(environment, looked)
        })
}

/// Clang, if it knows the target and finds the linker.
fn clang(program: PathBuf) -> Result<Compiler, String> {
    let shown = program.display().to_string();
    let version = ask(Command::new(&program).arg("--version"))
        .map_err(|error| format!("{shown}: {error}"))?;
    if !version.contains("clang") {
        return Err(format!("{shown} is no clang"));
    }
    let linker = ask(Command::new(&program).args(["--target=wasm32", "-print-prog-name=wasm-ld"]))?;
    let linker = ask(Command::new(&linker).arg("--version"))
        .map_err(|_| format!("{shown} has no linker wasm-ld beside it"))?;
    // Apple's clang answers everything so far and has no such target.
    let compiles =
        ask(Command::new(&program).args(["--target=wasm32", "-E", "-x", "c", "/dev/null"]));
    compiles.map_err(|_| format!("{shown} cannot compile for wasm32"))?;
    Ok(Compiler { program, arguments: CLANG, version: format!("{version}; {linker}") })
}

fn zig(program: PathBuf, arguments: &'static [&'static str]) -> Result<Compiler, String> {
    // What stands before `cc` is how Zig is started.
    let before: Vec<&str> = arguments.iter().take_while(|word| **word != "cc").copied().collect();
    let version = ask(Command::new(&program).args(before).arg("version"))?;
    if !version.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{} is no zig", program.display()));
    }
    Ok(Compiler { program, arguments, version: format!("zig {version}") })
}

fn not_found(environment: &Environment, missing: String) -> BuildError {
    let folder = environment.cache_folder.join(VENV);
    let folder = folder.display();
    BuildError::NoToolchain {
        missing,
        hint: format!(
            "install clang and lld (Debian: apt install clang lld; macOS: brew install llvm lld), or Zig for \
             r1x alone: python3 -m venv {folder} && {folder}/bin/pip install {ZIG_PACKAGE}; or set {VARIABLE} \
             to a clang or a zig you have"
        ),
    }
}

impl Compiler {
    /// The compiler with what it is always told.
    fn bare(&self) -> Command {
        let mut command = Command::new(&self.program);
        // What a user's environment adds to every compilation would change the bytes.
        for variable in ["CPATH", "C_INCLUDE_PATH", "CFLAGS", "CCC_OVERRIDE_OPTIONS"] {
            command.env_remove(variable);
        }
        command.args(self.arguments).args(FLAGS);
        command
    }

    fn command(&self, entry: &Entry) -> Command {
        let parts = SDK.iter().filter(|(name, _)| name.ends_with(".c"));
        let mut command = self.bare();
        command
            .args(["-o", "../module.wasm"])
            .arg(&entry.file)
            .args(parts.map(|(name, _)| format!("../sdk/{name}")));
        command
    }
}

/// What the author is told, with a hint for what every first reward in C runs into.
fn refused(entry: &Entry, compiler: &Compiler, ran: &Ran) -> BuildError {
    let what = format!("{} cannot become a plugin", entry.file);
    if let Some((output, hint)) = ran.timed_out() {
        return BuildError::Failed { what, output, hint };
    }
    let output = ran.output();
    let says = |words: &str| output.contains(words);
    let hint = if says("undefined symbol: reward") {
        "define `void reward(const r1x_rollout *rollout, r1x_score *score)`".to_owned()
    } else if says("undefined symbol: about") {
        "declare what the reward needs: `const r1x_about about = {.columns = {\"target\"}};`"
            .to_owned()
    } else if says("file not found") || says("undefined symbol") {
        "there is no C library in the sandbox; r1x.h declares all there is".to_owned()
    } else {
        format!("this is what {} said", compiler.version)
    };
    BuildError::Failed { what, output, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifests_words_are_literals_of_c() {
        assert_eq!(literal("a reward, 1.0"), "\"a reward, 1.0\"");
        assert_eq!(literal("\"\\\n7?é"), "\"\\042\\134\\0127\\077\\303\\251\"");
    }
}
