//! The balance loss and everything else that is added up over an update: equal for every split into
//! micro-batches, number of threads and form of the model, also where whole micro-batches have no signal.

use std::sync::Arc;

use candle_core::Device;
use r1x_core::loss::{Distillation, Loss, LossTotals, Surrogate, UpdateCounts};
use r1x_core::plan::{
    Aggregation, ClipPlan, DistillationPlan, DivergencePlan, FeedForwardPlan, KlEstimator, KlPlan,
    ModelPlan, MoePlan, OtherTokens, ProbabilityBounds, RatioBounds, RatioLevel, SigmoidGate,
    SurrogatePlan, WeightBounds,
};
use r1x_core::port::{GenerateRequest, UpdateFacts, WeightChoice};
use r1x_core::{Learner, Sampler, Scorer, TrainingBatch, testing};

use super::properties::{
    Weighted, batch, credit, kernels, optimizer, requests, sampling, stream, train,
};
use super::{ANY, gqa, mla, moe, plan};
use crate::family::packed::Packed;
use crate::{DecoderPolicy, TensorPolicy};

/// Mixtures whose biases move far enough to choose other experts than the affinities would.
fn shapes() -> Vec<(&'static str, ModelPlan)> {
    let far = MoePlan { bias_update_speed: 0.3, ..moe() };
    let flat = MoePlan { groups: 1, ..far.clone() };
    vec![
        ("in groups", plan(gqa(), FeedForwardPlan::Moe(far), true)),
        ("without groups", plan(mla(None), FeedForwardPlan::Moe(flat), false)),
    ]
}

/// Both policies in one state with biases, and 32 sequences in four groups. The first two groups have no signal.
struct World {
    folder: tempfile::TempDir,
    batch: TrainingBatch,
}

impl World {
    fn new(plan: &ModelPlan) -> Self {
        let groups = requests().into_iter().take(4);
        let groups: Vec<_> = groups.map(|one| GenerateRequest { samples: 8, ..one }).collect();
        let (mut policy, folder) = kernels(plan, 2);
        let completions = policy.generate(&groups, &sampling(), stream()).unwrap();
        // An odd number of equal steps of a bias never adds up to 0.
        train(&mut policy, &batch(&groups, &completions), 3);
        policy.save("state", &Default::default()).unwrap();
        let mut batch = batch(&groups, &completions);
        batch.sequences.iter_mut().take(16).for_each(|sequence| credit(sequence, 0.0));
        Self { folder, batch }
    }

    fn kernels(&self, plan: &ModelPlan, threads: usize) -> DecoderPolicy {
        let mut policy = DecoderPolicy::new(plan, 4, threads, self.folder.path().into()).unwrap();
        policy.load(&self.folder.path().join("state"), &ANY).unwrap();
        policy
    }

    fn tensors(&self, plan: &ModelPlan) -> TensorPolicy {
        let folder = self.folder.path().to_owned();
        let mut policy = TensorPolicy::new(plan, 4, folder, &Device::Cpu).unwrap();
        policy.load(&self.folder.path().join("state"), &ANY).unwrap();
        policy
    }
}

/// What an update adds up to.
struct Sums {
    totals: LossTotals,
    gradient: Vec<f32>,
    facts: UpdateFacts,
}

fn by_kernels(mut policy: DecoderPolicy, batch: &TrainingBatch, loss: &dyn Loss) -> Sums {
    let totals = policy.accumulate(batch, loss).unwrap();
    let gradient = policy.gradient().to_vec();
    Sums { totals, gradient, facts: policy.update(&optimizer(), 1e-2).unwrap() }
}

fn by_tensors(mut policy: TensorPolicy, batch: &TrainingBatch, loss: &dyn Loss) -> Sums {
    let totals = policy.accumulate(batch, loss).unwrap();
    let gradient = policy.gradient();
    Sums { totals, gradient, facts: policy.update(&optimizer(), 1e-2).unwrap() }
}

fn assert_equal(what: &str, found: &Sums, expected: &Sums) {
    let (a, b) = (&found.totals, &expected.totals);
    assert_eq!((a.tokens, a.figures.len()), (b.tokens, b.figures.len()), "{what}");
    let sums = a.figures.iter().zip(&b.figures).chain([(&a.loss, &b.loss)]);
    for (place, (a, b)) in sums.enumerate() {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(0.01), "{what}: sum {place}, {a} is not {b}");
    }
    let size = expected.gradient.iter().fold(0f32, |size, g| size.max(g.abs()));
    assert!(size > 0.0, "{what}: no gradient");
    for (index, (a, b)) in found.gradient.iter().zip(&expected.gradient).enumerate() {
        assert!((a - b).abs() <= 1e-4 * size, "{what}: gradient[{index}] {a} is not {b}");
    }
    assert_eq!(found.facts.metrics, expected.facts.metrics, "{what}: loads");
}

/// Every split, on one and several threads, with prompts shared or not, by kernels and by tensors.
fn assert_independent(name: &str, plan: &ModelPlan, world: &World, loss: &dyn Loss) {
    let with = |micro_batch_size, share_prompts| TrainingBatch {
        micro_batch_size,
        share_prompts,
        ..world.batch.clone()
    };
    let expected = by_kernels(world.kernels(plan, 1), &with(32, false), loss);
    for size in [1, 5, 8, 16, 32] {
        for (threads, share) in [(1, false), (3, true)] {
            let found = by_kernels(world.kernels(plan, threads), &with(size, share), loss);
            assert_equal(&format!("{name}: kernels, {size} together"), &found, &expected);
        }
        let found = by_tensors(world.tensors(plan), &with(size, false), loss);
        assert_equal(&format!("{name}: tensors, {size} together"), &found, &expected);
    }
}

#[test]
fn an_update_does_not_depend_on_its_split_where_some_or_all_sequences_have_no_signal() {
    for (name, plan) in shapes() {
        let mut world = World::new(&plan);
        assert_independent(&format!("{name}, half silent"), &plan, &world, &Weighted);
        world.batch.sequences.iter_mut().for_each(|sequence| credit(sequence, 0.0));
        assert_independent(&format!("{name}, all silent"), &plan, &world, &Weighted);
    }
}

/// Every ratio and every kind of clipping with every denominator, but for combinations that a spec refuses. Estimators of
/// the penalty, and whether sequences far from the policy are left out, go round among them.
fn surrogates() -> Vec<SurrogatePlan> {
    let clips = [
        ClipPlan::Pessimistic(RatioBounds { high: 0.28, ..testing::clip() }),
        ClipPlan::Pessimistic(RatioBounds { max_ratio: Some(1.4), ..testing::clip() }),
        ClipPlan::Weight(WeightBounds { low: None, high: 4.0 }),
        ClipPlan::Weight(WeightBounds { low: Some(0.2), high: 0.2 }),
        ClipPlan::Sigmoid(SigmoidGate { tau_positive: 1.0, tau_negative: 1.05 }),
        ClipPlan::Probability(ProbabilityBounds { low: 0.2, high: 0.2 }),
    ];
    let estimators = [
        KlEstimator::K1,
        KlEstimator::K2,
        KlEstimator::K3,
        KlEstimator::K3Plus,
        KlEstimator::K3Unbiased,
    ];
    let ratios = [
        RatioLevel::Token,
        RatioLevel::Sequence,
        RatioLevel::SequenceToken,
        RatioLevel::SequenceProduct,
    ];
    let mut all: Vec<SurrogatePlan> = Vec::new();
    for ratio in ratios {
        let fits = |clip: &&ClipPlan| {
            ratio == RatioLevel::Token || !matches!(clip, ClipPlan::Probability(_))
        };
        for clip in clips.iter().filter(fits) {
            for aggregation in
                [Aggregation::SequenceMean, Aggregation::TokenMean, Aggregation::FixedLength]
            {
                let estimator = estimators[all.len() % estimators.len()];
                let kl = KlPlan { coef: 0.05, estimator, ..testing::kl() };
                let max_divergence = all.len().is_multiple_of(2).then_some(0.05);
                all.push(SurrogatePlan {
                    ratio,
                    clip: clip.clone(),
                    max_divergence,
                    kl,
                    entropy_coef: 0.01,
                    aggregation,
                });
            }
        }
    }
    all
}

/// The losses of the loop, with every denominator, the KL term and the entropy bonus; some completions are masked, one is
/// empty, and of some a part has an advantage.
#[test]
fn every_surrogate_is_independent_of_the_split() {
    let (name, plan) = shapes().swap_remove(0);
    let mut world = World::new(&plan);
    for (index, sequence) in world.batch.sequences.iter_mut().enumerate() {
        let sequence = Arc::make_mut(sequence);
        sequence.reference_logprobs =
            sequence.sampled_logprobs.iter().map(|logprob| logprob - 0.2).collect();
        // As `top_share` leaves them: some tokens without an advantage beside others with one.
        if index % 3 == 1 {
            sequence.advantages.iter_mut().step_by(2).for_each(|advantage| *advantage = 0.0);
        }
        if index % 5 == 4 {
            sequence.mask.fill(false);
        }
    }
    let counts = UpdateCounts::of(&world.batch.sequences, 17.0 * 32.0);
    let all = surrogates();
    assert_eq!(all.len(), (6 + 5 + 5 + 5) * 3);
    for plan_of_loss in all {
        let loss = Surrogate::new(&plan_of_loss, &counts);
        assert_independent(&format!("{name}, {plan_of_loss:?}"), &plan, &world, &loss);
    }
}

/// A teacher names the most likely tokens; the kernels and the composed model name the same ones, and say of them what they
/// say of targets.
#[test]
fn likely_tokens_come_in_order_with_the_log_probs_that_targets_have() {
    for (name, plan) in shapes() {
        let world = World::new(&plan);
        let (mut kernels, mut tensors) = (world.kernels(&plan, 3), world.tensors(&plan));
        let ask = |model: &mut dyn Scorer, width| {
            model.most_likely(WeightChoice::Current, &world.batch, width).unwrap()
        };
        let all = ask(&mut kernels, 1000);
        let score = kernels.score(WeightChoice::Current, &world.batch).unwrap();
        for ((said, score), sequence) in all.iter().zip(&score).zip(&world.batch.sequences) {
            let targets = &sequence.tokens[sequence.prompt_len..];
            assert_eq!(said.tokens.len(), targets.len() * said.width, "{name}");
            for (at, (target, logprob)) in targets.iter().zip(score).enumerate() {
                let range = at * said.width..(at + 1) * said.width;
                let (tokens, logprobs) = (&said.tokens[range.clone()], &said.logprobs[range]);
                assert!(logprobs.is_sorted_by(|one, next| one >= next), "{name}");
                let place = tokens.iter().position(|token| token == target).unwrap();
                assert_eq!(logprobs[place], *logprob, "{name}");
            }
        }
        for (few, all) in ask(&mut kernels, 2).iter().zip(&all) {
            for (few, all) in few.tokens.chunks(2).zip(all.tokens.chunks(all.width)) {
                assert_eq!(few, &all[..2], "{name}");
            }
        }
        for (one, other) in ask(&mut tensors, 3).iter().zip(&ask(&mut kernels, 3)) {
            assert_eq!(one.tokens.len(), other.tokens.len());
            for (one, other) in one.logprobs.iter().zip(&other.logprobs) {
                assert!((one - other).abs() < 1e-4, "{name}: {one} is not {other}");
            }
        }
    }
}

/// Every divergence, over all tokens and over some.
#[test]
fn distillation_is_independent_of_the_split() {
    let (name, plan) = shapes().swap_remove(0);
    let mut world = World::new(&plan);
    // The teacher has the shape of the student and weights of its own.
    let folder = world.folder.path().to_owned();
    let mut teacher = DecoderPolicy::<f32>::new(&plan, 77, 2, folder).unwrap();
    for (width, other_tokens) in [(1000, OtherTokens::None), (3, OtherTokens::OneOutcome)] {
        let said = teacher.most_likely(WeightChoice::Current, &world.batch, width).unwrap();
        for (sequence, said) in world.batch.sequences.iter_mut().zip(said) {
            Arc::make_mut(sequence).candidates = said;
        }
        let counts = UpdateCounts::of(&world.batch.sequences, 0.0);
        for divergence in [
            DivergencePlan::ForwardKl,
            DivergencePlan::ReverseKl,
            DivergencePlan::JensenShannon { beta: 0.3 },
        ] {
            let plan_of_loss = DistillationPlan { divergence, other_tokens };
            let loss = Distillation::new(&plan_of_loss, &counts);
            assert_independent(&format!("{name}, {plan_of_loss:?}"), &plan, &world, &loss);
        }
    }
    // What is no token of the model is no candidate.
    Arc::make_mut(&mut world.batch.sequences[2]).candidates.tokens[0] = 1000;
    let loss = Distillation::new(
        &DistillationPlan {
            divergence: DivergencePlan::ForwardKl,
            other_tokens: OtherTokens::None,
        },
        &UpdateCounts::default(),
    );
    let refused = [
        world.kernels(&plan, 1).accumulate(&world.batch, &loss).unwrap_err(),
        world.tensors(&plan).accumulate(&world.batch, &loss).unwrap_err(),
    ];
    for error in refused {
        assert!(error.message.contains("further tokens"), "{}", error.message);
    }
}

/// Equations 17 to 20 of the DeepSeek-V3 report written out over the affinities of the composed model: fᵢ counts
/// the unbiased top-k, though the biases choose other experts.
#[test]
fn the_balance_loss_is_the_one_of_the_report() {
    for (name, plan) in shapes() {
        let FeedForwardPlan::Moe(moe) = &plan.feed_forward else { unreachable!("a mixture") };
        let mut world = World::new(&plan);
        world.batch.sequences.iter_mut().for_each(|sequence| credit(sequence, 0.0));
        let found = by_kernels(world.kernels(&plan, 1), &world.batch, &Weighted).totals.loss;
        let (mut expected, mut biased) = (0.0, 0.0);
        let tensors = world.tensors(&plan);
        for sequence in &world.batch.sequences {
            let packed = Packed::new([(&sequence.tokens[..], sequence.prompt_len)]);
            for routing in tensors.model().pass(&packed).unwrap().routings {
                let affinities = routing.affinities.to_vec2::<f32>().unwrap();
                let unbiased = affinities.iter().flat_map(|row| top(row, moe.experts_per_token));
                let unbiased: Vec<usize> = unbiased.collect();
                let chosen: Vec<usize> = routing.chosen.iter().map(|e| *e as usize).collect();
                expected += written_out(moe, &affinities, &unbiased);
                biased += written_out(moe, &affinities, &chosen);
            }
        }
        let sequences = world.batch.sequences.len() as f64;
        (expected, biased) = (expected / sequences, biased / sequences);
        assert!((found - expected).abs() < 1e-5 * expected, "{name}: {found} is not {expected}");
        assert!((found - biased).abs() > 1e-3 * expected, "{name}: the biases change no choice");
    }
}

fn top(affinities: &[f32], count: usize) -> Vec<usize> {
    let mut experts: Vec<usize> = (0..affinities.len()).collect();
    experts.sort_by(|a, b| affinities[*b].total_cmp(&affinities[*a]));
    experts.truncate(count);
    experts
}

fn written_out(plan: &MoePlan, affinities: &[Vec<f32>], counted: &[usize]) -> f64 {
    let tokens = affinities.len() as f64;
    let one = |expert: usize| {
        let times = counted.iter().filter(|one| **one == expert).count() as f64;
        let f = plan.routed_experts as f64 / (plan.experts_per_token as f64 * tokens) * times;
        let share = |row: &Vec<f32>| f64::from(row[expert]) / f64::from(row.iter().sum::<f32>());
        f * affinities.iter().map(share).sum::<f64>() / tokens
    };
    plan.balance_loss * (0..plan.routed_experts).map(one).sum::<f64>()
}
