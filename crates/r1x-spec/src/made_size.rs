//! How large the data may become that stages of a run make.

use std::collections::BTreeMap;

use r1x_core::plan::{Made, Rollouts, RunPlan, StageOutline};

use crate::estimate::DataSize;

/// Bytes of a row besides its texts.
const ROW: u64 = 500;
/// Bytes of a token of a row: its id and about four characters of text.
const TOKEN: u64 = 4 + 4;

/// The sizes of all data of a plan: those of the data sets, and of what stages make of them, at most. The rows of a stage
/// are as long as the prompts that it samples from, with completions as long as they may be.
pub(crate) fn with_made(
    plan: &RunPlan,
    sizes: &BTreeMap<String, DataSize>,
) -> BTreeMap<String, DataSize> {
    let mut all = sizes.clone();
    for stage in &plan.stages {
        let outline = stage.kind.outline();
        if let (Some(made), Some(rollouts)) = (outline.makes, outline.rollouts) {
            let size = made_size(&outline, (made, rollouts), &all);
            all.insert(stage.id.clone(), size);
        }
    }
    all
}

fn made_size(
    outline: &StageOutline<'_>,
    (made, rollouts): (Made, Rollouts<'_>),
    sizes: &BTreeMap<String, DataSize>,
) -> DataSize {
    let of: Vec<&DataSize> =
        outline.data.iter().filter_map(|reference| sizes.get(&reference.data)).collect();
    // A data set of which nothing is known may have prompts of any length.
    let known = of.len() == outline.data.len() && !of.is_empty();
    let longest = of.iter().map(|size| size.longest_prompt).collect::<Option<Vec<u64>>>();
    let longest = longest.filter(|_| known).and_then(|all| all.into_iter().max());
    let prompts = of.iter().map(|size| size.prompt).collect::<Option<Vec<f64>>>();
    let prompts = prompts.filter(|_| known);
    let solutions = of.iter().map(|size| size.solution).collect::<Option<Vec<f64>>>();
    let solutions = solutions.filter(|_| known);
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let most = rollouts.sampling.max_tokens as u64;
    let draws = outline.steps.saturating_mul(outline.most_problems_per_step() as u64);
    let rows = draws.saturating_mul(made.most_per_problem.min(rollouts.per_problem) as u64);
    let longest_example = longest.map(|prompt| prompt.saturating_add(most));
    DataSize {
        train: usize::try_from(rows).unwrap_or(usize::MAX),
        heldout: 0,
        longest_prompt: longest,
        prompt: prompts.map(mean),
        solution: solutions.map(|solutions| mean(solutions).min(most as f64)),
        longest_example,
        bytes: rows.saturating_mul(ROW + TOKEN * longest_example.unwrap_or(most)),
    }
}
