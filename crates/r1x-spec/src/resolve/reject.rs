//! Rejection sampling: what is sampled, what a completion must be like, and the data that comes of it.

use serde_json::json;

use r1x_core::plan::{LeastPlan, PassRatePlan, RejectPlan, TextFilterPlan};

use super::Resolver;
use crate::codes;
use crate::diagnostic::{all_words, quoted};
use crate::read::At;
use crate::spec::{PassRateSpec, RejectSpec};
use crate::value_types::Name;

/// Data that a stage above makes.
pub(super) struct MadeRead {
    /// The id of the stage, which is that of the data.
    pub id: String,
    /// The data sets whose problems it makes rows of.
    pub of: Vec<String>,
}

impl Resolver<'_, '_> {
    /// The plan of a stage called `id`.
    pub(super) fn reject(&mut self, id: &At<Name>, spec: &At<RejectSpec>) -> Option<RejectPlan> {
        let data = self.mixed_data(&spec.data, spec.skip.as_ref(), spec.limit.as_ref());
        self.check_listed_rewards(&spec.data, &spec.rewards);
        let sampling = self.sampling(&spec.sampling);
        if *spec.sampling.temperature == 0.0 && *spec.samples > 1 {
            let message = format!("all {} samples at temperature 0 are equal", *spec.samples);
            let help = "take one sample, or use a temperature above 0";
            self.error(codes::COUNTS, spec.sampling.temperature.span, message).help(help);
        }
        if self.data.iter().any(|data| data.id == id.0) {
            let message = format!(
                "the data {} and the data that this stage makes have one id",
                quoted(&id.0)
            );
            let help = "give the stage another id: stages below read its rows by it";
            self.error(codes::DUPLICATE_ID, id.span, message).help(help);
        }
        let keep = spec
            .keep
            .0
            .iter()
            .map(|(reward, least)| Some(self.least(reward, **least.as_ref()?, &spec.rewards)));
        let keep: Option<Vec<LeastPlan>> = keep.collect();
        let per_prompt = match &spec.per_prompt {
            Some(most) => **most,
            None => {
                self.derived(&spec.path, "per_prompt", json!(*spec.samples));
                *spec.samples
            }
        };
        let data = data?;
        self.check_draws(&data, &spec.prompts_per_step, "prompts_per_step");
        let of = data.iter().map(|data| data.data.clone()).collect();
        self.made.push(MadeRead { id: id.0.clone(), of });
        let (drop, pass_rate) = (&spec.drop, self.pass_rate(&spec.pass_rate));
        Some(RejectPlan {
            data,
            rewards: spec.rewards.iter().map(|id| id.0.clone()).collect(),
            steps: *spec.steps,
            prompts_per_step: *spec.prompts_per_step,
            samples: *spec.samples,
            sampling,
            keep: keep?,
            text: TextFilterPlan {
                drop_code_blocks: *drop.code_blocks,
                longest_paragraph: drop.paragraph_above.as_deref().copied(),
                most_repetition: drop.repetition_above.as_deref().copied(),
                drop_same_answers: *drop.same_answer,
                most_similarity: drop.similarity_from.as_deref().copied(),
            },
            pass_rate,
            per_prompt,
            prefer: *spec.prefer,
        })
    }

    fn pass_rate(&mut self, spec: &PassRateSpec) -> PassRatePlan {
        if *spec.at_least > *spec.at_most {
            let message =
                format!("no share is at least {} and at most {}", *spec.at_least, *spec.at_most);
            self.error(codes::COUNTS, spec.at_least.span, message).help("swap them");
        }
        PassRatePlan { at_least: *spec.at_least, at_most: *spec.at_most }
    }

    fn least(&mut self, reward: &At<Name>, at_least: f64, scored: &[At<Name>]) -> LeastPlan {
        if !scored.iter().any(|id| id.0 == reward.0) {
            let listed = all_words(scored.iter().map(|id| id.0.as_str()));
            let message = format!("this stage does not score the reward {}", quoted(&reward.0));
            let help = format!("it scores {listed}; add the reward to its `rewards`");
            self.error(codes::UNKNOWN_NAME, reward.span, message).help(help);
        }
        LeastPlan { reward: reward.0.clone(), at_least }
    }

    /// The data sets that an id stands for: the data set of that id, or all that the rows of a stage were made of.
    pub(super) fn origins(&self, id: &str) -> Vec<String> {
        match self.made.iter().find(|made| made.id == id) {
            None => vec![id.to_owned()],
            // Stages stand one behind the other, so this ends.
            Some(made) => made.of.iter().flat_map(|id| self.origins(id)).collect(),
        }
    }
}
