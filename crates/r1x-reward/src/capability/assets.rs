//! Reading the files that a component carries for its own use.

use r1x_core::Capability;
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::{count, not_granted};
use crate::contract::cut;
use crate::limits::MAX_INFO_BYTES;
use crate::state::State;

/// The functions of the interface.
pub(super) fn define(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "read",
        |mut store: StoreContextMut<'_, State>,
         (name,): (String,)|
         -> wasmtime::Result<(Result<Vec<u8>, String>,)> {
            let state = store.data_mut();
            count(state, Capability::Assets)?;
            if !state.grants.assets {
                return Err(not_granted(Capability::Assets));
            }
            let found = state.assets.get(&name).cloned();
            let names = || state.assets.keys().cloned().collect::<Vec<_>>().join(", ");
            let missing = || format!("no asset `{name}`; there are: {}", names());
            Ok((found.ok_or_else(|| cut(missing(), MAX_INFO_BYTES)),))
        },
    )
}
