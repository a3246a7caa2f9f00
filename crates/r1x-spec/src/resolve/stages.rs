//! Stages: what they train on, and whether their numbers fit together.

use serde_json::json;

use r1x_core::plan::{
    DataRef, EvaluatePlan, GrpoPlan, LossPlan, OptimizerPlan, SamplingPlan, SchedulePlan, SftPlan,
    SourcePlan, StageKind, StagePlan, WeightsFrom,
};

use super::further::Placed;
use super::{MICRO_BATCH, Resolver};
use crate::codes;
use crate::diagnostic::quoted;
use crate::lists::IdList;
use crate::read::At;
use crate::shaping_values::DataNames;
use crate::source::Span;
use crate::spec::{
    EvaluateSpec, GrpoSpec, OptimizerSpec, SamplingSpec, SftSpec, StageKindSpec, StageSpec,
};
use crate::value_types::{DataName, Name};

/// What the weights are called that a run begins with.
pub(super) const BASE: &str = "base";

/// The ids of the stages that make data.
pub(super) fn makers(stages: &At<IdList<StageSpec>>) -> Vec<String> {
    let makes = |stage: &At<StageSpec>| matches!(stage.kind, StageKindSpec::Reject(_));
    let read = stages.0.iter().filter_map(|(_, stage)| stage.as_ref());
    read.filter(|stage| makes(stage)).map(|stage| stage.id.0.clone()).collect()
}

impl Resolver<'_, '_> {
    /// The stages in order, or `None` after reporting.
    pub(super) fn stages(&mut self, stages: &At<IdList<StageSpec>>) -> Option<Vec<StagePlan>> {
        if stages.0.is_empty() {
            let message = "a run needs at least one stage".to_owned();
            let help = "write for example `stages: [{id: warm-up, sft: {...}}]`";
            self.error(codes::COUNTS, stages.span, message).help(help);
        }
        let model = |stage: &At<StageSpec>| stage.model.as_ref().map(|name| name.0.clone());
        let placed = stages.0.iter();
        let placed: Vec<Placed> =
            placed.map(|(id, stage)| (id.0.clone(), stage.as_ref().and_then(model))).collect();
        let read: Vec<Option<StagePlan>> = stages
            .0
            .iter()
            .enumerate()
            .map(|(index, (_, stage))| self.stage(stage.as_ref()?, &placed, index))
            .collect();
        read.into_iter().collect()
    }

    fn stage(&mut self, stage: &StageSpec, placed: &[Placed], index: usize) -> Option<StagePlan> {
        if stage.id.0 == BASE {
            let message = format!("a stage cannot be called `{BASE}`");
            let help = "that is what the weights are called which a run begins with";
            self.error(codes::DUPLICATE_ID, stage.id.span, message).help(help);
        }
        let model = self.model_of_stage(stage.model.as_ref())?;
        let weights = self.weights(stage.weights.as_ref(), &model, placed, index);
        // A further model may read less, or more, than the policy does.
        let of_policy = self.context_length;
        let known = self.models.iter().find(|known| known.name == model);
        let known = known.and_then(|known| known.plan.as_ref());
        self.context_length = known.map(|plan| plan.context_length).or(of_policy);
        let kind = self.kind(stage, (placed, index));
        self.context_length = of_policy;
        if matches!(stage.kind, StageKindSpec::RewardModel(_)) {
            self.reward_models.push(stage.id.0.clone());
        }
        // A stage with a mistake is taken for one that learns, so that nobody is told twice.
        if kind.as_ref().is_none_or(|kind| kind.outline().changes_weights()) {
            self.learners.push(stage.id.0.clone());
        }
        Some(StagePlan { id: stage.id.0.clone(), model, weights: weights?, kind: kind? })
    }

    fn kind(
        &mut self,
        stage: &StageSpec,
        (placed, index): (&[Placed], usize),
    ) -> Option<StageKind> {
        let above = &placed[..index];
        Some(match &stage.kind {
            StageKindSpec::Sft(sft) => StageKind::Sft(self.sft(sft)?),
            StageKindSpec::Grpo(grpo) => StageKind::Grpo(self.grpo(grpo, above)?),
            StageKindSpec::Reject(reject) => StageKind::Reject(self.reject(&stage.id, reject)?),
            StageKindSpec::RewardModel(spec) => StageKind::RewardModel(self.reward_model(spec)?),
            StageKindSpec::Dpo(dpo) => StageKind::Dpo(self.dpo(dpo)?),
            StageKindSpec::Distill(spec) => StageKind::Distill(self.distill(spec, above)?),
            StageKindSpec::Merge(merge) => {
                StageKind::Merge(self.merge(stage, merge, (placed, index))?)
            }
            StageKindSpec::Evaluate(evaluate) => StageKind::Evaluate(self.evaluate(evaluate)),
        })
    }

    /// The weights that the stage at a position begins with, or its critic.
    pub(super) fn weights(
        &mut self,
        written: Option<&At<Name>>,
        model: &Option<String>,
        placed: &[Placed],
        index: usize,
    ) -> Option<WeightsFrom> {
        let above = &placed[..index];
        let Some(name) = written else { return Some(Self::nearest_weights(model, above)) };
        if name.0 == BASE {
            return Some(WeightsFrom::Base);
        }
        let other = self.placed_above(name, placed, index)?;
        let fit = self.check_weights_fit(name, model, &other);
        fit.then(|| WeightsFrom::Stage(name.value.0.clone()))
    }

    /// The model of a stage above the one at a position, or `None` after reporting that there is no such stage.
    pub(super) fn placed_above(
        &mut self,
        name: &At<Name>,
        placed: &[Placed],
        index: usize,
    ) -> Option<Option<String>> {
        let above = &placed[..index];
        if let Some((_, other)) = above.iter().find(|(id, _)| *id == name.0) {
            return Some(other.clone());
        }
        if placed.iter().any(|(id, _)| *id == name.0) {
            let message = format!("the stage {} is not above this one", quoted(&name.0));
            let help = "stages run from top to bottom, so its weights do not exist yet";
            self.error(codes::UNKNOWN_NAME, name.span, message).help(help);
        } else {
            let above = above.iter().map(|(id, _)| id.clone());
            let known: Vec<String> = [BASE.to_owned()].into_iter().chain(above).collect();
            self.unknown("stage above", &name.0, name.span, &known);
        }
        None
    }

    fn sft(&mut self, spec: &At<SftSpec>) -> Option<SftPlan> {
        let data = self.mixed_data(&spec.data, spec.skip.as_ref(), spec.limit.as_ref());
        spec.data.names.iter().for_each(|name| self.check_solutions(name));
        let batch = *spec.batch_size;
        let micro_batch_size =
            self.micro_batch(spec.micro_batch_size.as_ref(), batch, "batch_size", &spec.path);
        self.check_draws(data.as_deref().unwrap_or_default(), &spec.batch_size, "batch_size");
        let steps = data.as_deref().and_then(|data| self.steps_of_sft(spec, data));
        // What is wrong with the schedule is told even where the number of steps is not known.
        let optimizer = self.optimizer(&spec.optimizer, steps.unwrap_or(u64::MAX));
        let (steps, batch_size) = (steps?, batch);
        Some(SftPlan { data: data?, steps, batch_size, micro_batch_size, optimizer })
    }

    /// The updates of supervised fine-tuning: as many as are written, or as many passes take.
    fn steps_of_sft(&mut self, spec: &At<SftSpec>, data: &[DataRef]) -> Option<u64> {
        let (epochs, steps) = match (&spec.epochs, &spec.steps) {
            (None, Some(steps)) => return Some(**steps),
            (None, None) => {
                let message = "`steps` or `epochs` is missing".to_owned();
                let help =
                    "write how many updates there are, or how often the problems are gone through";
                self.error(codes::MISSING_KEY, spec.span, message).help(help);
                return None;
            }
            (Some(epochs), steps) => (epochs, steps),
        };
        if steps.is_some() {
            let message = "`steps` and `epochs` both say how long the stage is".to_owned();
            let help = "leave one of them out; `steps: null` takes out what a spec is built on";
            self.error(codes::COUNTS, epochs.span, message).help(help);
            return None;
        }
        let Some(offered) = data.iter().map(|one| self.offered(one)).sum::<Option<usize>>() else {
            let message = "how many rows a stage makes is known when it has made them".to_owned();
            self.error(codes::COUNTS, epochs.span, message)
                .help("write `steps` in place of `epochs`");
            return None;
        };
        let steps = (**epochs * offered as f64 / *spec.batch_size as f64).ceil().max(1.0) as u64;
        self.derived(&spec.path, "steps", json!(steps));
        Some(steps)
    }

    pub(super) fn check_solutions(&mut self, name: &At<DataName>) {
        let facts = self.data.iter().find(|facts| facts.id == name.data);
        let source = facts.and_then(|facts| facts.plan.as_ref()).map(|plan| &plan.source);
        if let Some(SourcePlan::Rows { solution: None, format, .. }) = source {
            let key = format.key();
            let message = format!("the data `{}` has no worked solutions to learn from", name.data);
            let help =
                format!("name the column that holds them: data.{}.{key}.solution", name.data);
            self.error(codes::NO_SOLUTIONS, name.span, message).help(help);
        }
    }

    fn grpo(&mut self, spec: &At<GrpoSpec>, above: &[Placed]) -> Option<GrpoPlan> {
        let spec = &self.with_algorithm(spec);
        let data = self.mixed_data(&spec.data, spec.skip.as_ref(), spec.limit.as_ref());
        self.check_rewards(spec);
        self.check_group(spec);
        let sampling = self.sampling(&spec.sampling);
        if *spec.sampling.temperature == 0.0 {
            let span = spec.sampling.temperature.span;
            let message = "a stage cannot learn from samples at temperature 0".to_owned();
            let help = "all completions of a group would be equal; use a temperature above 0";
            self.error(codes::COUNTS, span, message).help(help);
        }
        let rollouts = *spec.prompts_per_step * *spec.group_size;
        let update = self.sequences_per_update(spec, rollouts);
        let what = "an update";
        let micro_batch_size =
            self.micro_batch(spec.micro_batch_size.as_ref(), update, what, &spec.path);
        let loss = LossPlan::Surrogate(self.surrogate(spec));
        let advantage = self.advantage(&spec.advantage);
        let zero_signal = self.zero_signal(spec);
        let critic = self.critic(spec, above);
        let optimizer = self.optimizer(&spec.optimizer, *spec.steps);
        let data = data?;
        self.check_draws(&data, &spec.prompts_per_step, "prompts_per_step");
        Some(GrpoPlan {
            data,
            rewards: spec.rewards.iter().map(|id| id.0.clone()).collect(),
            steps: *spec.steps,
            prompts_per_step: *spec.prompts_per_step,
            group_size: *spec.group_size,
            sampling,
            epochs: *spec.epochs,
            updates_per_epoch: *spec.updates_per_epoch,
            micro_batch_size,
            optimizer,
            advantage,
            loss,
            zero_signal,
            truncated: *spec.truncated,
            top_entropy_share: *spec.entropy.top_share,
            share_prompts: *spec.share_prompts,
            critic: critic?.map(Box::new),
        })
    }

    /// The problems of a stage, one data set after the other, or mixed by parts.
    pub(super) fn mixed_data(
        &mut self,
        names: &DataNames,
        skip: Option<&At<usize>>,
        limit: Option<&At<usize>>,
    ) -> Option<Vec<DataRef>> {
        let DataNames { names, parts } = names;
        let part = skip.or(limit).filter(|_| names.len() > 1);
        if let Some(part) = part {
            let message = "`skip` and `limit` are about one data set, and this stage has several";
            let help = "leave them out; a data set of its own can hold fewer problems";
            self.error(codes::COUNTS, part.span, message.to_owned()).help(help);
        }
        for (position, name) in names.iter().enumerate() {
            if names[..position].iter().any(|earlier| earlier.data == name.data) {
                let message = format!("the data set `{}` is named twice", name.data);
                self.error(codes::DUPLICATE_ID, name.span, message);
            }
        }
        let (skip, limit) = if part.is_some() { (None, None) } else { (skip, limit) };
        let read: Vec<Option<DataRef>> =
            names.iter().map(|name| self.training_data(name, skip, limit)).collect();
        let mut read: Vec<DataRef> = read.into_iter().collect::<Option<_>>()?;
        // 3 of 6 and 1 of 2 are one mixture, so that both have one plan.
        let common = parts.iter().flatten().copied().fold(0, greatest_common_divisor).max(1);
        for (data, parts) in read.iter_mut().zip(parts.iter().flatten()) {
            data.parts = Some(parts / common);
        }
        Some(read)
    }

    fn check_group(&mut self, spec: &GrpoSpec) {
        if *spec.group_size < 2 && spec.advantage.kind.compares_group() {
            let message = "a group of one completion has nothing to be compared with".to_owned();
            let help = "the advantage is taken relative to the group; set group_size to 2 or more";
            self.error(codes::COUNTS, spec.group_size.span, message).help(help);
        }
    }

    /// Sequences of the largest update.
    fn sequences_per_update(&mut self, spec: &GrpoSpec, rollouts: usize) -> usize {
        let updates = *spec.updates_per_epoch;
        if updates > rollouts {
            let message =
                format!("{rollouts} rollouts of a step cannot be split into {updates} updates");
            self.error(codes::COUNTS, spec.updates_per_epoch.span, message);
        }
        rollouts.div_ceil(updates)
    }

    pub(super) fn micro_batch(
        &mut self,
        written: Option<&At<usize>>,
        batch: usize,
        batch_name: &str,
        owner: &str,
    ) -> usize {
        let Some(micro) = written else {
            let size = MICRO_BATCH.min(batch);
            self.derived(owner, "micro_batch_size", json!(size));
            return size;
        };
        if **micro > batch {
            let message = format!(
                "micro_batch_size is {}, but {batch_name} has only {batch} sequences",
                **micro
            );
            let help = format!("set micro_batch_size to {batch} or less, or leave it out");
            self.error(codes::COUNTS, micro.span, message).help(help);
        }
        **micro
    }

    pub(super) fn optimizer(&mut self, spec: &OptimizerSpec, steps: u64) -> OptimizerPlan {
        let schedule = &spec.schedule;
        if *schedule.warmup_steps > steps {
            let message = format!(
                "the warm-up takes {} steps, but the stage has {steps}",
                *schedule.warmup_steps
            );
            self.error(codes::COUNTS, schedule.warmup_steps.span, message);
        }
        OptimizerPlan {
            lr: *spec.lr,
            schedule: SchedulePlan {
                kind: *schedule.kind,
                warmup_steps: *schedule.warmup_steps,
                final_ratio: *schedule.final_ratio,
            },
            beta1: *spec.beta1,
            beta2: *spec.beta2,
            eps: *spec.eps,
            weight_decay: *spec.weight_decay,
            grad_clip: *spec.grad_clip,
        }
    }

    /// How tokens are drawn; a completion must leave room for its prompt.
    pub(super) fn sampling(&mut self, spec: &SamplingSpec) -> SamplingPlan {
        if let Some(context) = self.context_length.filter(|length| *spec.max_tokens >= *length) {
            let message = format!(
                "a completion of {} tokens and its prompt do not fit into a context of {context}",
                *spec.max_tokens
            );
            let help = "lower max_tokens, or raise model.context_length";
            self.error(codes::COUNTS, spec.max_tokens.span, message).help(help);
        }
        SamplingPlan {
            temperature: *spec.temperature,
            top_k: *spec.top_k,
            top_p: *spec.top_p,
            min_p: *spec.min_p,
            max_tokens: *spec.max_tokens,
        }
    }

    fn evaluate(&mut self, spec: &EvaluateSpec) -> EvaluatePlan {
        self.check_list(&spec.evals, "eval");
        for id in spec.evals.iter() {
            self.check_eval(&id.0, id.span);
        }
        EvaluatePlan { evals: spec.evals.iter().map(|id| id.0.clone()).collect() }
    }

    fn check_eval(&mut self, id: &str, span: Span) {
        if self.evals.iter().any(|known| known == id) {
            self.evaluated.push(id.to_owned());
        } else {
            let known = self.evals.clone();
            self.unknown("eval", id, span, &known);
        }
    }
}

/// Euclid's algorithm; of 0 and a number it is the number.
fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if one == 0 { other } else { greatest_common_divisor(other % one, one) }
}
