//! A network that refuses every socket and every name. Must not open a connection.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Val};

use super::{WithSystem, constant, handle, handle_type};

/// The network; there is only one, and it leads nowhere.
struct Network;

pub(super) fn network<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    handle_type::<Network, _>(instance, "network")
}

pub(super) fn instance_network<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    instance.func_wrap("instance-network", |mut store: StoreContextMut<'_, S>, (): ()| {
        Ok((handle::<Network>(store.data_mut().system_mut(), 0)?,))
    })
}

pub(super) fn ip_name_lookup<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    constant(instance, "resolve-addresses", denied())
}

pub(super) fn tcp_create_socket<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    constant(instance, "create-tcp-socket", denied())
}

pub(super) fn udp_create_socket<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    constant(instance, "create-udp-socket", denied())
}

fn denied() -> Val {
    Val::Result(Err(Some(Box::new(Val::Enum("access-denied".to_owned())))))
}
