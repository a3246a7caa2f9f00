//! Supervised fine-tuning: one step draws worked problems and lowers their negative log-likelihood.
//!
//! Must not know rewards, sampling or what happens between steps.

use r1x_core::loss::Sft;
use r1x_core::plan::{RunPlan, SftPlan};
use r1x_core::port::Cursor;
use r1x_core::schedule::multiplier;
use r1x_core::{
    Policy, PortError, Problem, ProblemSource, Rng, StepFacts, TrainingBatch, TrainingSequence,
};

use super::{Training, stage_place};
use crate::draw::{Draw, limited};
use crate::error::TrainError;
use crate::metrics;
use crate::optimize::{Optimizer, Updates};
use crate::run::Ports;

/// A supervised stage in progress.
pub(crate) struct SftStage<'a> {
    plan: &'a SftPlan,
    draw: Draw<'a>,
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
        let place = stage_place(id);
        let problems = limited(source, &plan.data, &place)?;
        super::check_batch(&place, &plan.data, problems.len(), plan.batch_size)?;
        let stream = Rng::new(run.seed).stream("problems").named(id);
        Ok(Self { plan, draw: Draw::new(problems, stream), place })
    }

    /// A worked problem as a training sequence: the loss falls on the solution and the end-of-sequence token.
    fn example(
        &self,
        policy: &dyn Policy,
        problem: &Problem,
    ) -> Result<TrainingSequence, PortError> {
        let Some(solution) = &problem.solution else {
            return Err(TrainError::NoSolution {
                place: self.place.clone(),
                data: self.plan.data.data.clone(),
                problem: problem.key.clone(),
            }
            .into());
        };
        let mut tokens = policy.encode(&problem.prompt)?;
        let prompt_len = tokens.len();
        if prompt_len == 0 {
            return Err(TrainError::EmptyPrompt {
                place: self.place.clone(),
                problem: problem.key.clone(),
            }
            .into());
        }
        tokens.extend(policy.encode(solution)?);
        tokens.push(policy.eos());
        if tokens.len() > policy.context_length() {
            return Err(TrainError::ExampleTooLong {
                place: self.place.clone(),
                problem: problem.key.clone(),
                tokens: tokens.len(),
                context: policy.context_length(),
            }
            .into());
        }
        Ok(TrainingSequence {
            mask: vec![true; tokens.len() - prompt_len],
            tokens,
            prompt_len,
            sampled_logprobs: Vec::new(),
            reference_logprobs: Vec::new(),
            advantage: 0.0,
        })
    }
}

impl Training for SftStage<'_> {
    fn steps(&self) -> u64 {
        self.plan.steps
    }

    fn draws_per_step(&self) -> usize {
        self.plan.batch_size
    }

    fn check(&mut self, policy: &dyn Policy) -> Result<(), PortError> {
        for problem in self.draw.ahead(self.plan.steps, self.plan.batch_size) {
            self.example(policy, problem)?;
        }
        Ok(())
    }

    fn begin(&mut self, policy: &mut dyn Policy) -> Result<(), PortError> {
        policy.reset_optimizer();
        Ok(())
    }

    fn step(&mut self, ports: &mut Ports<'_>, at: &Cursor) -> Result<StepFacts, PortError> {
        let problems = self.draw.take(at.drawn, self.plan.batch_size);
        let mut sequences = Vec::with_capacity(problems.len());
        for problem in &problems {
            sequences.push(self.example(ports.policy, problem)?);
        }
        let batch = TrainingBatch {
            sequences,
            micro_batch_size: self.plan.micro_batch_size,
            temperature: 1.0,
            share_prompts: false,
        };
        let schedule = &self.plan.optimizer.schedule;
        let optimizer = Optimizer {
            plan: &self.plan.optimizer,
            lr: self.plan.optimizer.lr * multiplier(schedule, at.step, self.plan.steps),
            place: &self.place,
            step: at.step,
        };
        let mut updates = Updates::default();
        updates.apply(ports.policy, &batch, &Sft::new(&batch.sequences), optimizer)?;
        let drawn = at.drawn + problems.len() as u64;
        let epoch = drawn as f64 / self.draw.pass_length() as f64;
        Ok(StepFacts {
            stage: at.stage,
            step: at.step,
            rewards: Vec::new(),
            groups: Vec::new(),
            reference_logprobs: Vec::new(),
            metrics: metrics::of_sft_step(&updates, optimizer.lr, epoch),
        })
    }
}
