//! Merges: which weights are averaged, and whether their numbers mean the same.

use r1x_core::plan::{HeadPlan, MergePart, MergePlan, WeightsFrom};

use super::Resolver;
use super::further::Placed;
use super::stages::BASE;
use crate::codes;
use crate::diagnostic::quoted;
use crate::read::At;
use crate::spec::{MergeSpec, StageSpec};
use crate::value_types::Name;

impl Resolver<'_, '_> {
    /// The plan of a stage at a position that averages weights.
    pub(super) fn merge(
        &mut self,
        stage: &StageSpec,
        spec: &At<MergeSpec>,
        (placed, index): (&[Placed], usize),
    ) -> Option<MergePlan> {
        if let Some(weights) = &stage.weights {
            let message = "a merge begins with no weights of its own".to_owned();
            let help = "take `weights` out; what is averaged stands under `parts`";
            self.error(codes::ONE_OF, weights.span, message).help(help);
        }
        let model = placed[index].1.clone();
        let plan = self.plan_called(&model);
        if plan.is_some_and(|plan| plan.head == HeadPlan::Value) {
            let message = "weights of models with a value head are not averaged".to_owned();
            let help = "a reward asks the stage that has trained its model; average stages of a model that writes";
            self.error(codes::SHAPE, spec.span, message).help(help);
            return None;
        }
        if self.plan_called(&model).is_some_and(|plan| plan.lora.is_some()) {
            let message = "a model with adapters cannot become an average".to_owned();
            let help = "adapters of the parts are merged into a model without: `models: {whole: {lora: null}}`, and \
                        `model: whole` in this stage";
            self.error(codes::SHAPE, spec.span, message).help(help);
            return None;
        }
        let is_merged = |name: &At<Name>| {
            let above = placed[..index].iter().find(|(id, _)| *id == name.0);
            let plan = above.and_then(|(_, model)| self.plan_called(model));
            plan.is_some_and(|plan| plan.lora.is_some())
        };
        // The adapters of one stage are something to merge; the weights of one stage are what they are.
        if spec.parts.0.len() < 2 && !spec.parts.0.iter().any(|(name, _)| is_merged(name)) {
            let message = "an average has at least two parts".to_owned();
            let help =
                format!("name two stages above, or one and `{BASE}`: `parts: {{a: 1, b: 1}}`");
            self.error(codes::COUNTS, spec.parts.span, message).help(help);
        }
        let parts = spec.parts.0.iter();
        let parts: Vec<Option<(WeightsFrom, f64)>> = parts
            .map(|(name, weight)| {
                let weights = self.part(name, &model, (placed, index));
                Some((weights?, **weight.as_ref()?))
            })
            .collect();
        let parts: Vec<(WeightsFrom, f64)> = parts.into_iter().collect::<Option<_>>()?;
        let sum: f64 = parts.iter().map(|(_, weight)| weight).sum();
        let part = |(weights, weight)| MergePart { weights, share: weight / sum };
        Some(MergePlan { parts: parts.into_iter().map(part).collect() })
    }

    fn part(
        &mut self,
        name: &At<Name>,
        model: &Option<String>,
        (placed, index): (&[Placed], usize),
    ) -> Option<WeightsFrom> {
        if name.0 == BASE {
            return Some(WeightsFrom::Base);
        }
        let other = self.placed_above(name, placed, index)?;
        if !self.check_averages_with(name, model, &other) {
            return None;
        }
        if !self.learners.contains(&name.0) {
            let message = format!("the stage {} leaves weights as they are", quoted(&name.0));
            let help = "name the stage that has made the weights";
            self.error(codes::UNKNOWN_NAME, name.span, message).help(help);
            return None;
        }
        Some(WeightsFrom::Stage(name.0.clone()))
    }
}
