//! What evaluations say of each other.

use r1x_store::{EvalRow, RunCard};

use crate::notice::Notice;
use crate::number::number;

/// Standard errors by which a figure has to move.
const CLEARLY: f64 = 2.0;

/// Suites in which pass@1 rose while pass@k fell: the model does more surely what it could do, and finds less that is new
/// (Does Reinforcement Learning Really Incentivize Reasoning Capacity in LLMs Beyond the Base Model?, 2025, arXiv 2504.13837).
pub fn fewer_ways(card: &RunCard) -> Option<Notice> {
    let mut suites: Vec<&str> = card.evals.iter().map(|row| row.suite.as_str()).collect();
    suites.dedup();
    suites.into_iter().find_map(|suite| {
        let of = |metric: &str| -> Vec<&EvalRow> {
            let is = |row: &&EvalRow| row.suite == suite && row.metric == metric;
            card.evals.iter().filter(is).collect()
        };
        let widest = card.evals.iter().filter(|row| row.suite == suite);
        let widest = widest.filter_map(|row| row.metric.strip_prefix("pass@")?.parse().ok());
        let k: u32 = widest.max().filter(|k| *k > 1)?;
        let (one, many) = (of("pass@1"), of(&format!("pass@{k}")));
        // Compared with the time at which most was found: what comes after it is what became of that.
        let value = |row: &&&EvalRow| row.value;
        let best = many.iter().filter(|row| row.value.is_some());
        let best = best.max_by(|a, b| value(a).partial_cmp(&value(b)).unwrap_or(std::cmp::Ordering::Equal))?;
        let before = one.iter().find(|row| (&row.stage, row.step) == (&best.stage, best.step))?;
        let (last_one, last_many) = (one.last()?, many.last()?);
        let rose = moved(before, last_one)?;
        let fell = moved(best, last_many)?;
        (rose > CLEARLY && fell < -CLEARLY).then(|| {
            let course = |from: &EvalRow, to: &EvalRow| {
                let [from, to] = [from, to].map(|row| number(row.value.unwrap_or_default()));
                format!("from {from} to {to}")
            };
            Notice::new(
                format!(
                    "eval `{suite}`: pass@1 rose {} while pass@{k} fell {}: what the model can do it does more surely, and it \
                     finds less that is new",
                    course(before, last_one),
                    course(best, last_many)
                ),
                "an entropy bonus (`entropy`), a higher upper clip (`clip.high`) or larger groups keep more of the second",
            )
        })
    })
}

/// How far a figure moved, in standard errors of the difference of two independent ones.
fn moved(from: &EvalRow, to: &EvalRow) -> Option<f64> {
    let error = from.stderr?.hypot(to.stderr?);
    (error > 0.0).then_some((to.value? - from.value?) / error)
}
