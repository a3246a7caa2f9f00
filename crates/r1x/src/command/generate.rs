//! `r1x generate`: sample from a run's checkpoint or from a published model.
//!
//! Must not record anything.

use std::path::{Path, PathBuf};

use r1x_core::Completion;
use r1x_core::plan::RunPlan;
use r1x_tasks::Message;

use crate::args::{Global, WritingArgs};
use crate::display::{Fields, Page};
use crate::failure::{Failure, code};
use crate::number::number;
use crate::output::{self, Stream};
use crate::speaker::{Manner, Question, Speaker, is_published};
use crate::wiring::{self, Compute};

/// Completions of a question to a run, and to a published model, where nobody says how many.
const SAMPLES: (usize, usize) = (4, 1);
/// Tokens of an answer of a published model, where nobody says how many: some of these go on for pages.
pub const MAX_TOKENS: usize = 256;
/// Longest file of messages, bytes.
const MOST_BYTES: u64 = 16 << 20;
/// How a file of messages looks.
const FORM: &str = "a file of messages is a JSON list, such as [{\"role\": \"user\", \"content\": \"What is 3 + 4?\"}]";

/// What is asked.
#[derive(Debug)]
pub struct Ask {
    /// A prompt, or a file of messages, or neither for held-out problems.
    pub prompt: Option<String>,
    /// A file of messages.
    pub messages: Option<PathBuf>,
    /// Completions per prompt.
    pub samples: Option<usize>,
    /// How it is written.
    pub writing: WritingArgs,
    /// Which checkpoint of a run.
    pub checkpoint: Option<String>,
}

/// Prints completions with their log-probs.
///
/// # Errors
/// When there is no such model, or the prompt cannot be encoded.
pub fn generate(
    global: &Global,
    model: &str,
    ask: &Ask,
    compute: &Compute,
    json: bool,
) -> Result<i32, Failure> {
    let speaker = match is_published(model) {
        true => Speaker::published(Path::new(model), ask.writing.precision, compute)?,
        false => Speaker::of_run(global, model, ask.checkpoint.as_deref(), compute)?,
    };
    let questions = questions(&speaker, ask)?;
    let manner = Manner {
        samples: ask.samples.unwrap_or(if speaker.plan.is_some() { SAMPLES.0 } else { SAMPLES.1 }),
        max_tokens: ask.writing.max_tokens().or(speaker.plan.is_none().then_some(MAX_TOKENS)),
        temperature: ask.writing.temperature,
        seed: ask.writing.seed,
    };
    let answers = speaker.answers(&questions, &manner)?;
    let mut page = Page::default();
    for (question, answered) in questions.iter().zip(&answers) {
        page.text("", &question.prompt);
        for completion in &answered.completions {
            let logprob: f64 = completion.logprobs.iter().map(|l| f64::from(*l)).sum();
            let text = speaker.text(question, completion);
            if json {
                let asked = (question.prompt.as_str(), answered.prompt_tokens.as_slice());
                output::json(&object(asked, text, completion, logprob).to_string());
            } else {
                page.fields(Fields::one(format!("  {:>9}", number(logprob)), text));
            }
        }
    }
    if !json {
        output::page(Stream::Out, &page);
    }
    Ok(0)
}

/// A completion as programs read it: its text is not made visible, but is what the model said.
fn object(
    (prompt, prompt_tokens): (&str, &[u32]),
    text: String,
    completion: &Completion,
    logprob: f64,
) -> serde_json::Value {
    serde_json::json!({
        "prompt": prompt,
        "prompt_tokens": prompt_tokens,
        "completion": text,
        "logprob": logprob,
        "tokens": completion.tokens,
        "logprobs": completion.logprobs,
        "finish": completion.finish.as_str(),
    })
}

fn questions(speaker: &Speaker, ask: &Ask) -> Result<Vec<Question>, Failure> {
    if let Some(path) = &ask.messages {
        return Ok(vec![speaker.conversation(&messages(path)?)?]);
    }
    match (&ask.prompt, &speaker.plan) {
        (Some(prompt), _) => {
            Ok(vec![Question { prompt: prompt.clone(), form: Default::default() }])
        }
        (None, Some(plan)) => heldout(plan, speaker),
        (None, None) => Err(Failure::new(
            code::INPUT,
            "a published model has no held-out problems to be asked",
            "ask it something: `--prompt TEXT`, or `--messages FILE`",
        )),
    }
}

/// The messages of a file.
fn messages(path: &Path) -> Result<Vec<Message>, Failure> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        role: String,
        content: String,
    }
    let fail =
        |reason: String| Failure::new(code::INPUT, format!("{}: {reason}", path.display()), FORM);
    let text = r1x_files::read_text(path, MOST_BYTES).map_err(|error| fail(error.to_string()))?;
    let written: Vec<Written> =
        serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    if written.is_empty() {
        return Err(fail("it has no message".to_owned()));
    }
    Ok(written.into_iter().map(|one| Message::new(one.role, one.content)).collect())
}

/// The first few held-out problems of a run.
fn heldout(plan: &RunPlan, speaker: &Speaker) -> Result<Vec<Question>, Failure> {
    let problems = wiring::problems(plan, &speaker.markup)?;
    let sets = problems.sets().flat_map(|(_, set)| set.heldout.iter().take(4));
    let question = |problem: &r1x_core::Problem| Question {
        prompt: problem.prompt.clone(),
        form: problem.form.clone(),
    };
    Ok(sets.map(question).collect())
}
