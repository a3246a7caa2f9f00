//! `r1x plugin test --replay FILE`: one failed call of a run, made again.

use std::path::{Path, PathBuf};

use r1x_core::{RewardOutcome, RewardStatus, shown};
use r1x_reward::{Plugin, Replay};

use super::{built, config};
use crate::args::PluginArgs;
use crate::capability;
use crate::display::{Fields, Page, Table};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::{hosting, relocate};

/// Makes the call again, with the recorded build or another one.
///
/// # Errors
/// When the file or the plugin cannot be read, or the call fails again.
pub fn replay(arguments: &PluginArgs, file: &Path) -> Result<i32, Failure> {
    let replay = Replay::read(file).map_err(|message| {
        Failure::new(code::INPUT, message, "give a file that a run wrote into its failures folder")
    })?;
    let recorded = arguments.plugin == Path::new(".");
    // The file lies beside the store of its run, which may have been started from another folder than this one.
    let kept = relocate::find(&replay.plugin, &relocate::folders(None, file));
    let path = match recorded {
        true => kept.unwrap_or_else(|| PathBuf::from(&replay.plugin)),
        false => arguments.plugin.clone(),
    };
    let source = r1x_build::Source::open(&path)?;
    let component = built(&source)?;
    let plugin = super::load(&hosting::host(1)?, &component.wasm)?;
    let plugin = capability::granted(&plugin, &capability::read(&arguments.grant)?, None)?;
    if plugin.sha256() != replay.sha256 {
        eprintln!("note: this is another build than the one that failed");
    }
    let config = match &arguments.with {
        Some(_) => config(arguments.with.as_deref())?,
        None => replay.config.clone(),
    };
    let mut fields = Fields::default();
    fields.add("reward", &replay.reward);
    fields.add("recorded", format!("{}: {}", replay.status.as_str(), replay.sentence));
    let mut log = Vec::new();
    let scored = plugin.probe(&config, &replay.limits).and_then(|mut probe| {
        let scored = probe.score(&replay.rollouts);
        log = probe.take_log();
        scored
    });
    for line in log {
        // One message is one line, whatever is in it.
        fields.add("log", shown::line(&line.message));
    }
    let mut page = Page::default();
    let outcomes = match scored {
        Ok(outcomes) => outcomes,
        Err(error) => {
            fields.add("now", format!("{}: {}", error.status.as_str(), error.sentence));
            page.fields(fields);
            output::page(Stream::Out, &page);
            return Err(Failure::new(code::REWARD, "it fails again", error.hint));
        }
    };
    page.fields(fields).blank().table(table(&replay, &outcomes));
    output::page(Stream::Out, &page);
    if outcomes.iter().any(|outcome| outcome.status == RewardStatus::Invalid) {
        return Err(Failure::new(
            code::REWARD,
            "it gives scores that break its own declaration",
            "mend the plugin's scores or its `info`",
        ));
    }
    let alone = apart(&plugin, &config, &replay)?;
    match outcomes.iter().zip(&alone).find(|(together, alone)| together != alone) {
        None => Ok(0),
        Some((together, alone)) => Err(Failure::new(
            code::REWARD,
            format!(
                "it gives other scores together than apart: {} and {}",
                value(together),
                value(alone)
            ),
            "a score may depend on its own rollout, and on its group where `info` declares `groups`",
        )),
    }
}

fn table(replay: &Replay, outcomes: &[RewardOutcome]) -> Table {
    let rows: Vec<Vec<String>> = replay
        .rollouts
        .iter()
        .zip(outcomes)
        .map(|(sample, outcome)| {
            vec![
                sample.id.to_string(),
                outcome.value.map_or("-".to_owned(), |value| value.to_string()),
                outcome.status.as_str().to_owned(),
                outcome.info.clone().unwrap_or_default(),
            ]
        })
        .collect();
    Table::of(&["rollout", "value", "status", "info"], &rows).status(&["status"])
}

fn value(outcome: &RewardOutcome) -> String {
    outcome.value.map_or_else(|| outcome.status.as_str().to_owned(), |value| value.to_string())
}

/// The scores of the call's rollouts when each, or each group where the plugin needs that, has a call of its own.
fn apart(plugin: &Plugin, config: &str, replay: &Replay) -> Result<Vec<RewardOutcome>, Failure> {
    let groups = plugin.info().needs.groups;
    let mut outcomes = Vec::new();
    for unit in replay.rollouts.chunk_by(|a, b| groups && a.group == b.group) {
        let scored = plugin.probe(config, &replay.limits).and_then(|mut probe| probe.score(unit));
        outcomes.extend(
            scored.map_err(|error| Failure::new(code::REWARD, error.sentence, error.hint))?,
        );
    }
    Ok(outcomes)
}
