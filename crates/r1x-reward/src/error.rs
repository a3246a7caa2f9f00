//! Why a plugin cannot be used: at load, or when its configuration is checked.
//!
//! Failures while scoring are outcomes of rollouts and live elsewhere.

use r1x_core::{Boundary, Capability, PortError};

/// A plugin calls it its configuration; a spec has it under `with`, and the verbs of a plugin after `--with`.
pub(crate) const CONFIGURATION_HINT: &str =
    "mend what stands under `with` of this reward in the spec, or after `--with`";

/// What is wrong with which plugin.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin}: {fault}")]
pub struct RewardError {
    /// Path of the component, or the name it was given.
    pub plugin: String,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// What can be wrong with a plugin.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// The file does not start like WebAssembly.
    #[error("is not WebAssembly")]
    NotWasm,
    /// A core module without the component around it.
    #[error("is a core module, not a component")]
    CoreModule,
    /// A component that does not parse or validate.
    #[error("is a damaged component: {0}")]
    Damaged(String),
    /// It is more than a reward may be.
    #[error("is too large: it has {0}")]
    TooMuch(String),
    /// Compiling it cost more than it may, or failed.
    #[error("cannot be compiled: {0}")]
    Compiling(String),
    /// Not everything a reward must export is there.
    #[error("is no reward plugin: it lacks the export {missing}; its exports are: {exports}")]
    WrongExports {
        /// The first missing export.
        missing: String,
        /// What there is, comma-separated; `none` when there is nothing.
        exports: String,
    },
    /// It wants the operating system.
    #[error("imports {0}, which is no part of the system that a reward may have")]
    Wasi(String),
    /// It wants something this host does not offer.
    #[error("imports {0}, which this r1x does not offer")]
    UnknownImport(String),
    /// It was built for another version of the contract.
    #[error("speaks r1x:reward@{0}; this r1x speaks {version}", version = crate::contract::VERSION)]
    OtherVersion(String),
    /// Names fit, types do not.
    #[error("does not fit the reward interface: {0}")]
    WrongTypes(String),
    /// It asks for what nobody granted.
    #[error("asks for `{name}` (to {about}), which is not granted", name = .0.as_str(), about = .0.about())]
    NotGranted(Capability),
    /// Calling `info` failed.
    #[error("cannot say what it is: {0}")]
    InfoFailed(String),
    /// What it says about itself contradicts itself.
    #[error("describes itself wrongly: {0}")]
    BadInfo(String),
    /// It refuses its configuration.
    #[error("refuses its configuration: {0}")]
    BadConfig(String),
    /// Configuring it failed.
    #[error("failed while reading its configuration: {0}")]
    ConfigureFailed(String),
    /// The file is not the one the plan was made with.
    #[error("has sha256 {found}, but the plan says {planned}")]
    OtherBuild {
        /// sha256 of the plan.
        planned: String,
        /// sha256 of the file.
        found: String,
    },
    /// The plan of the reward names no plugin.
    #[error("is not what the plan lets judge for this reward")]
    NotPlanned,
    /// The WebAssembly engine cannot start on this machine.
    #[error("cannot run here: {0}")]
    Engine(String),
}

impl Fault {
    /// How to mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            Fault::Unreadable(_) => {
                "`plugin` is a path relative to the spec; `cargo xtask plugins` builds those of r1x"
            }
            Fault::NotWasm => "give the path of a .wasm component",
            Fault::CoreModule => {
                "wrap it: `wasm-tools component new`, or `cargo xtask plugins` for those of r1x"
            }
            Fault::Damaged(_) => "the file may be cut short: build or fetch it again",
            Fault::TooMuch(_) | Fault::Compiling(_) => {
                "make it smaller; if you trust it, R1X_COMPILE_SCALE=2 allows twice as much (docs/plugins.md)"
            }
            Fault::WrongExports { .. } => {
                "build it against the world `reward` in crates/r1x-reward/wit/reward.wit"
            }
            Fault::Wasi(_) => {
                "a reward may import wasi 0.2: cli, clocks, filesystem, io, random and sockets (deterministic, and with nothing behind them); Rust needs none of it when built for wasm32-unknown-unknown"
            }
            Fault::UnknownImport(_) => {
                "a reward may import the interfaces of r1x:reward@0.1 (log, assets, exec, judge) and nothing else"
            }
            Fault::NotGranted(Capability::Assets) => {
                "add `grant: [assets]` to this reward in the spec"
            }
            Fault::NotGranted(Capability::Exec) => "add `grant: [exec]` to this reward in the spec",
            Fault::NotGranted(Capability::Judge) => {
                "add `grant: [judge]` to this reward in the spec, and the model under `judges`"
            }
            Fault::OtherVersion(_) => "use the r1x it was built for, or build it against this one",
            Fault::WrongTypes(_) => {
                "rebuild it against this version's crates/r1x-reward/wit/reward.wit"
            }
            Fault::InfoFailed(_) | Fault::BadInfo(_) => "this is a bug in the plugin's `info`",
            Fault::BadConfig(_) => CONFIGURATION_HINT,
            Fault::ConfigureFailed(_) => {
                "if the plugin is right, raise the reward's time and memory limits"
            }
            Fault::OtherBuild { .. } => {
                "the file changed: resolve the spec again, or restore the file"
            }
            Fault::NotPlanned => "wire plugins with rewards that plugins judge",
            Fault::Engine(_) => "this machine may forbid executable memory or new threads",
        }
    }

    fn boundary(&self) -> Boundary {
        match self {
            Fault::BadConfig(_) | Fault::NotGranted(_) => Boundary::Spec,
            Fault::InfoFailed(_)
            | Fault::ConfigureFailed(_)
            | Fault::TooMuch(_)
            | Fault::Compiling(_) => Boundary::Reward,
            Fault::Engine(_) => Boundary::Device,
            _ => Boundary::Data,
        }
    }
}

impl RewardError {
    pub(crate) fn new(plugin: impl Into<String>, fault: Fault) -> Self {
        Self { plugin: plugin.into(), fault }
    }

    /// How to mend it.
    pub fn hint(&self) -> &'static str {
        self.fault.hint()
    }
}

impl From<RewardError> for PortError {
    fn from(error: RewardError) -> Self {
        PortError::new(error.fault.boundary(), error.to_string(), error.hint())
    }
}
