//! SAPO: −A·(4/τ)·σ(τ·(ρ − 1)), whose gradient is the policy gradient at ρ = 1 and fades with the distance from it, faster
//! for a larger τ.
//!
//! Source: Gao et al. 2025, "Soft Adaptive Policy Optimization", arXiv 2511.20347.

use super::{ClipTerm, Token, Variable};
use crate::plan::SigmoidGate;

/// The term of a token whose ratio is a number. Nothing is clipped.
pub(super) fn term(gate: &SigmoidGate, token: &Token, ratio: f64) -> ClipTerm {
    let tau = if token.advantage > 0.0 { gate.tau_positive } else { gate.tau_negative };
    let sigmoid = 1.0 / (1.0 + (-tau * (ratio - 1.0)).exp());
    let slope = 4.0 * sigmoid * (1.0 - sigmoid);
    ClipTerm {
        value: -token.advantage * sigmoid * 4.0 / tau,
        derivative: -token.advantage * slope * ratio,
        variable: Variable::LogRatio,
        ratio,
        clipped: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_derivatives, at};
    use super::*;
    use crate::plan::ClipPlan;

    fn gate(tau_positive: f64, tau_negative: f64) -> ClipPlan {
        ClipPlan::Sigmoid(SigmoidGate { tau_positive, tau_negative })
    }

    /// σ(0) = 1/2 and σ(ln 3) = 3/4, of which the slopes are 1 and 3/4 after the factor 4.
    #[test]
    fn one_token_matches_a_table_computed_by_hand() {
        let three = 3.0_f64.ln();
        let table: [(f64, f64, f64, f64); 5] = [
            (2.0, 1.0, -2.0 * 2.0, -2.0),
            (-2.0, 1.0, 2.0 * 2.0 / 1.5, 2.0),
            (2.0, 1.0 + three, -2.0 * 3.0, -2.0 * 0.75 * (1.0 + three)),
            (-2.0, 1.0 + three / 1.5, 2.0 * 3.0 / 1.5, 2.0 * 0.75 * (1.0 + three / 1.5)),
            (0.0, 1.7, 0.0, 0.0),
        ];
        for (advantage, ratio, value, derivative) in table {
            let found = at(&gate(1.0, 1.5), advantage, ratio);
            assert!((found.value - value).abs() < 1e-12, "A {advantage} ρ {ratio}: {found:?}");
            assert!((found.derivative - derivative).abs() < 1e-12, "{found:?}");
            assert!(!found.clipped);
        }
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        assert_derivatives(&gate(1.0, 1.05));
        assert_derivatives(&gate(3.0, 0.5));
    }
}
