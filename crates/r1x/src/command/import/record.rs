//! The second reading of imported files: every rollout goes into the store, step by step, on the path of a run.

use r1x_core::{Recorder as _, StageFacts, StepFacts};
use r1x_store::{
    Advantages, DatasetInput, Environment, Level, RunStart, RunStatus, RunWriter, StoodOn, Store,
};
use r1x_tasks::dataset::rows::each_row;

use super::Ask;
use super::gather::Gatherer;
use super::survey::{Survey, Surveyed, rollout};
use super::tokens::{Counter, Known};
use crate::environment;
use crate::failure::{Failure, code};
use crate::imported::Provenance;

/// The stage that has the rollouts, and the word for its kind.
const STAGE: (&str, &str) = ("rollouts", "imported");
/// The part of r1x that the events of an import come from.
const TARGET: &str = "import";

/// What was recorded.
#[derive(Debug, serde::Serialize)]
pub struct Recorded {
    /// Steps.
    pub steps: u64,
    /// The first and the last step.
    #[serde(skip)]
    pub span: Option<(u64, u64)>,
    /// Groups.
    pub groups: u64,
    /// Rollouts.
    pub rollouts: u64,
    /// Whence the numbers of tokens are.
    pub tokens: Known,
    /// What was left out, in sentences.
    pub notes: Vec<String>,
}

/// How the run begins. It was computed elsewhere, so of this machine nothing is said but which r1x has read the files.
pub fn start(ask: &Ask, survey: &Survey, of: &Provenance, plan_json: String) -> RunStart {
    let here = environment::current("", 1);
    let data = |file: &Surveyed| DatasetInput {
        id: file.source().name,
        split: of.imported.from.clone(),
        sha256: file.sha256.clone(),
        rows: file.rows,
        source: file.name.clone(),
    };
    RunStart {
        name: of.name.clone(),
        seed: 0,
        spec_path: None,
        spec_text: format!(
            "# There is no spec: r1x import has read {}.\n",
            ask.from.format().about
        ),
        overrides: Vec::new(),
        plan_sha256: r1x_core::digest::sha256(plan_json.as_bytes()),
        plan_json,
        environment: Environment {
            r1x_version: here.r1x_version,
            git_commit: here.git_commit,
            git_dirty: here.git_dirty,
            ..Environment::default()
        },
        datasets: survey.files.iter().map(data).collect(),
        plugins: Vec::new(),
        parent: None,
        member: None,
        folder: None,
    }
}

/// Records every rollout, and ends the run.
///
/// # Errors
/// When a file is not what it was when it was read first, or the store cannot be written.
pub fn record(
    ask: &Ask,
    survey: &Survey,
    of: &Provenance,
    counter: Option<&Counter>,
    writer: &mut RunWriter,
) -> Result<Recorded, Failure> {
    let (id, kind) = STAGE;
    writer.set_advantages(Advantages::WhereKnown);
    writer.stage_started(&StageFacts { index: 0, id: id.to_owned(), kind, start_step: 0 })?;
    let mut gatherer = Gatherer::new(&of.imported.rewards, &ask.weights, counter);
    each_step(ask, survey, &mut gatherer, |step| Ok(writer.step(step)?))?;
    let seen = gatherer.seen();
    let notes = seen.notes(counter);
    for note in &notes {
        writer.event(Level::Info, TARGET, note)?;
    }
    let digest = writer.digest()?;
    writer.finish(RunStatus::Imported, 0, None, Some(&digest))?;
    Ok(Recorded {
        steps: seen.steps,
        span: seen.span,
        groups: seen.groups,
        rollouts: seen.rollouts,
        tokens: seen.tokens(counter),
        notes,
    })
}

/// Reads the files again, and hands over every step when it is whole.
///
/// # Errors
/// When a file is not what it was when it was read first, or a step is not taken.
pub fn each_step(
    ask: &Ask,
    survey: &Survey,
    gatherer: &mut Gatherer<'_>,
    mut take: impl FnMut(StepFacts) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for file in &survey.files {
        let sha256 = each_row(&file.name, file.format, |row| {
            let found = rollout(&row, &file.name, ask.format(), ask.answer())?;
            let place = || format!("{}:{}", file.name, row.number());
            match gatherer.add(file.step_of(&found), found, place)? {
                Some(step) => take(step),
                None => Ok(()),
            }
        })?;
        if sha256 != file.sha256 {
            let message = format!("{} has changed while it was read", file.name);
            let hint = "import it once nobody writes to it";
            return Err(Failure::new(code::INPUT, message, hint));
        }
    }
    gatherer.whole().map_or(Ok(()), take)
}

/// Takes back what was recorded of a run whose import has failed. What cannot be removed is left as a run that has crashed.
pub fn remove(store: &Store, run: &str) {
    let removed = store
        .removal(&[run.to_owned()])
        .and_then(|runs| store.remove_runs(&runs, StoodOn::Refused));
    if let Err(error) = removed {
        eprintln!("warning: a part of run {run} stays, which `r1x rm {run}` removes: {error}");
    }
}
