//! The rewards of a run: plugins, and the reward models that stages of the run have trained.

use std::collections::BTreeMap;
use std::sync::Arc;

use r1x_core::plan::{ReadPart, RewardPlan, RunPlan};
use r1x_core::port::{Outcomes, PendingGroups, Scoring, WeightChoice};
use r1x_core::reward::applies;
use r1x_core::{
    Boundary, PendingGroup, PortError, RewardOutcome, RewardStatus, Rewarder, TrainingBatch, valued,
};
use r1x_model::{Home, Model};
use r1x_ops::device::Device;
use r1x_reward::WasmRewarder;

use crate::models;
use crate::wiring::Compute;

/// Responses whose values are computed together; changes speed only.
const VALUED_TOGETHER: usize = 32;

/// The rewards of a run.
pub struct RunRewarder<'p> {
    plugins: WasmRewarder,
    models: RewardModels<'p>,
}

impl<'p> RunRewarder<'p> {
    /// The rewards of a plan, of which these plugins judge for some, in the home of the run.
    pub fn new(
        plugins: WasmRewarder,
        plan: &'p RunPlan,
        (compute, device): (&'p Compute, &'p Device),
        home: Home,
    ) -> Self {
        let models = RewardModels { plan, compute, device, home, loaded: BTreeMap::new() };
        Self { plugins, models }
    }
}

impl Rewarder for RunRewarder<'_> {
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError> {
        let by_plugin = rewards.iter().filter(|reward| reward.plugin().is_some());
        let by_plugin: Vec<RewardPlan> = by_plugin.cloned().collect();
        rewards
            .iter()
            .filter_map(RewardPlan::reward_model)
            .try_for_each(|id| self.models.load(id))?;
        let plugins = self.plugins.begin(&by_plugin, Arc::clone(&groups))?;
        let (models, rewards) = (&mut self.models, rewards.to_vec());
        Ok(Box::new(RunScoring { plugins, models, rewards, groups }))
    }
}

/// Scoring under way: plugins judge while rollouts arrive, and reward models when all of them are there.
struct RunScoring<'s, 'p> {
    plugins: Box<dyn Scoring + 's>,
    models: &'s mut RewardModels<'p>,
    rewards: Vec<RewardPlan>,
    groups: PendingGroups,
}

impl Scoring for RunScoring<'_, '_> {
    fn arrived(&mut self, group: usize) {
        self.plugins.arrived(group);
    }

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        let Self { plugins, models, rewards, groups } = *self;
        let mut judged = plugins.finish()?.into_iter();
        let outcomes = rewards.iter().filter_map(|reward| match reward.reward_model() {
            None => judged.next().map(Ok),
            Some(stage) => Some(models.outcomes(stage, reward, &groups)),
        });
        outcomes.collect()
    }
}

/// The reward models that were asked so far, by the id of the stage that trained them.
struct RewardModels<'p> {
    plan: &'p RunPlan,
    compute: &'p Compute,
    device: &'p Device,
    home: Home,
    loaded: BTreeMap<String, (Box<dyn Model>, ReadPart)>,
}

impl RewardModels<'_> {
    /// Loads the model that a stage has ended with, unless it is there.
    fn load(&mut self, id: &str) -> Result<(), PortError> {
        if self.loaded.contains_key(id) {
            return Ok(());
        }
        let stage = self.plan.stages.iter().find(|stage| stage.id == id);
        let Some(reads) = stage.and_then(|stage| stage.kind.outline().values) else {
            let message = format!("the run has no stage `{id}` that trains a reward model");
            return Err(PortError::new(Boundary::Spec, message, "name one under `reward_model`"));
        };
        let model = models::ended(self.plan, id, (self.compute, self.device), &self.home)?;
        self.loaded.insert(id.to_owned(), (model, reads));
        Ok(())
    }

    /// What the model of a stage says of every rollout, `[group][rollout]`.
    fn outcomes(
        &mut self,
        id: &str,
        reward: &RewardPlan,
        groups: &[PendingGroup],
    ) -> Result<Vec<Vec<RewardOutcome>>, PortError> {
        let Some((model, reads)) = self.loaded.get_mut(id) else { return Ok(Vec::new()) };
        let (context, mut sequences) = (model.context_length(), Vec::new());
        // Whether each rollout has a sequence, or what becomes of it without one.
        let mut missing: Vec<Vec<Option<RewardOutcome>>> = Vec::new();
        for group in groups {
            let rollouts = group.rollouts().unwrap_or_default();
            if !applies(reward, &group.problem) {
                missing.push(vec![Some(RewardOutcome::unasked()); rollouts.len()]);
                continue;
            }
            let mut of_group = Vec::new();
            for rollout in rollouts {
                let sequence = valued::sequence(&**model, *reads, &group.problem, &rollout.text)?;
                let tokens = sequence.tokens.len();
                let fits = tokens <= context;
                of_group.push((!fits).then(|| too_long(tokens, context)));
                sequences.extend(fits.then(|| Arc::new(sequence)));
            }
            missing.push(of_group);
        }
        let batch = TrainingBatch {
            sequences,
            micro_batch_size: VALUED_TOGETHER,
            temperature: 1.0,
            share_prompts: true,
        };
        let mut said = model.score(WeightChoice::Current, &batch)?.into_iter();
        let mut outcome = |missing: Option<RewardOutcome>| match missing {
            Some(outcome) => Ok(outcome),
            None => valued_at(id, said.next().as_deref().and_then(valued::value)),
        };
        let mut of_group = |missing: Vec<_>| missing.into_iter().map(&mut outcome).collect();
        missing.into_iter().map(&mut of_group).collect()
    }
}

/// The outcome of a value, which must be finite.
fn valued_at(stage: &str, value: Option<f64>) -> Result<RewardOutcome, PortError> {
    match value.filter(|value| value.is_finite()) {
        Some(value) => Ok(RewardOutcome {
            value: Some(value),
            status: RewardStatus::Ok,
            parts: Vec::new(),
            info: None,
        }),
        None => Err(PortError::new(
            Boundary::Diverged,
            format!("the reward model of stage `{stage}` says {value:?} of a response"),
            "train it with a lower learning rate: its weights have left the finite numbers",
        )),
    }
}

fn too_long(tokens: usize, context: usize) -> RewardOutcome {
    let info = format!("{tokens} tokens do not fit a reward model that reads {context}");
    let (value, status, parts) = (None, RewardStatus::Abstain, Vec::new());
    RewardOutcome { value, status, parts, info: Some(info) }
}
