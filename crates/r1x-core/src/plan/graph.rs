//! The graph of stages: whose weights each of them begins with.
//!
//! Stages run in the order of the plan, so a stage takes the weights of one above it, or those that the run begins with.

use super::{RunPlan, StagePlan, WeightsFrom};

/// Why a stage cannot begin with the weights that it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// The plan has no stage of the id that is named.
    #[error("it begins with the weights of a stage `{0}`, which the plan does not have")]
    Unknown(String),
    /// The stage that is named stands at the place of the one that asks or below it, so its weights do not exist yet.
    #[error("it begins with the weights of stage `{0}`, which is not above it")]
    NotAbove(String),
}

impl RunPlan {
    /// The weights that the stage at a position begins with: those of the run, or those of a stage that learns. A
    /// stage that leaves weights as they are stands for those that it began with.
    ///
    /// # Errors
    /// When the stage, or one that it takes weights from, names a stage that is not above it.
    pub fn weights_before(&self, index: usize) -> Result<WeightsFrom, WeightsError> {
        let mut weights = self.stages.get(index).map(|stage| &stage.weights);
        let mut below = index;
        while let Some(WeightsFrom::Stage(id)) = weights {
            let named = |stage: &StagePlan| stage.id == *id;
            let Some(at) = self.stages.iter().position(named) else {
                return Err(WeightsError::Unknown(id.clone()));
            };
            if at >= below {
                return Err(WeightsError::NotAbove(id.clone()));
            }
            if self.stages[at].kind.outline().learning.is_some() {
                return Ok(WeightsFrom::Stage(id.clone()));
            }
            (weights, below) = (Some(&self.stages[at].weights), at);
        }
        Ok(WeightsFrom::Base)
    }

    /// The weights that there are once the stage at a position has ended.
    ///
    /// # Errors
    /// The errors of [`RunPlan::weights_before`].
    pub fn weights_after(&self, index: usize) -> Result<WeightsFrom, WeightsError> {
        match self.stages.get(index) {
            Some(stage) if stage.kind.outline().learning.is_some() => {
                Ok(WeightsFrom::Stage(stage.id.clone()))
            }
            _ => self.weights_before(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{EvaluatePlan, StageKind};
    use crate::testing;

    /// Stages by id, each with the weights that it begins with; those called `look` only evaluate.
    fn plan(stages: &[(&str, WeightsFrom)]) -> RunPlan {
        let stage = |(id, weights): &(&str, WeightsFrom)| StagePlan {
            id: (*id).to_owned(),
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
        let before: Vec<_> = (0..6).map(|at| plan.weights_before(at).unwrap()).collect();
        let base = WeightsFrom::Base;
        assert_eq!(before, [base.clone(), of("a"), of("a"), of("a"), base.clone(), base.clone()]);
        let after: Vec<_> = (0..6).map(|at| plan.weights_after(at).unwrap()).collect();
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
}
