//! Sweeps: what they are to run, which earlier one is gone on with, and the run that counts.

use serde_json::{Map, Value as Json, json};

use super::fixtures::*;
use crate::{EarlierSweep, MemberStart, RunStart, RunStatus, StoreError, SweepStart};

fn member(values: &Json, plan: &str) -> MemberStart {
    let values: Map<String, Json> = values.as_object().unwrap().clone();
    MemberStart { values, plan_sha256: plan.repeat(64) }
}

/// A sweep over the seed, with a plan for each.
fn over_seeds(plans: &[(u64, &str)]) -> SweepStart {
    SweepStart {
        experiment: "countdown".into(),
        paths: vec!["seed".into()],
        members: plans.iter().map(|(seed, plan)| member(&json!({"seed": seed}), plan)).collect(),
        earlier: EarlierSweep::GoOn,
    }
}

#[test]
fn a_sweep_knows_what_it_is_to_run_before_anything_has_begun() {
    let place = Place::new();
    let store = place.write();
    let name = store.begin_sweep(over_seeds(&[(1, "a"), (2, "b")])).unwrap();
    assert!(name.starts_with("countdown-sweep-"), "{name}");
    let card = place.read().sweep("latest").unwrap();
    assert_eq!((&card.name, &card.paths), (&name, &vec!["seed".to_owned()]));
    let seeds: Vec<&Json> = card.members.iter().map(|member| &member.values["seed"]).collect();
    assert_eq!(seeds, [&json!(1), &json!(2)]);
    assert!(card.members.iter().all(|member| member.run.is_none()));
    assert_eq!(card, place.read().sweep(&card.uid).unwrap());
    assert_eq!(card, place.read().sweep(&name[..18]).unwrap());
    assert_eq!(number(&place.read(), "SELECT count(*) FROM v_sweeps WHERE run IS NULL"), 2);
}

#[test]
fn the_newest_run_of_a_member_counts() {
    let place = Place::new();
    let store = place.write();
    let name = store.begin_sweep(over_seeds(&[(1, "a"), (2, "b")])).unwrap();
    let second = store.sweep(&name).unwrap().members[1].member_id;
    for status in [RunStatus::Failed, RunStatus::Done] {
        let mut run = store.begin_run(RunStart { member: Some(second), ..start() }).unwrap();
        run.finish(status, 0, None, None).unwrap();
    }
    let card = store.sweep(&name).unwrap();
    let run = card.members[1].run.as_ref().unwrap();
    assert_eq!((run.status.as_str(), run.sweep.as_ref()), ("done", Some(&name)));
    assert_eq!(store.runs().unwrap().len(), 2);
    assert_eq!(number(&place.read(), "SELECT count(*) FROM v_sweeps WHERE status = 'done'"), 1);
    assert_eq!(number(&place.read(), "SELECT count(*) FROM v_sweeps"), 2);
}

/// Two processes may have started one sweep at one time, and both have seen that nothing was begun.
#[test]
fn a_member_that_somebody_is_at_work_on_is_not_begun_again() {
    let place = Place::new();
    let store = place.write();
    let name = store.begin_sweep(over_seeds(&[(1, "a")])).unwrap();
    let member = Some(store.sweep(&name).unwrap().members[0].member_id);
    let mut run = store.begin_run(RunStart { member, ..start() }).unwrap();
    let error = store.begin_run(RunStart { member, ..start() }).err().unwrap();
    assert!(matches!(error, StoreError::StillRunning { .. }), "{error}");
    assert_eq!(store.runs().unwrap().len(), 1, "nothing is left of the second one");
    run.finish(RunStatus::Failed, 1, None, None).unwrap();
    store.begin_run(RunStart { member, ..start() }).unwrap();
}

#[test]
fn an_equal_sweep_goes_on_and_another_one_does_not() {
    let place = Place::new();
    let store = place.write();
    let first = store.begin_sweep(over_seeds(&[(1, "a"), (2, "b")])).unwrap();
    // More or fewer values are the sweep that is there; what is new comes behind the others.
    assert_eq!(store.begin_sweep(over_seeds(&[(3, "c"), (2, "b")])).unwrap(), first);
    assert_eq!(store.begin_sweep(over_seeds(&[(1, "a")])).unwrap(), first);
    let seeds = |name: &str| -> Vec<u64> {
        let card = store.sweep(name).unwrap();
        assert!(card.members.iter().zip(0..).all(|(member, at)| member.index == at));
        card.members.iter().map(|member| member.values["seed"].as_u64().unwrap()).collect()
    };
    assert_eq!(seeds(&first), [1, 2, 3]);
    // The plan of a value is another one now.
    let changed = store.begin_sweep(over_seeds(&[(1, "d"), (3, "c")])).unwrap();
    assert_ne!(changed, first);
    assert_eq!(seeds(&changed), [1, 3]);
    // Nothing in common, other paths, another experiment, or asked for.
    assert_ne!(store.begin_sweep(over_seeds(&[(9, "e")])).unwrap(), first);
    let other = SweepStart { paths: vec!["lr".into()], ..over_seeds(&[(1, "a")]) };
    assert_ne!(store.begin_sweep(other).unwrap(), first);
    let other = SweepStart { experiment: "other".into(), ..over_seeds(&[(1, "a")]) };
    assert!(store.begin_sweep(other).unwrap().starts_with("other-sweep-"));
    let anew = SweepStart { earlier: EarlierSweep::Leave, ..over_seeds(&[(1, "a"), (2, "b")]) };
    let anew = store.begin_sweep(anew).unwrap();
    assert_ne!(anew, first);
    // Of two that fit, the newest; and what was before the change is still found.
    assert_eq!(store.begin_sweep(over_seeds(&[(1, "a"), (2, "b")])).unwrap(), anew);
    assert_eq!(store.begin_sweep(over_seeds(&[(1, "d")])).unwrap(), changed);
}

#[test]
fn what_is_no_sweep_is_said_with_those_there_are() {
    let place = Place::new();
    let store = place.write();
    let told = |reference: &str| {
        let error: StoreError = store.sweep(reference).unwrap_err();
        (error.to_string(), error.hint())
    };
    assert!(told("latest").0.starts_with("there is no sweep in "));
    assert_eq!(told("otter").1, "`r1x run SPEC --seeds 1..3` makes one");
    let one = store.begin_sweep(over_seeds(&[(1, "a")])).unwrap();
    let two = store.begin_sweep(over_seeds(&[(1, "b")])).unwrap();
    assert_eq!(told("countdown").0, "`countdown` fits 2 sweeps");
    assert_eq!(told("countdown").1, format!("the store has {two}, {one}"));
    assert!(told("otter").0.starts_with("there is no sweep `otter` in "));
    assert!(told("").0.contains("no sweep"), "{:?}", told(""));
}
