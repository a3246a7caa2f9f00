//! Rotary positions of a `config.json`, in both generations of its keys.
//!
//! Older files have `rope_theta` and `rope_scaling: {type: …}`, newer ones `rope_parameters: {rope_type: …, rope_theta: …}`.
//! A `rope_scaling` that is not null takes the place of `rope_parameters` whole, as in transformers.

use r1x_core::plan::{RopePairs, RopePlan, RopeScaling, YarnPlan};
use r1x_core::rope::yarn_temperature;

use super::config::Keys;

/// The kinds of scaling that are read.
const KNOWN: &str = "default, linear, llama3 and yarn";

/// What a family says about its rotary positions.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Base of the frequencies where none is written.
    pub theta: f64,
    /// Which elements form a pair.
    pub pairs: RopePairs,
    /// Whether `mscale_all_dim` is a factor on the scores of attention (DeepSeek).
    pub corrects_scores: bool,
}

/// The rotary positions of a configuration.
pub fn rope(keys: &Keys<'_>, habits: Habits) -> RopePlan {
    let older = keys.below("rope_scaling");
    let inner = if older.is_some() { None } else { keys.below("rope_parameters") };
    let theta = inner.as_ref().and_then(|inner| inner.number("rope_theta"));
    let theta = theta.unwrap_or_else(|| keys.positive_or("rope_theta", habits.theta));
    let scaling = match older.as_ref().or(inner.as_ref()) {
        None => RopeScaling::None,
        Some(inner) => scaling(keys, inner, habits),
    };
    RopePlan { theta, pairs: habits.pairs, scaling }
}

fn scaling(keys: &Keys<'_>, inner: &Keys<'_>, habits: Habits) -> RopeScaling {
    let kind = if inner.get("rope_type").is_some() { "rope_type" } else { "type" };
    let original = || {
        let written = "original_max_position_embeddings";
        let found = keys.count(written).or_else(|| inner.count(written));
        found.unwrap_or_else(|| keys.needed("max_position_embeddings"))
    };
    let factor = || {
        if inner.get("factor").is_none() {
            inner.problem("factor", "is missing");
        }
        inner.positive_or("factor", 1.0)
    };
    match inner.word(kind).unwrap_or("default") {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: factor() },
        "llama3" => RopeScaling::Llama3 {
            factor: factor(),
            low_freq_factor: inner.positive_or("low_freq_factor", 1.0),
            high_freq_factor: inner.positive_or("high_freq_factor", 4.0),
            original_context: original(),
        },
        "yarn" => RopeScaling::Yarn(yarn(keys, inner, original(), habits)),
        other => {
            let message = format!("is `{other}`; what is known: {KNOWN}");
            inner.problem(kind, message);
            RopeScaling::None
        }
    }
}

fn yarn(keys: &Keys<'_>, inner: &Keys<'_>, original_context: usize, habits: Habits) -> YarnPlan {
    let longest = keys.needed("max_position_embeddings") as f64;
    let factor = inner.positive_or("factor", longest / original_context as f64);
    let (scale, all) = (inner.number("mscale"), inner.number("mscale_all_dim"));
    let written = |number: Option<f64>| number.filter(|number| *number != 0.0);
    let rotation_factor = match (inner.number("attention_factor"), written(scale), written(all)) {
        (Some(factor), _, _) => factor,
        (None, Some(scale), Some(all)) => {
            yarn_temperature(factor, scale) / yarn_temperature(factor, all)
        }
        (None, _, _) => yarn_temperature(factor, 1.0),
    };
    let score_factor = match written(all).filter(|_| habits.corrects_scores) {
        Some(all) => yarn_temperature(factor, all).powi(2),
        None => 1.0,
    };
    YarnPlan {
        factor,
        original_context,
        beta_fast: inner.positive_or("beta_fast", 32.0),
        beta_slow: inner.positive_or("beta_slow", 1.0),
        truncate: inner.flag("truncate").unwrap_or(true),
        rotation_factor,
        score_factor,
    }
}
