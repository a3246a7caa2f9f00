//! From a plugin of the repository to its component, with the builder every plugin in Rust goes through.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use r1x_build::language::rust::{Job, Toolchain, componentise};
use r1x_build::{BuildError, Environment};

use super::Plugin;
use crate::failure::Failure;

/// The time that all plugins together may take, the first build of the target's library included.
const BUILD_TIME: Duration = Duration::from_secs(3_600);

/// A compiler that can make WebAssembly.
pub fn toolchain(root: &Path) -> Result<Toolchain, Failure> {
    let named = |(name, value): (std::ffi::OsString, _)| Some((name.into_string().ok()?, value));
    let variables: BTreeMap<_, _> = std::env::vars_os().filter_map(named).collect();
    let environment = Environment::new(variables, target_folder(root));
    Toolchain::find(&environment).map_err(told)
}

/// Builds one plugin and wraps it.
pub fn component(root: &Path, plugin: &Plugin, toolchain: &Toolchain) -> Result<Vec<u8>, Failure> {
    let job = Job {
        folder: &root.join("plugins"),
        start: &root.join("plugins"),
        package: Some(plugin.name),
        target_folder: &target_folder(root),
        remap: (root, "/r1x"),
        locked: true,
        deadline: BUILD_TIME,
        show_messages: true,
    };
    let component =
        toolchain.module(&job).and_then(|module| componentise(&module)).map_err(told)?;
    refuse_paths(plugin, &component, root, toolchain)?;
    Ok(component)
}

fn target_folder(root: &Path) -> PathBuf {
    root.join("plugins/target")
}

fn told(error: BuildError) -> Failure {
    Failure::new(error.to_string(), error.hint())
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
                "remap that folder in crates/r1x-build/src/language/rust.rs",
            ));
        }
    }
    Ok(())
}
