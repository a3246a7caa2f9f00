//! The world a spec may ask about: files, data sets, tokenizers and plugins.
//!
//! Answers the spec crate's `Inputs`. What was loaded to check a spec is kept, so that running it does not load it
//! again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use r1x_build::Source;
use r1x_core::plan::{
    DataPlan, LimitsPlan, LoraPlan, ModelPlan, Precision, RunPlan, SourcePlan, TokenizerPlan,
};
use r1x_core::{Capability, Markup, PortError, digest};
use r1x_model::Tokenizer;
use r1x_model::published::{Published, adapter, eos_tokens};
use r1x_reward::{Host, Origin, Plugin, RewardError};
use r1x_spec::{
    ChatFacts, CheckpointFacts, CheckpointName, DataFacts, DataRefusal, Inputs, ModelFacts,
    PluginFacts, Refusal, TokenizerFacts,
};
use r1x_tasks::chat::{self, Marks};
use r1x_tasks::dataset::{MOST_BYTES, rows::Opened};
use r1x_tasks::{Problems, Survey, TaskError};

use crate::failure::Failure;
use crate::{capability, hosting, memory};

/// The limits of a spec that names none; while a spec is checked they hold for every plugin.
pub const DEFAULT_LIMITS: LimitsPlan =
    LimitsPlan { time_ms: 10_000, time_per_rollout_ms: 20, memory_bytes: 256 << 20, fuel: None };

/// A component of this size takes seconds to compile.
const SLOW_BYTES: usize = 4 << 20;

/// What finds the checkpoint that a model of a spec begins with, and compares it with the model.
pub type CheckpointFinder =
    Box<dyn Fn(&CheckpointName, &ModelPlan) -> Result<CheckpointFacts, Refusal>>;

/// Files, tasks and the plugin host of this machine.
pub struct World {
    /// The plugin host.
    pub host: Host,
    plugins: RefCell<BTreeMap<String, Plugin>>,
    /// What the user calls a component that was built from sources, by its path.
    built: RefCell<BTreeMap<PathBuf, String>>,
    /// Sources of plugins, by the sha256 of their component.
    sources: RefCell<BTreeMap<String, Source>>,
    compiled: RefCell<Vec<(String, Duration)>>,
    /// Files of problems that were read, by the id of the data set, with the hash of the bytes.
    data: RefCell<BTreeMap<String, Opened>>,
    /// None where no spec is resolved.
    checkpoints: Option<CheckpointFinder>,
}

impl World {
    /// The world with a plugin host of this many workers.
    ///
    /// # Errors
    /// When the host cannot start.
    pub fn with_workers(workers: usize) -> Result<Self, Failure> {
        Ok(Self {
            host: hosting::host(workers)?,
            plugins: RefCell::default(),
            built: RefCell::default(),
            sources: RefCell::default(),
            compiled: RefCell::default(),
            data: RefCell::default(),
            checkpoints: None,
        })
    }

    /// The world in which models may begin with checkpoints, which this finds.
    #[must_use]
    pub fn with_checkpoints(self, checkpoints: CheckpointFinder) -> Self {
        Self { checkpoints: Some(checkpoints), ..self }
    }

    /// The problems of a plan. Files that were read to resolve it are handed over, everything else is generated or
    /// read.
    ///
    /// # Errors
    /// When a data set cannot be read or generated.
    pub fn problems(&self, plan: &RunPlan, markup: &Markup) -> Result<Problems, TaskError> {
        let mut read = self.data.take();
        let set = |(id, data): (&String, &DataPlan)| {
            let of_plan = |opened: &Opened| match &data.source {
                SourcePlan::Rows { sha256, .. } => opened.sha256 == *sha256,
                _ => false,
            };
            let set = match read.remove(id).filter(of_plan) {
                Some(opened) => opened.set,
                None => r1x_tasks::load(id, data, markup)?,
            };
            Ok((id.clone(), set))
        };
        Ok(Problems::of(plan.data.iter().map(set).collect::<Result<_, TaskError>>()?))
    }

    /// The plugin with these bytes, by their sha256.
    pub fn loaded(&self, sha256: &str) -> Option<Plugin> {
        self.plugins.borrow().get(sha256).cloned()
    }

    /// The sources of the plugin with these bytes, where a spec names sources.
    pub fn source(&self, sha256: &str) -> Option<Source> {
        self.sources.borrow().get(sha256).cloned()
    }

    /// Plugins that had to be compiled, and how long that took.
    pub fn compiled(&self) -> Vec<(String, Duration)> {
        self.compiled.borrow().clone()
    }
}

/// A plugin's error as a spec's diagnostic tells it.
fn refused(error: RewardError) -> Refusal {
    Refusal::new(error.to_string(), error.hint())
}

/// What a spec may know of a file that was read.
fn facts(plan: &DataPlan, opened: &Opened) -> DataFacts {
    let (set, none) = (&opened.set, BTreeMap::new());
    let (listed, renamed) = match &plan.source {
        SourcePlan::Rows { columns, renamed, .. } => (columns.clone(), renamed),
        _ => (None, &none),
    };
    let in_file = || set.columns.iter().map(|column| column.name.clone());
    let columns = listed.clone().unwrap_or_else(|| in_file().collect());
    let taken = |name: &String| {
        let in_file = |listed: &String| renamed.get(listed).unwrap_or(listed) == name;
        columns.iter().any(in_file)
    };
    DataFacts {
        sha256: Some(opened.sha256.clone()),
        unlisted: in_file().filter(|name| !taken(name)).collect(),
        problems: Some((set.train.len(), set.heldout.len())),
        columns,
    }
}

/// What is known of a `tokenizer.json`.
///
/// # Errors
/// When it is no tokenizer or lacks one of the tokens that end a sequence.
pub fn tokenizer_facts(bytes: &[u8], eos: &[String]) -> Result<TokenizerFacts, String> {
    let tokenizer = Tokenizer::from_bytes(bytes, eos).map_err(|error| error.to_string())?;
    let (tokens, reserved) = (tokenizer.len(), tokenizer.reserved());
    Ok(TokenizerFacts { tokens, start: r1x_model::tokenizer::start(bytes), reserved })
}

/// What the files beside a `tokenizer.json` say.
///
/// # Errors
/// When the tokens around texts cannot be read.
pub fn chat_facts(folder: &Path) -> Result<ChatFacts, Refusal> {
    let told = |error: TaskError| Refusal::new(error.to_string(), error.hint());
    let Marks { bos, eos, adds_bos } = chat::marks(folder).map_err(told)?;
    let template = chat::published(folder).map(|found| found.template).map_err(told);
    Ok(ChatFacts { bos, eos, adds_bos, template: template.transpose() })
}

/// What to do where a spec names a plugin and nothing is there: built-in ones are files as well, which a spec names by
/// their paths.
fn no_plugin(path: &Path) -> String {
    let component = path.file_name().map(|name| Path::new(name).with_extension("wasm"));
    let folder = path.parent().unwrap_or(Path::new(""));
    let places = ["", "plugins", "../plugins"].map(|place| folder.join(place));
    let mut found = places.iter().filter_map(|place| Some(place.join(component.as_ref()?)));
    match found.find(|found| found.is_file()) {
        Some(found) => format!("did you mean {}? a plugin is named by its path", found.display()),
        None => "name a component (.wasm) or the sources of one, relative to the spec that mentions it; the components \
                 of r1x lie in the folder `plugins` of its repository, as `plugins/format.wasm`"
            .to_owned(),
    }
}

/// What a model's error says, as a spec tells it.
fn told(error: r1x_model::ModelError) -> Refusal {
    let PortError { message, hint, .. } = error.into();
    Refusal { message, help: hint }
}

impl Inputs for World {
    fn read(&self, path: &Path, limit_bytes: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        r1x_files::open(path)?.take(limit_bytes).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn sha256(&self, bytes: &[u8]) -> String {
        digest::sha256(bytes)
    }

    fn vocabulary(&self, id: &str, data: &DataPlan) -> Result<Vec<String>, String> {
        let pieces = match self.data.borrow().get(id) {
            Some(opened) => r1x_tasks::words(&opened.set),
            None => r1x_tasks::vocabulary(data),
        };
        pieces.map_err(|error| error.to_string())
    }

    fn tokenizer(&self, bytes: &[u8], eos: &[String]) -> Result<TokenizerFacts, String> {
        tokenizer_facts(bytes, eos)
    }

    fn chat(&self, folder: &Path) -> Result<ChatFacts, Refusal> {
        chat_facts(folder)
    }

    fn published(&self, folder: &Path) -> Result<ModelFacts, Refusal> {
        let published = Published::open(folder).map_err(told)?;
        let none = TokenizerPlan::Vocabulary { pieces: Vec::new() };
        let plan = published.plan(none, Precision::F32);
        let tokenizer = Some(folder.join("tokenizer.json")).filter(|path| path.exists());
        Ok(ModelFacts {
            plan: ModelPlan { initial: published.begin_with().map_err(told)?, ..plan },
            mtp_depth: published.stored_mtp().map_err(told)?,
            tokenizer,
            eos: eos_tokens(folder),
        })
    }

    fn checkpoint(
        &self,
        name: &CheckpointName,
        model: &ModelPlan,
    ) -> Result<CheckpointFacts, Refusal> {
        match &self.checkpoints {
            Some(find) => find(name, model),
            None => Err(Refusal::from("no checkpoint is looked for here".to_owned())),
        }
    }

    fn adapters(&self, folder: &Path, model: &ModelPlan) -> Result<LoraPlan, Refusal> {
        adapter::open(folder, model).map_err(told)
    }

    fn data(&self, id: &str, data: &DataPlan, markup: &Markup) -> Result<DataFacts, DataRefusal> {
        let told = |error: TaskError| match error {
            TaskError::Read { .. } => DataRefusal::Unreadable(error.to_string()),
            _ => DataRefusal::Unusable(Refusal::new(error.to_string(), error.hint())),
        };
        // Half of what there is: tokens, rollouts and the model come after the problems.
        let most_bytes = memory::available_bytes().map_or(MOST_BYTES, |bytes| bytes / 2);
        match r1x_tasks::survey(id, data, markup, most_bytes).map_err(told)? {
            Survey::Generated { columns } => Ok(DataFacts { columns, ..DataFacts::default() }),
            Survey::File(opened) => {
                let facts = facts(data, &opened);
                self.data.borrow_mut().insert(id.to_owned(), opened);
                Ok(facts)
            }
        }
    }

    fn component(&self, path: &Path) -> Result<PathBuf, Refusal> {
        if path.extension().is_some_and(|extension| extension == "wasm") {
            return Ok(path.to_owned());
        }
        let told = |error: r1x_build::BuildError| {
            let hint = if path.exists() { error.hint() } else { no_plugin(path) };
            Refusal::new(error.to_string(), hint)
        };
        let environment = hosting::build_environment_with(&self.host);
        let source = Source::open(path).map_err(told)?;
        if r1x_build::find(&source, &environment).map_err(told)?.is_none() {
            // The first build of a language's runtime takes long enough to look like a hang.
            eprintln!("building {}", path.display());
        }
        let built = r1x_build::build(&source, &environment).map_err(told)?;
        self.built.borrow_mut().insert(built.wasm.clone(), path.display().to_string());
        self.sources.borrow_mut().insert(built.sha256, source);
        Ok(built.wasm)
    }

    fn ready(&self, capability: Capability) -> Result<(), String> {
        if capability != Capability::Exec {
            return Ok(());
        }
        let environment = hosting::build_environment();
        let told = |error: r1x_build::BuildError| format!("{error}; {}", error.hint());
        let languages = r1x_build::interpreter::languages();
        languages
            .into_iter()
            .try_for_each(|word| r1x_build::interpreter::ready(word, &environment).map_err(told))
    }

    fn plugin(&self, path: &Path, bytes: &[u8], config_json: &str) -> Result<PluginFacts, Refusal> {
        let hash = digest::sha256(bytes);
        let source = self.source(&hash);
        let known = self.loaded(&hash);
        let plugin = match known {
            Some(plugin) => plugin,
            None => {
                let built = self.built.borrow().get(path).cloned();
                let name = built.unwrap_or_else(|| path.display().to_string());
                if bytes.len() > SLOW_BYTES && !self.host.is_cached(bytes) {
                    eprintln!("compiling {name} for this machine; later runs find it compiled");
                }
                let loaded = self.host.load_bytes(name.clone(), bytes.to_vec());
                let plugin = loaded.map_err(refused)?;
                if plugin.origin() == Origin::Compiled {
                    self.compiled.borrow_mut().push((name, plugin.load_time()));
                }
                self.plugins.borrow_mut().insert(hash, plugin.clone());
                plugin
            }
        };
        if let Some(disagreement) =
            source.and_then(|source| capability::disagreement(&source, plugin.asks()))
        {
            return Err(disagreement.into());
        }
        plugin.check_config(config_json, &DEFAULT_LIMITS).map_err(refused)?;
        let info = plugin.info();
        Ok(PluginFacts {
            name: info.name.clone(),
            version: info.version.clone(),
            columns: info.columns.clone(),
            optional_columns: info.optional_columns.clone(),
            parts: info.parts.clone(),
            asks: plugin.asks().to_vec(),
        })
    }
}
