//! The host of reward plugins: loads WebAssembly components, runs them within limits, judges what they say.
//!
//! A reward is a guest. It sees text and returns numbers; it has a deadline and a memory limit, and reaches
//! no file, network or clock. Its failure is a fact about one rollout. Must not know models, tensors, losses
//! or the store.
//!
//! [`Host`] loads a [`Plugin`]; [`WasmRewarder`] is the port the training loop talks to. The binary contract
//! is `wit/reward.wit`; `abi` holds one adapter per version of it, and `contract` what all of them speak of. [`Probe`] and [`conformance`] try a plugin
//! outside a run.
//!
//! Modules use each other in one direction. A plugin, from above: `host` loads it, `guest` calls it, `abi` speaks its
//! version of the contract, `capability` answers what it may ask for, and `state` is what every call finds. Below are
//! `sandbox`, which runs the programs of models, then `wasi`, on which plugins and interpreters believe they run, and
//! `engines`, which run both. The whole order is in `tests/tests/architecture/modules.rs`.

mod abi;
mod bisect;
mod cache;
mod capability;
mod carried;
mod compile;
mod conformance;
mod contract;
mod engines;
mod error;
mod failure_budget;
mod files;
mod grants;
mod guest;
mod host;
mod layer;
mod limits;
mod outcome;
mod probe;
mod replay;
mod sandbox;
mod score;
mod sections;
mod state;
mod wasi;
mod workers;

pub use compile::{CompileError, Compiler, Kind, Order, compile};
pub use conformance::{Finding, Verdict, conformance};
pub use contract::{LogLevel, LogLine, Needs, PluginInfo};
pub use engines::{Compiling, Origin};
pub use error::{Fault, RewardError};
pub use grants::Grants;
pub use host::{Host, HostOptions, Plugin};
pub use layer::{PrepareError, Prepared};
pub use probe::{Probe, ProbeError};
pub use replay::{Replay, Sample};
pub use sandbox::Exec;
pub use score::{PluginLog, WasmRewarder};

/// The interface this host speaks, as runs record it.
pub const WIT_WORLD: &str = "r1x:reward@0.1.0";
