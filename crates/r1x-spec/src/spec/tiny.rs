//! The keys of the small generated tasks.

use r1x_core::plan::{Language, StringTask};

use super::ranges::*;
use crate::read::{At, record};
use crate::schema_tree::Range;
use crate::value_types::{Counts, Interval, Operations};

record! {
    /// What the small tasks have in common.
    pub struct DrawSpec {
        /// The number of training problems.
        train: usize => required, Range::from(1.0).to(1e7);
        /// The number of held-out problems. None of them is a training problem, in whatever language.
        heldout: usize => required, Range::from(0.0).to(1e7);
        /// The languages that problems are asked in, each of which is as likely as another. Left out, English alone.
        languages: Vec<At<Language>> => optional;
        /// The seed of the generator. It is apart from the run's, so that runs with other seeds share their
        /// problems.
        seed: u64 => default(0);
    }
}

record! {
    /// Generated sums on a wheel: something stands on one of its places, numbered from 0, and moves on, back, or to a
    /// multiple of its place. Every result is taken modulo the number of places. The columns are `question`, `language`,
    /// `answer`, `modulus`, `start` and `steps`.
    pub struct ArithmeticSpec {
        /// The number of places of the wheel.
        modulus: u32 => required, Range::from(5.0).to(1_000.0);
        /// The smallest and the largest number that a step adds or takes off, below the modulus. Tables of small numbers
        /// are learnt soon, those of all numbers take a small model long. Left out, from 1 to one less than the modulus.
        numbers: Interval => optional, Range::from(1.0).to(999.0);
        /// How many steps a problem has: `2`, or `[2, 3]` for two or three. Every sequence of operations is as likely as
        /// another.
        steps: Counts => required, Range::from(1.0).to(5.0);
        /// What a step may do, without division. Factors go from 2 to 9 at most.
        operations: Operations => default(Operations("+-*".to_owned()));
        /// The share of worked solutions whose thought is in another language than the problem. It needs two languages.
        mixed_thoughts: f64 => default(0.0), SHARE;
        /// How many, and in which languages.
        draw: DrawSpec => flat;
    }
}

record! {
    /// Generated problems about letters. The columns are `question`, `language`, `answer`, `task`, `letters` and `about`
    /// (the letter or the place that is asked for).
    pub struct StringsSpec {
        /// What is asked about the letters, each as often as another. Left out, all four.
        tasks: Vec<At<StringTask>> => optional;
        /// How many letters of the alphabet there are, from `a` on.
        letters: u32 => default(8), Range::from(2.0).to(26.0);
        /// How many letters a problem has: `4`, or `[3, 6]`, where each number is as likely as another.
        length: Counts => required, Range::from(2.0).to(12.0);
        /// The share of worked solutions whose thought is in another language than the problem. It needs two languages.
        mixed_thoughts: f64 => default(0.0), SHARE;
        /// How many, and in which languages.
        draw: DrawSpec => flat;
    }
}

record! {
    /// Generated everyday requests, each with a better and a worse completion. An answer is courteous, full and has a
    /// reason, and a request for a secret is refused in such a sentence; a worse completion breaks a part of this rule.
    /// The columns are `question`, `language`, `answer` (the rule for this request, a pattern that the reward `match`
    /// compares with in its mode `full_regex`), `kind`, `name`, `refuse` and `fault` (what is wrong with the worse
    /// completion).
    pub struct RequestsSpec {
        /// The share of requests that must be refused, because they ask for a secret.
        refuse: f64 => default(0.25), SHARE;
        /// The share of worked solutions that break a part of the rule, as people's demonstrations do, so that there is
        /// something to mend. Then there are no worse completions beside them, because a pair of two faults says nothing.
        flawed: f64 => default(0.0), SHARE;
        /// How many, and in which languages.
        draw: DrawSpec => flat;
    }
}
