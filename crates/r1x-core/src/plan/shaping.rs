//! The part of the plan that says how rewards become totals: what a reward judges, its bounds, its condition,
//! the course of its weight, and how the rewards of a rollout are put together.

use serde::{Deserialize, Serialize};

use super::SchedulePlan;

/// How one reward enters the total. The default judges everything and changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShapingPlan {
    /// Problems it judges; `None` judges all.
    pub applies: Option<AppliesPlan>,
    /// Bounds its value is moved into.
    pub clip: Option<Bounds>,
    /// Another reward that decides whether it counts.
    pub condition: Option<ConditionPlan>,
    /// Course of its weight; `None` keeps the weight of the plan.
    pub course: Option<CoursePlan>,
}

impl ShapingPlan {
    /// Whether it says nothing.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what counts can differ from what the reward says, or its weight from step to step.
    pub fn changes_values(&self) -> bool {
        self.clip.is_some() || self.condition.is_some() || self.course.is_some()
    }
}

/// Which problems a reward judges: those that match both parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AppliesPlan {
    /// Ids of data sets; `None` takes any.
    pub data: Option<Vec<String>>,
    /// What a column holds; `None` takes any.
    pub column: Option<ColumnPlan>,
}

/// What a column of a problem must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnPlan {
    /// Its name.
    pub name: String,
    /// JSON texts, one of which it holds or (when it is a list) has among its entries.
    pub values: Vec<String>,
}

/// A low and a high bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// The lowest value.
    pub low: f64,
    /// The highest value, above `low`.
    pub high: f64,
}

impl Bounds {
    /// The nearest value inside.
    pub fn clip(self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }
}

/// The condition of a reward (`only_if` in a spec): another reward decides whether it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionPlan {
    /// Id of the deciding reward.
    pub reward: String,
    /// The condition is met when the deciding reward counts at least this.
    pub at_least: f64,
    /// What the reward is when its condition is not met.
    pub otherwise: Otherwise,
}

/// What a reward is whose condition is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The value 0, which is compared with the others of its group.
    Zero,
    /// No value: it is left out.
    Mask,
}

/// Course of a weight over the steps of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoursePlan {
    /// The weight is the peak of a schedule, as a learning rate is.
    Schedule(SchedulePlan),
    /// Straight lines between points, in ascending order of steps, at least one.
    Points(Vec<WeightPoint>),
}

/// The weight at one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightPoint {
    /// Step of the stage, from 0.
    pub step: u64,
    /// Weight at that step.
    pub weight: f64,
}

/// How the rewards of a rollout are put together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CombinePlan {
    /// What comes first.
    pub order: CombineOrder,
    /// Divide the advantages of a step by their standard deviation over the whole step.
    pub whiten: bool,
    /// Bounds totals are moved into.
    pub clip: Option<Bounds>,
}

impl CombinePlan {
    /// Whether it is the plain weighted sum.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether rewards are summed or compared first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombineOrder {
    /// Totals are weighted sums; the estimator compares the totals of a group (GRPO).
    #[default]
    SumThenNormalize,
    /// The estimator compares each reward in its group; the advantage is the weighted sum of these (GDPO).
    NormalizeThenSum,
}
