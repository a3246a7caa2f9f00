//! The tiny world: the rewards that ship with r1x check its problems exactly, and its experiment runs.
//!
//! Every solution and every worse completion goes through the real host. Must not test how problems are generated.

mod page;

use std::path::{Path, PathBuf};
use std::process::Command;

use r1x_core::plan::{
    ArithmeticPlan, DataPlan, DrawPlan, JudgedBy, Language, LimitsPlan, OnFailure, PluginPlan,
    PromptPlan, RequestsPlan, RewardPlan, SourcePlan, StringTask, StringsPlan,
};
use r1x_core::{
    Completion, FinishReason, Markup, Problem, RewardOutcome, Rewarder, Rollout, RolloutGroup,
    testing,
};
use r1x_reward::{Host, HostOptions, WasmRewarder};

/// How a refusal is told from an answer, whoever is asked; documented in `docs/data.md`.
const REFUSES: &str = r"^(no|nein) \.$|i do not tell|sage ich nicht";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn draw() -> DrawPlan {
    let languages = vec![Language::En, Language::De];
    DrawPlan { train: 500, heldout: 100, languages, seed: 5 }
}

fn sums(mixed_thoughts: f64) -> SourcePlan {
    SourcePlan::Arithmetic(ArithmeticPlan {
        modulus: 12,
        min_number: 1,
        max_number: 11,
        min_steps: 1,
        max_steps: 3,
        operations: "+-*".to_owned(),
        mixed_thoughts,
        draw: draw(),
    })
}

fn letters(mixed_thoughts: f64) -> SourcePlan {
    use StringTask::{Count, Nth, Reverse, Sort};
    SourcePlan::Strings(StringsPlan {
        tasks: vec![Reverse, Count, Nth, Sort],
        letters: 8,
        min_length: 2,
        max_length: 6,
        mixed_thoughts,
        draw: draw(),
    })
}

fn problems(source: SourcePlan) -> Vec<Problem> {
    let plan = DataPlan { source, prompt: PromptPlan::text("{{ question }} <think>") };
    let set = r1x_tasks::load("data", &plan, &Markup::default()).unwrap();
    set.train.into_iter().chain(set.heldout).collect()
}

/// The values that a reward gives to a completion of each problem.
fn scored(plugin: &str, config: &str, completions: &[(&Problem, String)]) -> Vec<f64> {
    let host = Host::new(HostOptions { cache_dir: None, workers: 1 }).unwrap();
    let path = repository().join(format!("plugins/{plugin}.wasm"));
    let loaded = host.load(path.clone()).unwrap();
    let plan = RewardPlan {
        judged_by: JudgedBy::Plugin(PluginPlan {
            path: path.display().to_string(),
            sha256: loaded.sha256().to_owned(),
            config: config.to_owned(),
            limits: LimitsPlan { time_ms: 60_000, ..testing::limits() },
            ..testing::plugin()
        }),
        on_failure: OnFailure::Fail,
        ..testing::reward(plugin)
    };
    let group = |(problem, text): &(&Problem, String)| RolloutGroup {
        problem: (*problem).clone(),
        prompt_tokens: vec![1],
        rollouts: vec![Rollout {
            completion: Completion {
                tokens: vec![1],
                logprobs: vec![0.0],
                entropies: vec![0.0],
                finish: FinishReason::Stop,
            },
            text: text.clone(),
        }],
    };
    let groups: Vec<RolloutGroup> = completions.iter().map(group).collect();
    let mut rewarder = WasmRewarder::new(&host, &[(plan.clone(), loaded)]).unwrap();
    let outcomes = rewarder.score(std::slice::from_ref(&plan), &groups).unwrap().remove(0);
    let value = |outcome: &RewardOutcome| outcome.value.expect("a score");
    outcomes.iter().flatten().map(value).collect()
}

fn solutions(problems: &[Problem]) -> Vec<(&Problem, String)> {
    problems.iter().map(|problem| (problem, problem.solution.clone().unwrap())).collect()
}

#[track_caller]
fn check_all(values: &[f64], expected: f64, what: &str) {
    let others = values.iter().filter(|value| **value != expected).count();
    assert_eq!(others, 0, "{what}: {others} of {} differ from {expected}", values.len());
}

const MATCH: &str = r#"{"mode":"exact","part":"answer_tag","prefilled":true}"#;

#[test]
fn worked_solutions_earn_everything_and_other_answers_nothing() {
    for source in [sums(0.0), letters(0.0)] {
        let problems = problems(source);
        let worked = solutions(&problems);
        check_all(&scored("match", MATCH, &worked), 1.0, "right");
        check_all(&scored("format", "{}", &worked), 1.0, "form");
        check_all(&scored("language", "{}", &worked), 1.0, "language");
        let wrong = |(problem, text): &(&Problem, String)| {
            let answer = problem.answer.as_deref().unwrap();
            let tagged = format!("<answer> {answer} </answer>");
            let other = if answer == "1" { "2" } else { "1" };
            assert!(text.contains(&tagged), "{text}");
            (
                problems.iter().find(|one| one == problem).unwrap(),
                text.replace(&tagged, &format!("<answer> {other} </answer>")),
            )
        };
        let wrong: Vec<_> = worked.iter().map(wrong).collect();
        check_all(&scored("match", MATCH, &wrong), 0.0, "wrong");
    }
}

/// Each thought is wholly in one of the two languages, as the reward tells them apart.
#[test]
fn thoughts_in_the_other_language_earn_no_language() {
    for source in [sums, letters] {
        let mixed = problems(source(1.0));
        check_all(&scored("language", "{}", &solutions(&mixed)), 0.0, "the other language");
        check_all(&scored("match", MATCH, &solutions(&mixed)), 1.0, "right");
        let some = problems(source(0.3));
        let values = scored("language", "{}", &solutions(&some));
        let other = values.iter().filter(|value| **value == 0.0).count();
        let own = values.iter().filter(|value| **value == 1.0).count();
        assert_eq!(own + other, 600);
        // Four standard deviations of 600 draws.
        assert!((135..=225).contains(&other), "{other}");
    }
}

#[test]
fn better_requests_keep_the_rule_and_worse_ones_break_it() {
    let problems =
        problems(SourcePlan::Requests(RequestsPlan { refuse: 0.5, flawed: 0.0, draw: draw() }));
    let better = solutions(&problems);
    let worse: Vec<_> = problems.iter().map(|one| (one, one.rejected.clone().unwrap())).collect();
    let rule = r#"{"mode":"full_regex","part":"whole"}"#;
    check_all(&scored("match", rule, &better), 1.0, "the rule, better");
    check_all(&scored("match", rule, &worse), 0.0, "the rule, worse");
    let config = serde_json::json!({"mode": "regex", "part": "whole", "pattern": REFUSES});
    let refuses =
        |completions: &[(&Problem, String)]| scored("match", &config.to_string(), completions);
    let is_secret = |problem: &Problem| problem.columns["refuse"] == "true";
    for ((problem, text), value) in better.iter().zip(refuses(&better)) {
        assert_eq!(value == 1.0, is_secret(problem), "{text}");
    }
    for ((problem, text), value) in worse.iter().zip(refuses(&worse)) {
        let expected = match problem.columns["fault"].as_str() {
            "\"complies\"" => false,
            "\"refuses\"" => true,
            _ => is_secret(problem),
        };
        assert_eq!(value == 1.0, expected, "{text}");
    }
}

/// A moment of a shipped experiment: it is accepted, runs to its end, and has its figures.
fn runs(experiment: &str, set: &[&str], suites: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let spec = repository().join("experiments").join(experiment);
    let limits = suites.iter().map(|suite| format!("evals.{suite}.limit=2"));
    let set: Vec<String> = set.iter().map(|set| (*set).to_owned()).chain(limits).collect();
    let r1x = |command: &str, more: &[&str]| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_r1x"));
        process
            .arg(command)
            .arg(&spec)
            .args(more)
            .env("R1X_STORE", folder.path().join("r1x.sqlite"))
            .env("XDG_CACHE_HOME", folder.path())
            .env_remove("RUST_LOG");
        set.iter().for_each(|set| {
            process.args(["--set", set]);
        });
        let output = process.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {message}");
        String::from_utf8(output.stdout).unwrap()
    };
    r1x("check", &[]);
    let told = r1x("run", &["--threads", "1"]);
    for suite in suites {
        assert!(told.contains(suite), "{told}");
    }
    folder
}

#[test]
fn the_experiment_of_the_tiny_world_runs() {
    let set = [
        "model.hidden_size=16",
        "model.layers=1",
        "stages.cold-start.sft.steps=1",
        "stages.cold-start.sft.schedule.warmup_steps=0",
        "stages.rl.grpo.steps=1",
        "stages.rl.grpo.schedule.warmup_steps=0",
        "stages.rl.grpo.prompts_per_step=2",
        "stages.rl.grpo.group_size=2",
        "stages.rl.grpo.micro_batch_size=2",
    ];
    runs("tiny-reasoning.yaml", &set, &["sums", "letters", "consistent"]);
}

/// Of a model that has learnt nothing whatever ends by itself is kept. The questions of the page about stages have an
/// answer then.
#[test]
fn all_stages_of_the_tiny_r1_run_and_the_store_answers_questions() {
    let set = [
        "model.hidden_size=16",
        "model.layers=1",
        "models.student.hidden_size=8",
        "data.sums.arithmetic.train=60",
        "data.letters.strings.train=60",
        "stages.cold-start.sft.steps=1",
        "stages.cold-start.sft.schedule.warmup_steps=0",
        "stages.reasoning-rl.grpo.steps=1",
        "stages.reasoning-rl.grpo.schedule.warmup_steps=0",
        "stages.reasoning-rl.grpo.prompts_per_step=2",
        "stages.reasoning-rl.grpo.group_size=2",
        "stages.reasoning-rl.grpo.micro_batch_size=2",
        "stages.harvest.reject.steps=1",
        "stages.harvest.reject.prompts_per_step=20",
        "stages.harvest.reject.keep={right: 0, format: 0}",
        "stages.harvest.reject.per_prompt=4",
        "stages.sft.sft.steps=1",
        "stages.sft.sft.schedule.warmup_steps=0",
        "stages.judge.reward_model.steps=1",
        "stages.judge.reward_model.schedule.warmup_steps=0",
        "stages.all-rl.grpo.steps=1",
        "stages.all-rl.grpo.schedule.warmup_steps=0",
        "stages.all-rl.grpo.prompts_per_step=12",
        "stages.all-rl.grpo.group_size=2",
        "stages.all-rl.grpo.micro_batch_size=2",
        "stages.distilled.sft.steps=1",
        "stages.distilled.sft.schedule.warmup_steps=0",
    ];
    let suites = ["sums", "letters", "one-language", "requests"];
    let folder = runs("r1-tiny.yaml", &set, &suites);
    let questions = page::blocks(&page::page("stages.md"), &["Eleven questions to the store"]);
    assert_eq!(questions.len(), 11);
    for question in questions {
        let mut ask = Command::new(env!("CARGO_BIN_EXE_r1x"));
        ask.args(["sql", &question.text, "--format", "jsonl"]);
        let output = ask.env("R1X_STORE", folder.path().join("r1x.sqlite")).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "line {}: {told}", question.line);
        // Of a small harvest everything may pass; all other questions have rows.
        let asks_for_failures = question.text.contains("HAVING");
        assert!(asks_for_failures || !output.stdout.is_empty(), "line {}", question.line);
    }
}
