//! The plugin host as builds see it: a sandbox in which a component reads its author's files.

use std::time::Duration;

use r1x_build::{Prepared, Sandbox, SandboxError};
use r1x_core::plan::LimitsPlan;
use r1x_reward::{Host, PrepareError};

/// What a component may use while it reads its author's files.
const MEMORY_BYTES: u64 = 1 << 30;
/// A component of this size takes seconds to compile.
const SLOW_BYTES: usize = 4 << 20;

/// The host, as a sandbox.
pub struct HostSandbox(pub Host);

impl Sandbox for HostSandbox {
    fn prepare(&self, component: &[u8], deadline: Duration) -> Result<Prepared, SandboxError> {
        if component.len() > SLOW_BYTES && !self.0.is_cached(component) {
            eprintln!("compiling the interpreter for this machine; later builds find it compiled");
        }
        let limits = LimitsPlan {
            time_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            time_per_rollout_ms: 0,
            memory_bytes: MEMORY_BYTES,
            fuel: None,
        };
        let told = |error: PrepareError| match error {
            PrepareError::Refused(sentence) => SandboxError::Refused(sentence),
            PrepareError::TimedOut(_) => SandboxError::TimedOut(error.to_string()),
            PrepareError::Broke(_) | PrepareError::Unusable(_) => {
                SandboxError::Broke(error.to_string())
            }
        };
        let prepared = self.0.prepare(component, &limits).map_err(told)?;
        Ok(Prepared { layer: prepared.layer, late: prepared.late })
    }
}
