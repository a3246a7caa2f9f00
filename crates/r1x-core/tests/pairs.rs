//! Losses over pairs and their derivatives are those of TRL, for every choice that both have. `golden/pairs.py` writes the
//! numbers: of all better members, then of all worse ones.

use r1x_core::loss::pair::{PairOutput, bradley_terry, preference};
use r1x_core::plan::PreferencePlan;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    policy: Vec<Vec<f64>>,
    reference: Vec<Vec<f64>>,
    rewards: Vec<Reward>,
    preferences: Vec<Preference>,
}

#[derive(Deserialize)]
struct Reward {
    margin: f64,
    numbers: Vec<[f64; 2]>,
    loss: f64,
    gradient: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct Preference {
    plan: PreferencePlan,
    loss: f64,
    gradient: Vec<Vec<f64>>,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("golden/pairs.json")).unwrap()
    }

    /// What the log-ratio of a member is divided by.
    fn divisor(&self, plan: &PreferencePlan, member: usize) -> f64 {
        if plan.kind.is_mean() { self.policy[member].len() as f64 } else { 1.0 }
    }

    fn ratio(&self, plan: &PreferencePlan, member: usize) -> f64 {
        let pairs = self.policy[member].iter().zip(&self.reference[member]);
        pairs.map(|(policy, reference)| policy - reference).sum::<f64>()
            / self.divisor(plan, member)
    }
}

#[test]
fn reward_models_learn_by_the_loss_of_trl() {
    for Reward { margin, numbers, loss, gradient } in Golden::read().rewards {
        let count = numbers.len() as f64;
        let outputs: Vec<PairOutput> =
            numbers.iter().map(|[better, worse]| bradley_terry(*better, *worse, margin)).collect();
        let found = outputs.iter().map(|output| output.loss).sum::<f64>() / count;
        assert!((found - loss).abs() < 1e-12, "margin {margin}: {found} is not {loss}");
        for (output, [better, worse]) in outputs.iter().zip(gradient) {
            assert!((output.by_better / count - better).abs() < 1e-12, "margin {margin}");
            assert!((output.by_worse / count - worse).abs() < 1e-12, "margin {margin}");
            assert!(better.abs() > 1e-3, "a comparison of zeros would be none");
        }
    }
}

#[test]
fn preferences_are_optimised_by_the_losses_of_trl() {
    let golden = Golden::read();
    assert_eq!(golden.preferences.len(), 4 * 2);
    let pairs = golden.policy.len() / 2;
    let mut losses = Vec::new();
    for Preference { plan, loss, gradient } in &golden.preferences {
        let (mut total, mut largest) = (0.0, 0.0_f64);
        for (better, worse) in (0..pairs).zip(pairs..) {
            let [one, other] = [better, worse].map(|member| golden.ratio(plan, member));
            let output = preference(plan, one, other);
            total += output.loss / pairs as f64;
            for (member, derivative) in [(better, output.by_better), (worse, output.by_worse)] {
                let expected = derivative / pairs as f64 / golden.divisor(plan, member);
                assert_eq!(gradient[member].len(), golden.policy[member].len());
                for token in &gradient[member] {
                    largest = largest.max(token.abs());
                    assert!(
                        (token - expected).abs() < 1e-10,
                        "{plan:?}: {token} is not {expected}"
                    );
                }
            }
        }
        assert!((total - loss).abs() < 1e-10, "{plan:?}: {total} is not {loss}");
        assert!(largest > 1e-3, "{plan:?}: the largest derivative is {largest}");
        assert!(
            losses.iter().all(|other: &f64| (other - loss).abs() > 1e-9),
            "{plan:?} is another"
        );
        losses.push(*loss);
    }
}
