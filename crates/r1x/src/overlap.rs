//! Problems of a suite that are trained on as well: what a suite says of them is what was learnt by heart.
//!
//! The splits of one data set have no problem in common. Two data sets may, and nobody sees it in their files.

use std::collections::HashSet;

use r1x_core::plan::{DataRef, RunPlan};
use r1x_core::{PortError, Problem, ProblemSource, shown};
use r1x_tasks::Problems;

use crate::notice::Notice;

/// Characters of a prompt that are shown.
const SHOWN: usize = 60;

/// What is evaluated and trained on, suite by suite.
///
/// # Errors
/// When there is no such data.
pub fn overlaps(plan: &RunPlan, problems: &Problems) -> Result<Vec<Notice>, PortError> {
    let mut found = Vec::new();
    for suite in plan.evals.iter().filter(|suite| plan.data.contains_key(&suite.data.data)) {
        let evaluated = taken(problems, &suite.data)?;
        let prompts: HashSet<&str> = evaluated.iter().map(|one| one.prompt.as_str()).collect();
        let mut trained: Vec<(&str, &str, HashSet<&str>)> = Vec::new();
        for stage in &plan.stages {
            let outline = stage.kind.outline();
            if outline.learning.is_none() {
                continue;
            }
            let other = |data: &&&DataRef| {
                // Whoever evaluates what is trained on by its name means to.
                data.data != suite.data.data && plan.data.contains_key(&data.data)
            };
            for data in outline.data.iter().filter(other) {
                if trained.iter().any(|(_, known, _)| *known == data.data) {
                    continue;
                }
                let common = taken(problems, data)?.iter().map(|one| one.prompt.as_str());
                let common: HashSet<&str> = common.filter(|one| prompts.contains(one)).collect();
                if !common.is_empty() {
                    trained.push((&stage.id, &data.data, common));
                }
            }
        }
        found.extend(trained.iter().map(|(stage, data, common)| {
            let first = evaluated.iter().find(|one| common.contains(one.prompt.as_str()));
            let first = first.map_or_else(String::new, |one| brief(&one.prompt));
            Notice::new(
                format!(
                    "eval `{}`: {} of its {} problems are trained on as well, by stage `{stage}` from `{data}`; the first is \
                     `{first}`",
                    suite.id,
                    common.len(),
                    evaluated.len(),
                ),
                "leave them out of one of the two, or the suite says how well they were learnt by heart",
            )
        }));
    }
    Ok(found)
}

/// The beginning of a prompt, on one line.
fn brief(prompt: &str) -> String {
    let line = shown::line(prompt);
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into_owned(),
    }
}

/// The problems that a reference takes.
fn taken<'p>(problems: &'p Problems, data: &DataRef) -> Result<&'p [Problem], PortError> {
    let all = problems.problems(&data.data, data.split)?;
    let rest = &all[data.skip.min(all.len())..];
    Ok(&rest[..data.limit.unwrap_or(rest.len()).min(rest.len())])
}
