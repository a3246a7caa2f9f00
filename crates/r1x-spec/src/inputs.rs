//! What the reading of a spec needs to know of the world outside it, as a trait others implement.

use std::io;
use std::path::{Path, PathBuf};

use r1x_core::plan::{DataPlan, LoraPlan, ModelPlan};
use r1x_core::{Capability, Markup};

/// What a reward plugin says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginFacts {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Columns of a problem it needs.
    pub columns: Vec<String>,
    /// Columns it reads where they are.
    pub optional_columns: Vec<String>,
    /// Names of its sub-scores.
    pub parts: Vec<String>,
    /// What it asks for beyond text.
    pub asks: Vec<Capability>,
}

/// Why a plugin or a data set cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, in one sentence; below it may stand the lines that a tool printed.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal that says how to mend it.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

/// What is known of a data set once it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataFacts {
    /// sha256 of its file, lower-case hex; `None` when it is generated.
    pub sha256: Option<String>,
    /// Columns its problems can have, which rewards may ask for.
    pub columns: Vec<String>,
    /// Columns of the file that the spec does not list and so leaves out.
    pub unlisted: Vec<String>,
    /// Training and held-out problems, where they were counted.
    pub problems: Option<(usize, usize)>,
}

/// What is known of a published model once its configuration was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFacts {
    /// Its plan, with its weights, but for its tokenizer and its precision.
    pub plan: ModelPlan,
    /// How many modules of multi-token prediction its weights have; none of them is in the plan.
    pub mtp_depth: usize,
    /// Its `tokenizer.json`, where it has one.
    pub tokenizer: Option<PathBuf>,
    /// The tokens any of which ends a text, as `tokenizer.json` writes them; none where its files say none.
    pub eos: Vec<String>,
}

/// How a spec names a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointName {
    /// By its folder.
    Folder(PathBuf),
    /// By the run that has written it.
    OfRun {
        /// The run, as commands take it.
        run: String,
        /// The checkpoint in it: its name, or the id of a stage, whose last one is meant.
        checkpoint: String,
    },
}

/// What is known of a checkpoint that a model begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFacts {
    /// Its folder.
    pub folder: String,
    /// sha256 of its weights, lower-case hex.
    pub sha256: String,
}

/// What is known of a `tokenizer.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenizerFacts {
    /// How many tokens it has.
    pub tokens: usize,
    /// The token that it puts before every text, where it puts one.
    pub start: Option<String>,
    /// Texts that it turns into tokens with a meaning of their own.
    pub reserved: Vec<String>,
}

/// What the files beside a `tokenizer.json` say of texts and conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatFacts {
    /// The token that begins a sequence.
    pub bos: Option<String>,
    /// The token that ends one.
    pub eos: Option<String>,
    /// Whether the token that begins a sequence stands before a text; `None` where the tokenizer says it.
    pub adds_bos: Option<bool>,
    /// The source of the chat template, or why it cannot be had; `None` where there is none.
    pub template: Option<Result<String, Refusal>>,
}

impl ChatFacts {
    /// The token that stands before a prompt that is a text: the tokenizer's own, unless these files say otherwise.
    pub fn before_texts(&self, tokenizer: &TokenizerFacts) -> Option<String> {
        match self.adds_bos {
            Some(true) => self.bos.clone(),
            Some(false) => None,
            None => tokenizer.start.clone(),
        }
    }
}

/// Why a data set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataRefusal {
    /// Its file cannot be read, in one sentence.
    Unreadable(String),
    /// What it holds or how it is described is wrong.
    Unusable(Refusal),
}

/// The world outside the spec. Errors that are text say in one sentence what is wrong.
pub trait Inputs {
    /// The first `limit_bytes` bytes of a file, or all of it when it is shorter.
    ///
    /// # Errors
    /// What the file system says.
    fn read(&self, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>>;

    /// sha256, lower-case hex.
    fn sha256(&self, bytes: &[u8]) -> String;

    /// The vocabulary a data set builds for its problems, without the end of the sequence.
    ///
    /// # Errors
    /// When the data set has none or cannot be read.
    fn vocabulary(&self, id: &str, data: &DataPlan) -> Result<Vec<String>, String>;

    /// Checks a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is no tokenizer or lacks one of the tokens that end a sequence.
    fn tokenizer(&self, bytes: &[u8], eos: &[String]) -> Result<TokenizerFacts, String>;

    /// Looks at the files beside a `tokenizer.json`.
    ///
    /// # Errors
    /// When one is there and is not what it should be, other than a chat template.
    fn chat(&self, _folder: &Path) -> Result<ChatFacts, Refusal> {
        Ok(ChatFacts::default())
    }

    /// Looks at a published model: its configuration and the hash of its weights.
    ///
    /// # Errors
    /// When it has no configuration or no weights, or its configuration says a model that is not known.
    fn published(&self, folder: &Path) -> Result<ModelFacts, Refusal> {
        Err(Refusal::from(format!("{} cannot be read here", folder.display())))
    }

    /// Reads the checkpoint that a model is to begin with.
    ///
    /// # Errors
    /// When there is none of the name, when it is damaged, and when it holds other weights than the model trains, or
    /// those of a model that computes otherwise.
    fn checkpoint(&self, _: &CheckpointName, _: &ModelPlan) -> Result<CheckpointFacts, Refusal> {
        Err(Refusal::from("no checkpoint is looked for here".to_owned()))
    }

    /// Looks at the adapters of a model in a folder as PEFT writes one: their plan, with their numbers.
    ///
    /// # Errors
    /// When it holds no adapters, or those of another model, or some that are not known.
    fn adapters(&self, folder: &Path, _model: &ModelPlan) -> Result<LoraPlan, Refusal> {
        Err(Refusal::from(format!("{} cannot be read here", folder.display())))
    }

    /// Looks at a data set whose plan says everything but the hash of its file, and checks every row of a file. Its
    /// prompts are written with the markup of the model.
    ///
    /// # Errors
    /// When the data set cannot be read or built.
    fn data(&self, id: &str, data: &DataPlan, markup: &Markup) -> Result<DataFacts, DataRefusal>;

    /// The component of a plugin: the path itself, or what its sources are built to.
    ///
    /// # Errors
    /// When it does not build.
    fn component(&self, path: &Path) -> Result<PathBuf, Refusal> {
        Ok(path.to_owned())
    }

    /// Whether a capability can be had on this machine.
    ///
    /// # Errors
    /// When it cannot, with what to do about it.
    fn ready(&self, _: Capability) -> Result<(), String> {
        Ok(())
    }

    /// Loads a plugin, configures it, and tells what it says about itself.
    ///
    /// # Errors
    /// When it is no reward plugin or refuses its configuration.
    fn plugin(&self, path: &Path, bytes: &[u8], config_json: &str) -> Result<PluginFacts, Refusal>;
}
