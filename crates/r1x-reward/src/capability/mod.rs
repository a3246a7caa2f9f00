//! What a plugin may ask for beyond text: one file for each capability, one row here.
//!
//! A component gets the functions of the interfaces it imports and no others; they answer only while the grant lies
//! in the state of the instance.

mod assets;
mod exec;
mod judge;

use std::time::Instant;

use r1x_core::Capability;
use wasmtime::component::{Component, Linker, LinkerInstance};
use wasmtime::{Engine, StoreContextMut};

use crate::contract::{self, Import};
use crate::limits::ticks;
use crate::state::State;

/// Calls of one capability that a guest may make in one call of its own. A plugin asks for a whole batch at
/// once, so more are a loop; and as its deadline stands still meanwhile, nothing else would end it.
const MAX_CALLS: u32 = 1000;

type Definition = fn(&mut LinkerInstance<'_, State>) -> wasmtime::Result<()>;

/// Every capability with its interface.
const INTERFACES: &[(Capability, &str, Definition)] = &[
    (Capability::Assets, "assets", assets::define),
    (Capability::Exec, "exec", exec::define),
    (Capability::Judge, "judge", judge::define),
];

/// The capability that an interface of the contract stands for.
pub(crate) fn of_interface(interface: &str) -> Option<Capability> {
    INTERFACES.iter().find(|(_, known, _)| *known == interface).map(|(capability, ..)| *capability)
}

fn of_import(import: &str) -> Option<&'static (Capability, &'static str, Definition)> {
    let Import::Interface(interface) = contract::import(import) else { return None };
    INTERFACES.iter().find(|(_, known, _)| *known == interface)
}

/// What a component asks for: a capability whose interface it imports.
pub(crate) fn asked(engine: &Engine, component: &Component) -> Vec<Capability> {
    let component_type = component.component_type();
    let imports = component_type.imports(engine);
    let mut asked: Vec<Capability> = imports
        .filter_map(|(name, _)| of_import(name))
        .map(|(capability, ..)| *capability)
        .collect();
    asked.sort();
    asked
}

/// Defines the interfaces that this component imports, and no others.
pub(crate) fn link(
    linker: &mut Linker<State>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (import, _) in component.component_type().imports(engine) {
        if let Some((_, _, definition)) = of_import(import) {
            definition(&mut linker.instance(import)?)?;
        }
    }
    Ok(())
}

/// Counts a guest's call of a capability.
fn count(state: &mut State, capability: Capability) -> wasmtime::Result<()> {
    state.capability_calls += 1;
    if state.capability_calls > MAX_CALLS {
        let name = capability.as_str();
        return Err(wasmtime::Error::msg(format!(
            "it used `{name}` more than {MAX_CALLS} times in one call; ask for a batch at once"
        )));
    }
    Ok(())
}

/// What a guest is told, as a trap, that uses what it was not granted.
fn not_granted(capability: Capability) -> wasmtime::Error {
    let name = capability.as_str();
    wasmtime::Error::msg(format!("it used `{name}`, which is not granted (grant: [{name}])"))
}

/// Does the host's work for a guest, whose deadline stands still meanwhile.
fn off_the_clock<T>(store: &mut StoreContextMut<'_, State>, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    let state = store.data_mut();
    state.ends = state.ends.map(|ends| ends + began.elapsed());
    if let Some(ends) = state.ends {
        store.set_epoch_deadline(ticks(ends.saturating_duration_since(Instant::now())));
    }
    done
}
