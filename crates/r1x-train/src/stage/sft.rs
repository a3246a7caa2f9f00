//! Supervised fine-tuning: one step draws worked problems and lowers their negative log-likelihood.

use std::sync::Arc;

use r1x_core::loss::{self, UpdateCounts};
use r1x_core::plan::{LossPlan, RunPlan, SftPlan};
use r1x_core::schedule::multiplier;
use r1x_core::{
    Encoder, PortError, Problem, ProblemSource, StepFacts, TrainingBatch, TrainingSequence,
};

use super::{StepPlace, SteppedStage, problem_stream, stage_place};
use crate::draw::{ProblemStream, each};
use crate::example::Examples;
use crate::metrics;
use crate::optimize::{UpdateSettings, Updates};
use crate::ports::Ports;

/// A supervised stage in progress.
pub(crate) struct SftStage<'a> {
    plan: &'a SftPlan,
    source: &'a dyn ProblemSource,
    draw: ProblemStream<'a>,
    place: String,
}

impl<'a> SftStage<'a> {
    /// The stage called `id`. Errors when there are fewer problems than a batch holds.
    pub(crate) fn new(
        run: &RunPlan,
        id: &str,
        plan: &'a SftPlan,
        source: &'a dyn ProblemSource,
    ) -> Result<Self, PortError> {
        let draw = problem_stream(run, id, (&plan.data, plan.batch_size), source)?;
        Ok(Self { plan, source, draw, place: stage_place(id) })
    }

    fn example(
        &self,
        encoder: &dyn Encoder,
        problem: &Problem,
    ) -> Result<TrainingSequence, PortError> {
        Examples { encoder, source: self.source, place: &self.place }.worked(problem)
    }
}

impl SteppedStage for SftStage<'_> {
    fn ahead(&mut self) -> Vec<&Problem> {
        self.draw.ahead(self.plan.steps, self.plan.batch_size)
    }

    fn check(&mut self, encoder: &dyn Encoder) -> Result<(), PortError> {
        let ahead = self.draw.ahead(self.plan.steps, self.plan.batch_size);
        each(ahead, |problem| self.example(encoder, problem).map(drop))
    }

    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError> {
        let problems = self.draw.take(at.drawn, self.plan.batch_size);
        let mut sequences = Vec::with_capacity(problems.len());
        for problem in &problems {
            sequences.push(Arc::new(self.example(ports.policy, problem)?));
        }
        let batch = TrainingBatch {
            sequences,
            micro_batch_size: self.plan.micro_batch_size,
            temperature: 1.0,
            share_prompts: false,
        };
        let schedule = &self.plan.optimizer.schedule;
        let name = |index: usize| {
            let problem: &Problem = problems[index];
            format!("the solution of {}", self.source.origin(problem))
        };
        let optimizer = UpdateSettings {
            plan: &self.plan.optimizer,
            lr: self.plan.optimizer.lr * multiplier(schedule, at.step, self.plan.steps),
            place: &self.place,
            step: at.step,
            name: &name,
        };
        let mut updates = Updates::default();
        let counts = UpdateCounts::of(&batch.sequences, 0.0);
        let loss = loss::build(&LossPlan::Likelihood, &counts);
        updates.apply(ports.policy, &batch, &*loss, optimizer)?;
        let drawn = at.drawn + problems.len() as u64;
        let epoch = drawn as f64 / self.draw.pass_length() as f64;
        Ok(StepFacts {
            stage: at.stage,
            step: at.step,
            rewards: Vec::new(),
            groups: Vec::new(),
            verdicts: Vec::new(),
            reference_logprobs: Vec::new(),
            metrics: metrics::of_sft_step(&updates, optimizer.lr, epoch),
        })
    }
}
