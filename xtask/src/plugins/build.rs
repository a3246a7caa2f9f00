//! From a plugin's crate to a component: find a compiler, compile, wrap.
//!
//! Must not know the lock.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::ComponentEncoder;

use super::Plugin;
use crate::failure::Failure;

const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler that can make WebAssembly.
pub struct Toolchain {
    /// First line of `rustc --version`.
    pub version: String,
    /// Root of its installation, whose path must not end up in a component.
    sysroot: PathBuf,
    /// A compiler without the target's library, and a linker: the library is built along.
    from_source: Option<(OsString, OsString)>,
}

impl Toolchain {
    /// The installed target, else the compiler that `R1X_WASM_RUSTC` names.
    pub fn find() -> Result<Self, Failure> {
        let installed = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let library = print(&installed, &["--print", "target-libdir", "--target", TARGET]);
        if library.is_ok_and(|folder| Path::new(&folder).is_dir()) {
            return Self::describe(&installed, None);
        }
        match (std::env::var_os("R1X_WASM_RUSTC"), std::env::var_os("R1X_WASM_LINKER")) {
            (Some(rustc), Some(linker)) => Self::describe(&rustc.clone(), Some((rustc, linker))),
            _ => Err(Failure::new(
                format!("no compiler for {TARGET}"),
                format!(
                    "either `rustup target add {TARGET}`, or set R1X_WASM_RUSTC to a rustc that has \
                     its library sources and R1X_WASM_LINKER to a wasm linker such as rust-lld"
                ),
            )),
        }
    }

    fn describe(
        rustc: &OsString,
        from_source: Option<(OsString, OsString)>,
    ) -> Result<Self, Failure> {
        let version = print(rustc, &["--version"])?;
        let sysroot = PathBuf::from(print(rustc, &["--print", "sysroot"])?);
        Ok(Self { version, sysroot, from_source })
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Wrappers and flags of the caller would change the bytes.
        for variable in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(variable);
        }
        command.env("CARGO_ENCODED_RUSTFLAGS", self.flags(root).join("\u{1f}"));
        command.env("CARGO_TARGET_DIR", target_folder(root));
        if let Some((rustc, linker)) = &self.from_source {
            command
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }

    /// Panic messages carry the paths of source files: without this the bytes would depend on where the
    /// repository and the compiler are.
    fn flags(&self, root: &Path) -> Vec<String> {
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
            let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?;
            Some(PathBuf::from(home).join(".cargo"))
        });
        let registry = cargo_home.iter().map(|home| (home.clone(), "/cargo"));
        // The last match wins, so the narrower folders come later.
        let sysroot = (self.sysroot.clone(), "/rust");
        let mut folders: Vec<(PathBuf, &str)> = registry.chain([sysroot]).collect();
        if let Some(real) = cargo_home.and_then(|home| registry_sources(&home)) {
            folders.extend(real.into_iter().map(|folder| (folder, "/cargo")));
        }
        folders.push((root.to_owned(), "/r1x"));
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

fn target_folder(root: &Path) -> PathBuf {
    root.join("plugins/target")
}

/// Builds one plugin and wraps it.
pub fn component(root: &Path, plugin: &Plugin, toolchain: &Toolchain) -> Result<Vec<u8>, Failure> {
    let mut command = toolchain.command(root);
    command.current_dir(root.join("plugins")).args([
        "build",
        "--release",
        "--locked",
        "--package",
        plugin.name,
        "--target",
        TARGET,
    ]);
    if toolchain.from_source.is_some() {
        command.arg("-Zbuild-std=std,panic_abort");
    }
    let status = command.status().map_err(|error| {
        Failure::new(format!("cannot start cargo: {error}"), "is cargo on the PATH?")
    })?;
    if !status.success() {
        return Err(Failure::new(
            format!("{} does not build for {TARGET}", plugin.name),
            "see the compiler's messages above",
        ));
    }
    let path = target_folder(root)
        .join(TARGET)
        .join("release")
        .join(format!("{}.wasm", plugin.name.replace('-', "_")));
    let module = std::fs::read(&path).map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", path.display()), "is it a cdylib?")
    })?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            Failure::new(
                format!("{} is no component: {error:#}", plugin.name),
                "does its crate end with `r1x_plugin::export_reward!(...)`?",
            )
        })?;
    refuse_paths(plugin, &component, root, toolchain)?;
    Ok(component)
}

/// A component that knows where it was built is not reproducible, and tells strangers about this machine.
fn refuse_paths(
    plugin: &Plugin,
    component: &[u8],
    root: &Path,
    toolchain: &Toolchain,
) -> Result<(), Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    for folder in [Some(root.to_owned()), Some(toolchain.sysroot.clone()), home].iter().flatten() {
        let needle = folder.as_os_str().as_encoded_bytes();
        if needle.len() > 1 && component.windows(needle.len()).any(|window| window == needle) {
            return Err(Failure::new(
                format!("{} contains the path {}", plugin.name, folder.display()),
                "remap that folder in xtask/src/plugins/build.rs",
            ));
        }
    }
    Ok(())
}

fn print(rustc: &OsString, arguments: &[&str]) -> Result<String, Failure> {
    let failed = |reason: String| {
        Failure::new(
            format!("{} {}: {reason}", rustc.to_string_lossy(), arguments.join(" ")),
            "is it a Rust compiler?",
        )
    };
    let output =
        Command::new(rustc).args(arguments).output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
