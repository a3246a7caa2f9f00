//! Training of a reward model: one step draws pairs of responses and moves the values of both apart.

use r1x_core::loss::pair::reward;
use r1x_core::plan::{DataRef, RewardModelPlan, RunPlan};
use r1x_core::port::WeightChoice;
use r1x_core::{
    Encoder, Policy, PortError, Problem, ProblemSource, StepFacts, TrainingSequence, valued,
};

use super::{StepPlace, SteppedStage, problem_stream, stage_place};
use crate::draw::{ProblemStream, each, limited};
use crate::error::TrainError;
use crate::example::Examples;
use crate::metrics;
use crate::pairs::{Judged, Pairwise};
use crate::ports::Ports;

/// Held-out pairs that are scored together; bounds the memory of their sequences.
const CHUNK_PAIRS: usize = 256;

/// A stage that trains a reward model, in progress.
pub(crate) struct RewardModelStage<'a> {
    plan: &'a RewardModelPlan,
    source: &'a dyn ProblemSource,
    draw: ProblemStream<'a>,
    heldout: Vec<&'a Problem>,
    place: String,
}

impl<'a> RewardModelStage<'a> {
    /// The stage called `id`. Errors when there are fewer pairs than a batch holds, or when held-out figures were asked
    /// for and nothing is held out.
    pub(crate) fn new(
        run: &RunPlan,
        id: &str,
        plan: &'a RewardModelPlan,
        source: &'a dyn ProblemSource,
    ) -> Result<Self, PortError> {
        let place = stage_place(id);
        let draw = problem_stream(run, id, (&plan.data, plan.batch_size), source)?;
        let heldout = held_out(source, plan, &place)?;
        Ok(Self { plan, source, draw, heldout, place })
    }

    fn pairwise(&self) -> Pairwise<'_> {
        Pairwise {
            micro_batch_size: self.plan.micro_batch_size,
            share_prompts: self.plan.share_prompts,
            optimizer: &self.plan.optimizer,
            steps: self.plan.steps,
            said: "value",
            source: self.source,
            place: &self.place,
        }
    }

    fn pair(
        &self,
        encoder: &dyn Encoder,
        problem: &Problem,
    ) -> Result<[TrainingSequence; 2], PortError> {
        let examples = Examples { encoder, source: self.source, place: &self.place };
        examples.valued_pair(self.plan.reads, problem)
    }

    fn pairs(
        &self,
        encoder: &dyn Encoder,
        problems: &[&Problem],
    ) -> Result<Vec<[TrainingSequence; 2]>, PortError> {
        problems.iter().map(|problem| self.pair(encoder, problem)).collect()
    }

    /// The values of both members of every pair, as the model says them of the last target.
    fn judged(&self, said: &[Vec<f32>]) -> Judged {
        let value = |said: &Vec<f32>| valued::value(said).unwrap_or_default();
        let numbers = said.as_chunks::<2>().0.iter().map(|members| members.each_ref().map(value));
        Judged::new(numbers, |[better, worse]| reward(&self.plan.loss, better, worse))
    }

    /// The figures of the held-out pairs where they are due after a step, by name.
    fn heldout(&self, policy: &mut dyn Policy, step: u64) -> Result<Vec<(String, f64)>, PortError> {
        let done = step + 1;
        let every = self.plan.heldout_every.unwrap_or(self.plan.steps).max(1);
        if done != self.plan.steps && !done.is_multiple_of(every) {
            return Ok(Vec::new());
        }
        let mut judged = Judged::default();
        for problems in self.heldout.chunks(CHUNK_PAIRS) {
            let pairwise = self.pairwise();
            let batch = pairwise.batch(self.pairs(policy, problems)?);
            let said = pairwise.score(policy, WeightChoice::Current, &batch, (problems, step))?;
            judged.extend(self.judged(&said));
        }
        let figures = judged.figures().into_iter();
        let calibration = judged.calibration().map(|error| ("calibration", error));
        Ok(figures.chain(calibration).map(|(n, value)| (format!("heldout.{n}"), value)).collect())
    }
}

/// The problems that are held out, where there are any.
fn held_out<'a>(
    source: &'a dyn ProblemSource,
    plan: &RewardModelPlan,
    place: &str,
) -> Result<Vec<&'a Problem>, PortError> {
    let mut heldout = Vec::new();
    for reference in &plan.heldout {
        let DataRef { data, split, .. } = reference;
        if !source.problems(data, *split)?.is_empty() {
            heldout.extend(limited(source, reference, place)?);
        }
    }
    match (plan.heldout_every, plan.heldout.first().or(plan.data.first())) {
        (Some(_), Some(first)) if heldout.is_empty() => Err(TrainError::NoProblems {
            place: place.to_owned(),
            data: first.data.clone(),
            split: r1x_core::Split::Heldout.as_str(),
        }
        .into()),
        _ => Ok(heldout),
    }
}

impl SteppedStage for RewardModelStage<'_> {
    fn ahead(&mut self) -> Vec<&Problem> {
        self.draw.ahead(self.plan.steps, self.plan.batch_size)
    }

    fn check(&mut self, encoder: &dyn Encoder) -> Result<(), PortError> {
        let mut all = self.draw.ahead(self.plan.steps, self.plan.batch_size);
        all.extend(&self.heldout);
        each(all, |problem| self.pair(encoder, problem).map(drop))
    }

    /// Draw pairs, ask for the values of both responses, take the derivatives of the loss by them, train.
    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError> {
        let problems = self.draw.take(at.drawn, self.plan.batch_size);
        let (pairwise, named) = (self.pairwise(), (&problems[..], at.step));
        let batch = pairwise.batch(self.pairs(ports.policy, &problems)?);
        let said = pairwise.score(ports.policy, WeightChoice::Current, &batch, named)?;
        let judged = self.judged(&said);
        let updates = pairwise.learn(ports.policy, batch, &judged, |_| 1.0, named)?;
        let drawn = at.drawn + problems.len() as u64;
        let epoch = drawn as f64 / self.draw.pass_length() as f64;
        let (figures, lr) = (judged.figures(), pairwise.lr(at.step));
        let heldout = self.heldout(ports.policy, at.step)?;
        Ok(StepFacts {
            stage: at.stage,
            step: at.step,
            rewards: Vec::new(),
            groups: Vec::new(),
            verdicts: Vec::new(),
            reference_logprobs: Vec::new(),
            metrics: metrics::of_pair_step(figures, &updates, (lr, epoch), heldout),
        })
    }
}
