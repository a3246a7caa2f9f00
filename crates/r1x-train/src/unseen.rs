//! Tokens that evaluations need and no training problem has: a model that starts from random weights never learns
//! them, and without a word about it a figure of 0 looks like a model that cannot think.

use std::collections::{BTreeMap, HashSet};

use r1x_core::plan::RunPlan;
use r1x_core::{Encoder, PortError, Problem, ProblemSource};

use crate::draw::limited;
use crate::made::RunData;
use crate::stage::{stepped, suite_place};

/// Examples of unseen tokens that are named.
const EXAMPLES: usize = 5;

/// What a suite needs and training never shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Id of the suite.
    pub suite: String,
    /// Tokens of its problems: prompts, and solutions or answers where there are any.
    pub tokens: usize,
    /// Of those, tokens that occur in no training problem.
    pub unseen: usize,
    /// Problems of the suite.
    pub problems: usize,
    /// Of those, problems with an unseen token.
    pub touched: usize,
    /// The most frequent unseen tokens as text, at most five.
    pub examples: Vec<String>,
}

impl Unseen {
    /// Share of the tokens, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.unseen as f64 / self.tokens.max(1) as f64
    }
}

/// A piece of a text: a token, or a word for which there is none.
type Piece = Result<u32, String>;

/// Finds for every suite the tokens that occur in no problem of the stages that train. Nothing when no stage does.
///
/// # Errors
/// What [`crate::check`] finds too.
pub fn unseen(
    plan: &RunPlan,
    encoder: &dyn Encoder,
    source: &dyn ProblemSource,
) -> Result<Vec<Unseen>, PortError> {
    let data = RunData::foreseen(plan, source)?;
    let mut seen = HashSet::new();
    let mut trains = false;
    for stage in &plan.stages {
        if !stage.kind.outline().is_evaluated() {
            continue;
        }
        let Some(mut learning) = stepped(plan, stage, &data)? else { continue };
        trains = true;
        for problem in learning.ahead() {
            seen.extend(pieces(encoder, problem).into_iter().flatten());
        }
    }
    if !trains {
        return Ok(Vec::new());
    }
    seen.insert(encoder.eos());
    let mut found = Vec::new();
    for suite in &plan.evals {
        let problems = limited(source, &suite.data, &suite_place(&suite.id))?;
        let unseen = of_suite(&suite.id, problems, encoder, &seen);
        found.extend(Some(unseen).filter(|unseen| unseen.unseen > 0));
    }
    Ok(found)
}

fn of_suite(id: &str, problems: &[Problem], encoder: &dyn Encoder, seen: &HashSet<u32>) -> Unseen {
    let (mut tokens, mut touched) = (0, 0);
    let mut counts: BTreeMap<Piece, usize> = BTreeMap::new();
    for problem in problems {
        let pieces = pieces(encoder, problem);
        tokens += pieces.len();
        let is_unseen = |piece: &Piece| !piece.as_ref().is_ok_and(|token| seen.contains(token));
        let unseen: Vec<Piece> = pieces.into_iter().filter(is_unseen).collect();
        touched += usize::from(!unseen.is_empty());
        for piece in unseen {
            *counts.entry(piece).or_default() += 1;
        }
    }
    let mut common: Vec<(&Piece, &usize)> = counts.iter().collect();
    common.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let text = |piece: &Piece| match piece {
        Ok(token) => encoder.decode(&[*token]),
        Err(word) => word.clone(),
    };
    Unseen {
        suite: id.to_owned(),
        tokens,
        unseen: counts.values().sum(),
        problems: problems.len(),
        touched,
        examples: common.iter().take(EXAMPLES).map(|(piece, _)| text(piece)).collect(),
    }
}

/// What a model reads of a problem and has to write about it: the solution, or the answer where there is none.
fn pieces(encoder: &dyn Encoder, problem: &Problem) -> Vec<Piece> {
    let written = problem.solution.as_deref().map(|solution| problem.continued(solution));
    let written = written.or(problem.answer.as_deref());
    let texts = std::iter::once(problem.prompt.as_str()).chain(written);
    texts.flat_map(|text| of_text(encoder, text)).collect()
}

fn of_text(encoder: &dyn Encoder, text: &str) -> Vec<Piece> {
    if let Ok(tokens) = encoder.encode(text) {
        return tokens.into_iter().map(Ok).collect();
    }
    let word = |word: &str| match encoder.encode(word) {
        Ok(tokens) => tokens.into_iter().map(Ok).collect(),
        Err(_) => vec![Err(word.to_owned())],
    };
    text.split_whitespace().flat_map(word).collect()
}
