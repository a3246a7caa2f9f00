//! Filters of texts. DeepSeek-R1 dropped chains of thought with mixed languages, long paragraphs and blocks of code
//! (arXiv 2501.12948, section 2.3.3); a mixed language is what a reward for the consistency of languages tells.

use std::collections::HashSet;

use crate::plan::TextFilterPlan;

/// The filter of texts with a fenced block of code.
pub(super) const CODE_BLOCK: &str = "code_block";
/// The filter of texts with a paragraph that is too long.
pub(super) const PARAGRAPH: &str = "paragraph";
/// The filter of texts that say one thing again and again.
pub(super) const REPETITION: &str = "repetition";
/// Words of a run that is compared.
const RUN: usize = 4;

/// The filter that drops a text.
pub(super) fn dropped_by(plan: &TextFilterPlan, text: &str) -> Option<&'static str> {
    if plan.drop_code_blocks && text.lines().any(|line| line.trim_start().starts_with("```")) {
        return Some(CODE_BLOCK);
    }
    if plan.longest_paragraph.is_some_and(|most| longest_paragraph(text) > most) {
        return Some(PARAGRAPH);
    }
    plan.most_repetition.filter(|most| repetition(text) > *most).map(|_| REPETITION)
}

/// Characters of the longest paragraph: lines without an empty one between them.
pub fn longest_paragraph(text: &str) -> usize {
    let (mut longest, mut current) = (0, 0);
    for line in text.lines() {
        let characters = line.trim().chars().count();
        // Two lines of a paragraph are as far apart as two words.
        current = match (current, characters) {
            (_, 0) => 0,
            (0, characters) => characters,
            (current, characters) => current + 1 + characters,
        };
        longest = longest.max(current);
    }
    longest
}

/// The share of runs of four words that occur earlier in the text, from 0 to 1. A text of fewer words repeats nothing.
pub fn repetition(text: &str) -> f64 {
    let words: Vec<&str> = text.split_whitespace().collect();
    let runs = words.windows(RUN);
    let count = runs.len();
    if count == 0 {
        return 0.0;
    }
    let different: HashSet<&[&str]> = runs.collect();
    (count - different.len()) as f64 / count as f64
}

/// How alike two texts are: the runs of four words that both have, over those that any has (Jaccard), from 0 to 1. Texts
/// of fewer words are compared as one run. White space does not count.
pub fn similarity(one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(|text| text.split_whitespace().collect::<Vec<_>>());
    if one == other {
        return 1.0;
    }
    let [one, other] = [&one, &other].map(|words| {
        let runs: HashSet<&[&str]> = words.windows(RUN.min(words.len()).max(1)).collect();
        runs
    });
    let shared = one.intersection(&other).count();
    let all = one.len() + other.len() - shared;
    // Texts with equal runs in another order are alike, but not equal.
    if all == 0 { 0.0 } else { shared as f64 / all as f64 }
}
