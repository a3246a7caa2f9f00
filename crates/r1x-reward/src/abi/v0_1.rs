//! Version 0.1 of the contract: generated bindings, and their conversion into the crate's own types.
//!
//! Nothing here leaves the module above, so the next version gets a file of its own beside this one.

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

use crate::capability;
use crate::contract::{Answer, GuestError, LogLevel, Needs, PluginInfo, Question, cut};
use crate::limits::MAX_INFO_BYTES;
use crate::state::State;
use crate::wasi;

#[allow(clippy::all, missing_docs)]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "reward",
        // Rollouts are lowered from where they are; an owned copy of every completion would only be read once.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use generated::r1x::reward::{log, types};
pub(super) use generated::{Reward, RewardPre};

/// What a guest must export.
pub(super) const EXPORTS: [&str; 3] = ["info", "configure", "score-batch"];

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
        };
        self.system.log.push(level, message);
    }
}

impl types::Host for State {}

/// Resolves the imports and exports of a component once, for all its instances.
pub(super) fn prepare(
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<RewardPre<State>> {
    let mut linker = Linker::new(engine);
    Reward::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state)?;
    wasi::link(&mut linker, engine, component)?;
    capability::link(&mut linker, engine, component)?;
    RewardPre::new(linker.instantiate_pre(component)?)
}

/// Calls `info`.
pub(super) fn info(reward: &Reward, store: &mut Store<State>) -> wasmtime::Result<PluginInfo> {
    let info = reward.call_info(store)?;
    Ok(PluginInfo {
        name: info.name,
        version: info.version,
        description: info.description,
        needs: Needs {
            prompt: info.needs.contains(types::Needs::PROMPT),
            metadata: info.needs.contains(types::Needs::METADATA),
            groups: info.needs.contains(types::Needs::GROUPS),
        },
        columns: info.columns,
        optional_columns: info.optional_columns,
        parts: info.parts,
        min: info.min,
        max: info.max,
        config_schema: info.config_schema,
    })
}

/// Calls `configure`.
pub(super) fn configure(
    reward: &Reward,
    store: &mut Store<State>,
    config_json: &str,
) -> wasmtime::Result<Result<(), GuestError>> {
    Ok(reward.call_configure(store, config_json)?.map_err(guest_error))
}

/// Calls `score-batch`.
pub(super) fn score_batch(
    reward: &Reward,
    store: &mut Store<State>,
    batch: &[Question<'_>],
) -> wasmtime::Result<Result<Vec<Answer>, GuestError>> {
    let rollouts: Vec<types::Rollout<'_>> = batch.iter().map(rollout).collect();
    let scores = reward.call_score_batch(store, &rollouts)?;
    Ok(match scores {
        Ok(scores) => Ok(scores.into_iter().map(answer).collect()),
        Err(error) => Err(guest_error(error)),
    })
}

fn rollout<'a>(question: &Question<'a>) -> types::Rollout<'a> {
    types::Rollout {
        id: question.id,
        group: question.group,
        prompt: question.prompt,
        completion: question.completion,
        prompt_tokens: question.prompt_tokens,
        completion_tokens: question.completion_tokens,
        truncated: question.truncated,
        stop_reason: Some(question.stop_reason),
        columns: question.columns,
        metadata: question.metadata,
    }
}

/// How the `info` of a reward that is NaN begins when the guest could not judge this one rollout: the record of
/// a score has no field for that. Guests that judge a whole call by one function, as those in Python and
/// JavaScript do, so tell an exception in one rollout without losing the others.
const FAILED: &str = "r1x-failed:";

fn answer(score: types::Score) -> Answer {
    let no_number = score.reward.is_some_and(f64::is_nan);
    // Errors, replay files and records hold what is said here once for every rollout.
    let info = score.info.map(|info| cut(info, MAX_INFO_BYTES));
    let failure = info.as_deref().filter(|_| no_number);
    Answer {
        failure: failure.and_then(|info| info.strip_prefix(FAILED)).map(str::to_owned),
        reward: score.reward,
        parts: score.parts.into_iter().map(|part| (part.name, part.value)).collect(),
        info,
    }
}

fn guest_error(error: types::Error) -> GuestError {
    let cut = |reason| cut(reason, MAX_INFO_BYTES);
    match error {
        types::Error::BadConfig(reason) => GuestError::BadConfig(cut(reason)),
        types::Error::BadSample((position, reason)) => {
            GuestError::BadRollout { position: position as usize, reason: cut(reason) }
        }
        types::Error::Other(reason) => GuestError::Other(cut(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_that_cannot_be_judged_is_told_from_a_number_that_is_none() {
        let told = |reward, info: &str| {
            answer(types::Score { reward, parts: Vec::new(), info: Some(info.to_owned()) }).failure
        };
        let sentence = "raised KeyError at a.py:5: 'boom'";
        assert_eq!(told(Some(f64::NAN), &format!("{FAILED}{sentence}")).as_deref(), Some(sentence));
        assert_eq!(told(Some(f64::NAN), "no target"), None);
        assert_eq!(told(Some(1.0), FAILED), None);
        assert_eq!(told(None, FAILED), None);
    }
}
