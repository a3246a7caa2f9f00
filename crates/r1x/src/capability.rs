//! What rewards are granted, made from what this machine has: interpreters, checkpoints.

use std::sync::Arc;

use r1x_build::{Source, interpreter};
use r1x_core::plan::{RewardPlan, RunPlan};
use r1x_core::{Capability, Judge, PortError};
use r1x_reward::{Exec, Grants, Host, Plugin};

use crate::failure::{Failure, code};
use crate::hosting;
use crate::judge::Judges;

/// Where the manifest of a plugin and its component disagree about what it asks for.
pub fn disagreement(source: &Source, asks: &[Capability]) -> Option<String> {
    let path = source.manifest_path.as_ref()?;
    let written = source.manifest.capabilities.names();
    let says = |names: &[&str]| match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    let asks: Vec<&str> = asks.iter().map(|asked| asked.as_str()).collect();
    let differ = asks.iter().any(|name| !written.contains(name))
        || written.iter().any(|name| !asks.contains(name));
    differ.then(|| {
        format!(
            "{} asks for {} under [capabilities], and the component for {}; write what it uses",
            path.display(),
            says(&written),
            says(&asks)
        )
    })
}

/// Interpreters for every language that programs can be in, built and compiled where that is still to be done.
///
/// # Errors
/// When a tool for that is missing.
pub fn exec(host: &Host) -> Result<Exec, Failure> {
    let environment = hosting::build_environment();
    let mut components = Vec::new();
    for language in interpreter::languages() {
        if !interpreter::is_built(language, &environment) {
            eprintln!("building the interpreter for programs in {language}, once for this machine");
        }
        if let Some(bytes) = interpreter::component(language, &environment)? {
            components.push((language, bytes));
        }
    }
    let lent: Vec<(&str, &[u8])> =
        components.iter().map(|(language, bytes)| (*language, bytes.as_slice())).collect();
    host.load_interpreters(&lent).map_err(|error| PortError::from(error).into())
}

/// What judges answer through, shared by the rewards of a run.
pub type SharedJudge = Arc<dyn Judge>;

/// The models of a plan, when a reward may ask them.
///
/// # Errors
/// When a checkpoint does not load.
pub fn judges(plan: &RunPlan, threads: usize) -> Result<Option<SharedJudge>, Failure> {
    if !plan
        .rewards
        .iter()
        .filter_map(RewardPlan::plugin)
        .any(|plugin| plugin.grant.contains(&Capability::Judge))
    {
        return Ok(None);
    }
    Ok(Some(Arc::new(Judges::load(&plan.judges, threads)?)))
}

/// The plugin with the grants that these words stand for.
///
/// # Errors
/// When one of them cannot be had here.
pub fn granted(
    plugin: &Plugin,
    grant: &[Capability],
    judge: Option<&SharedJudge>,
) -> Result<Plugin, Failure> {
    let wants = |one: Capability| grant.contains(&one) && plugin.asks().contains(&one);
    let exec = match wants(Capability::Exec) {
        true => Some(exec(plugin.host())?),
        false => None,
    };
    let judge = judge.filter(|_| wants(Capability::Judge)).cloned();
    Ok(plugin.with(Grants { assets: wants(Capability::Assets), exec, judge }))
}

/// Reads the words of a command line.
///
/// # Errors
/// For the first that is none.
pub fn read(words: &[String]) -> Result<Vec<Capability>, Failure> {
    let known = |word: &String| {
        Capability::ALL.into_iter().find(|one| one.as_str() == word).ok_or_else(|| {
            Failure::new(
                code::INPUT,
                format!("--grant: `{word}` is no capability"),
                format!("there are: {}", Capability::ALL.map(Capability::as_str).join(", ")),
            )
        })
    };
    words.iter().map(known).collect()
}
