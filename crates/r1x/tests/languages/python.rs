//! Rewards in Python from source to score: what the shim adapts, and what a hostile function gets.
//!
//! Must not test the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use r1x_build::language::python;
use r1x_build::{Environment, Source};
use r1x_core::RewardStatus;
use r1x_reward::{LogLevel, Plugin};

use crate::support::{self, fails, info, logged, plan, refusal, score};

fn obedient() -> &'static Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| support::obedient("python"))
}

#[test]
#[ignore = "needs componentize-py"]
fn the_signature_and_the_docstring_describe_the_plugin() {
    let plugin = obedient();
    let info = plugin.info();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("obedient", "1.2.3"));
    assert_eq!(info.description, "Obeys.");
    assert_eq!(info.columns, ["nums"]);
    assert_eq!(info.optional_columns, ["target"]);
    assert_eq!(info.parts, ["form", "surprise"]);
    assert!(!info.needs.prompt && !info.needs.groups && !info.needs.metadata);
}

#[test]
#[ignore = "needs componentize-py"]
fn numbers_none_and_dicts_are_scores() {
    let plugin = obedient();
    let outcomes = score(&plan(plugin), plugin, &["give 0.5", "abstain", "parts", "late", "words"]);
    assert_eq!((outcomes[0].status, outcomes[0].value), (RewardStatus::Ok, Some(0.5)));
    assert_eq!((outcomes[1].status, outcomes[1].value), (RewardStatus::Abstain, None));
    assert_eq!(outcomes[2].value, Some(1.0));
    assert_eq!(outcomes[2].parts, [("form".to_owned(), 0.25)]);
    assert_eq!(info(&outcomes[2]), "because");
    assert_eq!(outcomes[3].value, Some(1.0), "an import inside a function was loaded before");
    assert_eq!(outcomes[4].value, Some(2.0), "a file beside the module was read before");
}

#[test]
#[ignore = "needs componentize-py"]
fn what_is_no_score_costs_only_itself() {
    let plugin = obedient();
    let invalid = |order, sentence| (order, RewardStatus::Invalid, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[
            invalid("return nan", "the reward is NaN: it must be a finite number"),
            invalid("return infinity", "the reward is inf"),
            invalid("return text", "the function returned '1.0', which is str, not a number"),
            invalid("return list", "returned [1.0], which is list, not a number"),
            invalid("return huge", "cannot be read: OverflowError"),
            invalid("return keys", "it has 'rewards'"),
        ],
    );
    let outcomes = score(&plan(plugin), plugin, &["return undeclared"]);
    assert_eq!(outcomes[0].value, Some(1.0), "a literal `parts` declares its names");
}

#[test]
#[ignore = "needs componentize-py"]
fn what_is_no_list_with_a_score_for_each_is_a_fault_of_the_whole_call() {
    let plugin = obedient();
    let one =
        "the function returned 1 score for 3 completions: it must return a list with one for each";
    for (order, told) in [
        ("all one", one),
        ("all nested", one),
        (
            "all set",
            "the function returned {0.5, 1.0}, not a list with one score for each completion",
        ),
        ("all more", "the function returned 4 scores for 3 completions"),
        ("all empty", "the function returned 0 scores for 3 completions"),
        ("all scalar", "the function returned 1.0, not a list"),
        ("all nothing", "the function returned None, not a list"),
        ("all text", "the function returned '1.0', not a list"),
        ("all dictionary", "the function returned {'reward': 1.0}, not a list"),
        ("all rows", "returned [1.0], which is list, not a number"),
    ] {
        let outcomes = score(&plan(plugin), plugin, &["give 0.25", order, "give 0.5"]);
        for outcome in &outcomes {
            assert_eq!((outcome.status, outcome.value), (RewardStatus::Invalid, None), "{order}");
            assert!(info(outcome).contains(told), "{order}: {outcome:?}");
        }
    }
    let lazy = score(&plan(plugin), plugin, &["all lazy", "all lazy"]);
    assert!(lazy.iter().all(|outcome| outcome.value == Some(1.0)), "{lazy:?}");
}

#[test]
#[ignore = "needs componentize-py"]
fn what_judging_alone_would_hide_is_a_fault_of_the_whole_call() {
    let plugin = obedient();
    for (order, told) in [
        ("all one", "the function returned 1 score for 2 completions"),
        (
            "all crowd",
            "gives other scores to 2 completions together than alone: 2.0 instead of 1.0",
        ),
        (
            "all lonely",
            "fails on 2 completions together and on none of them alone: raised ValueError",
        ),
        ("calls", "gives other scores to 2 completions together than alone"),
    ] {
        for outcome in score(&plan(plugin), plugin, &[order, "do key", order]) {
            assert_eq!((outcome.status, outcome.value), (RewardStatus::Invalid, None), "{order}");
            assert!(info(&outcome).contains(told), "{order}: {outcome:?}");
        }
    }
}

#[test]
#[ignore = "needs componentize-py"]
fn exceptions_are_told_with_their_lines_and_cost_only_themselves() {
    let plugin = obedient();
    let invalid = |order, sentence| (order, RewardStatus::Invalid, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[
            invalid("do key", "raised KeyError at reward.py:55: 'missing'"),
            invalid("do key", "reward.py:55, in exceptional: return {}[\"missing\"]"),
            invalid("do exit", "raised SystemExit at reward.py:45: 3"),
            invalid(
                "do recursion",
                "raised RecursionError at reward.py:19: maximum recursion depth",
            ),
            invalid("do recursion", "in deeper: return deeper(depth + 1) + 1"),
            invalid("do memory", "raised MemoryError at reward.py:41"),
            invalid("tell surrogate", "UnicodeEncodeError"),
        ],
    );
}

#[test]
#[ignore = "needs componentize-py"]
fn many_exceptions_cost_little() {
    let plugin = obedient();
    let orders: Vec<&str> =
        (0..400).map(|at| if at % 2 == 0 { "do key" } else { "give 1" }).collect();
    let outcomes = score(&plan(plugin), plugin, &orders);
    for (at, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.value, (at % 2 == 1).then_some(1.0), "{at}: {outcome:?}");
    }
}

#[test]
#[ignore = "needs componentize-py"]
fn what_never_ends_is_a_timeout() {
    let plugin = obedient();
    let mut plan = plan(plugin);
    plan.plugin_mut().unwrap().limits.time_ms = 150;
    plan.plugin_mut().unwrap().limits.time_per_rollout_ms = 0;
    let timeout = |order| (order, RewardStatus::Timeout, "no answer in 300 ms (limits.time_ms)");
    fails(&plan, plugin, &[timeout("do loop"), timeout("do regex"), timeout("do power")]);
}

#[test]
#[ignore = "needs componentize-py"]
fn ending_the_program_ends_one_rollout() {
    let plugin = obedient();
    let trap = |order, sentence| (order, RewardStatus::Trap, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[trap("do hard exit", "it called exit with status"), trap("do abort", "trapped")],
    );
}

#[test]
#[ignore = "needs componentize-py"]
fn nothing_outside_is_within_reach() {
    let plugin = obedient();
    let invalid = |order, sentence| (order, RewardStatus::Invalid, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[
            invalid("reach file", "Error at reward.py:"),
            invalid("reach own file", "Error at reward.py:"),
            invalid("reach write", "Error at reward.py:"),
            invalid("reach folder", "Error at reward.py:"),
            invalid("reach connect", "Error at reward.py:"),
            invalid("reach udp", "Error at reward.py:"),
            invalid("reach name", "rror at reward.py:"),
            invalid("reach process", "Error at reward.py:"),
            invalid("reach thread", "raised RuntimeError at reward.py:77: can't start new thread"),
            invalid("reach input", "EOFError"),
            invalid(
                "reach module",
                "raised ModuleNotFoundError at reward.py:81: No module named 'numpy'",
            ),
        ],
    );
}

#[test]
#[ignore = "needs componentize-py"]
fn every_instance_lives_in_the_same_world() {
    let plugin = obedient();
    let plan = plan(plugin);
    let orders = ["environment", "time", "slept", "calls", "guarded", "changed", "changed"];
    let outcomes = score(&plan, plugin, &orders);
    let values: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.value).collect();
    assert_eq!(values, [0.0, 19_723.0, 1.0, 1.0, 0.5, 3.0, 3.0], "{outcomes:?}");
    assert_eq!(score(&plan, plugin, &["calls"])[0].value, Some(1.0), "state does not survive");
    let drawn = score(&plan, plugin, &["random"]);
    assert!(drawn[0].value.is_some(), "{drawn:?}");
    assert_eq!(score(&plan, plugin, &["random"]), drawn);
}

#[test]
#[ignore = "needs componentize-py"]
fn printing_goes_to_the_log_within_its_limits() {
    let plugin = obedient();
    let log = |order: &str| logged(plugin, order);
    let flood = log("tell flood");
    assert_eq!((flood.lines.len(), flood.dropped), (100, 9_900));
    assert_eq!(flood.lines[99].message, "line 99");
    let long = log("tell long");
    assert!(long.lines[0].message.len() <= 4096 && long.lines[0].message.ends_with("x…"));
    let errors = log("tell stderr");
    assert_eq!(errors.lines[0].message, "to stderr");
    assert_eq!(errors.lines[0].level, LogLevel::Warn);
}

#[test]
#[ignore = "needs componentize-py"]
fn a_config_needs_the_parameter_and_an_object() {
    let plugin = obedient();
    let mut plan = plan(plugin);
    plan.plugin_mut().unwrap().config = "{\"instead\": 0.75}".to_owned();
    assert_eq!(score(&plan, plugin, &["give 0"])[0].value, Some(0.75));
    let error = plugin.check_config("[1]", &plan.plugin().unwrap().limits).unwrap_err().to_string();
    assert!(error.contains("the configuration must be an object"), "{error}");
}

#[test]
#[ignore = "needs componentize-py"]
fn batches_may_be_cut_anywhere() {
    let plugin = obedient();
    let plan = plan(plugin);
    let orders: Vec<String> = (0..600).map(|at| format!("give {}", f64::from(at) / 7.0)).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    let whole = score(&plan, plugin, &orders);
    let halves = [score(&plan, plugin, &orders[..100]), score(&plan, plugin, &orders[100..])];
    assert_eq!(whole, halves.concat());
}

#[test]
#[ignore = "needs componentize-py"]
fn sources_that_cannot_become_a_plugin_are_told_why() {
    for (code, sentences) in [
        (
            "def reward(completions):\n    import numpy as np\n    return [np.nan]\n",
            [
                "my-reward.py:2: the import of `numpy` inside a function",
                "cannot run in the sandbox",
            ],
        ),
        (
            "def format_reward(completions):\n    return []\n",
            ["has no function `reward`", "my-reward.py:format_reward"],
        ),
        (
            "def reward(completions)\n    return []\n",
            ["my-reward.py:1: expected ':'", "def reward("],
        ),
    ] {
        let told = refusal("my-reward.py", code);
        for sentence in sentences {
            assert!(told.contains(sentence), "{code}\n{told}");
        }
    }
}

#[test]
fn without_the_tool_the_error_is_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nothing").into_os_string();
    let variables = BTreeMap::from([(python::VARIABLE.to_owned(), missing)]);
    let environment = Environment::new(variables, PathBuf::from("/cache"));
    let path = folder.path().join("reward.py");
    std::fs::write(&path, "def reward(completions):\n    return []\n").unwrap();
    let error = r1x_build::build(&Source::open(&path).unwrap(), &environment).unwrap_err();
    assert!(error.to_string().contains("R1X_COMPONENTIZE_PY names no componentize-py"), "{error}");
    let command = format!(
        "python3 -m venv /cache/python && /cache/python/bin/pip install componentize-py=={}",
        python::VERSION
    );
    assert!(error.hint().contains(&command), "{}", error.hint());
}
