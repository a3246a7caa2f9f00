//! Mistakes in the choices that a loss is made of.

use crate::{Case, edit};

pub const CASES: &[Case] = &[
    edit(
        "clipping without bounds",
        &[("lr: 3e-4", "lr: 3e-4\n      clip: {kind: sigmoid, high: 0.2, tau_positive: 2}")],
    ),
    edit(
        "bounds without a sigmoid",
        &[("lr: 3e-4", "lr: 3e-4\n      clip: {kind: weight, max_ratio: 3, tau_negative: 2}")],
    ),
    edit(
        "the probability of a sequence",
        &[("lr: 3e-4", "lr: 3e-4\n      ratio: sequence\n      clip: {kind: probability}")],
    ),
    edit("batches of a stage that draws one", &[("lr: 3e-4", "lr: 3e-4\n      max_batches: 4")]),
    edit(
        "resampling what the whole step tells apart",
        &[(
            "lr: 3e-4",
            "lr: 3e-4\n      zero_signal: resample\n      advantage: {kind: batch_normalized}",
        )],
    ),
    edit(
        "what does not go with a penalty in the reward",
        &[(
            "lr: 3e-4",
            "lr: 3e-4\n      kl: {coef: 0.01, in: reward, estimator: k3_plus}\n      zero_signal: drop\n      \
             advantage: {kind: group_centered, combine: normalize_then_sum}",
        )],
    ),
    edit(
        "a mix of a reference that stays",
        &[("lr: 3e-4", "lr: 3e-4\n      kl: {coef: 0.01, refresh_mix: 0.6}")],
    ),
    edit("a penalty in no place", &[("lr: 3e-4", "lr: 3e-4\n      kl: {coef: 0.01, in: rewards}")]),
    edit("unknown algorithm", &[("lr: 3e-4", "lr: 3e-4\n      algorithm: drgrpo")]),
];
