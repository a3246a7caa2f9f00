//! Losses and their derivatives are those of TRL, for every choice that both have. `golden/losses.py` writes the numbers.

use r1x_core::TrainingSequence;
use r1x_core::loss::{Loss, Said, Surrogate, UpdateCounts};
use r1x_core::plan::{ClipPlan, RatioLevel, SurrogatePlan};
use serde::Deserialize;

/// What TRL was given, and what it said.
#[derive(Deserialize)]
struct Golden {
    sampled: Vec<Vec<f32>>,
    logprobs: Vec<Vec<f32>>,
    reference: Vec<Vec<f32>>,
    advantages: Vec<f64>,
    fixed_length: f64,
    cases: Vec<Case>,
}

/// A loss of TRL over all sequences of a case.
#[derive(Deserialize)]
struct Case {
    plan: SurrogatePlan,
    loss: f64,
    gradient: Vec<Vec<f64>>,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("golden/losses.json")).unwrap()
    }

    /// The sequences of the update; where the plan has no penalty, nobody asked the reference.
    fn sequences(&self, plan: &SurrogatePlan) -> Vec<TrainingSequence> {
        let of = |(index, sampled): (usize, &Vec<f32>)| {
            let length = sampled.len();
            let reference = self.reference[index].clone();
            TrainingSequence {
                mask: vec![true; length],
                advantages: vec![self.advantages[index]; length],
                sampled_logprobs: sampled.clone(),
                reference_logprobs: if plan.kl.coef > 0.0 { reference } else { Vec::new() },
                ..TrainingSequence::new(&[1], &vec![1; length])
            }
        };
        self.sampled.iter().enumerate().map(of).collect()
    }
}

#[test]
fn losses_and_derivatives_are_those_of_trl() {
    let golden = Golden::read();
    assert_eq!(golden.cases.len(), 3 * 2 * 2 * 2 + 1 + 4 + 4 + 8 + 6 + 2);
    for Case { plan, loss, gradient } in &golden.cases {
        let sequences = golden.sequences(plan);
        let counts = UpdateCounts::of(&sequences, golden.fixed_length);
        let surrogate = Surrogate::new(plan, &counts);
        let (mut total, mut largest) = (0.0, 0.0_f64);
        for ((sequence, logprobs), gradient) in sequences.iter().zip(&golden.logprobs).zip(gradient)
        {
            let output = surrogate.evaluate(sequence, Said::of(logprobs));
            total += output.totals.loss;
            assert_eq!(output.gradient.len(), gradient.len());
            for (found, expected) in output.gradient.iter().zip(gradient) {
                largest = largest.max(expected.abs());
                let difference = (f64::from(*found) - expected).abs();
                assert!(difference < 1e-7, "{plan:?}: {found} is not {expected}");
            }
        }
        assert!((total - loss).abs() < 1e-12, "{plan:?}: {total} is not {loss}");
        // A comparison of zeros would be none.
        assert!(largest > 1e-3, "{plan:?}: the largest derivative is {largest}");
    }
}

/// The numbers can tell the choices apart: bounds are reached, and no two cases have one loss.
#[test]
fn the_cases_differ() {
    let golden = Golden::read();
    for (at, one) in golden.cases.iter().enumerate() {
        for other in &golden.cases[..at] {
            assert!((one.loss - other.loss).abs() > 1e-9, "{:?} and {:?}", one.plan, other.plan);
        }
    }
    let stopped = |case: &&Case| {
        let token = case.plan.ratio == RatioLevel::Token && case.plan.kl.coef == 0.0;
        token && matches!(case.plan.clip, ClipPlan::Pessimistic(_))
    };
    for case in golden.cases.iter().filter(stopped) {
        let none = case.gradient.iter().flatten().filter(|entry| **entry == 0.0).count();
        assert!(none > 3, "{:?}: bounds stop {none} tokens", case.plan);
    }
}
