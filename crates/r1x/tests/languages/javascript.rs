//! Rewards in JavaScript from source to score: what the shim adapts, and what a hostile function gets.
//!
//! Must not test the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use r1x_build::language::javascript;
use r1x_build::{Environment, Source};
use r1x_core::RewardStatus;
use r1x_reward::{LogLevel, Plugin};

use crate::support::{self, environment, fails, info, logged, plan, refusal, score};

fn obedient() -> &'static Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| support::obedient("javascript"))
}

#[test]
#[ignore = "needs componentize-js"]
fn the_parameter_and_the_comment_describe_the_plugin() {
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
#[ignore = "needs componentize-js"]
fn numbers_null_and_objects_are_scores() {
    let plugin = obedient();
    let orders = ["give 0.5", "abstain", "parts", "words", "target", "unicode"];
    let outcomes = score(&plan(plugin), plugin, &orders);
    assert_eq!((outcomes[0].status, outcomes[0].value), (RewardStatus::Ok, Some(0.5)));
    assert_eq!((outcomes[1].status, outcomes[1].value), (RewardStatus::Abstain, None));
    assert_eq!(outcomes[2].value, Some(1.0));
    assert_eq!(outcomes[2].parts, [("form".to_owned(), 0.25)]);
    assert_eq!(info(&outcomes[2]), "because");
    assert_eq!(outcomes[3].value, Some(2.0), "a file beside the module");
    assert_eq!(outcomes[4].value, Some(0.0), "no optional column, and nothing else");
    assert_eq!(info(&outcomes[5]), "é€😀 \u{fffd}");
}

#[test]
#[ignore = "needs componentize-js"]
fn what_is_no_score_costs_only_itself() {
    let plugin = obedient();
    let invalid = |order, sentence| (order, RewardStatus::Invalid, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[
            invalid("return nan", "the reward is NaN: it must be a finite number"),
            invalid("return infinity", "the reward is inf"),
            invalid("return text", "TypeError: \"1.0\" is string, not a number"),
            invalid("return list", "it has 0"),
            invalid("return keys", "it has rewards"),
            invalid("return promise", "it has nothing"),
            invalid("return nothing", "the function returned nothing; `return null` says"),
        ],
    );
    let outcomes = score(&plan(plugin), plugin, &["return undeclared"]);
    assert_eq!(outcomes[0].value, Some(1.0), "a literal `parts` declares its names");
}

/// A function of a whole call: what it returns is named by the last completion that begins with `all`.
const WHOLE: &str = "
export function reward({ completions }) {
  const order = completions.filter((one) => one.startsWith('all ')).at(-1);
  if (completions.includes('throw')) throw new Error('thrown');
  if (order === 'all lonely' && completions.length > 1) throw new Error('not alone');
  return {
    'all scalar': 1,
    'all nothing': undefined,
    'all null': null,
    'all object': { reward: 1 },
    'all set': new Set([1]),
    'all one': [1],
    'all more': [...completions.map(() => 1), 1],
    'all empty': [],
    'all nested': [completions.map(() => 1)],
    'all rows': completions.map(() => [1]),
    'all holes': new Array(completions.length),
    'all crowd': completions.map(() => completions.length),
    'all lonely': completions.map(() => 1),
    'all good': completions.map(() => 1),
  }[order];
}
";

#[test]
#[ignore = "needs componentize-js"]
fn what_is_no_list_with_a_score_for_each_is_a_fault_of_the_whole_call() {
    let plugin = support::single("reward.js", WHOLE);
    let one =
        "the function returned 1 score for 3 completions: it must return a list with one for each";
    for (orders, told) in [
        (["x", "all one", "x"], one),
        (["x", "all nested", "x"], one),
        (["x", "all more", "x"], "the function returned 4 scores for 3 completions"),
        (["x", "all empty", "x"], "the function returned 0 scores for 3 completions"),
        (["x", "all scalar", "x"], "the function returned 1, not a list"),
        (["x", "all nothing", "x"], "the function returned undefined, not a list"),
        (["x", "all null", "x"], "the function returned null, not a list"),
        (["x", "all object", "x"], "the function returned {\"reward\":1}, not a list"),
        (["x", "all set", "x"], "the function returned {}, not a list"),
        (["x", "all rows", "x"], "it has 0"),
        (["x", "all holes", "x"], "the function returned nothing"),
        (["all one", "throw", "all one"], "the function returned 1 score for 2 completions"),
        (["all crowd", "throw", "all crowd"], "together than alone: 2 instead of 1"),
        (["all lonely", "throw", "all lonely"], "on none of them alone: threw Error"),
    ] {
        for outcome in score(&plan(&plugin), &plugin, &orders) {
            assert_eq!(
                (outcome.status, outcome.value),
                (RewardStatus::Invalid, None),
                "{orders:?}"
            );
            assert!(info(&outcome).contains(told), "{orders:?}: {outcome:?}");
        }
    }
    let values: Vec<Option<f64>> =
        score(&plan(&plugin), &plugin, &["all good", "throw", "all good"])
            .iter()
            .map(|o| o.value)
            .collect();
    assert_eq!(values, [Some(1.0), None, Some(1.0)]);
}

#[test]
#[ignore = "needs componentize-js"]
fn exceptions_are_told_with_their_lines_and_cost_only_themselves() {
    let plugin = obedient();
    let invalid = |order, sentence| (order, RewardStatus::Invalid, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[
            invalid(
                "do null",
                "threw TypeError at words.js:5: can't access property \"missing\" of null",
            ),
            invalid("do null", "  words.js:5, in thrower: return null.missing;"),
            invalid("do null", "in exceptional: if (rest === 'null') return thrower(2);"),
            invalid("do recursion", "threw InternalError at reward.js:"),
            invalid("do throw text", "threw \"no error\", which is no Error"),
            invalid("strange", "threw RangeError at reward.js:"),
        ],
    );
}

#[test]
#[ignore = "needs componentize-js"]
fn what_never_ends_is_a_timeout_and_what_takes_all_memory_fails_alone() {
    let plugin = obedient();
    let mut plan = plan(plugin);
    fails(&plan, plugin, &[("do memory", RewardStatus::Invalid, "out of memory")]);
    plan.plugin_mut().unwrap().limits.time_ms = 150;
    plan.plugin_mut().unwrap().limits.time_per_rollout_ms = 0;
    let timeout = |order| (order, RewardStatus::Timeout, "no answer in 300 ms (limits.time_ms)");
    fails(&plan, plugin, &[timeout("do loop"), timeout("do regex")]);
}

#[test]
#[ignore = "needs componentize-js"]
fn nothing_outside_is_within_reach() {
    let plugin = obedient();
    let missing = |order, sentence| (order, RewardStatus::Invalid, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[
            missing("reach fetch", "fetch is not defined"),
            missing("reach timer", "setTimeout is not defined"),
            missing("reach process", "process is not defined"),
            missing("reach require", "require is not defined"),
            missing("reach random", "crypto is not defined"),
        ],
    );
}

#[test]
#[ignore = "needs componentize-js"]
fn every_instance_lives_in_the_same_world() {
    let plugin = obedient();
    let plan = plan(plugin);
    let outcomes = score(&plan, plugin, &["time", "date", "calls", "changed", "changed"]);
    let values: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.value).collect();
    assert_eq!(values, [19_723.0, 2021.0, 1.0, 3.0, 3.0], "{outcomes:?}");
    assert_eq!(score(&plan, plugin, &["calls"])[0].value, Some(1.0), "state does not survive");
    let drawn = score(&plan, plugin, &["random", "random"]);
    assert!(drawn[0].value.is_some() && drawn[0].value != drawn[1].value, "{drawn:?}");
    assert_eq!(score(&plan, plugin, &["random", "random"]), drawn);
}

#[test]
#[ignore = "needs componentize-js"]
fn the_console_is_the_log() {
    let plugin = obedient();
    let flood = logged(plugin, "tell flood");
    assert_eq!((flood.lines.len(), flood.dropped), (100, 9_900));
    assert_eq!(flood.lines[99].message, "line 99");
    let errors = logged(plugin, "tell error");
    assert_eq!(errors.lines[0].message, "{\"a\":[1]} x");
    assert_eq!(errors.lines[0].level, LogLevel::Warn);
}

#[test]
#[ignore = "needs componentize-js"]
fn a_config_must_be_an_object() {
    let plugin = obedient();
    let mut plan = plan(plugin);
    plan.plugin_mut().unwrap().config = "{\"instead\": 0.75}".to_owned();
    assert_eq!(score(&plan, plugin, &["give 0"])[0].value, Some(0.75));
    let error = plugin.check_config("[1]", &plan.plugin().unwrap().limits).unwrap_err().to_string();
    assert!(error.contains("the configuration must be an object"), "{error}");
}

/// A reward that is given whole calls, with the groups of its rollouts.
const TOGETHER: &str = "export function reward({ completions, groups, nums }) {
  if (completions.includes('throw')) throw new Error('asked to');
  return completions.map((text, at) => text.length + 10 * groups[at] + 100 * nums[at].length);
}
";

#[test]
#[ignore = "needs componentize-js"]
fn a_function_of_completions_is_given_whole_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("together.js");
    std::fs::write(&path, TOGETHER).unwrap();
    let built = r1x_build::build(&Source::open(&path).unwrap(), &environment()).unwrap();
    let plugin = support::host().load(built.wasm).unwrap();
    assert!(plugin.info().needs.groups);
    let values = |orders: &[&str]| -> Vec<Option<f64>> {
        score(&plan(&plugin), &plugin, orders).iter().map(|outcome| outcome.value).collect()
    };
    assert_eq!(values(&["a", "bcd"]), [Some(201.0), Some(203.0)]);
    assert_eq!(values(&["a", "throw"]), [None, None], "a group is judged together");
}

#[test]
#[ignore = "needs componentize-js"]
fn sources_that_cannot_become_a_plugin_are_told_why() {
    for (code, sentences) in [
        (
            "import fs from 'fs';\nexport function reward({ completion }) { return 1; }\n",
            ["my-reward.js:1: there is no module `fs`", "the files beside it"],
        ),
        (
            "import { a } from './a.js';\nexport function reward({ completion }) { return a; }\n",
            ["my-reward.js:1: there is no file `./a.js`", "a single file stands alone"],
        ),
        (
            "export function judge({ completion }) { return 1; }\n",
            ["exports no function `reward`; it exports: judge", "my-reward.js:judge"],
        ),
        (
            "export function reward(completion, target) { return 1; }\n",
            [
                "my-reward.js:1: `reward` does not say which columns",
                "reward({ completion, target })",
            ],
        ),
        (
            "export async function reward({ completion }) { return 1; }\n",
            ["my-reward.js:1: `reward` is asynchronous", "nothing to wait for"],
        ),
        (
            "export function reward({ completion }) {\n  return import('./a.js');\n}\n",
            ["my-reward.js:2: import() loads when the reward runs", "at the top"],
        ),
        (
            "export function reward({ completion }) {\n  return 1 +;\n}\n",
            ["my-reward.js:2: Unexpected token: return 1 +;", "docs/plugins.md"],
        ),
        (
            "const a = null.b;\nexport function reward({ completion }) { return a; }\n",
            ["can't access property \"b\" of null", "author/my-reward.js:1"],
        ),
    ] {
        let told = refusal("my-reward.js", code);
        for sentence in sentences {
            assert!(told.contains(sentence), "{code}\n{told}");
        }
    }
}

#[test]
fn without_the_tool_the_error_is_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reward.js");
    std::fs::write(&path, TOGETHER).unwrap();
    let source = Source::open(&path).unwrap();
    let told = |variables: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
        let variables: BTreeMap<_, _> = variables.iter().map(owned).collect();
        let cache_folder = folder.path().join("cache");
        let error = r1x_build::build(&source, &Environment::new(variables, cache_folder));
        let error = error.unwrap_err();
        format!("{error}\n{}", error.hint())
    };
    let nowhere = told(&[(javascript::NODE_VARIABLE, "/nowhere/node")]);
    assert!(nowhere.contains("needs Node; `/nowhere/node` does not start"), "{nowhere}");
    let install = format!("{} @bytecodealliance/componentize-js@", PathBuf::from("js").display());
    assert!(nowhere.contains("npm install --prefix") && nowhere.contains(&install), "{nowhere}");
    // `true` stands for a Node that starts, so that only the packager is missing.
    let node = (javascript::NODE_VARIABLE, "true");
    let missing = told(&[node, (javascript::VARIABLE, "/nowhere")]);
    assert!(missing.contains("R1X_COMPONENTIZE_JS names /nowhere, where it is not"), "{missing}");
    let missing = told(&[node]);
    assert!(missing.contains("cache/js, where it is not installed"), "{missing}");
}
