//! Capabilities: nothing without a grant, the right thing with one, limits on both sides.
//!
//! The guest is `plugins/capable`, which uses what a completion says and tells what came of it; its programs
//! run in `plugins/parrot`. Must not need a WebAssembly compiler or an interpreter of a real language.

use std::sync::{Arc, OnceLock};

use r1x_core::{
    Boundary, Capability, Judge, JudgeRequest, PortError, RewardOutcome, RewardStatus, Rewarder,
};
use r1x_reward::{Exec, Fault, Grants, Host, Plugin, WasmRewarder};

use crate::support::*;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(path(&format!("crates/r1x-reward/tests/fixtures/{name}.wasm"))).unwrap()
}

/// The guest, with two files in its component.
fn capable_on(host: &Host) -> Plugin {
    let mut component = fixture("capable");
    for (name, bytes) in [("words.txt", "one\ntwo"), ("deep/er.bin", "\u{0}x")] {
        let section = format!("r1x:asset/{name}");
        component.push(0);
        component.push((1 + section.len() + bytes.len()) as u8);
        component.push(section.len() as u8);
        component.extend_from_slice(section.as_bytes());
        component.extend_from_slice(bytes.as_bytes());
    }
    host.load_bytes("capable", component).unwrap()
}

fn capable() -> Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| capable_on(host())).clone()
}

fn exec_on(host: &Host) -> Exec {
    host.load_interpreters(&[("parrot", &fixture("parrot"))]).unwrap()
}

/// Says how it was asked.
struct Echo;

impl Judge for Echo {
    fn complete(&self, model: &str, batch: &[JudgeRequest]) -> Result<Vec<String>, PortError> {
        if model != "critic" {
            return Err(PortError::new(Boundary::Spec, "no such model", "name one"));
        }
        let told = |r: &JudgeRequest| {
            format!("{} {} {} {}", r.prompt, r.max_tokens, r.temperature, r.seed)
        };
        Ok(batch.iter().map(told).collect())
    }

    fn logprob(&self, _: &str, batch: &[(String, String)]) -> Result<Vec<f64>, PortError> {
        if batch.iter().any(|(_, text)| text.is_empty()) {
            return Err(PortError::new(Boundary::Data, "an empty text", "give one"));
        }
        Ok(batch.iter().map(|(prompt, text)| -((prompt.len() + text.len()) as f64)).collect())
    }
}

fn everything(host: &Host) -> Grants {
    Grants { assets: true, exec: Some(exec_on(host)), judge: Some(Arc::new(Echo)) }
}

fn granted() -> Plugin {
    static EXEC: OnceLock<Exec> = OnceLock::new();
    let exec = Some(EXEC.get_or_init(|| exec_on(host())).clone());
    capable().with(Grants { assets: true, exec, judge: Some(Arc::new(Echo)) })
}

fn told(plugin: &Plugin, orders: &[&str]) -> Vec<RewardOutcome> {
    score(plugin, &plan(plugin), &[group(&[], orders)]).unwrap().remove(0)
}

fn says(order: &str, expected: &str) {
    let outcome = told(&granted(), &[order]).remove(0);
    assert_eq!(outcome.value, Some(1.0), "{order}: {outcome:?}");
    assert_eq!(info(&outcome), expected, "{order}");
}

#[test]
fn a_component_asks_by_what_it_imports() {
    assert_eq!(capable().asks(), Capability::ALL);
    assert!(countdown().asks().is_empty() && hostile().asks().is_empty());
    let code = host().load(path("plugins/code.wasm")).unwrap();
    assert_eq!(code.asks(), [Capability::Exec]);
    for name in ["assets", "exec", "judge"] {
        assert!(!hostile().imports().iter().any(|import| import.contains(name)), "{name}");
    }
}

#[test]
fn nothing_that_is_asked_for_may_go_without_a_grant() {
    for missing in Capability::ALL {
        let mut grants = everything(host());
        match missing {
            Capability::Assets => grants.assets = false,
            Capability::Exec => grants.exec = None,
            Capability::Judge => grants.judge = None,
        }
        let plugin = capable().with(grants);
        let error = WasmRewarder::new(host(), &[(plan(&plugin), plugin.clone())]).unwrap_err();
        assert!(matches!(error.fault, Fault::NotGranted(found) if found == missing), "{error}");
        let name = missing.as_str();
        assert!(error.to_string().contains(&format!("asks for `{name}`")), "{error}");
        assert!(error.hint().contains(&format!("grant: [{name}]")), "{}", error.hint());
        assert_eq!(PortError::from(error).boundary, Boundary::Spec);

        // Not even code that is run without that check gets it.
        let order = match missing {
            Capability::Assets => "asset words.txt",
            Capability::Exec => "exec say hello",
            Capability::Judge => "complete x",
        };
        let sample = r1x_reward::Sample::new(order, "{}");
        let mut probe = plugin.probe("{}", &plan(&plugin).plugin().unwrap().limits).unwrap();
        let error = probe.score(&[sample]).unwrap_err();
        assert!(error.sentence.contains(&format!("it used `{name}`")), "{error}");
        assert!(error.sentence.contains("not granted"), "{error}");
    }
}

#[test]
fn assets_are_the_files_in_the_component() {
    says("asset words.txt", r#"Ok("one\ntwo")"#);
    says("asset deep/er.bin", r#"Ok("\0x")"#);
    says(
        "asset /etc/passwd",
        r#"Err("no asset `/etc/passwd`; there are: deep/er.bin, words.txt")"#,
    );
    let plain = host().load_bytes("capable", fixture("capable")).unwrap();
    assert_ne!(plain.sha256(), capable().sha256(), "files are part of the hash");
}

#[test]
fn every_end_of_a_program_has_its_own_outcome() {
    for (program, expected) in [
        ("say hello", r#"Outcome::Ok("hello")"#),
        ("fail because", r#"Outcome::Failed("because")"#),
        ("leave 3", r#"Outcome::Exited(Exit { status: 3, output: "so far" })"#),
        ("import numpy", r#"Outcome::UnsupportedImport("numpy")"#),
        ("loop", "Outcome::TimedOut"),
        ("bomb", "Outcome::OutOfMemory"),
        ("flood 5000000", r#"Outcome::Failed("its output is longer than 4 MiB")"#),
        ("dance", r#"Outcome::Crashed("it gave up (unreachable)")"#),
        ("lie", r#"Outcome::Crashed("the interpreter said `perfect`")"#),
    ] {
        says(&format!("exec {program}"), &format!("Ok([[{expected}]])"));
    }
    says("speak latin", r#"Err("`latin` cannot be run here; there are: parrot")"#);
}

#[test]
fn a_sandbox_is_used_again_only_after_a_clean_end() {
    let ok = |text: &str| format!("Outcome::Ok(\"{text}\")");
    let list = |outcomes: &[String]| format!("Ok([[{}]])", outcomes.join(", "));
    says("exec count; count; count", &list(&[ok("1"), ok("2"), ok("3")]));
    for bad in ["loop", "bomb", "fail x", "leave 0", "dance"] {
        let told = info(&told(&granted(), &[&format!("exec count; {bad}; count")])[0]).to_owned();
        assert!(
            told.starts_with("Ok([[Outcome::Ok(\"1\"), ")
                && told.ends_with(&format!(", {}]])", ok("1"))),
            "{bad}: {told}"
        );
    }
    // Nor does one program see another's sandbox.
    let outcomes = told(&granted(), &["exec count", "exec count"]);
    assert_eq!(outcomes[0], outcomes[1]);
}

#[test]
fn many_programs_on_many_threads_come_back_in_order() {
    says("many 60", "Ok(60)");
    let three = new_host(None, 3);
    let plugin = capable_on(&three).with(everything(&three));
    let groups = [group(&[], &["many 60", "exec loop; count"])];
    let outcomes = score_on(&three, &plugin, &plan(&plugin), &groups).unwrap();
    assert_eq!(info(&outcomes[0][0]), "Ok(60)");
    assert_eq!(score(&granted(), &plan(&granted()), &groups).unwrap(), outcomes);
}

#[test]
fn the_guests_deadline_stands_still_while_programs_run() {
    let plugin = granted();
    let mut plan = plan(&plugin);
    (
        plan.plugin_mut().unwrap().limits.time_ms,
        plan.plugin_mut().unwrap().limits.time_per_rollout_ms,
    ) = (30, 0);
    // Twenty cut loops of a hundred million units each are far beyond 30 ms.
    let order = format!("exec {}", vec!["loop"; 20].join("; "));
    let mut rewarder = WasmRewarder::new(host(), &[(plan.clone(), plugin)]).unwrap();
    let groups = [group(&[], &[order.as_str()])];
    let outcomes = rewarder.score(std::slice::from_ref(&plan), &groups).unwrap();
    assert_eq!(outcomes[0][0][0].status, RewardStatus::Ok, "{outcomes:?}");
    assert_eq!(info(&outcomes[0][0][0]).matches("TimedOut").count(), 20);
}

#[test]
fn a_storm_of_uses_ends() {
    let outcomes = told(&granted(), &["asset words.txt", "storm", "asset words.txt"]);
    assert_eq!(outcomes[1].status, RewardStatus::Trap, "{outcomes:?}");
    assert!(
        info(&outcomes[1]).contains("`assets` more than 1000 times in one call"),
        "{outcomes:?}"
    );
    assert_eq!((outcomes[0].value, outcomes[2].value), (Some(1.0), Some(1.0)));
}

#[test]
fn programs_that_hand_over_too_much_together_end_the_call() {
    let flood = format!("exec {}", vec!["flood 4000000"; 20].join("; "));
    let outcomes = told(&granted(), &["asset words.txt", &flood, "exec flood 4000"]);
    assert_eq!(outcomes[1].status, RewardStatus::Trap, "{outcomes:?}");
    assert_eq!(info(&outcomes[1]), "the programs of one batch hand over more than 64 MiB");
    assert_eq!((outcomes[0].value, outcomes[2].value), (Some(1.0), Some(1.0)));
}

#[test]
fn judges_are_asked_and_their_errors_are_told() {
    says("complete hello", r#"Ok(["hello 3 0 7"])"#);
    says("logprob abc|de", "Ok([-5.0])");
    says("logprob abc|", r#"Err("an empty text; give one")"#);
}

#[test]
fn what_is_no_interpreter_is_refused() {
    for (bytes, words) in [
        (fixture("capable"), "imports r1x:reward/"),
        (b"\0asm\x01\0\0\0".to_vec(), "is a core module"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "lacks the export run"),
    ] {
        let error = host().load_interpreters(&[("x", &bytes)]).err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// A component as it was built when 0.1.0 had no capabilities. It must load and score for ever.
#[test]
fn a_kept_component_of_the_first_days_still_scores() {
    let plugin = host().load_bytes("kept", fixture("kept/format-0.1.0")).unwrap();
    let groups = [group(&[], &["x </think> <answer> 1 </answer>", "x"])];
    let outcomes = score(&plugin, &plan(&plugin), &groups).unwrap();
    assert_eq!((outcomes[0][0].value, outcomes[0][1].value), (Some(1.0), Some(0.0)));
}
