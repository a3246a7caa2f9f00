//! Multi-token prediction: every gradient by finite differences, what each module sees, that an update does not depend on
//! its split, and that nothing but a supervised stage touches it. What Hugging Face computes is compared in `golden`.

use std::sync::Arc;

use candle_core::Device;
use r1x_core::loss::{Loss, LossTotals, Sft, UpdateCounts};
use r1x_core::plan::{FeedForwardPlan, ModelPlan, MoePlan, MtpPlan};
use r1x_core::port::{Cursor, UpdateFacts};
use r1x_core::{Learner, Rng, Sampler, Scorer, TrainingBatch, TrainingSequence};

use super::properties::{Weighted, batch, kernels, optimizer, requests, sampling, stream, train};
use super::{ANY, gqa, mla, moe, plan};
use crate::family::decoder::{Decoder, Workspace};
use crate::family::packed::Packed;
use crate::layout::Layout;
use crate::weights::Weights;
use crate::{DecoderPolicy, TensorPolicy};

const TEMPERATURE: f64 = 0.8;
const BALANCE_WEIGHT: f64 = 1.0 / 3.0;
const WEIGHT: f64 = 0.3;

fn with(depth: usize, plan: ModelPlan) -> ModelPlan {
    ModelPlan { mtp: Some(MtpPlan { depth, weight: WEIGHT }), ..plan }
}

fn shapes() -> Vec<(&'static str, ModelPlan)> {
    let dense = || FeedForwardPlan::swiglu(14);
    let mixed = MoePlan { dense_layers: vec![0], groups: 1, ..moe() };
    let again = ModelPlan { recompute_activations: true, ..plan(gqa(), dense(), false) };
    vec![
        ("gqa dense tied", with(1, plan(gqa(), dense(), true))),
        ("two modules, untied", with(2, plan(mla(Some(8)), FeedForwardPlan::Moe(moe()), false))),
        ("three modules", with(3, plan(mla(None), FeedForwardPlan::Moe(mixed), true))),
        ("activations computed again", with(2, again)),
    ]
}

/// A model in f64 with sequences, some too short for a module, and what every log-prob counts.
struct Case {
    decoder: Decoder<f64>,
    weights: Weights<f64>,
    sequences: Vec<(Vec<u32>, usize)>,
    credit: Vec<f64>,
}

impl Case {
    /// The first seed whose sequences reach every expert: an expert nobody chose has no gradient.
    fn new(plan: &ModelPlan) -> Self {
        let reaches_all = |case: &Self| {
            let (mut gradient, mut work) =
                (vec![0.0; case.decoder.layout.base.len()], Workspace::default());
            case.total(&mut gradient, &mut work);
            case.decoder.loads(&work).iter().flatten().all(|load| *load > 0)
        };
        (0..100).map(|seed| Self::seeded(plan, seed)).find(reaches_all).expect("a seed reaches all")
    }

    fn seeded(plan: &ModelPlan, seed: u64) -> Self {
        let decoder = Decoder::new(plan);
        let mut weights = Weights::random(&decoder.layout, &Rng::new(seed));
        let mut draws = Rng::new(5).stream("case").at(&[]);
        weights.edit(&decoder.layout, 1, |values, biases| {
            values.iter_mut().for_each(|v| *v += 0.1 * draws.normal());
            biases.iter_mut().flatten().for_each(|b| *b = 0.05 * draws.normal());
        });
        let lengths = [(29, 2), (1, 1), (2, 1), (5, 1), (4, 4), (17, 6), (3, 1)];
        let mut tokens = |len| (0..len).map(|_| draws.below(13) as u32).collect();
        let sequences = lengths.into_iter().map(|(len, prompt)| (tokens(len), prompt)).collect();
        let mut draws = Rng::new(6).stream("credit").at(&[]);
        Self { decoder, weights, sequences, credit: (0..400).map(|_| draws.normal()).collect() }
    }

    fn tokens(&self) -> impl Iterator<Item = (&[u32], usize)> + Clone {
        self.sequences.iter().map(|(tokens, prompt)| (&tokens[..], *prompt))
    }

    /// The log-probs of the model, then of every module.
    fn said(&self, packed: &Packed, work: &mut Workspace<f64>) -> Vec<Vec<f64>> {
        let (decoder, weights) = (&self.decoder, &self.weights);
        decoder.forward(weights, packed, work);
        let (rows, targets) = (&packed.predicting, &packed.targets);
        let mut said = vec![decoder.logprobs(weights, rows, targets, TEMPERATURE, work)];
        said.extend(decoder.mtp_forward(weights, self.tokens(), packed, TEMPERATURE, work));
        said.iter().map(|part| part.iter().map(|one| one.logprob).collect()).collect()
    }

    /// What is differentiated, and its gradient.
    fn total(&self, gradient: &mut [f64], work: &mut Workspace<f64>) -> f64 {
        let (decoder, packed) = (&self.decoder, Packed::new(self.tokens()));
        let said = self.said(&packed, work);
        let (mut credit, mut total) = (&self.credit[..], 0.0);
        for (part, said) in said.iter().enumerate() {
            total += said.iter().zip(credit).map(|(said, g)| said * g).sum::<f64>();
            if let Some(module) = part.checked_sub(1) {
                decoder.mtp_credit(module, credit[..said.len()].iter().copied(), work);
            }
            credit = &credit[said.len()..];
        }
        let first = &self.credit[..said[0].len()];
        let into = super::into(&decoder.layout, gradient);
        let weights = &self.weights;
        total + decoder.backward(weights, &packed, first, TEMPERATURE, BALANCE_WEIGHT, into, work)
    }

    fn total_with(&mut self, index: usize, delta: f64) -> f64 {
        let layout = self.decoder.layout.clone();
        self.weights.edit(&layout, 1, |values, _| values[index] += delta);
        let total = self.total(&mut vec![0.0; layout.base.len()], &mut Workspace::default());
        self.weights.edit(&layout, 1, |values, _| values[index] -= delta);
        total
    }
}

#[test]
fn every_parameter_equals_finite_differences() {
    for (name, plan) in shapes() {
        let mut case = Case::new(&plan);
        let mut gradient = vec![0.0; case.decoder.layout.base.len()];
        case.total(&mut gradient, &mut Workspace::default());
        for parameter in case.decoder.layout.base.parameters.clone() {
            let range = parameter.offset..parameter.offset + parameter.len();
            let part = &gradient[range.clone()];
            assert!(part.iter().any(|g| *g != 0.0), "{name}: {} has no gradient", parameter.name);
            let largest = (0..part.len()).max_by(|a, b| part[*a].abs().total_cmp(&part[*b].abs()));
            for element in [largest.unwrap(), 0, part.len() - 1] {
                let (index, delta) = (range.start + element, 1e-5);
                let numeric = (case.total_with(index, delta) - case.total_with(index, -delta))
                    / (2.0 * delta);
                let found = gradient[index];
                let tolerance = 1e-7 + 1e-6 * found.abs().max(numeric.abs());
                assert!(
                    (found - numeric).abs() < tolerance,
                    "{name}: {}[{element}]: {found} against {numeric}",
                    parameter.name
                );
            }
        }
    }
}

/// A module of depth k says of a token what follows from the tokens before the last k before it, and it says it of every
/// token that has so many before it: the labels of depth 1 are the tokens shifted by two.
#[test]
fn a_module_predicts_as_many_places_on_as_it_is_deep() {
    for (name, plan) in shapes() {
        let depth = plan.mtp.as_ref().unwrap().depth;
        let mut case = Case::seeded(&plan, 1);
        case.sequences = vec![(vec![3, 1, 4, 1, 5, 9, 2, 6], 1)];
        let said = |case: &Case| case.said(&Packed::new(case.tokens()), &mut Workspace::default());
        let before = said(&case);
        assert_eq!(before.len(), 1 + depth);
        for (module, said) in before.iter().enumerate() {
            assert_eq!(said.len(), 7 - module, "{name}: module {module}");
        }
        for changed in 0..8 {
            case.sequences[0].0[changed] += 1;
            for (module, (before, after)) in before.iter().zip(said(&case)).enumerate() {
                for (target, (before, after)) in before.iter().zip(&after).enumerate() {
                    let token = 1 + module + target;
                    // What is behind the target changes nothing; the token that enters last, and the target, do.
                    let is_known = changed <= token;
                    assert!(is_known || before == after, "{name}: {module} sees {changed}");
                    if changed == token - 1 || changed == token {
                        assert!(before != after, "{name}: {module} does not see {changed}");
                    }
                }
            }
            case.sequences[0].0[changed] -= 1;
        }
    }
}

/// A policy with modules and one without, whose common weights are equal.
#[test]
fn what_is_sampled_and_scored_does_not_depend_on_modules() {
    for (name, plan) in shapes() {
        let without = ModelPlan { mtp: None, ..plan.clone() };
        let [(mut with, _a), (mut plain, _b)] = [kernels(&plan, 1), kernels(&without, 2)];
        let layout = Layout::new(&plan);
        let common = Layout::new(&without).base.len();
        assert_eq!(with.values()[..common], plain.values()[..common], "{name}");
        assert_eq!(
            layout.base.parameters[..layout.without_mtp],
            Layout::new(&without).base.parameters
        );
        let completions = with.generate(&requests(), &sampling(), stream()).unwrap();
        assert_eq!(completions, plain.generate(&requests(), &sampling(), stream()).unwrap());
        let batch = batch(&requests(), &completions);
        // A loss that asks for no further tokens leaves the modules as they are, though weights decay.
        train(&mut with, &batch, 2);
        train(&mut plain, &batch, 2);
        assert_eq!(with.values()[..common], plain.values()[..common], "{name}");
        let (first, _c) = kernels(&plan, 1);
        assert_eq!(with.values()[common..], first.values()[common..], "{name}");
        let weights = r1x_core::port::WeightChoice::Current;
        assert_eq!(with.score(weights, &batch).unwrap(), plain.score(weights, &batch).unwrap());
    }
}

/// Worked examples of several lengths, among them ones whose prompt is shorter than a module is deep and one that is too
/// short for any, with masked targets.
fn examples() -> TrainingBatch {
    let mut draws = Rng::new(8).stream("examples").at(&[]);
    let lengths =
        [(2, 12), (1, 5), (1, 1), (9, 20), (2, 2), (1, 3), (4, 9), (3, 1), (2, 7), (5, 6)];
    let mut sequences = Vec::new();
    for (index, (prompt, targets)) in lengths.into_iter().enumerate() {
        let mut tokens = |count| (0..count).map(|_| draws.below(13) as u32).collect::<Vec<_>>();
        let mut sequence = TrainingSequence::new(&tokens(prompt), &tokens(targets));
        if index % 4 == 3 {
            sequence.mask.iter_mut().step_by(3).for_each(|trained| *trained = false);
        }
        sequences.push(Arc::new(sequence));
    }
    TrainingBatch { sequences, micro_batch_size: 10, temperature: 1.0, share_prompts: false }
}

fn likelihood(batch: &TrainingBatch) -> Sft {
    Sft::new(&UpdateCounts::of(&batch.sequences, 0.0))
}

/// What an update adds up to.
struct Sums {
    totals: LossTotals,
    gradient: Vec<f32>,
    facts: UpdateFacts,
    values: Vec<f32>,
}

fn by_kernels(plan: &ModelPlan, threads: usize, batch: &TrainingBatch) -> Sums {
    let (mut policy, _folder) = kernels(plan, threads);
    let totals = policy.accumulate(batch, &likelihood(batch)).unwrap();
    let gradient = policy.gradient().to_vec();
    let facts = policy.update(&optimizer(), 1e-2).unwrap();
    Sums { totals, gradient, facts, values: policy.values().to_vec() }
}

fn by_tensors(plan: &ModelPlan, batch: &TrainingBatch) -> Sums {
    let folder = tempfile::tempdir().unwrap();
    let mut policy = TensorPolicy::new(plan, 4, folder.path().into(), &Device::Cpu).unwrap();
    let totals = policy.accumulate(batch, &likelihood(batch)).unwrap();
    let gradient = policy.gradient();
    let facts = policy.update(&optimizer(), 1e-2).unwrap();
    Sums { totals, gradient, facts, values: policy.values().unwrap() }
}

fn assert_equal(what: &str, found: &Sums, expected: &Sums) {
    let (a, b) = (found.totals.loss, expected.totals.loss);
    assert!((a - b).abs() <= 1e-5 * b, "{what}: loss {a} is not {b}");
    assert_eq!(found.totals.tokens, expected.totals.tokens, "{what}");
    let [metrics, others] = [found, expected].map(|sums| &sums.facts.metrics);
    assert_eq!(metrics.len(), others.len());
    for ((name, a), (other, b)) in metrics.iter().zip(others) {
        assert_eq!(name, other);
        assert!((a - b).abs() <= 1e-5 * b.abs(), "{what}: {name} {a} is not {b}");
    }
    let size = expected.gradient.iter().fold(0f32, |size, g| size.max(g.abs()));
    for (index, (a, b)) in found.gradient.iter().zip(&expected.gradient).enumerate() {
        assert!((a - b).abs() <= 1e-4 * size, "{what}: gradient[{index}] {a} is not {b}");
    }
}

#[test]
fn an_update_does_not_depend_on_its_split_threads_and_form() {
    let whole = examples();
    for (name, plan) in shapes() {
        let expected = by_kernels(&plan, 1, &whole);
        assert!(expected.facts.metrics.iter().any(|(metric, _)| metric == "mtp.loss"));
        for micro_batch_size in [1, 3, 4, 10] {
            let batch = TrainingBatch { micro_batch_size, ..whole.clone() };
            let found = by_kernels(&plan, 1, &batch);
            assert_equal(&format!("{name}: {micro_batch_size} together"), &found, &expected);
            // Threads change no bit.
            let threads = by_kernels(&plan, 3, &batch);
            assert_eq!(threads.totals, found.totals, "{name}");
            assert_eq!(threads.values, found.values, "{name}");
            assert_eq!(threads.facts, found.facts, "{name}");
            let shared = TrainingBatch { share_prompts: true, ..batch.clone() };
            assert_equal(&format!("{name}: shared"), &by_kernels(&plan, 3, &shared), &expected);
            assert_equal(&format!("{name}: tensors"), &by_tensors(&plan, &batch), &expected);
        }
    }
}

/// The loss of the report's equations 24 and 25 written out over the log-probs of each module.
#[test]
fn the_loss_is_the_one_of_the_report() {
    let examples = examples();
    for (name, plan) in shapes() {
        // The balance loss is no part of it.
        let mut plan = plan;
        if let FeedForwardPlan::Moe(moe) = &mut plan.feed_forward {
            moe.balance_loss = 0.0;
        }
        let (mut policy, _folder) = kernels(&plan, 2);
        let tokens = || examples.sequences.iter().map(|one| (&one.tokens[..], one.prompt_len));
        let (packed, mut work) = (Packed::new(tokens()), Workspace::default());
        let DecoderPolicy { decoder, weights, .. } = &policy;
        decoder.forward(weights, &packed, &mut work);
        let mut said =
            vec![decoder.logprobs(weights, &packed.predicting, &packed.targets, 1.0, &mut work)];
        said.extend(decoder.mtp_forward(weights, tokens(), &packed, 1.0, &mut work));
        let trained: usize =
            examples.sequences.iter().flat_map(|one| &one.mask).filter(|m| **m).count();
        let mut losses = Vec::new();
        for (depth, said) in said.iter().enumerate() {
            let (mut sum, mut said) = (0.0, said.iter());
            for sequence in &examples.sequences {
                for (target, is_trained) in sequence.mask.iter().enumerate() {
                    // The first token that depth 0 predicts is the second one.
                    if sequence.prompt_len + target > depth {
                        let logprob = said.next().unwrap().logprob;
                        sum -= if *is_trained { f64::from(logprob) } else { 0.0 };
                    }
                }
            }
            assert!(said.next().is_none(), "{name}: left over at depth {depth}");
            losses.push(sum / trained as f64);
        }
        let modules = losses[1..].iter().sum::<f64>() / (losses.len() - 1) as f64;
        let expected = losses[0] + WEIGHT * modules;
        let totals = policy.accumulate(&examples, &likelihood(&examples)).unwrap();
        let found = totals.loss;
        assert!((found - expected).abs() < 1e-6 * expected, "{name}: {found} is not {expected}");
        assert_eq!(totals.tokens as usize, trained);
        let facts = policy.update(&optimizer(), 1e-2).unwrap();
        let (_, metric) = facts.metrics.iter().find(|(name, _)| name == "mtp.loss").unwrap();
        assert!((metric - modules).abs() < 1e-6 * modules, "{name}: {metric} is not {modules}");
    }
}

#[test]
fn modules_learn_stay_in_checkpoints_and_are_trained_no_more_with_a_factor_of_0() {
    let examples = examples();
    let (_, plan) = shapes().swap_remove(1);
    let (mut policy, folder) = kernels(&plan, 2);
    let loss = likelihood(&examples);
    let mut losses = Vec::new();
    for _ in 0..40 {
        policy.accumulate(&examples, &loss).unwrap();
        let facts = policy.update(&optimizer(), 1e-2).unwrap();
        losses.push(facts.metrics.iter().find(|(name, _)| name == "mtp.loss").unwrap().1);
    }
    assert!(losses[39] < 0.5 * losses[0], "{losses:?}");
    policy.save("learnt", &Cursor::default()).unwrap();
    let mut again = DecoderPolicy::<f32>::new(&plan, 9, 1, folder.path().into()).unwrap();
    again.load(&folder.path().join("learnt"), &ANY).unwrap();
    assert_eq!(again.values(), policy.values());
    // Moments are there as well: the next update is the same one.
    for policy in [&mut again, &mut policy] {
        policy.accumulate(&examples, &loss).unwrap();
        policy.update(&optimizer(), 1e-2).unwrap();
    }
    assert_eq!(again.values(), policy.values());
    let off = ModelPlan { mtp: Some(MtpPlan { depth: 2, weight: 0.0 }), ..plan.clone() };
    let mut off = DecoderPolicy::<f32>::new(&off, 9, 1, folder.path().into()).unwrap();
    off.load(&folder.path().join("learnt"), &ANY).unwrap();
    let before = off.values().to_vec();
    let totals = off.accumulate(&examples, &loss).unwrap();
    let facts = off.update(&optimizer(), 1e-2).unwrap();
    assert!(facts.metrics.iter().all(|(name, _)| name != "mtp.loss"));
    let common = Layout::new(&ModelPlan { mtp: None, ..plan }).base.len();
    assert_eq!(off.values()[common..], before[common..]);
    assert_ne!(off.values()[..common], before[..common]);
    assert!(totals.loss > 0.0);
    assert!(Weighted.further_tokens().is_none() && loss.further_tokens().is_some());
}
