//! The port to data.

use super::PortError;
use crate::problem::{Problem, Split};

/// Problems by data set and split, in a fixed order.
pub trait ProblemSource {
    /// All problems of a split.
    fn problems(&self, data: &str, split: Split) -> Result<&[Problem], PortError>;
    /// Where a person finds a problem: the file and line of its row, or the beginning of its prompt.
    fn origin(&self, problem: &Problem) -> String {
        problem.shown()
    }
}
