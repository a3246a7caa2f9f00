//! The small generated tasks of the tiny world: sums on a wheel, letters, and requests.

use serde::{Deserialize, Serialize};

/// What the small tasks have in common: how many problems there are, and in which languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawPlan {
    /// Training problems.
    pub train: usize,
    /// Held-out problems; no canonical form is in both splits, in whatever language it is asked.
    pub heldout: usize,
    /// The languages that problems are asked in, each of which is as likely as another.
    pub languages: Vec<Language>,
    /// Seed of the generator, apart from the run's seed so that seeds share their problems.
    pub seed: u64,
}

/// A language of the small tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    En,
    /// German.
    De,
}

impl Language {
    /// Its ISO 639-1 code.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }
}

/// How sums on a wheel are generated: something moves on a wheel, and the problem asks where it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArithmeticPlan {
    /// Places of the wheel, numbered from 0: every result is taken modulo this.
    pub modulus: u32,
    /// Smallest number that is added or taken off.
    pub min_number: u32,
    /// Largest number that is added or taken off, below the modulus.
    pub max_number: u32,
    /// Fewest steps of a problem.
    pub min_steps: usize,
    /// Most steps of a problem.
    pub max_steps: usize,
    /// What a step may do, a subset of `+-*`.
    pub operations: String,
    /// The share of worked solutions whose thought is in another language than the problem.
    pub mixed_thoughts: f64,
    /// How many, and in which languages.
    pub draw: DrawPlan,
}

/// How problems about letters are generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StringsPlan {
    /// What is asked about the letters, in the order in which it is asked first.
    pub tasks: Vec<StringTask>,
    /// How many letters of the alphabet there are, from `a` on.
    pub letters: u32,
    /// Fewest letters of a problem.
    pub min_length: usize,
    /// Most letters of a problem.
    pub max_length: usize,
    /// The share of worked solutions whose thought is in another language than the problem.
    pub mixed_thoughts: f64,
    /// How many, and in which languages.
    pub draw: DrawPlan,
}

/// What is asked about letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StringTask {
    /// The letters from the last to the first.
    Reverse,
    /// How often one letter is among them.
    Count,
    /// Which letter stands at a place.
    Nth,
    /// The letters in the order of the alphabet.
    Sort,
}

impl StringTask {
    /// The word of specs and of the column `task`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reverse => "reverse",
            Self::Count => "count",
            Self::Nth => "nth",
            Self::Sort => "sort",
        }
    }
}

/// How everyday requests are generated, each with a better and a worse completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestsPlan {
    /// The share of requests that must be refused, because they ask for a secret.
    pub refuse: f64,
    /// The share of demonstrations that break a part of the rule themselves.
    pub flawed: f64,
    /// How many, and in which languages.
    pub draw: DrawPlan,
}
