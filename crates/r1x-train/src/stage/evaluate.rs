//! Evaluation: sample every problem of a suite, grade the samples, report pass@k with standard errors.
//!
//! The draws of a suite are the same at every evaluation, so differences come from the weights.

use r1x_core::estimate::{estimate, pass_at_k};
use r1x_core::plan::{EvalPlan, RewardPlan, RunPlan};
use r1x_core::{
    Encoder, EvalFacts, EvalMetric, EvalSample, FinishReason, PortError, Problem, ProblemSource,
    RewardedRollout, Rng,
};

use super::{reward_by_id, suite_place};
use crate::credit::{check_coverage, unweighted};
use crate::draw::{each, limited};
use crate::error::TrainError;
use crate::finite::{self, Guard};
use crate::metrics::{mean, share};
use crate::ports::Ports;
use crate::rollout::{Draws, encode_prompt, rewarded_groups};

/// Problems that are sampled and graded together; bounds the memory of the key-value cache and of plugins.
const CHUNK_PROBLEMS: usize = 256;

/// When an evaluation happens.
#[derive(Clone, Copy)]
pub(crate) struct EvalMoment<'a> {
    /// Position of the stage; `None` before the first.
    pub(crate) stage: Option<usize>,
    /// `start`, or the id of the stage.
    pub(crate) label: &'a str,
    /// Steps of the stage done.
    pub(crate) step: u64,
}

/// The suite called `id`.
pub(crate) fn suite_by_id<'a>(
    run: &'a RunPlan,
    id: &str,
    place: &str,
) -> Result<&'a EvalPlan, PortError> {
    run.evals.iter().find(|suite| suite.id == id).ok_or_else(|| {
        TrainError::Unknown { place: place.to_owned(), kind: "eval", id: id.to_owned() }.into()
    })
}

/// Finds out from the plan what would make a suite fail at its end.
pub(crate) fn check_plan(run: &RunPlan, suite: &EvalPlan) -> Result<(), PortError> {
    let place = suite_place(&suite.id);
    let grades = grades(run, suite, &place)?;
    unweighted(&grades, &place)?;
    for &k in &suite.pass_at {
        if k == 0 || k > suite.samples {
            let samples = suite.samples;
            return Err(TrainError::PassAt { place, k, samples }.into());
        }
    }
    Ok(())
}

/// Finds out from its problems what would make a suite fail at its end.
pub(crate) fn check_inputs(
    run: &RunPlan,
    suite: &EvalPlan,
    encoder: &dyn Encoder,
    source: &dyn ProblemSource,
) -> Result<(), PortError> {
    let place = suite_place(&suite.id);
    let grades = grades(run, suite, &place)?;
    let problems = limited(source, &suite.data, &place)?;
    check_coverage(&grades[..1], &problems.iter().collect::<Vec<_>>(), source, &place)?;
    let max_tokens = suite.sampling.max_tokens;
    each(problems, |problem| encode_prompt(encoder, source, problem, max_tokens, &place).map(drop))
}

/// The grade, then the rewards that decide whether it counts.
fn grades(run: &RunPlan, suite: &EvalPlan, place: &str) -> Result<Vec<RewardPlan>, PortError> {
    reward_by_id(run, &suite.grade, place)?;
    Ok(run.graders(suite).into_iter().cloned().collect())
}

/// Runs one suite on the current weights.
pub(crate) fn evaluate(
    run: &RunPlan,
    suite: &EvalPlan,
    ports: &mut Ports<'_>,
    moment: EvalMoment<'_>,
) -> Result<EvalFacts, PortError> {
    let place = suite_place(&suite.id);
    let grades = grades(run, suite, &place)?;
    let combination = unweighted(&grades, &place)?;
    let problems: Vec<&Problem> = limited(ports.problems, &suite.data, &place)?.iter().collect();
    let guard = Guard { place: &place, at: finite::Moment::Evaluation };
    let draws = Draws {
        samples: suite.samples,
        sampling: &suite.sampling,
        stream: Rng::new(run.seed).stream("evaluation").named(&suite.id),
        guard,
    };
    let mut items = Vec::with_capacity(problems.len());
    for (chunk, problems) in problems.chunks(CHUNK_PROBLEMS).enumerate() {
        let first = (chunk * CHUNK_PROBLEMS) as u64;
        for group in rewarded_groups(ports, draws, problems, first, &combination)? {
            let samples = group.rollouts.into_iter();
            let samples = samples.map(|rollout| graded(rollout, suite.threshold)).collect();
            items.push((group.problem, samples));
        }
    }
    let metrics = figures(suite, &items);
    guard.figures(&metrics)?;
    Ok(EvalFacts {
        stage: moment.stage,
        label: moment.label.to_owned(),
        step: moment.step,
        suite: suite.id.clone(),
        rewards: grades.iter().map(|grade| grade.id.clone()).collect(),
        metrics,
        items,
    })
}

/// A sample without a grade is not correct.
fn graded(rewarded: RewardedRollout, threshold: f64) -> EvalSample {
    let outcome = rewarded.outcomes.first();
    let term = rewarded.terms.into_iter().next();
    let score = term.as_ref().and_then(|term| term.counted);
    let completion = rewarded.rollout.completion;
    EvalSample {
        text: rewarded.rollout.text,
        tokens: completion.tokens,
        logprobs: completion.logprobs,
        finish: completion.finish,
        value: outcome.and_then(|outcome| outcome.value),
        condition: term.and_then(|term| term.condition),
        score,
        status: outcome.map_or(r1x_core::RewardStatus::Abstain, |outcome| outcome.status),
        correct: score.is_some_and(|score| score >= threshold),
        outcomes: rewarded.outcomes,
    }
}

/// pass@k for every k of the suite, then the share of truncated samples and the mean completion length with
/// the end-of-sequence token; every one a mean over items of a mean over the item's samples.
fn figures(suite: &EvalPlan, items: &[(Problem, Vec<EvalSample>)]) -> Vec<EvalMetric> {
    let over_items = |metric: String, of: &dyn Fn(&[EvalSample]) -> Option<f64>| {
        let values: Vec<f64> = items.iter().filter_map(|(_, samples)| of(samples)).collect();
        estimate(&values).map(|estimate| EvalMetric {
            metric,
            value: estimate.mean,
            stderr: estimate.stderr,
            n_items: estimate.items,
            n_samples: suite.samples,
        })
    };
    let passes = suite.pass_at.iter().map(|&k| {
        over_items(format!("pass@{k}"), &move |samples| {
            let correct = samples.iter().filter(|sample| sample.correct).count();
            pass_at_k(samples.len(), correct, k)
        })
    });
    let truncated = over_items("truncated".to_owned(), &|samples| {
        mean(samples.iter().map(|sample| share(sample.finish == FinishReason::Length)))
    });
    let tokens = over_items("tokens".to_owned(), &|samples| {
        mean(samples.iter().map(|sample| sample.tokens.len() as f64))
    });
    passes.chain([truncated, tokens]).flatten().collect()
}
