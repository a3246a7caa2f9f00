//! Frozen models that rewards may ask: checkpoints of the plan's `judges`, each with a lock of its own.
//!
//! What a model answers depends on its weights and the request alone: requests that share their settings are decoded
//! together, which changes nothing about any of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use r1x_core::plan::JudgePlan;
use r1x_core::plan::SamplingPlan;
use r1x_core::port::{GenerateRequest, WeightChoice};
use r1x_core::{
    Boundary, Judge, JudgeRequest, PortError, PromptForm, Rng, TrainingBatch, TrainingSequence,
};
use r1x_model::{Expected, Given, Model};

/// Sequences scored together; changes speed only.
const SCORED_TOGETHER: usize = 16;

/// More than the weights of any model that fits a machine of today, bytes.
const MOST_WEIGHTS_BYTES: u64 = 1 << 40;

type Served = Box<dyn Model + Send>;

/// Models by name.
pub struct Judges(BTreeMap<String, Mutex<Served>>);

impl Judges {
    /// Loads the models of a plan, on the CPU.
    ///
    /// # Errors
    /// When a checkpoint is missing, is not the one of the plan, or is of another shape.
    pub fn load(plans: &BTreeMap<String, JudgePlan>, threads: usize) -> Result<Self, PortError> {
        let load = |(name, plan): (&String, &JudgePlan)| {
            let told = |error: PortError| PortError {
                message: format!("judge `{name}`: {}", error.message),
                ..error
            };
            Ok((name.clone(), Mutex::new(served(plan, threads).map_err(told)?)))
        };
        plans.iter().map(load).collect::<Result<_, PortError>>().map(Self)
    }

    /// Asks one model with its prompts as tokens; the error names the model.
    fn ask<T>(
        &self,
        name: &str,
        question: impl FnOnce(&mut Served) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        let Some(model) = self.0.get(name) else {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            return Err(PortError::new(
                Boundary::Spec,
                format!("there is no judge `{name}`"),
                format!("the spec's `judges` has: {}", known.join(", ")),
            ));
        };
        // A panic in the middle of an answer leaves weights as they were.
        question(&mut model.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn served(plan: &JudgePlan, threads: usize) -> Result<Served, PortError> {
    let folder = PathBuf::from(&plan.checkpoint);
    check(&folder, &plan.sha256)?;
    // A judge draws no weights: its adapters, where it has any, stand beside a published model.
    let given = Given::Checkpoint { folder: &folder, expected: &Expected::ANYTHING, seed: 0 };
    Ok(r1x_model::model::answering_on_cpu(&plan.model, threads, given)?)
}

/// Whether the weights are those that the plan names.
fn check(folder: &Path, sha256: &str) -> Result<(), PortError> {
    let path = folder.join(JudgePlan::WEIGHTS);
    let bytes = r1x_files::read(&path, MOST_WEIGHTS_BYTES).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        PortError::new(Boundary::Data, message, "put the checkpoint back where the plan says")
    })?;
    if r1x_core::digest::sha256(&bytes) == sha256 {
        return Ok(());
    }
    Err(PortError::new(
        Boundary::Data,
        format!("{}: not the weights that the plan names", path.display()),
        "put the recorded checkpoint back, or start a new run with this one",
    ))
}

/// Requests that are decoded together: equal in all that is not the prompt.
type Settings = (u64, u64, usize);

impl Judge for Judges {
    fn complete(&self, model: &str, batch: &[JudgeRequest]) -> Result<Vec<String>, PortError> {
        self.ask(model, |model| {
            let mut together: BTreeMap<Settings, Vec<(usize, GenerateRequest)>> = BTreeMap::new();
            for (index, request) in batch.iter().enumerate() {
                let prompt = model.encode_prompt(&request.prompt, &PromptForm::Text)?;
                let room = room(model.as_ref(), prompt.len())?.min(request.max_tokens).max(1);
                let settings = (request.seed, request.temperature.to_bits(), room);
                let request =
                    GenerateRequest { prompt, samples: 1, address: 0, lengths: Vec::new() };
                together.entry(settings).or_default().push((index, request));
            }
            let mut answers = vec![String::new(); batch.len()];
            for ((seed, temperature, max_tokens), indexed) in together {
                let (indices, requests): (Vec<_>, Vec<_>) = indexed.into_iter().unzip();
                let temperature = f64::from_bits(temperature);
                let sampling =
                    SamplingPlan { temperature, top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens };
                let stream = Rng::new(seed).stream("judge");
                let written = model.generate(&requests, &sampling, stream)?;
                for (index, completions) in indices.into_iter().zip(written) {
                    let tokens = completions.first().map_or(&[][..], |first| &first.tokens);
                    answers[index] = model.decode(tokens);
                }
            }
            Ok(answers)
        })
    }

    fn logprob(&self, model: &str, batch: &[(String, String)]) -> Result<Vec<f64>, PortError> {
        self.ask(model, |model| {
            let sequences = batch
                .iter()
                .map(|(prompt, text)| sequence(model.as_ref(), prompt, text))
                .collect::<Result<Vec<_>, _>>()?;
            let batch = TrainingBatch {
                sequences,
                micro_batch_size: SCORED_TOGETHER,
                temperature: 1.0,
                share_prompts: false,
            };
            let scored = model.score(WeightChoice::Current, &batch)?;
            let sum = |logprobs: &Vec<f32>| logprobs.iter().map(|one| f64::from(*one)).sum();
            Ok(scored.iter().map(sum).collect())
        })
    }
}

/// Tokens that fit after a prompt.
fn room(model: &dyn Model, prompt: usize) -> Result<usize, PortError> {
    let context = model.context_length();
    match context.checked_sub(prompt) {
        Some(room) if room > 0 && prompt > 0 => Ok(room),
        _ => Err(PortError::new(
            Boundary::Data,
            format!("a prompt of {prompt} tokens does not fit a judge that reads {context}"),
            "shorten the template, or what it is filled with",
        )),
    }
}

fn sequence(
    model: &dyn Model,
    prompt: &str,
    text: &str,
) -> Result<Arc<TrainingSequence>, PortError> {
    let prompt = model.encode_prompt(prompt, &PromptForm::Text)?;
    let text = model.encode(text)?;
    if text.is_empty() || text.len() > room(model, prompt.len())? {
        return Err(PortError::new(
            Boundary::Data,
            format!("a text of {} tokens cannot follow a prompt of {}", text.len(), prompt.len()),
            "give at least one token, and no more than the judge can read",
        ));
    }
    Ok(Arc::new(TrainingSequence::new(&prompt, &text)))
}

#[cfg(test)]
mod tests;
