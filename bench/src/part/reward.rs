//! The host of reward plugins: 1000 completions of 2 kB through the `countdown` plugin.

use std::collections::BTreeMap;

use r1x_core::plan::{JudgedBy, OnFailure, PluginPlan, RewardPlan};
use r1x_core::{PortError, Problem, Rewarder, Rollout, RolloutGroup, testing};
use r1x_reward::{Host, HostOptions, WasmRewarder};

use super::Case;
use crate::failure::Failure;
use crate::measure::{Options, repeat, time_row};
use crate::row::Row;

/// The component, as it is committed.
const COUNTDOWN: &[u8] = include_bytes!("../../../plugins/countdown.wasm");
const GROUPS: usize = 125;
const GROUP_SIZE: usize = 8;
/// Bytes of a completion's thinking.
const BYTES: usize = 2000;

/// The workloads.
pub fn cases() -> Vec<Case> {
    vec![Case::new("reward/countdown", |options| Ok(vec![run(options)?]))]
}

fn run(options: &Options) -> Result<Row, Failure> {
    let host = Host::new(HostOptions { cache_dir: None, workers: options.threads })
        .map_err(PortError::from)?;
    let plugin = host.load_bytes("countdown.wasm", COUNTDOWN.to_vec()).map_err(PortError::from)?;
    let plan = RewardPlan {
        judged_by: JudgedBy::Plugin(PluginPlan {
            path: plugin.source().to_owned(),
            sha256: plugin.sha256().to_owned(),
            ..testing::plugin()
        }),
        on_failure: OnFailure::Fail,
        ..testing::reward("countdown")
    };
    let mut rewarder =
        WasmRewarder::new(&host, &[(plan.clone(), plugin)]).map_err(PortError::from)?;
    let groups = vec![group(); GROUPS];
    let samples = repeat(options, || {
        let outcomes = rewarder.score(std::slice::from_ref(&plan), &groups)?;
        let solved = outcomes.iter().flatten().flatten().all(|one| one.value == Some(1.0));
        if solved {
            return Ok(None);
        }
        Err(Failure::new("the plugin refused a right answer", "does `cargo xtask plugins` agree?"))
    })?;
    Ok(time_row("reward/countdown", "ms", 1e3, &samples, None))
}

/// Right answers after much thinking.
fn group() -> RolloutGroup {
    let columns = [("nums", "[3,5,7]"), ("target", "56")];
    let columns: BTreeMap<String, String> =
        columns.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let problem = Problem { columns, ..testing::problem("key", "prompt") };
    let thinking: String = "3 + 5 = 8 ; ".chars().cycle().take(BYTES).collect();
    let text = format!("{thinking} </think> <answer> ( 3 + 5 ) * 7 </answer>");
    let rollouts = vec![Rollout { completion: testing::completion(500), text }; GROUP_SIZE];
    RolloutGroup { problem, prompt_tokens: vec![1; 30], rollouts }
}
