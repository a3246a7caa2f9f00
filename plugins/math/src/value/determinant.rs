//! Determinants, by elimination.
//!
//! Expanding by minors would take time exponential in the number of rows.

use super::{Point, Value};
use crate::node::Node;

/// Most rows.
const MAX_ROWS: usize = 8;

impl Point<'_> {
    /// The determinant of a square matrix.
    pub(super) fn determinant(&self, rows: &[Vec<Node>]) -> Option<Value> {
        let size = rows.len();
        if size > MAX_ROWS || rows.iter().any(|row| row.len() != size) {
            return None;
        }
        let values = rows.iter().map(|row| row.iter().map(|cell| self.value(cell)).collect());
        let mut values: Vec<Vec<Value>> = values.collect::<Option<_>>()?;
        let mut determinant = Value::whole(1);
        for at in 0..size {
            let mut pivot = None;
            for (row, cells) in values.iter().enumerate().skip(at) {
                if !cells[at].is_zero()? {
                    pivot = Some(row);
                    break;
                }
            }
            let Some(pivot) = pivot else { return Some(Value::whole(0)) };
            if pivot != at {
                values.swap(pivot, at);
                determinant = determinant.negated();
            }
            determinant = self.times(&determinant, &values[at][at])?;
            let (above, below) = values.split_at_mut(at + 1);
            let pivot = &above[at];
            for row in below {
                let factor = self.over(&row[at], &pivot[at])?.negated();
                for (cell, other) in row.iter_mut().zip(pivot).skip(at) {
                    *cell = self.plus(cell, &self.times(&factor, other)?)?;
                }
            }
        }
        Some(determinant)
    }
}
