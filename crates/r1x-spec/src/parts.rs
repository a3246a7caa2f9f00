//! A run in parts, one for each model that it works on: what is counted of a model is counted of its stages.

use std::collections::BTreeSet;

use r1x_core::parameters::ParameterList;
use r1x_core::plan::{EvalPlan, ModelPlan, RunPlan, StagePlan};

/// What a run does with one of its models.
pub(crate) struct Part {
    /// The key of the spec that describes the model.
    pub key: String,
    /// The run with the model as its policy, and with the stages that work on it alone.
    pub plan: RunPlan,
    /// The reward models and the teachers that its stages ask.
    pub asked: Vec<ModelPlan>,
    /// For each of its stages with a critic, the run with the critic as its policy and with that stage alone.
    pub critics: Vec<RunPlan>,
}

/// The part of the policy, and that of every further model that a stage works on. Suites are in all of them, because every
/// model that learns is evaluated; before the first step only the policy is.
pub(crate) fn by_model(plan: &RunPlan) -> Vec<Part> {
    let mut parts = vec![part(plan, None, &plan.model)];
    let further = plan.models.iter().map(|(name, model)| part(plan, Some(name.as_str()), model));
    parts.extend(further.filter(|part| !part.plan.stages.is_empty()));
    parts
}

fn part(plan: &RunPlan, name: Option<&str>, model: &ModelPlan) -> Part {
    let of_model = |stage: &&StagePlan| stage.model.as_deref() == name;
    let stages: Vec<StagePlan> = plan.stages.iter().filter(of_model).cloned().collect();
    let rewards = stages.iter().flat_map(|stage| stage.kind.outline().rewards);
    let judging = rewards.filter_map(|id| plan.reward(id)?.reward_model());
    let judging: BTreeSet<&str> = judging.collect();
    let trained = plan.stages.iter().filter(|stage| judging.contains(stage.id.as_str()));
    let judges = trained.filter_map(|stage| plan.model_of(stage).ok());
    // A stage has one teacher, which is gone before the next stage asks for its own.
    let teachers = stages.iter().filter_map(|stage| stage.kind.outline().teacher);
    let teachers = teachers.filter_map(|one| plan.model_called(one.plan.model.as_deref()));
    let teacher = teachers.max_by_key(|model| ParameterList::new(model).total());
    let asked = judges.chain(teacher).cloned().collect();
    let critic = |stage: &StagePlan| {
        let model = plan.model_called(Some(&stage.kind.outline().critic?.model))?.clone();
        let stages = vec![stage.clone()];
        Some(RunPlan { model, stages, evals: Vec::new(), ..plan.clone() })
    };
    let critics = stages.iter().filter_map(critic).collect();
    let suite = |eval: &EvalPlan| {
        let mut eval = eval.clone();
        eval.when.start &= name.is_none();
        eval
    };
    let evals = plan.evals.iter().map(suite).collect();
    let key = name.map_or("model".to_owned(), |name| format!("models.{name}"));
    let plan = RunPlan { model: model.clone(), stages, evals, ..plan.clone() };
    Part { key, plan, asked, critics }
}
