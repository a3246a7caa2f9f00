//! What the facts of a run say about it: the usual things that go wrong in reinforcement, looked for in the store.
//!
//! Nothing here stops or changes a run. A check is a function over a stage, in the file of its subject, and a row of the table
//! below; `docs/diagnostics.md` says of each what it looks at.

mod evaluations;
mod experts;
mod length;
mod policy;
mod rewards;
mod signal;

use r1x_store::{EventCard, Level, RunCard, StageCard, Store};

use crate::failure::Failure;
use crate::notice::Notice;

/// Something that the facts of a run say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// How grave it is: a warning, or something to know that is as it should be.
    pub level: Level,
    /// What it is, and what to do about it.
    pub notice: Notice,
}

impl Finding {
    /// What it is and what to do about it, in one text.
    pub fn words(&self) -> String {
        format!("{}; {}", self.notice.message, self.notice.hint)
    }
}

type Check = fn(&Looked<'_>) -> Result<Option<Notice>, Failure>;

/// The checks of a stage, each with the level of what it finds.
const CHECKS: [(&str, Level, Check); 12] = [
    ("reward-never", Level::Warn, rewards::never),
    ("reward-constant", Level::Warn, rewards::constant),
    ("rewards-disagree", Level::Warn, rewards::disagree),
    ("unscored", Level::Warn, rewards::unscored),
    ("no-signal", Level::Warn, signal::none),
    ("loss-near-zero", Level::Info, signal::loss),
    ("truncated", Level::Warn, length::truncated),
    ("length-explosion", Level::Warn, length::explosion),
    ("entropy-collapse", Level::Warn, policy::entropy),
    ("far-from-reference", Level::Warn, policy::kl),
    ("sampler-differs", Level::Warn, policy::sampler),
    ("dead-experts", Level::Warn, experts::dead),
];

/// The checks of a whole run.
const OF_RUN: [(&str, Level, fn(&RunCard) -> Option<Notice>); 1] =
    [("fewer-ways", Level::Warn, evaluations::fewer_ways)];

/// The least steps of which a course is made.
const LEAST_STEPS: usize = 10;

/// Everything that the facts of a run say.
///
/// # Errors
/// When the store cannot be read.
pub fn of(store: &Store, card: &RunCard) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for stage in &card.stages {
        let looked = Looked { store, card, stage };
        for (check, level, look) in CHECKS {
            let notice = look(&looked)?;
            findings.extend(notice.map(|notice| Finding { check, level, notice }));
        }
    }
    for (check, level, look) in OF_RUN {
        findings.extend(look(card).map(|notice| Finding { check, level, notice }));
    }
    Ok(findings)
}

/// Adds what the facts say to the events of a run that has not ended well: of one that has, it is written down.
///
/// # Errors
/// When the store cannot be read.
pub fn add(store: &Store, card: &mut RunCard) -> Result<(), Failure> {
    if ["done", "gate missed", "differs", "imported"].contains(&card.run.status.as_str()) {
        return Ok(());
    }
    let ts_ms = card.run.ended_ms.unwrap_or(card.run.started_ms);
    let event = |finding: &Finding| EventCard {
        ts_ms,
        level: finding.level.as_str().to_owned(),
        target: finding.check.to_owned(),
        message: finding.words(),
    };
    let events: Vec<EventCard> = of(store, card)?.iter().map(event).collect();
    card.events.extend(events);
    Ok(())
}

/// A stage of a run that is looked at.
struct Looked<'a> {
    store: &'a Store,
    card: &'a RunCard,
    stage: &'a StageCard,
}

/// The course of a metric through a stage: means over the steps that count for it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Course {
    /// Over the first tenth of the steps.
    first: f64,
    /// Over the last tenth of the steps.
    last: f64,
    /// The smallest value.
    least: f64,
    /// The largest value.
    most: f64,
    /// The mean of the sizes of all values.
    size: f64,
}

impl Course {
    /// The course of some values, of which those that are not finite are left out; none of too few.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        if values.len() < LEAST_STEPS {
            return None;
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let tenth = values.len().div_ceil(10);
        Some(Self {
            first: mean(&values[..tenth]),
            last: mean(&values[values.len() - tenth..]),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            size: values.iter().map(|value| value.abs()).sum::<f64>() / values.len() as f64,
        })
    }
}

impl Looked<'_> {
    /// The course of a metric; none where the stage has no such metric, or too few steps of it.
    fn course(&self, metric: &str) -> Result<Option<Course>, Failure> {
        if !self.metrics().any(|known| known == metric) {
            return Ok(None);
        }
        let curve = self.store.curve(&self.card.run.name, Some(&self.stage.name), metric)?;
        Ok(Course::of(curve.points.into_iter().map(|(_, value)| value)))
    }

    /// Names of the metrics of the newest step.
    fn metrics(&self) -> impl Iterator<Item = &str> {
        let of_stage = |point: &&r1x_store::MetricPoint| point.stage_index == self.stage.index;
        self.card.metrics.iter().filter(of_stage).map(|point| point.metric.as_str())
    }

    /// The first step of the last tenth.
    fn last_tenth(&self) -> u64 {
        let steps = self.stage.steps.cast_unsigned();
        steps - steps.div_ceil(10)
    }

    /// The command that shows what was written at the end.
    fn look(&self) -> String {
        let last = self.stage.steps.cast_unsigned().saturating_sub(1);
        format!("`r1x show {}@{last}.0 --stage {}`", self.card.run.name, self.stage.name)
    }

    /// What stands before every word about the stage.
    fn place(&self) -> String {
        format!("stage `{}`", self.stage.name)
    }
}

/// A share in percent.
fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_begins_and_ends_with_tenths() {
        let values = (0..20).map(f64::from).chain([f64::NAN]);
        let course = Course::of(values).unwrap();
        assert_eq!((course.first, course.last), (0.5, 18.5));
        assert_eq!((course.least, course.most, course.size), (0.0, 19.0, 9.5));
        assert_eq!(Course::of((0..9).map(f64::from)), None);
    }

    #[test]
    fn every_check_is_on_the_page() {
        let page = include_str!("../../../../docs/diagnostics.md");
        let names = CHECKS.iter().map(|check| check.0).chain(OF_RUN.iter().map(|check| check.0));
        for name in names {
            assert!(page.contains(&format!("| `{name}` |")), "{name}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, CHECKS.len() + OF_RUN.len());
    }
}
