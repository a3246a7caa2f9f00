//! Merges on the table of logits: the average by value, what it counts as, and resume.

use r1x_core::plan::{MergePart, MergePlan, RunPlan, StageKind, WeightsFrom};
use r1x_core::testing;
use r1x_train::RunOutcome;

use crate::support::{
    Fact, Finished, Table, TablePolicy, World, finish, run_plan, sft_plan, sft_stage,
};

fn part(id: &str, share: f64) -> MergePart {
    MergePart { weights: WeightsFrom::Stage(id.to_owned()), share }
}

/// Two stages of other lengths that begin with nothing, an average of them, and a stage that goes on from there.
fn run(parts: Vec<MergePart>) -> RunPlan {
    let named = |id: &str, kind| testing::stage(id, kind);
    let mut run = run_plan(vec![
        sft_stage(sft_plan(12)),
        named("other", StageKind::Sft(sft_plan(5))),
        named("both", StageKind::Merge(MergePlan { parts })),
        named("on", StageKind::Sft(sft_plan(3))),
    ]);
    run.stages[1].weights = WeightsFrom::Base;
    run.stages[3].weights = WeightsFrom::Stage("both".to_owned());
    run
}

fn saved(finished: &Finished, stage: &str) -> Table {
    let saved = finished.policy.checkpoints.borrow();
    let name = saved.keys().rev().find(|name| name.contains(stage));
    saved[name.expect("the stage has ended")].0.logits.clone()
}

#[test]
fn every_number_is_the_sum_of_shares() {
    let finished = finish(&run(vec![part("sft", 0.75), part("other", 0.25)]));
    let [one, other, both] = ["sft", "other", "both"].map(|stage| saved(&finished, stage));
    assert!(!both.is_empty() && one != other);
    for (context, row) in &both {
        let of = |table: &Table| table.get(context).copied().unwrap_or_default();
        let (one, other) = (of(&one), of(&other));
        let expected: [f64; 11] = std::array::from_fn(|at| 0.75 * one[at] + 0.25 * other[at]);
        assert_eq!(*row, expected);
    }
    assert!(one.keys().chain(other.keys()).all(|context| both.contains_key(context)));
    // It takes one step, which is recorded and draws nothing, and a stage goes on from what comes of it.
    let steps = finished.steps();
    let of_merge: Vec<_> = steps.iter().filter(|step| step.stage == 2).collect();
    assert_eq!((of_merge.len(), of_merge[0].groups.len()), (1, 0));
    assert!(saved(&finished, "on") != both);
}

#[test]
fn the_weights_of_the_beginning_are_a_part_too() {
    let base = MergePart { weights: WeightsFrom::Base, share: 0.5 };
    let finished = finish(&run(vec![base, part("other", 0.5)]));
    let (other, both) = (saved(&finished, "other"), saved(&finished, "both"));
    // A table begins with zeros.
    assert!(both.iter().all(|(context, row)| *row == other[context].map(|logit| 0.5 * logit)));
}

#[test]
fn a_run_that_was_interrupted_around_a_merge_leaves_the_facts_of_one_that_was_not() {
    let plan = run(vec![part("sft", 0.75), part("other", 0.25)]);
    let whole = World::default().run(&plan);
    let steps = |finished: &Finished| -> Vec<_> { finished.steps().into_iter().cloned().collect() };
    for stop_after in 16..20 {
        let first = World { stop_after, ..World::default() }.run(&plan);
        assert!(matches!(first.outcome, Ok(RunOutcome::Interrupted { .. })), "{stop_after}");
        let name = first.facts.iter().rev().find_map(|fact| match fact {
            Fact::Checkpoint(saved) => Some(saved.path.clone()),
            _ => None,
        });
        let (policy, from) = TablePolicy::restored(&first.policy.checkpoints, &name.unwrap());
        let second = World { policy, from, ..World::default() }.run(&plan);
        assert_eq!(second.outcome, Ok(RunOutcome::Done));
        assert_eq!([steps(&first), steps(&second)].concat(), steps(&whole));
        assert_eq!(second.policy.state.logits, whole.policy.state.logits);
    }
}
