//! Weights that nobody changes: what they compute is what weights that learn compute, bit for bit.

use half::bf16;
use r1x_core::Rng;
use r1x_core::plan::{ModelPlan, Precision};
use r1x_core::port::{Cursor, WeightChoice};
use r1x_ops::Operand;

use super::properties::{batch, policy, requests, sampling, stream, train};
use super::{ANY, shapes};
use crate::checkpoint::Values;
use crate::initial::Given;
use crate::layout::{Layout, Parameter};
use crate::model::answering_on_cpu;
use crate::weights::{Freezing, Passes, Weights};

#[test]
fn a_model_that_answers_says_what_the_one_that_learnt_says() {
    for (name, plan) in shapes() {
        for precision in [Precision::F32, Precision::Bf16] {
            let plan = ModelPlan { precision, ..plan.clone() };
            let (mut learner, folder) = policy(&plan, 2);
            let completions = learner.generate(&requests(), &sampling(), stream()).unwrap();
            let batch = batch(&requests(), &completions);
            train(&mut *learner, &batch, 2);
            learner.freeze("copy").unwrap();
            let saved = learner.save("x", &Cursor::default()).unwrap();
            let path = folder.path().join(&saved.path);
            let mut answering = answering_on_cpu(
                &plan,
                1,
                Given::Checkpoint { folder: &path, expected: &ANY, seed: 4 },
            )
            .unwrap();
            assert_eq!(
                answering.generate(&requests(), &sampling(), stream()).unwrap(),
                learner.generate(&requests(), &sampling(), stream()).unwrap(),
                "{name} {precision:?}"
            );
            let expected = learner.score(WeightChoice::Current, &batch).unwrap();
            assert_eq!(answering.score(WeightChoice::Current, &batch).unwrap(), expected);
            assert_eq!(learner.score(WeightChoice::Frozen("copy"), &batch).unwrap(), expected);
            let (mut loaded, _other) = policy(&plan, 1);
            loaded.load(&path, &ANY).unwrap();
            assert_eq!(loaded.score(WeightChoice::Frozen("copy"), &batch).unwrap(), expected);
        }
    }
}

#[test]
fn a_model_that_answers_does_not_learn() {
    let (_, plan) = shapes().remove(0);
    let (mut learner, folder) = policy(&plan, 1);
    learner.save("x", &Cursor::default()).unwrap();
    let path = folder.path().join("x");
    let mut answering =
        answering_on_cpu(&plan, 1, Given::Checkpoint { folder: &path, expected: &ANY, seed: 4 })
            .unwrap();
    let completions = answering.generate(&requests(), &sampling(), stream()).unwrap();
    let batch = batch(&requests(), &completions);
    let refused = answering.accumulate(&batch, &super::properties::Weighted).unwrap_err();
    assert!(refused.message.contains("frozen"), "{refused}");
    assert!(answering.update(&super::properties::optimizer(), 1e-2).is_err());
    assert!(answering.load(&path, &ANY).is_err());
    assert!(answering.save("y", &Cursor::default()).is_err());
    answering.load_weights(&path, &ANY).unwrap();
}

/// Every parameter, some rows at a time and the last rows first.
fn in_pieces<E: Operand<Real = f32>>(
    layout: &Layout,
    weights: &Weights<f32>,
    rows: usize,
) -> Weights<E> {
    let mut freezing = Freezing::<E>::new(layout);
    for parameter in layout.base.parameters.iter().rev() {
        let (values, columns) = (weights.parameter(parameter), parameter.columns());
        let pieces: Vec<&[f32]> = values.chunks(rows * columns).collect();
        for (index, piece) in pieces.iter().enumerate().rev() {
            freezing.take(parameter, index * rows, piece);
        }
    }
    for (index, biases) in weights.biases().iter().enumerate() {
        freezing.take_biases(index, biases);
    }
    freezing.done(Passes::Forward)
}

fn check<E: Operand<Real = f32>>(layout: &Layout, weights: &Weights<f32>, is_rounded: bool) {
    let tokens: Vec<u32> = (0..layout.vocabulary as u32).rev().collect();
    let mut expected = vec![0.0; layout.embedding.len()];
    weights.embed(layout, &tokens, &mut expected);
    // What products are made of is rounded; vectors, the embedding and routers are as they were.
    let is_factor = |parameter: &Parameter| {
        let offset = parameter.offset;
        layout.factors.iter().any(|factor| factor.block.holds(offset))
    };
    for rows in [1, 3, 1000] {
        let frozen = in_pieces::<E>(layout, weights, rows);
        assert!(frozen.is_frozen() && frozen.trained().is_empty());
        let mut found = vec![0.0; expected.len()];
        frozen.embed(layout, &tokens, &mut found);
        assert_eq!(found, expected);
        for parameter in &layout.base.parameters {
            let values = weights.parameter(parameter);
            let is_embedding = parameter.offset == layout.embedding.offset;
            let expected: Vec<f32> = match is_factor(parameter) && !(is_embedding && is_rounded) {
                true => values.iter().map(|value| E::round(*value).widen()).collect(),
                false => values.to_vec(),
            };
            assert_eq!(frozen.of(parameter), expected, "{}", parameter.name);
        }
        assert_eq!(frozen.biases(), weights.biases());
    }
}

#[test]
fn numbers_may_come_in_any_pieces_and_can_be_had_again() {
    // The model of a shape with adapters is another one of these shapes.
    for (_, plan) in shapes().into_iter().filter(|(_, plan)| plan.lora.is_none()) {
        let layout = Layout::new(&plan);
        let mut weights = Weights::<f32>::random(&layout, &Rng::new(5));
        weights.edit(&layout, 1, |values, biases| {
            values.iter_mut().step_by(3).for_each(|value| *value += 0.1);
            biases.iter_mut().flatten().for_each(|bias| *bias = 0.3);
        });
        check::<f32>(&layout, &weights, true);
        check::<bf16>(&layout, &weights, true);
        // An embedding of numbers that bf16 has.
        let embedding = layout.embedding.offset..layout.embedding.offset + layout.embedding.len();
        weights.edit(&layout, 1, |values, _| {
            for value in &mut values[embedding] {
                *value = bf16::round(*value).widen();
            }
        });
        check::<bf16>(&layout, &weights, false);
    }
}
