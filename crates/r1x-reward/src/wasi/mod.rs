//! The operating system that a guest may believe it runs on: every answer is the same on every machine, and
//! there is nothing behind it.
//!
//! Some languages bring a runtime that cannot start without WASI. What such a runtime needs is written here by hand,
//! over plain values: no file, socket, clock, environment or thread of this process is within reach of the code
//! below, so there is nothing to configure wrongly. The files it shows are those that the component carries. Linked
//! only into components that import it.

mod cli;
mod clocks;
mod filesystem;
mod io;
mod random;
mod sockets;

pub(crate) use cli::Exited;

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val};

use crate::contract::{CallLog, LogLevel};
use crate::files::Files;
use crate::limits::MAX_LOG_BYTES;

/// The only version offered: any patch of it.
const VERSION: &str = "0.2.";
/// Handles a guest may hold at a time. A runtime holds about ten.
const MAX_HANDLES: u32 = 4096;

/// The data of a store whose guest runs on this system: a plugin's state, or that of an interpreter for programs.
pub(crate) trait WithSystem: 'static {
    /// The system.
    fn system(&self) -> &System;

    /// The system, to change it.
    fn system_mut(&mut self) -> &mut System;
}

type Definition<S> = fn(&mut LinkerInstance<'_, S>) -> wasmtime::Result<()>;

/// What is offered, by interface. Functions that no row defines take a handle that no row hands out, so a
/// guest cannot get as far as calling them; something stands in for them only so that types fit.
fn interfaces<S: WithSystem>() -> [(&'static str, Definition<S>); 27] {
    [
        ("wasi:cli/environment", cli::environment),
        ("wasi:cli/exit", cli::exit),
        ("wasi:cli/stderr", cli::stderr),
        ("wasi:cli/stdin", cli::stdin),
        ("wasi:cli/stdout", cli::stdout),
        ("wasi:cli/terminal-input", nothing),
        ("wasi:cli/terminal-output", nothing),
        ("wasi:cli/terminal-stderr", cli::terminal_stderr),
        ("wasi:cli/terminal-stdin", cli::terminal_stdin),
        ("wasi:cli/terminal-stdout", cli::terminal_stdout),
        ("wasi:clocks/monotonic-clock", clocks::monotonic),
        ("wasi:clocks/wall-clock", clocks::wall),
        ("wasi:filesystem/preopens", filesystem::preopens),
        ("wasi:filesystem/types", filesystem::types),
        ("wasi:io/error", io::error),
        ("wasi:io/poll", io::poll),
        ("wasi:io/streams", io::streams),
        ("wasi:random/insecure", random::insecure),
        ("wasi:random/insecure-seed", random::insecure_seed),
        ("wasi:random/random", random::random),
        ("wasi:sockets/instance-network", sockets::instance_network),
        ("wasi:sockets/ip-name-lookup", sockets::ip_name_lookup),
        ("wasi:sockets/network", sockets::network),
        ("wasi:sockets/tcp", nothing),
        ("wasi:sockets/tcp-create-socket", sockets::tcp_create_socket),
        ("wasi:sockets/udp", nothing),
        ("wasi:sockets/udp-create-socket", sockets::udp_create_socket),
    ]
}

/// An interface of which nothing can be called.
fn nothing<S: WithSystem>(_instance: &mut LinkerInstance<'_, S>) -> wasmtime::Result<()> {
    Ok(())
}

fn offered<S: WithSystem>(import: &str) -> Option<Definition<S>> {
    let (interface, version) = import.split_once('@')?;
    let (_, definition) = interfaces().into_iter().find(|(known, _)| *known == interface)?;
    version.starts_with(VERSION).then_some(definition)
}

/// Whether an import is part of the system.
pub(crate) fn is_offered(import: &str) -> bool {
    // What is offered is the same for every store, so the smallest will do.
    offered::<System>(import).is_some()
}

/// Defines what this component imports of the system; a component that imports none of it gets none.
pub(crate) fn link<S: WithSystem>(
    linker: &mut Linker<S>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    let component_type = component.component_type();
    let mut handles = Vec::new();
    // Rows of the table replace what stands in for them.
    linker.allow_shadowing(true);
    for (import, item) in component_type.imports(engine) {
        let (Some(definition), ComponentItem::ComponentInstance(interface)) =
            (offered(import), item.ty)
        else {
            continue;
        };
        let mut instance = linker.instance(import)?;
        for (name, item) in interface.exports(engine) {
            stand_in(&mut instance, import, name, &item.ty, &mut handles)?;
        }
        definition(&mut instance)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Defines what the types of an interface ask for, whether or not a row of the table does.
fn stand_in<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
    import: &str,
    name: &str,
    item: &ComponentItem,
    handles: &mut Vec<ResourceType>,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(_) => {
            let message = format!("it called {import} {name}, which does nothing here");
            instance.func_new(name, move |_, _, _, _| Err(wasmtime::Error::msg(message.clone())))
        }
        // An interface names the handles of others that it uses as well; those are defined there.
        ComponentItem::Resource(kind) if !handles.contains(kind) => {
            handles.push(*kind);
            instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))
        }
        _ => Ok(()),
    }
}

/// The state of one instance's system. Every instance of a component starts with the same.
#[derive(Debug, Default)]
pub(crate) struct System {
    stdout: Line,
    stderr: Line,
    elapsed_ns: u64,
    random: random::Stream,
    streams: io::Streams,
    listings: filesystem::Listings,
    handles: u32,
    /// What it shows as files.
    files: Arc<Files>,
    /// Where output goes, a line a message; what the guest tells the host otherwise goes there too, in its order.
    pub(crate) log: CallLog,
}

impl WithSystem for System {
    fn system(&self) -> &System {
        self
    }

    fn system_mut(&mut self) -> &mut System {
        self
    }
}

impl System {
    /// A system that shows these files.
    pub(crate) fn with_files(files: Arc<Files>) -> Self {
        Self { files, ..Self::default() }
    }

    /// Moves what was written without a newline into the log.
    pub(crate) fn flush(&mut self) {
        self.stdout.end(LogLevel::Info, &mut self.log);
        self.stderr.end(LogLevel::Warn, &mut self.log);
    }

    /// The messages since the last time they were taken.
    pub(crate) fn take_log(&mut self) -> CallLog {
        self.flush();
        std::mem::take(&mut self.log)
    }
}

/// A handle for the guest to hold; the count of them is what a guest could otherwise fill memory with.
fn handle<T: 'static>(system: &mut System, number: u32) -> wasmtime::Result<Resource<T>> {
    if system.handles >= MAX_HANDLES {
        return Err(wasmtime::Error::msg(format!("it holds more than {MAX_HANDLES} handles")));
    }
    system.handles += 1;
    Ok(Resource::new_own(number))
}

/// Defines a type of handle that [`handle`] counts.
fn handle_type<T: 'static, S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
    name: &str,
) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |mut store, _| {
        let handles = &mut store.data_mut().system_mut().handles;
        *handles = handles.saturating_sub(1);
        Ok(())
    })
}

/// Defines a function that always answers the same.
fn constant<S: WithSystem>(
    instance: &mut LinkerInstance<'_, S>,
    name: &str,
    answer: Val,
) -> wasmtime::Result<()> {
    instance.func_new(name, move |mut store, _, parameters, results| {
        for parameter in parameters {
            // A handle that was lent has to be given back.
            if let Val::Resource(lent) = parameter {
                lent.resource_drop(&mut store)?;
            }
        }
        for result in results {
            *result = answer.clone();
        }
        Ok(())
    })
}

/// The beginning of a line that is not finished.
#[derive(Debug, Default)]
struct Line(Vec<u8>);

impl Line {
    /// Adds bytes; each finished line is one message. Of a longer line only the start is kept.
    fn write(&mut self, bytes: &[u8], level: LogLevel, log: &mut CallLog) {
        let mut lines = bytes.split(|&byte| byte == b'\n');
        // The part before the first newline belongs to the line under way.
        self.add(lines.next().unwrap_or_default());
        for line in lines {
            self.push(level, log);
            self.add(line);
        }
    }

    /// Finishes the line, if one was begun.
    fn end(&mut self, level: LogLevel, log: &mut CallLog) {
        if !self.0.is_empty() {
            self.push(level, log);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        // One byte more than a message may have, so that cutting it shows.
        let room = (MAX_LOG_BYTES + 1).saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn push(&mut self, level: LogLevel, log: &mut CallLog) {
        log.push(level, String::from_utf8_lossy(&self.0).into_owned());
        self.0.clear();
    }
}

#[cfg(test)]
mod tests;
