//! `r1x store verify`: whether the store and the checkpoints beside it are what was written.
//!
//! Must not change either of them. The store compares itself; what checkpoints hold is compared here.

use std::collections::BTreeSet;
use std::path::Path;

use r1x_core::CheckpointKind;
use r1x_model::{Expected, checkpoint};
use r1x_store::{CheckpointCard, Depth, Flaw, RunSummary, Store, Verified};

use crate::args::Global;
use crate::display::{Fields, Line, Page, Table, Tone};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::{plans, stores, table};

/// What was compared, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct Compared {
    #[serde(flatten)]
    store: Verified,
    /// Checkpoints whose files were hashed.
    checkpoints: u64,
    /// Checkpoints that are gone because newer ones of their stage were made.
    checkpoints_replaced: u64,
    /// Runs that a program is at work on, whose checkpoints were left alone.
    at_work: Vec<String>,
}

/// Compares the store and its checkpoints with what was written.
///
/// # Errors
/// When the store cannot be read at all; what is wrong with it is none.
pub fn verify(global: &Global, quick: bool, json: bool) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let depth = if quick { Depth::Quick } else { Depth::Whole };
    let verified = store.verify(depth)?;
    let mut compared =
        Compared { store: verified, checkpoints: 0, checkpoints_replaced: 0, at_work: Vec::new() };
    if !quick {
        // A store that cannot list its runs has said so above.
        for run in store.runs().unwrap_or_default() {
            compared.run(&store, &run);
        }
    }
    let code = if compared.store.flaws.is_empty() { 0 } else { code::STORE };
    match json {
        true => output::json(&plans::json(&compared)?),
        false => output::page(Stream::Out, &compared.page(&store)),
    }
    Ok(code)
}

/// What is wrong, as a table.
pub fn flaws(flaws: &[Flaw]) -> Table {
    let row = |flaw: &Flaw| vec![flaw.place.clone(), flaw.what.clone(), flaw.mend.clone()];
    let rows: Vec<Vec<String>> = flaws.iter().map(row).collect();
    Table::of(&["where", "what is wrong", "how to mend it"], &rows)
}

impl Compared {
    fn run(&mut self, store: &Store, run: &RunSummary) {
        if run.status == "running" {
            self.at_work.push(run.name.clone());
            return;
        }
        let cards = match store.checkpoints(&run.name) {
            Ok(cards) => cards,
            Err(error) => {
                let place = format!("run {}, checkpoints", run.name);
                self.store.flaws.push(Flaw { what: error.to_string(), place, mend: error.hint() });
                return;
            }
        };
        let folder = store.run_folder(&run.name);
        if !cards.is_empty() && !folder.exists() {
            let what = "its folder is not there, and so none of its checkpoints".to_owned();
            let mend = "copy it from where the run was made, or remove the run with `r1x rm`";
            let place = folder.display().to_string();
            self.store.flaws.push(Flaw { what, place, mend: mend.to_owned() });
            return;
        }
        let kept = kept(store, &run.name, &cards);
        for (card, is_kept) in cards.iter().zip(kept) {
            let folder = folder.join(&card.path);
            let expected = Expected {
                weights_sha256: Some(&card.sha256),
                state_sha256: card.state_sha256.as_deref(),
                run: Some(&run.uid),
            };
            let what = match (card.exists, is_kept) {
                (false, false) => {
                    self.checkpoints_replaced += 1;
                    continue;
                }
                (false, true) => "the checkpoint is recorded and is not there".to_owned(),
                (true, _) => {
                    self.checkpoints += 1;
                    match checkpoint::intact(&folder, &expected) {
                        Ok(()) => continue,
                        Err(error) => error.to_string(),
                    }
                }
            };
            let mend = format!(
                "copy it from elsewhere, or make it again with `r1x reproduce {}`; what goes on from it takes an \
                 earlier one until then",
                run.name
            );
            let place = folder.display().to_string();
            self.store.flaws.push(Flaw { what, place, mend });
        }
    }

    fn page(&self, store: &Store) -> Page {
        let mut page = Page::default();
        let Verified { runs, digests, hashed, without_hash, texts, plugins, flaws: found } =
            &self.store;
        let count = |number: &u64| table::count(*number);
        let mut fields = Fields::default();
        fields
            .add("store", store.path().display().to_string())
            .add("runs", count(runs))
            .add("digests", format!("{} of finished runs", count(digests)))
            .add("rows", format!("of {} steps and evaluations", count(hashed)))
            .add("texts", format!("{} specs and problems", count(texts)))
            .add("components", count(plugins))
            .add("checkpoints", count(&self.checkpoints));
        page.line("compared with what was written:").fields(fields);
        if *without_hash > 0 {
            page.line(format!(
                "{} steps and evaluations are of an earlier r1x, which hashed no rows: only their own hashes are in the \
                 digest of the run",
                count(without_hash)
            ));
        }
        for run in &self.at_work {
            page.line(format!("a program is at work on run {run}: its checkpoints were not read"));
        }
        match found.len() {
            0 => page.line(Line::of(Tone::Good, "nothing is wrong")),
            wrong => {
                let things = if wrong == 1 { "thing is" } else { "things are" };
                page.blank().table(flaws(found));
                page.blank().line(Line::of(Tone::Bad, format!("{wrong} {things} wrong")))
            }
        };
        page
    }
}

/// Whether each checkpoint is one that stays: all but periodic ones, and of these the newest of their stage.
fn kept(store: &Store, run: &str, cards: &[CheckpointCard]) -> Vec<bool> {
    let plan = store
        .spec(run)
        .ok()
        .and_then(|spec| serde_json::from_str::<serde_json::Value>(&spec.plan_json).ok());
    let keep = plan.as_ref().and_then(|plan| plan.pointer("/checkpoints/keep")?.as_u64());
    let keep = usize::try_from(keep.unwrap_or(1).max(1)).unwrap_or(usize::MAX);
    let is_periodic = |card: &CheckpointCard| card.kind == CheckpointKind::Step.as_str();
    let newer = |card: &CheckpointCard| {
        let of_stage = cards.iter().filter(|other| is_periodic(other) && other.stage == card.stage);
        let recorded = of_stage.map(|other| other.step.cast_unsigned());
        let steps: BTreeSet<u64> =
            recorded.chain(steps_beside(&store.run_folder(run).join(&card.path))).collect();
        steps.range(card.step.cast_unsigned() + 1..).count()
    };
    cards.iter().map(|card| !is_periodic(card) || newer(card) < keep).collect()
}

/// Steps of the periodic checkpoints that lie beside one. A store that lost its newest rows with the power does not know
/// all of them, and older ones were removed for these as well.
fn steps_beside(checkpoint: &Path) -> Vec<u64> {
    let Some(Ok(entries)) = checkpoint.parent().map(std::fs::read_dir) else { return Vec::new() };
    let step =
        |entry: std::fs::DirEntry| CheckpointKind::periodic_step(entry.file_name().to_str()?);
    entries.flatten().filter_map(step).collect()
}
