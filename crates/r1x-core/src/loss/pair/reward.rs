//! What a reward model learns by: the numbers are its values of two responses.

use super::PairOutput;
use crate::loss::logistic::{sigmoid, surprise};
use crate::loss::point::logistic;
use crate::plan::RewardLossPlan;

/// The loss of a plan.
pub fn reward(plan: &RewardLossPlan, better: f64, worse: f64) -> PairOutput {
    match plan {
        RewardLossPlan::Pair { margin } => bradley_terry(better, worse, *margin),
        RewardLossPlan::Point => {
            let [better, worse] = [logistic(better, 1.0), logistic(worse, 0.0)];
            PairOutput {
                loss: (better.loss + worse.loss) / 2.0,
                by_better: better.derivative / 2.0,
                by_worse: worse.derivative / 2.0,
            }
        }
    }
}

/// The negative log-likelihood of the choice under the model of Bradley and Terry (Rank Analysis of Incomplete Block
/// Designs, 1952), −log σ(better − worse − margin), in nats: Training Language Models to Follow Instructions with Human
/// Feedback (arXiv 2203.02155, equation 1), with the margin of Llama 2 (arXiv 2307.09288, equation 2).
pub fn bradley_terry(better: f64, worse: f64, margin: f64) -> PairOutput {
    let lead = better - worse - margin;
    PairOutput::of_difference(surprise(lead), -sigmoid(-lead))
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_derivatives;
    use super::*;

    const POINTS: [(f64, f64); 5] =
        [(0.0, 0.0), (1.5, -0.5), (-2.0, 3.0), (0.1, 0.2), (20.0, -20.0)];

    /// A lead of 2 has the chance σ(2) = 0.880797, whose −ln is 0.126928; a lead of −2 costs 2 more.
    #[test]
    fn values_by_hand() {
        let ahead = bradley_terry(2.5, 0.5, 0.0);
        assert!((ahead.loss - 0.126_928_011_042_972).abs() < 1e-12);
        assert!((ahead.by_better + 0.119_202_922_022_118).abs() < 1e-12);
        assert_eq!(ahead.by_worse, -ahead.by_better);
        let behind = bradley_terry(0.5, 2.5, 0.0);
        assert!((behind.loss - 2.126_928_011_042_972).abs() < 1e-12);
        assert_eq!(bradley_terry(2.5, 0.5, 2.0), bradley_terry(1.0, 1.0, 0.0));
        assert!((bradley_terry(1.0, 1.0, 0.0).loss - 2f64.ln()).abs() < 1e-15);
    }

    /// The better member is labelled 1 and the worse one 0; the mean of ln 2 and ln 2 is ln 2.
    #[test]
    fn points_are_two_labels() {
        let found = reward(&RewardLossPlan::Point, 0.0, 0.0);
        assert!((found.loss - 2f64.ln()).abs() < 1e-15);
        assert_eq!((found.by_better, found.by_worse), (-0.25, 0.25));
        // Both too high: the better one is right and the worse one is not, which no difference would show.
        let high = reward(&RewardLossPlan::Point, 50.0, 50.0);
        assert_eq!((high.loss, high.by_worse), (25.0, 0.5));
        assert!(high.by_better > -1e-20);
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        for point in POINTS {
            for plan in [
                RewardLossPlan::Pair { margin: 0.0 },
                RewardLossPlan::Pair { margin: 0.7 },
                RewardLossPlan::Point,
            ] {
                assert_derivatives(|better, worse| reward(&plan, better, worse), point);
            }
        }
    }
}
