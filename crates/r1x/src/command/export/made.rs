//! What a stage that makes data has kept, as rows that a spec reads.

use r1x_store::Completion;

use super::content::{NUMBER, TEXT, all_of};
use super::problem::{beside, problem_cells};
use super::row::{Cell, Column, Kind};

/// Columns that every row has before those of its problem.
const MADE: [(&str, Kind); 6] = [
    ("prompt", TEXT),
    ("completion", TEXT),
    ("gold", TEXT),
    ("reward", NUMBER),
    ("data", TEXT),
    ("prompt_key", TEXT),
];

/// The columns of a row, those of its problem last.
pub fn columns(problem: &[Column]) -> Vec<Column> {
    beside(all_of(&MADE), problem)
}

/// The row of a kept completion.
pub fn row(row: Completion, problem: &[Column]) -> Vec<Cell> {
    let mut cells = vec![
        Cell::Text(row.prompt),
        Cell::text(row.text),
        Cell::text(row.gold),
        Cell::number(row.reward),
        Cell::text(row.data),
        Cell::Text(row.prompt_key),
    ];
    cells.extend(problem_cells(&row.columns, problem));
    cells
}
