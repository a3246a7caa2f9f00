//! Programs that a model wrote, run by the host in sandboxes of their own.

#[doc(hidden)]
#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../crates/r1x-reward/wit",
        world: "with-exec",
    });
}

pub use bindings::r1x::reward::exec::{Exit, Input, Job, Outcome};

/// Runs jobs: for each one outcome per input. Natively, where there is no host, nothing runs.
pub fn run(batch: &[Job]) -> Result<Vec<Vec<Outcome>>, String> {
    #[cfg(target_arch = "wasm32")]
    return bindings::r1x::reward::exec::run(batch);
    #[cfg(not(target_arch = "wasm32"))]
    Err(format!("{} programs cannot be run outside a host", batch.len()))
}
