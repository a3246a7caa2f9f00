//! The files of a checkpoint: the one that is changed, with the hashes that the others need to be looked at.

use std::path::{Path, PathBuf};

use r1x_core::Learner;
use r1x_core::digest::sha256;
use r1x_core::plan::{FeedForwardPlan, ModelPlan};
use r1x_core::port::Cursor;
use r1x_core::testing;
use r1x_model::{DecoderPolicy, Model};
use serde_json::Value;

use super::{Read, Target, failed, said};

/// The target.
pub const TARGET: Target = Target {
    name: "checkpoint",
    reads: "state.json, model.safetensors and optimizer.safetensors of a checkpoint",
    files: &[],
    words: &["\"F32\"", "\"BF16\"", "\"shape\":[", "\"data_offsets\":[0,", "first.", "reference."],
    make,
};

fn plan() -> ModelPlan {
    ModelPlan { feed_forward: FeedForwardPlan::Moe(testing::mixture()), ..testing::tiny_model() }
}

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let (folder, name) = (folder.to_owned(), "saved");
    let mut policy: DecoderPolicy<f32> =
        DecoderPolicy::new(&plan(), 1, 1, folder.clone()).map_err(failed)?;
    policy.freeze(r1x_core::port::REFERENCE).map_err(failed)?;
    policy.save(name, &Cursor::default()).map_err(failed)?;
    let saved = folder.join(name);
    let files = ["state.json", "model.safetensors", "optimizer.safetensors"];
    let whole = files.map(|file| std::fs::read(saved.join(file)));
    let [state, model, optimizer] = whole;
    let (state, model, optimizer) = (state?, model?, optimizer?);
    let seeds = vec![state.clone(), model.clone(), optimizer.clone()];
    let mut files = Files { folder: saved, state, model, optimizer };
    let read = move |input: &[u8]| files.read(&mut policy, input);
    Ok((Box::new(read), seeds))
}

struct Files {
    folder: PathBuf,
    state: Vec<u8>,
    model: Vec<u8>,
    optimizer: Vec<u8>,
}

impl Files {
    /// Loads the checkpoint with the input in the place of the file it looks like.
    fn read(&mut self, policy: &mut DecoderPolicy<f32>, input: &[u8]) -> String {
        let is_state = input.trim_ascii_start().starts_with(b"{");
        let says = |word: &[u8]| input.windows(word.len()).any(|window| window == word);
        let (state, model, optimizer) = match (is_state, says(b"first.")) {
            (true, _) => (input.to_vec(), &self.model[..], &self.optimizer[..]),
            (false, true) => (self.hashed("optimizer_sha256", input), &self.model[..], input),
            (false, false) => (self.hashed("model_sha256", input), input, &self.optimizer[..]),
        };
        let files = [
            ("state.json", &state[..]),
            ("model.safetensors", model),
            ("optimizer.safetensors", optimizer),
        ];
        for (file, bytes) in files {
            if let Err(error) = std::fs::write(self.folder.join(file), bytes) {
                return error.to_string();
            }
        }
        let loaded = Model::load(policy, &self.folder, &r1x_model::Expected::ANYTHING);
        said(loaded.map_err(|error| error.message))
    }

    /// The state with the hash of a changed file, and of the first format, which has no seal: so that the file is read.
    fn hashed(&self, key: &str, bytes: &[u8]) -> Vec<u8> {
        let mut state: Value = serde_json::from_slice(&self.state).unwrap_or_default();
        state[key] = Value::from(sha256(bytes));
        state["format"] = 1.into();
        state.to_string().into_bytes()
    }
}
