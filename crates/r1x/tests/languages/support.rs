//! A plugin from source to score, for the tests of every language.
//!
//! Built components stay below `target/`, so only the first run of the tests takes a minute.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use r1x_build::{Environment, Prepared, Sandbox, SandboxError, Source};
use r1x_core::plan::{JudgedBy, LimitsPlan, OnFailure, PluginPlan, RewardPlan};
use r1x_core::{
    Completion, FinishReason, Problem, PromptForm, RewardOutcome, RewardStatus, Rewarder, Rollout,
    RolloutGroup, testing,
};
use r1x_reward::{Host, HostOptions, Plugin, PluginLog, PrepareError, WasmRewarder};

/// Where components are kept between runs of the tests.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages")
}

pub fn environment() -> Environment {
    let named = |(name, value): (std::ffi::OsString, _)| Some((name.into_string().ok()?, value));
    let variables = std::env::vars_os().filter_map(named).collect();
    let sandbox = Arc::new(HostSandbox(host().clone()));
    Environment::new(variables, cache().join("r1x/build")).with_sandbox(sandbox)
}

/// The host of these tests, as builds see it.
struct HostSandbox(Host);

impl Sandbox for HostSandbox {
    fn prepare(&self, component: &[u8], deadline: Duration) -> Result<Prepared, SandboxError> {
        let limits = LimitsPlan {
            time_ms: u64::try_from(deadline.as_millis()).unwrap(),
            time_per_rollout_ms: 0,
            memory_bytes: 1 << 30,
            ..testing::limits()
        };
        let told = |error: PrepareError| match error {
            PrepareError::Refused(sentence) => SandboxError::Refused(sentence),
            PrepareError::TimedOut(_) => SandboxError::TimedOut(error.to_string()),
            other => SandboxError::Broke(other.to_string()),
        };
        let prepared = self.0.prepare(component, &limits).map_err(told)?;
        Ok(Prepared { layer: prepared.layer, late: prepared.late })
    }
}

pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let cache_dir = Some(cache().join("r1x/plugins"));
        Host::new(HostOptions { cache_dir, workers: 1 }).unwrap()
    })
}

/// The plugin of a language that does what completions order.
pub fn obedient(language: &str) -> Plugin {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages/fixtures");
    let source = Source::open(&folder.join(language)).unwrap();
    let built = r1x_build::build(&source, &environment()).unwrap_or_else(|e| panic!("{e}"));
    host().load(built.wasm).unwrap()
}

pub fn plan(plugin: &Plugin) -> RewardPlan {
    RewardPlan {
        judged_by: JudgedBy::Plugin(PluginPlan {
            path: plugin.source().to_owned(),
            sha256: plugin.sha256().to_owned(),
            limits: LimitsPlan {
                time_ms: 3_000,
                time_per_rollout_ms: 5,
                memory_bytes: 128 << 20,
                ..testing::limits()
            },
            ..testing::plugin()
        }),
        on_failure: OnFailure::Mask,
        ..testing::reward("tested")
    }
}

pub fn group(completions: &[&str]) -> RolloutGroup {
    let rollout = |text: &&str| Rollout {
        completion: Completion {
            tokens: vec![1],
            logprobs: vec![0.0],
            entropies: vec![0.0],
            finish: FinishReason::Stop,
        },
        text: (*text).to_owned(),
    };
    RolloutGroup {
        problem: Problem {
            data: String::new(),
            key: "key".to_owned(),
            prompt: "prompt".to_owned(),
            form: PromptForm::Text,
            solution: None,
            solution_tokens: None,
            rejected: None,
            answer: None,
            columns: BTreeMap::from([("nums".to_owned(), "[1, 2]".to_owned())]),
        },
        prompt_tokens: vec![1],
        rollouts: completions.iter().map(rollout).collect(),
    }
}

pub fn score(plan: &RewardPlan, plugin: &Plugin, completions: &[&str]) -> Vec<RewardOutcome> {
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin.clone())]).unwrap();
    rewarder.score(std::slice::from_ref(plan), &[group(completions)]).unwrap().remove(0).remove(0)
}

pub fn info(outcome: &RewardOutcome) -> &str {
    outcome.info.as_deref().unwrap_or_default()
}

/// Each order stands between two good ones: only it may fail, and its sentence says why.
pub fn fails(plan: &RewardPlan, plugin: &Plugin, orders: &[(&str, RewardStatus, &str)]) {
    for (order, status, sentence) in orders {
        let outcomes = score(plan, plugin, &["give 0.25", order, "give 0.5"]);
        let values: Vec<Option<f64>> = outcomes.iter().map(|outcome| outcome.value).collect();
        assert_eq!(values, [Some(0.25), None, Some(0.5)], "{order}: {outcomes:?}");
        assert_eq!(outcomes[1].status, *status, "{order}: {outcomes:?}");
        assert!(info(&outcomes[1]).contains(sentence), "{order}: {}", info(&outcomes[1]));
    }
}

/// The plugin in a single file.
pub fn single(name: &str, code: &str) -> Plugin {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, code).unwrap();
    let built = r1x_build::build(&Source::open(&path).unwrap(), &environment());
    host().load(built.unwrap_or_else(|error| panic!("{error}")).wasm).unwrap()
}

/// What building a single file says.
pub fn refusal(name: &str, code: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, code).unwrap();
    let built = r1x_build::build(&Source::open(&path).unwrap(), &environment());
    let error = built.expect_err("it builds");
    format!("{error}\n{}", error.hint())
}

/// The reward of one order, and what was written while it was judged.
pub fn logged(plugin: &Plugin, order: &str) -> PluginLog {
    let plan = plan(plugin);
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin.clone())]).unwrap();
    let scored = rewarder.score(std::slice::from_ref(&plan), &[group(&[order])]).unwrap();
    assert_eq!(scored[0][0][0].value, Some(1.0), "{order}: {scored:?}");
    rewarder.logs()[0].clone()
}
