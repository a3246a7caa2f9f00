//! A plugin outside a run: one configured instance, asked by hand.
//!
//! For trying, measuring and testing plugins. Nothing is retried or narrowed down here: what happens is what is
//! told.

use r1x_core::plan::{LimitsPlan, OnFailure};
use r1x_core::{RewardOutcome, RewardStatus};

use crate::contract::{LogLine, PluginInfo, Question};
use crate::guest::{Failure, Instance};
use crate::host::Plugin;
use crate::outcome;
use crate::replay::Sample;

/// Why a call gave no scores.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct ProbeError {
    /// What it counts as.
    pub status: RewardStatus,
    /// What happened, in words.
    pub sentence: String,
    /// How to mend it.
    pub hint: &'static str,
    /// Whether the plugin itself said no, rather than broke.
    pub refused: bool,
}

impl From<Failure> for ProbeError {
    fn from(failure: Failure) -> Self {
        Self {
            status: failure.status(),
            sentence: failure.sentence(),
            hint: failure.hint(),
            refused: matches!(failure, Failure::Refused(_)),
        }
    }
}

/// A running, configured instance of a plugin.
pub struct Probe<'a> {
    plugin: &'a Plugin,
    instance: Instance<'a>,
}

impl Plugin {
    /// Starts an instance and configures it.
    ///
    /// # Errors
    /// When it does not start, or refuses its configuration.
    pub fn probe(&self, config_json: &str, limits: &LimitsPlan) -> Result<Probe<'_>, ProbeError> {
        let mut instance = self.start(limits)?;
        instance.configure(config_json, 1)?;
        Ok(Probe { plugin: self, instance })
    }
}

impl Probe<'_> {
    /// One call. Scores that break a rule are outcomes with the status `invalid`.
    ///
    /// # Errors
    /// When the call gives no scores.
    pub fn score(&mut self, batch: &[Sample]) -> Result<Vec<RewardOutcome>, ProbeError> {
        let questions: Vec<Question<'_>> = batch.iter().map(Sample::question).collect();
        let answers = self.instance.score(&questions, 1)?;
        let info = self.plugin.info();
        let judged = answers.into_iter().map(|a| outcome::judge(info, a, OnFailure::Mask));
        Ok(judged.collect())
    }

    /// What the plugin says about itself in the state it is in.
    ///
    /// # Errors
    /// When the call fails.
    pub fn info(&mut self) -> Result<PluginInfo, ProbeError> {
        Ok(self.instance.info()?)
    }

    /// Units of work of the last call, where limits count them.
    pub fn fuel_used(&self) -> Option<u64> {
        self.instance.fuel_used()
    }

    /// The most linear memory the instance ever had, bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.instance.memory_used() as u64
    }

    /// What it wrote since this was last asked.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.instance.take_log().lines
    }
}
