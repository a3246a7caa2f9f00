//! Models as hubs publish them: a folder with `config.json` and weights.
//!
//! A configuration is read into the shape of a plan; which keys mean what is said by its family
//! ([`FAMILIES`](family::FAMILIES)). Weights are read from whatever files there are, and the names that differ are
//! renamed. An unknown `model_type`, activation or kind of rotary positions is an error that lists what is known.

mod config;
mod ending;
pub mod family;
mod hash;
mod load;
mod names;
mod rope;
pub mod score;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use r1x_core::plan::{InitialWeights, ModelPlan, Precision, TokenizerPlan};
use r1x_weights::WeightFiles;
use serde_json::{Map, Value};

use self::config::Keys;
pub use self::ending::eos_token;
use self::family::{FAMILIES, Family, Shape};
use crate::checkpoint::Numbers;
use crate::error::ModelError;
use crate::layout::Layout;

/// The name of a configuration.
const CONFIG: &str = "config.json";
/// More than any configuration takes, bytes.
const MOST_CONFIG_BYTES: u64 = 16 << 20;

/// A published model: its configuration, read, and where its files are.
#[derive(Clone, Debug)]
pub struct Published {
    folder: PathBuf,
    /// Its family.
    pub family: &'static Family,
    /// Its layers.
    pub shape: Shape,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Longest sequence, tokens.
    pub context_length: usize,
    /// Rows of the embedding.
    pub vocabulary_size: usize,
    /// Whether the embedding serves as output head.
    pub tie_embeddings: bool,
    /// Standard deviation of fresh weights.
    pub init_std: f64,
}

impl Published {
    /// Reads the configuration of a folder.
    ///
    /// # Errors
    /// When there is none, it is no JSON, or its keys do not say a model that is known; all that is wrong is said.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(CONFIG);
        let error = |source| ModelError::Io { path: path.display().to_string(), source };
        let text = r1x_files::read(&path, MOST_CONFIG_BYTES).map_err(error)?;
        Self::read(folder, &path.display().to_string(), &text)
    }

    fn read(folder: &Path, path: &str, text: &[u8]) -> Result<Self, ModelError> {
        let error = |reason: String| ModelError::Published { path: path.to_owned(), reason };
        let map: Map<String, Value> =
            serde_json::from_slice(text).map_err(|problem| error(problem.to_string()))?;
        let problems = RefCell::new(Vec::new());
        let keys = Keys::new(&map, &problems);
        let found = family(&keys);
        let read = found.map(|family| Self {
            folder: folder.to_owned(),
            family,
            shape: (family.shape)(&keys),
            hidden_size: keys.needed("hidden_size"),
            layers: keys.needed("num_hidden_layers"),
            context_length: keys.needed("max_position_embeddings"),
            vocabulary_size: keys.needed("vocab_size"),
            tie_embeddings: keys.flag("tie_word_embeddings").unwrap_or(false),
            init_std: keys.positive_or("initializer_range", 0.02),
        });
        match (read, &problems.borrow()[..]) {
            (Some(published), []) => Ok(published),
            (_, problems) => Err(error(problems.join("; "))),
        }
    }

    /// The weights of the folder as what a plan begins with: their hash is taken, and no number is read.
    ///
    /// # Errors
    /// When a file of its weights cannot be read.
    pub fn begin_with(&self) -> Result<InitialWeights, ModelError> {
        let folder = self.folder.display().to_string();
        Ok(InitialWeights::Published { folder, sha256: hash::sha256(&self.folder)? })
    }

    /// The plan of the model with a tokenizer, whose products have factors of this precision, and whose weights are
    /// random.
    pub fn plan(&self, tokenizer: TokenizerPlan, precision: Precision) -> ModelPlan {
        let Shape { attention, feed_forward, rope, norm_eps } = self.shape.clone();
        ModelPlan {
            initial: InitialWeights::Random,
            tokenizer,
            vocabulary_size: self.vocabulary_size,
            hidden_size: self.hidden_size,
            layers: self.layers,
            context_length: self.context_length,
            attention,
            feed_forward,
            tie_embeddings: self.tie_embeddings,
            rope,
            norm_eps,
            init_std: self.init_std,
            precision,
            recompute_activations: false,
        }
    }

    /// The weights that a plan says, in the order of a layout, from a folder that must be the one of the plan.
    ///
    /// # Errors
    /// When its files are others than those of the plan, and as those of [`Published::numbers`].
    pub(crate) fn planned(
        folder: &str,
        sha256: &str,
        layout: &Layout,
    ) -> Result<Numbers, ModelError> {
        let published = Self::open(Path::new(folder))?;
        let found = hash::sha256(&published.folder)?;
        if found != sha256 {
            let reason = format!("it has changed: its sha256 is {found}, the plan says {sha256}");
            return Err(ModelError::Published { path: folder.to_owned(), reason });
        }
        published.numbers(layout)
    }

    /// The weights of the folder, in the order of a layout of this model.
    ///
    /// # Errors
    /// When there are no weights or several, tensors are missing, surplus or misshapen (all are named), or a number is
    /// not finite.
    pub(crate) fn numbers(&self, layout: &Layout) -> Result<Numbers, ModelError> {
        load::numbers(&WeightFiles::open(&self.folder)?, layout, self.family.renamed)
    }
}

/// The family that a configuration names, and what every family has in common is as it must be.
fn family(keys: &Keys<'_>) -> Option<&'static Family> {
    let activation = keys.word("hidden_act").or_else(|| keys.word("hidden_activation"));
    if let Some(other) = activation.filter(|word| !["silu", "swish"].contains(word)) {
        keys.problem("hidden_act", format_args!("is `{other}`; what is known: silu"));
    }
    let Some(named) = keys.word("model_type") else {
        keys.problem("model_type", "is missing");
        return None;
    };
    let found = FAMILIES.iter().find(|family| family.model_type == named);
    if found.is_none() {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.model_type).collect();
        let message = format!("is `{named}`; what is known: {}", known.join(", "));
        keys.problem("model_type", message);
    }
    found
}
