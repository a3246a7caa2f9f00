//! Rotary positions of a `config.json`, in both generations of its keys.
//!
//! Older files have `rope_theta` and `rope_scaling: {type: …}`, newer ones `rope_parameters: {rope_type: …, rope_theta: …}`.
//! A `rope_scaling` that is not null takes the place of `rope_parameters` whole, as in transformers.

use r1x_core::plan::{ModelPlan, RopePairs, RopePlan, RopeScaling, YarnPlan};
use r1x_core::rope::{Temperatures, yarn_factors, yarn_temperature};
use serde_json::{Map, Value, json};

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
    let temperatures = Temperatures {
        attention_factor: inner.number("attention_factor"),
        mscale: inner.number("mscale"),
        mscale_all_dim: inner.number("mscale_all_dim"),
        corrects_scores: habits.corrects_scores,
    };
    let (rotation_factor, score_factor) = yarn_factors(factor, temperatures);
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

/// The keys that say the rotary positions of a plan, those of the older generation: every reader knows them.
pub fn keys(plan: &ModelPlan, habits: Habits) -> Map<String, Value> {
    let scaling = match &plan.rope.scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => {
            json!({"type": "linear", "rope_type": "linear", "factor": factor})
        }
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_context,
            })
        }
        RopeScaling::Yarn(yarn) => Value::Object(yarn_keys(yarn, habits)),
    };
    let theta = json!(plan.rope.theta);
    Map::from_iter([("rope_theta".to_owned(), theta), ("rope_scaling".to_owned(), scaling)])
}

fn yarn_keys(yarn: &YarnPlan, habits: Habits) -> Map<String, Value> {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("type", json!("yarn"));
    put("rope_type", json!("yarn"));
    put("factor", json!(yarn.factor));
    put("original_max_position_embeddings", json!(yarn.original_context));
    put("beta_fast", json!(yarn.beta_fast));
    put("beta_slow", json!(yarn.beta_slow));
    if !yarn.truncate {
        put("truncate", json!(false));
    }
    let temperature = |scale| yarn_temperature(yarn.factor, scale);
    // A scale that is 0 says nothing, so scores without a factor have none.
    let all = (habits.corrects_scores && yarn.score_factor != 1.0)
        .then(|| {
            scale_of(
                yarn,
                yarn.score_factor.sqrt(),
                |all| temperature(all).powi(2),
                yarn.score_factor,
            )
        })
        .flatten();
    let wanted = yarn.rotation_factor;
    let scale = all.and_then(|all| {
        let over = temperature(all);
        scale_of(yarn, wanted * over, |scale| temperature(scale) / over, wanted)
    });
    if let Some(all) = all {
        put("mscale_all_dim", json!(all));
    }
    match scale {
        Some(scale) => put("mscale", json!(scale)),
        None if wanted == temperature(1.0) => {}
        None => put("attention_factor", json!(wanted)),
    }
    map
}

/// The shortest decimal number whose factor is the wanted one to the last bit; `None` where there is none above 0.
/// `near` is the temperature of the number, up to rounding.
fn scale_of(yarn: &YarnPlan, near: f64, factor: impl Fn(f64) -> f64, wanted: f64) -> Option<f64> {
    let exact = (near - 1.0) / (0.1 * yarn.factor.ln());
    let decimals = (0..=17).filter_map(|digits| format!("{exact:.digits$}").parse::<f64>().ok());
    decimals.chain([exact]).find(|scale| *scale > 0.0 && factor(*scale) == wanted)
}
