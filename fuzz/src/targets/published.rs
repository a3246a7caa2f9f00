//! Folders of published models, and GGUF files with a model in them: a configuration beside small weights, read as far
//! as a look at it goes.

use std::path::Path;

use r1x_core::plan::{Precision, TokenizerPlan};
use r1x_model::{ModelError, Published};

use super::{Read, Target, said};
use crate::corpus::root;

/// The target.
pub const TARGET: Target = Target {
    name: "published",
    reads: "configurations of published models, and models in GGUF",
    files: &[
        "crates/r1x-model/tests/golden/families/llama/config.json",
        "crates/r1x-model/tests/golden/families/llama3-rope/config.json",
        "crates/r1x-model/tests/golden/families/qwen2-moe/config.json",
        "crates/r1x-model/tests/golden/families/qwen2-window/config.json",
        "crates/r1x-model/tests/golden/families/mixtral-window/config.json",
        "crates/r1x-model/tests/golden/families/glm4-moe/config.json",
        "crates/r1x-model/tests/golden/families/deepseek-v3/config.json",
    ],
    words: &[
        "1000000000000",
        "4096",
        "16777216",
        "null",
        "\"num_hidden_layers\": 4096",
        "\"model_type\": \"deepseek_v3\"",
        "\"model_type\": \"mixtral\"",
        "\"n_routed_experts\": 4096",
        "\"use_sliding_window\": true",
        "\"rope_scaling\": {\"type\": \"yarn\"}",
        "\"mlp_only_layers\": [0]",
        "llama.block_count",
        "llama.expert_count",
        "blk.0.attn_q.weight",
        "GGUF",
    ],
    make,
};

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let weights = "crates/r1x-model/tests/golden/families/llama/model.safetensors";
    let hub = folder.join("hub");
    std::fs::create_dir(&hub)?;
    std::fs::copy(root().join(weights), hub.join("model.safetensors"))?;
    let folder = folder.to_owned();
    Ok((Box::new(move |input| read(&folder, input)), Vec::new()))
}

fn read(folder: &Path, input: &[u8]) -> String {
    let is_file = input.starts_with(b"GGUF");
    let (written, opened) = match is_file {
        true => (folder.join("model.gguf"), folder.join("model.gguf")),
        false => (folder.join("hub").join("config.json"), folder.join("hub")),
    };
    match std::fs::write(&written, input) {
        Ok(()) => said(look(&opened)),
        Err(error) => error.to_string(),
    }
}

/// Everything that a look at a model reads; no number of it.
fn look(path: &Path) -> Result<(), ModelError> {
    let published = Published::open(path)?;
    let plan = published.plan(TokenizerPlan::Vocabulary { pieces: Vec::new() }, Precision::F32);
    let _ = r1x_spec::parameters(&plan);
    let texts = published.texts().map(|_| ());
    let stored = published.stored().map(|_| ());
    // A model without words can be looked at all the same.
    stored.and(match path.is_dir() {
        true => Ok(()),
        false => texts,
    })
}
