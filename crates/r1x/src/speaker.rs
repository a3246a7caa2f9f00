//! A model that is asked: a checkpoint of a run, or a published model.
//!
//! What a conversation becomes for it is what a run trains on: the chat template writes the prompt, and of the texts that
//! its tokenizer reads as tokens with a meaning of their own a message has none.

use std::path::Path;

use r1x_core::plan::{ChatPlan, Precision, RunPlan, SamplingPlan, TokenizerPlan};
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, Markup, PortError, PromptForm, Rng};
use r1x_model::published::{Published, eos_tokens};
use r1x_model::{Expected, Given, Model, ModelEncoder};
use r1x_spec::Refusal;
use r1x_store::{CheckpointCard, Store, checkpoints_on_disk};
use r1x_tasks::{ChatTemplate, Message, unreserved};

use crate::args::Global;
use crate::failure::{Failure, code};
use crate::inputs::{chat_facts, tokenizer_facts};
use crate::wiring::Compute;
use crate::{models, plans, stores, wiring};

/// Largest `tokenizer.json`, bytes.
const MOST_BYTES: u64 = 64 << 20;
/// The role of the model in a conversation.
pub const ASSISTANT: &str = "assistant";

/// A model that can be asked.
pub struct Speaker {
    /// The model.
    pub policy: Box<dyn Model>,
    /// What its tokenizer means for prompts.
    pub markup: Markup,
    /// The plan of its run, where it is of one.
    pub plan: Option<RunPlan>,
    /// Why its chat template cannot be had, where somebody wanted one.
    no_chat: Option<Refusal>,
}

/// A prompt for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the model reads.
    pub prompt: String,
    /// What that was made of.
    pub form: PromptForm,
}

/// What a model said to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The tokens of the prompt.
    pub prompt_tokens: Vec<u32>,
    /// What was sampled after them.
    pub completions: Vec<Completion>,
}

/// How a question is answered.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Completions of each question.
    pub samples: usize,
    /// Tokens of a completion; `None` for as many as the context has room for.
    pub max_tokens: Option<usize>,
    /// Softmax temperature.
    pub temperature: f64,
    /// Seed of the draws.
    pub seed: u64,
}

/// Whether an argument is the path of a published model and not the name of a run.
pub fn is_published(argument: &str) -> bool {
    let path = Path::new(argument);
    let is_path = argument.contains(std::path::MAIN_SEPARATOR) && path.exists();
    is_path || path.is_file() || path.join("config.json").exists()
}

impl Speaker {
    /// The model of a checkpoint of a run: a named one, or the newest that is still there.
    ///
    /// # Errors
    /// When the run has no such checkpoint, or it cannot be read.
    pub fn of_run(
        global: &Global,
        run: &str,
        checkpoint: Option<&str>,
        compute: &Compute,
    ) -> Result<Self, Failure> {
        // The names of runs have no such letter.
        if run.contains(std::path::MAIN_SEPARATOR) {
            let message = format!("`{run}` is no folder of a model, and no name of a run");
            return Err(Failure::new(code::INPUT, message, "check the path"));
        }
        let device = wiring::device(compute)?;
        let store = stores::reading(global.store())?;
        let plan = plans::plan_of(&store, run)?;
        let summary = store.run(run)?;
        let checkpoint = self::checkpoint(&store, &summary.name, checkpoint)?;
        let folder = store.run_folder(&summary.name).join(&checkpoint.path);
        let expected = Expected {
            weights_sha256: Some(&checkpoint.sha256),
            state_sha256: checkpoint.state_sha256.as_deref(),
            run: Some(&summary.uid),
        };
        let given = Given::Checkpoint { folder: &folder, expected: &expected, seed: plan.seed };
        let model = models::of_checkpoint(&plan, &folder)?;
        let policy = wiring::answering(model, compute, &device, given)?;
        let encoder = ModelEncoder::new(model).map_err(PortError::from)?;
        let markup = encoder.markup().clone();
        Ok(Self { policy, markup, plan: Some(plan), no_chat: None })
    }

    /// A published model.
    ///
    /// # Errors
    /// When its weights, its configuration or its tokenizer cannot be read.
    pub fn published(
        folder: &Path,
        precision: Precision,
        compute: &Compute,
    ) -> Result<Self, Failure> {
        let device = wiring::device(compute)?;
        let published = Published::open(folder).map_err(PortError::from)?;
        let (tokenizer, reserved, no_chat) = tokenizer(folder)?;
        let markup = Markup::new(&tokenizer, reserved);
        let plan = published.plan(tokenizer, precision);
        let policy = wiring::answering(&plan, compute, &device, Given::Published(&published))?;
        Ok(Self { policy, markup, plan: None, no_chat })
    }

    /// The question that a conversation ends with. Where its last message is the model's own, the answer begins with
    /// that.
    ///
    /// # Errors
    /// When there is no chat template, it refuses the messages, or a message holds a reserved text.
    pub fn conversation(&self, messages: &[Message]) -> Result<Question, Failure> {
        let told = |error| Failure::from(PortError::from(error));
        for message in messages {
            unreserved(&self.markup, "message", &message.content).map_err(told)?;
        }
        let template = self.template()?;
        let (messages, begun) = match messages.split_last() {
            Some((last, before)) if last.role == ASSISTANT => (before, last.content.as_str()),
            _ => (messages, ""),
        };
        let mut prompt = template.render_open(messages).map_err(told)?;
        prompt.push_str(begun);
        let prefill = [&template.begun(), begun].concat();
        Ok(Question { prompt, form: PromptForm::Messages { prefill } })
    }

    fn template(&self) -> Result<ChatTemplate, Failure> {
        let hint = "ask with a text: `r1x generate` takes one as `--prompt`";
        match (&self.markup.chat, &self.no_chat) {
            (Some(ChatPlan { template, bos, eos }), _) => {
                ChatTemplate::new(template, bos.as_deref(), eos.as_deref())
                    .map_err(|error| PortError::from(error).into())
            }
            (None, Some(refusal)) => Err(Failure::new(code::INPUT, refusal.message.clone(), hint)),
            (None, None) => Err(Failure::new(code::INPUT, "the model has no chat template", hint)),
        }
    }

    /// Completions of every question, in order.
    ///
    /// # Errors
    /// When a question does not fit the model, or a completion was not drawn from finite numbers.
    pub fn answers(
        &self,
        questions: &[Question],
        manner: &Manner,
    ) -> Result<Vec<Answered>, Failure> {
        let mut requests = Vec::new();
        for (address, question) in questions.iter().enumerate() {
            let prompt = self.policy.encode_prompt(&question.prompt, &question.form)?;
            let (samples, address) = (manner.samples, address as u64);
            requests.push(GenerateRequest { prompt, samples, address, lengths: Vec::new() });
        }
        let longest = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
        let context = self.policy.context_length();
        let room = context.saturating_sub(longest);
        if room == 0 {
            return Err(Failure::new(
                code::INPUT,
                format!("a prompt of {longest} tokens leaves no room in a context of {context}"),
                "shorten the prompt",
            ));
        }
        let sampling = SamplingPlan {
            temperature: manner.temperature,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            max_tokens: manner.max_tokens.map_or(room, |most| most.min(room)),
        };
        let stream = Rng::new(manner.seed).stream("generate");
        let completions = self.policy.generate(&requests, &sampling, stream)?;
        self.finite(questions, &completions)?;
        let answered = requests
            .into_iter()
            .zip(completions)
            .map(|(request, completions)| Answered { prompt_tokens: request.prompt, completions });
        Ok(answered.collect())
    }

    /// A completion as people read it: it begins with what the prompt gave of it.
    pub fn text(&self, question: &Question, completion: &Completion) -> String {
        [question.form.prefill(), &self.policy.decode(&completion.tokens)].concat()
    }

    /// An error that names the first token that was not drawn from finite numbers.
    fn finite(
        &self,
        questions: &[Question],
        completions: &[Vec<Completion>],
    ) -> Result<(), Failure> {
        let hint = match self.plan {
            Some(_) => "use an earlier checkpoint: `--checkpoint` takes its name",
            None => "its weights may be damaged: `r1x model score` says what they give",
        };
        for (question, completions) in questions.iter().zip(completions) {
            for (index, completion) in completions.iter().enumerate() {
                if let Some((token, said, value)) = completion.not_finite() {
                    let start: String = question.prompt.chars().take(60).collect();
                    let message = format!(
                        "the {said} of token {token} of completion {index} of `{start}` is {value}"
                    );
                    return Err(Failure::new(code::DIVERGED, message, hint));
                }
            }
        }
        Ok(())
    }
}

/// The tokenizer of a published model.
///
/// # Errors
/// When the folder has none, or it cannot be used.
pub fn tokenizer_of(folder: &Path) -> Result<TokenizerPlan, Failure> {
    tokenizer(folder).map(|(plan, ..)| plan)
}

/// The tokenizer of a published model, its reserved texts, and why its chat template cannot be had.
fn tokenizer(folder: &Path) -> Result<(TokenizerPlan, Vec<String>, Option<Refusal>), Failure> {
    let refused = |refusal: Refusal| {
        let hint = refusal.help.unwrap_or_else(|| "take another model".to_owned());
        Failure::new(code::INPUT, refusal.message, hint)
    };
    let path = folder.join("tokenizer.json");
    if !path.exists() {
        return Err(Failure::new(
            code::INPUT,
            format!("{} has no tokenizer.json", folder.display()),
            "`r1x model import` makes a folder with one of a GGUF file",
        ));
    }
    let bytes = r1x_files::read(&path, MOST_BYTES).map_err(|error| Failure::io(&path, &error))?;
    let eos = eos_tokens(folder);
    if eos.is_empty() {
        return Err(Failure::new(
            code::INPUT,
            format!("the files of {} do not say which token ends a text", folder.display()),
            "write an `eos_token` into its tokenizer_config.json",
        ));
    }
    let facts = tokenizer_facts(&bytes, &eos).map_err(|reason| {
        refused(Refusal::from(format!("{} cannot be used: {reason}", path.display())))
    })?;
    let around = chat_facts(folder).map_err(refused)?;
    let bos = around.before_texts(&facts);
    let (template, no_chat) = match around.template {
        None => (None, None),
        Some(Ok(template)) => (Some(template), None),
        Some(Err(refusal)) => (None, Some(refusal)),
    };
    let end = around.eos.or_else(|| eos.first().cloned());
    let chat = template.map(|template| ChatPlan { template, bos: around.bos, eos: end });
    let (path, sha256) = (path.display().to_string(), r1x_core::digest::sha256(&bytes));
    Ok((TokenizerPlan::File { path, sha256, eos, bos, chat }, facts.reserved, no_chat))
}

/// A named checkpoint, or the newest that is still there.
///
/// # Errors
/// When the run has none, or none of that name.
pub fn checkpoint(
    store: &Store,
    run: &str,
    wanted: Option<&str>,
) -> Result<CheckpointCard, Failure> {
    let checkpoints = store.checkpoints(run)?;
    let kept: Vec<_> = checkpoints.iter().filter(|c| c.exists).collect();
    let found = match wanted {
        Some(path) => kept.iter().find(|c| c.path == path),
        None => kept.last(),
    };
    if let (Some(found), Some(newest), None) = (found, checkpoints.last(), wanted)
        && found.path != newest.path
    {
        eprintln!("note: {} is gone; taking {}", newest.path, found.path);
    }
    match found {
        Some(found) => Ok((*found).clone()),
        None => {
            let hint = match checkpoints_on_disk(&checkpoints).as_slice() {
                [] => "a checkpoint is written at the end of every training stage".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            let what =
                wanted.map_or("no checkpoint".to_owned(), |path| format!("no checkpoint `{path}`"));
            Err(Failure::new(code::INPUT, format!("run {run} has {what}"), hint))
        }
    }
}
