//! Losses over a pair: two sequences of one prompt, of which one is better than the other.
//!
//! A pair couples two sequences, and [`super::Loss`] sees one at a time, as micro-batches are made of sequences. So these
//! are plain functions of two numbers, one for each member. Whoever learns from pairs scores them with the current
//! weights, asks a function for the derivatives, and hands these to [`super::Linear`]. A score and a forward pass of
//! training are the same numbers bit for bit, so this is the gradient of the pair's loss exactly, however members are
//! spread over micro-batches.

mod preference;
mod reward;

pub use preference::preference;
pub use reward::{bradley_terry, reward};

/// A loss over the numbers of two members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairOutput {
    /// The loss.
    pub loss: f64,
    /// Its derivative by the number of the better member.
    pub by_better: f64,
    /// Its derivative by the number of the worse member.
    pub by_worse: f64,
}

impl PairOutput {
    /// A loss that depends on the difference better − worse only.
    fn of_difference(loss: f64, derivative: f64) -> Self {
        Self { loss, by_better: derivative, by_worse: -derivative }
    }
}

/// Checks that the tests of both files share.
#[cfg(test)]
mod testing {
    use super::super::testing::assert_derivative;
    use super::PairOutput;

    /// Compares both derivatives with central differences.
    pub(super) fn assert_derivatives(
        loss: impl Fn(f64, f64) -> PairOutput,
        (better, worse): (f64, f64),
    ) {
        let found = loss(better, worse);
        assert_derivative(|moved| loss(moved, worse).loss, better, found.by_better);
        assert_derivative(|moved| loss(better, moved).loss, worse, found.by_worse);
    }
}
