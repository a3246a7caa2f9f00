//! The loss of a stage that learns from rewards: its ratio, its clipping, its penalty, and what it leaves out.

use serde_json::json;

use r1x_core::plan::{
    AdvantageKind, ClipPlan, CombineOrder, KlEstimator, KlPlace, KlPlan, ProbabilityBounds,
    RatioBounds, RatioLevel, SigmoidGate, SurrogatePlan, WeightBounds, ZeroSignal,
};

use super::Resolver;
use crate::codes;
use crate::loss_values::{ClipKind, ZeroSignalKind};
use crate::read::At;
use crate::source::Span;
use crate::spec::{ClipSpec, GrpoSpec};

/// How far above 1 a weight goes that nobody bounded: the largest is 5.
const HIGH_OF_WEIGHT: f64 = 4.0;
/// How steep the sigmoid is that nobody wrote, for positive advantages and for others (SAPO).
const TAU: (f64, f64) = (1.0, 1.05);

/// How many batches of problems a step draws at most, where nobody wrote it (as NeMo RL has it).
const MOST_BATCHES: usize = 10;

impl Resolver<'_, '_> {
    /// What becomes of groups whose totals are all equal.
    pub(super) fn zero_signal(&mut self, spec: &At<GrpoSpec>) -> ZeroSignal {
        let batches = spec.max_batches.as_ref();
        if *spec.zero_signal != ZeroSignalKind::Resample {
            if let Some(batches) = batches {
                let message = "every step draws one batch unless groups are resampled".to_owned();
                let help = "write `zero_signal: resample` too, or leave `max_batches` out";
                self.error(codes::COUNTS, batches.span, message).help(help);
            }
        } else if !spec.advantage.kind.compares_group() {
            let message = "a group of equal totals has a signal where it is compared with the step";
            let help =
                "use `zero_signal: keep`, or an advantage that compares the rollouts of a group";
            self.error(codes::COUNTS, spec.zero_signal.span, message.to_owned()).help(help);
        }
        match *spec.zero_signal {
            ZeroSignalKind::Keep => ZeroSignal::Keep,
            ZeroSignalKind::Drop => ZeroSignal::Drop,
            ZeroSignalKind::Resample => {
                if batches.is_none() {
                    self.derived(&spec.path, "max_batches", json!(MOST_BATCHES));
                }
                ZeroSignal::Resample { most_batches: batches.map_or(MOST_BATCHES, |one| **one) }
            }
        }
    }

    pub(super) fn surrogate(&mut self, spec: &GrpoSpec) -> SurrogatePlan {
        let ratio = &spec.ratio;
        if *spec.clip.kind == ClipKind::Probability && **ratio != RatioLevel::Token {
            let message = "the probability of a token says nothing about that of its sequence";
            let help = "use `ratio: token`, or another kind of clipping";
            self.error(codes::COUNTS, ratio.span, message.to_owned()).help(help);
        }
        let clip = self.clip(&spec.clip);
        let kl = self.penalty(spec);
        let max_divergence = spec.clip.max_divergence.as_deref().copied();
        let (ratio, aggregation) = (**ratio, *spec.aggregation);
        let entropy_coef = *spec.entropy.coef;
        SurrogatePlan { ratio, clip, max_divergence, kl, entropy_coef, aggregation }
    }

    fn clip(&mut self, spec: &At<ClipSpec>) -> ClipPlan {
        self.check_clip_keys(spec);
        match *spec.kind {
            ClipKind::Pessimistic => self.pessimistic(spec),
            ClipKind::Weight => self.weight(spec),
            ClipKind::Sigmoid => self.sigmoid(spec),
            ClipKind::Probability => {
                let (low, high) = (*spec.low, *spec.high);
                ClipPlan::Probability(ProbabilityBounds { low, high })
            }
        }
    }

    /// Reports keys that the kind of clipping has no use for.
    fn check_clip_keys(&mut self, spec: &ClipSpec) {
        let kind = *spec.kind;
        let bounded = kind != ClipKind::Sigmoid;
        let written = |one: &At<f64>| self.is_written(one).then_some(one.span);
        let span = |one: &Option<At<f64>>| one.as_ref().map(|one| one.span);
        let keys: [(&str, Option<Span>, bool); 5] = [
            ("low", written(&spec.low), bounded),
            ("high", written(&spec.high), bounded),
            ("max_ratio", span(&spec.max_ratio), kind == ClipKind::Pessimistic),
            ("tau_positive", span(&spec.tau_positive), !bounded),
            ("tau_negative", span(&spec.tau_negative), !bounded),
        ];
        for (key, span, used) in keys {
            if let Some(span) = span.filter(|_| !used) {
                let kind = json!(kind);
                let kind = kind.as_str().unwrap_or_default();
                let message = format!("clipping of the kind `{kind}` has no `{key}`");
                let help =
                    format!("leave `{key}` out, or write `{key}: null` where it is inherited");
                self.error(codes::COUNTS, span, message).help(help);
            }
        }
    }

    fn pessimistic(&mut self, spec: &ClipSpec) -> ClipPlan {
        let (low, high) = (*spec.low, *spec.high);
        let max_ratio = spec.max_ratio.as_ref();
        if let Some(cap) = max_ratio.filter(|cap| ***cap < 1.0 + high) {
            let message =
                format!("the ratio is cut at {} before it is clipped at {}", **cap, 1.0 + high);
            self.error(codes::COUNTS, cap.span, message).help("raise max_ratio, or lower high");
        }
        let max_ratio = max_ratio.map(|cap| **cap);
        ClipPlan::Pessimistic(RatioBounds { low, high, max_ratio })
    }

    fn weight(&mut self, spec: &ClipSpec) -> ClipPlan {
        let low = self.is_written(&spec.low).then_some(*spec.low);
        if low.is_none() {
            self.forget_default(&spec.low);
        }
        let written = self.is_written(&spec.high);
        if !written {
            self.assume(&spec.high, json!(HIGH_OF_WEIGHT));
        }
        let high = if written { *spec.high } else { HIGH_OF_WEIGHT };
        ClipPlan::Weight(WeightBounds { low, high })
    }

    fn sigmoid(&mut self, spec: &At<ClipSpec>) -> ClipPlan {
        self.forget_default(&spec.low);
        self.forget_default(&spec.high);
        let mut tau = |key, written: Option<&At<f64>>, default: f64| {
            if written.is_none() {
                self.derived(&spec.path, key, json!(default));
            }
            written.map_or(default, |tau| **tau)
        };
        let tau_positive = tau("tau_positive", spec.tau_positive.as_ref(), TAU.0);
        let tau_negative = tau("tau_negative", spec.tau_negative.as_ref(), TAU.1);
        ClipPlan::Sigmoid(SigmoidGate { tau_positive, tau_negative })
    }

    fn penalty(&mut self, spec: &GrpoSpec) -> KlPlan {
        let kl = &spec.kl;
        let (coef, counted_in) = (*kl.coef, *kl.r#in);
        let mut estimator = *kl.estimator;
        if counted_in == KlPlace::Reward && !self.is_written(&kl.estimator) {
            estimator = KlEstimator::K1;
            self.assume(&kl.estimator, json!(estimator));
        }
        match counted_in {
            _ if coef <= 0.0 => {}
            KlPlace::Loss if estimator == KlEstimator::K1 => {
                let message =
                    "k1 as a term of the loss has no gradient on average, so it pulls nowhere";
                let help = "use k2, which has the gradient of the divergence, or k3";
                self.reader.warning(codes::KL_GRADIENT, kl.estimator.span, message).help(help);
            }
            KlPlace::Loss => {}
            KlPlace::Reward => self.check_penalty_in_reward(spec, estimator),
        }
        let refresh_every = kl.refresh_every.as_deref().copied();
        let mix = kl.refresh_mix.as_ref();
        if let Some(mix) = mix.filter(|_| refresh_every.is_none()) {
            let message = "a reference that is never refreshed is mixed with nothing".to_owned();
            let help = "write `refresh_every` too, or leave `refresh_mix` out";
            self.error(codes::COUNTS, mix.span, message).help(help);
        }
        let refresh_mix = mix.map_or(1.0, |mix| **mix);
        KlPlan { coef, counted_in, estimator, refresh_every, refresh_mix }
    }

    /// Reports what does not go with a penalty that is taken off totals.
    fn check_penalty_in_reward(&mut self, spec: &GrpoSpec, estimator: KlEstimator) {
        let (kl, advantage) = (&spec.kl, &spec.advantage);
        if matches!(estimator, KlEstimator::K3Plus | KlEstimator::K3Unbiased) {
            let message =
                "what is taken off a total has no gradient, in which alone this differs from k3"
                    .to_owned();
            let help = "leave `estimator` out, or count the penalty `in: loss`";
            self.error(codes::COUNTS, kl.estimator.span, message).help(help);
        }
        if *spec.zero_signal != ZeroSignalKind::Keep {
            let message = "the penalty tells the rollouts of every group apart".to_owned();
            let help = "use `zero_signal: keep`, or count the penalty `in: loss`";
            self.error(codes::COUNTS, spec.zero_signal.span, message).help(help);
        }
        if *advantage.combine == CombineOrder::NormalizeThenSum {
            let message =
                "rewards are compared one by one, and the penalty is none of them".to_owned();
            let help = "use `combine: sum_then_normalize`, or count the penalty `in: loss`";
            self.error(codes::COUNTS, advantage.combine.span, message).help(help);
        }
        if *advantage.kind == AdvantageKind::GroupNormalized {
            let message = "where the rewards of a group are equal, this divides the penalty by its own deviation";
            let help = "an advantage that does not divide by the deviation of a group keeps its size: \
                        group_centered, leave_one_out, batch_scaled or batch_normalized";
            self.reader.warning(codes::KL_SCALED, kl.r#in.span, message).help(help);
        }
    }
}
