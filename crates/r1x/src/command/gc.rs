//! `r1x gc`: remove what rollouts of older steps said, as far as nobody keeps it.
//!
//! What is kept is said by the spec of a run (`record.retention`) or on the command line. Rollouts, rewards, advantages and
//! metrics stay in any case.

use r1x_core::plan::{RetentionPlan, StepsKept};
use r1x_store::{Garbage, PayloadField, Store};

use crate::args::Global;
use crate::command::rm::{self, Consent};
use crate::display::{Page, Table};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::{plans, stores, table};

/// What is kept of runs, said on the command line.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The fields of which older steps lose theirs.
    pub fields: Vec<PayloadField>,
    /// The steps that keep them.
    pub steps: StepsKept,
}

/// What `r1x gc` does with texts, tokens and log-probs that nobody keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// They are listed, and stay.
    Shown,
    /// They are removed, once a person agrees or has agreed.
    Removed(Consent),
}

/// What was found, and what became of it, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct Done {
    garbage: Vec<Garbage>,
    /// Whether it was removed.
    removed: bool,
    /// Bytes by which the file of the store became shorter; none where nothing was removed, or somebody else has it open.
    store_bytes: Option<u64>,
}

/// Removes what is not kept.
///
/// # Errors
/// When one of the runs is not there, or nobody agrees; then everything stays.
pub fn gc(
    global: &Global,
    references: &[String],
    kept: Option<&Kept>,
    ending: Ending,
    json: bool,
) -> Result<i32, Failure> {
    let store = match ending {
        Ending::Shown => stores::reading(global.store())?,
        Ending::Removed(_) => stores::existing(global.store())?,
    };
    let runs = policies(&store, references, kept)?;
    let mut garbage = Vec::new();
    for (run, retention) in &runs {
        garbage.extend(store.garbage(run, retention)?);
    }
    let bytes: u64 = garbage.iter().map(|of| of.bytes).sum();
    let removes = match ending {
        Ending::Removed(consent) if !garbage.is_empty() => {
            if consent == Consent::Asked {
                let lines: Vec<String> = garbage.iter().map(line).collect();
                rm::agree(&lines, "say `--yes`, or `--dry-run` to look")?;
            }
            true
        }
        _ => false,
    };
    let mut store_bytes = None;
    if removes {
        for (run, retention) in &runs {
            store.collect(run, retention)?;
        }
        let path = store.path().to_owned();
        drop(store);
        store_bytes = rm::shortened(&path);
    }
    if json {
        output::json(&plans::json(&Done { garbage, removed: removes, store_bytes })?);
        return Ok(0);
    }
    if garbage.is_empty() {
        println!("{}", nothing(&runs, kept));
        return Ok(0);
    }
    output::page(Stream::Out, &page(&garbage));
    match (removes, store_bytes) {
        (false, _) => println!("{} would be removed", table::bytes(bytes)),
        (true, None | Some(0)) => println!("removed {}, which later runs use", table::bytes(bytes)),
        (true, Some(shorter)) => println!(
            "removed {}; the file of the store is {} shorter",
            table::bytes(bytes),
            table::bytes(shorter)
        ),
    }
    Ok(0)
}

/// The runs that are looked at, with what is kept of each: those that are named, or all whose spec says that something may
/// go.
fn policies(
    store: &Store,
    references: &[String],
    kept: Option<&Kept>,
) -> Result<Vec<(String, RetentionPlan)>, Failure> {
    let named: Vec<String> = match references {
        [] => store.runs()?.into_iter().map(|run| run.name).collect(),
        references => references
            .iter()
            .map(|reference| Ok(store.run(reference)?.name))
            .collect::<Result<_, Failure>>()?,
    };
    let mut policies = Vec::new();
    for run in named {
        let retention = match kept {
            Some(kept) => kept.retention(),
            None => recorded(store, &run)?,
        };
        if !retention.is_forever() {
            policies.push((run, retention));
        }
    }
    Ok(policies)
}

impl Kept {
    fn retention(&self) -> RetentionPlan {
        let of = |field| self.fields.contains(&field).then_some(self.steps);
        RetentionPlan {
            text: of(PayloadField::Text),
            tokens: of(PayloadField::Tokens),
            logprobs: of(PayloadField::Logprobs),
        }
    }
}

/// What the spec of a run keeps. Plans of other versions of r1x, which cannot be read as a whole, may say it too.
fn recorded(store: &Store, run: &str) -> Result<RetentionPlan, Failure> {
    #[derive(serde::Deserialize)]
    struct Part {
        #[serde(default)]
        retention: RetentionPlan,
    }
    let part: Option<Part> = serde_json::from_str(&store.spec(run)?.plan_json).ok();
    Ok(part.map(|part| part.retention).unwrap_or_default())
}

/// What goes of a stage, as it is asked about.
fn line(of: &Garbage) -> String {
    let (steps, bytes) = (table::count(of.steps), table::bytes(of.bytes));
    format!("{} {}: {} of {steps} steps, {bytes}", of.run, of.stage, of.field.name())
}

fn page(garbage: &[Garbage]) -> Page {
    let row = |of: &Garbage| {
        let (steps, bytes) = (table::count(of.steps), table::bytes(of.bytes));
        vec![of.run.clone(), of.stage.clone(), of.field.name().to_owned(), steps, bytes]
    };
    let rows: Vec<Vec<String>> = garbage.iter().map(row).collect();
    let mut page = Page::default();
    page.table(Table::of(&["run", "stage", "what", "steps", "size"], &rows).whole(&["run"]));
    page
}

/// Why nothing goes.
fn nothing(runs: &[(String, RetentionPlan)], kept: Option<&Kept>) -> &'static str {
    match (runs, kept) {
        ([], None) => {
            "nothing to remove: no spec of these runs has `record: {retention: ...}`, and `--field` was not given"
        }
        _ => "nothing to remove: all that these runs have is kept",
    }
}
