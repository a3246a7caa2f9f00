//! Data that stages make: what was kept is there whole, once, and in order.

use r1x_core::facts::StepFacts;
use r1x_core::port::Recorder;
use r1x_core::problem::Problem;
use r1x_core::select::{Verdict, worked};

use super::fixtures::*;
use crate::{RunStart, StagePoint};

/// A step of a stage that makes data: of two groups of two, the first rollout of each is kept.
fn reject_step(step: u64) -> StepFacts {
    let dropped = || Verdict::Dropped("reward.equation".to_owned());
    let mut facts = StepFacts { reference_logprobs: Vec::new(), ..grpo_step(0, step) };
    facts.groups.iter_mut().for_each(|group| group.advantages.clear());
    facts.verdicts = vec![vec![Verdict::Kept, dropped()]; 2];
    facts
}

/// The rows of these steps, with what the store keeps of a problem.
fn rows(steps: &[StepFacts]) -> Vec<Problem> {
    let of = |facts: &StepFacts| worked("reject-0", &facts.groups, &facts.verdicts);
    steps.iter().flat_map(of).collect()
}

#[test]
fn kept_rollouts_come_back_as_worked_problems() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "reject", 0)).unwrap();
    let steps = [reject_step(0), reject_step(1), reject_step(2)];
    steps.iter().for_each(|facts| write(&mut run, facts.clone()));
    assert_eq!(run.made(0, 3).unwrap(), rows(&steps));
    assert_eq!(run.made(0, 2).unwrap(), rows(&steps[..2]));
    assert_eq!(run.made(0, 0).unwrap(), []);
    assert_eq!(run.made(1, 3).unwrap(), []);
    let read = place.read();
    let count = |sql: &str| number(&read, sql);
    assert_eq!(count("SELECT count(*) FROM v_selections"), 12);
    assert_eq!(count("SELECT count(*) FROM v_selections WHERE kept AND dropped_by IS NULL"), 6);
    let dropped = "SELECT count(*) FROM v_selections WHERE NOT kept AND dropped_by = 'reward.equation' AND stage = 'reject-0'";
    assert_eq!(count(dropped), 6);
    assert_eq!(count("SELECT count(*) FROM rollout WHERE advantage IS NOT NULL"), 0);
}

#[test]
fn what_is_kept_is_recorded_whatever_else_is() {
    let place = Place::new();
    let store = place.write();
    let plan_json =
        r#"{"name":"n","record":{"text":false,"tokens":false,"logprobs":false}}"#.to_owned();
    let mut run = store.begin_run(RunStart { plan_json, ..start() }).unwrap();
    run.stage_started(&stage(0, "reject", 0)).unwrap();
    let facts = reject_step(0);
    write(&mut run, facts.clone());
    assert_eq!(run.made(0, 1).unwrap(), rows(&[facts]));
    assert_eq!(number(&place.read(), "SELECT count(*) FROM rollout_payload"), 2);
}

#[test]
fn steps_that_were_done_again_count_once() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    let name = run.name().to_owned();
    run.stage_started(&stage(0, "reject", 0)).unwrap();
    (0..3).for_each(|step| write(&mut run, reject_step(step)));
    drop(run);
    let mut run = store.resume_run(&name, StagePoint { stage: 0, step: 1 }, None).unwrap();
    assert_eq!(run.made(0, 1).unwrap(), rows(&[reject_step(0)]));
    run.stage_started(&stage(0, "reject", 1)).unwrap();
    (1..3).for_each(|step| write(&mut run, reject_step(step)));
    let all: Vec<StepFacts> = (0..3).map(reject_step).collect();
    assert_eq!(run.made(0, 3).unwrap(), rows(&all));
    assert_eq!(number(&place.read(), "SELECT count(*) FROM v_selections"), 12);
}

#[test]
fn verdicts_are_part_of_the_digest() {
    let digest = |facts: StepFacts| {
        let place = Place::new();
        let mut run = place.write().begin_run(start()).unwrap();
        run.stage_started(&stage(0, "reject", 0)).unwrap();
        write(&mut run, facts);
        run.digest().unwrap()
    };
    let known = digest(reject_step(0));
    assert_eq!(digest(reject_step(0)), known);
    let mut other = reject_step(0);
    other.verdicts[1][1] = Verdict::Dropped("surplus".to_owned());
    assert_ne!(digest(other), known);
    // A completion in the digest of a step without advantages is there all the same.
    let mut other = reject_step(0);
    other.groups[1].group.rollouts[1].rollout.completion.tokens[0] += 1;
    assert_ne!(digest(other), known);
}

#[test]
fn verdicts_that_do_not_fit_are_refused() {
    let place = Place::new();
    let mut run = place.write().begin_run(start()).unwrap();
    run.stage_started(&stage(0, "reject", 0)).unwrap();
    for tear in [
        |facts: &mut StepFacts| drop(facts.verdicts.pop()),
        |facts: &mut StepFacts| drop(facts.verdicts[1].pop()),
        |facts: &mut StepFacts| facts.groups[0].advantages.push(1.0),
        |facts: &mut StepFacts| facts.verdicts.clear(),
    ] {
        let mut facts = reject_step(0);
        tear(&mut facts);
        let error = run.step(facts).unwrap_err();
        assert!(error.message.contains("step 0"), "{}", error.message);
    }
    run.finish(crate::RunStatus::Failed, 1, None, None).unwrap();
}
