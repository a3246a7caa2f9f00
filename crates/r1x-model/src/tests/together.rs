//! Rows that several threads share: one long prompt, and one long sequence that is scored.

use r1x_core::plan::{ModelPlan, Precision, SamplingPlan};
use r1x_core::port::GenerateRequest;
use r1x_core::{Rng, testing};
use r1x_ops::Operand;

use super::properties::{policy, stream};
use super::shapes;
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::weights::Weights;

/// A prompt that is cut into several parts, none of them at the end of a block.
const LENGTH: usize = 201;

fn tokens() -> Vec<u32> {
    let mut draws = Rng::new(3).stream("tokens").at(&[]);
    (0..LENGTH).map(|_| draws.below(13) as u32).collect()
}

/// Every shape with room for the prompt.
fn long() -> impl Iterator<Item = (&'static str, ModelPlan)> {
    shapes().into_iter().map(|(name, plan)| (name, ModelPlan { context_length: 256, ..plan }))
}

fn logprobs<E: Operand<Real = f32>>(plan: &ModelPlan, threads: Option<usize>) -> Vec<u32> {
    let decoder = Decoder::<E>::new(plan);
    let weights = Weights::<E>::random(&decoder.layout, &Rng::new(4));
    let (tokens, mut works) = (tokens(), vec![Workspace::default(); threads.unwrap_or(1)]);
    let packed = Packed::new([(&tokens[..], 1)]);
    match threads {
        Some(_) => decoder.read(&weights, &packed, &mut works),
        None => decoder.forward(&weights, &packed, &mut works[0]),
    }
    let (rows, targets) = (&packed.predicting, &packed.targets);
    let said = decoder.logprobs(&weights, rows, targets, 1.0, &mut works[0]);
    said.iter().map(|one| one.logprob.to_bits()).collect()
}

#[test]
fn a_sequence_has_the_same_bits_however_many_threads_share_it() {
    for (name, plan) in long() {
        let expected = [logprobs::<f32>(&plan, None), logprobs::<half::bf16>(&plan, None)];
        assert_ne!(expected[0], expected[1], "{name}");
        for threads in [1, 2, 3, 5, 20] {
            let threads = Some(threads);
            let found = [logprobs::<f32>(&plan, threads), logprobs::<half::bf16>(&plan, threads)];
            assert!(found == expected, "{name} on {threads:?}");
        }
    }
}

#[test]
fn a_prompt_that_all_threads_computed_goes_on_as_one_that_one_thread_did() {
    let sampling = SamplingPlan { temperature: 0.7, ..testing::sampling(40) };
    for (name, plan) in long() {
        let plan = ModelPlan { precision: Precision::Bf16, ..plan };
        for (count, samples) in [(1, 1), (1, 7), (2, 2), (3, 1)] {
            let request = |index: usize| GenerateRequest {
                prompt: tokens()[index..LENGTH - index * 40].to_vec(),
                samples,
                address: index as u64,
                lengths: Vec::new(),
            };
            let requests: Vec<GenerateRequest> = (0..count).map(request).collect();
            let generate = |threads: usize| {
                policy(&plan, threads).0.generate(&requests, &sampling, stream()).unwrap()
            };
            let expected = generate(1);
            assert_eq!(expected.iter().map(Vec::len).sum::<usize>(), count * samples);
            for threads in [2, 4] {
                assert_eq!(generate(threads), expected, "{name}: {count} x {samples}");
            }
        }
    }
}
