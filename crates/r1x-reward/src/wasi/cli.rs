//! What a program sees of whoever started it: no arguments, no environment, no terminal, output into the log.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Val};

use super::io::{InputStream, OutputStream, STDERR, STDOUT};
use super::{constant, handle};
use crate::state::State;

/// The guest ended its program, which ends the call it was in.
#[derive(Debug, thiserror::Error)]
#[error("it called exit with status {0}")]
pub(crate) struct Exited(pub(crate) u8);

pub(super) fn environment(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    constant(instance, "get-environment", Val::List(Vec::new()))?;
    constant(instance, "get-arguments", Val::List(Vec::new()))?;
    constant(instance, "initial-cwd", Val::Option(None))
}

pub(super) fn exit(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "exit",
        |_: StoreContextMut<'_, State>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            Err(Exited(u8::from(status.is_err())).into())
        },
    )?;
    instance.func_wrap(
        "exit-with-code",
        |_: StoreContextMut<'_, State>, (status,): (u8,)| -> wasmtime::Result<()> {
            Err(Exited(status).into())
        },
    )
}

pub(super) fn stdin(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stdin", |mut store: StoreContextMut<'_, State>, (): ()| {
        Ok((handle::<InputStream>(store.data_mut(), 0)?,))
    })
}

pub(super) fn stdout(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stdout", |mut store: StoreContextMut<'_, State>, (): ()| {
        Ok((handle::<OutputStream>(store.data_mut(), STDOUT)?,))
    })
}

pub(super) fn stderr(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap("get-stderr", |mut store: StoreContextMut<'_, State>, (): ()| {
        Ok((handle::<OutputStream>(store.data_mut(), STDERR)?,))
    })
}

pub(super) fn terminal_stdin(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    constant(instance, "get-terminal-stdin", Val::Option(None))
}

pub(super) fn terminal_stdout(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    constant(instance, "get-terminal-stdout", Val::Option(None))
}

pub(super) fn terminal_stderr(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    constant(instance, "get-terminal-stderr", Val::Option(None))
}
