//! `r1x generate`: sample from a run's checkpoint.
//!
//! Must not record anything.

use r1x_core::plan::{RunPlan, SamplingPlan};
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, PortError, Rng};
use r1x_model::{Expected, ModelEncoder};
use r1x_store::{CheckpointCard, Store, checkpoints_on_disk};

use crate::args::Global;
use crate::display::{Fields, Page};
use crate::failure::{Failure, code};
use crate::number::number;
use crate::output::{self, Stream};
use crate::wiring::Compute;
use crate::{plans, stores, wiring};

/// What is asked.
#[derive(Debug)]
pub struct Ask {
    /// A prompt, or held-out problems.
    pub prompt: Option<String>,
    /// Completions per prompt.
    pub samples: usize,
    /// Softmax temperature.
    pub temperature: f64,
    /// Seed of the draws.
    pub seed: u64,
    /// Which checkpoint.
    pub checkpoint: Option<String>,
}

/// Prints completions with their log-probs.
///
/// # Errors
/// When the run has no such checkpoint or the prompt cannot be encoded.
pub fn generate(
    global: &Global,
    run: &str,
    ask: &Ask,
    compute: &Compute,
    json: bool,
) -> Result<i32, Failure> {
    let device = wiring::device(compute)?;
    let store = stores::reading(global.store())?;
    let plan = plans::plan_of(&store, run)?;
    let summary = store.run(run)?;
    let checkpoint = checkpoint(&store, &summary.name, ask.checkpoint.as_deref())?;
    let folder = store.run_folder(&summary.name).join(&checkpoint.path);
    let mut policy = wiring::policy(&plan, compute, &device, &folder)?;
    policy.load_weights(
        &folder,
        &Expected {
            weights_sha256: Some(&checkpoint.sha256),
            state_sha256: checkpoint.state_sha256.as_deref(),
            run: Some(&summary.uid),
        },
    )?;
    let prompts = match &ask.prompt {
        Some(prompt) => vec![prompt.clone()],
        None => heldout(&plan)?,
    };
    let mut requests = Vec::new();
    for (address, prompt) in prompts.iter().enumerate() {
        let tokens = policy.encode(prompt)?;
        requests.push(GenerateRequest {
            prompt: tokens,
            samples: ask.samples,
            address: address as u64,
            lengths: Vec::new(),
        });
    }
    let longest = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
    let sampling = SamplingPlan {
        temperature: ask.temperature,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        max_tokens: policy.context_length().saturating_sub(longest),
    };
    let stream = Rng::new(ask.seed).stream("generate");
    let completions = policy.generate(&requests, &sampling, stream)?;
    finite(&prompts, &completions)?;
    let mut page = Page::default();
    for (prompt, completions) in prompts.iter().zip(&completions) {
        page.text("", prompt);
        for completion in completions {
            let logprob: f64 = completion.logprobs.iter().map(|l| f64::from(*l)).sum();
            let text = policy.decode(&completion.tokens);
            if json {
                output::json(&object(prompt, text, completion, logprob).to_string());
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

/// An error that names the first token that was not drawn from finite numbers.
fn finite(prompts: &[String], completions: &[Vec<Completion>]) -> Result<(), Failure> {
    for (prompt, completions) in prompts.iter().zip(completions) {
        for (index, completion) in completions.iter().enumerate() {
            if let Some((token, said, value)) = completion.not_finite() {
                let start: String = prompt.chars().take(60).collect();
                return Err(Failure::new(
                    code::DIVERGED,
                    format!(
                        "the {said} of token {token} of completion {index} of `{start}` is {value}"
                    ),
                    "use an earlier checkpoint: `--checkpoint` takes its name",
                ));
            }
        }
    }
    Ok(())
}

/// A completion as programs read it: its text is not made visible, but is what the model said.
fn object(prompt: &str, text: String, completion: &Completion, logprob: f64) -> serde_json::Value {
    serde_json::json!({
        "prompt": prompt,
        "completion": text,
        "logprob": logprob,
        "tokens": completion.tokens,
        "logprobs": completion.logprobs,
        "finish": completion.finish.as_str(),
    })
}

/// A named checkpoint, or the newest that is still there.
fn checkpoint(store: &Store, run: &str, wanted: Option<&str>) -> Result<CheckpointCard, Failure> {
    let checkpoints = store.checkpoints(run)?;
    let kept: Vec<_> = checkpoints.iter().filter(|c| c.exists).collect();
    let found = match wanted {
        Some(path) => kept.iter().find(|c| c.path == path),
        None => kept.last(),
    };
    if let (Some(found), Some(newest), None) = (found, checkpoints.last(), wanted)
        && found.path != newest.path
    {
        eprintln!("note: {} is gone; sampling from {}", newest.path, found.path);
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

/// The first few held-out prompts.
fn heldout(plan: &RunPlan) -> Result<Vec<String>, Failure> {
    let encoder = ModelEncoder::new(&plan.model).map_err(PortError::from)?;
    let problems = wiring::problems(plan, encoder.markup())?;
    let sets = problems.sets().flat_map(|(_, set)| set.heldout.iter().take(4));
    Ok(sets.map(|problem| problem.prompt.clone()).collect())
}
