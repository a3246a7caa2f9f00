//! The plugin host and the builders of plugins, as this machine has them.

use std::path::PathBuf;
use std::sync::Arc;

use r1x_reward::{Compiling, Host, HostOptions};

use crate::failure::{Failure, code};
use crate::helper;
use crate::sandbox::HostSandbox;

/// Where things are kept that can be made again: `$XDG_CACHE_HOME/r1x`, or `~/.cache/r1x`.
pub fn cache_root() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or_else(home).map(|base| base.join("r1x"))
}

/// Where compiled plugins are kept.
pub fn cache_dir() -> Option<PathBuf> {
    cache_root().map(|root| root.join("plugins"))
}

/// What builds of plugins may know of this machine.
pub fn build_environment() -> r1x_build::Environment {
    let named = |(name, value): (std::ffi::OsString, _)| Some((name.into_string().ok()?, value));
    let variables = std::env::vars_os().filter_map(named).collect();
    // Without a home there is still a place for a build, if not for the next one.
    let cache_folder = cache_dir().unwrap_or_else(|| std::env::temp_dir().join("r1x-plugins"));
    r1x_build::Environment::new(variables, cache_folder.with_file_name("build"))
        .supervised(helper::supervisor())
}

/// How many times the limits on compiling a plugin count.
const COMPILE_SCALE: &str = "R1X_COMPILE_SCALE";

/// The plugin host with this many workers. What is not compiled yet is compiled in a process with limits.
///
/// # Errors
/// When it cannot start, or what scales its limits is no number.
pub fn host(workers: usize) -> Result<Host, Failure> {
    let options = HostOptions { cache_dir: cache_dir(), workers };
    let scale = match std::env::var_os(COMPILE_SCALE) {
        None => 1,
        Some(text) => text.to_str().and_then(scale).ok_or_else(|| {
            let message = format!("{COMPILE_SCALE} is `{}`", text.to_string_lossy());
            Failure::new(code::INPUT, message, "give a whole number from 1 to 1000")
        })?,
    };
    let compiling = Compiling { compiler: Some(Arc::new(helper::Separate)), scale };
    Host::with_compiler(options, compiling)
        .map_err(|error| Failure::from(r1x_core::PortError::from(error)))
}

fn scale(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|scale| (1..=1000).contains(scale))
}

/// What builds may know of this machine, with this host to try what they make.
pub fn build_environment_with(host: &Host) -> r1x_build::Environment {
    build_environment().with_sandbox(Arc::new(HostSandbox(host.clone())))
}
