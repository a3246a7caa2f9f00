//! A problem: what the policy is asked, what a worked answer looks like, and the columns rewards read.

use std::collections::BTreeMap;

/// Which disjoint part of a data set a problem belongs to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Problems the policy may train on.
    Train,
    /// Problems it is only ever evaluated on.
    Heldout,
}

impl Split {
    /// The word used in specs and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Heldout => "heldout",
        }
    }
}

/// One problem, rendered and ready to be tokenised.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// Id of the data set it comes from, in the plan of the run. No part of its identity.
    pub data: String,
    /// Stable identity: equal keys mean the same problem in every run (a hash of its canonical form).
    pub key: String,
    /// The prompt after the template was applied.
    pub prompt: String,
    /// What the prompt was made of.
    pub form: PromptForm,
    /// A worked completion, where the data has one; supervised stages need it. It is as the data has it: text that the
    /// prompt gives already may stand at its beginning.
    pub solution: Option<String>,
    /// The tokens of the solution, the end-of-sequence token included, where a model of the run wrote it: they are learnt
    /// from as they were sampled. `None` where the solution is a text that has yet to be tokenised.
    pub solution_tokens: Option<Vec<u32>>,
    /// A completion that is worse than the solution, where the data has one; stages that learn from pairs need it. It is
    /// as the data has it, like the solution.
    pub rejected: Option<String>,
    /// The short gold answer shown to people, where there is one (for Countdown: the target).
    pub answer: Option<String>,
    /// Column name to JSON text, what reward plugins may ask for.
    pub columns: BTreeMap<String, String>,
}

/// What a prompt was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptForm {
    /// A text.
    #[default]
    Text,
    /// Messages, by a chat template.
    Messages {
        /// The text at the end of the prompt with which the answer begins. The model reads it, and whoever reads an
        /// answer gets it in front of what was sampled.
        prefill: String,
    },
}

impl PromptForm {
    /// The text with which the answer begins; empty where the model begins it itself.
    pub fn prefill(&self) -> &str {
        match self {
            Self::Text => "",
            Self::Messages { prefill } => prefill,
        }
    }
}

/// Characters of a prompt that tell a person which problem is meant.
const SHOWN_CHARS: usize = 60;

impl Problem {
    /// A worked or sampled completion as the model has to write it: without the beginning that the prompt gives. Where
    /// only the white space at the end of that beginning differs, the completion keeps its own.
    pub fn continued<'t>(&self, completion: &'t str) -> &'t str {
        let prefill = self.form.prefill();
        let rest = completion.strip_prefix(prefill);
        rest.or_else(|| completion.strip_prefix(prefill.trim_end())).unwrap_or(completion)
    }

    /// A completion as people and rewards read it, from what the model wrote behind the prompt.
    pub fn answered(&self, continuation: &str) -> String {
        [self.form.prefill(), continuation].concat()
    }

    /// The problem in words for messages: the beginning of its prompt on one line.
    pub fn shown(&self) -> String {
        let mut words = self.prompt.split_whitespace().collect::<Vec<_>>().join(" ");
        words.retain(|c| !c.is_control());
        let cut = words.char_indices().nth(SHOWN_CHARS).map(|(at, _)| at);
        match cut {
            Some(at) => format!("the problem `{}…`", &words[..at]),
            None => format!("the problem `{words}`"),
        }
    }
}
