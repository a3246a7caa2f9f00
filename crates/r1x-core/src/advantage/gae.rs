//! Generalised advantage estimation: what a critic says of each token turns one reward into an advantage per token.
//!
//! With the reward r_t of token t and the value V_t of everything before it, δ_t = r_t + γ·V_{t+1} − V_t, and
//! A_t = δ_t + γλ·A_{t+1}; behind the last token both are 0, whether the completion ended or was cut off. λ = 1 compares what
//! really came with what was expected, and lower values believe the critic about what comes later.
//!
//! Source: Schulman et al. 2015, "High-Dimensional Continuous Control Using Generalized Advantage Estimation", arXiv
//! 1506.02438, equations 11 to 16.

use super::Spread;

/// What is estimated for the tokens of one completion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimated {
    /// A_t, one per token, in reward units.
    pub advantages: Vec<f64>,
    /// A_t + V_t, which the critic learns to say, one per token.
    pub returns: Vec<f64>,
}

/// Advantages and returns of one completion. `rewards` and `values` have one entry per token, and both factors are from 0
/// to 1: `gamma` for what comes a token later, `lambda` for how far the estimate looks beyond the critic.
///
/// # Panics
/// When there are not as many rewards as values.
pub fn gae(rewards: &[f64], values: &[f32], (gamma, lambda): (f64, f64)) -> Estimated {
    assert_eq!(rewards.len(), values.len(), "one reward and one value per token");
    let mut advantages = vec![0.0; rewards.len()];
    let (mut later_value, mut later_advantage) = (0.0, 0.0);
    for token in (0..rewards.len()).rev() {
        let value = f64::from(values[token]);
        let surprise = rewards[token] + gamma * later_value - value;
        advantages[token] = surprise + gamma * lambda * later_advantage;
        (later_value, later_advantage) = (value, advantages[token]);
    }
    let pairs = advantages.iter().zip(values);
    let returns = pairs.map(|(advantage, value)| advantage + f64::from(*value)).collect();
    Estimated { advantages, returns }
}

/// The advantages of a step with mean 0 and deviation 1: (A − mean) / (deviation + eps) over all of them, with the unbiased
/// deviation; all 0 where they are equal.
pub fn whitened(advantages: &[f64], eps: f64) -> Vec<f64> {
    let step = Spread::of(advantages.iter().copied());
    match step.differs {
        true => super::batch_normalized::advantages(advantages, &step, eps),
        false => vec![0.0; advantages.len()],
    }
}

/// The share of the variance of what came that the critic had said, 1 − Var(R − V) / Var(R): 1 for a critic that knows, 0 for
/// one that says a constant, below 0 for one that misleads. `None` where nothing varies.
pub fn explained_variance(returns: &[f64], values: &[f64]) -> Option<f64> {
    let came = Spread::of(returns.iter().copied());
    let missed = Spread::of(returns.iter().zip(values).map(|(came, said)| came - said));
    came.differs.then(|| 1.0 - (missed.deviation / came.deviation).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    /// Rewards 0, 0.5, 1 and values 0.25, 0.5, −0.5 with γ = 0.5 and λ = 0.5: δ = 0, −0.25, 1.5, so A_2 = 1.5,
    /// A_1 = −0.25 + 0.25·1.5 = 0.125 and A_0 = 0.25·0.125.
    #[test]
    fn values_by_hand() {
        let found = gae(&[0.0, 0.5, 1.0], &[0.25, 0.5, -0.5], (0.5, 0.5));
        close(&found.advantages, &[0.03125, 0.125, 1.5]);
        close(&found.returns, &[0.28125, 0.625, 1.0]);
    }

    /// The sum over later tokens that equation 16 has, without a recursion.
    #[test]
    fn it_is_the_discounted_sum_of_surprises() {
        let rewards = [0.3, -0.2, 0.0, 0.7, 1.1];
        let values = [0.5_f32, -0.25, 0.125, 0.75, 1.5];
        for (gamma, lambda) in [(1.0, 0.95), (0.9, 1.0), (0.97, 0.3), (1.0, 0.0)] {
            let value = |token: usize| values.get(token).map_or(0.0, |value| f64::from(*value));
            let surprise = |t: usize| rewards[t] + gamma * value(t + 1) - value(t);
            let sum = |first: usize| -> f64 {
                let later = first..rewards.len();
                later.map(|t| (gamma * lambda).powi((t - first) as i32) * surprise(t)).sum()
            };
            let expected: Vec<f64> = (0..rewards.len()).map(sum).collect();
            close(&gae(&rewards, &values, (gamma, lambda)).advantages, &expected);
        }
    }

    /// With γ = λ = 1 an advantage is all that comes from its token on, less the value; what the critic says of later tokens
    /// cancels.
    #[test]
    fn without_trust_in_the_critic_it_is_what_came_less_what_was_expected() {
        let found = gae(&[0.0, -0.5, 2.0], &[0.5, 9.0, -3.0], (1.0, 1.0));
        close(&found.advantages, &[1.0, -7.5, 5.0]);
        close(&found.returns, &[1.5, 1.5, 2.0]);
        assert_eq!(gae(&[], &[], (1.0, 1.0)), Estimated::default());
    }

    /// 1, 2, 3 have mean 2 and unbiased deviation 1.
    #[test]
    fn a_step_is_whitened_over_its_tokens() {
        close(&whitened(&[1.0, 2.0, 3.0], 0.0), &[-1.0, 0.0, 1.0]);
        close(&whitened(&[1.0, 2.0, 3.0], 1.0), &[-0.5, 0.0, 0.5]);
        close(&whitened(&[0.1; 3], 0.0), &[0.0; 3]);
        assert!(whitened(&[], 0.0).is_empty());
    }

    #[test]
    fn a_critic_explains_what_it_has_said() {
        let returns = [1.0, 2.0, 3.0];
        assert_eq!(explained_variance(&returns, &returns), Some(1.0));
        assert_eq!(explained_variance(&returns, &[7.0; 3]), Some(0.0));
        assert_eq!(explained_variance(&returns, &[3.0, 2.0, 1.0]), Some(-3.0));
        assert_eq!(explained_variance(&[1.0; 3], &returns), None);
    }
}
