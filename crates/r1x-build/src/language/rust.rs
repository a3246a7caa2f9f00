//! Rust: cargo compiles a crate to a WebAssembly module, `wit-component` wraps it.

mod confine;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wit_component::ComponentEncoder;

use crate::environment::Environment;
use crate::error::BuildError;
use crate::scratch::absolute;
use crate::source::Source;
use crate::tool::{self, Messages, Ran, Supervisor};
use confine::Metadata;

/// What plugins in Rust are compiled for: it imports nothing from any system.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler that can make WebAssembly.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// First line of `rustc --version`.
    pub version: String,
    /// Root of its installation, whose path must not end up in a component.
    pub sysroot: PathBuf,
    /// A compiler without the target's library, and a linker: the library is built along.
    from_source: Option<(OsString, OsString)>,
    cargo: OsString,
    cargo_home: Option<PathBuf>,
    supervisor: Option<Supervisor>,
}

/// What cargo is asked to compile.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The folder of the crate or its workspace.
    pub folder: &'a Path,
    /// Where cargo is started, whose settings and choice of a compiler hold: those of folders above it.
    pub start: &'a Path,
    /// The package, where the folder has several.
    pub package: Option<&'a str>,
    /// Where cargo keeps what it compiles.
    pub target_folder: &'a Path,
    /// The name that stands in panic messages for the folder above the sources.
    pub remap: (&'a Path, &'a str),
    /// Whether the lock file must be there and must fit.
    pub locked: bool,
    /// The time cargo may take.
    pub deadline: Duration,
    /// Whether cargo's messages go to standard error as they come; otherwise they are part of the error.
    pub show_messages: bool,
}

/// Builds the crate of a plugin.
pub(crate) fn compile(source: &Source, environment: &Environment) -> Result<Vec<u8>, BuildError> {
    if !source.folder.join("Cargo.toml").is_file() {
        return Err(BuildError::NotAPlugin {
            path: source.folder.clone(),
            reason: "says `language = \"rust\"`, but has no Cargo.toml".to_owned(),
        });
    }
    let toolchain = Toolchain::find(environment)?;
    let folder =
        source.folder.canonicalize().map_err(|error| BuildError::io(&source.folder, error))?;
    // One folder for all plugins, so that what they share is compiled once. Two of the same name would
    // overwrite each other's module, so builds take turns until theirs is read.
    let lock = environment.cache_path("rust", "lock")?;
    let lock_file = std::fs::File::create(&lock).map_err(|error| BuildError::io(&lock, error))?;
    lock_file.lock().map_err(|error| BuildError::io(&lock, error))?;
    let target_folder = absolute(&environment.cache_folder.join("rust"))?;
    let job = Job {
        folder: &folder,
        // Settings of cargo name programs to run; in the plugin's own folder they would be the plugin's.
        start: &target_folder,
        package: None,
        target_folder: &target_folder,
        remap: (&folder, "/plugin"),
        locked: false,
        deadline: tool::deadline(environment, tool::CRATE),
        show_messages: false,
    };
    let metadata = toolchain.metadata(&job)?;
    metadata.check(&folder, environment)?;
    let (module, messages) = toolchain.compiled(&job)?;
    drop(lock_file);
    let mut allowed = metadata.roots(&folder);
    allowed.extend([toolchain.sysroot.clone(), target_folder.clone()]);
    allowed.extend(
        toolchain.from_source.iter().flat_map(|(rustc, _)| sysroot_of(rustc, &target_folder)),
    );
    let home = toolchain.cargo_home.iter();
    allowed.extend(home.flat_map(|home| [home.join("registry/src"), home.join("git/checkouts")]));
    confine::check_read(&messages, metadata.root(), &allowed)?;
    componentise(&module)
}

/// The folder that a compiler belongs to.
fn sysroot_of(rustc: &OsStr, start: &Path) -> Option<PathBuf> {
    print(rustc, start, &["--print", "sysroot"]).ok().map(PathBuf::from)
}

/// Wraps a core module whose WIT is embedded.
///
/// # Errors
/// When it is not such a module.
pub fn componentise(module: &[u8]) -> Result<Vec<u8>, BuildError> {
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| BuildError::Failed {
        what: "the module cannot be made a component".to_owned(),
        output: format!("{error:#}"),
        hint: "does the crate end with `r1x_plugin::export_reward!(...)`?".to_owned(),
    })
}

impl Toolchain {
    /// The installed target, else the compiler that `R1X_WASM_RUSTC` names.
    ///
    /// # Errors
    /// When there is neither.
    pub fn find(environment: &Environment) -> Result<Self, BuildError> {
        let installed = environment.variable("RUSTC").unwrap_or(OsStr::new("rustc"));
        let start = environment.cache_path("rust", "")?;
        let library = print(installed, &start, &["--print", "target-libdir", "--target", TARGET]);
        if library.is_ok_and(|folder| Path::new(&folder).is_dir()) {
            return Self::describe(environment, installed, None);
        }
        let named = ["R1X_WASM_RUSTC", "R1X_WASM_LINKER"].map(|name| environment.variable(name));
        match named {
            [Some(rustc), Some(linker)] => {
                let from_source = Some((rustc.to_owned(), linker.to_owned()));
                Self::describe(environment, rustc, from_source)
            }
            _ => Err(BuildError::NoToolchain {
                missing: format!("no compiler for {TARGET}"),
                hint: format!(
                    "either `rustup target add {TARGET}`, or set R1X_WASM_RUSTC to a rustc that has \
                     its library sources and R1X_WASM_LINKER to a wasm linker such as rust-lld"
                ),
            }),
        }
    }

    fn describe(
        environment: &Environment,
        rustc: &OsStr,
        from_source: Option<(OsString, OsString)>,
    ) -> Result<Self, BuildError> {
        let home = || {
            let home = environment.variable("HOME").or(environment.variable("USERPROFILE"))?;
            Some(PathBuf::from(home).join(".cargo"))
        };
        let start = environment.cache_path("rust", "")?;
        Ok(Self {
            version: print(rustc, &start, &["--version"])?,
            sysroot: PathBuf::from(print(rustc, &start, &["--print", "sysroot"])?),
            supervisor: environment.supervisor.clone(),
            from_source,
            cargo: environment.variable("CARGO").unwrap_or(OsStr::new("cargo")).to_owned(),
            cargo_home: environment.variable("CARGO_HOME").map(PathBuf::from).or_else(home),
        })
    }

    /// Compiles a crate and returns its core module.
    ///
    /// # Errors
    /// When cargo does not start, does not compile it, or makes no module.
    pub fn module(&self, job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
        self.compiled(job).map(|(module, _)| module)
    }

    /// Compiles a crate: its core module, and what cargo says of the parts.
    fn compiled(&self, job: &Job<'_>) -> Result<(Vec<u8>, String), BuildError> {
        let ran = self.run(job, &self.command(job))?;
        let path = module_path(&ran.stdout).ok_or_else(|| BuildError::Failed {
            what: format!("{} makes no WebAssembly module", job.folder.display()),
            output: String::new(),
            hint: "its Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`".to_owned(),
        })?;
        let module = std::fs::read(&path).map_err(|error| BuildError::io(&path, error))?;
        Ok((module, ran.stdout))
    }

    /// What cargo says of a crate and all it depends on, before anything of it is run.
    fn metadata(&self, job: &Job<'_>) -> Result<Metadata, BuildError> {
        let mut command = Command::new(&self.cargo);
        command
            .current_dir(job.start)
            .args(["metadata", "--format-version", "1", "--filter-platform", TARGET])
            .arg("--manifest-path")
            .arg(job.folder.join("Cargo.toml"));
        Metadata::read(&self.run(job, &command)?.stdout)
    }

    fn run(&self, job: &Job<'_>, command: &Command) -> Result<Ran, BuildError> {
        let messages = if job.show_messages { Messages::Shown } else { Messages::Kept };
        let ran = tool::run(command, self.supervisor.as_ref(), job.deadline, messages);
        let ran = ran.map_err(|error| self.not_started(&error.to_string()))?;
        if ran.not_started() {
            return Err(self.not_started(ran.stderr.trim()));
        }
        if !ran.succeeded() {
            let what = format!("{} does not build for {TARGET}", job.folder.display());
            let (output, hint) = ran.timed_out().unwrap_or_else(|| {
                (ran.stderr.clone(), "see the compiler's messages above".to_owned())
            });
            return Err(BuildError::Failed { what, output, hint });
        }
        Ok(ran)
    }

    fn not_started(&self, reason: &str) -> BuildError {
        BuildError::NoToolchain {
            missing: format!("cannot start {}: {reason}", self.cargo.to_string_lossy()),
            hint: "is cargo on the PATH?".to_owned(),
        }
    }

    fn command(&self, job: &Job<'_>) -> Command {
        let mut command = Command::new(&self.cargo);
        // Wrappers and flags of the caller would change the bytes.
        for variable in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(variable);
        }
        command
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(job.remap).join("\u{1f}"))
            .env("CARGO_TARGET_DIR", job.target_folder)
            .current_dir(job.start)
            .args(["build", "--release", "--lib", "--target", TARGET])
            .arg("--manifest-path")
            .arg(job.folder.join("Cargo.toml"))
            .arg("--message-format=json-render-diagnostics");
        if let Some(package) = job.package {
            command.args(["--package", package]);
        }
        if job.locked {
            command.arg("--locked");
        }
        if let Some((rustc, linker)) = &self.from_source {
            command
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }

    /// Panic messages carry the paths of source files: without this the bytes would depend on where the
    /// sources and the compiler are.
    fn flags(&self, (root, name): (&Path, &str)) -> Vec<String> {
        let registry = self.cargo_home.iter().map(|home| (home.clone(), "/cargo"));
        // The last match wins, so the narrower folders come later.
        let sysroot = (self.sysroot.clone(), "/rust");
        let mut folders: Vec<(PathBuf, &str)> = registry.chain([sysroot]).collect();
        if let Some(real) = self.cargo_home.as_deref().and_then(registry_sources) {
            folders.extend(real.into_iter().map(|folder| (folder, "/cargo")));
        }
        folders.push((root.to_owned(), name));
        folders
            .into_iter()
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
            .collect()
    }
}

/// The folders of registry sources, whose names contain a hash of the registry's address.
fn registry_sources(cargo_home: &Path) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(cargo_home.join("registry/src")).ok()?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    Some(folders)
}

/// The last module among the artefacts that cargo reports: dependencies come first.
fn module_path(messages: &str) -> Option<PathBuf> {
    let mut artefacts = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message["filenames"].as_array()?;
        let names = files.iter().filter_map(serde_json::Value::as_str);
        names.filter(|name| name.ends_with(".wasm")).map(PathBuf::from).next_back()
    });
    artefacts.next_back()
}

/// Asks a compiler, which may be chosen by the folder it is started in.
fn print(rustc: &OsStr, start: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    let failed = |output: String| BuildError::Failed {
        what: format!("{} {} fails", rustc.to_string_lossy(), arguments.join(" ")),
        output,
        hint: "is it a Rust compiler?".to_owned(),
    };
    tool::ask(Command::new(rustc).args(arguments).current_dir(start)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_last_module_counts() {
        let messages = "noise\n\
             {\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/dep.wasm\"]}\n\
             {\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/own.rlib\",\"/t/own.wasm\"]}\n\
             {\"reason\":\"build-finished\",\"success\":true}";
        assert_eq!(module_path(messages), Some(PathBuf::from("/t/own.wasm")));
        assert_eq!(module_path("{}"), None);
    }

    #[test]
    fn what_is_no_module_is_refused_with_a_hint() {
        let error = componentise(b"no module").unwrap_err();
        assert!(error.hint().contains("export_reward"), "{}", error.hint());
    }

    #[test]
    fn a_missing_compiler_is_told_with_two_remedies() {
        let variables = BTreeMap::from([("RUSTC".to_owned(), "/nowhere/rustc".into())]);
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::new(variables, folder.path().to_owned());
        let error = Toolchain::find(&environment).unwrap_err();
        assert!(error.hint().contains("rustup target add"), "{}", error.hint());
        assert!(error.hint().contains("R1X_WASM_RUSTC"), "{}", error.hint());
    }
}
