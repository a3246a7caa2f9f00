//! From a spec to a plan: references are looked up, inputs are hashed, and what does not fit is reported.

mod algorithm;
mod checkpoint;
mod critic;
mod data;
mod distill;
mod evals;
mod further;
mod grant;
mod judge;
mod layers;
mod lora;
mod loss;
mod merge;
mod model;
mod overriding;
mod pairs;
mod reject;
mod rewards;
mod stages;
mod tiny;
mod tokenizer;
mod unused;

use std::path::Path;

use serde_json::Value as Json;

use r1x_core::Markup;
use r1x_core::plan::{
    CheckpointPlan, ModelPlan, PlanVersion, RecordPlan, RetentionPlan, RunPlan, StepsKept,
};

use crate::Setting;
use crate::codes;
use crate::diagnostic::{Diagnostic, all_words, nearest, quoted};
use crate::inputs::{Inputs, Refusal};
use crate::read::{At, Reader};
use crate::source::{Origin, Span};
use crate::spec::{
    CheckpointSpec, ModelSpec, RecordSpec, RetentionSpec, RunSpec, ShapeSpec, StepsKeptSpec,
    TokenizerKind,
};
use crate::value_types::Name;
use data::{DataRead, RewardFacts};
use further::KnownModel;
use model::{ModelRead, Purpose};
use reject::MadeRead;

/// Largest plugin or tokenizer file, bytes.
const MAX_INPUT_BYTES: u64 = 256 << 20;
/// Sequences computed together when the spec does not say.
const MICRO_BATCH: usize = 32;

/// A plan and what was learnt on the way to it.
pub(crate) struct Outcome {
    pub plan: RunPlan,
    pub plugins: Vec<(String, crate::PluginFacts)>,
}

/// The state of one resolution.
pub(crate) struct Resolver<'r, 'a> {
    reader: &'r mut Reader<'a>,
    inputs: &'r dyn Inputs,
    /// The spec's data sets, with those whose reading failed.
    data: Vec<DataRead>,
    /// What the stages read so far make.
    made: Vec<MadeRead>,
    /// Ids of the stages read so far that train a reward model.
    reward_models: Vec<String>,
    /// Ids of the stages read so far that change weights.
    learners: Vec<String>,
    /// Ids of all stages that make data, in any order.
    makers: Vec<String>,
    /// The spec's rewards, with those whose reading failed.
    rewards: Vec<RewardFacts>,
    /// The models of the spec, the policy first.
    models: Vec<KnownModel>,
    /// Names of the spec's judges.
    judges: Vec<String>,
    /// Ids of the spec's suites.
    evals: Vec<String>,
    /// Ids of suites that `evaluate` stages run.
    evaluated: Vec<String>,
    /// Longest prompt plus completion, once known.
    context_length: Option<usize>,
    /// What the tokenizer of the policy means for prompts.
    conversation: Conversation,
}

/// What is known of the way in which the policy writes conversations.
#[derive(Default)]
struct Conversation {
    markup: Markup,
    /// Why there is no chat template, where somebody wanted one.
    refusal: Option<Refusal>,
    /// Whether the model has a mistake that was reported, so that nothing is known.
    broken: bool,
}

impl Conversation {
    fn of(model: Option<&ModelRead>) -> Self {
        let Some(ModelRead { tokenizer, .. }) = model else {
            return Self { broken: true, ..Self::default() };
        };
        let markup = Markup::new(&tokenizer.plan, tokenizer.reserved.clone());
        Self { markup, refusal: tokenizer.no_chat.clone(), broken: false }
    }
}

/// Whether the tokenizer of a model is made of data, so that the data is read before it.
fn reads_data(model: &ModelSpec) -> bool {
    let tokenizer = model.tokenizer.as_ref();
    tokenizer.is_some_and(|tokenizer| matches!(tokenizer.kind, TokenizerKind::Data(_)))
}

impl<'r, 'a> Resolver<'r, 'a> {
    pub fn new(reader: &'r mut Reader<'a>, inputs: &'r dyn Inputs) -> Self {
        Self {
            reader,
            inputs,
            data: Vec::new(),
            made: Vec::new(),
            reward_models: Vec::new(),
            learners: Vec::new(),
            makers: Vec::new(),
            rewards: Vec::new(),
            models: Vec::new(),
            judges: Vec::new(),
            evals: Vec::new(),
            evaluated: Vec::new(),
            context_length: None,
            conversation: Conversation::default(),
        }
    }

    /// The plan, or `None` after reporting.
    pub fn run(mut self, spec: &RunSpec) -> Option<Outcome> {
        self.evals = spec.evals.0.iter().map(|(id, _)| id.0.clone()).collect();
        // Prompts are written with the chat template of the model, unless the model knows only words of the data.
        let (mut model, data_first) = (None, spec.model.as_ref().is_some_and(|m| reads_data(m)));
        if !data_first {
            model = spec.model.as_ref().and_then(|model| self.model(model, Purpose::Run));
            self.conversation = Conversation::of(model.as_ref());
        }
        self.data =
            spec.data.0.iter().map(|(id, data)| self.read_data(id, data.as_ref())).collect();
        self.makers = spec.stages.as_ref().map(stages::makers).unwrap_or_default();
        // An id that a data set has too is reported with its stage, and means the data set.
        self.makers.retain(|id| self.data.iter().all(|data| data.id != *id));
        self.judges = spec.judges.0.iter().map(|(id, _)| id.0.clone()).collect();
        self.rewards = spec
            .rewards
            .0
            .iter()
            .map(|(id, reward)| self.read_reward(id, reward.as_ref()))
            .collect();
        self.check_conditions();
        if data_first {
            model = spec.model.as_ref().and_then(|model| self.model(model, Purpose::Run));
        }
        let model = model.map(|read| read.plan);
        // A model with a mistake may still say how long a sequence is.
        let written = spec.model.as_ref().and_then(|model| model.context_length.as_ref());
        let known = model.as_ref().map(|model| model.context_length);
        self.context_length = known.or(written.map(|length| **length));
        self.models = self.known_models(model.as_ref(), &spec.models);
        let judges: Vec<_> = spec
            .judges
            .0
            .iter()
            .map(|(id, judge)| Some((id.0.clone(), self.judge(judge.as_ref()?, model.as_ref())?)))
            .collect();
        let stages = spec.stages.as_ref().and_then(|stages| self.stages(stages));
        let evals = self.evals(&spec.evals);
        let name = spec.name.as_ref()?.0.clone();
        let plugins =
            self.rewards.iter().filter_map(|r| Some((r.id.clone(), r.facts.clone()?))).collect();
        let plan = RunPlan {
            version: PlanVersion,
            name,
            seed: *spec.seed,
            tags: spec.tags.texts(),
            model: model?,
            models: self.further_plans()?,
            data: self
                .data
                .iter()
                .map(|d| Some((d.id.clone(), d.plan.clone()?)))
                .collect::<Option<_>>()?,
            judges: judges.into_iter().collect::<Option<_>>()?,
            rewards: self.rewards.iter().map(|r| r.plan.clone()).collect::<Option<_>>()?,
            stages: stages?,
            evals: evals?,
            record: record_plan(&spec.record),
            retention: retention_plan(&spec.record.retention),
            checkpoints: checkpoint_plan(&spec.checkpoints),
        };
        self.warn_of_unused(spec, &plan);
        Some(Outcome { plan, plugins })
    }

    /// The model of a spec that is nothing but a model, or `None` after reporting.
    pub fn shape(mut self, spec: &ShapeSpec) -> Option<(String, ModelPlan)> {
        let model = spec.model.as_ref().and_then(|model| self.model(model, Purpose::Shape));
        Some((spec.name.as_ref()?.0.clone(), model?.plan))
    }

    fn error(&mut self, code: &'static str, span: Span, message: String) -> &mut Diagnostic {
        self.reader.error(code, span, message)
    }

    /// Reports a reference to nothing.
    fn unknown(&mut self, what: &str, name: &str, span: Span, known: &[String]) {
        let message = format!("there is no {what} {}", quoted(name));
        let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let help = match known {
            [] => format!("this spec has no {what} at all"),
            known => format!("this spec has {}", all_words(known.iter().map(String::as_str))),
        };
        let diagnostic = self.error(codes::UNKNOWN_NAME, span, message);
        if let Some(near) = near {
            diagnostic.label(format!("did you mean `{near}`?"));
        }
        diagnostic.help(help);
    }

    /// Reports a list that names something twice, or nothing.
    fn check_list(&mut self, list: &At<Vec<At<Name>>>, what: &str) {
        if list.is_empty() {
            let message = format!("this list names no {what}");
            self.error(codes::COUNTS, list.span, message);
        }
        for (position, name) in list.iter().enumerate() {
            if list[..position].iter().any(|earlier| earlier.0 == name.0) {
                let message = format!("the {what} {} is named twice", quoted(&name.0));
                self.error(codes::DUPLICATE_ID, name.span, message);
            }
        }
    }

    /// Remembers a default that depends on other values, beside the settings it belongs to.
    fn derived(&mut self, owner: &str, key: &str, value: Json) {
        let prefix = format!("{owner}.");
        let settings = &mut self.reader.settings;
        let last = settings.iter().rposition(|setting| setting.path.starts_with(&prefix));
        let path = format!("{owner}.{key}");
        let setting = Setting { path, value, origin: Origin::Default };
        settings.insert(last.map_or(settings.len(), |last| last + 1), setting);
    }

    /// Whether somebody wrote a value that has a default.
    fn is_written<T>(&self, value: &At<T>) -> bool {
        let settings = &self.reader.settings;
        let setting = settings.iter().find(|setting| setting.path == *value.path);
        setting.is_some_and(|setting| setting.origin.is_written())
    }

    /// Says another value for a key that nobody wrote.
    fn assume<T>(&mut self, value: &At<T>, assumed: Json) {
        let settings = &mut self.reader.settings;
        if let Some(setting) = settings.iter_mut().find(|setting| setting.path == *value.path) {
            setting.value = assumed;
        }
    }

    /// Takes the default of a key out of what is shown, because something else decides.
    fn forget_default<T>(&mut self, value: &At<T>) {
        let path = value.path.clone();
        self.forget_default_at(&path);
    }

    fn forget_default_at(&mut self, path: &str) {
        let is_it = |setting: &Setting| setting.path == path && setting.origin == Origin::Default;
        self.reader.settings.retain(|setting| !is_it(setting));
    }

    /// Reads a file the spec names, as seen from the current folder.
    fn read_file(&mut self, path: &At<String>, limit_bytes: u64) -> Option<(String, Vec<u8>)> {
        let file = self.reader.sources.path(path.span.source, path);
        self.read_path(&file, path.span, limit_bytes)
    }

    /// Reads a file that something at `span` stands for.
    fn read_path(
        &mut self,
        file: &Path,
        span: Span,
        limit_bytes: u64,
    ) -> Option<(String, Vec<u8>)> {
        let shown = file.display().to_string();
        let read = self.inputs.read(file, limit_bytes.saturating_add(1));
        match read {
            Ok(bytes) if bytes.len() as u64 > limit_bytes => {
                let message = format!("{shown} is larger than {limit_bytes} bytes");
                self.error(codes::MISSING_FILE, span, message).input();
                None
            }
            Ok(bytes) => Some((shown, bytes)),
            Err(error) => {
                let message = format!("cannot read {shown}: {error}");
                let diagnostic = self.error(codes::MISSING_FILE, span, message);
                diagnostic.input();
                diagnostic
                    .help("relative paths start at the folder of the spec that mentions them");
                None
            }
        }
    }
}

fn record_plan(spec: &RecordSpec) -> RecordPlan {
    RecordPlan { text: *spec.text, tokens: *spec.tokens, logprobs: *spec.logprobs }
}

fn retention_plan(spec: &RetentionSpec) -> RetentionPlan {
    let kept = |spec: &Option<At<StepsKeptSpec>>| {
        let StepsKeptSpec { last_steps, every } = spec.as_deref()?;
        let last_steps = **last_steps;
        Some(StepsKept { last_steps, every: every.as_deref().copied() })
    };
    RetentionPlan {
        text: kept(&spec.text),
        tokens: kept(&spec.tokens),
        logprobs: kept(&spec.logprobs),
    }
}

fn checkpoint_plan(spec: &CheckpointSpec) -> CheckpointPlan {
    CheckpointPlan { every: spec.every.as_deref().copied(), keep: *spec.keep }
}
