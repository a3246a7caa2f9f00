//! Distillation: one step has a teacher say which tokens it takes to be likely at every place of some texts, and brings the
//! student's distributions there closer to the teacher's.

use std::sync::Arc;

use r1x_core::loss::{self, UpdateCounts};
use r1x_core::plan::{DistillPlan, DistilledTexts, LossPlan, RunPlan, SamplingPlan};
use r1x_core::schedule::multiplier;
use r1x_core::{
    CreditedGroup, Encoder, PortError, Problem, ProblemSource, Rng, StepFacts, Stream,
    TrainingBatch, TrainingSequence,
};

use super::{StepPlace, SteppedStage, problem_stream, stage_place};
use crate::credit::at_rest;
use crate::draw::{ProblemStream, each};
use crate::example::Examples;
use crate::finite::{Guard, Moment};
use crate::metrics;
use crate::optimize::{UpdateSettings, Updates};
use crate::ports::Ports;
use crate::rollout::{Draws, check_shape, encode_prompt, rewarded_groups};

/// A stage of distillation in progress.
pub(crate) struct DistillStage<'a> {
    plan: &'a DistillPlan,
    source: &'a dyn ProblemSource,
    draw: ProblemStream<'a>,
    sampling: Stream,
    place: String,
}

/// The texts of a step: sequences in the order of their problems, each with the position of its problem, and the rollouts
/// that they are, where the student wrote them.
#[derive(Default)]
struct Texts {
    sequences: Vec<Arc<TrainingSequence>>,
    problems: Vec<usize>,
    groups: Vec<CreditedGroup>,
}

impl<'a> DistillStage<'a> {
    /// The stage called `id`. Errors when there are fewer problems than a batch holds.
    pub(crate) fn new(
        run: &RunPlan,
        id: &str,
        plan: &'a DistillPlan,
        source: &'a dyn ProblemSource,
    ) -> Result<Self, PortError> {
        let draw = problem_stream(run, id, (&plan.data, plan.batch_size), source)?;
        let sampling = Rng::new(run.seed).stream("sampling").named(id);
        Ok(Self { plan, source, draw, sampling, place: stage_place(id) })
    }

    fn solution(
        &self,
        encoder: &dyn Encoder,
        problem: &Problem,
    ) -> Result<TrainingSequence, PortError> {
        Examples { encoder, source: self.source, place: &self.place }.worked(problem)
    }

    fn solutions(&self, encoder: &dyn Encoder, problems: &[&Problem]) -> Result<Texts, PortError> {
        let mut texts = Texts::default();
        for (index, problem) in problems.iter().enumerate() {
            texts.sequences.push(Arc::new(self.solution(encoder, problem)?));
            texts.problems.push(index);
        }
        Ok(texts)
    }

    fn samples(
        &self,
        ports: &mut Ports<'_>,
        problems: &[&Problem],
        (samples, sampling): (usize, &SamplingPlan),
        at: StepPlace,
    ) -> Result<Texts, PortError> {
        let guard = Guard { place: &self.place, at: Moment::Step(at.step) };
        let draws = Draws { samples, sampling, stream: self.sampling, guard };
        // Nobody judges what the student writes: the teacher says what it should have been.
        let unjudged = at_rest(&[], &self.place)?;
        let groups = rewarded_groups(ports, draws, problems, at.drawn, &unjudged)?;
        let mut texts = Texts::default();
        for (index, group) in groups.iter().enumerate() {
            for rewarded in &group.rollouts {
                let completion = &rewarded.rollout.completion;
                let sequence = TrainingSequence::new(&group.prompt_tokens, &completion.tokens);
                texts.sequences.push(Arc::new(sequence));
                texts.problems.push(index);
            }
        }
        texts.groups = groups.into_iter().map(CreditedGroup::uncompared).collect();
        Ok(texts)
    }

    /// Has the teacher say what is likely at every target.
    fn ask_teacher(
        &self,
        ports: &mut Ports<'_>,
        sequences: Vec<Arc<TrainingSequence>>,
        name: &dyn Fn(usize) -> String,
        step: u64,
    ) -> Result<TrainingBatch, PortError> {
        let mut batch = TrainingBatch {
            sequences,
            micro_batch_size: self.plan.micro_batch_size,
            temperature: self.plan.temperature as f32,
            share_prompts: false,
        };
        let (teacher, top) = (&self.plan.teacher, self.plan.top);
        let said = ports.policy.ask_teacher(teacher, &batch, top)?;
        let (got, expected) = (said.len(), batch.sequences.len());
        check_shape(&self.place, "teacher", "sequences with likely tokens", got, expected)?;
        let guard = Guard { place: &self.place, at: Moment::Step(step) };
        for (index, (sequence, said)) in batch.sequences.iter_mut().zip(said).enumerate() {
            let (got, expected) = (said.logprobs.len(), sequence.mask.len() * said.width);
            check_shape(&self.place, "teacher", "likely tokens of a sequence", got, expected)?;
            guard.scored(&said.logprobs, || format!("{} under the teacher", name(index)))?;
            Arc::make_mut(sequence).candidates = said;
        }
        Ok(batch)
    }
}

impl SteppedStage for DistillStage<'_> {
    fn ahead(&mut self) -> Vec<&Problem> {
        self.draw.ahead(self.plan.steps, self.plan.batch_size)
    }

    fn check(&mut self, encoder: &dyn Encoder) -> Result<(), PortError> {
        let plan = self.plan;
        let ahead = self.draw.ahead(plan.steps, plan.batch_size);
        each(ahead, |problem| match &plan.texts {
            DistilledTexts::Solutions => self.solution(encoder, problem).map(drop),
            DistilledTexts::Samples { sampling, .. } => {
                let max_tokens = sampling.max_tokens;
                encode_prompt(encoder, self.source, problem, max_tokens, &self.place).map(drop)
            }
        })
    }

    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError> {
        let plan = self.plan;
        let problems = self.draw.take(at.drawn, plan.batch_size);
        let texts = match &plan.texts {
            DistilledTexts::Solutions => self.solutions(ports.policy, &problems)?,
            DistilledTexts::Samples { per_problem, sampling } => {
                self.samples(ports, &problems, (*per_problem, sampling), at)?
            }
        };
        let Texts { sequences, problems: of_problem, groups } = texts;
        let name = |index: usize| {
            let problem: &Problem = problems[of_problem[index]];
            format!("a completion of {}", self.source.origin(problem))
        };
        let batch = self.ask_teacher(ports, sequences, &name, at.step)?;
        let schedule = &plan.optimizer.schedule;
        let optimizer = UpdateSettings {
            plan: &plan.optimizer,
            lr: plan.optimizer.lr * multiplier(schedule, at.step, plan.steps),
            place: &self.place,
            step: at.step,
            name: &name,
        };
        let counts = UpdateCounts::of(&batch.sequences, 0.0);
        let loss = loss::build(&LossPlan::Distillation(plan.loss.clone()), &counts);
        let mut updates = Updates::default();
        updates.apply(ports.policy, &batch, &*loss, optimizer)?;
        let drawn = at.drawn + problems.len() as u64;
        let epoch = drawn as f64 / self.draw.pass_length() as f64;
        Ok(StepFacts {
            metrics: metrics::of_distill_step(&groups, &updates, optimizer.lr, epoch),
            stage: at.stage,
            step: at.step,
            rewards: Vec::new(),
            groups,
            verdicts: Vec::new(),
            reference_logprobs: Vec::new(),
        })
    }
}
