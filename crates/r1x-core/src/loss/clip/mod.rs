//! What is made of a probability ratio and an advantage: one file per kind of clipping.

mod pessimistic;
mod probability;
mod sigmoid;
mod weight;

use crate::plan::ClipPlan;

/// Where the ratio's exponential stops, nats: exp(20) ≈ 4.9·10⁸ fits any float.
const LOG_RATIO_LIMIT: f64 = 20.0;

/// What is known of one trained token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// The token's advantage A.
    pub advantage: f64,
    /// The logarithm of the ratio ρ, of the token or of its sequence.
    pub log_ratio: f64,
    /// The token's log-prob under the policy that learns.
    pub logprob: f64,
    /// The token's log-prob under the policy that sampled it.
    pub sampled: f64,
}

/// Which number a term depends on; the others are constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The logarithm of the ratio.
    LogRatio,
    /// The token's log-prob.
    Logprob,
}

/// The policy-gradient part of one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipTerm {
    /// The loss, before aggregation.
    pub value: f64,
    /// Its derivative with respect to `variable`.
    pub derivative: f64,
    /// What the loss depends on.
    pub variable: Variable,
    /// The probability ratio ρ.
    pub ratio: f64,
    /// Whether a bound changes the gradient.
    pub clipped: bool,
}

/// A ratio from its logarithm, and the derivative of the one by the other, as [`term`] bounds it.
pub(super) fn bounded_ratio(log_ratio: f64) -> (f64, f64) {
    let ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp();
    (ratio, if log_ratio.abs() > LOG_RATIO_LIMIT { 0.0 } else { ratio })
}

/// The policy-gradient part of one token: value, derivative and whether a bound is active. The table of kinds: a new one
/// is a file beside this one, a kind in [`ClipPlan`], and a row here.
///
/// The log-ratio is clamped to ±20 nats so that nothing overflows; beyond that the token is far outside any
/// trust region, and the ratio has no gradient. A log-prob that is NaN gives a value that is NaN.
pub fn term(plan: &ClipPlan, token: &Token) -> ClipTerm {
    let (ratio, _) = bounded_ratio(token.log_ratio);
    if ratio.is_nan() {
        let (value, derivative, variable) = (f64::NAN, f64::NAN, Variable::LogRatio);
        return ClipTerm { value, derivative, variable, ratio, clipped: false };
    }
    let term = match plan {
        ClipPlan::Pessimistic(bounds) => pessimistic::term(bounds, token, ratio),
        ClipPlan::Weight(bounds) => weight::term(bounds, token, ratio),
        ClipPlan::Sigmoid(gate) => sigmoid::term(gate, token, ratio),
        ClipPlan::Probability(bounds) => probability::term(bounds, token, ratio),
    };
    let stopped = term.variable == Variable::LogRatio && token.log_ratio.abs() > LOG_RATIO_LIMIT;
    if stopped { ClipTerm { derivative: 0.0, ..term } } else { term }
}

/// What the tests of all kinds share.
#[cfg(test)]
mod testing {
    use super::super::testing::assert_derivative;
    use super::*;

    /// The term of a token that was sampled with probability 0.1 and whose probability is now `ratio` times as large.
    pub(super) fn at(plan: &ClipPlan, advantage: f64, ratio: f64) -> ClipTerm {
        let (log_ratio, sampled) = (ratio.ln(), 0.1_f64.ln());
        term(plan, &Token { advantage, log_ratio, logprob: sampled + log_ratio, sampled })
    }

    /// Compares the derivative of a term by the log-ratio, on both sides of ρ = 1 and for both signs of advantage.
    pub(super) fn assert_derivatives(plan: &ClipPlan) {
        for advantage in [-1.7, -0.2, 0.0, 0.4, 2.5] {
            for log_ratio in [-28.0, -2.0, -0.3, -0.1, 0.0, 0.05, 0.5, 1.1, 1.9, 21.0] {
                let token = |log_ratio| Token {
                    advantage,
                    log_ratio,
                    logprob: log_ratio - 2.0,
                    sampled: -2.0,
                };
                let found = term(plan, &token(log_ratio));
                assert_eq!(found.variable, Variable::LogRatio);
                let value = |x: f64| term(plan, &token(x)).value;
                assert_derivative(value, log_ratio, found.derivative);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ProbabilityBounds, RatioBounds, SigmoidGate, WeightBounds};

    #[test]
    fn extreme_log_probs_stay_finite_and_nan_is_not_hidden() {
        let kinds = [
            ClipPlan::Pessimistic(RatioBounds { low: 0.2, high: 0.2, max_ratio: None }),
            ClipPlan::Weight(WeightBounds { low: None, high: 4.0 }),
            ClipPlan::Sigmoid(SigmoidGate { tau_positive: 1.0, tau_negative: 1.05 }),
            ClipPlan::Probability(ProbabilityBounds { low: 0.2, high: 0.2 }),
        ];
        for plan in kinds {
            for advantage in [-3.0, 3.0] {
                for (logprob, sampled) in [(0.0, -1e30), (-1e30, 0.0)] {
                    let log_ratio = logprob - sampled;
                    let found = term(&plan, &Token { advantage, log_ratio, logprob, sampled });
                    assert!(found.value.is_finite() && found.derivative.is_finite(), "{found:?}");
                    let stopped = found.variable == Variable::Logprob || found.derivative == 0.0;
                    assert!(stopped, "{found:?}");
                }
            }
            let (logprob, sampled) = (f64::NAN, -1.0);
            let lost = Token { advantage: 1.0, log_ratio: f64::NAN, logprob, sampled };
            assert!(term(&plan, &lost).value.is_nan());
        }
    }
}
