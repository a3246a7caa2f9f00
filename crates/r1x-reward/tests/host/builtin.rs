//! Two of the plugins of r1x through the host: what they say of themselves, errors, and many batches.
//!
//! What holds for every plugin is in `conformance.rs`.

use r1x_core::plan::AppliesPlan;
use r1x_core::{RewardOutcome, Rewarder, RolloutGroup};
use r1x_reward::WasmRewarder;
use serde_json::Value;

use crate::components::{bits, case_group};
use crate::support::*;

const COUNTDOWN: &str = include_str!("../../../../plugins/countdown/cases.jsonl");

#[test]
fn plugins_say_what_they_are() {
    let countdown = countdown();
    assert_eq!(countdown.info().name, "countdown");
    assert_eq!(countdown.info().columns, ["nums", "target"]);
    assert_eq!(countdown.info().parts, ["parsed", "numbers", "value_correct"]);
    assert_eq!((countdown.info().min, countdown.info().max), (Some(0.0), Some(1.0)));
    assert_eq!(countdown.sha256().len(), 64);
    assert!(format().info().config_schema.as_deref().unwrap().contains("prefilled"));
}

#[test]
fn a_wrong_config_is_refused_with_the_key() {
    let limits = plan(&format()).plugin().unwrap().limits.clone();
    assert!(format().check_config(r#"{"prefilled":false}"#, &limits).is_ok());
    let error = format().check_config(r#"{"prefiled":false}"#, &limits).unwrap_err();
    assert!(error.to_string().contains("`prefiled`"), "{error}");
    assert!(error.hint().contains("under `with`"), "{}", error.hint());
}

#[test]
fn a_column_the_data_lacks_is_named() {
    let plugin = countdown();
    let groups = [group(&[("nums", "[1,2]")], &["<answer>1+2</answer>"])];
    let error = score(&plugin, &plan(&plugin), &groups).unwrap_err();
    assert!(error.message.contains("`target`"), "{error:?}");
    assert!(error.hint.unwrap().contains("nums"));
}

/// Every case of the table, many times over, so that several batches are needed.
fn many_groups() -> Vec<RolloutGroup> {
    let cases: Vec<Value> =
        COUNTDOWN.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let repeated = |case: &Value| {
        let mut group = case_group(case);
        let rollout = group.rollouts[0].clone();
        group.rollouts = vec![rollout; 48];
        group
    };
    cases.iter().map(repeated).collect()
}

#[test]
fn scores_do_not_depend_on_threads_batches_or_order() {
    let groups = many_groups();
    assert!(groups.len() * 48 > 3 * 512);
    let plugin = countdown();
    let plan = plan(&plugin);
    let whole = bits(&score(&plugin, &plan, &groups).unwrap());

    let three = new_host(None, 3);
    let threaded_plugin = three.load(path("plugins/countdown.wasm")).unwrap();
    let threaded = score_on(&three, &threaded_plugin, &plan, &groups).unwrap();
    assert_eq!(bits(&threaded), whole);

    let single: Vec<Vec<RewardOutcome>> = groups
        .iter()
        .map(|group| score(&plugin, &plan, std::slice::from_ref(group)).unwrap().remove(0))
        .collect();
    assert_eq!(bits(&single), whole);

    let reversed: Vec<RolloutGroup> = groups.iter().rev().cloned().collect();
    let mut backwards = bits(&score(&plugin, &plan, &reversed).unwrap());
    backwards.reverse();
    assert_eq!(backwards, whole);
}

#[test]
fn several_rewards_come_back_in_the_order_asked_for() {
    let (mut first, mut second) = (plan(&countdown()), plan(&format()));
    first.id = "right".to_owned();
    second.id = "form".to_owned();
    let loaded = [(first.clone(), countdown()), (second.clone(), format())];
    let mut rewarder = WasmRewarder::new(host(), &loaded).unwrap();
    let groups =
        [group(&[("nums", "[1,2]"), ("target", "3")], &["<answer>1+2</answer>", "</think>"])];
    let outcomes = rewarder.score(&[second.clone(), first.clone()], &groups).unwrap();
    let values: Vec<Vec<Option<f64>>> =
        outcomes.iter().map(|reward| reward[0].iter().map(|o| o.value).collect()).collect();
    assert_eq!(values, [[Some(0.0), Some(0.0)], [Some(1.0), Some(0.0)]]);
    let only = rewarder.score(&[first], &groups).unwrap();
    assert_eq!(only.len(), 1);
    second.id = "unknown".to_owned();
    let error = rewarder.score(&[second], &groups).unwrap_err();
    assert!(error.message.contains("`unknown`") && error.hint.unwrap().contains("right, form"));
}

#[test]
fn nothing_to_score_is_nothing() {
    let plugin = format();
    assert!(score(&plugin, &plan(&plugin), &[]).unwrap().is_empty());
    let empty = group::<&str>(&[], &[]);
    assert_eq!(score(&plugin, &plan(&plugin), &[empty]).unwrap(), [Vec::new()]);
}

/// The second group lacks the columns the plugin needs, and is none of its business.
#[test]
fn a_plugin_is_not_asked_about_problems_it_does_not_judge() {
    let mut plan = plan(&countdown());
    let data = Some(vec!["game".to_owned()]);
    plan.shaping.applies = Some(AppliesPlan { data, column: None });
    let judged = |data: &str, columns: &[(&str, &str)]| {
        let mut group = group(columns, &["<answer>1+2</answer>", "</think>"]);
        group.problem.data = data.to_owned();
        group
    };
    let columns = [("nums", "[1,2]"), ("target", "3")];
    let groups = [judged("chat", &[]), judged("game", &columns), judged("chat", &[])];
    let outcomes = score(&countdown(), &plan, &groups).unwrap();
    assert_eq!(outcomes[0], vec![RewardOutcome::unasked(); 2]);
    assert_eq!(outcomes[2], vec![RewardOutcome::unasked(); 2]);
    assert_eq!(outcomes[1][0].value, Some(1.0));
    let alone = score(&countdown(), &plan, &groups[1..2]).unwrap();
    assert_eq!(outcomes[1], alone[0]);
    plan.shaping.applies = None;
    assert!(score(&countdown(), &plan, &groups).unwrap_err().message.contains("column `nums`"));
}

/// The share of failures is that among the rollouts a plugin was asked about.
#[test]
fn rollouts_that_are_not_judged_excuse_no_failures() {
    let mut plan = plan(&hostile());
    plan.max_failed_share = 0.5;
    let data = Some(vec!["game".to_owned()]);
    plan.shaping.applies = Some(AppliesPlan { data, column: None });
    let of = |data: &str, words: &[&str]| {
        let mut group = orders(words);
        group.problem.data = data.to_owned();
        group
    };
    let groups = [of("game", &["nan", "nan", "give 1"]), of("chat", &["give 1"; 9])];
    let error = score(&hostile(), &plan, &groups).unwrap_err();
    assert!(error.message.contains("2 of 3 rollouts failed"), "{error}");
}
