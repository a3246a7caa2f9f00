//! CISPO: −w·A·log π with the weight w = clip(ρ, 1 − low, 1 + high), which has no gradient, so that no token loses its own.
//!
//! Source: MiniMax 2025, "MiniMax-M1: Scaling Test-Time Compute Efficiently with Lightning Attention", arXiv 2506.13585,
//! section 3.1. The paper has both bounds and uses the upper one alone; without `low` there is none below. What others
//! write as the largest weight is 1 + high here.

use super::{ClipTerm, Token, Variable};
use crate::plan::WeightBounds;

/// The term of a token whose ratio is a number.
pub(super) fn term(bounds: &WeightBounds, token: &Token, ratio: f64) -> ClipTerm {
    let lowest = bounds.low.map_or(0.0, |low| 1.0 - low);
    let weight = ratio.max(lowest).min(1.0 + bounds.high);
    ClipTerm {
        value: -weight * token.advantage * token.logprob,
        derivative: -weight * token.advantage,
        variable: Variable::Logprob,
        ratio,
        clipped: token.advantage != 0.0 && weight != ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;
    use crate::plan::ClipPlan;

    /// Bounds 0.8 and 1.28, and an upper bound of 5 alone; the probability of the token is 0.1·ρ.
    #[test]
    fn one_token_matches_a_table_computed_by_hand() {
        let both = ClipPlan::Weight(WeightBounds { low: Some(0.2), high: 0.28 });
        let upper = ClipPlan::Weight(WeightBounds { low: None, high: 4.0 });
        let table: [(&ClipPlan, f64, f64, f64, bool); 8] = [
            (&both, 2.0, 1.0, 1.0, false),
            (&both, 2.0, 1.5, 1.28, true),
            (&both, -2.0, 0.5, 0.8, true),
            (&both, 0.0, 0.5, 0.8, false),
            (&upper, 2.0, 1.5, 1.5, false),
            (&upper, -2.0, 0.5, 0.5, false),
            (&upper, -2.0, 0.001, 0.001, false),
            (&upper, 2.0, 8.0, 5.0, true),
        ];
        for (plan, advantage, ratio, weight, clipped) in table {
            let found = at(plan, advantage, ratio);
            let value = -weight * advantage * (0.1 * ratio).ln();
            assert!((found.value - value).abs() < 1e-12, "A {advantage} ρ {ratio}: {found:?}");
            let derivative = -weight * advantage;
            assert!((found.derivative - derivative).abs() < 1e-12, "A {advantage} ρ {ratio}");
            assert_eq!((found.clipped, found.variable), (clipped, Variable::Logprob));
        }
    }
}
