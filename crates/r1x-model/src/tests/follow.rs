//! Copies that follow the weights that learn: their numbers, what they compute, and that a checkpoint goes on with them.

use half::bf16;
use r1x_core::plan::{ModelPlan, Precision};
use r1x_core::port::{Cursor, REFERENCE, WeightChoice};
use r1x_core::{Learner, Sampler, Scorer, TrainingBatch};
use r1x_ops::Operand;

use super::properties::{batch, policy, requests, sampling, stream, train};
use super::{ANY, shapes};
use crate::checkpoint::{CopyKind, Numbers, Values};
use crate::{DecoderPolicy, TensorPolicy};

const FROZEN: WeightChoice<'static> = WeightChoice::Frozen(REFERENCE);

/// A policy, what it sampled, and the folder of its checkpoints.
fn sampled<E: Operand<Real = f32>>(
    plan: &ModelPlan,
) -> (DecoderPolicy<E>, TrainingBatch, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let policy = DecoderPolicy::<E>::new(plan, 4, 2, folder.path().to_owned()).unwrap();
    let completions = policy.generate(&requests(), &sampling(), stream()).unwrap();
    (policy, batch(&requests(), &completions), folder)
}

/// Every number of some weights, parameter by parameter, then their biases.
fn all_of<E: Operand<Real = f32>>(policy: &DecoderPolicy<E>, values: &dyn Values) -> Vec<f32> {
    let layout = policy.decoder.layout.trained();
    let parameters = layout.parameters.iter().flat_map(|one| values.of(one).into_owned());
    parameters.chain(values.biases().iter().flatten().copied()).collect()
}

/// The numbers of a copy that follows.
fn numbers<E: Operand<Real = f32>>(policy: &DecoderPolicy<E>) -> Vec<f32> {
    let copies = policy.copies.contents();
    let [(REFERENCE, CopyKind::Following, copy)] = copies[..] else { panic!("one that follows") };
    all_of(policy, copy)
}

/// With w₀ at the beginning: 0.75·w₀ + 0.25·w₁, then 0.75 of that and 0.25·w₂, each rounded once to f32. A model that
/// holds these numbers says what the copy says, bit for bit.
fn a_copy_moves_by_its_share<E: Operand<Real = f32>>(name: &str, plan: &ModelPlan) {
    let (mut policy, batch, _folder) = sampled::<E>(plan);
    let layout = policy.decoder.layout.clone();
    policy.follow(REFERENCE, 0.25).unwrap();
    let mut expected = policy.weights.numbers(&layout);
    let first = policy.score(WeightChoice::Current, &batch).unwrap();
    assert_eq!(policy.score(FROZEN, &batch).unwrap(), first, "{name}: a copy at first");
    for _ in 0..2 {
        train(&mut policy, &batch, 2);
        policy.follow(REFERENCE, 0.25).unwrap();
        let current = policy.weights.numbers(&layout);
        let mix = |own: f32, other: f32| (0.75 * f64::from(own) + 0.25 * f64::from(other)) as f32;
        let Numbers { values, biases, .. } = &mut expected;
        let all = values.iter_mut().chain(biases.iter_mut().flatten());
        let others = current.values.iter().chain(current.biases.iter().flatten());
        all.zip(others).for_each(|(own, other)| *own = mix(*own, *other));
    }
    let found = policy.score(FROZEN, &batch).unwrap();
    assert_ne!(found, first, "{name}: it moved");
    assert_ne!(
        found,
        policy.score(WeightChoice::Current, &batch).unwrap(),
        "{name}: not all the way"
    );
    policy.weights.set(&layout, &expected, 1);
    assert_eq!(policy.score(WeightChoice::Current, &batch).unwrap(), found, "{name}");
}

#[test]
fn a_copy_that_follows_is_the_mix_of_the_weights_that_were_there() {
    for (name, plan) in shapes() {
        a_copy_moves_by_its_share::<f32>(name, &plan);
        let plan = ModelPlan { precision: Precision::Bf16, ..plan };
        a_copy_moves_by_its_share::<bf16>(&format!("{name} bf16"), &plan);
    }
}

/// A hundredth of the way, two hundred times: 0.99²⁰⁰ of the distance is left. A mean that was rounded to bf16 would have
/// stopped where a hundredth of the distance is less than half of its last digit.
#[test]
fn small_steps_add_up_in_bf16() {
    let (_, plan) = shapes().remove(0);
    let plan = ModelPlan { precision: Precision::Bf16, ..plan };
    let (mut policy, batch, _folder) = sampled::<bf16>(&plan);
    policy.follow(REFERENCE, 0.01).unwrap();
    let first = numbers(&policy);
    train(&mut policy, &batch, 1);
    let target = all_of(&policy, &policy.weights);
    (0..200).for_each(|_| policy.follow(REFERENCE, 0.01).unwrap());
    let left = 0.99_f64.powi(200);
    let mut stopped = 0;
    for ((first, target), found) in first.iter().zip(&target).zip(numbers(&policy)) {
        let (from, to) = (f64::from(*first), f64::from(*target));
        let expected = to + (from - to) * left;
        assert!((f64::from(found) - expected).abs() < 2e-5 * from.abs().max(to.abs()), "{found}");
        let step = bf16::from_f64(from + 0.01 * (to - from));
        stopped += usize::from(from != to && step == bf16::from_f64(from));
    }
    assert!(stopped > 1000, "{stopped}");
}

#[test]
fn a_checkpoint_goes_on_with_a_copy_that_follows() {
    for (name, plan) in shapes() {
        for precision in [Precision::F32, Precision::Bf16] {
            let plan = ModelPlan { precision, ..plan.clone() };
            let (mut original, folder) = policy(&plan, 2);
            let completions = original.generate(&requests(), &sampling(), stream()).unwrap();
            let batch = batch(&requests(), &completions);
            original.follow(REFERENCE, 0.6).unwrap();
            train(&mut *original, &batch, 2);
            original.follow(REFERENCE, 0.6).unwrap();
            let saved = original.save("x", &Cursor::default()).unwrap();
            let (mut loaded, _other) = policy(&plan, 1);
            loaded.load(&folder.path().join(&saved.path), &ANY).unwrap();
            for _ in 0..2 {
                let both = [&mut original, &mut loaded];
                let [one, other] = both.map(|policy| policy.score(FROZEN, &batch).unwrap());
                assert_eq!(one, other, "{name} {precision:?}");
                for policy in [&mut original, &mut loaded] {
                    train(&mut **policy, &batch, 1);
                    policy.follow(REFERENCE, 0.6).unwrap();
                }
            }
            // What stays is kept as before, under the name.
            original.freeze(REFERENCE).unwrap();
            let current = original.score(WeightChoice::Current, &batch).unwrap();
            assert_eq!(original.score(FROZEN, &batch).unwrap(), current, "{name} {precision:?}");
            original.forget_frozen();
            assert!(original.score(FROZEN, &batch).is_err());
            assert!(original.follow("a.b", 0.5).unwrap_err().message.contains("no dot"));
        }
    }
}

/// Kernels and tensors move a copy alike: what either of them writes, the other one reads and would have written.
#[test]
fn a_copy_follows_alike_on_kernels_and_on_tensors() {
    for (name, plan) in shapes() {
        let (mut kernels, batch, folder) = sampled::<f32>(&plan);
        kernels.follow(REFERENCE, 0.6).unwrap();
        train(&mut kernels, &batch, 2);
        kernels.save("x", &Cursor::default()).unwrap();
        let other = tempfile::tempdir().unwrap();
        let device = candle_core::Device::Cpu;
        let mut tensors = TensorPolicy::new(&plan, 4, other.path().to_owned(), &device).unwrap();
        tensors.load(&folder.path().join("x"), &ANY).unwrap();
        for _ in 0..2 {
            kernels.follow(REFERENCE, 0.6).unwrap();
            tensors.follow(REFERENCE, 0.6).unwrap();
        }
        kernels.save("y", &Cursor::default()).unwrap();
        tensors.save("y", &Cursor::default()).unwrap();
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let [one, other] = [folder.path(), other.path()]
                .map(|folder| std::fs::read(folder.join("y").join(file)).unwrap());
            assert!(one == other, "{name}: {file}");
        }
        let mut again = DecoderPolicy::<f32>::new(&plan, 4, 1, folder.path().to_owned()).unwrap();
        again.load(&other.path().join("y"), &ANY).unwrap();
        assert_eq!(numbers(&again), numbers(&kernels), "{name}");
    }
}
