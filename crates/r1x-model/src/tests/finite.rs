//! What happens when numbers are not finite: the first place is named, and weights that are whole stay whole.

use candle_core::Device;
use r1x_core::TrainingSequence;
use r1x_core::loss::{Loss, LossOutput, Said, Sft, UpdateCounts};

use super::properties::{batch, kernels, optimizer, requests, sampling, stream};
use super::shapes;
use crate::{Model, TensorPolicy};

/// A loss whose derivative is NaN.
struct Lost;

impl Loss for Lost {
    fn evaluate(&self, _: &TrainingSequence, said: Said<'_>) -> LossOutput {
        LossOutput { gradient: vec![f32::NAN; said.targets.len()], ..LossOutput::default() }
    }
}

#[test]
fn gradients_and_weights_that_leave_the_finite_numbers_are_named_by_both_policies() {
    for (name, plan) in shapes() {
        let (on_kernels, folder) = kernels(&plan, 2);
        let device = &Device::Cpu;
        let on_tensors = TensorPolicy::new(&plan, 4, folder.path().to_owned(), device).unwrap();
        let policies: [Box<dyn Model>; 2] = [Box::new(on_kernels), Box::new(on_tensors)];
        for mut policy in policies {
            let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
            assert!(completions.iter().flatten().all(|one| one.not_finite().is_none()), "{name}");
            let batch = batch(&requests(), &completions);
            let before = policy.weights_sha256().unwrap();
            policy.accumulate(&batch, &Lost).unwrap();
            let facts = policy.update(&optimizer(), 0.01).unwrap();
            let (what, value) = facts.not_finite.unwrap();
            assert!(what.starts_with("gradient of `") && value.is_nan(), "{name}: {what} {value}");
            assert_eq!(policy.weights_sha256().unwrap(), before, "{name}: nothing changed");
            policy.accumulate(&batch, &Sft::new(&UpdateCounts::of(&batch.sequences, 0.0))).unwrap();
            let facts = policy.update(&optimizer(), 0.01).unwrap();
            assert_eq!(facts.not_finite, None, "{name}: the lost gradient is gone");
            policy.accumulate(&batch, &Sft::new(&UpdateCounts::of(&batch.sequences, 0.0))).unwrap();
            // No float of 32 bits is as large as this.
            let facts = policy.update(&optimizer(), 1e300).unwrap();
            let (what, value) = facts.not_finite.unwrap();
            assert!(what.starts_with("weight in `"), "{name}: {what}");
            assert!(!value.is_finite() && facts.grad_norm.is_finite(), "{name}: {value}");
            // Drawing from such weights ends, and every completion says what it was drawn from.
            let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
            assert!(completions.iter().flatten().all(|one| one.not_finite().is_some()), "{name}");
        }
    }
}
