//! Models as hubs publish them: a folder with `config.json` and weights, or one GGUF file.
//!
//! A configuration is read into the shape of a plan; which keys mean what is said by its family
//! ([`FAMILIES`]). Weights are read from whatever files there are, and the names that differ are
//! renamed. An unknown `model_type`, activation or kind of rotary positions is an error that lists what is known.

pub mod adapter;
mod bounds;
mod config;
mod ending;
pub mod family;
mod gguf;
mod hash;
#[cfg(test)]
mod hostile_tests;
mod load;
mod names;
mod rope;
pub mod save;
#[cfg(test)]
mod save_tests;
pub mod score;
#[cfg(test)]
mod tests;
pub mod texts;
#[cfg(test)]
mod value_tests;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use r1x_core::Rng;
use r1x_core::plan::{HeadPlan, InitialWeights, ModelPlan, MtpPlan, Precision, TokenizerPlan};
pub use r1x_weights::SaveDtype;
use r1x_weights::{Format, INDEX, MODEL, WeightFiles, WeightsError};
use serde_json::{Map, Value};

use self::bounds::{MOST_LAYERS, MOST_MTP_LAYERS};
use self::config::Keys;
pub use self::ending::eos_tokens;
use self::family::{FAMILIES, Family, Shape};
pub use self::hash::files;
use self::load::Tensors;
use self::names::Naming;
use self::texts::{TOKENIZER, Texts};
use crate::checkpoint::{Numbers, STATE, Sink};
use crate::error::ModelError;
use crate::layout::Layout;
use crate::weights::draw_one;

/// The name of a configuration.
const CONFIG: &str = "config.json";
/// More than any configuration takes, bytes.
const MOST_CONFIG_BYTES: u64 = 16 << 20;

/// A published model: its configuration, read, and where its files are.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its folder, or the one file that it is.
    path: PathBuf,
    naming: Naming,
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
    /// What the model says at a position.
    pub head: HeadPlan,
    /// Whether the embedding serves as output head, where there is one over the vocabulary.
    pub tie_embeddings: bool,
    /// Standard deviation of fresh weights.
    pub init_std: f64,
    /// Modules of multi-token prediction behind the layers, as the configuration says: their weights may be in the files
    /// or not, and nothing but training reads them.
    pub mtp_layers: usize,
}

impl Published {
    /// Reads what a folder or a `.gguf` file says about its model. In a folder `config.json` counts where it is,
    /// unless the only weights beside it are one `.gguf`, which says everything itself.
    ///
    /// # Errors
    /// When there is neither, the configuration is no JSON, or its keys do not say a model that is known; all that is
    /// wrong is said.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if let Some((reason, hint)) = mistaken(path) {
            let path = path.display().to_string();
            return Err(ModelError::Mistaken { path, reason, hint });
        }
        let config = path.join(CONFIG);
        let has_tensors = [MODEL, INDEX].iter().any(|name| path.join(name).exists());
        if path.is_dir() && (has_tensors || (config.exists() && !has_gguf(path))) {
            let error = |source| ModelError::Io { path: config.display().to_string(), source };
            let text = r1x_files::read(&config, MOST_CONFIG_BYTES).map_err(error)?;
            return Self::read(path, &config.display().to_string(), &text);
        }
        Self::of_gguf(&WeightFiles::open(path)?)
    }

    fn read(folder: &Path, path: &str, text: &[u8]) -> Result<Self, ModelError> {
        let error = |reason: String| ModelError::Published { path: path.to_owned(), reason };
        let map: Map<String, Value> =
            serde_json::from_slice(text).map_err(|problem| error(problem.to_string()))?;
        Self::of_config(folder, &map).map_err(|problems| error(problems.join("; ")))
    }

    fn of_gguf(files: &WeightFiles) -> Result<Self, ModelError> {
        let path = files.path();
        let error =
            |reason: String| ModelError::Published { path: path.display().to_string(), reason };
        if files.format() != Format::Gguf {
            let reason = "it is no GGUF file, which says everything itself: give the folder with its config.json";
            return Err(error(reason.to_owned()));
        }
        let found = gguf::describe(files).and_then(|described| {
            let published = Self::of_config(path, &described.config)?;
            Ok(Self { naming: Naming::Gguf(described.names), ..published })
        });
        found.map_err(|problems| error(problems.join("; ")))
    }

    /// A model by the keys of its configuration, or what is wrong with them.
    fn of_config(path: &Path, map: &Map<String, Value>) -> Result<Self, Vec<String>> {
        let problems = RefCell::new(Vec::new());
        let keys = Keys::new(map, &problems);
        let found = family(&keys);
        let read = found.map(|family| Self {
            path: path.to_owned(),
            naming: Naming::Hub(family.renamed),
            family,
            shape: (family.shape)(&keys),
            hidden_size: keys.needed("hidden_size"),
            layers: keys.needed_up_to("num_hidden_layers", MOST_LAYERS),
            context_length: keys.needed("max_position_embeddings"),
            vocabulary_size: keys.needed("vocab_size"),
            head: head(&keys),
            tie_embeddings: keys.flag("tie_word_embeddings").unwrap_or(false),
            init_std: keys.positive_or("initializer_range", 0.02),
            mtp_layers: mtp_layers(&keys),
        });
        match read {
            Some(published) if problems.borrow().is_empty() => {
                let problems = bounds::problems(&published.plan_of_shape());
                if problems.is_empty() { Ok(published) } else { Err(problems) }
            }
            _ => Err(problems.take()),
        }
    }

    /// The weights of the folder as what a plan begins with: their hash is taken, and no number is read.
    ///
    /// # Errors
    /// When a file of its weights cannot be read.
    pub fn begin_with(&self) -> Result<InitialWeights, ModelError> {
        let folder = self.path.display().to_string();
        Ok(InitialWeights::Published { folder, sha256: hash::sha256(&self.path)? })
    }

    /// The plan of the model with a tokenizer that stands for any.
    pub(crate) fn plan_of_shape(&self) -> ModelPlan {
        self.plan(TokenizerPlan::Vocabulary { pieces: Vec::new() }, Precision::F32)
    }

    /// How many modules of multi-token prediction have weights in the files. The configuration may say more of them than
    /// there are: transformers writes 1 where nothing was said.
    ///
    /// # Errors
    /// When the weights cannot be opened.
    pub fn stored_mtp(&self) -> Result<usize, ModelError> {
        let layers = self.layers..self.layers + self.mtp_layers;
        if layers.is_empty() {
            return Ok(0);
        }
        let files = WeightFiles::open(&self.path)?;
        let projection = |layer| format!("model.layers.{layer}.eh_proj.weight");
        Ok(layers.take_while(|layer| files.get(&projection(*layer)).is_some()).count())
    }

    /// [`Published::plan_of_shape`], with modules of multi-token prediction where their weights are in the files.
    ///
    /// # Errors
    /// When the weights cannot be opened.
    fn stored_plan(&self) -> Result<ModelPlan, ModelError> {
        let depth = self.stored_mtp()?;
        let mtp = (depth > 0).then_some(MtpPlan { depth, weight: 0.0 });
        Ok(ModelPlan { mtp, ..self.plan_of_shape() })
    }

    /// The plan of the model with a tokenizer, whose products have factors of this precision, and whose weights are
    /// random. Modules of multi-token prediction are not part of it: who trains them says so.
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
            head: self.head,
            tie_embeddings: self.tie_embeddings,
            rope,
            norm_eps,
            init_std: self.init_std,
            precision,
            recompute_activations: false,
            lora: None,
            mtp: None,
        }
    }

    /// The name of its class in transformers, which is another one where it says values.
    pub fn class(&self) -> String {
        class(self.family, self.head)
    }

    /// The model of a folder that a plan names, which must be the one of the plan.
    ///
    /// # Errors
    /// When its configuration cannot be read, or its files are others than those of the plan.
    pub fn planned(folder: &str, sha256: &str) -> Result<Self, ModelError> {
        let published = Self::open(Path::new(folder))?;
        let found = hash::sha256(&published.path)?;
        if found != sha256 {
            let reason = format!("it has changed: its sha256 is {found}, the plan says {sha256}");
            return Err(ModelError::Published { path: folder.to_owned(), reason });
        }
        Ok(published)
    }

    /// How the numbers of the model are stored; `None` where there are none beside the configuration.
    ///
    /// # Errors
    /// When weights are there and cannot be read, or their tensors are not those of the configuration.
    pub fn stored(&self) -> Result<Option<Stored>, ModelError> {
        let files = match WeightFiles::open(&self.path) {
            Err(WeightsError::NoWeights { .. }) => return Ok(None),
            files => files?,
        };
        let layout = Layout::new(&self.plan_of_shape());
        let tensors = Tensors::find(files, &layout, self.naming, MissingHead::Refused)?;
        let files = tensors.files();
        let mut types: Vec<StoredType> = Vec::new();
        for tensor in files.tensors() {
            let (name, elements) = (tensor.dtype().name(), tensor.elements() as u64);
            match types.iter_mut().find(|known| known.name == name) {
                Some(known) => {
                    (known.tensors, known.numbers) = (known.tensors + 1, known.numbers + elements);
                    known.bytes += tensor.bytes();
                }
                None => types.push(StoredType {
                    name,
                    tensors: 1,
                    numbers: elements,
                    bytes: tensor.bytes(),
                }),
            }
        }
        types.sort_by_key(|one| std::cmp::Reverse(one.bytes));
        let format = match files.format() {
            Format::Safetensors => "safetensors",
            Format::Shards => "safetensors in shards",
            Format::Gguf => "GGUF",
        };
        Ok(Some(Stored { path: files.path().to_owned(), format, types }))
    }

    /// The files of the model's tokenizer and chat template, and the tokens that they name. Those of a GGUF file are made
    /// from what it says, unless a `tokenizer.json` lies beside it.
    ///
    /// # Errors
    /// When a file cannot be read, or a GGUF file has a tokenizer that cannot be said as a `tokenizer.json`.
    pub fn texts(&self) -> Result<Texts, ModelError> {
        if let Naming::Hub(_) = self.naming {
            return Texts::of_folder(&self.path);
        }
        let beside = self.path.parent().filter(|folder| folder.join(TOKENIZER).exists());
        if let Some(folder) = beside {
            return Texts::of_folder(folder);
        }
        let files = WeightFiles::open(&self.path)?;
        gguf::tokenizer::texts(files.metadata()).map_err(|reason| ModelError::Published {
            path: self.path.display().to_string(),
            reason: format!(
                "{reason}; a tokenizer.json of the same model beside the file takes its place"
            ),
        })
    }

    /// The numbers of the model, in the order of a layout of it.
    ///
    /// # Errors
    /// When there are no weights or several, tensors are missing, surplus or misshapen (all are named), or a number is
    /// not finite.
    pub(crate) fn numbers(&self, layout: &Layout) -> Result<Numbers, ModelError> {
        self.numbers_with(layout, MissingHead::Refused)
    }

    /// [`Published::numbers`], where it is said what becomes of a value head that the files do not have.
    pub(crate) fn numbers_with(
        &self,
        layout: &Layout,
        missing: MissingHead,
    ) -> Result<Numbers, ModelError> {
        let tensors = Tensors::find(WeightFiles::open(&self.path)?, layout, self.naming, missing)?;
        let mut numbers = tensors.numbers(layout)?;
        if let (MissingHead::Drawn(seed), Some(head)) = (missing, tensors.missing_head()) {
            draw_one::<f32>(head, &mut numbers.values[head.range()], &Rng::new(seed));
        }
        Ok(numbers)
    }

    /// Hands the numbers of the model to something that forgets them where this fails; see [`Published::numbers`].
    pub(crate) fn hand_to(&self, layout: &Layout, sink: &mut dyn Sink) -> Result<(), ModelError> {
        self.tensors(layout)?.hand_to(sink)
    }

    /// Where each tensor of the model lies in its files.
    fn tensors(&self, layout: &Layout) -> Result<Tensors, ModelError> {
        Tensors::find(WeightFiles::open(&self.path)?, layout, self.naming, MissingHead::Refused)
    }
}

/// What becomes of the head of a model that says values where published files have none: those of a model that writes
/// have another head, which is left where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingHead {
    /// Its tensor is missing, as any other would be.
    Refused,
    /// A missing head is drawn from the seed of a run, as in a random model.
    Drawn(u64),
}

/// How the numbers of a model are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The file, or the index of several.
    pub path: PathBuf,
    /// The format in words.
    pub format: &'static str,
    /// The types of numbers, the one with most bytes first.
    pub types: Vec<StoredType>,
}

impl Stored {
    /// Bytes of all numbers.
    pub fn bytes(&self) -> u64 {
        self.types.iter().map(|one| one.bytes).sum()
    }
}

/// A type of numbers in weight files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredType {
    /// Its name, such as `BF16` or `Q4_1`.
    pub name: &'static str,
    /// Tensors of it.
    pub tensors: u64,
    /// Numbers in those.
    pub numbers: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// How many modules of multi-token prediction a configuration has, under its older name or the newer one.
fn mtp_layers(keys: &Keys<'_>) -> usize {
    let named = ["num_nextn_predict_layers", "num_mtp_layers"];
    let found = named.into_iter().find(|key| keys.get(key).is_some());
    let depth = found.and_then(|key| keys.count_or_none(key)).unwrap_or(0);
    if let Some(key) = found.filter(|_| depth > MOST_MTP_LAYERS) {
        keys.problem(key, format_args!("is {depth}; {MOST_MTP_LAYERS} is the most that is read"));
    }
    depth
}

/// The end of the names of classes that say a number for each label, in transformers.
const CLASSIFIER: &str = "ForSequenceClassification";

/// What a configuration says that the model says at a position: values, where its class is one for classification with
/// one label.
fn head(keys: &Keys<'_>) -> HeadPlan {
    let classes = keys.words("architectures").unwrap_or_default();
    if !classes.iter().any(|class| class.ends_with(CLASSIFIER)) {
        return HeadPlan::Vocabulary;
    }
    let listed = keys.get("id2label").and_then(Value::as_object).map(Map::len);
    // Where nothing is said, transformers means two.
    let labels = keys.count("num_labels").or(listed).unwrap_or(2);
    if labels != 1 {
        let known = "what is known: 1, a number that is larger for better texts";
        keys.problem("num_labels", format_args!("is {labels}; {known}"));
    }
    HeadPlan::Value
}

/// The name of the class of a family for a head.
pub(crate) fn class(family: &Family, head: HeadPlan) -> String {
    match head {
        HeadPlan::Vocabulary => family.class.to_owned(),
        HeadPlan::Value => family.class.replace("ForCausalLM", CLASSIFIER),
    }
}

/// What a path is instead of a model, where that is known, and what to do.
fn mistaken(path: &Path) -> Option<(&'static str, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    if path.is_file() && name.is_some_and(|name| [CONFIG, MODEL, INDEX].contains(&name)) {
        return Some(("it is one file of a model", "give the folder that it is in".to_owned()));
    }
    if path.join(CONFIG).exists() {
        return None;
    }
    if path.join(adapter::CONFIG).exists() {
        let hint = "give the folder of that model, and this one under `lora`: {from: PATH, lora: {from: PATH}}";
        return Some(("it holds adapters and not the model that they belong to", hint.to_owned()));
    }
    let export = |checkpoint: &Path| {
        let shown = checkpoint.display();
        format!(
            "`r1x model export {shown} FOLDER` writes it as a published folder; a spec begins with it by `checkpoint` in place \
             of `from`"
        )
    };
    if path.join(STATE).exists() {
        let reason = "it is a checkpoint of r1x, and its shape is in the store";
        return Some((reason, export(path)));
    }
    // The folder of a stage holds checkpoints, and that of a run holds those of stages.
    let mut inside = folders(path);
    inside.extend(inside.clone().iter().flat_map(|folder| folders(folder)));
    let found = inside.iter().find(|folder| folder.join(STATE).exists())?;
    Some(("it holds checkpoints of r1x and is no model", export(found)))
}

/// The folders in a folder that are no links, in the order of their names.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut found: Vec<PathBuf> = entries.filter(is_folder).map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Whether a folder holds a `.gguf` file.
fn has_gguf(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.as_encoded_bytes().ends_with(b".gguf"))
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
