//! `r1x show`: a run, a step, a group or one rollout, by address RUN[@STEP[.GROUP[.SAMPLE]]].
//!
//! Must not change them.

mod rollout;

use r1x_store::{GroupDetail, RunCard, RunSummary, StepCard};

use crate::args::Global;
use crate::display::{Fields, Line, Page, Table, Tone};
use crate::failure::{Failure, code};
use crate::number::{number, optional};
use crate::output::{self, Stream};
use crate::{diagnosis, plans, stores, table};

/// What to show.
#[derive(Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The run.
    pub run: &'a str,
    /// Step, group and sample, as far as they are named.
    pub numbers: Vec<u64>,
}

/// How far down a rollout is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What it said and earned.
    Rollout,
    /// A row for each token as well.
    Tokens,
}

/// Reads an address.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str) -> Result<Address<'_>, Failure> {
    let wrong = || {
        Failure::new(
            code::INPUT,
            format!("`{text}` is not an address"),
            "write RUN, RUN@STEP, RUN@STEP.GROUP or RUN@STEP.GROUP.SAMPLE, for example latest@120.3.5",
        )
    };
    let Some((run, rest)) = text.split_once('@') else {
        return Ok(Address { run: text, numbers: Vec::new() });
    };
    let numbers: Result<Vec<u64>, _> = rest.split('.').map(str::parse).collect();
    match numbers {
        Ok(numbers) if numbers.len() <= 3 => {
            Ok(Address { run: if run.is_empty() { "latest" } else { run }, numbers })
        }
        _ => Err(wrong()),
    }
}

/// Shows what an address names.
///
/// # Errors
/// When there is no such thing.
pub fn show(
    global: &Global,
    address: &str,
    stage: Option<&str>,
    depth: Depth,
    json: bool,
) -> Result<i32, Failure> {
    let Address { run, numbers } = parse(address)?;
    if depth == Depth::Tokens && numbers.len() < 3 {
        return Err(Failure::new(
            code::INPUT,
            format!("`{address}` is not one rollout, and `--tokens` lists those of one"),
            "write RUN@STEP.GROUP.SAMPLE, for example latest@120.3.5",
        ));
    }
    if let (Some(stage), []) = (stage, numbers.as_slice()) {
        let message = format!("`{address}` is a run, and no step of its stage `{stage}`");
        let hint = "write RUN@STEP, for example latest@120; of a whole run every stage is shown";
        return Err(Failure::new(code::INPUT, message, hint));
    }
    let store = stores::reading(global.store())?;
    match numbers[..] {
        [step] => print(&store.step(run, stage, step)?, step_page, json)?,
        [step, group] => print(&store.group(run, stage, step, group)?, group_page, json)?,
        [step, group, sample] => {
            let card = store.rollout(run, stage, step, group, sample)?;
            match json {
                true => output::json(&plans::json(&card)?),
                false => output::page(Stream::Out, &rollout::page(&store, &card, depth)),
            }
        }
        _ => {
            let mut card = store.run_card(run)?;
            diagnosis::add(&store, &mut card)?;
            print(&card, run_page, json)?;
        }
    }
    Ok(0)
}

/// Prints a card for people or for programs.
fn print<T: serde::Serialize>(card: &T, page: fn(&T) -> Page, json: bool) -> Result<(), Failure> {
    match json {
        true => output::json(&plans::json(card)?),
        false => output::page(Stream::Out, &page(card)),
    }
    Ok(())
}

/// What is known of a run as a whole.
fn about(card: &RunCard) -> Fields {
    let run = &card.run;
    let environment = &card.environment;
    let mut fields = Fields::default();
    fields
        .add("spec", run.spec_path.as_deref().unwrap_or("-"))
        .add("set", listed(&run.overrides, "  "))
        .add("tags", listed(&run.tags, ", "))
        .add("time", time(run))
        .add("digest", run.digest.as_deref().unwrap_or("-"))
        .add(
            "build",
            format!(
                "r1x {} {}  {}",
                environment.r1x_version,
                environment.git_commit.as_deref().unwrap_or(""),
                environment.cpu.as_deref().unwrap_or("")
            ),
        );
    if let (Some(parent), Some(relation)) = (&run.parent, &run.relation) {
        fields.add("from", format!("{relation} of {parent}"));
    }
    if let Some(sweep) = &run.sweep {
        fields.add("sweep", sweep);
    }
    if let Some(note) = &run.note {
        fields.add("note", note);
    }
    if let Some(error) = &run.error {
        fields.add("error", error);
    }
    fields
}

fn run_page(card: &RunCard) -> Page {
    let run = &card.run;
    let mut page = Page::default();
    page.line(
        Line::of(Tone::Strong, &run.name)
            .and(Tone::Plain, "  ")
            .and(Tone::of_status(&run.status), &run.status)
            .and(Tone::Plain, format!("  seed {}", run.seed)),
    );
    page.fields(about(card));
    let stages: Vec<Vec<String>> = card
        .stages
        .iter()
        .map(|s| {
            vec![
                s.name.clone(),
                s.kind.clone(),
                s.status.clone(),
                s.steps.to_string(),
                s.rollouts.to_string(),
                table::seconds(s.worked_ms as f64 / 1e3),
            ]
        })
        .collect();
    let header = ["stage", "kind", "status", "steps", "rollouts", "time"];
    page.blank().table(Table::of(&header, &stages).whole(&["stage"]).status(&["status"]));
    for stage in &card.stages {
        if let Some(from) = &stage.reused_from {
            page.line(format!("{} was taken over from run {from}", stage.name));
        }
    }
    if !card.evals.is_empty() {
        page.blank().table(evals(card));
    }
    if !card.plugins.is_empty() {
        let rows: Vec<Vec<String>> = card
            .plugins
            .iter()
            .map(|p| {
                let hash = p.sha256.chars().take(12).collect();
                vec![p.reward.clone(), p.plugin.clone(), p.version.clone(), number(p.weight), hash]
            })
            .collect();
        let header = ["reward", "plugin", "version", "weight", "sha256"];
        page.blank().table(Table::of(&header, &rows).whole(&["reward", "sha256"]));
    }
    for event in &card.events {
        page.line(format!("{} {}: {}", event.level, event.target, event.message));
    }
    page
}

/// Words in a row, or that there are none.
fn listed(words: &[String], between: &str) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(between) }
}

/// How long somebody worked on a run, and how often.
fn time(run: &RunSummary) -> String {
    let worked = table::seconds(run.seconds);
    match run.sittings {
        0 | 1 => worked,
        many => format!("{worked} in {many} sittings; pauses do not count"),
    }
}

fn evals(card: &RunCard) -> Table {
    let rows: Vec<Vec<String>> = card
        .evals
        .iter()
        .map(|e| {
            vec![
                e.suite.clone(),
                e.stage.clone(),
                e.step.to_string(),
                e.metric.clone(),
                optional(e.value),
                optional(e.stderr),
                e.n_items.to_string(),
            ]
        })
        .collect();
    Table::of(&["suite", "after", "steps", "metric", "value", "stderr", "items"], &rows)
}

/// A step of a run as a page.
pub fn step_page(card: &StepCard) -> Page {
    let mut page = Page::default();
    page.line(format!("{}  {} step {}", card.run, card.stage, card.step));
    let metrics: Vec<Vec<String>> =
        card.metrics.iter().map(|m| vec![m.name.clone(), number(m.value)]).collect();
    page.blank().table(Table::of(&["metric", "value"], &metrics));
    if card.groups.is_empty() {
        return page;
    }
    let groups: Vec<Vec<String>> = card
        .groups
        .iter()
        .map(|g| {
            vec![
                g.group.to_string(),
                optional(g.mean),
                optional(g.lowest),
                optional(g.highest),
                number(g.mean_tokens),
                if g.zero_signal { "no signal" } else { "" }.to_owned(),
                g.prompt.clone(),
            ]
        })
        .collect();
    let header = ["group", "mean", "lowest", "highest", "tokens", "", "prompt"];
    page.blank().table(Table::of(&header, &groups));
    page
}

/// One group on a page.
pub fn group_page(card: &GroupDetail) -> Page {
    let mut page = Page::default();
    let step = format!("{} step {} group {}", card.stage, card.step, card.group.group);
    page.line(format!("{}  {step}", card.run));
    let mut fields = Fields::default();
    fields.add("prompt", &card.group.prompt).add("gold", card.group.gold.as_deref().unwrap_or("-"));
    page.fields(fields).blank();
    let rows: Vec<Vec<String>> = card
        .samples
        .iter()
        .map(|r| {
            vec![
                r.sample.to_string(),
                optional(r.reward),
                optional(r.advantage),
                r.tokens.to_string(),
                r.finish.clone(),
                r.text.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["sample", "reward", "advantage", "tokens", "finish", "completion"];
    page.table(Table::of(&header, &rows).whole(&["finish"]));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let numbers = |text: &'static str| parse(text).map(|a| (a.run, a.numbers)).ok();
        assert_eq!(numbers("otter"), Some(("otter", vec![])));
        assert_eq!(numbers("otter@12.3.4"), Some(("otter", vec![12, 3, 4])));
        assert_eq!(numbers("@7"), Some(("latest", vec![7])));
        assert_eq!(numbers("otter@x"), None);
        assert_eq!(numbers("otter@1.2.3.4"), None);
    }
}
