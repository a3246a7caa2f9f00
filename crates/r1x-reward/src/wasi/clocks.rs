//! Clocks that know no time: the date stands still, and time passes by being looked at.
//!
//! A reward that depended on the time would not be reproducible. Must not read a clock.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower};

use super::io::Pollable;
use super::{WithSystem, handle};

/// Seconds from the epoch to 2024-01-01 00:00:00 UTC, the date in every guest.
const DATE_SECONDS: u64 = 1_704_067_200;
/// How much the monotonic clock advances with each look at it, nanoseconds.
const TICK_NS: u64 = 1_000_000;

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// The date in every guest.
pub(super) const DATE: Datetime = Datetime { seconds: DATE_SECONDS, nanoseconds: 0 };

pub(super) fn wall<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap("now", |_: StoreContextMut<'_, S>, (): ()| Ok((DATE,)))?;
    instance.func_wrap("resolution", |_: StoreContextMut<'_, S>, (): ()| {
        Ok((Datetime { seconds: 1, nanoseconds: 0 },))
    })
}

pub(super) fn monotonic<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    instance.func_wrap("now", |mut store: StoreContextMut<'_, S>, (): ()| {
        let elapsed_ns = &mut store.data_mut().system_mut().elapsed_ns;
        *elapsed_ns = elapsed_ns.saturating_add(TICK_NS);
        Ok((*elapsed_ns,))
    })?;
    instance.func_wrap("resolution", |_: StoreContextMut<'_, S>, (): ()| Ok((TICK_NS,)))?;
    // Nothing else happens while a guest waits, so the moment it waits for is now.
    instance.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<'_, S>, (when,): (u64,)| {
            let elapsed_ns = &mut store.data_mut().system_mut().elapsed_ns;
            *elapsed_ns = (*elapsed_ns).max(when);
            Ok((handle::<Pollable>(store.data_mut().system_mut(), 0)?,))
        },
    )?;
    instance.func_wrap(
        "subscribe-duration",
        |mut store: StoreContextMut<'_, S>, (duration,): (u64,)| {
            let elapsed_ns = &mut store.data_mut().system_mut().elapsed_ns;
            *elapsed_ns = elapsed_ns.saturating_add(duration);
            Ok((handle::<Pollable>(store.data_mut().system_mut(), 0)?,))
        },
    )
}
