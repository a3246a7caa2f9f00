//! `r1x import`: rollouts that another system has written, as a run of the store.
//!
//! The files are read twice. The first reading checks every row and changes nothing, so a mistake is found before there
//! is a run; the second one records the run step by step, and holds no more than one step. `survey` and `record` are the
//! two; a file beside them reads the rows of one system.

mod gather;
mod record;
mod row;
mod survey;
mod tokens;
mod trl;
mod verifiers;
mod verl;

use std::path::PathBuf;

use r1x_store::Store;

use crate::args::Global;
use crate::display::{Fields, Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::imported::{Provenance, SourceReward};
use crate::output::{self, Stream};
use crate::{imported, plans, stores, table};

use gather::Gatherer;
use record::Recorded;
use row::{Found, Mistake};
use survey::Survey;
use tokens::Counter;

/// Whose rollouts are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Whose {
    /// The tables of completions of TRL's trainers, as Parquet or as JSON lines.
    Trl,
    /// The files in the `rollout_data_dir` of verl, as JSON lines.
    Verl,
    /// The results and traces of verifiers and prime-rl, as JSON lines.
    #[value(alias = "prime-rl")]
    Verifiers,
}

impl Whose {
    /// How the files of the system are read.
    fn format(self) -> &'static Format {
        match self {
            Self::Trl => &trl::FORMAT,
            Self::Verl => &verl::FORMAT,
            Self::Verifiers => &verifiers::FORMAT,
        }
    }
}

/// How the files of one system are read.
struct Format {
    /// The word for the system.
    word: &'static str,
    /// What its files are.
    about: &'static str,
    /// The column of the right answers, unless another one is named.
    answer: &'static str,
    /// Reads a row; `answer` is the column of the right answers.
    read: fn(row: &r1x_tasks::dataset::rows::FileRow, answer: &str) -> Result<Found, Mistake>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Whose files they are.
    pub from: Whose,
    /// What the run is called; by the word for the system where nothing is said.
    pub name: Option<String>,
    /// The columns that are rewards; every column of numbers where none is named.
    pub rewards: Vec<String>,
    /// Weights in the total, by column.
    pub weights: Vec<(String, f64)>,
    /// The column of the right answers.
    pub answer: Option<String>,
    /// The folder of a tokenizer that counts tokens.
    pub tokenizer: Option<PathBuf>,
    /// Whether one JSON object tells what was imported.
    pub json: bool,
}

impl Ask {
    fn format(&self) -> &'static Format {
        self.from.format()
    }

    /// The column of the right answers.
    fn answer(&self) -> &str {
        self.answer.as_deref().unwrap_or(self.format().answer)
    }
}

/// What was imported, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct Done<'a> {
    run: &'a str,
    uid: &'a str,
    from: &'a str,
    files: &'a [imported::SourceFile],
    rewards: &'a [SourceReward],
    #[serde(flatten)]
    recorded: &'a Recorded,
}

/// Reads the files, and records them as one run.
///
/// # Errors
/// When a file cannot be read or has a row that is none, the rows do not fit together, they were imported under the name
/// before, or the store cannot be written; then nothing of them is in the store.
pub fn import(global: &Global, ask: &Ask) -> Result<i32, Failure> {
    let counter = ask.tokenizer.as_deref().map(Counter::open).transpose()?;
    let survey = Survey::of(ask)?;
    let rewards = survey.rewards(ask)?;
    let provenance = Provenance {
        name: ask.name.clone().unwrap_or_else(|| ask.format().word.to_owned()),
        imported: imported::Source {
            from: ask.format().word.to_owned(),
            files: survey.files.iter().map(survey::Surveyed::source).collect(),
            rewards,
            answer: ask.answer().to_owned(),
            tokenizer: counter.as_ref().map(|counter| counter.sha256.clone()),
        },
        record: r1x_core::plan::RecordPlan { text: true, tokens: false, logprobs: false },
    };
    let plan_json = plans::json(&provenance)?;
    let store = stores::store(global.store())?;
    refuse_twice(&store, &plan_json)?;
    let mut writer = store.begin_run(record::start(ask, &survey, &provenance, plan_json))?;
    let (run, uid) = (writer.name().to_owned(), writer.uid().to_owned());
    let recorded = record::record(ask, &survey, &provenance, counter.as_ref(), &mut writer);
    drop(writer);
    let recorded = recorded.inspect_err(|_| record::remove(&store, &run))?;
    let source = &provenance.imported;
    if ask.json {
        output::json(&plans::json(&Done {
            run: &run,
            uid: &uid,
            from: &source.from,
            files: &source.files,
            rewards: &source.rewards,
            recorded: &recorded,
        })?);
        return Ok(0);
    }
    output::page(Stream::Out, &page(ask, &run, &provenance, &recorded));
    Ok(0)
}

/// Reads the files as an import does, and records nothing.
///
/// # Errors
/// When a file cannot be read or has a row that is none, or the rows do not fit together.
pub fn read(ask: &Ask) -> Result<(), Failure> {
    let survey = Survey::of(ask)?;
    let rewards = survey.rewards(ask)?;
    let mut gatherer = Gatherer::new(&rewards, &ask.weights, None);
    record::each_step(ask, &survey, &mut gatherer, |_| Ok(()))
}

/// Refuses what was imported before: equal files, read in an equal way under an equal name.
fn refuse_twice(store: &Store, plan_json: &str) -> Result<(), Failure> {
    let sha256 = r1x_core::digest::sha256(plan_json.as_bytes());
    let is_it = |run: &&r1x_store::RunSummary| {
        run.plan_sha256 == sha256 && run.status == r1x_store::RunStatus::Imported.as_str()
    };
    match store.runs()?.iter().find(is_it) {
        None => Ok(()),
        Some(run) => Err(Failure::new(
            code::INPUT,
            format!("these files were imported under this name before: run {}", run.name),
            format!(
                "look at it with `r1x show {0}`, remove it with `r1x rm {0}`, or say another `--name`",
                run.name
            ),
        )),
    }
}

/// What was imported, as a page.
fn page(ask: &Ask, run: &str, of: &Provenance, recorded: &Recorded) -> Page {
    let mut page = Page::default();
    page.line(Line::of(Tone::Strong, run).and(Tone::Plain, "  imported"));
    let source = &of.imported;
    let files = source.files.len();
    let weighted = |reward: &SourceReward| format!("{} (weight {})", reward.name, reward.weight);
    let rewards: Vec<String> = source.rewards.iter().map(weighted).collect();
    let steps = match recorded.span {
        Some((first, last)) if first < last => format!(", from {first} to {last}"),
        Some((only, _)) => format!(": {only}"),
        None => String::new(),
    };
    let mut fields = Fields::default();
    fields
        .add("from", format!("{}, files: {files}", ask.format().about))
        .add("steps", format!("{}{steps}", table::count(recorded.steps)))
        .add("groups", table::count(recorded.groups))
        .add("rollouts", table::count(recorded.rollouts))
        .add("rewards", if rewards.is_empty() { "-".to_owned() } else { rewards.join(", ") })
        .add("tokens", recorded.tokens.words());
    page.fields(fields);
    for note in &recorded.notes {
        page.line(Line::of(Tone::Warn, "note: ").and(Tone::Plain, note));
    }
    page.blank().line(format!("next: r1x show {run}"));
    page
}
