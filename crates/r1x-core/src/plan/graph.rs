//! The graph of stages: which model each of them works on, and whose weights that begins with.
//!
//! Stages run in the order of the plan, so a stage takes the weights of one above it, or those that its model begins with.

use super::{CriticPlan, ModelPlan, RunPlan, StagePlan, WeightsFrom};
use crate::cursor::Cursor;

/// Weights of one of the models of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelWeights {
    /// The model, by its name among the further ones; `None` for the policy.
    pub model: Option<String>,
    /// Where its weights come from.
    pub from: WeightsFrom,
}

impl ModelWeights {
    /// The weights that the policy begins with.
    pub fn of_policy() -> Self {
        Self { model: None, from: WeightsFrom::Base }
    }
}

/// Why a stage cannot have the weights that it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// The plan has no stage of the id that is named.
    #[error("it begins with the weights of a stage `{0}`, which the plan does not have")]
    Unknown(String),
    /// The stage that is named stands at the place of the one that asks or below it, so its weights do not exist yet.
    #[error("it begins with the weights of stage `{0}`, which is not above it")]
    NotAbove(String),
    /// The plan has no model of the name.
    #[error("it works on a model `{0}`, which the plan does not have")]
    UnknownModel(String),
    /// The stage that is named works on a model of another shape.
    #[error("it begins with the weights of stage `{0}`, which works on a model of another shape")]
    OtherShape(String),
    /// The average has a part that is the weights of a stage which makes none.
    #[error("it averages the weights of stage `{0}`, which leaves weights as they are")]
    NothingMade(String),
    /// The average is to become the weights of a model with adapters, of which only those are ever changed.
    #[error("it makes an average for a model with adapters")]
    Adapters,
}

impl RunPlan {
    /// The model of a name; the policy without one, and `None` where the plan has no such model.
    pub fn model_called(&self, name: Option<&str>) -> Option<&ModelPlan> {
        match name {
            None => Some(&self.model),
            Some(name) => self.models.get(name),
        }
    }

    /// The model that a stage works on.
    ///
    /// # Errors
    /// When the plan has none of the name.
    pub fn model_of(&self, stage: &StagePlan) -> Result<&ModelPlan, WeightsError> {
        let unknown = || WeightsError::UnknownModel(stage.model.clone().unwrap_or_default());
        self.model_called(stage.model.as_deref()).ok_or_else(unknown)
    }

    /// The weights that the stage at a position begins with: those of its model, or those of a stage that changes
    /// them. A stage that leaves weights as they are stands for those that it began with.
    ///
    /// # Errors
    /// When the stage, or one that it takes weights from, names a stage that is not above it or has another shape.
    pub fn weights_before(&self, index: usize) -> Result<ModelWeights, WeightsError> {
        let Some(first) = self.stages.get(index) else { return Ok(ModelWeights::of_policy()) };
        let (mut stage, mut below) = (first, index);
        while let WeightsFrom::Stage(id) = &stage.weights {
            let at = self.position_above(id, below)?;
            if !self.model_of(first)?.takes_weights_of(self.model_of(&self.stages[at])?) {
                return Err(WeightsError::OtherShape(id.clone()));
            }
            if self.stages[at].kind.outline().changes_weights() {
                let from = WeightsFrom::Stage(id.clone());
                return Ok(ModelWeights { model: first.model.clone(), from });
            }
            (stage, below) = (&self.stages[at], at);
        }
        self.model_of(first)?;
        Ok(ModelWeights { model: first.model.clone(), from: WeightsFrom::Base })
    }

    /// The model of the critic of the stage at a position, whose weights that stage finds.
    ///
    /// # Errors
    /// When there is no such model, or its weights are those of a stage that is not above or has another shape.
    pub fn model_of_critic(
        &self,
        index: usize,
        critic: &CriticPlan,
    ) -> Result<&ModelPlan, WeightsError> {
        let unknown = || WeightsError::UnknownModel(critic.model.clone());
        let model = self.models.get(&critic.model).ok_or_else(unknown)?;
        if let WeightsFrom::Stage(id) = &critic.weights {
            let made = &self.stages[self.position_above(id, index)?];
            if !made.kind.outline().changes_weights() {
                return Err(WeightsError::NothingMade(id.clone()));
            }
            if !model.takes_weights_of(self.model_of(made)?) {
                return Err(WeightsError::OtherShape(id.clone()));
            }
        }
        Ok(model)
    }

    /// The position of the stage of an id, which stands above a position.
    fn position_above(&self, id: &str, below: usize) -> Result<usize, WeightsError> {
        match self.stages.iter().position(|named| named.id == id) {
            None => Err(WeightsError::Unknown(id.to_owned())),
            Some(at) if at >= below => Err(WeightsError::NotAbove(id.to_owned())),
            Some(at) => Ok(at),
        }
    }

    /// Checks the weights that the stage at a position averages, where it averages any: each part is what the model of the
    /// stage begins with, or what a stage above has made of a model that is alike, adapters merged.
    ///
    /// # Errors
    /// When a part is not there by then, or the numbers of the parts do not mean the same.
    pub fn check_parts(&self, index: usize) -> Result<(), WeightsError> {
        let Some(stage) = self.stages.get(index) else { return Ok(()) };
        let merges = stage.kind.outline().merges;
        if merges.is_empty() {
            return Ok(());
        }
        let model = self.model_of(stage)?;
        if model.lora.is_some() {
            return Err(WeightsError::Adapters);
        }
        for part in merges {
            let WeightsFrom::Stage(id) = &part.weights else { continue };
            let made = &self.stages[self.position_above(id, index)?];
            if !model.averages_with(self.model_of(made)?) {
                return Err(WeightsError::OtherShape(id.clone()));
            }
            if !made.kind.outline().changes_weights() {
                return Err(WeightsError::NothingMade(id.clone()));
            }
        }
        Ok(())
    }

    /// The weights that there are once the stage at a position has ended.
    ///
    /// # Errors
    /// The errors of [`RunPlan::weights_before`].
    pub fn weights_after(&self, index: usize) -> Result<ModelWeights, WeightsError> {
        let before = self.weights_before(index)?;
        Ok(match self.stages.get(index) {
            Some(stage) if stage.kind.outline().changes_weights() => {
                ModelWeights { from: WeightsFrom::Stage(stage.id.clone()), ..before }
            }
            _ => before,
        })
    }

    /// The weights that there are at a place of the run: before the first step of a stage those that there are after the
    /// stage above it.
    ///
    /// # Errors
    /// The errors of [`RunPlan::weights_before`].
    pub fn weights_at(&self, cursor: &Cursor) -> Result<ModelWeights, WeightsError> {
        let index = self.stage_index(cursor).unwrap_or_default();
        match (cursor.step, index.checked_sub(1)) {
            (0, None) => Ok(ModelWeights::of_policy()),
            (0, Some(above)) => self.weights_after(above),
            _ => self.weights_after(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{EvaluatePlan, LoraPlan, MergePart, MergePlan, StageKind};
    use crate::testing;

    /// Stages by id, each with the weights that it begins with; those called `look` only evaluate.
    fn plan(stages: &[(&str, WeightsFrom)]) -> RunPlan {
        let stage = |(id, weights): &(&str, WeightsFrom)| StagePlan {
            id: (*id).to_owned(),
            model: None,
            weights: weights.clone(),
            kind: match id.starts_with("look") {
                true => StageKind::Evaluate(EvaluatePlan { evals: Vec::new() }),
                false => StageKind::Sft(testing::sft(1)),
            },
        };
        RunPlan { stages: stages.iter().map(stage).collect(), ..testing::run(Vec::new()) }
    }

    fn of(id: &str) -> WeightsFrom {
        WeightsFrom::Stage(id.to_owned())
    }

    #[test]
    fn a_stage_takes_weights_of_any_stage_above_it() {
        let stages = [
            ("a", WeightsFrom::Base),
            ("b", of("a")),
            ("look", of("a")),
            ("c", of("look")),
            ("d", WeightsFrom::Base),
            ("look-again", WeightsFrom::Base),
        ];
        let plan = plan(&stages);
        let before: Vec<_> = (0..6).map(|at| plan.weights_before(at).unwrap().from).collect();
        let base = WeightsFrom::Base;
        assert_eq!(before, [base.clone(), of("a"), of("a"), of("a"), base.clone(), base.clone()]);
        let after: Vec<_> = (0..6).map(|at| plan.weights_after(at).unwrap().from).collect();
        assert_eq!(after, [of("a"), of("b"), of("a"), of("c"), of("d"), base]);
    }

    #[test]
    fn a_stage_cannot_take_what_is_not_made_by_then() {
        let plan = plan(&[("a", of("a")), ("look", of("c")), ("c", of("look")), ("d", of("e"))]);
        let told = |at| plan.weights_before(at).unwrap_err();
        assert_eq!(told(0), WeightsError::NotAbove("a".to_owned()));
        assert_eq!(told(1), WeightsError::NotAbove("c".to_owned()));
        // The circle through a stage that only evaluates ends as well.
        assert_eq!(told(2), WeightsError::NotAbove("c".to_owned()));
        assert_eq!(told(3), WeightsError::Unknown("e".to_owned()));
    }

    #[test]
    fn a_further_model_begins_with_its_own_weights_or_those_of_a_model_of_its_shape() {
        let stages = [
            ("a", WeightsFrom::Base),
            ("small", WeightsFrom::Base),
            ("look", of("small")),
            ("smaller", of("look")),
            ("b", of("a")),
            ("copy", of("a")),
        ];
        let mut plan = plan(&stages);
        let small = ModelPlan { layers: plan.model.layers + 1, ..plan.model.clone() };
        plan.models.insert("small".to_owned(), small);
        plan.models.insert("copy".to_owned(), plan.model.clone());
        for at in 1..4 {
            plan.stages[at].model = Some("small".to_owned());
        }
        plan.stages[5].model = Some("copy".to_owned());
        let small = |from| ModelWeights { model: Some("small".to_owned()), from };
        assert_eq!(plan.weights_before(1).unwrap(), small(WeightsFrom::Base));
        assert_eq!(plan.weights_after(2).unwrap(), small(of("small")));
        assert_eq!(plan.weights_before(3).unwrap(), small(of("small")));
        assert_eq!(plan.weights_after(4).unwrap(), ModelWeights { model: None, from: of("b") });
        let copy = ModelWeights { model: Some("copy".to_owned()), from: of("a") };
        assert_eq!(plan.weights_before(5).unwrap(), copy);
        plan.stages[4].weights = of("small");
        assert_eq!(plan.weights_after(4).unwrap_err(), WeightsError::OtherShape("small".into()));
        plan.stages[3].model = Some("large".to_owned());
        assert_eq!(plan.weights_before(3).unwrap_err(), WeightsError::UnknownModel("large".into()));
    }

    /// A stage that averages weights by their origins, in equal shares.
    fn merge(parts: &[WeightsFrom]) -> StageKind {
        let share = 1.0 / parts.len() as f64;
        let part = |weights: &WeightsFrom| MergePart { weights: weights.clone(), share };
        StageKind::Merge(MergePlan { parts: parts.iter().map(part).collect() })
    }

    #[test]
    fn an_average_is_of_what_is_made_by_then_and_counts_as_made() {
        let stages = [
            ("a", WeightsFrom::Base),
            ("b", WeightsFrom::Base),
            ("look", of("b")),
            ("merge", of("b")),
            ("c", of("merge")),
        ];
        let mut plan = plan(&stages);
        let mut told = |parts: &[WeightsFrom]| {
            plan.stages[3].kind = merge(parts);
            (plan.check_parts(3), plan.weights_before(4).unwrap().from)
        };
        assert_eq!(told(&[of("a"), of("b"), WeightsFrom::Base]), (Ok(()), of("merge")));
        let wrong = |told: (Result<(), WeightsError>, WeightsFrom)| told.0.unwrap_err();
        assert_eq!(wrong(told(&[of("a"), of("d")])), WeightsError::Unknown("d".to_owned()));
        assert_eq!(wrong(told(&[of("a"), of("c")])), WeightsError::NotAbove("c".to_owned()));
        let made_none = WeightsError::NothingMade("look".to_owned());
        assert_eq!(wrong(told(&[of("a"), of("look")])), made_none);
        plan.stages[3].kind = merge(&[of("a"), of("b")]);
        assert_eq!(plan.weights_after(3).unwrap().from, of("merge"));
        let other = ModelPlan { layers: plan.model.layers + 1, ..plan.model.clone() };
        plan.models.insert("other".to_owned(), other);
        plan.stages[0].model = Some("other".to_owned());
        assert_eq!(plan.check_parts(3), Err(WeightsError::OtherShape("a".to_owned())));
        // Adapters are merged into what they stand beside, on a model that has none.
        let adapted = ModelPlan { lora: Some(LoraPlan::everywhere(2)), ..plan.model.clone() };
        plan.models.insert("other".to_owned(), adapted);
        assert_eq!(plan.check_parts(3), Ok(()));
        plan.stages[0].model = None;
        plan.model.lora = Some(LoraPlan::everywhere(2));
        assert_eq!(plan.check_parts(3), Err(WeightsError::Adapters));
        assert_eq!(plan.check_parts(4), Ok(()));
    }
}
