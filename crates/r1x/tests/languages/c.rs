//! Rewards in C from source to score: what the SDK computes, and what a hostile function gets.
//!
//! Must not test the command line.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use r1x_build::language::c;
use r1x_build::{Environment, Source};
use r1x_core::RewardStatus;
use r1x_reward::Plugin;

use crate::support::{self, environment, fails, info, logged, plan, refusal, score};

fn obedient() -> &'static Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| support::obedient("c"))
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn the_declaration_and_the_manifest_describe_the_plugin() {
    let plugin = obedient();
    let info = plugin.info();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("obedient", "1.2.3"));
    assert_eq!(info.description, "Obeys \"orders\".");
    assert_eq!(info.columns, ["nums"]);
    assert_eq!(info.optional_columns, ["target"]);
    assert_eq!(info.parts, ["form", "length"]);
    assert_eq!((info.min, info.max), (Some(-1e308), Some(1e308)));
    assert!(!info.needs.prompt && !info.needs.groups && !info.needs.metadata);
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn scores_have_parts_and_words() {
    let plugin = obedient();
    let outcomes = score(&plan(plugin), plugin, &["give 0.5", "abstain", "parts", "nums", "words"]);
    assert_eq!((outcomes[0].status, outcomes[0].value), (RewardStatus::Ok, Some(0.5)));
    assert_eq!((outcomes[1].status, outcomes[1].value), (RewardStatus::Abstain, None));
    assert_eq!(outcomes[2].value, Some(1.0));
    assert_eq!(outcomes[2].parts, [("form".to_owned(), 0.25), ("length".to_owned(), 5.0)]);
    assert_eq!(info(&outcomes[2]), "because");
    assert_eq!(outcomes[3].value, Some(12.0));
    assert_eq!(outcomes[4].value, Some(2.0), "a header beside the file");
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn what_is_no_score_costs_only_itself() {
    let plugin = obedient();
    let invalid = |order, sentence| (order, RewardStatus::Invalid, sentence);
    let trap = |order, sentence| (order, RewardStatus::Trap, sentence);
    fails(
        &plan(plugin),
        plugin,
        &[
            invalid("do nothing", "the function set no reward"),
            invalid("do nan", "the reward is NaN: no number"),
            invalid("do undeclared", "the part `surprise` is not declared"),
            trap("do fail", "cannot judge this rollout: asked to fail, politely"),
            trap("give 1.5x", "`1.5x` is no number"),
            trap("do memory", "memory"),
            trap("do recursion", "trapped"),
            trap("do pointer", "out of bounds"),
        ],
    );
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn what_never_ends_is_a_timeout() {
    let plugin = obedient();
    let mut plan = plan(plugin);
    plan.plugin_mut().unwrap().limits.time_ms = 150;
    plan.plugin_mut().unwrap().limits.time_per_rollout_ms = 0;
    let sentence = "no answer in 300 ms (limits.time_ms)";
    fails(&plan, plugin, &[("do loop", RewardStatus::Timeout, sentence)]);
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn state_does_not_survive_and_messages_are_counted() {
    let plugin = obedient();
    let plan = plan(plugin);
    assert_eq!(score(&plan, plugin, &["calls"])[0].value, Some(1.0));
    assert_eq!(score(&plan, plugin, &["calls"])[0].value, Some(1.0));
    let flood = logged(plugin, "log");
    assert_eq!((flood.lines.len(), flood.dropped), (100, 9_900));
    assert_eq!(flood.lines[99].message, "line 99");
}

/// Decimal texts: the edges of what a double can hold, exact ties, and digits from a counter.
fn numbers() -> Vec<String> {
    let edges = [
        "0",
        "-0",
        "1",
        "-1.5",
        "+2",
        "0.1",
        "1e3",
        "1E-3",
        ".5",
        "5.",
        "1e308",
        "-1e308",
        "1e-323",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "9007199254740993",
        "9007199254740992.9999999999999999999",
        "9007199254740993.00000000000000000000000000001",
        "1e-400",
        "0.000000000000000000000000000001",
        "123456789012345678901234567890",
        "0.3",
        "2.675",
        "1e22",
        "1e23",
        "8.5e-5",
        "00012.50",
    ];
    let mut state = 1u64;
    let drawn = (0..2_000).map(|at| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let exponent = (state >> 40) % 620;
        format!("{}.{}e{}", state >> 33, at, exponent as i64 - 320)
    });
    let long = format!("0.{}1", "25".repeat(500));
    // Half way between two doubles, and a little more a long way behind the point.
    let tie = format!("9007199254740993.{}1", "0".repeat(900));
    edges.iter().map(|text| (*text).to_owned()).chain(drawn).chain([long, tie]).collect()
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn numbers_are_read_as_the_nearest_double() {
    let plugin = obedient();
    let numbers = numbers();
    let expected: Vec<f64> = numbers.iter().map(|text| text.parse().unwrap()).collect();
    let orders: Vec<String> = numbers.iter().map(|text| format!("bits {text}")).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    let outcomes = score(&plan(plugin), plugin, &orders);
    for ((text, expected), outcome) in numbers.iter().zip(&expected).zip(&outcomes) {
        // What no double is near enough to may be refused as well.
        if expected.is_finite() || outcome.status == RewardStatus::Ok {
            assert_eq!(info(outcome), expected.to_bits().cast_signed().to_string(), "{text}");
        } else {
            assert!(info(outcome).contains("is no number"), "{text}: {outcome:?}");
        }
    }
    assert_eq!(outcomes.len(), numbers.len());
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn numbers_are_written_exactly_and_rounded_to_even() {
    let plugin = obedient();
    let kept = |text: &String| text.parse::<f64>().is_ok_and(|number| number.abs() <= 1e308);
    let numbers: Vec<String> = numbers().into_iter().filter(kept).collect();
    let orders: Vec<String> = numbers.iter().map(|text| format!("fixed {text}")).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    let outcomes = score(&plan(plugin), plugin, &orders);
    for (text, outcome) in numbers.iter().zip(&outcomes) {
        assert_eq!(info(outcome), format!("{:.25}", text.parse::<f64>().unwrap()), "{text}");
    }
    let formatted = score(&plan(plugin), plugin, &["format"]);
    let expected = "text|cut|c|-5|7|ff|-9223372036854775808|3|2.001|-0.100000|%|0";
    assert_eq!(info(&formatted[0]), expected, "2.0005 is a little above, 0.5 a tie");
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn pieces_of_text_are_found() {
    let plugin = obedient();
    let cases = [
        ("a banana", "1 5"),
        ("ana banana", "1 3"),
        ("aab aaab", "1 1"),
        ("abac abababac", "4 4"),
        ("x banana", "-1 -1"),
        ("banana banana", "0 0"),
        ("bananas banana", "-1 -1"),
        ("é caféé", "3 5"),
    ];
    let orders: Vec<String> = cases.iter().map(|(order, _)| format!("find {order}")).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    let outcomes = score(&plan(plugin), plugin, &orders);
    for ((order, expected), outcome) in cases.iter().zip(&outcomes) {
        assert_eq!(info(outcome), *expected, "{order}");
    }
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn json_is_read_in_place() {
    let plugin = obedient();
    let cases = [
        (r#"{"a":"plain"}"#, Some("plain")),
        (r#" {"b" : {"a": "in"}, "a" : "out" }"#, None),
        (r#"{"b":[{"a":"in"},"]}"],"a":"out"}"#, Some("out")),
        (r#"{"a":"\"\\\/\b\f\n\r\t"}"#, Some("\"\\/\u{8}\u{c}\n\r\t")),
        (r#"{"a":"\u00e9\u20ac\ud83d\ude00"}"#, Some("é€😀")),
        (r#"{"a":"\ud83d x"}"#, Some("\u{fffd} x")),
        (r#"{"\u0061":"escaped name"}"#, Some("escaped name")),
        (r#"{"a":1}"#, None),
        (r#"{"a":"#, None),
        (r#"{"a":"cut"#, None),
        (r#"{"a":"cut\u00"}"#, Some("cut\u{fffd}")),
        ("[1]", None),
        ("", None),
    ];
    let orders: Vec<String> = cases.iter().map(|(order, _)| format!("text {order}")).collect();
    let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
    let outcomes = score(&plan(plugin), plugin, &orders);
    for ((order, expected), outcome) in cases.iter().zip(&outcomes) {
        assert_eq!(outcome.info.as_deref(), *expected, "{order}");
    }
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn a_config_is_read_or_refused() {
    let plugin = obedient();
    let mut plan = plan(plugin);
    plan.plugin_mut().unwrap().config = "{\"instead\": 0.75}".to_owned();
    assert_eq!(score(&plan, plugin, &["give 0"])[0].value, Some(0.75));
    let told = |config: &str| {
        plugin.check_config(config, &plan.plugin().unwrap().limits).unwrap_err().to_string()
    };
    assert!(told("[1]").contains("the configuration must be an object"), "{}", told("[1]"));
}

const WHOLE: &str = "#include \"r1x.h\"\nconst r1x_about about = {.groups = true};\n";

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn a_function_of_whole_calls_replaces_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.c");
    let body = "void reward_batch(const r1x_rollout *all, size_t count, r1x_score *scores) {\n  \
                for (size_t at = 0; at < count; at++) scores[at].reward = (double)(at + 10 * count);\n}\n";
    std::fs::write(&path, format!("{WHOLE}{body}")).unwrap();
    let built = r1x_build::build(&Source::open(&path).unwrap(), &environment()).unwrap();
    let plugin = support::host().load(built.wasm).unwrap();
    assert!(plugin.info().needs.groups);
    let outcomes = score(&plan(&plugin), &plugin, &["a", "b"]);
    assert_eq!((outcomes[0].value, outcomes[1].value), (Some(20.0), Some(21.0)));
    let error = plugin
        .check_config("{\"a\":1}", &plan(&plugin).plugin().unwrap().limits)
        .unwrap_err()
        .to_string();
    assert!(error.contains("takes no configuration"), "{error}");
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn sources_that_cannot_become_a_plugin_are_told_why() {
    for (code, sentences) in [
        (format!("{WHOLE}int x = ;\n"), ["my-reward.c:3:9: error:", "this is what"]),
        (WHOLE.to_owned(), ["undefined symbol: reward", "define `void reward(const"]),
        (
            "#include \"r1x.h\"\nvoid reward(const r1x_rollout *r, r1x_score *s) {}\n".to_owned(),
            ["undefined symbol: about", "declare what the reward needs"],
        ),
        (
            format!("#include <stdio.h>\n{WHOLE}"),
            ["my-reward.c:1:10: fatal error: 'stdio.h' file not found", "there is no C library"],
        ),
        (
            format!(
                "{WHOLE}void reward(const r1x_rollout *r, r1x_score *s) {{ s->reward = rand(); }}\n"
            ),
            ["'rand'", "my-reward.c:3:"],
        ),
    ] {
        let told = refusal("my-reward.c", &code);
        for sentence in sentences {
            assert!(told.contains(sentence), "{code}\n{told}");
        }
    }
}

#[test]
fn without_a_compiler_the_error_is_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reward.c");
    std::fs::write(&path, WHOLE).unwrap();
    // A program that starts and is no compiler.
    let variables = BTreeMap::from([(c::VARIABLE.to_owned(), "true".into())]);
    let environment = Environment::new(variables, "/cache".into());
    let error = r1x_build::build(&Source::open(&path).unwrap(), &environment).unwrap_err();
    let told = format!("{error}\n{}", error.hint());
    for sentence in [
        "R1X_WASM_CC names no compiler for WebAssembly: true is no clang",
        "apt install clang lld",
        "python3 -m venv /cache/zig && /cache/zig/bin/pip install ziglang",
    ] {
        assert!(told.contains(sentence), "{told}");
    }
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn a_call_of_which_only_the_first_rollout_is_judged_is_a_fault_of_the_whole_call() {
    let code = "
#include \"r1x.h\"
const r1x_about about = {.min = 0, .max = 1};
void reward_batch(const r1x_rollout *rollouts, size_t count, r1x_score *scores) {
    for (size_t at = 0; at < count; at++) {
        if (r1x_equal(rollouts[at].completion, R1X(\"fail\"))) r1x_fail(&scores[at], \"asked to fail\");
    }
    scores[0].reward = 1;
}
";
    let plugin = support::single("reward.c", code);
    let outcomes = score(&plan(&plugin), &plugin, &["x", "x", "x"]);
    let values: Vec<Option<f64>> = outcomes.iter().map(|outcome| outcome.value).collect();
    assert_eq!(values, [Some(1.0), None, None], "{outcomes:?}");
    for outcome in score(&plan(&plugin), &plugin, &["x", "fail", "x"]) {
        let told = "gives other scores to 2 rollouts together than apart";
        assert_eq!((outcome.status, outcome.value), (RewardStatus::Invalid, None), "{outcome:?}");
        assert!(info(&outcome).contains(told), "{outcome:?}");
    }
}
