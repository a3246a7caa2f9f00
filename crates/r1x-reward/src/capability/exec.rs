//! Programs that a model wrote, passed on to whoever runs them.

use r1x_core::Capability;
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::{count, not_granted, off_the_clock};
use crate::sandbox::{Job, Outcome, Refusal, TooMuch, USUAL_MEMORY_BYTES};
use crate::state::State;

/// The functions of the interface.
pub(super) fn define(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "run",
        |mut store: StoreContextMut<'_, State>,
         (jobs,): (Vec<Job>,)|
         -> wasmtime::Result<(Result<Vec<Vec<Outcome>>, String>,)> {
            count(store.data_mut(), Capability::Exec)?;
            let exec = store.data().grants.exec.clone();
            let exec = exec.ok_or_else(|| not_granted(Capability::Exec))?;
            let most = store.data().limiter.limit_bytes().max(USUAL_MEMORY_BYTES);
            match off_the_clock(&mut store, || exec.run(&jobs, most)) {
                Err(Refusal::TooMuch) => Err(TooMuch.into()),
                Err(Refusal::Told(sentence)) => Ok((Err(sentence),)),
                Ok(outcomes) => Ok((Ok(outcomes),)),
            }
        },
    )
}
