//! Questions to frozen models, passed on to whoever serves them.

use std::sync::Arc;

use r1x_core::{Capability, Judge, JudgeRequest, PortError};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance};

use super::{count, not_granted, off_the_clock};
use crate::state::State;

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
struct Request {
    prompt: String,
    #[component(name = "max-tokens")]
    max_tokens: u32,
    temperature: f32,
    seed: u64,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
struct Continuation {
    prompt: String,
    text: String,
}

/// The functions of the interface.
pub(super) fn define(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "complete",
        |mut store: StoreContextMut<'_, State>, (model, batch): (String, Vec<Request>)| {
            check(batch.len())?;
            let requests = batch.into_iter().map(request).collect::<Result<Vec<_>, _>>();
            ask(&mut store, |judge| judge.complete(&model, &requests.map_err(bad)?))
        },
    )?;
    instance.func_wrap(
        "logprob",
        |mut store: StoreContextMut<'_, State>, (model, batch): (String, Vec<Continuation>)| {
            check(batch.len())?;
            let batch: Vec<_> = batch.into_iter().map(|c| (c.prompt, c.text)).collect();
            ask(&mut store, |judge| judge.logprob(&model, &batch))
        },
    )
}

/// Most questions of one batch. Each has an answer that the host holds until the last of them is there.
const MAX_QUESTIONS: usize = 10_000;

fn check(questions: usize) -> wasmtime::Result<()> {
    if questions > MAX_QUESTIONS {
        let message =
            format!("it asked {questions} questions at once; {MAX_QUESTIONS} are the most");
        return Err(wasmtime::Error::msg(message));
    }
    Ok(())
}

type Answers<T> = (Result<Vec<T>, String>,);

fn ask<T>(
    store: &mut StoreContextMut<'_, State>,
    question: impl FnOnce(&dyn Judge) -> Result<Vec<T>, PortError>,
) -> wasmtime::Result<Answers<T>> {
    count(store.data_mut(), Capability::Judge)?;
    let judge: Option<Arc<dyn Judge>> = store.data().grants.judge.clone();
    let judge = judge.ok_or_else(|| not_granted(Capability::Judge))?;
    let answers = off_the_clock(store, || question(judge.as_ref()));
    Ok((answers.map_err(|error| match error.hint {
        Some(hint) => format!("{}; {hint}", error.message),
        None => error.message,
    }),))
}

fn request(request: Request) -> Result<JudgeRequest, String> {
    if !(0.0..=100.0).contains(&request.temperature) {
        return Err(format!("a temperature must be from 0 to 100, not {}", request.temperature));
    }
    Ok(JudgeRequest {
        prompt: request.prompt,
        max_tokens: request.max_tokens as usize,
        temperature: f64::from(request.temperature),
        seed: request.seed,
    })
}

fn bad(reason: String) -> PortError {
    PortError::new(r1x_core::Boundary::Reward, reason, "mend the plugin")
}
