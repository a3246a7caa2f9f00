//! Direct preference optimisation: one step draws pairs of completions and makes the better one likelier than the worse
//! one, beside what the weights that the stage began with say of both.

use r1x_core::loss::pair::preference;
use r1x_core::plan::{DpoPlan, RunPlan};
use r1x_core::port::{REFERENCE, WeightChoice};
use r1x_core::{Encoder, Policy, PortError, Problem, ProblemSource, StepFacts, TrainingSequence};

use super::{StepPlace, SteppedStage, problem_stream, stage_place};
use crate::draw::{ProblemStream, each};
use crate::example::Examples;
use crate::metrics;
use crate::pairs::{Judged, Pairwise};
use crate::ports::Ports;

/// A stage of direct preference optimisation in progress.
pub(crate) struct DpoStage<'a> {
    plan: &'a DpoPlan,
    source: &'a dyn ProblemSource,
    draw: ProblemStream<'a>,
    place: String,
}

impl<'a> DpoStage<'a> {
    /// The stage called `id`. Errors when there are fewer pairs than a batch holds.
    pub(crate) fn new(
        run: &RunPlan,
        id: &str,
        plan: &'a DpoPlan,
        source: &'a dyn ProblemSource,
    ) -> Result<Self, PortError> {
        let draw = problem_stream(run, id, (&plan.data, plan.batch_size), source)?;
        Ok(Self { plan, source, draw, place: stage_place(id) })
    }

    fn pairwise(&self) -> Pairwise<'_> {
        Pairwise {
            micro_batch_size: self.plan.micro_batch_size,
            share_prompts: self.plan.share_prompts,
            optimizer: &self.plan.optimizer,
            steps: self.plan.steps,
            said: "log-prob",
            source: self.source,
            place: &self.place,
        }
    }

    fn examples<'e>(&'e self, encoder: &'e dyn Encoder) -> Examples<'e> {
        Examples { encoder, source: self.source, place: &self.place }
    }

    /// The derivative of a completion's log-ratio by the log-prob of one of its tokens.
    fn each(&self, sequence: &TrainingSequence) -> f64 {
        match self.plan.loss.kind.is_mean() {
            true => 1.0 / sequence.mask.len().max(1) as f64,
            false => 1.0,
        }
    }

    /// The pairs with the rewards that their log-ratios stand for: β times how much likelier each completion is to the
    /// policy than to the reference.
    fn judged(
        &self,
        sequences: &[std::sync::Arc<TrainingSequence>],
        said: [&[Vec<f32>]; 2],
    ) -> Judged {
        let [now, reference] = said;
        let beta = self.plan.loss.beta;
        let ratios = sequences.iter().zip(now).zip(reference).map(|((sequence, now), before)| {
            let differences = now.iter().zip(before).map(|(a, b)| f64::from(*a) - f64::from(*b));
            differences.sum::<f64>() * self.each(sequence)
        });
        let ratios: Vec<f64> = ratios.collect();
        let rewards = ratios.as_chunks::<2>().0.iter().map(|pair| pair.map(|ratio| beta * ratio));
        Judged::new(rewards, |[better, worse]| {
            preference(&self.plan.loss, better / beta, worse / beta)
        })
    }
}

impl SteppedStage for DpoStage<'_> {
    fn ahead(&mut self) -> Vec<&Problem> {
        self.draw.ahead(self.plan.steps, self.plan.batch_size)
    }

    fn check(&mut self, encoder: &dyn Encoder) -> Result<(), PortError> {
        let ahead = self.draw.ahead(self.plan.steps, self.plan.batch_size);
        each(ahead, |problem| self.examples(encoder).pair(problem).map(drop))
    }

    fn begin(&mut self, policy: &mut dyn Policy) -> Result<(), PortError> {
        policy.freeze(REFERENCE)
    }

    /// Draw pairs, ask the reference and the policy how likely each completion is, take the derivatives of the loss by the
    /// log-ratios, train.
    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError> {
        let problems = self.draw.take(at.drawn, self.plan.batch_size);
        let (pairwise, named) = (self.pairwise(), (&problems[..], at.step));
        let examples = self.examples(ports.policy);
        let pairs: Result<Vec<_>, _> = problems.iter().map(|one| examples.pair(one)).collect();
        let batch = pairwise.batch(pairs?);
        let mut score = |weights| pairwise.score(ports.policy, weights, &batch, named);
        let reference = score(WeightChoice::Frozen(REFERENCE))?;
        let now = score(WeightChoice::Current)?;
        let judged = self.judged(&batch.sequences, [&now, &reference]);
        let each = |sequence: &TrainingSequence| self.each(sequence);
        let updates = pairwise.learn(ports.policy, batch, &judged, each, named)?;
        let drawn = at.drawn + problems.len() as u64;
        let epoch = drawn as f64 / self.draw.pass_length() as f64;
        let (figures, lr) = (judged.figures(), pairwise.lr(at.step));
        Ok(StepFacts {
            stage: at.stage,
            step: at.step,
            rewards: Vec::new(),
            groups: Vec::new(),
            verdicts: Vec::new(),
            reference_logprobs: Vec::new(),
            metrics: metrics::of_pair_step(figures, &updates, (lr, epoch), Vec::new()),
        })
    }
}
