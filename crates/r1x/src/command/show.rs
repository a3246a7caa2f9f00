//! `r1x show`: a run, a step, a group or one rollout, by address RUN[@STEP[.GROUP[.SAMPLE]]].
//!
//! Must not change them.

use std::fmt::Write as _;

use r1x_store::{GroupDetail, RewardCard, RolloutDetail, RunCard, StepCard, Store};

use crate::cli::Global;
use crate::failure::{Failure, code};
use crate::{session, table};

/// What to show.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    run: &'a str,
    numbers: Vec<u64>,
}

fn parse(text: &str) -> Result<Address<'_>, Failure> {
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
    json: bool,
) -> Result<i32, Failure> {
    let Address { run, numbers } = parse(address)?;
    let store = session::reading(global)?;
    let text = text(&store, run, stage, &numbers, json)?;
    print!("{text}");
    Ok(0)
}

fn text(
    store: &Store,
    run: &str,
    stage: Option<&str>,
    numbers: &[u64],
    json: bool,
) -> Result<String, Failure> {
    let or_json = |rendered: String, object: Result<String, Failure>| {
        if json { object.map(|o| o + "\n") } else { Ok(rendered) }
    };
    match *numbers {
        [step] => {
            let card = store.step(run, stage, step)?;
            or_json(step_text(&card), session::json(&card))
        }
        [step, group] => {
            let card = store.group(run, stage, step, group)?;
            or_json(group_text(&card), session::json(&card))
        }
        [step, group, sample] => {
            let card = store.rollout(run, stage, step, group, sample)?;
            or_json(rollout_text(&card), session::json(&card))
        }
        _ => {
            let card = store.run_card(run)?;
            or_json(run_text(&card), session::json(&card))
        }
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

fn run_text(card: &RunCard) -> String {
    let run = &card.run;
    let mut text = format!("{}  {}  seed {}\n", run.name, run.status, run.seed);
    let _ = writeln!(text, "spec    {}", run.spec_path.as_deref().unwrap_or("-"));
    let _ = writeln!(text, "digest  {}", run.digest.as_deref().unwrap_or("-"));
    let environment = &card.environment;
    let _ = writeln!(
        text,
        "build   r1x {} {}  {}",
        environment.r1x_version,
        environment.git_commit.as_deref().unwrap_or(""),
        environment.cpu.as_deref().unwrap_or("")
    );
    if let Some(error) = &run.error {
        let _ = writeln!(text, "error   {error}");
    }
    let stages: Vec<Vec<String>> = card
        .stages
        .iter()
        .map(|s| {
            let seconds = s.ended_ms.map(|end| (end - s.started_ms) as f64 / 1e3);
            vec![
                s.name.clone(),
                s.kind.clone(),
                s.status.clone(),
                s.steps.to_string(),
                s.rollouts.to_string(),
                seconds.map_or("-".to_owned(), table::seconds),
            ]
        })
        .collect();
    let header = ["stage", "kind", "status", "steps", "rollouts", "time"];
    let _ = write!(text, "\n{}", table::render(&header, &stages));
    if !card.evals.is_empty() {
        let _ = write!(text, "\n{}", evals(card));
    }
    if !card.plugins.is_empty() {
        let rows: Vec<Vec<String>> = card
            .plugins
            .iter()
            .map(|p| {
                let hash = p.sha256.chars().take(12).collect();
                vec![
                    p.reward.clone(),
                    p.plugin.clone(),
                    p.version.clone(),
                    p.weight.to_string(),
                    hash,
                ]
            })
            .collect();
        let header = ["reward", "plugin", "version", "weight", "sha256"];
        let _ = write!(text, "\n{}", table::render(&header, &rows));
    }
    for event in &card.events {
        let _ = writeln!(text, "{} {}: {}", event.level, event.target, event.message);
    }
    text
}

fn evals(card: &RunCard) -> String {
    let rows: Vec<Vec<String>> = card
        .evals
        .iter()
        .map(|e| {
            vec![
                e.suite.clone(),
                e.stage.clone(),
                e.step.to_string(),
                e.metric.clone(),
                number(e.value),
                number(e.stderr),
                e.n_items.to_string(),
            ]
        })
        .collect();
    table::render(&["suite", "after", "step", "metric", "value", "stderr", "items"], &rows)
}

fn step_text(card: &StepCard) -> String {
    let mut text = format!("{}  {} step {}\n", card.run, card.stage, card.step);
    let metrics: Vec<Vec<String>> =
        card.metrics.iter().map(|m| vec![m.name.clone(), format!("{:.6}", m.value)]).collect();
    let _ = write!(text, "\n{}", table::render(&["metric", "value"], &metrics));
    if card.groups.is_empty() {
        return text;
    }
    let groups: Vec<Vec<String>> = card
        .groups
        .iter()
        .map(|g| {
            vec![
                g.group.to_string(),
                number(g.mean),
                number(g.lowest),
                number(g.highest),
                format!("{:.1}", g.mean_tokens),
                if g.zero_signal { "no signal" } else { "" }.to_owned(),
                g.prompt.clone(),
            ]
        })
        .collect();
    let header = ["group", "mean", "lowest", "highest", "tokens", "", "prompt"];
    let _ = write!(text, "\n{}", table::render(&header, &groups));
    text
}

fn group_text(card: &GroupDetail) -> String {
    let mut text =
        format!("{}  {} step {} group {}\n", card.run, card.stage, card.step, card.group.group);
    let _ = writeln!(text, "prompt  {}", card.group.prompt);
    let _ = writeln!(text, "gold    {}\n", card.group.gold.as_deref().unwrap_or("-"));
    let rows: Vec<Vec<String>> = card
        .samples
        .iter()
        .map(|r| {
            vec![
                r.sample.to_string(),
                number(r.reward),
                number(r.advantage),
                r.tokens.to_string(),
                r.finish.clone(),
                r.text.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header = ["sample", "reward", "advantage", "tokens", "finish", "completion"];
    text.push_str(&table::render(&header, &rows));
    text
}

fn rollout_text(card: &RolloutDetail) -> String {
    let mut text = format!(
        "{}  {} step {} group {} sample {}\n",
        card.run, card.stage, card.step, card.group, card.sample
    );
    if let Some(data) = card.data.as_deref().filter(|data| !data.is_empty()) {
        let _ = writeln!(text, "data        {data}");
    }
    let _ = writeln!(text, "prompt      {}", card.prompt);
    let _ = writeln!(text, "gold        {}", card.gold.as_deref().unwrap_or("-"));
    let _ = writeln!(text, "completion  {}", card.text.as_deref().unwrap_or("(not recorded)"));
    let _ = writeln!(text, "finish      {} after {} tokens", card.finish, card.n_tokens);
    let _ = writeln!(text, "reward      {}{}", number(card.reward), cut_from(card));
    let _ = writeln!(text, "advantage   {}\n", number(card.advantage));
    text.push_str(&rewards(card));
    if let (Some(tokens), Some(logprobs)) = (&card.tokens, &card.logprobs) {
        let mean =
            logprobs.iter().map(|l| f64::from(*l)).sum::<f64>() / logprobs.len().max(1) as f64;
        let lowest = logprobs.iter().copied().fold(0.0f32, f32::min);
        let _ = writeln!(
            text,
            "\n{} tokens, log-prob {:.4} a token on average, {lowest:.4} at the least likely",
            tokens.len(),
            mean
        );
    }
    text
}

/// What the total was before its bounds, when they changed it.
fn cut_from(card: &RolloutDetail) -> String {
    if card.unclipped == card.reward {
        return String::new();
    }
    format!(" (clipped from {})", number(card.unclipped))
}

/// What each reward said and what became of it; columns for gates and comparisons only where there are any.
fn rewards(card: &RolloutDetail) -> String {
    let gated = card.rewards.iter().any(|r| r.gate.is_some());
    let compared = card.rewards.iter().any(|r| r.normalized.is_some());
    let mut header = vec!["reward", "value"];
    header.extend(gated.then_some("gate"));
    header.extend(["counted", "weight", "adds"]);
    header.extend(compared.then_some("normalized"));
    header.extend(["status", "parts", "info"]);
    let row = |r: &RewardCard| {
        let parts: Vec<String> = r.parts.iter().map(|(name, v)| format!("{name} {v}")).collect();
        let mut row = vec![r.name.clone(), number(r.value)];
        row.extend(gated.then(|| r.gate.clone().unwrap_or_else(|| "-".to_owned())));
        let weight = r.weight.map_or("-".to_owned(), |w| w.to_string());
        row.extend([number(r.counted), weight, number(r.contribution)]);
        row.extend(compared.then(|| number(r.normalized)));
        row.extend([r.status.clone(), parts.join(", "), r.info.clone().unwrap_or_default()]);
        row
    };
    let rows: Vec<Vec<String>> = card.rewards.iter().map(row).collect();
    table::render(&header, &rows)
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
