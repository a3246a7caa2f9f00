//! Errors of the model boundary, with what, where and how to mend.

use r1x_core::{Boundary, PortError};

/// Something about a model, tokenizer or checkpoint is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A word that is no token.
    #[error("`{word}` is not in the vocabulary of {size} tokens (in `{text}`)")]
    UnknownWord {
        /// The word.
        word: String,
        /// The text it stands in, shortened.
        text: String,
        /// Vocabulary size.
        size: usize,
    },
    /// A vocabulary that cannot be used.
    #[error("vocabulary: {0}")]
    Vocabulary(String),
    /// A `tokenizer.json` that cannot be used.
    #[error("tokenizer {path}: {reason}")]
    Tokenizer {
        /// Its path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint that cannot be read.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// Its path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A published model that cannot be used.
    #[error("{path}: {reason}")]
    Published {
        /// Its file or folder.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A path that leads to something else than a published model.
    #[error("{path}: {reason}")]
    Mistaken {
        /// Its file or folder.
        path: String,
        /// What it is.
        reason: &'static str,
        /// What to do instead.
        hint: String,
    },
    /// A model that no published family has keys for.
    #[error("no published family can say this model; `{family}` is nearest: {reason}")]
    Unpublishable {
        /// The family with the fewest differences.
        family: String,
        /// What it cannot say.
        reason: String,
    },
    /// A folder that was to be written is there already.
    #[error("{path} is there already")]
    Exists {
        /// Its path.
        path: String,
    },
    /// Weight files that cannot be read or written.
    #[error(transparent)]
    Weights(#[from] r1x_weights::WeightsError),
    /// A checkpoint with a number that is not finite.
    #[error("checkpoint {path}: `{name}` holds {value}, so nothing can be computed with it")]
    NotFinite {
        /// Its path.
        path: String,
        /// The first tensor that does.
        name: String,
        /// The number.
        value: f32,
    },
    /// A file that cannot be written or read.
    #[error("{path}: {source}")]
    Io {
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A sequence that does not fit.
    #[error("a sequence of {length} tokens does not fit the context length {limit}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Tokens that are asked about beside targets, and cannot be.
    #[error(
        "every target of a batch needs {width} further tokens, each one of the {tokens} that the model has"
    )]
    Candidates {
        /// How many the first sequence has at each target.
        width: usize,
        /// The tokens of the model.
        tokens: usize,
    },
    /// A prompt without a token.
    #[error("a prompt has no token, so there is nothing to go on from")]
    EmptyPrompt,
    /// Exact lengths that no generation can have.
    #[error("lengths {lengths:?} were asked of {samples} samples of at most {limit} tokens")]
    Lengths {
        /// The lengths.
        lengths: Vec<usize>,
        /// How many samples there are.
        samples: usize,
        /// The longest possible sample.
        limit: usize,
    },
    /// A token id that no embedding has.
    #[error("token {token} is outside the vocabulary of {size}")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Vocabulary size.
        size: usize,
    },
    /// A parameter that does not fit the planned model.
    #[error("parameter {name} {problem}")]
    Parameter {
        /// Its name in checkpoints.
        name: String,
        /// What is wrong, as the rest of the sentence.
        problem: String,
    },
    /// A parameter that the tape passed over.
    #[error("parameter {name} got no gradient")]
    NoGradient {
        /// Its name in checkpoints.
        name: String,
    },
    /// Scoring with frozen weights that do not exist.
    #[error("there are no frozen weights called `{name}` to score with")]
    NotFrozen {
        /// The name that was asked for.
        name: String,
    },
    /// Frozen weights that cannot be kept.
    #[error("weights cannot be kept as `{name}`: {reason}")]
    Freeze {
        /// The name they were to have.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An average for a model with adapters, which plans are refused for: the average of factors is not that of their
    /// products.
    #[error("a model with adapters cannot become an average")]
    AverageOfAdapters,
    /// Learning with weights that were loaded to answer with.
    #[error("the weights of this model are frozen, so it cannot learn")]
    Frozen,
    /// Sampling from a model that says values.
    #[error("the model has a value head: it says a number at each position and cannot write")]
    Wordless,
    /// A value head beside something that needs a head over the vocabulary, or adapters, which train no head.
    #[error("a model with a value head has no `{beside}`")]
    BesideValueHead {
        /// The key of the plan.
        beside: &'static str,
    },
    /// Something candle could not compute.
    #[error("tensor computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// Scoring with frozen weights that do not exist.
    pub(crate) fn not_frozen(name: &str) -> Self {
        Self::NotFrozen { name: name.to_owned() }
    }
}

impl From<ModelError> for PortError {
    fn from(error: ModelError) -> Self {
        let (boundary, hint) = match &error {
            ModelError::UnknownWord { .. } => (
                Boundary::Data,
                "add the word to `model.tokenizer.vocabulary`, or use `tokenizer: {data: ...}`",
            ),
            ModelError::Vocabulary(_) => (Boundary::Spec, "mend `model.tokenizer` in the spec"),
            ModelError::Tokenizer { .. } => (
                Boundary::Model,
                "check the path and `eos` under `model.tokenizer`; a run needs the file it was started with",
            ),
            ModelError::Checkpoint { .. } => {
                (Boundary::Model, "use another checkpoint of the run, or start the run again")
            }
            ModelError::Mistaken { hint, .. } => (Boundary::Model, hint.as_str()),
            ModelError::Published { .. } => (
                Boundary::Model,
                "use a folder as `save_pretrained` of transformers writes it, or a GGUF file",
            ),
            ModelError::Unpublishable { .. } => (
                Boundary::Model,
                "docs/models.md lists what families can say; r1x itself reads the checkpoint as it is",
            ),
            ModelError::Exists { .. } => {
                (Boundary::Model, "give a path where nothing is, or remove what is there")
            }
            ModelError::Weights(weights) => {
                return PortError::new(Boundary::Model, error.to_string(), weights.hint());
            }
            ModelError::NotFinite { .. } => (
                Boundary::Diverged,
                "use an earlier checkpoint, and lower the learning rate before going on from it",
            ),
            ModelError::Io { source, .. } => of_file(source.kind()),
            ModelError::TooLong { .. } => {
                (Boundary::Data, "raise `model.context_length`, or lower `max_tokens`")
            }
            ModelError::EmptyPrompt => (Boundary::Data, "give every prompt at least one token"),
            ModelError::Lengths { .. } => {
                (Boundary::Data, "give one length a sample, each from 1 to `max_tokens`")
            }
            ModelError::UnknownToken { .. } | ModelError::Candidates { .. } => {
                (Boundary::Data, "use the tokenizer the model was made with")
            }
            ModelError::NotFrozen { .. } => (
                Boundary::Model,
                "go on from another checkpoint of the run: its stage compares with weights that this one lacks",
            ),
            ModelError::Freeze { .. } | ModelError::Frozen | ModelError::AverageOfAdapters => {
                (Boundary::Internal, "this is a bug in r1x: please report it")
            }
            ModelError::Wordless => (
                Boundary::Spec,
                "sample from a model with `head: vocabulary`; one with `head: value` judges and is trained as a reward model",
            ),
            ModelError::BesideValueHead { .. } => {
                (Boundary::Spec, "take that key out of the model, or write `head: vocabulary`")
            }
            ModelError::Parameter { .. } => {
                (Boundary::Model, "use weights of the same `model` section, or mend the section")
            }
            ModelError::NoGradient { .. } => {
                (Boundary::Internal, "this is a bug in r1x: please report it with the spec")
            }
            ModelError::Tensor(_) => {
                (Boundary::Device, "lower `micro_batch_size`, or run with `--device cpu`")
            }
        };
        PortError::new(boundary, error.to_string(), hint)
    }
}

/// Whose error it is that a file cannot be used, and how to mend it.
fn of_file(kind: std::io::ErrorKind) -> (Boundary, &'static str) {
    match kind {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            (Boundary::Device, "free some disk space, then `r1x resume`; nothing recorded is lost")
        }
        std::io::ErrorKind::NotFound => (
            Boundary::Model,
            "check the path; a checkpoint of a run is a folder such as runs/NAME/STAGE/final",
        ),
        _ => (Boundary::Model, "check that the folder exists and may be written"),
    }
}
