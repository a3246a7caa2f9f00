//! Averages of weights: by value against the files that they are made of, in both forms of the model.

use std::path::Path;

use r1x_core::Learner;
use r1x_core::plan::{FeedForwardPlan, LoraPlan, ModelPlan, Precision};
use r1x_core::port::{AveragePart, Cursor, EarlierWeights};
use r1x_ops::device::Device;

use super::properties::{batch, requests, sampling, stream, train};
use super::{ANY, gqa, mla, moe, plan, with_adapters};
use crate::checkpoint::{self, Numbers};
use crate::layout::Layout;
use crate::{DecoderPolicy, Model, TensorPolicy};

const PARTS: [AveragePart<'static>; 3] = [
    AveragePart { saved: Some("a"), adapted: None, share: 0.25 },
    AveragePart { saved: None, adapted: None, share: 0.5 },
    AveragePart { saved: Some("b"), adapted: None, share: 0.25 },
];

/// A model of a seed that learns for some updates and is saved.
fn saved(plan: &ModelPlan, seed: u64, updates: usize, (folder, name): (&Path, &str)) {
    let mut policy = DecoderPolicy::<f32>::new(plan, seed, 1, folder.to_owned()).unwrap();
    let written = r1x_core::Sampler::generate(&policy, &requests(), &sampling(), stream()).unwrap();
    train(&mut policy, &batch(&requests(), &written), updates);
    policy.save(name, &Cursor::default()).unwrap();
}

/// The numbers of a checkpoint: weights, then selection biases.
fn numbers(plan: &ModelPlan, folder: &Path, name: &str) -> Vec<f32> {
    let read = checkpoint::load_weights(&folder.join(name), &Layout::new(plan), &ANY).unwrap();
    let Numbers { values, biases, .. } = read;
    values.into_iter().chain(biases.concat()).collect()
}

#[test]
fn every_number_is_a_sum_of_shares_rounded_part_by_part() {
    let plan = plan(gqa(), FeedForwardPlan::Moe(moe()), false);
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    saved(&plan, 4, 3, (at, "a"));
    saved(&plan, 9, 2, (at, "b"));
    saved(&plan, 7, 0, (at, "initial"));
    let of = |name: &str| numbers(&plan, at, name);
    let expected: Vec<f32> = (of("a").iter().zip(of("initial")).zip(of("b")))
        .map(|((a, initial), b)| {
            let shares = [(0.25, *a), (0.5, initial), (0.25, b)];
            shares.into_iter().fold(0.0_f32, |sum, (share, number)| {
                (f64::from(sum) + share * f64::from(number)) as f32
            })
        })
        .collect();
    assert!(of("a").last() != Some(&0.0), "selection biases have moved");
    for precision in [Precision::F32, Precision::Bf16] {
        let plan = ModelPlan { precision, ..plan.clone() };
        let mut policy = crate::model::fresh(&plan, 7, 2, at.to_owned(), &Device::Cpu).unwrap();
        policy.take_weights(EarlierWeights::Average(&PARTS)).unwrap();
        policy.save("both", &Cursor::default()).unwrap();
        assert_eq!(of("both"), expected);
        // What is computed is computed with them: a model that reads the file says as much.
        let mut reads: Box<dyn Model> =
            crate::model::fresh(&plan, 1, 1, at.to_owned(), &Device::Cpu).unwrap();
        reads.take_weights(EarlierWeights::Saved("both")).unwrap();
        let [one, other] = [&policy, &reads]
            .map(|model| model.generate(&requests(), &sampling(), stream()).unwrap());
        assert_eq!(one, other);
    }
    let mut tensors = TensorPolicy::new(&plan, 7, at.to_owned(), &Device::Cpu).unwrap();
    tensors.take_weights(EarlierWeights::Average(&PARTS)).unwrap();
    tensors.save("tensors", &Cursor::default()).unwrap();
    assert_eq!(of("tensors"), expected);
}

#[test]
fn adapters_are_not_averaged() {
    let plan = plan(gqa(), FeedForwardPlan::swiglu(14), true);
    let plan = with_adapters(plan, LoraPlan::everywhere(3));
    let folder = tempfile::tempdir().unwrap();
    let mut policy = DecoderPolicy::<f32>::new(&plan, 4, 1, folder.path().to_owned()).unwrap();
    policy.save("a", &Cursor::default()).unwrap();
    let before = policy.weights_sha256().unwrap();
    let parts = [AveragePart { saved: Some("a"), adapted: None, share: 1.0 }];
    let error = policy.take_weights(EarlierWeights::Average(&parts)).unwrap_err();
    assert!(error.message.contains("adapters"), "{error:?}");
    assert_eq!(policy.weights_sha256().unwrap(), before);
}

/// Adapters are merged into what they stand beside, and the sum is that of the models that they make.
#[test]
fn adapters_of_a_part_are_merged_first() {
    let plan = plan(mla(Some(12)), FeedForwardPlan::Moe(moe()), false);
    let adapted = with_adapters(plan.clone(), LoraPlan::everywhere(3));
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    saved(&adapted, 7, 3, (at, "adapters"));
    saved(&plan, 9, 2, (at, "whole"));
    let merged = merged(&adapted, 7, (at, "adapters"));
    let expected: Vec<f32> = (merged.iter().zip(numbers(&plan, at, "whole")))
        .map(|(merged, whole)| {
            let first = (0.25 * f64::from(*merged)) as f32;
            (f64::from(first) + 0.75 * f64::from(whole)) as f32
        })
        .collect();
    let alone = [AveragePart { saved: Some("adapters"), adapted: Some(&adapted), share: 1.0 }];
    let both = [
        AveragePart { share: 0.25, ..alone[0] },
        AveragePart { saved: Some("whole"), adapted: None, share: 0.75 },
    ];
    let mut policy = crate::model::fresh(&plan, 7, 2, at.to_owned(), &Device::Cpu).unwrap();
    let mut tensors = TensorPolicy::new(&plan, 7, at.to_owned(), &Device::Cpu).unwrap();
    for (parts, expected) in [(&alone[..], &merged), (&both[..], &expected)] {
        policy.take_weights(EarlierWeights::Average(parts)).unwrap();
        policy.save("sum", &Cursor::default()).unwrap();
        assert_eq!(numbers(&plan, at, "sum"), *expected);
        tensors.take_weights(EarlierWeights::Average(parts)).unwrap();
        tensors.save("sum", &Cursor::default()).unwrap();
        assert_eq!(numbers(&plan, at, "sum"), *expected);
    }
}

/// The numbers of the model that a checkpoint of adapters makes, each product computed here from its factors in f64.
fn merged(plan: &ModelPlan, seed: u64, (folder, name): (&Path, &str)) -> Vec<f32> {
    let layout = Layout::new(plan);
    let read = checkpoint::load_weights(&folder.join(name), &layout, &ANY).unwrap();
    let bare = ModelPlan { lora: None, ..plan.clone() };
    let at = tempfile::tempdir().unwrap();
    let mut base = DecoderPolicy::<f32>::new(&bare, seed, 1, at.path().to_owned()).unwrap();
    base.save("base", &Cursor::default()).unwrap();
    let Numbers { mut values, .. } =
        checkpoint::load_weights(&at.path().join("base"), &Layout::new(&bare), &ANY).unwrap();
    assert!(!layout.adapter_places.is_empty());
    for places in &layout.adapter_places {
        let factor = |at: usize| f64::from(read.values[at - read.start]);
        let (columns, rank) = (places.beside.columns, places.down.len() / places.beside.columns);
        for index in 0..places.beside.len() {
            let (row, column) = (index / columns, index % columns);
            let product: f64 = (0..rank)
                .map(|k| {
                    factor(places.up.offset + row * rank + k)
                        * factor(places.down.offset + k * columns + column)
                })
                .sum();
            let value = &mut values[places.beside.offset + index];
            *value = (f64::from(*value) + places.factor * product) as f32;
        }
    }
    values.into_iter().chain(read.biases.concat()).collect()
}
