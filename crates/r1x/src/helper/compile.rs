//! Compiling a component in a process of its own, which may take so much processor time and memory and no more.
//!
//! The component goes in through a pipe, and machine code or a reason comes out.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use r1x_reward::{CompileError, Compiler, Kind, Order};

use super::{number, program, when_alone};
use crate::failure::code;
use crate::output;
use crate::table;

/// The first argument of the process.
pub(super) const WORD: &str = "r1x-compiles";
/// A process that is stopped for its time has this much of it to end by itself, seconds.
#[cfg(unix)]
const GRACE: u64 = 5;
/// Processor time is what counts; a machine that does much else may take this many times as long.
const PATIENCE: u32 = 20;

/// Compiles in a process of its own.
pub struct Separate;

impl Compiler for Separate {
    fn compile(&self, order: &Order<'_>) -> Result<Vec<u8>, CompileError> {
        let broke = |error: io::Error| CompileError::Broke(format!("a process for it: {error}"));
        let mut child = Command::new(program())
            .args([WORD, order.kind.as_str()])
            .arg(order.time.as_secs().max(1).to_string())
            .arg(order.memory_bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(broke)?;
        let (made, said) = (child.stdout.take().map(reader), child.stderr.take().map(reader));
        let mut input = child.stdin.take();
        if let Some(input) = &mut input {
            // It may end before it has read everything, and its status says why.
            let length = (order.component.len() as u64).to_le_bytes();
            let _ = input.write_all(&length).and_then(|()| input.write_all(order.component));
        }
        let made = ended(&mut child, made, order.time * PATIENCE).map_err(broke)?;
        let status = child.wait().map_err(broke)?;
        // Until here the process knows that it is waited for.
        drop(input);
        let said = said.and_then(|said| said.recv().ok()).unwrap_or_default();
        match made {
            Some(made) if status.success() => Ok(made),
            None => Err(CompileError::Cost(table::seconds((order.time * PATIENCE).as_secs_f64()))),
            Some(_) => Err(reason(order, status, &String::from_utf8_lossy(&said))),
        }
    }
}

/// What the process wrote when it has ended; `None` when it took too long and was stopped.
fn ended(
    child: &mut Child,
    made: Option<Receiver<Vec<u8>>>,
    deadline: Duration,
) -> io::Result<Option<Vec<u8>>> {
    let made = made.and_then(|made| made.recv_timeout(deadline).ok());
    if made.is_none() {
        child.kill()?;
    }
    Ok(made)
}

fn reader(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A stream that breaks leaves what came before; nobody may wait for it any more.
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Why a process ended without machine code.
fn reason(order: &Order<'_>, status: ExitStatus, said: &str) -> CompileError {
    let said = said.trim();
    // The allocator's last words, the compiler's own, and those of the system.
    let memory = ["memory allocation of", "out of memory", "Cannot allocate memory"];
    if memory.iter().any(|words| said.contains(words)) {
        return CompileError::Cost(format!("{} of memory", table::bytes(order.memory_bytes)));
    }
    if status.code() == Some(code::INPUT) {
        return CompileError::Damaged(said.to_owned());
    }
    if limits::met_time(status) {
        let time = table::seconds(order.time.as_secs_f64());
        return CompileError::Cost(format!("{time} of processor time"));
    }
    let last = said.lines().next_back().unwrap_or_default();
    CompileError::Broke(format!("{status}{}{last}", if last.is_empty() { "" } else { ": " }))
}

/// The work of the process itself.
pub(super) fn work(arguments: &[OsString]) -> i32 {
    match made(arguments) {
        Ok(()) => 0,
        Err((code, reason)) => {
            eprintln!("{reason}");
            code
        }
    }
}

fn made(arguments: &[OsString]) -> Result<(), (i32, String)> {
    let broke = |error: io::Error| (code::INTERNAL, error.to_string());
    let word = arguments.first().and_then(|word| word.to_str());
    let kind = Kind::ALL.into_iter().find(|kind| Some(kind.as_str()) == word);
    let numbers = (number(arguments.get(1)), number(arguments.get(2)));
    let (Some(kind), (Some(seconds), Some(memory_bytes))) = (kind, numbers) else {
        return Err((code::INTERNAL, "this is for r1x itself to start".to_owned()));
    };
    limits::set(seconds, memory_bytes).map_err(broke)?;
    let mut input = io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length).map_err(broke)?;
    let mut component = Vec::new();
    input.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut component).map_err(broke)?;
    drop(input);
    when_alone(|| {});
    let native = r1x_reward::compile(kind, &component).map_err(|reason| (code::INPUT, reason))?;
    output::bytes(&native).map_err(broke)
}

#[cfg(unix)]
mod limits {
    //! Limits of this process, as the system keeps them.

    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::Signal;

    use super::GRACE;

    pub(super) fn set(seconds: u64, memory_bytes: u64) -> io::Result<()> {
        setrlimit(Resource::RLIMIT_CPU, seconds, seconds + GRACE)?;
        // What is written to counts, and not what is reserved: allocators reserve for every thread.
        setrlimit(Resource::RLIMIT_DATA, memory_bytes, memory_bytes)?;
        // A process that breaks is told about, and its memory is of no use to anybody.
        Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
    }

    pub(super) fn met_time(status: ExitStatus) -> bool {
        status.signal() == Some(Signal::SIGXCPU as i32)
    }
}

#[cfg(not(unix))]
mod limits {
    //! Where processes have no such limits, the time of the wall alone ends them.

    use std::io;
    use std::process::ExitStatus;

    pub(super) fn set(_seconds: u64, _memory_bytes: u64) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn met_time(_status: ExitStatus) -> bool {
        false
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn every_end_of_a_compiler_is_told_by_its_limit() {
        let order = Order {
            kind: Kind::Timed,
            component: &[],
            time: Duration::from_secs(40),
            memory_bytes: 1 << 30,
        };
        // Signals as the system reports them, and exit codes in the byte above.
        for (status, said, told) in [
            (24, "", "compiling it took more than 40.0 s of processor time"),
            (
                6,
                "memory allocation of 5 bytes failed",
                "compiling it took more than 1.0 GiB of memory",
            ),
            (code::INPUT << 8, "out of memory: x", "compiling it took more than 1.0 GiB of memory"),
            (code::INPUT << 8, "unexpected end\n", "unexpected end"),
            (11, "", "compiling it failed: signal: 11 (SIGSEGV)"),
            (1 << 8, "a\nlast words", "compiling it failed: exit status: 1: last words"),
        ] {
            let error = reason(&order, ExitStatus::from_raw(status), said).to_string();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
