//! Streams: files of the component, input that is at its end, output that goes into the log, and nothing to wait for.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource, ResourceType, Val};

use super::{System, WithSystem, handle, handle_type};
use crate::contract::LogLevel;

/// What an error of a stream would be, if streams had any.
pub(super) struct StreamFault;
/// Something to wait for; all of it has happened.
pub(super) struct Pollable;
/// Input: number 0 is empty, as standard input is; every other one is a file being read.
pub(super) struct InputStream;
/// Output: its number is [`STDOUT`] or [`STDERR`].
pub(super) struct OutputStream;

pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// Bytes a guest is given at a time.
pub(super) const READ_BYTES: usize = 1 << 20;

/// The files being read by an instance: what each holds, and how far it has been read.
#[derive(Debug, Default)]
pub(super) struct Streams(Vec<Option<(Arc<[u8]>, usize)>>);

impl Streams {
    /// A stream over a file from an offset on: its number.
    pub(super) fn open(&mut self, bytes: Arc<[u8]>, offset: u64) -> u32 {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if free == self.0.len() {
            self.0.push(None);
        }
        self.0[free] = Some((bytes, start));
        // Number 0 is standard input. Handles are counted, so there are never too many for the type.
        u32::try_from(free + 1).unwrap_or(u32::MAX)
    }

    fn slot(&mut self, number: u32) -> Option<&mut Option<(Arc<[u8]>, usize)>> {
        self.0.get_mut((number as usize).checked_sub(1)?)
    }

    /// The next bytes; none at the end.
    fn read(&mut self, number: u32, length: u64) -> Option<Vec<u8>> {
        let (bytes, at) = self.slot(number)?.as_mut()?;
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(READ_BYTES);
        let end = at.saturating_add(wanted).min(bytes.len());
        let read = bytes[*at..end].to_vec();
        let over = *at == bytes.len() && length > 0;
        *at = end;
        (!over).then_some(read)
    }

    fn close(&mut self, number: u32) {
        if let Some(slot) = self.slot(number) {
            *slot = None;
        }
    }
}

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

pub(super) fn error<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    handle_type::<StreamFault, _>(instance, "error")
}

pub(super) fn poll<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    handle_type::<Pollable, _>(instance, "pollable")?;
    instance.func_wrap(
        "[method]pollable.block",
        |_: StoreContextMut<'_, S>, (_,): (Resource<Pollable>,)| Ok(()),
    )?;
    instance.func_wrap(
        "[method]pollable.ready",
        |_: StoreContextMut<'_, S>, (_,): (Resource<Pollable>,)| Ok((true,)),
    )?;
    instance.func_wrap(
        "poll",
        |_: StoreContextMut<'_, S>, (pollables,): (Vec<Resource<Pollable>>,)| {
            let all: Vec<u32> = (0..).take(pollables.len()).collect();
            Ok((all,))
        },
    )
}

pub(super) fn streams<S: WithSystem>(instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    instance.resource(
        "input-stream",
        ResourceType::host::<InputStream>(),
        |mut store, number| {
            let system = store.data_mut().system_mut();
            system.handles = system.handles.saturating_sub(1);
            system.streams.close(number);
            Ok(())
        },
    )?;
    handle_type::<OutputStream, _>(instance, "output-stream")?;
    for name in ["read", "blocking-read"] {
        instance.func_wrap(
            &format!("[method]input-stream.{name}"),
            |mut store: StoreContextMut<'_, S>, (stream, length): (Resource<InputStream>, u64)| {
                let streams = &mut store.data_mut().system_mut().streams;
                Ok((streams.read(stream.rep(), length).ok_or(StreamError::Closed),))
            },
        )?;
    }
    instance.func_wrap(
        "[method]input-stream.subscribe",
        |mut store: StoreContextMut<'_, S>, (_,): (Resource<InputStream>,)| {
            Ok((handle::<Pollable>(store.data_mut().system_mut(), 0)?,))
        },
    )?;
    instance.func_wrap(
        "[method]output-stream.subscribe",
        |mut store: StoreContextMut<'_, S>, (_,): (Resource<OutputStream>,)| {
            Ok((handle::<Pollable>(store.data_mut().system_mut(), 0)?,))
        },
    )?;
    instance.func_wrap(
        "[method]output-stream.check-write",
        |_: StoreContextMut<'_, S>, (_,): (Resource<OutputStream>,)| {
            Ok((Ok::<u64, StreamError>(WRITE_BYTES),))
        },
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        instance.func_wrap(&format!("[method]output-stream.{name}"), write::<S>)?;
    }
    for name in ["flush", "blocking-flush"] {
        super::constant(instance, &format!("[method]output-stream.{name}"), Val::Result(Ok(None)))?;
    }
    Ok(())
}

fn write<S: WithSystem>(
    mut store: StoreContextMut<'_, S>,
    (stream, bytes): (Resource<OutputStream>, Vec<u8>),
) -> wasmtime::Result<(Result<(), StreamError>,)> {
    let System { stdout, stderr, log, .. } = store.data_mut().system_mut();
    match stream.rep() {
        STDERR => stderr.write(&bytes, LogLevel::Warn, log),
        _ => stdout.write(&bytes, LogLevel::Info, log),
    }
    Ok((Ok(()),))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_gives_a_file_from_its_offset_to_its_end() {
        let mut streams = Streams::default();
        let bytes: Arc<[u8]> = Arc::from(*b"hello");
        let number = streams.open(Arc::clone(&bytes), 1);
        assert_eq!(streams.read(number, 2), Some(b"el".to_vec()));
        assert_eq!(streams.read(number, 0), Some(Vec::new()));
        assert_eq!(streams.read(number, 100), Some(b"lo".to_vec()));
        assert_eq!(streams.read(number, 1), None);
        let late = streams.open(Arc::clone(&bytes), 1000);
        assert_eq!(streams.read(late, 1), None);
        streams.close(number);
        assert_eq!(streams.read(number, 1), None);
        assert_eq!(streams.open(bytes, 0), number, "a place is used again");
        assert_eq!(streams.read(0, 1), None, "standard input is empty");
    }
}
