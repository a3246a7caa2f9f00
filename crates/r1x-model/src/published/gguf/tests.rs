//! GGUF files that are written here as llama.cpp's converter writes them, from the golden folders: read, they are the
//! models of those folders, bit for bit.

use std::path::{Path, PathBuf};

use r1x_core::plan::{ModelPlan, Precision, RopeScaling, TokenizerPlan};
use r1x_weights::WeightFiles;

use crate::layout::Layout;
use crate::published::Published;

/// A GGUF file that is being put together.
#[derive(Default)]
pub struct File {
    keys: Vec<(String, u32, Vec<u8>)>,
    /// Name, dimensions outermost first, numbers.
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn list(kind: u32, entries: impl ExactSizeIterator<Item = Vec<u8>>) -> Vec<u8> {
    let head = [&kind.to_le_bytes()[..], &(entries.len() as u64).to_le_bytes()].concat();
    entries.fold(head, |all, entry| [all, entry].concat())
}

impl File {
    pub fn count(&mut self, key: &str, value: usize) -> &mut Self {
        self.entry(key, 4, (value as u32).to_le_bytes().to_vec())
    }

    pub fn float(&mut self, key: &str, value: f64) -> &mut Self {
        self.entry(key, 6, (value as f32).to_le_bytes().to_vec())
    }

    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.entry(key, 7, vec![u8::from(value)])
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.entry(key, 8, text(value))
    }

    pub fn texts(&mut self, key: &str, values: &[&str]) -> &mut Self {
        self.entry(key, 9, list(8, values.iter().map(|value| text(value))))
    }

    pub fn kinds(&mut self, key: &str, values: &[i32]) -> &mut Self {
        self.entry(key, 9, list(5, values.iter().map(|value| value.to_le_bytes().to_vec())))
    }

    fn entry(&mut self, key: &str, kind: u32, bytes: Vec<u8>) -> &mut Self {
        self.keys.retain(|(known, ..)| known != key);
        self.keys.push((key.to_owned(), kind, bytes));
        self
    }

    pub fn without(&mut self, key: &str) -> &mut Self {
        self.keys.retain(|(known, ..)| known != key);
        self
    }

    pub fn tensor(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> &mut Self {
        self.tensors.push((name.to_owned(), shape.to_vec(), values));
        self
    }

    /// Writes the file into a folder of its own.
    pub fn write(&self) -> (tempfile::TempDir, PathBuf) {
        let mut bytes = [&b"GGUF"[..], &3_u32.to_le_bytes()].concat();
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.keys {
            bytes.extend([text(key), kind.to_le_bytes().to_vec(), value.clone()].concat());
        }
        let mut data: Vec<u8> = Vec::new();
        for (name, shape, values) in &self.tensors {
            data.resize(data.len().next_multiple_of(32), 0);
            bytes.extend([text(name), (shape.len() as u32).to_le_bytes().to_vec()].concat());
            bytes.extend(shape.iter().rev().flat_map(|size| (*size as u64).to_le_bytes()));
            bytes.extend(0_u32.to_le_bytes());
            bytes.extend((data.len() as u64).to_le_bytes());
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(data);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }
}

fn golden(name: &str) -> (Published, serde_json::Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families").join(name);
    let config = std::fs::read(folder.join("config.json")).unwrap();
    (Published::open(&folder).unwrap(), serde_json::from_slice(&config).unwrap())
}

fn plan(published: &Published) -> ModelPlan {
    let pieces = (1..published.vocabulary_size).map(|piece| piece.to_string()).collect();
    published.plan(TokenizerPlan::Vocabulary { pieces }, Precision::F32)
}

/// What llama.cpp calls a tensor of this program, by replacing words.
fn their_name(ours: &str) -> String {
    let words = [
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
        ("mlp.gate.", "ffn_gate_inp."),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ];
    words.iter().fold(ours.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
}

/// Rows of heads in halves, side by side: `[heads, 2, width / 2]` becomes `[heads, width / 2, 2]`.
fn side_by_side(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (columns, half) = (values.len() / rows, rows / heads / 2);
    let mut turned = Vec::new();
    for head in 0..heads {
        for row in 0..half {
            for part in 0..2 {
                let from = (head * 2 * half + part * half + row) * columns;
                turned.extend(&values[from..from + columns]);
            }
        }
    }
    turned
}

/// The golden model of a name as a file of an architecture.
fn file(name: &str, architecture: &str) -> (File, Published) {
    let (published, config) = golden(name);
    let mut file = described(&config, architecture);
    let layout = Layout::new(&plan(&published));
    let numbers = published.numbers(&layout).unwrap();
    let r1x_core::plan::AttentionPlan::Gqa(gqa) = &published.shape.attention else { panic!() };
    let paired = (architecture == "llama").then_some([gqa.heads, gqa.kv_heads]);
    put_tensors(&mut file, &layout, &numbers.values, paired);
    (file, published)
}

/// The keys of a file that say what a configuration says.
fn described(config: &serde_json::Value, architecture: &str) -> File {
    let mut file = File::default();
    file.text("general.architecture", architecture);
    let counts = [
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.key_length", "head_dim"),
        ("attention.value_length", "head_dim"),
        ("rope.dimension_count", "head_dim"),
        ("vocab_size", "vocab_size"),
        ("expert_count", "num_local_experts"),
        ("expert_count", "num_experts"),
        ("expert_used_count", "num_experts_per_tok"),
        ("expert_feed_forward_length", "moe_intermediate_size"),
        ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ];
    for (key, theirs) in counts {
        if let Some(count) = config[theirs].as_u64() {
            file.count(&format!("{architecture}.{key}"), count as usize);
        }
    }
    let key = |key: &str| format!("{architecture}.{key}");
    let eps = config["rms_norm_eps"].as_f64().unwrap();
    let theta = config["rope_parameters"]["rope_theta"].as_f64().unwrap();
    file.float(&key("attention.layer_norm_rms_epsilon"), eps).float(&key("rope.freq_base"), theta);
    file
}

/// Puts the tensors of a layout into a file: experts stacked, and the rows of queries and keys side by side where heads
/// are given.
fn put_tensors(file: &mut File, layout: &Layout, values: &[f32], paired: Option<[usize; 2]>) {
    let mut stacks: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for parameter in &layout.base.parameters {
        let values = &values[parameter.offset..parameter.offset + parameter.len()];
        let heads = match &parameter.name {
            name if name.contains("q_proj") => paired.map(|[queries, _]| queries),
            name if name.contains("k_proj") => paired.map(|[_, keys]| keys),
            _ => None,
        };
        let values = match heads {
            Some(heads) => side_by_side(values, parameter.shape[0], heads),
            None => values.to_vec(),
        };
        let Some((layer, rest)) = parameter.name.split_once(".mlp.experts.") else {
            let shared = parameter.name.replace("_proj", "_shexp").replace("shared_experts.", "");
            let is_shared = parameter.name.contains("shared_experts.");
            let name = their_name(if is_shared { &shared } else { &parameter.name });
            // The converter drops sides of one.
            let first = usize::from(parameter.shape[0] == 1);
            file.tensor(&name, &parameter.shape[first..], values);
            continue;
        };
        let projection = rest.split_once('.').unwrap().1.replace("_proj", "_exps");
        let name = their_name(&format!("{layer}.mlp.{projection}"));
        match stacks.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, shape, all)) => {
                shape[0] += 1;
                all.extend(values);
            }
            None => stacks.push((name, [&[1], &parameter.shape[..]].concat(), values)),
        }
    }
    for (name, shape, values) in stacks {
        file.tensor(&name, &shape, values);
    }
}

/// The path of a file, opened, must be the model of the golden folder.
fn assert_same(name: &str, file: &File, expected: &Published) {
    let (folder, path) = file.write();
    for place in [&path, folder.path()] {
        let found = Published::open(place).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.family.model_type, expected.family.model_type, "{name}");
        assert_eq!(plan(&found), plan(expected), "{name}");
        let layout = Layout::new(&plan(expected));
        let numbers = found.numbers(&layout).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(numbers, expected.numbers(&layout).unwrap(), "{name}");
    }
}

#[test]
fn a_file_is_the_model_it_was_made_from() {
    let models = [
        ("llama", "llama"),
        ("llama-biased", "llama"),
        ("smollm2", "llama"),
        ("mixtral", "llama"),
        ("qwen2", "qwen2"),
        ("qwen3", "qwen3"),
        ("qwen3-moe", "qwen3moe"),
        ("qwen3-moe-stacked", "qwen3moe"),
    ];
    for (name, architecture) in models {
        let (file, published) = file(name, architecture);
        assert_same(name, &file, &published);
    }
}

#[test]
fn a_file_of_qwen2_moe_has_shared_experts_with_a_gate() {
    // llama.cpp knows experts in every layer only, so the model is one that never was.
    let (_, mut config) = golden("qwen2-moe");
    config["decoder_sparse_step"] = 1.into();
    config["mlp_only_layers"] = serde_json::json!([]);
    let changed = Published::of_config(Path::new("m"), config.as_object().unwrap()).unwrap();
    let layout = Layout::new(&plan(&changed));
    let values: Vec<f32> = (0..layout.base.len()).map(|index| index as f32).collect();
    let mut file = described(&config, "qwen2moe");
    put_tensors(&mut file, &layout, &values, None);
    let (_folder, path) = file.write();
    let found = Published::open(&path).unwrap();
    assert_eq!((&found.shape, found.family.model_type), (&changed.shape, "qwen2_moe"));
    let numbers = found.numbers(&layout).unwrap();
    for parameter in &layout.base.parameters {
        let place = parameter.offset..parameter.offset + parameter.len();
        assert_eq!(numbers.values[place.clone()], values[place], "{}", parameter.name);
    }
}

#[test]
fn rotary_positions_are_scaled_as_keys_or_a_tensor_say() {
    let (mut linear, published) = file("llama-linear", "llama");
    linear.text("llama.rope.scaling.type", "linear").float("llama.rope.scaling.factor", 2.5);
    assert_same("llama-linear", &linear, &published);
    for (name, architecture) in [("llama-yarn", "llama"), ("qwen2-yarn", "qwen2")] {
        let (mut yarn, published) = file(name, architecture);
        let key = |key: &str| format!("{architecture}.rope.scaling.{key}");
        yarn.text(&key("type"), "yarn").float(&key("factor"), 4.0);
        yarn.count(&key("original_context_length"), 16).flag(&key("finetuned"), true);
        yarn.float(&key("yarn_beta_fast"), 2.0).float(&key("yarn_beta_slow"), 0.25);
        assert_same(name, &yarn, &published);
    }
    // The numbers of Llama 3.2 1B, by the arithmetic of llama.cpp's converter: half a head of 64, base 500 000.
    let (mut llama3, _) = file("llama3-rope", "llama");
    let factors = (0..4).map(|pair| {
        let turns = 8192.0 / (2.0 * std::f64::consts::PI) * 500_000f64.powf(-f64::from(pair) / 4.0);
        let smooth = (turns - 1.0) / 3.0;
        let factor = if turns < 1.0 { 32.0 } else { 1.0 / ((1.0 - smooth) / 32.0 + smooth) };
        (if turns > 4.0 { 1.0 } else { factor }) as f32
    });
    let factors: Vec<f32> = factors.collect();
    assert!(factors[0] == 1.0 && factors[1] == 1.0 && factors[2] > 1.5 && factors[3] == 32.0);
    llama3.float("llama.rope.freq_base", 500_000.0).tensor("rope_freqs.weight", &[4], factors);
    let (_folder, path) = llama3.write();
    let scaling = Published::open(&path).unwrap().shape.rope.scaling;
    let expected = RopeScaling::Llama3 {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 8192,
    };
    assert_eq!(scaling, expected);
    llama3.tensors.pop();
    llama3.tensor("rope_freqs.weight", &[4], vec![1.0, 2.0, 3.0, 32.0]);
    assert_eq!(told(&llama3), "`rope_freqs.weight` holds other factors than those of Llama 3");
}

/// The reason for which a file is refused.
#[track_caller]
fn told(file: &File) -> String {
    let (_folder, path) = file.write();
    let error = Published::open(&path).unwrap_err().to_string();
    error.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
}

#[test]
fn everything_wrong_with_a_file_is_said_at_once() {
    let (mut other, _) = file("llama", "llama");
    other.text("general.architecture", "gpt2");
    let known = "llama, qwen2, qwen2moe, qwen3, qwen3moe";
    assert_eq!(told(&other), format!("`general.architecture` is `gpt2`; what is known: {known}"));
    let (mut torn, _) = file("llama", "llama");
    torn.without("llama.block_count").float("llama.attention.sliding_window", 4096.0);
    torn.count("llama.rope.dimension_count", 4).text("llama.rope.scaling.type", "longrope");
    torn.text("llama.embedding_length", "wide").kinds("llama.feed_forward_length", &[1, 2]);
    assert_eq!(
        told(&torn),
        "`llama.block_count` is missing; `llama.embedding_length` is no number; \
         `llama.feed_forward_length` differs from layer to layer, which is not known; \
         `llama.rope.scaling.type` is `longrope`; what is known: none, linear and yarn; \
         `llama.rope.dimension_count` is 4, and only 6 is known here; \
         `llama.attention.sliding_window` is not known"
    );
}

#[test]
fn every_tensor_of_a_file_that_does_not_fit_is_named() {
    let (mut file, published) = file("mixtral", "llama");
    file.tensors.retain(|(name, ..)| name != "blk.1.ffn_up_exps.weight" && name != "output.weight");
    file.tensors[1].1 = vec![8, 3];
    file.tensor("blk.0.ffn_gate_inp_shexp.weight", &[1], vec![1.0]);
    let (_folder, path) = file.write();
    let found = Published::open(&path).unwrap();
    assert!(found.tie_embeddings && !published.tie_embeddings);
    let error = found.numbers(&Layout::new(&plan(&found))).unwrap_err().to_string();
    let expected = "its tensors are not those of its configuration: 1 missing: blk.1.ffn_up_exps.weight; \
         1 misshapen: blk.0.attn_norm.weight is [8, 3], not [24]; 1 surplus: blk.0.ffn_gate_inp_shexp.weight";
    assert_eq!(error, format!("{}: {expected}", path.display()));
    // A folder of several files is none of them, and safetensors alone say no shape.
    std::fs::copy(&path, path.with_file_name("other.gguf")).unwrap();
    let error = Published::open(path.parent().unwrap()).unwrap_err().to_string();
    assert!(error.contains("holds 2 GGUF files"), "{error}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families/llama");
    let renamed = path.with_file_name("renamed.safetensors");
    std::fs::copy(folder.join("model.safetensors"), &renamed).unwrap();
    let error = Published::open(&renamed).unwrap_err().to_string();
    assert!(error.contains("give the folder with its config.json"), "{error}");
}

#[test]
#[ignore = "needs models/smollm2"]
fn smollm2_has_the_shape_and_the_numbers_that_transformers_reads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/smollm2");
    let found = Published::open(Path::new(folder)).unwrap();
    assert_eq!((found.family.model_type, found.layers, found.hidden_size), ("llama", 30, 576));
    assert!(found.tie_embeddings && found.shape.norm_eps == 1e-5 && found.shape.rope.theta == 1e5);
    let layout = Layout::new(&plan(&found));
    let numbers = found.numbers(&layout).unwrap();
    assert_eq!(numbers.values.len(), 134_515_008);
    let files = WeightFiles::open(folder).unwrap();
    let query = &layout.base.parameters[2];
    let mut rows = vec![0.0; query.len()];
    files.read("blk.0.attn_q.weight", &mut rows).unwrap();
    assert_eq!(query.name, "model.layers.0.self_attn.q_proj.weight");
    let read = &numbers.values[query.offset..query.offset + query.len()];
    assert_eq!(side_by_side(read, 576, 9), rows);
    // sha256 of all numbers in layout order, little-endian f32, of the model as transformers has it.
    let bytes: Vec<u8> = numbers.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(crate::checkpoint::sha256(&bytes), SMOLLM2);
}

/// Made from `model.safetensors` of the conversion by the Python package `gguf` 0.19.0, whose queries and keys were
/// turned by hand and compared with those of transformers 5.24.0.
const SMOLLM2: &str = "2899813afdca87ee1adacf264547c2468ce3b70e8625a1b61650d3ced24a4e4c";
