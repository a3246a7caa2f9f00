//! `r1x plugin test`: a plugin's own cases, then the suite every plugin passes.

use std::path::Path;

use r1x_build::{Case, Expectation};
use r1x_core::plan::LimitsPlan;
use r1x_core::{RewardOutcome, RewardStatus};
use r1x_reward::{Plugin, Sample, Verdict, conformance};
use serde_json::{Map, Value};

use super::{Opened, config, granted};
use crate::args::PluginArgs;
use crate::display::{Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};

/// Most completions that the suite judges.
const SUITE_SAMPLES: usize = 64;

/// Runs cases and suite; any failure is exit code 5.
///
/// # Errors
/// When the plugin cannot be tried at all.
pub fn test(arguments: &PluginArgs, cases: Option<&Path>) -> Result<i32, Failure> {
    let given = config(arguments.with.as_deref())?;
    let mut opened = granted(arguments)?;
    if let Some(path) = cases {
        let text = r1x_files::read_text(path, r1x_files::AMPLE)
            .map_err(|error| Failure::io(path, &error))?;
        let read = Case::parse_lines(path, &text).map_err(r1x_build::BuildError::from)?;
        opened.source.manifest.tests.extend(read);
    }
    let limits = opened.limits();
    let mut page = Page::default();
    let mut failed = run_cases(&mut page, &opened, &given, &limits);
    let (samples, usable) = samples(&opened, &given);
    let findings = conformance(&opened.plugin, &suite_config(&opened, &given), &limits, &samples);
    let of = if samples.len() < usable { format!(" of {usable}") } else { String::new() };
    page.blank().line(format!("conformance, with {}{of} samples", samples.len()));
    for finding in &findings {
        match &finding.verdict {
            Verdict::Passed => {
                page.line(verdict(Tone::Good, "ok").and(Tone::Plain, finding.rule));
            }
            Verdict::Skipped(reason) => {
                let said = format!("{}: {reason}", finding.rule);
                page.line(verdict(Tone::Warn, "skip").and(Tone::Plain, said));
            }
            Verdict::Failed(reason) => {
                failed += 1;
                page.line(verdict(Tone::Bad, "FAIL").and(Tone::Plain, finding.rule));
                told(&mut page, "        ", "        | ", reason);
            }
        }
    }
    let info = opened.plugin.info();
    if failed == 0 {
        let said = format!("  {} {}", info.name, info.version);
        page.blank().line(Line::of(Tone::Good, "ok").and(Tone::Plain, said));
    }
    output::page(Stream::Out, &page);
    if failed == 0 {
        return Ok(0);
    }
    Err(Failure::new(
        code::GATE,
        format!("{} {}: {failed} failed", info.name, info.version),
        "each line above that begins with FAIL says what was expected and what came",
    ))
}

/// A reason, of which a plugin may have written all but the beginning: its further lines are marked, so that none of
/// them looks like another reason.
fn told(page: &mut Page, lead: &'static str, marked: &'static str, reason: &str) {
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    page.text(lead, first);
    if !rest.is_empty() {
        page.text(marked, rest);
    }
}

/// The word at the beginning of a rule's line.
fn verdict(tone: Tone, word: &str) -> Line {
    Line::of(Tone::Plain, "  ").and(tone, word).and(Tone::Plain, " ".repeat(6 - word.len()))
}

/// Tries every case and returns how many fail.
fn run_cases(page: &mut Page, opened: &Opened, given: &str, limits: &LimitsPlan) -> usize {
    let cases = &opened.source.manifest.tests;
    if cases.is_empty() {
        let place = opened.source.where_cases_go();
        page.line(format!("no cases, so little can be tried: {place}, or give --cases"));
        return 0;
    }
    let mut failed = 0;
    for case in cases {
        if let Err(reasons) = run_case(&opened.plugin, case, given, limits) {
            failed += 1;
            let said = format!("  line {}: {}", case.line, title(case));
            page.line(Line::of(Tone::Bad, "FAIL").and(Tone::Plain, said));
            for reason in reasons {
                told(page, "      ", "      | ", &reason);
            }
        }
    }
    page.line(format!("{} of {} cases pass", cases.len() - failed, cases.len()));
    failed
}

fn title(case: &Case) -> String {
    case.name.clone().unwrap_or_else(|| {
        let start: String = case.completion.chars().take(60).collect();
        let more = if start.len() < case.completion.len() { "…" } else { "" };
        format!("`{}{more}`", start.escape_debug())
    })
}

/// The configuration of the command line, with the case's own keys over it.
fn case_config(case: &Case, given: &str) -> String {
    let mut config: Map<String, Value> = serde_json::from_str(given).unwrap_or_default();
    config.extend(case.config.clone());
    Value::Object(config).to_string()
}

fn sample(case: &Case) -> Sample {
    let columns = case.columns_json();
    Sample {
        prompt: case.prompt.clone(),
        truncated: case.truncated,
        ..Sample::new(case.completion.clone(), columns)
    }
}

fn run_case(
    plugin: &Plugin,
    case: &Case,
    given: &str,
    limits: &LimitsPlan,
) -> Result<(), Vec<String>> {
    // Twice in one call, as answers to two prompts: a reward that returns one score whatever it is given is
    // right about one completion.
    let twice = [sample(case), Sample { id: 1, group: 1, ..sample(case) }];
    let scored =
        plugin.probe(&case_config(case, given), limits).and_then(|mut probe| probe.score(&twice));
    let expected = &case.expected;
    match (&expected.error, scored) {
        (Some(words), Err(error)) if error.sentence.contains(words) => Ok(()),
        (Some(words), Err(error)) => {
            Err(vec![format!("expected an error with `{words}`, got: {}", error.sentence)])
        }
        (Some(words), Ok(outcomes)) => {
            Err(vec![format!("expected an error with `{words}`, got {}", shown(&outcomes[0]))])
        }
        (None, Err(error)) => {
            Err(vec![format!("expected {}, got: {}", wanted(expected), error.sentence)])
        }
        (None, Ok(outcomes)) => {
            let differences = outcomes.iter().map(|outcome| differences(expected, outcome));
            match differences.into_iter().find(|found| !found.is_empty()) {
                None => Ok(()),
                Some(found) => Err(found),
            }
        }
    }
}

fn wanted(expected: &Expectation) -> String {
    expected.reward.map_or_else(|| "abstain".to_owned(), |reward| reward.to_string())
}

fn shown(outcome: &RewardOutcome) -> String {
    let value = outcome.value.map_or_else(|| outcome.status.as_str().to_owned(), |v| v.to_string());
    match &outcome.info {
        Some(info) => format!("{value} ({info})"),
        None => value,
    }
}

fn differences(expected: &Expectation, outcome: &RewardOutcome) -> Vec<String> {
    let mut found = Vec::new();
    let as_wanted = match expected.reward {
        Some(reward) => outcome.value == Some(reward),
        None => outcome.status == RewardStatus::Abstain,
    };
    if !as_wanted {
        found.push(format!("expected {}, got {}", wanted(expected), shown(outcome)));
    }
    for (name, value) in &expected.parts {
        let part = outcome.parts.iter().find(|(known, _)| known == name).map(|(_, v)| *v);
        if part != Some(*value) {
            let part = part.map_or("none".to_owned(), |part| part.to_string());
            found.push(format!("part `{name}`: expected {value}, got {part}"));
        }
    }
    if let Some(info) = &expected.info
        && outcome.info.as_ref() != Some(info)
    {
        let got = outcome.info.as_deref().unwrap_or("none");
        found.push(format!("info: expected `{info}`, got `{got}`"));
    }
    found
}

/// The suite runs with one configuration: that of the first case that expects no error.
fn suite_config(opened: &Opened, given: &str) -> String {
    let cases = &opened.source.manifest.tests;
    let usable = cases.iter().find(|case| case.expected.error.is_none());
    usable.map_or_else(|| given.to_owned(), |case| case_config(case, given))
}

/// What the suite judges: completions of the cases that share that configuration, and how many there are of them.
///
/// Its rules judge whole batches dozens of times, so a long table is judged by cases spread over it: every case was
/// tried by itself already.
fn samples(opened: &Opened, given: &str) -> (Vec<Sample>, usize) {
    let config = suite_config(opened, given);
    let cases = opened.source.manifest.tests.iter();
    let usable: Vec<&Case> = cases
        .filter(|case| case.expected.error.is_none() && case_config(case, given) == config)
        .collect();
    let numbered = spread(&usable, SUITE_SAMPLES).zip(0u32..).map(|(case, index)| Sample {
        id: u64::from(index),
        group: index,
        ..sample(case)
    });
    (numbered.collect(), usable.len())
}

/// At most so many items, at even distances.
fn spread<'a, T>(items: &'a [&T], limit: usize) -> impl Iterator<Item = &'a T> {
    let kept = items.len().min(limit);
    (0..kept).map(move |index| items[index * items.len() / kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(value: Option<f64>, status: RewardStatus) -> RewardOutcome {
        let parts = vec![("a".to_owned(), 1.0)];
        RewardOutcome { value, status, parts, info: Some("why".to_owned()) }
    }

    #[test]
    fn a_long_table_is_judged_by_cases_spread_over_it() {
        let items: Vec<&u32> = [0, 1, 2, 3, 4, 5, 6].iter().collect();
        let spread = |limit| spread(&items, limit).copied().collect::<Vec<_>>();
        assert_eq!(spread(3), [0, 2, 4]);
        assert_eq!(spread(7), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(spread(64), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(super::spread::<u32>(&[], 64).count(), 0);
    }

    #[test]
    fn every_difference_is_told() {
        let expected = Expectation {
            reward: Some(1.0),
            parts: [("a".to_owned(), 0.5), ("b".to_owned(), 1.0)].into(),
            info: Some("because".to_owned()),
            ..Expectation::default()
        };
        let found = differences(&expected, &outcome(Some(0.0), RewardStatus::Ok));
        assert_eq!(
            found,
            [
                "expected 1, got 0 (why)",
                "part `a`: expected 0.5, got 1",
                "part `b`: expected 1, got none",
                "info: expected `because`, got `why`",
            ]
        );
        let abstains = Expectation { abstain: true, ..Expectation::default() };
        assert!(differences(&abstains, &outcome(None, RewardStatus::Abstain)).is_empty());
        let found = differences(&abstains, &outcome(Some(0.0), RewardStatus::Ok));
        assert_eq!(found, ["expected abstain, got 0 (why)"]);
    }
}
