//! `r1x lock`: writes down which files a spec reads, by sha256, and says what is another one than before.
//!
//! Must not begin anything: what the files hold is looked at by `check`.

use std::path::Path;

use serde::Serialize;

use crate::args::Global;
use crate::display::{Line, Page, Table, Tone};
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::lock::{Difference, Lock, LockError, brief, differences, find_all, path_of};
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::plans::SpecSource;
use crate::{earlier, plans};

/// What was locked, in the words of `--json`.
#[derive(Debug, Serialize)]
struct Locked<'a> {
    /// The file of the lock.
    lock: String,
    /// Whether it was written, because it says something else than before.
    written: bool,
    /// sha256 of the plan.
    plan: &'a str,
    /// How many inputs there are.
    inputs: usize,
    /// What is another one than before; everything where there was no lock.
    differences: &'a [Difference],
}

/// Locks what a spec reads.
///
/// # Errors
/// When the spec is wrong, an input cannot be read, or the lock is a file of somebody else or of a newer r1x.
pub fn lock(global: &Global, spec: &SpecSource, json: bool) -> Result<i32, Failure> {
    let path = path_of(&spec.path);
    let before = before(&spec.path, &path)?;
    let world = World::with_workers(1)?.with_checkpoints(earlier::finder(global.store()));
    let asked = plans::asked(spec, &world)?;
    let found = find_all(&spec.path, &asked.runs(), &|sha256| world.source(sha256))?;
    let lock = found.lock(&spec.overrides)?;
    let nothing = Lock { inputs: Vec::new(), ..lock.clone() };
    let differences = differences(before.as_ref().unwrap_or(&nothing), &found.inputs)?;
    let written = before.as_ref() != Some(&lock);
    if written {
        let name = spec.path.file_name().unwrap_or_default().to_string_lossy();
        lock.write(&path, &name)?;
    }
    let (plan, inputs) = (lock.plan.as_str(), lock.inputs.len());
    let lock_path = path.display().to_string();
    let locked = Locked { lock: lock_path, written, plan, inputs, differences: &differences };
    match json {
        true => output::json(&plans::json(&locked)?),
        false => output::page(Stream::Out, &locked.page(before.as_ref())),
    }
    Ok(0)
}

/// The lock that is there. One that is damaged is told and replaced; what is no lock is left alone.
fn before(spec: &Path, path: &Path) -> Result<Option<Lock>, Failure> {
    match Lock::read(path) {
        Ok(lock) => Ok(lock),
        Err(error @ LockError::Torn(_)) => {
            Notice::new(error.told(path), "a new one takes its place").say();
            Ok(None)
        }
        Err(error) => Err(Failure::new(code::INPUT, error.told(path), error.hint(spec))),
    }
}

impl Locked<'_> {
    fn page(&self, before: Option<&Lock>) -> Page {
        let mut page = Page::default();
        if !self.differences.is_empty() {
            page.table(self.table(before.is_some())).blank();
        }
        let inputs = match self.inputs {
            1 => "1 input".to_owned(),
            count => format!("{count} inputs"),
        };
        let said = match (self.written, self.differences.is_empty(), before) {
            (false, ..) => format!("  {}: {inputs}, unchanged", self.lock),
            (true, true, Some(_)) => {
                format!(
                    "  {}: {inputs}, unchanged; the spec or what it was locked with is another one",
                    self.lock
                )
            }
            (true, ..) => format!("  {}: {inputs}", self.lock),
        };
        page.line(Line::of(Tone::Good, "locked").and(Tone::Plain, said));
        page
    }

    /// What is another one than before, or all there is.
    fn table(&self, is_again: bool) -> Table {
        let shown = |hash: &Option<String>| hash.as_deref().map_or("-", brief).to_owned();
        let row = |one: &Difference| {
            let mut row = vec![one.key.clone(), one.path.clone()];
            row.extend(is_again.then(|| shown(&one.locked)));
            row.push(shown(&one.found));
            row
        };
        let head: &[&str] = match is_again {
            true => &["input", "path", "was", "is"],
            false => &["input", "path", "sha256"],
        };
        Table::of(head, &self.differences.iter().map(row).collect::<Vec<_>>())
    }
}
