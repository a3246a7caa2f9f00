//! Whether two runs recorded the same fact, and in what they differ first.
//!
//! Facts are compared in the order in which they arise (what was asked, what was written, what rewards said of it, what
//! followed from that), so that the first difference is a cause and not an effect. Numbers are compared bit for bit.

use std::fmt;

use super::facts::{
    EvaluationFact, GroupFact, RewardFact, RolloutFact, SampleFact, StepFact, Wrote,
};
use crate::error::StoreError;
use crate::run_resume::StagePoint;
use crate::store::Store;

/// Two runs of one store, by their numbers in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPair {
    /// The earlier one.
    pub was: i64,
    /// The one that repeats it.
    pub is: i64,
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Compared {
    /// Everything that is recorded is equal.
    Equal,
    /// The fact is not recorded in one of the two runs.
    Missing,
    /// The first difference.
    Differs(Box<Difference>),
}

/// The first difference of two facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Id of the stage; the label of an evaluation before the first stage is `start`.
    pub stage: String,
    /// The step of a stage, from 0. Of evaluations, weights and checkpoints it is how many steps are done; none at the
    /// end of a stage.
    pub step: Option<u64>,
    /// The suite, when it is an evaluation that differs.
    pub suite: Option<String>,
    /// Position of the group in the step, or of the problem in the suite.
    pub group: Option<u64>,
    /// Position of the rollout in the group, or of the sample of the problem.
    pub sample: Option<u64>,
    /// Position of the token in the completion (or the prompt, where that differs).
    pub token: Option<u64>,
    /// What differs, in words.
    pub quantity: String,
    /// The recorded value, with all its digits.
    pub was: String,
    /// The value now.
    pub is: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, step, suite, group, sample, token, quantity, was, is } = self;
        match (suite, step) {
            (Some(suite), Some(0)) => write!(f, "suite `{suite}` at `{stage}`")?,
            (Some(suite), Some(step)) => {
                write!(f, "suite `{suite}` after {step} steps of `{stage}`")?;
            }
            (_, Some(step)) => write!(f, "step {step} of stage `{stage}`")?,
            (_, None) if stage.is_empty() => f.write_str("the whole run")?,
            (_, None) => write!(f, "the end of stage `{stage}`")?,
        }
        let (one, of) = if suite.is_some() { ("problem", "sample") } else { ("group", "rollout") };
        match (group, sample) {
            (Some(group), Some(sample)) => write!(f, ", {of} {group}.{sample}")?,
            (Some(group), None) => write!(f, ", {one} {group}")?,
            _ => {}
        }
        if let Some(token) = token {
            write!(f, ", token {token}")?;
        }
        write!(f, ": {quantity} was {was}, is {is}")
    }
}

/// A value as it is compared and shown.
trait Same {
    fn same(&self, other: &Self) -> bool;
    fn shown(&self) -> String;
}

/// Numbers whose digits do not tell them apart (a NaN from another) are shown with their bits.
macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Same for $number {
            fn same(&self, other: &Self) -> bool {
                self.to_bits() == other.to_bits()
            }
            fn shown(&self) -> String {
                if self.is_nan() { format!("NaN (bits {:x})", self.to_bits()) } else { format!("{self:?}") }
            }
        }
    )*};
}

macro_rules! words {
    ($($word:ty),*) => {$(
        impl Same for $word {
            fn same(&self, other: &Self) -> bool {
                self == other
            }
            fn shown(&self) -> String {
                format!("{self:?}")
            }
        }
    )*};
}

numbers!(f32, f64);
words!(u32, u64, i64, usize, bool, String);

impl<T: Same> Same for Option<T> {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Some(one), Some(other)) => one.same(other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "nothing".to_owned(), T::shown)
    }
}

type Found = Result<(), Box<Difference>>;

impl Difference {
    /// This place, in another group or at another problem.
    fn group(&self, group: u64) -> Self {
        Self { group: Some(group), ..self.clone() }
    }

    fn sample(&self, group: u64, sample: u64) -> Self {
        Self { sample: Some(sample), ..self.group(group) }
    }

    /// An error when two values differ here.
    fn same<T: Same>(&self, quantity: &str, was: &T, is: &T) -> Found {
        if was.same(is) {
            return Ok(());
        }
        let quantity = quantity.to_owned();
        Err(Box::new(Self { quantity, was: was.shown(), is: is.shown(), ..self.clone() }))
    }

    /// An error at the first token where two lists differ. A list that is not recorded in one run only differs as a
    /// whole.
    fn same_list<T: Same + Copy>(
        &self,
        quantity: &str,
        was: Option<&Vec<T>>,
        is: Option<&Vec<T>>,
    ) -> Found {
        let (Some(was), Some(is)) = (was, is) else {
            let count = |list: Option<&Vec<T>>| list.map(Vec::len);
            return self.same(
                &format!("the number of recorded values ({quantity})"),
                &count(was),
                &count(is),
            );
        };
        for token in 0..was.len().max(is.len()) {
            let here = Self { token: Some(token as u64), ..self.clone() };
            here.same(quantity, &was.get(token).copied(), &is.get(token).copied())?;
        }
        Ok(())
    }

    fn wrote(&self, was: &Wrote, is: &Wrote) -> Found {
        self.same_list("the token", was.tokens.as_ref(), is.tokens.as_ref())?;
        self.same_list("the log-prob", was.logprobs.as_ref(), is.logprobs.as_ref())?;
        self.same("the number of tokens", &was.n_tokens, &is.n_tokens)?;
        self.same("the reason to end", &was.finish, &is.finish)?;
        self.same("the text", &was.text, &is.text)
    }

    fn rewards(&self, was: &[RewardFact], is: &[RewardFact]) -> Found {
        for at in 0..was.len().max(is.len()) {
            let name = |list: &[RewardFact]| list.get(at).map(|reward| reward.name.clone());
            self.same("the reward that judged", &name(was), &name(is))?;
            let (Some(was), Some(is)) = (was.get(at), is.get(at)) else { continue };
            let of = |what: &str| format!("the {what} of reward `{}`", was.name);
            self.same(&of("status"), &was.status, &is.status)?;
            self.same(&of("value"), &was.value, &is.value)?;
            self.same(&of("parts"), &was.parts, &is.parts)?;
            self.same(&of("clipped value"), &was.clipped, &is.clipped)?;
            self.same(&of("condition"), &was.condition, &is.condition)?;
            self.same(&of("counted value"), &was.counted, &is.counted)?;
            self.same(&of("weight"), &was.weight, &is.weight)?;
            self.same(&of("normalized value"), &was.normalized, &is.normalized)?;
        }
        Ok(())
    }

    /// What was asked, and what was written.
    fn sampled(&self, was: &RolloutFact, is: &RolloutFact) -> Found {
        self.wrote(&was.wrote, &is.wrote)?;
        self.same_list("the entropy", was.entropies.as_ref(), is.entropies.as_ref())?;
        self.same("the sum of log-probs", &was.logprob_sum, &is.logprob_sum)?;
        self.same("the mean entropy", &was.entropy_mean, &is.entropy_mean)
    }

    /// What followed from the rewards.
    fn credited(&self, was: &RolloutFact, is: &RolloutFact) -> Found {
        self.same("the total before its bounds", &was.unclipped, &is.unclipped)?;
        self.same("the total of its rewards", &was.total, &is.total)?;
        self.same("whether it was judged for the data", &was.selected, &is.selected)?;
        self.same("the filter that dropped it", &was.dropped_by, &is.dropped_by)?;
        let (reference, now) = (was.reference_logprobs.as_ref(), is.reference_logprobs.as_ref());
        self.same_list("the log-prob under the reference", reference, now)?;
        let reference = "the mean difference from the reference";
        self.same(reference, &was.reference_mean, &is.reference_mean)?;
        self.same("the advantage", &was.advantage, &is.advantage)
    }

    fn asked(&self, was: &[GroupFact], is: &[GroupFact]) -> Found {
        for at in 0..was.len().max(is.len()) {
            let group =
                [was, is].into_iter().find_map(|groups| groups.get(at)).map(|one| one.group);
            let here = self.group(group.unwrap_or(at as u64));
            let key = |list: &[GroupFact]| list.get(at).map(|group| group.key.clone());
            here.same("the problem", &key(was), &key(is))?;
            let (Some(was), Some(is)) = (was.get(at), is.get(at)) else { continue };
            here.same("the data of the problem", &was.data, &is.data)?;
            here.same("the hash of the problem", &was.prompt_sha256, &is.prompt_sha256)?;
            let prompts = (Some(&was.prompt_tokens), Some(&is.prompt_tokens));
            here.same_list("the token of the prompt", prompts.0, prompts.1)?;
            here.same("the number of rollouts", &was.rollouts.len(), &is.rollouts.len())?;
        }
        Ok(())
    }

    /// Compares every rollout of a step in one respect.
    fn each(
        &self,
        (was, is): (&[GroupFact], &[GroupFact]),
        compare: impl Fn(&Self, &RolloutFact, &RolloutFact) -> Found,
    ) -> Found {
        for (was, is) in was.iter().zip(is) {
            for (one, other) in was.rollouts.iter().zip(&is.rollouts) {
                compare(&self.sample(was.group, one.sample), one, other)?;
            }
        }
        Ok(())
    }

    fn step(&self, was: &StepFact, is: &StepFact) -> Found {
        self.asked(&was.groups, &is.groups)?;
        let groups = (was.groups.as_slice(), is.groups.as_slice());
        self.each(groups, Self::sampled)?;
        self.each(groups, |here, was, is| here.rewards(&was.rewards, &is.rewards))?;
        self.each(groups, Self::credited)?;
        for (was, is) in was.groups.iter().zip(&is.groups) {
            let here = self.group(was.group);
            here.same("whether it teaches nothing", &was.zero_signal, &is.zero_signal)?;
        }
        for at in 0..was.metrics.len().max(is.metrics.len()) {
            let (was, is) = (was.metrics.get(at), is.metrics.get(at));
            let name = |metric: Option<&(String, f64)>| metric.map(|(name, _)| name.clone());
            self.same("the metric", &name(was), &name(is))?;
            let quantity = format!("the metric `{}`", name(was).unwrap_or_default());
            let value = |metric: Option<&(String, f64)>| metric.map(|(_, value)| *value);
            self.same(&quantity, &value(was), &value(is))?;
        }
        self.same("the hash of everything, recorded or not,", &was.sha256, &is.sha256)
    }

    fn evaluation(&self, was: &EvaluationFact, is: &EvaluationFact) -> Found {
        self.same("the number of samples", &was.samples.len(), &is.samples.len())?;
        let pairs = || was.samples.iter().zip(&is.samples);
        let here = |one: &SampleFact| self.sample(one.item, one.sample);
        for (one, other) in pairs() {
            here(one).same("the problem", &one.key, &other.key)?;
            here(one).same("the hash of the problem", &one.prompt_sha256, &other.prompt_sha256)?;
            here(one).wrote(&one.wrote, &other.wrote)?;
        }
        for (one, other) in pairs() {
            here(one).rewards(&one.rewards, &other.rewards)?;
            here(one).same("the value of the grade", &one.value, &other.value)?;
            here(one).same("the condition of the grade", &one.condition, &other.condition)?;
            here(one).same("the status of the grade", &one.status, &other.status)?;
            here(one).same("the score", &one.score, &other.score)?;
            here(one).same("whether it is right", &one.correct, &other.correct)?;
        }
        for at in 0..was.figures.len().max(is.figures.len()) {
            let (was, is) = (was.figures.get(at).cloned(), is.figures.get(at).cloned());
            let (name, value, error) = was.map_or((None, None, None), |(n, v, e)| (Some(n), v, e));
            let (other, now, error_now) =
                is.map_or((None, None, None), |(n, v, e)| (Some(n), v, e));
            self.same("the figure", &name, &other)?;
            let name = name.unwrap_or_default();
            self.same(&format!("the figure `{name}`"), &value, &now)?;
            self.same(&format!("the standard error of `{name}`"), &error, &error_now)?;
        }
        self.same("the hash of everything, recorded or not,", &was.sha256, &is.sha256)
    }
}

/// Two recordings of a step with what is there of both: of what a person has removed of one of them, the hash tells.
fn alike(mut was: StepFact, mut is: StepFact) -> (StepFact, StepFact) {
    let dropped = [&was.dropped[..], &is.dropped].concat();
    was.without(&dropped);
    is.without(&dropped);
    (was, is)
}

fn compared(found: Found) -> Compared {
    found.map_or_else(Compared::Differs, |()| Compared::Equal)
}

impl Store {
    /// Compares a step of the stage at a position of the plan.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn compare_step(
        &self,
        runs: RunPair,
        stage: usize,
        step: u64,
    ) -> Result<Compared, StoreError> {
        let fact = |run| self.step_fact(run, stage, step);
        let (Some(was), Some(is)) = (fact(runs.was)?, fact(runs.is)?) else {
            return Ok(Compared::Missing);
        };
        let (was, is) = alike(was, is);
        let here =
            Difference { stage: is.stage.clone(), step: Some(step), ..Difference::default() };
        Ok(compared(here.step(&was, &is)))
    }

    /// Compares a step of a run, or what was written and earned in one of its groups, with the same step of a run of
    /// another store.
    ///
    /// # Errors
    /// When a store cannot be read.
    pub fn compare_with(
        &self,
        was: i64,
        (other, is): (&Store, i64),
        StagePoint { stage, step }: StagePoint,
        group: Option<u64>,
    ) -> Result<Compared, StoreError> {
        let mut facts = [self.step_fact(was, stage, step)?, other.step_fact(is, stage, step)?];
        if let Some(group) = group {
            for fact in facts.iter_mut().flatten() {
                fact.groups.retain(|one| one.group == group);
                // Metrics and the hash are about the whole step.
                fact.metrics.clear();
                fact.sha256.clear();
            }
        }
        let [Some(was), Some(is)] = facts else { return Ok(Compared::Missing) };
        let (was, is) = alike(was, is);
        let stage = is.stage.clone();
        let here = Difference { stage, step: Some(step), ..Difference::default() };
        Ok(compared(here.step(&was, &is)))
    }

    /// Compares an evaluation of a suite after so many steps of the stage of a label.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn compare_evaluation(
        &self,
        runs: RunPair,
        suite: &str,
        (label, step): (&str, u64),
    ) -> Result<Compared, StoreError> {
        let fact = |run| self.evaluation_fact(run, suite, (label, step));
        let (Some(was), Some(is)) = (fact(runs.was)?, fact(runs.is)?) else {
            return Ok(Compared::Missing);
        };
        let here = Difference {
            stage: label.to_owned(),
            step: Some(step),
            suite: Some(suite.to_owned()),
            ..Difference::default()
        };
        Ok(compared(here.evaluation(&was, &is)))
    }

    /// Compares the weights of the checkpoints after so many steps of a stage, whose id is `name`. Beside weights a
    /// checkpoint has the identity of its run, so its state is never that of another run's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn compare_checkpoint(
        &self,
        runs: RunPair,
        (stage, name): (usize, &str),
        step: u64,
    ) -> Result<Compared, StoreError> {
        let newest = |run| Ok::<_, StoreError>(self.checkpoint_weights(run, stage, step)?.pop());
        let (Some(was), Some(is)) = (newest(runs.was)?, newest(runs.is)?) else {
            return Ok(Compared::Missing);
        };
        // A checkpoint after `step` steps holds the weights that the step before it made.
        let step = step.checked_sub(1);
        let here = Difference { stage: name.to_owned(), step, ..Difference::default() };
        Ok(compared(here.same("the hash of the weights after it", &was, &is)))
    }

    /// Compares the weights that a stage ended with.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn compare_stage_end(&self, runs: RunPair, stage: usize) -> Result<Compared, StoreError> {
        let weights = |run| self.stage_weights(run, stage);
        let (Some((_, was)), Some((name, is))) = (weights(runs.was)?, weights(runs.is)?) else {
            return Ok(Compared::Missing);
        };
        let here = Difference { stage: name, ..Difference::default() };
        Ok(compared(here.same("the hash of the weights", &was, &is)))
    }
}
