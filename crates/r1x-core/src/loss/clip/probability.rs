//! DPPO with the total variation of one token: −ρ·A, and 0 where the probability of the token has risen by more than `high`
//! and A is above 0, or has fallen by more than `low` and A is below 0.
//!
//! Source: Qi et al. 2026, "Rethinking the Trust Region in LLM Reinforcement Learning", arXiv 2602.04879 (the binary
//! approximation of the total variation).

use super::{ClipTerm, Token, Variable};
use crate::plan::ProbabilityBounds;

/// The term of a token whose ratio is a number.
pub(super) fn term(bounds: &ProbabilityBounds, token: &Token, ratio: f64) -> ClipTerm {
    let advantage = token.advantage;
    let moved = token.logprob.exp() - token.sampled.exp();
    let masked =
        (advantage > 0.0 && moved > bounds.high) || (advantage < 0.0 && -moved > bounds.low);
    let kept = if masked { 0.0 } else { -ratio * advantage };
    ClipTerm { value: kept, derivative: kept, variable: Variable::LogRatio, ratio, clipped: masked }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_derivatives, at};
    use super::*;
    use crate::plan::ClipPlan;

    /// The token was sampled with probability 0.1, so that a ratio of 4 is a rise by 0.3, and one of 0.4 a fall by 0.06.
    #[test]
    fn one_token_matches_a_table_computed_by_hand() {
        let plan = ClipPlan::Probability(ProbabilityBounds { low: 0.05, high: 0.2 });
        let table: [(f64, f64, f64, bool); 7] = [
            (2.0, 1.0, -2.0, false),
            (2.0, 2.9, -5.8, false),
            (2.0, 4.0, 0.0, true),
            (2.0, 0.4, -0.8, false),
            (-2.0, 4.0, 8.0, false),
            (-2.0, 0.6, 1.2, false),
            (-2.0, 0.4, 0.0, true),
        ];
        for (advantage, ratio, value, clipped) in table {
            let found = at(&plan, advantage, ratio);
            assert!((found.value - value).abs() < 1e-12, "A {advantage} ρ {ratio}: {found:?}");
            assert!((found.derivative - value).abs() < 1e-12, "A {advantage} ρ {ratio}");
            assert_eq!(found.clipped, clipped, "A {advantage} ρ {ratio}");
        }
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        let plan = ProbabilityBounds { low: 0.1, high: 0.2 };
        assert_derivatives(&ClipPlan::Probability(plan));
    }
}
