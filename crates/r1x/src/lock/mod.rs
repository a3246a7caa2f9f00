//! The lock of a spec: what the spec reads (models, tokenizers, templates, data, plugins, judges, specs that it extends),
//! each by sha256, in a file beside it.
//!
//! A spec says where its inputs are, and a lock which ones are meant. The hash is what counts: a path that changes and leads
//! to equal bytes is no difference. Values of the spec are not locked, because a spec is what a person edits.

mod compare;
mod file;
mod find;

use std::path::{Path, PathBuf};

use r1x_spec::Asked;

use crate::failure::{Failure, Told, code};
use crate::inputs::World;
use crate::notice::Notice;

pub use compare::{Difference, brief, differences};
pub use file::{Lock, LockError};
pub use find::find_all;

/// What a lock is for the command at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// A difference is told.
    Told,
    /// A difference is refused, and so is a spec without a lock.
    Required,
}

/// What became of the comparison with a lock.
#[derive(Debug)]
pub enum Verdict {
    /// There is no lock.
    NoLock,
    /// Every input is the locked one.
    Unchanged {
        /// How many there are.
        inputs: usize,
        /// Whether the plan is the locked one too.
        plan: Agreement,
    },
    /// Something is not as it was locked.
    Stale(Notice),
}

/// Whether the plan is the one that was locked; it may not be, because the spec or `--set` says something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It is.
    Locked,
    /// It is another one.
    Other,
}

impl Verdict {
    /// What a person should know, where something is not as it was locked.
    pub fn notice(&self) -> Option<&Notice> {
        match self {
            Self::Stale(notice) => Some(notice),
            Self::NoLock | Self::Unchanged { .. } => None,
        }
    }
}

/// The lock of a spec that a command is about to read.
pub struct Guard<'s> {
    spec: &'s Path,
    path: PathBuf,
    locking: Locking,
    lock: Result<Option<Lock>, LockError>,
}

/// Where the lock of a spec is: beside it, under its whole name with `.lock` behind it.
pub fn path_of(spec: &Path) -> PathBuf {
    let mut name = spec.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// How to make a lock say what is there.
fn mend(spec: &Path, overrides: &[String]) -> String {
    let same = if overrides.is_empty() { "" } else { ", with the same `--set`," };
    format!("`r1x lock {}`{same} records what is there now", spec.display())
}

impl<'s> Guard<'s> {
    /// Reads the lock of a spec.
    ///
    /// # Errors
    /// Where a lock is required: when there is none, and when it cannot be read.
    pub fn open(spec: &'s Path, locking: Locking) -> Result<Self, Failure> {
        let path = path_of(spec);
        let lock = Lock::read(&path);
        if locking == Locking::Required {
            match &lock {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let message =
                        format!("{} has no lock: there is no {}", spec.display(), path.display());
                    return Err(Failure::new(code::INPUT, message, mend(spec, &[])));
                }
                Err(error) => {
                    let hint = error.hint(spec);
                    return Err(Failure::new(code::INPUT, error.told(&path), hint));
                }
            }
        }
        Ok(Self { spec, path, locking, lock })
    }

    /// Compares the lock with what the spec reads, in whichever of its runs.
    ///
    /// # Errors
    /// Where a lock is required: every difference, and when an input cannot be read again.
    pub fn compare(
        self,
        asked: &Asked,
        overrides: &[String],
        world: &World,
    ) -> Result<Verdict, Failure> {
        let lock = match self.lock {
            Ok(None) => return Ok(Verdict::NoLock),
            Ok(Some(lock)) => lock,
            Err(error) => {
                let hint = error.hint(self.spec);
                return Ok(Verdict::Stale(Notice::new(error.told(&self.path), hint)));
            }
        };
        let compared =
            find_all(self.spec, &asked.runs(), &|sha256| world.source(sha256)).and_then(|found| {
                Ok((differences(&lock.read_in(&found.inputs), &found.inputs)?, found))
            });
        let (differences, found) = match (compared, self.locking) {
            (Ok(compared), _) => compared,
            (Err(failure), Locking::Required) => return Err(failure),
            (Err(failure), Locking::Told) => {
                let why = match failure.told {
                    Told::Here { message, .. } => message,
                    Told::Already => "an input cannot be read".to_owned(),
                };
                let message = format!("{} was compared with nothing: {why}", self.path.display());
                return Ok(Verdict::Stale(Notice::new(message, "look at that file")));
            }
        };
        let mut hint = mend(self.spec, overrides);
        if lock.set != overrides && !lock.set.is_empty() {
            hint.push_str(&format!("; it was locked with --set {}", lock.set.join(" --set ")));
        }
        match (differences.as_slice(), self.locking) {
            ([], _) => {
                let plan =
                    if lock.plan == found.plan { Agreement::Locked } else { Agreement::Other };
                Ok(Verdict::Unchanged { inputs: found.inputs.len(), plan })
            }
            (differences, Locking::Required) => Err(refused(&self.path, differences, &hint)),
            ([first, others @ ..], Locking::Told) => {
                let more = match others.len() {
                    0 => String::new(),
                    count => format!("; and {count} more"),
                };
                let message = format!("{} is stale: {first}{more}", self.path.display());
                Ok(Verdict::Stale(Notice::new(message, hint)))
            }
        }
    }
}

/// Every difference as an error, the last with what to do.
fn refused(path: &Path, differences: &[Difference], hint: &str) -> Failure {
    let last = differences.len().saturating_sub(1);
    Failure::all(differences.iter().enumerate().map(|(at, difference)| Failure {
        code: code::INPUT,
        told: Told::Here {
            message: format!("{}: {difference}", path.display()),
            hint: (at == last).then(|| hint.to_owned()),
        },
    }))
}
