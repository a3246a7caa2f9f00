//! `r1x rescore`: a run's recorded rollouts judged by another build, kept beside the original judgement.
//!
//! The run itself, its digest included, stays as it is.

use r1x_store::PluginInput;

use crate::args::{AgainstArgs, Global, PluginArgs};
use crate::command::plugin::{granted, run};
use crate::failure::Failure;
use crate::stores;

/// Scores, keeps and reports.
///
/// # Errors
/// When the run or the plugin does not allow it, or the store cannot be written.
pub fn rescore(
    global: &Global,
    reference: &str,
    arguments: &PluginArgs,
    against: &AgainstArgs,
) -> Result<i32, Failure> {
    let opened = granted(arguments)?;
    let store = stores::store(global.store())?;
    let judged = run::judge(&store, &opened, arguments, reference, against.reward.as_deref())?;
    let plugin = &opened.plugin;
    let input = PluginInput {
        reward_id: judged.reward.clone(),
        name: plugin.info().name.clone(),
        version: plugin.info().version.clone(),
        wit_world: r1x_reward::WIT_WORLD.to_owned(),
        sha256: plugin.sha256().to_owned(),
        bytes: plugin.bytes().to_vec(),
        source_sha256: None,
        config_json: judged.config.clone(),
        // A weight belongs to a run's plan, and this is none.
        weight: 1.0,
    };
    let outcomes = judged.pairs.iter().map(|pair| (pair.rollout_id, pair.now.clone())).collect();
    let number = store.add_rescore(&judged.run, input, outcomes)?;
    run::report(&judged, against);
    if !against.json {
        println!();
        println!(
            "kept as {number}: r1x sql \"SELECT * FROM v_rescores WHERE rescore_id = {number} LIMIT 10\""
        );
    }
    Ok(0)
}
