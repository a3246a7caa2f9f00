//! What the names of algorithms stand for, and which choices go with which.

use r1x_core::plan::*;
use r1x_core::testing;
use r1x_spec::Resolved;

use crate::{grpo, origin, shipped, surrogate};

fn rl(name: &str, overrides: &[&str]) -> Resolved {
    let algorithm = format!("stages.rl.grpo.algorithm={name}");
    let all: Vec<&str> = [algorithm.as_str()].iter().chain(overrides).copied().collect();
    shipped("countdown", &all)
}

fn bounds(low: f64, high: f64) -> ClipPlan {
    ClipPlan::Pessimistic(RatioBounds { low, high, max_ratio: None })
}

fn resample(most_batches: usize) -> ZeroSignal {
    ZeroSignal::Resample { most_batches }
}

/// What each name stands for, as `docs/algorithms.md` has it. The experiment itself writes `zero_signal: drop`.
#[test]
fn an_algorithm_is_the_choices_that_it_is_made_of() {
    use AdvantageKind::{BatchNormalized, GroupCentered, GroupNormalized, LeaveOneOut};
    use Aggregation::{FixedLength, SequenceMean, TokenMean};
    use RatioLevel::{Sequence, Token};
    let weight = ClipPlan::Weight(WeightBounds { low: None, high: 4.0 });
    let sigmoid = ClipPlan::Sigmoid(SigmoidGate { tau_positive: 1.0, tau_negative: 1.05 });
    for (name, kind, ratio, clip, aggregation, zero_signal) in [
        ("grpo", GroupNormalized, Token, bounds(0.2, 0.2), SequenceMean, ZeroSignal::Keep),
        ("dr_grpo", GroupCentered, Token, bounds(0.2, 0.2), FixedLength, ZeroSignal::Keep),
        ("dapo", GroupNormalized, Token, bounds(0.2, 0.28), TokenMean, resample(10)),
        ("gspo", GroupNormalized, Sequence, bounds(3e-4, 4e-4), SequenceMean, ZeroSignal::Keep),
        ("cispo", GroupNormalized, Token, weight, TokenMean, ZeroSignal::Keep),
        ("sapo", GroupNormalized, Token, sigmoid, SequenceMean, ZeroSignal::Keep),
        ("rloo", LeaveOneOut, Token, bounds(0.2, 0.2), FixedLength, ZeroSignal::Keep),
        ("reinforce_pp", BatchNormalized, Token, bounds(0.2, 0.2), TokenMean, ZeroSignal::Keep),
    ] {
        let resolved = rl(name, &["stages.rl.grpo.zero_signal=null"]);
        let stage = grpo(&resolved);
        let loss = surrogate(stage);
        assert_eq!((stage.advantage.kind, loss.ratio), (kind, ratio), "{name}");
        assert_eq!((&loss.clip, loss.aggregation), (&clip, aggregation), "{name}");
        assert_eq!(stage.zero_signal, zero_signal, "{name}");
        let kept = &rl(name, &[]);
        assert_eq!(grpo(kept).zero_signal, ZeroSignal::Drop, "what is written stays: {name}");
        assert_eq!(origin(&resolved, "stages.rl.grpo.ratio").1, format!("algorithm: {name}"));
    }
}

#[test]
fn ppo_is_a_critic_and_the_choices_around_it() {
    let critic =
        ["models={critic: {head: value}}", "stages.rl.grpo.critic={model: critic, lr: 1e-4}"];
    let keep = ["stages.rl.grpo.zero_signal=null", "stages.rl.grpo.group_size=1"];
    let all = [critic, keep].concat();
    let resolved = rl("ppo", &all);
    let (stage, loss) = (grpo(&resolved), surrogate(grpo(&resolved)));
    assert_eq!((stage.advantage.kind, loss.ratio), (AdvantageKind::Gae, RatioLevel::Token));
    assert_eq!((&loss.clip, loss.aggregation), (&bounds(0.2, 0.2), Aggregation::TokenMean));
    assert_eq!((stage.zero_signal, stage.group_size), (ZeroSignal::Keep, 1));
    let critic = stage.critic.as_ref().expect("a critic");
    assert_eq!((critic.gamma, critic.lambda, critic.whiten), (1.0, 1.0, true));
    assert_eq!((critic.loss.clip, critic.alone_steps), (Some(0.2), 0));
    // The critic is new in all but what the nearest stage on its model has made, which there is none of.
    assert_eq!((critic.model.as_str(), &critic.weights), ("critic", &WeightsFrom::Base));
    let free = rl("ppo", &[&all[..], &["stages.rl.grpo.critic.value_clip=0"]].concat());
    assert_eq!(grpo(&free).critic.as_ref().and_then(|critic| critic.loss.clip), None);
    // A second model that learns is counted.
    let sizes = Default::default();
    let [with, without] = [&resolved, &rl("grpo", &["stages.rl.grpo.zero_signal=null"])]
        .map(|one| r1x_spec::estimate(&one.plan, &sizes, 2));
    let model = without.parameters.total;
    assert!(with.memory.weights >= without.memory.weights + 20 * model);
    assert!(with.checkpoint_bytes > without.checkpoint_bytes + 12 * model);
}

#[test]
fn each_choice_of_an_algorithm_can_be_written_and_is_shown() {
    let path = |key: &str| format!("stages.rl.grpo.{key}");
    let resolved = rl("dapo", &["stages.rl.grpo.clip.high=0.3"]);
    assert_eq!(surrogate(grpo(&resolved)).clip, bounds(0.2, 0.3));
    let shown = |key: &str| origin(&resolved, &path(key));
    let said = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(shown("algorithm"), said("\"dapo\"", "--set"));
    assert_eq!(shown("aggregation"), said("\"token_mean\"", "algorithm: dapo"));
    assert_eq!(shown("advantage.kind"), said("\"group_normalized\"", "algorithm: dapo"));
    assert_eq!(shown("clip.low"), said("0.2", "algorithm: dapo"));
    assert_eq!(shown("clip.high"), said("0.3", "--set"));
    assert_eq!(shown("advantage.eps"), said("0.0001", "default"));
    // What compares with the whole step needs no group.
    assert_eq!(grpo(&rl("reinforce_pp", &["stages.rl.grpo.group_size=1"])).group_size, 1);
    // Bounds of one kind of clipping are none of another.
    let other = rl("gspo", &["stages.rl.grpo.clip.kind=weight"]);
    let weight = ClipPlan::Weight(WeightBounds { low: None, high: 4.0 });
    assert_eq!(surrogate(grpo(&other)).clip, weight);
    assert_eq!(origin(&other, &path("clip.high")), said("4.0", "default"));
    assert!(other.settings.iter().all(|setting| setting.path != path("clip.low")));
}

#[test]
fn a_penalty_is_counted_where_its_algorithm_has_it() {
    let path = |key: &str| format!("stages.rl.grpo.kl.{key}");
    let keep = "stages.rl.grpo.zero_signal=keep";
    for (name, counted_in) in [
        ("grpo", KlPlace::Loss),
        ("dr_grpo", KlPlace::Loss),
        ("dapo", KlPlace::Loss),
        ("gspo", KlPlace::Loss),
        ("cispo", KlPlace::Loss),
        ("sapo", KlPlace::Loss),
        ("rloo", KlPlace::Reward),
        ("reinforce_pp", KlPlace::Reward),
    ] {
        let resolved = rl(name, &[keep, "stages.rl.grpo.kl.coef=0.01"]);
        let kl = &surrogate(grpo(&resolved)).kl;
        assert_eq!(kl.counted_in, counted_in, "{name}");
        let k1 = counted_in == KlPlace::Reward;
        let estimator = if k1 { KlEstimator::K1 } else { KlEstimator::K3 };
        assert_eq!(kl.estimator, estimator, "{name}");
        let shown = if k1 { "\"k1\"" } else { "\"k3\"" };
        assert_eq!(origin(&resolved, &path("estimator")).0, shown, "{name}");
        assert_eq!(origin(&resolved, &path("in")).1, format!("algorithm: {name}"));
    }
    let other = rl("rloo", &[keep, "stages.rl.grpo.kl={coef: 0.01, in: loss, estimator: k3_plus}"]);
    let kl = &surrogate(grpo(&other)).kl;
    assert_eq!((kl.counted_in, kl.estimator), (KlPlace::Loss, KlEstimator::K3Plus));
}

/// What a system does when nobody tells it otherwise: eps, bounds of the ratio, aggregation, penalty, temperature.
#[test]
fn a_system_is_its_defaults() {
    use Aggregation::{SequenceMean, TokenMean};
    let dual = ClipPlan::Pessimistic(RatioBounds { low: 0.2, high: 0.2, max_ratio: Some(3.0) });
    let (k3, unbiased) = (KlEstimator::K3, KlEstimator::K3Unbiased);
    for (name, eps, clip, aggregation, penalty, temperature) in [
        ("r1-paper", 1e-4, bounds(1.0, 10.0), SequenceMean, (1e-3, k3), 1.0),
        ("trl-0.14", 1e-4, bounds(0.2, 0.2), SequenceMean, (0.04, k3), 0.9),
        ("trl-1.16", 1e-4, bounds(0.2, 0.2), TokenMean, (0.0, unbiased), 1.0),
        ("verl-2026.08", 1e-6, dual, TokenMean, (0.0, k3), 1.0),
    ] {
        let unset = ["stages.rl.grpo.zero_signal=null", "stages.rl.grpo.sampling.temperature=null"];
        let resolved = rl(name, &unset);
        let stage = grpo(&resolved);
        let loss = surrogate(stage);
        assert_eq!(
            (stage.advantage.kind, loss.ratio),
            (AdvantageKind::GroupNormalized, RatioLevel::Token)
        );
        assert_eq!((stage.advantage.eps, stage.sampling.temperature), (eps, temperature), "{name}");
        assert_eq!((&loss.clip, loss.aggregation), (&clip, aggregation), "{name}");
        assert_eq!((loss.kl.coef, loss.kl.estimator), penalty, "{name}");
        assert_eq!((loss.kl.counted_in, stage.zero_signal), (KlPlace::Loss, ZeroSignal::Keep));
    }
}

#[test]
fn what_a_system_has_is_shown_and_may_be_written() {
    let path = |key: &str| format!("stages.rl.grpo.{key}");
    let shown = |resolved: &Resolved, key: &str| origin(resolved, &path(key));
    let said = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let verl = rl("verl-2026.08", &[]);
    assert_eq!(shown(&verl, "clip.max_ratio"), said("3.0", "algorithm: verl-2026.08"));
    assert_eq!(shown(&verl, "advantage.eps"), said("1e-6", "algorithm: verl-2026.08"));
    let wider = rl("verl-2026.08", &["stages.rl.grpo.clip.max_ratio=10"]);
    assert_eq!(shown(&wider, "clip.max_ratio"), said("10", "--set"));
    let unset = "stages.rl.grpo.sampling.temperature=null";
    let trl = rl("trl-0.14", &["stages.rl.grpo.kl.coef=0.001", unset]);
    assert_eq!(surrogate(grpo(&trl)).kl.coef, 0.001);
    assert_eq!(shown(&trl, "sampling.temperature"), said("0.9", "algorithm: trl-0.14"));
    // What another kind of clipping has no use for is not chosen.
    let weighted = rl("verl-2026.08", &["stages.rl.grpo.clip.kind=weight"]);
    assert!(weighted.settings.iter().all(|setting| setting.path != path("clip.max_ratio")));
}

#[test]
fn a_bound_of_divergence_goes_with_every_kind_of_clipping() {
    for kind in ["pessimistic", "weight", "sigmoid", "probability"] {
        let clip = format!("stages.rl.grpo.clip={{kind: {kind}, max_divergence: 0.1}}");
        let resolved = shipped("countdown", &[&clip]);
        assert_eq!(surrogate(grpo(&resolved)).max_divergence, Some(0.1), "{kind}");
    }
    assert_eq!(surrogate(grpo(&shipped("countdown", &[]))).max_divergence, None);
}

#[test]
fn a_reference_is_replaced_unless_a_mix_is_written() {
    let mix = |kl: &str| {
        let resolved = shipped("countdown", &[&format!("stages.rl.grpo.kl={kl}")]);
        let kl = &surrogate(grpo(&resolved)).kl;
        (kl.refresh_every, kl.refresh_mix, kl.is_average())
    };
    assert_eq!(mix("{coef: 0.1}"), (None, 1.0, false));
    assert_eq!(mix("{coef: 0.1, refresh_every: 5}"), (Some(5), 1.0, false));
    assert_eq!(mix("{coef: 0.1, refresh_every: 5, refresh_mix: 1}"), (Some(5), 1.0, false));
    assert_eq!(mix("{coef: 0.1, refresh_every: 5, refresh_mix: 0.6}"), (Some(5), 0.6, true));
}

/// Off the total of a group, a penalty is divided by its own deviation where rewards are equal.
#[test]
fn a_penalty_that_is_divided_by_itself_is_warned_of() {
    let warned = |kind: &str| {
        let kind = format!("stages.rl.grpo.advantage.kind={kind}");
        let penalty = "stages.rl.grpo.kl={coef: 0.01, in: reward}";
        let resolved = shipped("countdown", &[&kind, penalty, "stages.rl.grpo.zero_signal=keep"]);
        resolved.warnings.iter().filter(|warning| warning.code == "R1X0142").count()
    };
    let found =
        ["group_normalized", "group_centered", "leave_one_out", "batch_normalized"].map(warned);
    assert_eq!(found, [1, 0, 0, 0]);
}

#[test]
fn the_bound_of_resampling_can_be_written_and_is_shown() {
    let path = "stages.rl.grpo.max_batches";
    let unwritten = rl("dapo", &["stages.rl.grpo.zero_signal=null"]);
    assert_eq!(origin(&unwritten, path), ("10".to_owned(), "default".to_owned()));
    let written =
        shipped("countdown", &["stages.rl.grpo.zero_signal=resample", &format!("{path}=3")]);
    assert_eq!(grpo(&written).zero_signal, resample(3));
    assert_eq!(grpo(&written).most_prompts_per_step(), 3 * grpo(&written).prompts_per_step);
    let settings = shipped("countdown", &[]).settings;
    assert!(settings.iter().all(|setting| setting.path != path), "nothing is resampled");
}

#[test]
fn a_plan_without_an_algorithm_is_what_it_was() {
    let plain = shipped("countdown", &[]);
    let loss = surrogate(grpo(&plain));
    let plan = SurrogatePlan { kl: loss.kl.clone(), ..testing::surrogate() };
    assert_eq!(*loss, plan);
    assert_eq!(origin(&plain, "stages.rl.grpo.ratio").1, "default");
}
