//! How the frequencies of rotary positions are changed, as GGUF says it: by keys, or for Llama 3 by a tensor.

use r1x_weights::Value as Entry;
use serde_json::{Map, Value, json};

use super::Reader;
use super::names::ROPE_FREQS;

/// The keys that say it, behind the word of an architecture.
pub const KEYS: &[&str] = &[
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
];

/// Keys of YaRN and those of a configuration that mean the same.
const YARN: &[(&str, &str)] = &[
    ("rope.scaling.factor", "factor"),
    ("rope.scaling.original_context_length", "original_max_position_embeddings"),
    ("rope.scaling.yarn_attn_factor", "attention_factor"),
    ("rope.scaling.yarn_beta_fast", "beta_fast"),
    ("rope.scaling.yarn_beta_slow", "beta_slow"),
];

/// Longest sequence before the extension of every Llama 3.1, 3.2 and 3.3, tokens.
const LLAMA3_CONTEXT: f64 = 8192.0;
/// Waves longer than the original context over this number are divided by the whole factor, in all of them.
const LLAMA3_LOW: f64 = 1.0;
/// Waves shorter than the original context over this number are kept, in all of them.
const LLAMA3_HIGH: f64 = 4.0;
/// How far a factor of a file may be from the one that is computed: both went through 32 bits.
const NEAR: f64 = 1e-4;

/// The `rope_scaling` of a configuration; `None` where frequencies are as they are, and after a problem.
pub fn scaling(reader: &mut Reader<'_>) -> Option<Map<String, Value>> {
    let kind = match reader.get("rope.scaling.type") {
        None => "none".to_owned(),
        Some(Entry::Text(word)) => word.chars().take(40).collect(),
        Some(_) => {
            reader.problem("rope.scaling.type", "is no text");
            return None;
        }
    };
    if reader.files.get(ROPE_FREQS).is_some() {
        if kind != "none" {
            let problem = format!("is `{kind}` beside a tensor `{ROPE_FREQS}`, which is not known");
            reader.problem("rope.scaling.type", problem);
            return None;
        }
        return llama3(reader);
    }
    let mut map = Map::from_iter([("rope_type".to_owned(), json!(kind))]);
    match kind.as_str() {
        "none" => return None,
        "linear" => {
            map.insert("factor".to_owned(), reader.number("rope.scaling.factor")?);
        }
        "yarn" => {
            for (key, ours) in YARN {
                if let Some(number) = reader.number(key) {
                    map.insert((*ours).to_owned(), number);
                }
            }
            let ramp = reader.number("rope.scaling.yarn_ext_factor");
            if ramp.is_some_and(|ramp| ramp.as_f64() != Some(1.0)) {
                reader.problem("rope.scaling.yarn_ext_factor", "is not 1, which is not known");
            }
        }
        other => {
            let problem = format!("is `{other}`; what is known: none, linear and yarn");
            reader.problem("rope.scaling.type", problem);
            return None;
        }
    }
    Some(map)
}

/// Llama 3's scaling, found again from what each frequency is divided by.
fn llama3(reader: &mut Reader<'_>) -> Option<Map<String, Value>> {
    let mut found = vec![0.0; reader.files.get(ROPE_FREQS)?.elements()];
    if let Err(error) = reader.files.read(ROPE_FREQS, &mut found) {
        reader.problems.push(error.to_string());
        return None;
    }
    let theta = reader.number("rope.freq_base").and_then(|base| base.as_f64()).unwrap_or(1e4);
    let factor = f64::from(found.iter().copied().fold(1.0, f32::max));
    let width = found.len() as f64;
    let matches = found.iter().enumerate().all(|(pair, found)| {
        let expected = divisor(theta.powf(-(pair as f64) / width), factor);
        (f64::from(*found) - expected).abs() <= NEAR * expected
    });
    if !matches {
        let problem = format!("`{ROPE_FREQS}` holds other factors than those of Llama 3");
        reader.problems.push(problem);
        return None;
    }
    let map = json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": LLAMA3_LOW,
        "high_freq_factor": LLAMA3_HIGH,
        "original_max_position_embeddings": LLAMA3_CONTEXT as u64,
    });
    map.as_object().cloned()
}

/// What a frequency is divided by.
fn divisor(frequency: f64, factor: f64) -> f64 {
    let turns = LLAMA3_CONTEXT * frequency / (2.0 * std::f64::consts::PI);
    if turns > LLAMA3_HIGH {
        1.0
    } else if turns < LLAMA3_LOW {
        factor
    } else {
        let kept = (turns - LLAMA3_LOW) / (LLAMA3_HIGH - LLAMA3_LOW);
        1.0 / ((1.0 - kept) / factor + kept)
    }
}
