//! What every reward plugin must keep, whatever it rewards: a suite that runs on any of them.
//!
//! A plugin that passes gives the same scores whatever batch, order, instance or thread its rollouts come in, and
//! none of the completions here breaks it.

use std::collections::BTreeSet;
use std::time::Instant;

use r1x_core::plan::LimitsPlan;
use r1x_core::{RewardOutcome, RewardStatus};
use serde_json::{Map, Value};

use crate::guest::deadline;
use crate::host::Plugin;
use crate::outcome::{excerpt, same, shown};
use crate::probe::{Probe, ProbeError};
use crate::replay::Sample;

/// Calls after which memory must have stopped growing, and calls after which it is looked at again.
const WARM_UP_CALLS: usize = 20;
const GROWTH_CALLS: usize = 100;
/// What an allocator or a garbage collector may still take by then, bytes.
const GROWTH_BYTES: u64 = 1 << 20;
/// Sizes of the calls in which completions stand several times: with one alone, a wrong number of scores cannot be
/// told from a right one.
const SEVERAL: [usize; 3] = [2, 3, 8];
/// A long completion, bytes.
const LONG_BYTES: usize = 64 << 10;
/// A completion nobody expects, bytes.
const HUGE_BYTES: usize = 1 << 20;

/// How one rule of the suite ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept.
    Passed,
    /// It is broken, and how.
    Failed(String),
    /// It does not apply, and why.
    Skipped(String),
}

/// One rule with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// How it ended.
    pub verdict: Verdict,
}

/// What the suite works with.
struct Suite<'a> {
    plugin: &'a Plugin,
    config: &'a str,
    limits: &'a LimitsPlan,
    samples: &'a [Sample],
}

type Rule = fn(&Suite<'_>) -> Result<Verdict, ProbeError>;

/// Every rule; a new one is one more row.
const RULES: &[(&str, Rule)] = &[
    ("info is the same before and after work", info_is_pure),
    ("an empty batch has no scores", empty_batch),
    ("the same batch twice, the same scores", twice),
    ("a fresh and a used instance agree", fresh_and_used),
    ("a score for each of several rollouts", several),
    ("one by one, as in a batch", one_by_one),
    ("shuffled, as in order", shuffled),
    ("in two halves, as in one", split),
    ("rewards are finite and in range, parts declared", valid),
    ("no completion breaks it", adversarial),
    ("a missing column is told, not a crash", missing_columns),
    ("64 kB are judged in time", long_completion),
    ("memory does not grow over 100 calls", growth),
];

/// Runs the suite on samples the plugin can judge. Without samples, most rules do not apply.
pub fn conformance(
    plugin: &Plugin,
    config_json: &str,
    limits: &LimitsPlan,
    samples: &[Sample],
) -> Vec<Finding> {
    let suite = Suite { plugin, config: config_json, limits, samples };
    let judged = |(rule, check): &(&'static str, Rule)| {
        let verdict = match check(&suite) {
            Ok(verdict) => verdict,
            Err(error) => Verdict::Failed(error.sentence),
        };
        Finding { rule, verdict }
    };
    RULES.iter().map(judged).collect()
}

impl Suite<'_> {
    fn probe(&self) -> Result<Probe<'_>, ProbeError> {
        self.plugin.probe(self.config, self.limits)
    }

    fn whole(&self) -> Result<Vec<RewardOutcome>, ProbeError> {
        self.probe()?.score(self.samples)
    }

    fn needs_groups(&self) -> bool {
        self.plugin.info().needs.groups
    }

    /// Ranges that may not be split.
    fn units(&self) -> Vec<Vec<Sample>> {
        if !self.needs_groups() {
            return self.samples.iter().map(|sample| vec![sample.clone()]).collect();
        }
        self.samples.chunk_by(|a, b| a.group == b.group).map(<[Sample]>::to_vec).collect()
    }

    fn no_samples(&self) -> Option<Verdict> {
        self.samples
            .is_empty()
            .then(|| Verdict::Skipped("there are no samples to judge".to_owned()))
    }
}

fn info_is_pure(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    let told = suite.plugin.info();
    let mut probe = suite.probe()?;
    let configured = probe.info()?;
    probe.score(suite.samples)?;
    let after = probe.info()?;
    if configured != *told {
        return Ok(Verdict::Failed("info changes with `configure`".to_owned()));
    }
    if after != *told {
        return Ok(Verdict::Failed("info changes with `score-batch`".to_owned()));
    }
    Ok(Verdict::Passed)
}

fn empty_batch(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    suite.probe()?.score(&[])?;
    Ok(Verdict::Passed)
}

fn twice(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    if let Some(skipped) = suite.no_samples() {
        return Ok(skipped);
    }
    let first = suite.whole()?;
    Ok(compare(suite, &first, &suite.whole()?))
}

fn fresh_and_used(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    if let Some(skipped) = suite.no_samples() {
        return Ok(skipped);
    }
    let fresh = suite.whole()?;
    let mut probe = suite.probe()?;
    probe.score(suite.samples)?;
    Ok(compare(suite, &fresh, &probe.score(suite.samples)?))
}

fn several(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    if let Some(skipped) = suite.no_samples() {
        return Ok(skipped);
    }
    let units = suite.units();
    for count in SEVERAL {
        let cycled: Vec<&Vec<Sample>> = units.iter().cycle().take(count).collect();
        let mut alone = Vec::new();
        for unit in &cycled {
            alone.extend(suite.probe()?.score(&regrouped((*unit).clone()))?);
        }
        // Copies stand side by side here, and each answers a prompt of its own.
        let together: Vec<Sample> =
            (0u32..).zip(&cycled).flat_map(|(group, unit)| in_group(unit, group)).collect();
        let found = suite.probe()?.score(&together)?;
        let different = alone.iter().zip(&found).position(|(a, b)| !same(a, b));
        if let Some(at) = different {
            return Ok(Verdict::Failed(format!(
                "{}: {} alone, {} among {count}",
                excerpt(&together[at].completion),
                shown(&alone[at]),
                shown(&found[at])
            )));
        }
    }
    Ok(Verdict::Passed)
}

fn in_group(samples: &[Sample], group: u32) -> Vec<Sample> {
    samples.iter().map(|sample| Sample { group, ..sample.clone() }).collect()
}

fn one_by_one(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    if let Some(skipped) = suite.no_samples() {
        return Ok(skipped);
    }
    let mut singles = Vec::new();
    for unit in suite.units() {
        singles.extend(suite.probe()?.score(&regrouped(unit))?);
    }
    Ok(compare(suite, &suite.whole()?, &singles))
}

fn shuffled(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    let units = suite.units();
    if units.len() < 2 {
        return Ok(Verdict::Skipped("there is only one sample or group".to_owned()));
    }
    // Every other one, then the rest backwards: an order in which most neighbours are new.
    let even = (0..units.len()).step_by(2);
    let odd = (1..units.len()).step_by(2).rev();
    let order: Vec<usize> = even.chain(odd).collect();
    let batch: Vec<Sample> = order.iter().flat_map(|&unit| units[unit].clone()).collect();
    let scored = suite.probe()?.score(&regrouped(batch))?;
    let mut by_unit = vec![Vec::new(); units.len()];
    let mut scored = scored.into_iter();
    for unit in order {
        by_unit[unit].extend(scored.by_ref().take(units[unit].len()));
    }
    let restored: Vec<RewardOutcome> = by_unit.into_iter().flatten().collect();
    Ok(compare(suite, &suite.whole()?, &restored))
}

fn split(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    let units = suite.units();
    if units.len() < 2 {
        return Ok(Verdict::Skipped("there is only one sample or group".to_owned()));
    }
    let (first, second) = units.split_at(units.len() / 2);
    let mut scored = suite.probe()?.score(&regrouped(first.concat()))?;
    scored.extend(suite.probe()?.score(&regrouped(second.concat()))?);
    Ok(compare(suite, &suite.whole()?, &scored))
}

fn valid(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    if let Some(skipped) = suite.no_samples() {
        return Ok(skipped);
    }
    let outcomes = suite.whole()?;
    let broken = outcomes.iter().position(|outcome| outcome.status == RewardStatus::Invalid);
    Ok(broken.map_or(Verdict::Passed, |at| {
        let reason = outcomes[at].info.as_deref().unwrap_or_default();
        Verdict::Failed(format!("{}: {reason}", excerpt(&suite.samples[at].completion)))
    }))
}

fn adversarial(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    let Some(model) = suite.samples.first() else {
        return Ok(Verdict::Skipped("there are no samples to judge".to_owned()));
    };
    for (kind, completion) in adversaries() {
        let sample = Sample { completion, ..model.clone() };
        // The limits of a plan hold here as well, so a completion cannot hang the suite.
        let reason = match suite.probe()?.score(std::slice::from_ref(&sample)) {
            Err(error) => Some(error.sentence),
            Ok(outcomes) => outcomes
                .into_iter()
                .find(|outcome| outcome.status == RewardStatus::Invalid)
                .map(|outcome| outcome.info.unwrap_or_default()),
        };
        if let Some(reason) = reason {
            return Ok(Verdict::Failed(format!("{kind}: {reason}")));
        }
    }
    Ok(Verdict::Passed)
}

fn adversaries() -> Vec<(&'static str, String)> {
    vec![
        ("an empty completion", String::new()),
        ("a completion of 1 MB", "word ".repeat(HUGE_BYTES / 5)),
        ("NUL characters", "<answer>\0 1 + 2 \0</answer>".to_owned()),
        (
            "noncharacters and a byte-order mark",
            "\u{feff}<answer>\u{fffd}\u{ffff}\u{10ffff}</answer>".to_owned(),
        ),
        ("unclosed tags", "<think>a<answer>1<think><answer>2".to_owned()),
        ("closing tags only", "</answer></think></answer>".to_owned()),
        ("a thousand answers", "<answer>1</answer>".repeat(1_000)),
        (
            "10 000 nested parentheses",
            format!("<answer>{}1{}</answer>", "(".repeat(10_000), ")".repeat(10_000)),
        ),
        ("a number of 5 000 digits", format!("<answer>{}</answer>", "9".repeat(5_000))),
        ("towers of powers", "<answer>9**9**9**9 \\boxed{9^{9^{9^{9}}}}</answer>".to_owned()),
        ("unclosed braces", format!("\\boxed{}", "{\\frac".repeat(2_000))),
        ("right-to-left text", "<answer>\u{202e}\u{661}\u{662} \u{5d0}\u{5d1}</answer>".to_owned()),
        ("combining characters", format!("<answer>e{}</answer>", "\u{301}".repeat(2_000))),
        ("spaces only", " \t\r\n\u{2003}".repeat(500)),
    ]
}

fn missing_columns(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    let required: BTreeSet<&str> = suite.plugin.info().columns.iter().map(String::as_str).collect();
    let Some(sample) = suite.samples.first().filter(|_| !required.is_empty()) else {
        return Ok(Verdict::Skipped("it asks for no columns, or there are no samples".to_owned()));
    };
    let columns: Map<String, Value> = serde_json::from_str(&sample.columns).unwrap_or_default();
    for name in required {
        let mut fewer = columns.clone();
        fewer.shift_remove(name);
        let sample = Sample { columns: Value::Object(fewer).to_string(), ..sample.clone() };
        if let Err(error) = suite.probe()?.score(&[sample])
            && !error.refused
        {
            return Ok(Verdict::Failed(format!("without the column `{name}`: {}", error.sentence)));
        }
    }
    Ok(Verdict::Passed)
}

fn long_completion(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    let Some(model) = suite.samples.first() else {
        return Ok(Verdict::Skipped("there are no samples to judge".to_owned()));
    };
    // Its own completion many times over is what its own patterns match most often.
    let unit = if model.completion.is_empty() { "word " } else { model.completion.as_str() };
    let completion = unit.repeat(LONG_BYTES.div_ceil(unit.len()));
    let sample = Sample { completion, ..model.clone() };
    let mut probe = suite.probe()?;
    let began = Instant::now();
    probe.score(&[sample])?;
    let took = began.elapsed();
    let allowed = deadline(suite.limits, 1);
    if took > allowed {
        return Ok(Verdict::Failed(format!(
            "took {} ms, and {} ms are allowed",
            took.as_millis(),
            allowed.as_millis()
        )));
    }
    Ok(Verdict::Passed)
}

fn growth(suite: &Suite<'_>) -> Result<Verdict, ProbeError> {
    let mut probe = suite.probe()?;
    for _ in 0..WARM_UP_CALLS {
        probe.score(suite.samples)?;
    }
    let before = probe.memory_bytes();
    for _ in 0..GROWTH_CALLS {
        probe.score(suite.samples)?;
    }
    let grown = probe.memory_bytes().saturating_sub(before);
    if grown > GROWTH_BYTES {
        return Ok(Verdict::Failed(format!(
            "{} KiB more after {GROWTH_CALLS} calls: it keeps what it has seen",
            grown >> 10
        )));
    }
    Ok(Verdict::Passed)
}

/// Groups counted from 0, as in a call of their own.
fn regrouped(mut batch: Vec<Sample>) -> Vec<Sample> {
    let mut last = None;
    let mut next = 0;
    for sample in &mut batch {
        if last.is_some_and(|group| group != sample.group) {
            next += 1;
        }
        last = Some(sample.group);
        sample.group = next;
    }
    batch
}

/// Equal to the bit, explanations included.
fn compare(suite: &Suite<'_>, expected: &[RewardOutcome], found: &[RewardOutcome]) -> Verdict {
    let different = expected.iter().zip(found).position(|(a, b)| !same(a, b));
    different.map_or(Verdict::Passed, |at| {
        Verdict::Failed(format!(
            "{}: {} before, {} now",
            excerpt(&suite.samples[at].completion),
            shown(&expected[at]),
            shown(&found[at])
        ))
    })
}
