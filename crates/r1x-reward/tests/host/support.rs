//! Short ways to make plans, groups and rewarders. Must not hold any expectation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use r1x_core::plan::{JudgedBy, LimitsPlan, OnFailure, PluginPlan, RewardPlan};
use r1x_core::{
    Completion, FinishReason, PortError, Problem, PromptForm, RewardOutcome, Rewarder, Rollout,
    RolloutGroup, testing,
};
use r1x_reward::{Host, HostOptions, Plugin, WasmRewarder};

/// A path inside the repository.
pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

pub fn new_host(cache_dir: Option<PathBuf>, workers: usize) -> Host {
    Host::new(HostOptions { cache_dir, workers }).unwrap()
}

/// One host for all tests that do not look at the cache: compiling is most of their time.
pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| new_host(None, 1))
}

pub fn countdown() -> Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| host().load(path("plugins/countdown.wasm")).unwrap()).clone()
}

pub fn format() -> Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| host().load(path("plugins/format.wasm")).unwrap()).clone()
}

pub fn hostile_path() -> PathBuf {
    path("crates/r1x-reward/tests/fixtures/hostile.wasm")
}

pub fn hostile() -> Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| host().load(hostile_path()).unwrap()).clone()
}

pub fn plan(plugin: &Plugin) -> RewardPlan {
    RewardPlan {
        judged_by: JudgedBy::Plugin(PluginPlan {
            path: plugin.source().to_owned(),
            sha256: plugin.sha256().to_owned(),
            limits: LimitsPlan {
                time_ms: 2_000,
                time_per_rollout_ms: 5,
                memory_bytes: 16 << 20,
                ..testing::limits()
            },
            ..testing::plugin()
        }),
        on_failure: OnFailure::Mask,
        ..testing::reward("tested")
    }
}

/// The plan of [`plan`] with 50 ms a call.
pub fn hasty(plugin: &Plugin) -> RewardPlan {
    let mut plan = plan(plugin);
    plan.plugin_mut().unwrap().limits.time_ms = 50;
    plan.plugin_mut().unwrap().limits.time_per_rollout_ms = 0;
    plan
}

pub fn rollout(text: &str) -> Rollout {
    let completion = Completion {
        tokens: vec![1, 2, 3],
        logprobs: vec![0.0; 3],
        entropies: vec![0.0; 3],
        finish: FinishReason::Stop,
    };
    Rollout { completion, text: text.to_owned() }
}

/// A group with these columns (JSON by name) and completions.
pub fn group<T: AsRef<str>>(columns: &[(&str, &str)], completions: &[T]) -> RolloutGroup {
    let columns: BTreeMap<String, String> =
        columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    RolloutGroup {
        problem: Problem {
            data: String::new(),
            key: "a \"key\"".to_owned(),
            prompt: "the prompt".to_owned(),
            form: PromptForm::Text,
            solution: None,
            solution_tokens: None,
            rejected: None,
            answer: None,
            columns,
        },
        prompt_tokens: vec![7, 8],
        rollouts: completions.iter().map(|text| rollout(text.as_ref())).collect(),
    }
}

/// A group for the hostile guest.
pub fn orders<T: AsRef<str>>(completions: &[T]) -> RolloutGroup {
    group(&[("wanted", "1")], completions)
}

pub fn score(
    plugin: &Plugin,
    plan: &RewardPlan,
    groups: &[RolloutGroup],
) -> Result<Vec<Vec<RewardOutcome>>, PortError> {
    score_on(host(), plugin, plan, groups)
}

pub fn score_on(
    host: &Host,
    plugin: &Plugin,
    plan: &RewardPlan,
    groups: &[RolloutGroup],
) -> Result<Vec<Vec<RewardOutcome>>, PortError> {
    let mut rewarder = WasmRewarder::new(host, &[(plan.clone(), plugin.clone())])?;
    Ok(rewarder.score(std::slice::from_ref(plan), groups)?.remove(0))
}

/// Outcomes of one group.
pub fn outcomes<T: AsRef<str>>(plan: &RewardPlan, completions: &[T]) -> Vec<RewardOutcome> {
    score(&hostile(), plan, &[orders(completions)]).unwrap().remove(0)
}

pub fn info(outcome: &RewardOutcome) -> &str {
    outcome.info.as_deref().unwrap_or_default()
}

/// A folder that goes away with the value.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("r1x-reward-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
