//! The plan of distillation: a student learns the distributions of a teacher.

use serde::{Deserialize, Serialize};

use super::{Learning, Prompts, Reference, Rollouts, StageOutline, Teacher, WeightsFrom};
use crate::plan::{DataRef, DistillationPlan, OptimizerPlan, SamplingPlan};

/// Distillation on the distributions of a teacher (Distilling the Knowledge in a Neural Network, 2015, arXiv 1503.02531), over
/// texts that exist already or over those that the student writes (On-Policy Distillation of Language Models: Learning from
/// Self-Generated Mistakes, 2023, arXiv 2306.13649). Distillation on the texts of a teacher is supervised fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistillPlan {
    /// The model that is learnt from.
    pub teacher: TeacherPlan,
    /// Problems, at least one data set. A pass over the data meets every problem of all of them once.
    pub data: Vec<DataRef>,
    /// What both are asked about.
    pub texts: DistilledTexts,
    /// Optimizer updates.
    pub steps: u64,
    /// Problems per update.
    pub batch_size: usize,
    /// Sequences computed together.
    pub micro_batch_size: usize,
    /// Optimizer.
    pub optimizer: OptimizerPlan,
    /// The temperature of both distributions, above 0.
    pub temperature: f64,
    /// The most likely tokens that the teacher names at each target.
    pub top: usize,
    /// What an update minimises.
    pub loss: DistillationPlan,
}

/// A model of the run that others learn from. Nothing changes it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeacherPlan {
    /// The model, by its name among the further models of the run; `None` for the policy.
    pub model: Option<String>,
    /// Its weights.
    pub weights: WeightsFrom,
}

/// The texts whose distributions a student learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistilledTexts {
    /// The worked solutions of the problems.
    Solutions,
    /// Completions that the student writes.
    Samples {
        /// Completions of each problem.
        per_problem: usize,
        /// How they are sampled.
        sampling: SamplingPlan,
    },
}

impl DistillPlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        let (rollouts, per_problem) = match &self.texts {
            DistilledTexts::Solutions => (None, 1),
            DistilledTexts::Samples { per_problem, sampling } => {
                (Some(Rollouts { per_problem: *per_problem, sampling }), *per_problem)
            }
        };
        StageOutline {
            steps: self.steps,
            problems_per_step: self.batch_size,
            data: self.data.iter().collect(),
            rollouts,
            learning: Some(Learning {
                sequences_per_step: self.batch_size.saturating_mul(per_problem),
                epochs: 1,
                updates_per_epoch: 1,
                micro_batch_size: self.micro_batch_size,
                prompts: Prompts::Repeated,
                reference: Reference::None,
                scored_before: 0,
            }),
            teacher: Some(Teacher { plan: &self.teacher, named: self.top }),
            remarks: vec![("distance", self.distance())],
            ..StageOutline::default()
        }
    }

    /// What is minimised, in words.
    fn distance(&self) -> String {
        let of = match &self.teacher.weights {
            WeightsFrom::Stage(id) => format!("stage `{id}`"),
            WeightsFrom::Base => match &self.teacher.model {
                Some(name) => format!("model `{name}`"),
                None => "the policy that the run begins with".to_owned(),
            },
        };
        let divergence = self.loss.divergence.words();
        format!("{divergence}\nthe teacher is {of}, which names {} tokens", self.top)
    }
}
