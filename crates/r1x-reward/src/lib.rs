//! The host of reward plugins: loads WebAssembly components, runs them within limits, judges what they say.
//!
//! A reward is a guest. It sees text and returns numbers; it has a deadline and a memory limit, and reaches
//! no file, network or clock. Its failure is a fact about one rollout. Must not know models, tensors, losses
//! or the store.
//!
//! [`Host`] loads a [`Plugin`]; [`WasmRewarder`] is the port the training loop talks to. The binary contract
//! is `wit/reward.wit`; `abi` holds one adapter per version of it. [`Probe`] and [`conformance`] try a plugin
//! outside a run.

mod abi;
mod bisect;
mod cache;
mod capability;
mod compile;
mod conformance;
mod error;
mod failure_budget;
mod files;
mod guest;
mod host;
mod layer;
mod limits;
mod outcome;
mod probe;
mod replay;
mod score;
mod sections;
mod state;
mod wasi;
mod workers;

pub use abi::{LogLevel, LogLine, Needs, PluginInfo};
pub use capability::Grants;
pub use capability::exec::Exec;
pub use compile::{CompileError, Compiler, Kind, Order, compile};
pub use conformance::{Finding, Verdict, conformance};
pub use error::{Fault, RewardError};
pub use host::{Compiling, Host, HostOptions, Origin, Plugin};
pub use layer::{PrepareError, Prepared};
pub use probe::{Probe, ProbeError};
pub use replay::{Replay, Sample};
pub use score::{PluginLog, WasmRewarder};

/// The interface this host speaks, as runs record it.
pub const WIT_WORLD: &str = "r1x:reward@0.1.0";
