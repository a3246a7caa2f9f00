//! Models in GGUF, the format of llama.cpp: one file with everything in it.
//!
//! The keys of a file are turned into those of a `config.json`, which the model's family then reads as any other. A key
//! about the model that is not known here is an error, because it would change what the model computes.

pub mod names;
mod rope;
#[cfg(test)]
pub mod tests;
pub mod tokenizer;
#[cfg(test)]
mod tokenizer_tests;

use std::collections::BTreeMap;

use r1x_weights::{Value as Entry, WeightFiles};
use serde_json::{Map, Value, json};

use self::names::GgufNames;

/// The key that names the architecture.
const ARCHITECTURE: &str = "general.architecture";
/// The tensor whose rows are the vocabulary.
const EMBEDDING: &str = "token_embd.weight";

/// An architecture of llama.cpp.
struct Architecture {
    /// Its word, which is also what its keys begin with.
    word: &'static str,
    /// The family of its models.
    model_type: &'static str,
    /// The family of its models with experts, where some have them.
    of_mixtures: Option<&'static str>,
    /// Whether the rows of queries and keys stand in pairs.
    is_paired: bool,
    /// The key of a configuration for the number of experts.
    experts: &'static str,
    /// Whether affinities of chosen experts are divided by their sum, which no key of a file says.
    normalizes: bool,
    /// Whether a key of a configuration says that there are biases: those of other families always have them or never.
    says_biases: bool,
}

const PLAIN: Architecture = Architecture {
    word: "",
    model_type: "",
    of_mixtures: None,
    is_paired: false,
    experts: "num_experts",
    normalizes: false,
    says_biases: false,
};

const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        word: "llama",
        model_type: "llama",
        of_mixtures: Some("mixtral"),
        is_paired: true,
        experts: "num_local_experts",
        says_biases: true,
        ..PLAIN
    },
    Architecture { word: "qwen2", model_type: "qwen2", ..PLAIN },
    Architecture { word: "qwen2moe", model_type: "qwen2_moe", ..PLAIN },
    Architecture { word: "qwen3", model_type: "qwen3", says_biases: true, ..PLAIN },
    Architecture {
        word: "qwen3moe",
        model_type: "qwen3_moe",
        normalizes: true,
        says_biases: true,
        ..PLAIN
    },
];

/// Keys behind the word of an architecture, and the keys of a configuration that mean the same.
const KEYS: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("rope.freq_base", "rope_theta"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
    ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
];

/// Keys without which no model is known.
const NEEDED: &[&str] = &[
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
];

/// Keys that only repeat what other keys or tensors say; they are compared, where two of them could differ.
const REPEATED: &[&str] = &["vocab_size", "attention.value_length", "rope.dimension_count"];

/// Keys that change nothing here: where numbers came from, and what a graph of llama.cpp is for.
const IDLE: &[&str] = &["tensor_data_layout", "rope.scaling.finetuned"];

/// What a file says about its model.
#[derive(Debug)]
pub struct Described {
    /// The keys of a `config.json`.
    pub config: Map<String, Value>,
    /// How its tensors are called.
    pub names: GgufNames,
}

/// Reads the description of a model.
///
/// # Errors
/// What is wrong with it, one text for each: an architecture that is not known, and keys that are missing, unknown or
/// contradict each other.
pub fn describe(files: &WeightFiles) -> Result<Described, Vec<String>> {
    let architecture = architecture(files.metadata()).map_err(|problem| vec![problem])?;
    let mut reader = Reader { files, word: architecture.word, problems: Vec::new() };
    let config = reader.config(architecture);
    let heads = |key: &str| config.get(key).and_then(Value::as_u64).map(|n| n as usize);
    let queries = heads("num_attention_heads").filter(|heads| *heads > 0);
    let keys = heads("num_key_value_heads").filter(|heads| *heads > 0).or(queries);
    let paired = queries.zip(keys).map(|(queries, keys)| [queries, keys]);
    let names = GgufNames { paired: paired.filter(|_| architecture.is_paired) };
    if reader.problems.is_empty() { Ok(Described { config, names }) } else { Err(reader.problems) }
}

fn architecture(metadata: &BTreeMap<String, Entry>) -> Result<&'static Architecture, String> {
    let Some(word) = metadata.get(ARCHITECTURE).and_then(Entry::as_text) else {
        return Err(format!("`{ARCHITECTURE}` is missing, or no text"));
    };
    ARCHITECTURES.iter().find(|one| one.word == word).ok_or_else(|| {
        let known: Vec<&str> = ARCHITECTURES.iter().map(|one| one.word).collect();
        let shown: String = word.chars().take(40).collect();
        format!("`{ARCHITECTURE}` is `{shown}`; what is known: {}", known.join(", "))
    })
}

struct Reader<'f> {
    files: &'f WeightFiles,
    word: &'static str,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> Option<&Entry> {
        self.files.metadata().get(&format!("{}.{key}", self.word))
    }

    fn problem(&mut self, key: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("`{}.{key}` {problem}", self.word));
    }

    /// A number as JSON writes it; anything else is a problem.
    fn number(&mut self, key: &str) -> Option<Value> {
        let number = match self.get(key)? {
            Entry::Unsigned(number) => Some(json!(number)),
            Entry::Signed(number) => Some(json!(number)),
            Entry::Float(number) => Some(json!(shortest(*number))),
            Entry::List(_) => {
                self.problem(key, "differs from layer to layer, which is not known");
                return None;
            }
            Entry::Text(_) | Entry::Bool(_) => None,
        };
        if number.is_none() {
            self.problem(key, "is no number");
        }
        number
    }

    fn config(&mut self, architecture: &Architecture) -> Map<String, Value> {
        let mut config = Map::new();
        for key in NEEDED.iter().filter(|key| self.get(key).is_none()).collect::<Vec<_>>() {
            self.problem(key, "is missing");
        }
        for (key, ours) in KEYS {
            if let Some(number) = self.number(key) {
                config.insert((*ours).to_owned(), number);
            }
        }
        let experts = self.number("expert_count").filter(|count| count.as_u64() != Some(0));
        let model_type = match (&experts, architecture.of_mixtures) {
            (Some(_), Some(mixture)) => mixture,
            (_, _) => architecture.model_type,
        };
        config.insert("model_type".to_owned(), json!(model_type));
        if let Some(count) = experts {
            config.insert(architecture.experts.to_owned(), count);
            config.insert("norm_topk_prob".to_owned(), json!(architecture.normalizes));
        }
        self.tensors(architecture, &mut config);
        if let Some(scaling) = rope::scaling(self) {
            config.insert("rope_scaling".to_owned(), Value::Object(scaling));
        }
        self.compare(&config);
        self.unknown();
        config
    }

    /// What tensors say: how many tokens there are, whether the embedding serves as head, and whether there are biases.
    fn tensors(&mut self, architecture: &Architecture, config: &mut Map<String, Value>) {
        let has = |name: &str| self.files.get(name).is_some();
        config.insert("tie_word_embeddings".to_owned(), json!(!has("output.weight")));
        if architecture.says_biases {
            config.insert("attention_bias".to_owned(), json!(has("blk.0.attn_q.bias")));
            config.insert("mlp_bias".to_owned(), json!(has("blk.0.ffn_gate.bias")));
        }
        match self.files.get(EMBEDDING) {
            Some(embedding) => {
                config.insert("vocab_size".to_owned(), json!(embedding.rows()));
            }
            None => self.problems.push(format!("there is no tensor `{EMBEDDING}`")),
        }
    }

    /// Compares what is said twice.
    fn compare(&mut self, config: &Map<String, Value>) {
        let count = |key: &str| config.get(key).and_then(Value::as_u64);
        let quotient = || count("hidden_size")?.checked_div(count("num_attention_heads")?);
        let head_dim = count("head_dim").or_else(quotient);
        let expected = [count("vocab_size"), head_dim, head_dim];
        for (key, expected) in REPEATED.iter().zip(expected) {
            let found = self.number(key).and_then(|found| found.as_u64());
            if let (Some(found), Some(expected)) = (found, expected)
                && found != expected
            {
                self.problem(key, format_args!("is {found}, and only {expected} is known here"));
            }
        }
        let gate = self.number("expert_gating_func").and_then(|found| found.as_u64());
        if let Some(other) = gate.filter(|gate| *gate != 1) {
            self.problem(
                "expert_gating_func",
                format_args!("is {other}; what is known: 1, softmax"),
            );
        }
    }

    /// Names every key of the architecture that nobody asked for.
    fn unknown(&mut self) {
        let of_rope = rope::KEYS.iter().copied();
        let known = KEYS.iter().map(|(key, _)| *key).chain(REPEATED.iter().copied());
        let other = IDLE.iter().copied().chain(["expert_count", "expert_gating_func"]);
        let known: Vec<&str> = known.chain(other).chain(of_rope).collect();
        let prefix = format!("{}.", self.word);
        let keys = self.files.metadata().keys().filter_map(|key| key.strip_prefix(&prefix));
        let unknown: Vec<String> =
            keys.filter(|key| !known.contains(key)).map(str::to_owned).collect();
        for key in unknown {
            self.problem(&key, "is not known");
        }
    }
}

/// A float of 32 bits as the shortest decimal that has its bits: whoever wrote 1e-5 meant 1e-5.
fn shortest(number: f64) -> f64 {
    let short = number as f32;
    if f64::from(short) != number {
        return number;
    }
    short.to_string().parse().unwrap_or(number)
}
