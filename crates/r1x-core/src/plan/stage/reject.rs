//! The plan of rejection sampling, and what a completion must be like to be kept.

use serde::{Deserialize, Serialize};

use super::{Made, Rollouts, StageOutline};
use crate::plan::{DataRef, SamplingPlan};

/// Rejection sampling (DeepSeek-R1, arXiv 2501.12948, section 2.3.3): completions are sampled and judged, and those that
/// pass every filter become the worked problems of a data set that has the id of the stage. Stages below learn from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectPlan {
    /// Problems, at least one data set.
    pub data: Vec<DataRef>,
    /// Ids of the rewards that judge every completion.
    pub rewards: Vec<String>,
    /// Steps: one batch of rollouts each.
    pub steps: u64,
    /// Prompts per step.
    pub prompts_per_step: usize,
    /// Completions of each prompt.
    pub samples: usize,
    /// How completions are sampled.
    pub sampling: SamplingPlan,
    /// What the rewards must give a completion.
    pub keep: Vec<LeastPlan>,
    /// What the text of a completion must not be like.
    pub text: TextFilterPlan,
    /// How many of the completions of a prompt must pass the filters above for any of them to be kept.
    pub pass_rate: PassRatePlan,
    /// The most completions that are kept of a prompt.
    pub per_prompt: usize,
    /// Which completions of a prompt are kept where more than `per_prompt` pass.
    pub prefer: Preference,
}

/// The least value of a reward with which a completion is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeastPlan {
    /// Id of the reward, one of those of the stage.
    pub reward: String,
    /// The least value, as it counts: inside the reward's bounds, and as its condition lets it.
    pub at_least: f64,
}

/// What the text of a completion must not be like. A filter that is off is `None` or `false`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextFilterPlan {
    /// Whether a completion with a fenced block of code is dropped.
    pub drop_code_blocks: bool,
    /// The most characters of a paragraph.
    pub longest_paragraph: Option<usize>,
    /// The largest share of runs of words that repeat an earlier run, from 0 to 1.
    pub most_repetition: Option<f64>,
    /// Whether a completion is dropped whose answer a completion has that is kept of the prompt already.
    pub drop_same_answers: bool,
    /// The largest similarity to a completion that is kept of the prompt already, from 0 to 1; 1 drops only what
    /// says word for word what another one says.
    pub most_similarity: Option<f64>,
}

/// The shares of passing completions with which a prompt is neither too hard nor too easy, from 0 to 1 both included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassRatePlan {
    /// The least share.
    pub at_least: f64,
    /// The largest share.
    pub at_most: f64,
}

impl PassRatePlan {
    /// Every prompt.
    pub const ANY: Self = Self { at_least: 0.0, at_most: 1.0 };

    /// Whether a share is within the bounds.
    pub fn holds(&self, share: f64) -> bool {
        (self.at_least..=self.at_most).contains(&share)
    }
}

/// Which completions of a prompt are kept where more pass than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// The completions that were asked for first.
    First,
    /// The completions with the fewest tokens.
    Shortest,
    /// The completions with the highest total of rewards.
    Best,
}

impl RejectPlan {
    pub(super) fn outline(&self) -> StageOutline<'_> {
        StageOutline {
            steps: self.steps,
            problems_per_step: self.prompts_per_step,
            data: self.data.iter().collect(),
            rewards: &self.rewards,
            rollouts: Some(Rollouts { per_problem: self.samples, sampling: &self.sampling }),
            makes: Some(Made { most_per_problem: self.per_prompt }),
            remarks: vec![("keeps", self.filters())],
            ..StageOutline::default()
        }
    }

    /// What a completion must be like, in words.
    fn filters(&self) -> String {
        let mut filters = vec!["not truncated".to_owned()];
        let least = |least: &LeastPlan| format!("`{}` at least {}", least.reward, least.at_least);
        filters.extend(self.keep.iter().map(least));
        let text = &self.text;
        if text.drop_code_blocks {
            filters.push("no block of code".to_owned());
        }
        if let Some(most) = text.longest_paragraph {
            filters.push(format!("no paragraph above {most} characters"));
        }
        if let Some(most) = text.most_repetition {
            filters.push(format!("at most {most} of its runs of words repeated"));
        }
        if text.drop_same_answers {
            filters.push("no answer that another one of its prompt has".to_owned());
        }
        if let Some(most) = text.most_similarity {
            filters.push(format!("similarity to others of its prompt below {most}"));
        }
        if self.pass_rate != PassRatePlan::ANY {
            let PassRatePlan { at_least, at_most } = self.pass_rate;
            filters.push(format!(
                "from {at_least} to {at_most} of the completions of its prompt pass"
            ));
        }
        let order = match self.prefer {
            Preference::First => "the first",
            Preference::Shortest => "the shortest",
            Preference::Best => "those with the highest totals",
        };
        format!("{}\nat most {} of a prompt, {order}", filters.join(", "), self.per_prompt)
    }
}
