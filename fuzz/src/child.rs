//! The process that reads inputs, and may die of one.
//!
//! What it reads next is written down first, with its number, so that the parent knows what it died of.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;

use r1x_core::Rng;

use crate::corpus::Corpus;
use crate::mutate::mutated;
use crate::targets::{Read, Target};

/// Memory that a child may have, bytes. It counts what may be written to, so what a sandbox reserves and never uses is
/// not counted.
pub const LIMIT_BYTES: u64 = 1 << 30;
/// The file with the input that is read at the moment.
pub const INPUT: &str = "input";
/// The file with its number.
pub const NUMBER: &str = "number";
/// What begins the line about a panic.
pub const PANIC: &str = "panic: ";

thread_local! {
    /// What the last panic of this thread said.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Reads mutations from number `from` on until it is killed or dies.
pub fn run(target: &Target, folder: &Path, seed: u64, from: u64) -> ExitCode {
    if let Err(error) = limit() {
        eprintln!("error: memory cannot be limited: {error}");
        return ExitCode::from(2);
    }
    keep_what_panics_say();
    let made = (target.make)(folder);
    let (mut corpus, mut read) = match made
        .and_then(|(read, seeds)| Ok((Corpus::new(target.name, target.files, seeds)?, read)))
    {
        Ok(made) => made,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let stream = Rng::new(seed).stream("fuzz").named(target.name);
    for number in from.. {
        let input = match corpus.inputs().get(number as usize) {
            // The seeds themselves come first.
            Some(seed) if number < corpus.inputs().len() as u64 && from == 0 => seed.clone(),
            _ => mutated(corpus.inputs(), target.words, &mut stream.at(&[number])),
        };
        let noted = std::fs::write(folder.join(INPUT), &input)
            .and_then(|()| std::fs::write(folder.join(NUMBER), number.to_string()));
        if let Err(error) = noted {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
        match answer(&mut read, &input) {
            Ok(said) => corpus.learn(&input, &said),
            Err(panic) => {
                // The next input takes the place of this one before the parent has looked.
                if std::fs::write(folder.join(panicked(number)), &input).is_ok() {
                    println!("{PANIC}{number} {panic}");
                }
            }
        }
    }
    ExitCode::SUCCESS
}

/// The file with the input that made a panic.
pub fn panicked(number: u64) -> String {
    format!("panic-{number}")
}

/// What the code says about an input, or what it panicked with.
pub fn answer(read: &mut Read, input: &[u8]) -> Result<String, String> {
    let work = std::panic::AssertUnwindSafe(|| read(input));
    std::panic::catch_unwind(work).map_err(|_| SAID.with_borrow(String::clone))
}

/// Panics are told by whoever catches them, and by nobody else.
fn keep_what_panics_say() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string().replace('\n', " ");
        SAID.with_borrow_mut(|said| *said = text);
    }));
}

/// Reads one file and says what came of it.
pub fn replay(target: &Target, path: &Path) -> ExitCode {
    let outcome = std::fs::read(path).and_then(|input| {
        let folder = tempfile::tempdir()?;
        let (mut read, _) = (target.make)(folder.path())?;
        Ok(read(&input))
    });
    match outcome {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            ExitCode::from(2)
        }
    }
}

#[cfg(unix)]
fn limit() -> std::io::Result<()> {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_DATA, LIMIT_BYTES, LIMIT_BYTES)?;
    Ok(())
}

#[cfg(not(unix))]
fn limit() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
