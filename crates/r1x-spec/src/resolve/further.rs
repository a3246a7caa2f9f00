//! Further models of the run, and which of them a stage works on.

use std::collections::BTreeMap;

use r1x_core::plan::{ModelPlan, WeightsFrom};

use super::Resolver;
use super::model::Purpose;
use crate::codes;
use crate::diagnostic::quoted;
use crate::lists::Dict;
use crate::read::At;
use crate::spec::ModelSpec;
use crate::value_types::Name;

/// A model of the spec.
pub(super) struct KnownModel {
    /// Its name; `None` for the policy.
    pub name: Option<String>,
    /// What it is, unless it has a mistake.
    pub plan: Option<ModelPlan>,
}

/// A stage that was read: its id and the name of its model.
pub(super) type Placed = (String, Option<String>);

impl Resolver<'_, '_> {
    /// The policy and the further models.
    pub(super) fn known_models(
        &mut self,
        policy: Option<&ModelPlan>,
        further: &Dict<ModelSpec>,
    ) -> Vec<KnownModel> {
        let mut known = vec![KnownModel { name: None, plan: policy.cloned() }];
        for (name, spec) in &further.0 {
            let plan = spec.as_ref().and_then(|spec| self.further(spec, policy));
            known.push(KnownModel { name: Some(name.0.clone()), plan });
        }
        known
    }

    fn further(&mut self, spec: &At<ModelSpec>, policy: Option<&ModelPlan>) -> Option<ModelPlan> {
        // What is wrong with the policy is wrong with all that follows it, and was said.
        let policy = policy?;
        let plan = self.model(spec, Purpose::Run)?.plan;
        if plan.tokenizer != policy.tokenizer {
            let message = format!("`{}` reads other tokens than the policy", spec.path);
            let help = "the models of a run share prompts and data as tokens: leave its `tokenizer` out, or take a \
                        published model with the tokenizer of `model`";
            self.error(codes::TOKENIZER, spec.span, message).help(help);
            return None;
        }
        Some(plan)
    }

    /// The model of a name, unless it has a mistake; the policy without one.
    pub(super) fn plan_called(&self, name: &Option<String>) -> Option<&ModelPlan> {
        self.models.iter().find(|known| known.name == *name)?.plan.as_ref()
    }

    /// The further models by name, or `None` where one has a mistake.
    pub(super) fn further_plans(&self) -> Option<BTreeMap<String, ModelPlan>> {
        let further = self.models.iter().filter_map(|model| Some((model.name.as_ref()?, model)));
        further.map(|(name, model)| Some((name.clone(), model.plan.clone()?))).collect()
    }

    /// The name of the model that a stage works on, which must be one of `models`.
    pub(super) fn model_of_stage(&mut self, written: Option<&At<Name>>) -> Option<Option<String>> {
        let Some(name) = written else { return Some(None) };
        let wanted = Some(name.0.clone());
        if self.models.iter().any(|model| model.name == wanted) {
            return Some(wanted);
        }
        let names: Vec<String> =
            self.models.iter().filter_map(|model| model.name.clone()).collect();
        self.unknown("further model", &name.0, name.span, &names);
        None
    }

    /// The weights of the nearest stage above that works on a model.
    pub(super) fn nearest_weights(model: &Option<String>, above: &[Placed]) -> WeightsFrom {
        let nearest = above.iter().rev().find(|(_, of)| of == model);
        nearest.map_or(WeightsFrom::Base, |(id, _)| WeightsFrom::Stage(id.clone()))
    }

    /// Whether a stage that works on a model can begin with weights of the model of another stage.
    pub(super) fn check_weights_fit(
        &mut self,
        name: &At<Name>,
        model: &Option<String>,
        other: &Option<String>,
    ) -> bool {
        let help = "take weights of a stage that works on a model of this shape, or `base`";
        self.check_fit(name, (model, other), ModelPlan::takes_weights_of, help)
    }

    /// Whether the numbers of the model of another stage mean the same as those of a model.
    pub(super) fn check_averages_with(
        &mut self,
        name: &At<Name>,
        model: &Option<String>,
        other: &Option<String>,
    ) -> bool {
        let help = "an average is of weights of one shape: name stages that work on such a model";
        self.check_fit(name, (model, other), ModelPlan::averages_with, help)
    }

    fn check_fit(
        &mut self,
        name: &At<Name>,
        (model, other): (&Option<String>, &Option<String>),
        fits: impl Fn(&ModelPlan, &ModelPlan) -> bool,
        help: &str,
    ) -> bool {
        let plans = (self.plan_called(model), self.plan_called(other));
        let (Some(of_stage), Some(of_other)) = plans else { return true };
        if fits(of_stage, of_other) {
            return true;
        }
        let called = |model: &Option<String>| match model {
            None => "the policy".to_owned(),
            Some(name) => format!("the model {}", quoted(name)),
        };
        let message = format!(
            "the stage {} works on {}, whose weights do not fit {}",
            quoted(&name.0),
            called(other),
            called(model)
        );
        self.error(codes::SHAPE, name.span, message).help(help);
        false
    }
}
