//! Streams: input that is at its end, output that goes into the log, and nothing to wait for.
//!
//! Must not know where streams are handed out.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource, Val};

use super::{handle, handle_type};
use crate::abi::LogLevel;
use crate::abi::v0_1::State;

/// What an error of a stream would be, if streams had any.
pub(super) struct StreamFault;
/// Something to wait for; all of it has happened.
pub(super) struct Pollable;
/// Input: there is only one, and it is empty.
pub(super) struct InputStream;
/// Output: its number is [`STDOUT`] or [`STDERR`].
pub(super) struct OutputStream;

pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// Bytes a guest is told it may write at a time.
const WRITE_BYTES: u64 = 65_536;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "no stream here can fail, but the type has the case")]
    LastOperationFailed(Resource<StreamFault>),
    #[component(name = "closed")]
    Closed,
}

pub(super) fn error(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    handle_type::<StreamFault>(instance, "error")
}

pub(super) fn poll(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    handle_type::<Pollable>(instance, "pollable")?;
    instance.func_wrap(
        "[method]pollable.block",
        |_: StoreContextMut<'_, State>, (_,): (Resource<Pollable>,)| Ok(()),
    )?;
    instance.func_wrap(
        "[method]pollable.ready",
        |_: StoreContextMut<'_, State>, (_,): (Resource<Pollable>,)| Ok((true,)),
    )?;
    instance.func_wrap(
        "poll",
        |_: StoreContextMut<'_, State>, (pollables,): (Vec<Resource<Pollable>>,)| {
            let all: Vec<u32> = (0..).take(pollables.len()).collect();
            Ok((all,))
        },
    )
}

pub(super) fn streams(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    handle_type::<InputStream>(instance, "input-stream")?;
    handle_type::<OutputStream>(instance, "output-stream")?;
    for name in ["read", "blocking-read"] {
        instance.func_wrap(
            &format!("[method]input-stream.{name}"),
            |_: StoreContextMut<'_, State>, (_, _): (Resource<InputStream>, u64)| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            },
        )?;
    }
    instance.func_wrap(
        "[method]input-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (_,): (Resource<InputStream>,)| {
            Ok((handle::<Pollable>(store.data_mut(), 0)?,))
        },
    )?;
    instance.func_wrap(
        "[method]output-stream.subscribe",
        |mut store: StoreContextMut<'_, State>, (_,): (Resource<OutputStream>,)| {
            Ok((handle::<Pollable>(store.data_mut(), 0)?,))
        },
    )?;
    instance.func_wrap(
        "[method]output-stream.check-write",
        |_: StoreContextMut<'_, State>, (_,): (Resource<OutputStream>,)| {
            Ok((Ok::<u64, StreamError>(WRITE_BYTES),))
        },
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        instance.func_wrap(&format!("[method]output-stream.{name}"), write)?;
    }
    for name in ["flush", "blocking-flush"] {
        super::constant(instance, &format!("[method]output-stream.{name}"), Val::Result(Ok(None)))?;
    }
    Ok(())
}

fn write(
    mut store: StoreContextMut<'_, State>,
    (stream, bytes): (Resource<OutputStream>, Vec<u8>),
) -> wasmtime::Result<(Result<(), StreamError>,)> {
    let State { system, log, .. } = store.data_mut();
    match stream.rep() {
        STDERR => system.stderr.write(&bytes, LogLevel::Warn, log),
        _ => system.stdout.write(&bytes, LogLevel::Info, log),
    }
    Ok((Ok(()),))
}
