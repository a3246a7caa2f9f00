//! What the host makes of a guest that misbehaves.
//!
//! Orders to the guest are the first words of completions; see `plugins/hostile`.

use std::path::Path;

use r1x_core::plan::{OnFailure, RewardPlan};
use r1x_core::{Boundary, FinishReason, RewardOutcome, RewardStatus, Rewarder};
use r1x_reward::{Replay, WasmRewarder};

use crate::support::*;

fn statuses(outcomes: &[RewardOutcome]) -> Vec<&'static str> {
    outcomes.iter().map(|outcome| outcome.status.as_str()).collect()
}

/// Scores the order between two good ones: only it may fail, and its sentence says why.
fn one_bad(order: &str, status: RewardStatus, sentence: &str) {
    let plan = hasty(&hostile());
    let outcomes = outcomes(&plan, &["give 0.25", order, "give 0.5"]);
    assert_eq!(outcomes[0].value, Some(0.25), "{order}: {outcomes:?}");
    assert_eq!(outcomes[2].value, Some(0.5), "{order}: {outcomes:?}");
    assert_eq!((outcomes[1].status, outcomes[1].value), (status, None), "{order}: {outcomes:?}");
    assert!(info(&outcomes[1]).contains(sentence), "{order}: {outcomes:?}");
}

#[test]
fn an_endless_loop_is_a_timeout() {
    one_bad("loop", RewardStatus::Timeout, "no answer in 100 ms (limits.time_ms)");
}

#[test]
fn a_pattern_that_backtracks_for_ever_is_a_timeout() {
    one_bad("backtrack 60", RewardStatus::Timeout, "no answer in 100 ms (limits.time_ms)");
}

#[test]
fn a_trap_and_an_exit_are_named_as_far_as_they_can_be() {
    one_bad("trap", RewardStatus::Trap, "trapped: it gave up (unreachable)");
    one_bad("exit", RewardStatus::Trap, "trapped: it gave up (unreachable)");
}

#[test]
fn files_sockets_threads_and_the_environment_do_not_exist() {
    let outcomes = outcomes(&plan(&hostile()), &["file", "write", "socket", "thread"]);
    for outcome in &outcomes {
        assert_eq!(outcome.status, RewardStatus::Ok);
        assert!(info(outcome).starts_with("denied: "), "{outcome:?}");
    }
    assert!(!std::path::Path::new("left-behind").exists());
    one_bad("environment", RewardStatus::Trap, "not supported on this platform");
    one_bad("clock", RewardStatus::Trap, "time not implemented on this platform");
}

#[test]
fn a_list_without_end_ends_at_the_limits() {
    let mut plan = plan(&hostile());
    plan.plugin_mut().unwrap().limits.time_ms = 10_000;
    let outcomes = outcomes(&plan, &["give 1", "many", "give 0.5"]);
    assert_eq!(outcomes[0].value, Some(1.0), "{outcomes:?}");
    assert_eq!(outcomes[2].value, Some(0.5), "{outcomes:?}");
    assert_eq!(outcomes[1].status, RewardStatus::Trap);
    assert!(info(&outcomes[1]).contains("limits.memory_bytes"), "{outcomes:?}");
}

#[test]
fn a_storm_of_host_calls_is_counted_and_survived() {
    let plugin = hostile();
    let plan = plan(&plugin);
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin)]).unwrap();
    let outcomes =
        rewarder.score(std::slice::from_ref(&plan), &[orders(&["flood 200000"])]).unwrap();
    assert_eq!(outcomes[0][0][0].status, RewardStatus::Ok, "{outcomes:?}");
    assert_eq!(rewarder.logs()[0].dropped, 199_900);
}

#[test]
fn fuel_cuts_at_the_same_place_whatever_the_clock_says() {
    let plugin = hostile();
    let mut plan = plan(&plugin);
    plan.plugin_mut().unwrap().limits.fuel = Some(3_000_000);
    let scored = outcomes(&plan, &["give 0.25", "loop", "give 0.5"]);
    assert_eq!((scored[0].value, scored[2].value), (Some(0.25), Some(0.5)));
    assert_eq!(scored[1].status, RewardStatus::Timeout);
    assert_eq!(info(&scored[1]), "no answer within 3000000 units of work (limits.fuel)");
    assert_eq!(outcomes(&plan, &["give 0.25", "loop", "give 0.5"]), scored);
}

#[test]
fn too_many_failures_stop_the_run_and_leave_the_call_behind() {
    let folder = Folder::new();
    let plugin = hostile();
    let mut plan = plan(&plugin);
    plan.max_failed_share = 0.25;
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin.clone())]).unwrap();
    rewarder.keep_failures(folder.0.join("failures"));
    let rewards = std::slice::from_ref(&plan);
    let good = vec!["give 1"; 6];
    let with = |bad: &[&'static str]| [orders(&[good.as_slice(), bad].concat())];
    assert!(rewarder.score(rewards, &with(&["panic", "nan"])).is_ok(), "a quarter may fail");
    let error = rewarder.score(rewards, &with(&["panic", "nan", "trap"])).unwrap_err();
    assert_eq!(error.boundary, Boundary::Reward);
    for piece in ["`tested`", "3 of 9 rollouts", "max_failed_share", "asked to panic"] {
        assert!(error.message.contains(piece), "{error:?}");
    }
    let hint = error.hint.unwrap();
    let file = hint.split("--replay ").nth(1).unwrap().trim_end_matches('`');
    let replay = Replay::read(Path::new(file)).unwrap();
    assert_eq!((replay.rollouts.len(), replay.status), (1, RewardStatus::Trap));
    assert_eq!(replay.rollouts[0].completion, "panic");
    assert_eq!(replay.rollouts[0].id, 6);
    let again = plugin.probe(&replay.config, &replay.limits).unwrap().score(&replay.rollouts);
    assert!(again.unwrap_err().sentence.contains("asked to panic"));
}

#[test]
fn a_plugin_that_may_not_fail_leaves_its_call_behind_too() {
    let folder = Folder::new();
    let plugin = hostile();
    let mut plan = plan(&plugin);
    plan.on_failure = OnFailure::Fail;
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin)]).unwrap();
    rewarder.keep_failures(folder.0.join("failures"));
    let error = rewarder
        .score(std::slice::from_ref(&plan), &[orders(&["give 1", "nan", "give 1"])])
        .unwrap_err();
    let hint = error.hint.unwrap();
    assert!(hint.contains("r1x plugin test --replay ") && hint.contains("tested-1.json"), "{hint}");
    let replay = Replay::read(&folder.0.join("failures/tested-1.json")).unwrap();
    assert_eq!(replay.rollouts[0].completion, "nan");
}

/// Every attack above, one after the other in one process.
#[cfg(target_os = "linux")]
#[test]
fn no_attack_costs_the_host_much_memory() {
    let attacks = [
        "loop",
        "backtrack 60",
        "panic",
        "trap",
        "exit",
        "bomb",
        "recurse",
        "many",
        "nan",
        "infinite",
        "give 2",
        "undeclared",
        "flood 100000",
        "talk 40000000",
        "file",
        "socket",
        "thread",
    ];
    let mut plan = hasty(&hostile());
    plan.plugin_mut().unwrap().limits.memory_bytes = 256 << 20;
    for attack in attacks {
        assert_eq!(outcomes(&plan, &["give 1", attack])[0].value, Some(1.0), "{attack}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(kib < 600 << 10, "{kib} KiB");
}

#[test]
fn a_panic_is_a_trap_with_its_message() {
    one_bad("panic 3", RewardStatus::Trap, "asked to panic with 3");
}

#[test]
fn a_memory_bomb_is_stopped_and_named() {
    one_bad("bomb", RewardStatus::Trap, "more memory than 16777216 bytes (limits.memory_bytes)");
}

/// The guest with one more core module in it, which is instantiated with every instance.
fn with_module(text: &str) -> Vec<u8> {
    let mut component = std::fs::read(hostile_path()).unwrap();
    let module = wat::parse_str(text).unwrap();
    // Sections: number, length, content. Core modules are numbered in their order; number 1 holds one of them.
    let (mut at, mut modules) = (8, 0u8);
    while at < component.len() {
        let id = component[at];
        let (mut length, mut shift) = (0usize, 0);
        at += 1;
        loop {
            let byte = component[at];
            (length, shift, at) = (length | usize::from(byte & 0x7f) << shift, shift + 7, at + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        modules += u8::from(id == 1);
        at += length;
    }
    component.extend([1, module.len() as u8]);
    component.extend(module);
    // One core instance: of that module, with nothing given to it.
    component.extend([2, 4, 1, 0, modules, 0]);
    component
}

#[test]
fn a_table_bomb_is_stopped_and_named() {
    let harmless = with_module("(module (table 1 funcref))");
    assert!(host().load_bytes("padded", harmless).is_ok());
    for bomb in [
        "(module (table 200000 funcref))",
        "(module (table $t 1 funcref) (func $s
           (if (i32.eq (table.grow $t (ref.null func) (i32.const 200000)) (i32.const -1))
             (then unreachable))) (start $s))",
    ] {
        let error = host().load_bytes("bomb", with_module(bomb)).unwrap_err().to_string();
        assert!(error.contains("wanted more than 100000 rows in its tables"), "{error}");
    }
}

#[test]
fn endless_recursion_is_a_trap() {
    one_bad("recurse", RewardStatus::Trap, "stack overflow");
}

#[test]
fn a_refusal_keeps_the_reason() {
    one_bad("refuse", RewardStatus::Trap, "cannot judge this rollout: asked to refuse");
    one_bad("fail", RewardStatus::Trap, "returned an error: asked to fail");
}

#[test]
fn a_list_of_the_wrong_length_is_a_fault_of_the_whole_call() {
    for (orders, told) in [
        (vec!["give 0.25", "short", "give 0.5"], "returned 2 scores for 3 rollouts"),
        (vec!["give 0.25", "one", "one"], "returned 1 score for 3 rollouts"),
        (vec!["short"], "returned 0 scores for 1 rollout"),
        // Halving begins, for another reason, and meets the wrong number on its way.
        (vec!["panic", "give 1", "one", "one"], "returned 1 score for 2 rollouts"),
        // It ends at rollouts that stand alone; what they gave is asked for once more, together.
        (vec!["panic", "one", "trap", "one"], "returned 1 score for 2 rollouts"),
    ] {
        for outcome in outcomes(&plan(&hostile()), &orders) {
            assert_eq!(
                (outcome.status, outcome.value),
                (RewardStatus::Invalid, None),
                "{orders:?}"
            );
            assert_eq!(info(&outcome), told, "{orders:?}");
        }
    }
}

#[test]
fn what_halving_would_hide_is_a_fault_of_the_whole_call() {
    for (orders, told) in [
        (
            vec!["seen", "panic", "seen", "give 0.5"],
            "gives other scores to 3 rollouts together than apart: 0.001953125 (`seen`) instead of 0.0009765625",
        ),
        (
            vec!["crowd", "panic", "panic", "crowd"],
            "gives other scores to 2 rollouts together than apart: 0.001953125 (``) instead of 0.0009765625",
        ),
        (
            vec!["lonely", "lonely", "give 1"],
            "fails on 3 rollouts together and on none of them apart: trapped: it gave up (unreachable)",
        ),
    ] {
        for outcome in outcomes(&plan(&hostile()), &orders) {
            assert_eq!(
                (outcome.status, outcome.value),
                (RewardStatus::Invalid, None),
                "{orders:?}"
            );
            assert!(info(&outcome).starts_with(told), "{orders:?}: {}", info(&outcome));
        }
    }
}

#[test]
fn groups_are_counted_from_0_in_every_call() {
    let groups = [orders(&["give 0.5"]), orders(&["panic"]), orders(&["group", "group"])];
    let outcomes = score(&hostile(), &plan(&hostile()), &groups).unwrap();
    // Alone it is group 0, and beside the first one group 1: a score of the number itself is found out.
    assert!(info(&outcomes[2][0]).starts_with("gives other scores"), "{outcomes:?}");
    let groups = [orders(&["panic"]), orders(&["group", "group"])];
    let outcomes = score(&hostile(), &plan(&hostile()), &groups).unwrap();
    assert_eq!(outcomes[1][0].value, Some(0.0), "{outcomes:?}");
}

#[test]
fn a_wrong_number_of_scores_stops_a_run_with_both_counts_and_its_call() {
    let folder = Folder::new();
    let plugin = hostile();
    for on_failure in [OnFailure::Mask, OnFailure::Zero, OnFailure::Fail] {
        let plan = RewardPlan { on_failure, max_failed_share: 0.5, ..plan(&plugin) };
        let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin.clone())]).unwrap();
        let name = format!("{on_failure:?}");
        rewarder.keep_failures(folder.0.join(&name));
        let groups = [orders(&["one"; 8]), orders(&["one"; 8])];
        let error = rewarder.score(std::slice::from_ref(&plan), &groups).unwrap_err();
        assert!(error.message.contains("returned 1 score for 16 rollouts"), "{error:?}");
        let replay = Replay::read(&folder.0.join(name).join("tested-1.json")).unwrap();
        let again = plugin.probe(&replay.config, &replay.limits).unwrap().score(&replay.rollouts);
        assert_eq!(again.unwrap_err().sentence, replay.sentence);
    }
}

#[test]
fn rewards_that_are_no_numbers_or_out_of_range_are_invalid() {
    one_bad("nan", RewardStatus::Invalid, "the reward is NaN");
    one_bad("infinite", RewardStatus::Invalid, "the reward is inf");
    one_bad("give 1.5", RewardStatus::Invalid, "outside the declared range -1 to 1");
}

#[test]
fn parts_must_be_declared_and_finite() {
    one_bad("undeclared", RewardStatus::Invalid, "`undeclared` is not declared");
    one_bad("partnan", RewardStatus::Invalid, "`declared` is NaN");
    let outcomes = outcomes(&plan(&hostile()), &["part 0.5"]);
    assert_eq!(outcomes[0].parts, [("declared".to_owned(), 0.5)]);
}

#[test]
fn abstaining_is_no_failure() {
    let mut plan = plan(&hostile());
    plan.on_failure = OnFailure::Fail;
    let outcomes = outcomes(&plan, &["abstain", "give 1"]);
    assert_eq!((outcomes[0].status, outcomes[0].value), (RewardStatus::Abstain, None));
    assert_eq!(outcomes[1].value, Some(1.0));
}

#[test]
fn many_bad_completions_cost_only_themselves() {
    let orders: Vec<String> = (0..600)
        .map(|index| match index % 37 {
            5 => "panic".to_owned(),
            11 => "refuse".to_owned(),
            _ => format!("give {}", f64::from(index) / 1024.0),
        })
        .collect();
    let outcomes = outcomes(&plan(&hostile()), &orders);
    for (index, outcome) in outcomes.iter().enumerate() {
        let expected = match index % 37 {
            5 | 11 => (RewardStatus::Trap, None),
            _ => (RewardStatus::Ok, Some(index as f64 / 1024.0)),
        };
        assert_eq!((outcome.status, outcome.value), expected, "{index}: {outcome:?}");
    }
}

#[test]
fn a_plugin_that_always_hangs_is_given_up() {
    let mut plan = hasty(&hostile());
    plan.plugin_mut().unwrap().limits.time_ms = 10;
    let outcomes = outcomes(&plan, &vec!["loop"; 200]);
    assert!(outcomes.iter().all(|outcome| outcome.status == RewardStatus::Timeout));
    assert!(info(&outcomes[0]).starts_with("no answer in 20 ms"), "{:?}", outcomes[0]);
    assert!(info(&outcomes[199]).contains("too many calls failed"), "{:?}", outcomes[199]);
}

#[test]
fn zero_counts_failures_as_zero() {
    let mut plan = plan(&hostile());
    plan.on_failure = OnFailure::Zero;
    let outcomes = outcomes(&plan, &["panic", "nan", "abstain"]);
    assert_eq!(statuses(&outcomes), ["trap", "invalid", "abstain"]);
    let values: Vec<Option<f64>> = outcomes.iter().map(|outcome| outcome.value).collect();
    assert_eq!(values, [Some(0.0), Some(0.0), None]);
}

#[test]
fn fail_stops_and_names_reward_rollout_and_build() {
    let plugin = hostile();
    let mut plan = plan(&plugin);
    plan.on_failure = OnFailure::Fail;
    let groups = [orders(&["give 1", "give 1"]), orders(&["give 1", "nan", "panic"])];
    let error = score(&plugin, &plan, &groups).unwrap_err();
    assert_eq!(error.boundary, Boundary::Reward);
    for piece in ["`tested`", "rollout 1.1", "NaN", plugin.sha256()] {
        assert!(error.message.contains(piece), "{error:?}");
    }

    let mut hurried = hasty(&plugin);
    hurried.on_failure = OnFailure::Fail;
    let error = score(&plugin, &hurried, &[orders(&["give 1", "loop", "loop"])]).unwrap_err();
    for piece in ["rollout 0.1", "timeout", "limits.time_ms"] {
        assert!(error.message.contains(piece), "{error:?}");
    }
    assert!(error.hint.unwrap().contains("time limits"));
}

#[test]
fn nothing_survives_from_one_call_to_the_next() {
    let plugin = hostile();
    let plan = plan(&plugin);
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin)]).unwrap();
    let groups = [orders(&["seen", "seen"])];
    let rewards = std::slice::from_ref(&plan);
    let first = rewarder.score(rewards, &groups).unwrap();
    assert_eq!(first[0][0][0].value, Some(1.0 / 1024.0));
    assert_eq!(rewarder.score(rewards, &groups).unwrap(), first);
}

#[test]
fn nothing_survives_from_one_batch_to_the_next() {
    let groups: Vec<_> = (0..3).map(|_| orders(&vec!["seen"; 512])).collect();
    let one = score(&hostile(), &plan(&hostile()), &groups).unwrap();
    assert_eq!(one[0], one[1]);
    assert_eq!(one[1], one[2]);

    let two = new_host(None, 2);
    let plugin = two.load(hostile_path()).unwrap();
    assert_eq!(score_on(&two, &plugin, &plan(&plugin), &groups).unwrap(), one);
}

#[test]
fn a_flood_of_messages_is_cut_and_counted() {
    let plugin = hostile();
    let plan = plan(&plugin);
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin)]).unwrap();
    let groups = [orders(&["flood 5000", "give 1"])];
    let outcomes = rewarder.score(std::slice::from_ref(&plan), &groups).unwrap();
    let values: Vec<Option<f64>> = outcomes[0][0].iter().map(|outcome| outcome.value).collect();
    assert_eq!(values, [Some(0.0), Some(1.0)]);
    let log = &rewarder.logs()[0];
    assert_eq!((log.lines.len(), log.dropped), (100, 4900));
    assert_eq!(log.lines[99].message, "line 99");

    rewarder.score(std::slice::from_ref(&plan), &[orders(&["shout 5000"])]).unwrap();
    let log = &rewarder.logs()[0];
    assert_eq!((log.lines.len(), log.dropped), (1, 0));
    assert!(log.lines[0].message.len() <= 4096 && log.lines[0].message.ends_with("é…"));
}

#[test]
fn a_long_info_is_cut() {
    let outcomes = outcomes(&plan(&hostile()), &["talk 5000"]);
    assert_eq!(outcomes[0].value, Some(0.0));
    assert!(info(&outcomes[0]).len() <= 4096 && info(&outcomes[0]).ends_with("é…"));
}

#[test]
fn too_much_returned_data_is_a_trap() {
    let mut plan = plan(&hostile());
    plan.plugin_mut().unwrap().limits.memory_bytes = 512 << 20;
    plan.plugin_mut().unwrap().limits.time_ms = 10_000;
    let outcomes = outcomes(&plan, &["talk 40000000", "give 1"]);
    assert_eq!(outcomes[0].status, RewardStatus::Trap);
    assert_eq!(info(&outcomes[0]), "handed over more than 32 MiB in one call");
    assert_eq!(outcomes[1].value, Some(1.0));
}

#[test]
fn the_guest_sees_what_it_asked_for_and_nothing_else() {
    let columns = [("wanted", "[1, 2]"), ("maybe", "\"x\""), ("secret", "42")];
    let mut first = group(&columns, &["give 1", "echo"]);
    first.rollouts[1].completion.finish = FinishReason::Length;
    let second = group(&[("wanted", "null")], &["echo"]);
    let outcomes = score(&hostile(), &plan(&hostile()), &[first, second]).unwrap();
    assert_eq!(
        info(&outcomes[0][1]),
        "id=1 group=0 prompt=Some(\"the prompt\") tokens=2+3 truncated=true stop=Some(\"length\") \
         columns={\"wanted\":[1, 2],\"maybe\":\"x\"} \
         metadata=Some(\"{\\\"problem\\\":\\\"a \\\\\\\"key\\\\\\\"\\\"}\")"
    );
    assert!(info(&outcomes[1][0]).starts_with("id=2 group=1 "), "{outcomes:?}");
    assert!(info(&outcomes[1][0]).contains("columns={\"wanted\":null} "), "{outcomes:?}");
}

#[test]
fn a_config_can_be_refused_or_hang() {
    let plugin = hostile();
    let limits = hasty(&plugin).plugin().unwrap().limits.clone();
    let error = plugin.check_config(r#"{"refuse":true}"#, &limits).unwrap_err();
    assert!(error.to_string().contains("`refuse` must not be true"), "{error}");
    let error = plugin.check_config(r#"{"spin":true}"#, &limits).unwrap_err();
    assert!(error.to_string().contains("no answer in 50 ms"), "{error}");
}

#[test]
fn too_little_memory_to_start_is_told() {
    let plugin = hostile();
    let mut plan = plan(&plugin);
    plan.plugin_mut().unwrap().limits.memory_bytes = 1 << 16;
    let error = WasmRewarder::new(host(), &[(plan, plugin)]).unwrap_err();
    assert!(error.to_string().contains("limits.memory_bytes"), "{error}");
}

#[test]
fn another_build_than_planned_is_refused() {
    let plugin = hostile();
    let mut plan = plan(&plugin);
    plan.plugin_mut().unwrap().sha256 = "0".repeat(64);
    let error = WasmRewarder::new(host(), &[(plan, plugin.clone())]).unwrap_err();
    assert!(error.to_string().contains(plugin.sha256()), "{error}");
}
