//! From a plugin's sources to its component: the manifest `plugin.toml`, and one builder per language.
//!
//! Must not know the host that runs components, specs or runs. Environment variables and folders are
//! parameters ([`Environment`]); nothing is printed.

mod archive;
mod assets;
mod build;
mod contract;
mod environment;
mod error;
pub mod files;
pub mod interpreter;
pub mod language;
mod manifest;
mod package;
mod scratch;
mod source;
pub mod supervise;
pub mod template;
mod tool;

pub use build::{BuiltPlugin, build, find, find_component, sources_of};
pub use environment::{Environment, Prepared, Sandbox, SandboxError, SandboxHandle};
pub use error::{BuildError, ManifestError};
pub use manifest::{
    About, Asset, BuildSection, Capabilities, Case, Expectation, Language, Limits, Manifest,
    TopLevel, is_name,
};
pub use package::Requirement;
pub use source::{MANIFEST_NAME, Source};
pub use tool::Supervisor;
