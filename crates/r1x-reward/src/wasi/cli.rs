//! What a program sees of whoever started it: no arguments, no environment, no terminal, output into the log.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Val};

use super::io::{InputStream, OutputStream, STDERR, STDOUT};
use super::{WithSystem, constant, handle};

/// The guest ended its program, which ends the call it was in.
#[derive(Debug, thiserror::Error)]
#[error("it called exit with status {0}")]
pub(crate) struct Exited(pub(crate) u8);

pub(super) fn environment<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    constant(instance, "get-environment", Val::List(Vec::new()))?;
    constant(instance, "get-arguments", Val::List(Vec::new()))?;
    constant(instance, "initial-cwd", Val::Option(None))
}

pub(super) fn exit<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "exit",
        |_: StoreContextMut<'_, S>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            Err(Exited(u8::from(status.is_err())).into())
        },
    )?;
    instance.func_wrap(
        "exit-with-code",
        |_: StoreContextMut<'_, S>, (status,): (u8,)| -> wasmtime::Result<()> {
            Err(Exited(status).into())
        },
    )
}

pub(super) fn stdin<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stdin", |mut store: StoreContextMut<'_, S>, (): ()| {
        Ok((handle::<InputStream>(store.data_mut().system_mut(), 0)?,))
    })
}

pub(super) fn stdout<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stdout", |mut store: StoreContextMut<'_, S>, (): ()| {
        Ok((handle::<OutputStream>(store.data_mut().system_mut(), STDOUT)?,))
    })
}

pub(super) fn stderr<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stderr", |mut store: StoreContextMut<'_, S>, (): ()| {
        Ok((handle::<OutputStream>(store.data_mut().system_mut(), STDERR)?,))
    })
}

pub(super) fn terminal_stdin<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    constant(instance, "get-terminal-stdin", Val::Option(None))
}

pub(super) fn terminal_stdout<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    constant(instance, "get-terminal-stdout", Val::Option(None))
}

pub(super) fn terminal_stderr<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
) -> wasmtime::Result<()> {
    constant(instance, "get-terminal-stderr", Val::Option(None))
}
