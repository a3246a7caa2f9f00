//! PPO's clipping: −min(min(ρ, max_ratio)·A, clip(ρ, 1 − low, 1 + high)·A).
//!
//! Sources: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv 1707.06347, equation 7; Yu et al. 2025,
//! "DAPO", arXiv 2503.14476 (another bound above than below); Prime Intellect 2025, "INTELLECT-2", arXiv 2505.07291 (the cap
//! `max_ratio`). The cap is what Ye et al. 2020, "Mastering Complex Control in MOBA Games with Deep Reinforcement Learning",
//! arXiv 1912.09729, call dual clipping: max(min(ρ·A, clip(ρ)·A), c·A) where A is negative, with c for `max_ratio`.

use super::{ClipTerm, Token, Variable};
use crate::plan::RatioBounds;

/// The term of a token whose ratio is a number.
pub(super) fn term(bounds: &RatioBounds, token: &Token, ratio: f64) -> ClipTerm {
    let advantage = token.advantage;
    let cap = bounds.max_ratio.unwrap_or(f64::INFINITY);
    let capped = ratio.min(cap) * advantage;
    let bounded = ratio.max(1.0 - bounds.low).min(1.0 + bounds.high) * advantage;
    // Where both branches agree the ratio is inside the bounds, and the open branch carries the gradient.
    let open = capped <= bounded && ratio <= cap;
    ClipTerm {
        value: -capped.min(bounded),
        derivative: if open { -ratio * advantage } else { 0.0 },
        variable: Variable::LogRatio,
        ratio,
        clipped: advantage != 0.0 && !open,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_derivatives, at};
    use super::*;
    use crate::plan::ClipPlan;

    fn clip(low: f64, high: f64, max_ratio: Option<f64>) -> ClipPlan {
        ClipPlan::Pessimistic(RatioBounds { low, high, max_ratio })
    }

    /// Columns: advantage, ratio, value, derivative by log-prob, clipped. Bounds 0.8 and 1.28, cap 3.
    #[test]
    fn one_token_matches_a_table_computed_by_hand() {
        let table: [(f64, f64, f64, f64, bool); 11] = [
            (2.0, 1.0, -2.0, -2.0, false),
            (2.0, 1.2, -2.4, -2.4, false),
            (2.0, 1.5, -2.56, 0.0, true),
            (2.0, 0.5, -1.0, -1.0, false),
            (2.0, 5.0, -2.56, 0.0, true),
            (-2.0, 1.0, 2.0, 2.0, false),
            (-2.0, 0.9, 1.8, 1.8, false),
            (-2.0, 0.5, 1.6, 0.0, true),
            (-2.0, 2.0, 4.0, 4.0, false),
            (-2.0, 5.0, 6.0, 0.0, true),
            (0.0, 5.0, 0.0, 0.0, false),
        ];
        for (advantage, ratio, value, derivative, clipped) in table {
            let term = at(&clip(0.2, 0.28, Some(3.0)), advantage, ratio);
            assert!((term.value - value).abs() < 1e-12, "A {advantage} ρ {ratio}: {term:?}");
            assert!(
                (term.derivative - derivative).abs() < 1e-12,
                "A {advantage} ρ {ratio}: {term:?}"
            );
            assert_eq!(term.clipped, clipped, "A {advantage} ρ {ratio}: {term:?}");
        }
        // Without the cap a negative advantage is not bounded from above.
        let open = at(&clip(0.2, 0.28, None), -2.0, 5.0);
        assert!((open.value - 10.0).abs() < 1e-12 && (open.derivative - 10.0).abs() < 1e-12);
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        for bounds in [clip(0.2, 0.28, None), clip(0.2, 0.2, Some(2.0)), clip(10.0, 10.0, None)] {
            assert_derivatives(&bounds);
        }
    }

    /// Dual clipping as it is written down: for A < 0 the loss is at most −c·A, elsewhere it is PPO's.
    #[test]
    fn the_cap_is_dual_clipping() {
        for advantage in [-2.0_f64, -0.3, 0.0, 0.7, 1.9] {
            for ratio in [0.1_f64, 0.79, 0.9, 1.0, 1.15, 1.3, 2.9, 3.1, 50.0] {
                let ppo = (-ratio * advantage).max(-ratio.clamp(0.8, 1.2) * advantage);
                let dual = if advantage < 0.0 { ppo.min(-3.0 * advantage) } else { ppo };
                let found = at(&clip(0.2, 0.2, Some(3.0)), advantage, ratio).value;
                assert!((found - dual).abs() < 1e-12, "A {advantage} ρ {ratio}: {found} {dual}");
            }
        }
    }
}
