//! The version of a plan as it is written down, and how plans of earlier versions are read.
//!
//! A store keeps plans for years, and a run is resumed from its plan, so a plan that is read must say everything that
//! today's plan says. What an earlier version left out is added here, by version and in one place, with the value that
//! the earlier r1x behaved as if it had been given. The plan types themselves have no defaults: a key that is still
//! missing afterwards is an error.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{RunPlan, TokenizerPlan};

/// The version that is written. Version 1 had no number; version 2 lists all data sets of a GRPO stage under `data`,
/// has its loss under `loss`, a reward's plugin under `judged_by` and the origin of a stage's weights, and leaves no key
/// out. Version 3 keeps the word `gate` for evaluations: a reward has a `condition`, and a mixture of experts says whether
/// it divides affinities under `normalize_affinities`. It says how large the vocabulary of a model is, and lists the
/// tokens that end a sequence and the data sets of supervised fine-tuning. A prompt is a `text` or `messages`, and a
/// tokenizer says what begins a text and how it writes conversations. Rows of a file say in which format they are, and
/// behind which mark the answer stands, and which column has a worse completion. A model says which adapters are trained
/// in place of its weights. A loss says of what its ratio is taken, which kind of clipping it has, and where
/// its penalty is counted. A run may have further models, and a stage says which it works on; what of older steps is kept
/// has a limit.
pub const PLAN_VERSION: u64 = 3;

/// Most dense layers that a plan of version 2 had: the largest number that its spec took.
const MOST_DENSE_LAYERS_OF_2: u64 = 4096;

/// The version of a plan in memory, which is always [`PLAN_VERSION`]; a number only where it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanVersion;

impl Serialize for PlanVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(PLAN_VERSION)
    }
}

impl<'de> Deserialize<'de> for PlanVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            PLAN_VERSION => Ok(Self),
            other => Err(D::Error::custom(format!("version {other} instead of {PLAN_VERSION}"))),
        }
    }
}

/// Why a written plan cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The plan was written by a later r1x.
    #[error("it has version {found}, and this r1x reads the versions 1 to {PLAN_VERSION}")]
    Newer {
        /// The version it names.
        found: u64,
    },
    /// Something that a plan must say is not in it.
    #[error("it lacks `{key}`")]
    Missing {
        /// The path of the key, from the outside in.
        key: String,
    },
    /// An earlier version left the size of a vocabulary to a file, which cannot be asked.
    #[error("its version {found} did not say how many tokens {file} has, and {reason}")]
    Vocabulary {
        /// The version of the plan.
        found: u64,
        /// The file of the tokenizer.
        file: String,
        /// Why the file cannot be asked.
        reason: String,
    },
    /// The text is no plan.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// How many tokens the file of a tokenizer has, or why nobody can tell.
pub type VocabularySizes<'f> = &'f dyn Fn(&TokenizerPlan) -> Result<usize, String>;

impl RunPlan {
    /// The plan that a JSON text of this or an earlier version says. Versions 1 and 2 left the size of a vocabulary
    /// to the file of the tokenizer, so `sizes` is asked about each tokenizer of such a plan that is a file.
    ///
    /// # Errors
    /// When it is of a later version, is not a whole plan, or has a tokenizer whose size nobody can tell.
    pub fn from_json(text: &str, sizes: VocabularySizes<'_>) -> Result<Self, PlanError> {
        let mut written: Value = serde_json::from_str(text)?;
        // What is no version at all is reported with its place by the parser.
        let found = written.get("version").map_or(Some(1), Value::as_u64).unwrap_or(PLAN_VERSION);
        if found > PLAN_VERSION {
            return Err(PlanError::Newer { found });
        }
        if found == 1 {
            upgrade_from_1(&mut written);
        }
        if found == 1 || found == 2 {
            upgrade_from_2(&mut written, &|tokenizer| size_of(tokenizer, found, sizes))?;
        }
        let plan: Self = serde_json::from_value(written.clone())?;
        // The parser takes an absent optional value for none. A plan says none.
        match missing(&serde_json::to_value(&plan)?, &written) {
            Some(key) => Err(PlanError::Missing { key }),
            None => Ok(plan),
        }
    }
}

/// The first key of a whole value that a written one lacks, as a path.
fn missing(whole: &Value, written: &Value) -> Option<String> {
    let below = |key: String, (whole, written): (&Value, &Value)| {
        missing(whole, written).map(|rest| format!("{key}.{rest}"))
    };
    match (whole, written) {
        (Value::Object(whole), Value::Object(written)) => whole.iter().find_map(|(key, value)| {
            let Some(found) = written.get(key) else { return Some(key.clone()) };
            below(key.clone(), (value, found))
        }),
        (Value::Array(whole), Value::Array(written)) => {
            let pairs = whole.iter().zip(written).enumerate();
            pairs.map(|(at, pair)| below(at.to_string(), pair)).find_map(|found| found)
        }
        _ => None,
    }
}

/// How many tokens a tokenizer of a plan of version `found` has.
fn size_of(
    tokenizer: &TokenizerPlan,
    found: u64,
    sizes: VocabularySizes<'_>,
) -> Result<usize, PlanError> {
    match tokenizer {
        TokenizerPlan::Vocabulary { pieces } => Ok(TokenizerPlan::listed_size(pieces)),
        TokenizerPlan::File { path, .. } => sizes(tokenizer)
            .map_err(|reason| PlanError::Vocabulary { found, file: path.clone(), reason }),
    }
}

/// Version 1 left out what was empty, off or came later.
fn upgrade_from_1(plan: &mut Value) {
    let Value::Object(plan) = plan else { return };
    plan.insert("version".to_owned(), json!(2));
    add(plan, "judges", json!({}));
    for source in plan.get_mut("data").into_iter().flat_map(values) {
        if let Some(Value::Object(file)) = source.pointer_mut("/source/jsonl") {
            add(file, "renamed", json!({}));
            for optional in ["columns", "solution", "answer"] {
                add(file, optional, Value::Null);
            }
        }
    }
    for reward in plan.get_mut("rewards").into_iter().flat_map(values) {
        reward_from_1(reward);
    }
    let mut weights = json!("base");
    for stage in plan.get_mut("stages").into_iter().flat_map(values) {
        // Every stage began with the weights of the one before it.
        if let Value::Object(stage) = stage {
            let next = json!({ "stage": stage.get("id") });
            add(stage, "weights", std::mem::replace(&mut weights, next));
        }
        if let Some(Value::Object(grpo)) = stage.pointer_mut("/kind/grpo") {
            grpo_from_1(grpo);
        }
    }
}

fn reward_from_1(reward: &mut Value) {
    let Value::Object(reward) = reward else { return };
    // Runs of version 1 without a bound went on however many rollouts failed.
    add(reward, "max_failed_share", json!(1.0));
    add(reward, "shaping", json!({}));
    add(reward, "grant", json!([]));
    if let Some(Value::Object(shaping)) = reward.get_mut("shaping") {
        for part in ["applies", "clip", "gate", "course"] {
            add(shaping, part, Value::Null);
        }
    }
    if let Some(Value::Object(limits)) = reward.get_mut("limits") {
        add(limits, "fuel", Value::Null);
    }
    // Every reward was a plugin, whose keys stood beside those of the reward.
    let keys = [
        ("plugin", "path"),
        ("sha256", "sha256"),
        ("config", "config"),
        ("limits", "limits"),
        ("grant", "grant"),
    ];
    let parts =
        keys.into_iter().filter_map(|(old, new)| Some((new.to_owned(), reward.remove(old)?)));
    let plugin: Map<String, Value> = parts.collect();
    add(reward, "judged_by", json!({ "plugin": plugin }));
}

fn grpo_from_1(grpo: &mut Map<String, Value>) {
    // The first data set stood alone, and further ones under a key of their own.
    let mixed = grpo.remove("mixed").unwrap_or_else(|| json!([]));
    if let (Some(first), Value::Array(others)) = (grpo.get_mut("data"), mixed) {
        let all = std::iter::once(first.take()).chain(others).collect();
        *first = Value::Array(all);
    }
    // What the loss is made of stood beside everything else.
    let parts = ["clip", "kl", "aggregation"];
    let parts = parts.into_iter().filter_map(|part| Some((part.to_owned(), grpo.remove(part)?)));
    let surrogate: Map<String, Value> = parts.collect();
    add(grpo, "loss", json!({ "surrogate": surrogate }));
    if let Some(Value::Object(advantage)) = grpo.get_mut("advantage") {
        let plain = json!({"order": "sum_then_normalize", "whiten": false, "clip": null});
        add(advantage, "combine", plain);
    }
}

/// Version 2 had other words, and left the size of a vocabulary to the tokenizer, which `size` knows.
fn upgrade_from_2(
    plan: &mut Value,
    size: &dyn Fn(&TokenizerPlan) -> Result<usize, PlanError>,
) -> Result<(), PlanError> {
    let Value::Object(plan) = plan else { return Ok(()) };
    plan.insert("version".to_owned(), json!(3));
    plan.get_mut("rewards").into_iter().flat_map(values).for_each(condition_from_2);
    add(plan, "models", json!({}));
    add(plan, "retention", json!({ "text": null, "tokens": null, "logprobs": null }));
    for stage in plan.get_mut("stages").into_iter().flat_map(values) {
        // Every stage worked on the policy.
        if let Value::Object(stage) = stage {
            add(stage, "model", Value::Null);
        }
    }
    plan.get_mut("stages").into_iter().flat_map(values).for_each(sft_from_2);
    for key in ["stages", "evals"] {
        plan.get_mut(key).into_iter().flat_map(values).for_each(data_from_2);
    }
    plan.get_mut("stages").into_iter().flat_map(values).for_each(loss_from_2);
    plan.get_mut("data").into_iter().flat_map(values).for_each(prompt_from_2);
    plan.get_mut("data").into_iter().flat_map(values).for_each(rows_from_2);
    let upgrade = |model: &mut Value| {
        model_from_2(model);
        tokenizer_from_2(model);
        vocabulary_from_2(model, size)
    };
    let judges = plan.get_mut("judges").into_iter().flat_map(values);
    judges.filter_map(|judge| judge.get_mut("model")).try_for_each(upgrade)?;
    plan.get_mut("model").map_or(Ok(()), upgrade)
}

/// No data was mixed by parts. Whatever names a part of a data set has these keys, and nothing else has.
fn data_from_2(value: &mut Value) {
    if let Value::Object(data) = value
        && ["data", "split", "skip", "limit"].iter().all(|key| data.contains_key(*key))
    {
        add(data, "parts", Value::Null);
        return;
    }
    values(value).into_iter().for_each(data_from_2);
}

/// Supervised fine-tuning learnt from one data set.
fn sft_from_2(stage: &mut Value) {
    let data = stage.pointer_mut("/kind/sft/data");
    if let Some(data) = data.filter(|data| data.is_object()) {
        let only = data.take();
        *data = json!([only]);
    }
}

/// In version 2 every ratio was that of a token, and clipped on the less favourable side; a penalty was in the loss, and
/// its reference was replaced as a whole; entropies had no part.
fn loss_from_2(stage: &mut Value) {
    if let Some(Value::Object(grpo)) = stage.pointer_mut("/kind/grpo") {
        add(grpo, "top_entropy_share", json!(1.0));
        add(grpo, "critic", Value::Null);
    }
    let loss = stage.pointer_mut("/kind/grpo/loss/surrogate");
    let Some(Value::Object(surrogate)) = loss else { return };
    add(surrogate, "ratio", json!("token"));
    add(surrogate, "entropy_coef", json!(0.0));
    add(surrogate, "max_divergence", Value::Null);
    if let Some(Value::Object(kl)) = surrogate.get_mut("kl") {
        add(kl, "counted_in", json!("loss"));
        add(kl, "refresh_mix", json!(1.0));
    }
    if let Some(bounds) = surrogate.get_mut("clip").filter(|clip| clip.get("low").is_some()) {
        *bounds = json!({ "pessimistic": bounds.take() });
    }
}

/// In version 2 every prompt was a text.
fn prompt_from_2(data: &mut Value) {
    if let Some(prompt) = data.get_mut("prompt").filter(|prompt| prompt.is_string()) {
        *prompt = json!({ "text": prompt.take() });
    }
}

/// In version 2 the file of a tokenizer had a single token that ended sequences, none that began a text, and no chat
/// template.
fn tokenizer_from_2(model: &mut Value) {
    let Some(Value::Object(file)) = model.pointer_mut("/tokenizer/file") else { return };
    add(file, "bos", Value::Null);
    add(file, "chat", Value::Null);
    if let Some(Value::String(eos)) = file.get("eos") {
        let ends = json!([eos]);
        file.insert("eos".to_owned(), ends);
    }
}

fn vocabulary_from_2(
    model: &mut Value,
    size: &dyn Fn(&TokenizerPlan) -> Result<usize, PlanError>,
) -> Result<(), PlanError> {
    let Value::Object(model) = model else { return Ok(()) };
    // A model without a tokenizer is reported by the parser.
    if let Some(tokenizer) = model.get("tokenizer") {
        let size = size(&serde_json::from_value(tokenizer.clone())?)?;
        add(model, "vocabulary_size", json!(size));
    }
    Ok(())
}

/// In version 2 a file held JSON lines, and a column of it was the answer as a whole.
fn rows_from_2(data: &mut Value) {
    rename(data.get_mut("source"), "jsonl", "rows");
    if let Some(Value::Object(file)) = data.pointer_mut("/source/rows") {
        add(file, "format", json!("json_lines"));
        add(file, "answer_after", Value::Null);
        add(file, "rejected", Value::Null);
    }
}

/// What decides whether a reward counts was its `gate`.
fn condition_from_2(reward: &mut Value) {
    rename(reward.get_mut("shaping"), "gate", "condition");
}

/// Version 2 trained all weights, and knew Llama's attention and DeepSeek-V3's, and DeepSeek-V3's mixture.
fn model_from_2(model: &mut Value) {
    affinities_from_2(model);
    rope_from_2(model);
    if let Value::Object(model) = &mut *model {
        add(model, "initial", json!("random"));
        add(model, "head", json!("vocabulary"));
        add(model, "lora", Value::Null);
        add(model, "mtp", Value::Null);
    }
    let norm_eps = model.get("norm_eps").cloned().unwrap_or_default();
    if let Some(Value::Object(gqa)) = model.pointer_mut("/attention/gqa") {
        let rotary = gqa.get("head_dim").cloned().unwrap_or_default();
        add(gqa, "rotary_dim", rotary);
        for (key, value) in [
            ("qkv_bias", json!(false)),
            ("output_bias", json!(false)),
            ("qk_norm", json!("none")),
            ("clip_qkv", Value::Null),
            ("window", Value::Null),
        ] {
            add(gqa, key, value);
        }
    }
    if let Some(Value::Object(mla)) = model.pointer_mut("/attention/mla") {
        add(mla, "latent_norm_eps", norm_eps);
        add(mla, "bias", json!(false));
    }
    if let Some(Value::Object(dense)) = model.pointer_mut("/feed_forward/dense") {
        add(dense, "bias", json!(false));
    }
    if let Some(Value::Object(mixture)) = model.pointer_mut("/feed_forward/moe") {
        mixture_from_2(mixture);
    }
}

/// Llama's attention turned halves and DeepSeek's neighbours, and no frequency was scaled.
fn rope_from_2(model: &mut Value) {
    let pairs = if model.pointer("/attention/mla").is_some() { "neighbours" } else { "halves" };
    let Value::Object(model) = model else { return };
    if let Some(theta) = model.remove("rope_theta") {
        add(model, "rope", json!({"theta": theta, "pairs": pairs, "scaling": "none"}));
    }
}

fn mixture_from_2(mixture: &mut Map<String, Value>) {
    let number = |value: Option<Value>| value.and_then(|value| value.as_u64()).unwrap_or(0);
    let width = number(mixture.get("expert_intermediate_size").cloned());
    let shared = number(mixture.remove("shared_experts"));
    // The first layers were dense, and only their number was said; no spec could ask for more than so many.
    let count = number(mixture.remove("dense_layers")).min(MOST_DENSE_LAYERS_OF_2);
    let dense: Vec<u64> = (0..count).collect();
    for (key, value) in [
        ("dense_layers", json!(dense)),
        ("shared_intermediate_size", json!(width.saturating_mul(shared))),
        ("shared_gated", json!(false)),
        ("scoring", json!("sigmoid")),
        ("selection_bias", json!(true)),
        ("group_score", json!("top_two")),
    ] {
        add(mixture, key, value);
    }
}

/// Whether affinities are divided by their sum was `normalize_gate`.
fn affinities_from_2(model: &mut Value) {
    rename(model.pointer_mut("/feed_forward/moe"), "normalize_gate", "normalize_affinities");
}

/// Gives a key of an object another name.
fn rename(object: Option<&mut Value>, old: &str, new: &str) {
    let Some(Value::Object(object)) = object else { return };
    if let Some(value) = object.remove(old) {
        add(object, new, value);
    }
}

/// Adds what is not there.
fn add(map: &mut Map<String, Value>, key: &str, value: Value) {
    map.entry(key).or_insert(value);
}

/// The values of an array or an object.
fn values(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(values) => values.iter_mut().collect(),
        Value::Object(values) => values.values_mut().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
