//! Group-relative policy optimisation: `step` below is the method in one screen.

use std::sync::Arc;

use r1x_core::loss::{self, UpdateCounts};
use r1x_core::plan::{AdvantageKind, GrpoPlan, KlPlan, RewardPlan, RunPlan};
use r1x_core::port::{REFERENCE, WeightChoice};
use r1x_core::reward::Combination;
use r1x_core::schedule::multiplier;
use r1x_core::{
    CreditedGroup, Encoder, Policy, PortError, Problem, ProblemSource, RewardedGroup, Rng,
    StepFacts, Stream, TrainingBatch, TrainingSequence,
};

use super::{StepPlace, SteppedStage, problem_stream, rewards_by_id, stage_place};
use crate::credit::{at_step, check_coverage};
use crate::critic::CriticStep;
use crate::draw::{ProblemStream, each};
use crate::error::TrainError;
use crate::finite::{Guard, Moment};
use crate::metrics;
use crate::optimize::{UpdateSettings, Updates};
use crate::pack::{PackedRollout, keep_top_entropies, pack, split};
use crate::penalty::{self, Penalised};
use crate::ports::Ports;
use crate::resample::{self, Sampled};
use crate::rollout::{Draws, check_shape, encode_prompt, rewarded_groups};

/// A GRPO stage in progress.
pub(crate) struct GrpoStage<'a> {
    plan: &'a GrpoPlan,
    rewards: Vec<RewardPlan>,
    source: &'a dyn ProblemSource,
    draw: ProblemStream<'a>,
    sampling: Stream,
    packing: Stream,
    place: String,
}

impl<'a> GrpoStage<'a> {
    /// The stage called `id`. Errors when there are fewer problems than a step draws, or when a reward is not
    /// defined.
    pub(crate) fn new(
        run: &RunPlan,
        id: &str,
        plan: &'a GrpoPlan,
        source: &'a dyn ProblemSource,
    ) -> Result<Self, PortError> {
        let place = stage_place(id);
        if (plan.advantage.kind == AdvantageKind::Gae) != plan.critic.is_some() {
            return Err(TrainError::Critic { place }.into());
        }
        let draw = problem_stream(run, id, (&plan.data, plan.prompts_per_step), source)?;
        let rng = Rng::new(run.seed);
        Ok(Self {
            plan,
            source,
            rewards: rewards_by_id(run, &plan.rewards, &place)?,
            draw,
            sampling: rng.stream("sampling").named(id),
            packing: rng.stream("packing").named(id),
            place,
        })
    }

    fn has_reference(&self) -> bool {
        self.plan.loss.penalty().is_some()
    }

    fn guard(&self, step: u64) -> Guard<'_> {
        Guard { place: &self.place, at: Moment::Step(step) }
    }

    fn draws(&self, step: u64) -> Draws<'_> {
        Draws {
            samples: self.plan.group_size,
            sampling: &self.plan.sampling,
            stream: self.sampling,
            guard: self.guard(step),
        }
    }

    fn batch(&self, sequences: Vec<Arc<TrainingSequence>>) -> TrainingBatch {
        TrainingBatch {
            sequences,
            micro_batch_size: self.plan.micro_batch_size,
            temperature: self.plan.sampling.temperature as f32,
            share_prompts: self.plan.share_prompts,
        }
    }

    /// Asks the reference policy about every target of some sequences, whose names errors ask for.
    fn ask_reference(
        &self,
        policy: &mut dyn Policy,
        sequences: Vec<Arc<TrainingSequence>>,
        (step, name): (u64, &dyn Fn(usize) -> String),
    ) -> Result<Vec<Vec<f32>>, PortError> {
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.batch(sequences);
        let logprobs = policy.score(WeightChoice::Frozen(REFERENCE), &batch)?;
        let (place, asked) = (&self.place, &batch.sequences);
        check_shape(place, "policy", "scored sequences", logprobs.len(), asked.len())?;
        for (index, (logprobs, sequence)) in logprobs.iter().zip(asked).enumerate() {
            let (got, expected) = (logprobs.len(), sequence.mask.len());
            check_shape(place, "policy", "log-probs of a sequence", got, expected)?;
            let name = || format!("{} under the reference", name(index));
            self.guard(step).scored(logprobs, name)?;
        }
        Ok(logprobs)
    }

    /// The penalty that is counted in the reward: of a completion as a whole, or with a critic of each token.
    fn penalty_in_reward(&self) -> Option<&KlPlan> {
        self.plan.loss.penalty().filter(|kl| !kl.is_in_loss())
    }

    /// Takes the penalty off the totals that rollouts are about to be compared by, where it is counted there.
    fn penalise(
        &self,
        policy: &mut dyn Policy,
        groups: &mut [RewardedGroup],
        step: u64,
    ) -> Result<Option<Penalised>, PortError> {
        let penalty = self.penalty_in_reward().filter(|_| self.plan.critic.is_none());
        let Some(kl) = penalty else { return Ok(None) };
        let sequences = penalty::sequences(groups).into_iter().map(Arc::new).collect();
        let name = |index: usize| format!("judged rollout {index} of the step");
        let logprobs = self.ask_reference(policy, sequences, (step, &name))?;
        Ok(Some(penalty::take_off(kl, groups, logprobs)))
    }

    /// Asks the reference policy about every token that is trained on, where tokens have a penalty: in the loss, or in what a
    /// critic expects of them.
    fn score_reference(
        &self,
        policy: &mut dyn Policy,
        packed: &mut [PackedRollout],
        (credited, step): (&[CreditedGroup], u64),
    ) -> Result<(), PortError> {
        let is_asked = |kl: &KlPlan| kl.is_in_loss() || self.plan.critic.is_some();
        if !self.plan.loss.penalty().is_some_and(is_asked) {
            return Ok(());
        }
        let trained: Vec<&PackedRollout> =
            packed.iter().filter(|packed| packed.is_trained()).collect();
        let sequences = trained.iter().map(|packed| Arc::clone(&packed.sequence)).collect();
        let name = |index: usize| self.name(trained[index], credited);
        let logprobs = self.ask_reference(policy, sequences, (step, &name))?;
        let trained = packed.iter_mut().filter(|packed| packed.is_trained());
        for (packed, logprobs) in trained.zip(logprobs) {
            // The batch that shared it is gone, so nothing is copied.
            Arc::make_mut(&mut packed.sequence).reference_logprobs = logprobs;
        }
        Ok(())
    }

    /// Trains on the step's sequences, once for each of `parts`. An update without a trained
    /// token is skipped: it would only move the weights by the optimizer's momentum.
    fn optimize(
        &self,
        policy: &mut dyn Policy,
        packed: &[PackedRollout],
        credited: &[CreditedGroup],
        (step, lr, parts): (u64, f64, &[Vec<usize>]),
    ) -> Result<Updates, PortError> {
        let plan = self.plan;
        let mut updates = Updates::default();
        for part in parts {
            let trained = part.iter().map(|&index| &packed[index]).filter(|one| one.is_trained());
            let trained: Vec<&PackedRollout> = trained.collect();
            let batch = self.batch(trained.iter().map(|one| Arc::clone(&one.sequence)).collect());
            let name = |index: usize| self.name(trained[index], credited);
            let place = &self.place;
            let optimizer = UpdateSettings { plan: &plan.optimizer, lr, place, step, name: &name };
            let counts = UpdateCounts::of(&batch.sequences, plan.fixed_length());
            let loss = loss::build(&plan.loss, &counts);
            if !batch.sequences.is_empty() {
                updates.apply(policy, &batch, &*loss, optimizer)?;
            }
        }
        Ok(updates)
    }

    /// The packed rollouts that each update of a step is of: `epochs` times `updates_per_epoch` of them.
    fn parts(&self, packed: usize, step: u64) -> Vec<Vec<usize>> {
        split(packed, self.plan.epochs, self.plan.updates_per_epoch, self.packing, step)
    }

    /// Whether the critic alone learns from a step.
    fn is_critic_alone(&self, step: u64) -> bool {
        self.plan.critic.as_ref().is_some_and(|critic| step < critic.alone_steps)
    }

    /// Has the critic assign the credit of tokens and learn from what came, where there is one. The figures of both.
    fn criticise(
        &self,
        ports: &mut Ports<'_>,
        packed: &mut [PackedRollout],
        credited: &mut [CreditedGroup],
        step: u64,
    ) -> Result<Vec<(String, f64)>, PortError> {
        let Some(critic) = self.plan.critic.as_deref() else { return Ok(Vec::new()) };
        let batch = |sequences| self.batch(sequences);
        let (penalty, eps) = (self.penalty_in_reward(), self.plan.advantage.eps);
        let guard = self.guard(step);
        let told = CriticStep { plan: critic, penalty, eps, batch: &batch, guard };
        let origins: Vec<String> =
            credited.iter().map(|credited| self.source.origin(&credited.group.problem)).collect();
        let name =
            |one: &PackedRollout| format!("rollout {} of {}", one.rollout, origins[one.group]);
        let criticised = told.criticise(ports.policy, packed, credited, &name)?;
        let (parts, name) = (self.parts(packed.len(), step), |index: usize| name(&packed[index]));
        criticised.teach(&told, ports.policy, &parts, (step, self.plan.steps), &name)
    }

    /// How messages call a sequence: by the rollout it came from.
    fn name(&self, packed: &PackedRollout, credited: &[CreditedGroup]) -> String {
        let problem = self.source.origin(&credited[packed.group].group.problem);
        format!("rollout {} of {problem}", packed.rollout)
    }

    /// Samples and rewards the groups of a step.
    fn sample(
        &mut self,
        ports: &mut Ports<'_>,
        at: StepPlace,
        combination: &Combination<'_>,
    ) -> Result<Sampled, PortError> {
        resample::sample(self.plan, combination.weights(), |earlier, count| {
            let first = at.drawn + earlier as u64;
            let problems = self.draw.take(first, count);
            rewarded_groups(ports, self.draws(at.step), &problems, first, combination)
        })
    }

    /// Sets the reference, and moves it after every `refresh_every` steps.
    fn set_reference(&self, policy: &mut dyn Policy, done: u64) -> Result<(), PortError> {
        let Some(kl) = self.plan.loss.penalty() else { return Ok(()) };
        let is_due = |every: u64| every > 0 && done.is_multiple_of(every);
        if done > 0 && !kl.refresh_every.is_some_and(is_due) {
            return Ok(());
        }
        match kl.is_average() {
            true => policy.follow(REFERENCE, kl.refresh_mix),
            false => policy.freeze(REFERENCE),
        }
    }
}

impl SteppedStage for GrpoStage<'_> {
    fn ahead(&mut self) -> Vec<&Problem> {
        self.draw.ahead(self.plan.steps, self.plan.most_prompts_per_step())
    }

    fn check(&mut self, encoder: &dyn Encoder) -> Result<(), PortError> {
        at_step(self.plan, &self.rewards, 0, &self.place)?;
        check_coverage(&self.rewards, self.draw.problems(), self.source, &self.place)?;
        let max_tokens = self.plan.sampling.max_tokens;
        let ahead = self.draw.ahead(self.plan.steps, self.plan.most_prompts_per_step());
        each(ahead, |problem| {
            encode_prompt(encoder, self.source, problem, max_tokens, &self.place).map(drop)
        })
    }

    fn begin(&mut self, policy: &mut dyn Policy) -> Result<(), PortError> {
        self.set_reference(policy, 0)
    }

    /// Draw problems, sample a group of rollouts for each, reward them, turn rewards into advantages, train.
    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError> {
        let rewards = self.rewards.clone();
        let combination = at_step(self.plan, &rewards, at.step, &self.place)?;
        let mut sampled = self.sample(ports, at, &combination)?;
        let penalised = self.penalise(ports.policy, sampled.groups_mut(), at.step)?;
        let mut figures = sampled.figures();
        let mut credited = sampled.credit(&self.plan.advantage, combination.weights());
        if let Some(penalised) = &penalised {
            penalised.give_back(&mut credited);
            figures.extend(penalised.figures());
        }
        self.guard(at.step).credited(&credited, self.source)?;
        let mut packed = pack(&credited, self.plan);
        self.score_reference(ports.policy, &mut packed, (&credited, at.step))?;
        figures.extend(self.criticise(ports, &mut packed, &mut credited, at.step)?);
        keep_top_entropies(&mut packed, &credited, self.plan.top_entropy_share);
        let optimizer = &self.plan.optimizer;
        let lr = optimizer.lr * multiplier(&optimizer.schedule, at.step, self.plan.steps);
        let parts = self.parts(packed.len(), at.step);
        let updates = match self.is_critic_alone(at.step) {
            true => Updates::default(),
            false => self.optimize(ports.policy, &packed, &credited, (at.step, lr, &parts))?,
        };
        self.set_reference(ports.policy, at.step + 1)?;
        let mut metrics = metrics::of_grpo_step(&rewards, &credited, &updates, lr);
        metrics.extend(figures);
        Ok(StepFacts {
            metrics,
            reference_logprobs: match penalised {
                Some(penalised) => penalised.logprobs,
                None => reference_logprobs(self.has_reference(), &credited, packed),
            },
            stage: at.stage,
            step: at.step,
            rewards: self.plan.rewards.clone(),
            groups: credited,
            verdicts: Vec::new(),
        })
    }
}

/// The reference's log-probs as `[group][rollout][token]`; empty for rollouts that are not trained on, which
/// the reference was not asked about.
fn reference_logprobs(
    has_reference: bool,
    groups: &[CreditedGroup],
    packed: Vec<PackedRollout>,
) -> Vec<Vec<Vec<f32>>> {
    if !has_reference {
        return Vec::new();
    }
    let empty = |credited: &CreditedGroup| vec![Vec::new(); credited.group.rollouts.len()];
    let mut logprobs: Vec<_> = groups.iter().map(empty).collect();
    for one in packed {
        let sequence = Arc::unwrap_or_clone(one.sequence);
        logprobs[one.group][one.rollout] = sequence.reference_logprobs;
    }
    logprobs
}
