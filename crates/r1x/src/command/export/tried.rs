//! The problems that a run has tried, with how well it did on each, as rows that a spec reads.

use r1x_store::{ProblemText, TriedProblem};

use super::content::{INTEGER, NUMBER, TEXT, all_of, reward_cells, reward_columns};
use super::problem::{beside, problem_cells};
use super::row::{Cell, Column, Kind};

/// Columns that every row has before those of the rewards and of its problem.
const TRIED: [(&str, Kind); 8] = [
    ("prompt", TEXT),
    ("gold", TEXT),
    ("solution", TEXT),
    ("data", TEXT),
    ("prompt_key", TEXT),
    ("stage", TEXT),
    ("rollouts", INTEGER),
    ("reward", NUMBER),
];

/// The columns of a row: what is known of every problem, a mean for each reward, and the columns of the problem.
pub fn columns(rewards: &[String], problem: &[Column]) -> Vec<Column> {
    let mut columns = all_of(&TRIED);
    columns.extend(reward_columns(rewards));
    beside(columns, problem)
}

/// The row of a problem.
pub fn row(
    (tried, text): (&TriedProblem, ProblemText),
    rewards: &[String],
    problem: &[Column],
) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Text(text.prompt),
        Cell::text(text.gold),
        Cell::text(text.solution),
        Cell::text(tried.data.clone()),
        Cell::Text(text.key),
        Cell::Text(tried.stage.clone()),
        Cell::Integer(tried.rollouts),
        Cell::number(tried.reward),
    ];
    cells.extend(reward_cells(&tried.rewards, rewards));
    cells.extend(problem_cells(&text.columns, problem));
    cells
}
