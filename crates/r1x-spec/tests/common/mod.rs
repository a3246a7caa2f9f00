//! A world for specs that has no files but those a test gives it, and the shipped experiments.
//!
//! Must not touch the disk except to read `experiments/`.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use r1x_core::plan::{DataPlan, InitialWeights, LoraPlan, ModelPlan, SourcePlan};
use r1x_core::testing::tiny_model;
use r1x_core::{Capability, Markup};
use r1x_spec::{
    Asked, ChatFacts, CheckpointFacts, CheckpointName, DataFacts, DataRefusal, Inputs, ModelFacts,
    PluginFacts, Refusal, Report, Resolved, Seeds, Style, TokenizerFacts, resolve, resolve_all,
};

/// The name under which tests give their spec.
pub const SPEC: &str = "experiments/spec.yaml";

/// The shipped experiments.
pub const EXPERIMENTS: [&str; 23] = [
    "countdown",
    "countdown-dense",
    "countdown-distillation",
    "countdown-rejection",
    "countdown-sft-control",
    "countdown-shaped",
    "miniature/algorithms",
    "miniature/all-scenarios",
    "miniature/balance",
    "miniature/game",
    "miniature/letters",
    "miniature/readable",
    "miniature/reasoning",
    "r1-tiny",
    "r1/distill-llama-70b",
    "r1/distill-llama-8b",
    "r1/distill-qwen-1.5b",
    "r1/distill-qwen-14b",
    "r1/distill-qwen-32b",
    "r1/distill-qwen-7b",
    "r1/r1",
    "r1/r1-zero",
    "tiny-reasoning",
];

/// The built-in rewards that they use.
const PLUGINS: [&str; 9] = [
    "format",
    "countdown",
    "length",
    "code",
    "match",
    "language",
    "math",
    "multiple-choice",
    "repetition",
];

/// Files in memory.
#[derive(Clone, Default)]
pub struct World {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// The context of published models; 512 where it is 0.
    pub context_length: usize,
}

impl World {
    /// The plugins of the shipped experiments.
    pub fn new() -> Self {
        let mut world = World::default();
        for plugin in PLUGINS {
            world.add(&format!("experiments/../plugins/{plugin}.wasm"), plugin);
            for folder in ["miniature", "r1"] {
                world.add(&format!("experiments/{folder}/../../plugins/{plugin}.wasm"), plugin);
            }
        }
        for name in EXPERIMENTS {
            world.add(&format!("experiments/{name}.yaml"), &experiment(name));
        }
        // Published models: a whole one, one without words, one whose texts never end, and one that chats badly.
        for folder in ["models/tiny", "models/wordless", "models/broken", "../models/smollm2"] {
            world.add(&format!("experiments/{folder}/config.json"), "<end>");
        }
        world.add("experiments/models/endless/config.json", "");
        for folder in ["models/tiny", "models/endless", "models/broken", "../models/smollm2"] {
            world.add(&format!("experiments/{folder}/tokenizer.json"), "... <end> ...");
        }
        world.add("experiments/../models/smollm2-lora/adapter_config.json", "24");
        world.add("experiments/models/broken/chat", "<begin>\nadds\nbroken");
        world
    }

    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.add(path, text);
        self
    }

    pub fn add(&mut self, path: &str, text: &str) {
        self.files.insert(PathBuf::from(path), text.as_bytes().to_vec());
    }

    pub fn resolve(&self, overrides: &[&str]) -> Result<Resolved, Report> {
        self.resolve_file(SPEC, overrides)
    }

    /// Every run that the spec stands for.
    pub fn runs(&self, overrides: &[&str]) -> Result<Asked, Report> {
        self.runs_with_seeds(overrides, &Seeds::default())
    }

    pub fn runs_with_seeds(&self, overrides: &[&str], seeds: &Seeds) -> Result<Asked, Report> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        resolve_all(Path::new(SPEC), &overrides, seeds, self)
    }

    pub fn resolve_file(&self, path: &str, overrides: &[&str]) -> Result<Resolved, Report> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        resolve(Path::new(path), &overrides, self)
    }
}

impl Inputs for World {
    fn read(&self, path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
        let bytes = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    }

    /// Not a sha256, but tells texts apart.
    fn sha256(&self, bytes: &[u8]) -> String {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:064x}")
    }

    fn vocabulary(&self, _: &str, data: &DataPlan) -> Result<Vec<String>, String> {
        match &data.source {
            SourcePlan::Rows { .. } => Err("its columns may hold any text".to_owned()),
            SourcePlan::Requests(_) => Ok(["gladly", "7"].map(str::to_owned).to_vec()),
            _ => Ok((0..119).map(|n| n.to_string()).collect()),
        }
    }

    /// Every token that ends a sequence is reserved, and a file that says `<begin>` begins texts with it.
    fn tokenizer(&self, bytes: &[u8], eos: &[String]) -> Result<TokenizerFacts, String> {
        let text = String::from_utf8_lossy(bytes);
        let start = text.contains("<begin>").then(|| "<begin>".to_owned());
        match eos.iter().find(|token| !text.contains(*token)) {
            None => Ok(TokenizerFacts { tokens: 1000, start, reserved: eos.to_vec() }),
            Some(token) => Err(format!("it has no token `{token}`")),
        }
    }

    /// A folder says of conversations what the lines of its `chat` say: the token that begins a sequence, whether it stands
    /// before texts, and the template, which is refused where it is `broken`.
    fn chat(&self, folder: &Path) -> Result<ChatFacts, Refusal> {
        let Some(chat) = self.files.get(&folder.join("chat")) else {
            return Ok(ChatFacts::default());
        };
        let text = String::from_utf8_lossy(chat);
        let mut lines = text.lines();
        let (bos, adds) = (lines.next().map(str::to_owned), lines.next());
        let template = lines.next().map(|template| match template {
            "broken" => Err(Refusal::new("it is broken", "mend it")),
            template => Ok(template.to_owned()),
        });
        Ok(ChatFacts { bos, eos: None, adds_bos: adds.map(|word| word == "adds"), template })
    }

    /// A published model is a folder with a configuration, whatever is in it; its text is the token that ends texts.
    fn published(&self, folder: &Path) -> Result<ModelFacts, Refusal> {
        let config = folder.join("config.json");
        let missing = || Refusal::new(format!("{} is not there", config.display()), "look again");
        let eos = self.files.get(&config).ok_or_else(missing)?;
        let (folder, sha256) = (folder.display().to_string(), self.sha256(eos));
        let tokenizer = Path::new(&folder).join("tokenizer.json");
        let initial = InitialWeights::Published { folder, sha256 };
        let context_length = if self.context_length == 0 { 512 } else { self.context_length };
        let shape = ModelPlan { vocabulary_size: 1000, context_length, ..tiny_model() };
        Ok(ModelFacts {
            plan: ModelPlan { initial, ..shape },
            mtp_depth: 1,
            tokenizer: self.files.contains_key(&tokenizer).then_some(tokenizer),
            eos: String::from_utf8_lossy(eos).split_whitespace().map(str::to_owned).collect(),
        })
    }

    /// A checkpoint is a folder with a state, which says how many layers its model has. No run has any.
    fn checkpoint(
        &self,
        name: &CheckpointName,
        model: &ModelPlan,
    ) -> Result<CheckpointFacts, Refusal> {
        let folder = match name {
            CheckpointName::Folder(folder) => folder,
            CheckpointName::OfRun { run, checkpoint } => {
                return Err(Refusal::new(format!("no run {run} has {checkpoint}"), "look again"));
            }
        };
        let state = folder.join("state.json");
        let missing = || Refusal::from(format!("{} is not there", state.display()));
        let layers = self.files.get(&state).ok_or_else(missing)?;
        if String::from_utf8_lossy(layers) != model.layers.to_string() {
            return Err(Refusal::from("the model of its run differs in `layers`".to_owned()));
        }
        let (folder, sha256) = (folder.display().to_string(), self.sha256(layers));
        Ok(CheckpointFacts { folder, sha256 })
    }

    /// Adapters are a folder with a configuration; its text is their rank.
    fn adapters(&self, folder: &Path, _: &ModelPlan) -> Result<LoraPlan, Refusal> {
        let config = folder.join("adapter_config.json");
        let missing = || Refusal::new(format!("{} is not there", config.display()), "look again");
        let rank = String::from_utf8_lossy(self.files.get(&config).ok_or_else(missing)?).parse();
        let (folder, sha256) = (folder.display().to_string(), "0".repeat(64));
        let initial = InitialWeights::Published { folder, sha256 };
        Ok(LoraPlan { initial, ..LoraPlan::everywhere(rank.unwrap_or(1)) })
    }

    /// A file of JSON lines is not read: each line is a problem, and the first one has the columns.
    fn data(&self, _: &str, data: &DataPlan, _: &Markup) -> Result<DataFacts, DataRefusal> {
        let SourcePlan::Rows { path, columns, .. } = &data.source else {
            let columns = match &data.source {
                SourcePlan::Countdown(_) => ["nums", "target", ""],
                _ => ["question", "language", "answer"],
            };
            let columns = columns.into_iter().filter(|name| !name.is_empty());
            let columns = columns.map(str::to_owned).collect();
            return Ok(DataFacts { columns, ..DataFacts::default() });
        };
        let unreadable =
            |error: io::Error| DataRefusal::Unreadable(format!("cannot read {path}: {error}"));
        let bytes = self.read(Path::new(path), u64::MAX).map_err(unreadable)?;
        let text = String::from_utf8_lossy(&bytes);
        let first: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
        let all: Vec<String> = first.keys().cloned().collect();
        let listed = columns.clone().unwrap_or_else(|| all.clone());
        Ok(DataFacts {
            sha256: Some(self.sha256(&bytes)),
            unlisted: all.into_iter().filter(|name| !listed.contains(name)).collect(),
            columns: listed,
            // One line stands for a file of any length.
            problems: Some(text.lines().count()).filter(|n| *n > 1).map(|n| (n, n)),
        })
    }

    fn plugin(&self, _: &Path, bytes: &[u8], config_json: &str) -> Result<PluginFacts, Refusal> {
        let name = String::from_utf8_lossy(bytes).into_owned();
        if config_json.contains("refuse") {
            return Err(Refusal::new("it does not know the setting `refuse`", "mend `with`"));
        }
        let columns: &[&str] = match name.as_str() {
            "countdown" => &["nums", "target"],
            "math" => &["answer"],
            name if PLUGINS.contains(&name) => &[],
            _ => return Err("it is no WebAssembly component".to_owned().into()),
        };
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        let asks = if name == "code" { vec![Capability::Exec] } else { Vec::new() };
        let version = "0.1.0".to_owned();
        Ok(PluginFacts { name, version, columns, asks, ..PluginFacts::default() })
    }
}

/// The text of a shipped experiment.
pub fn experiment(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    std::fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("a shipped experiment")
}

pub fn render(report: &Report) -> String {
    report.render(Style { unicode: true, color: false, width: None })
}
