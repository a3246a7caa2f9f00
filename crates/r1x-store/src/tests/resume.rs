//! A resumed run: what was computed anew no longer counts, and nothing is deleted.

use r1x_core::CheckpointKind;
use r1x_core::port::Recorder;

use super::fixtures::*;
use crate::{EvalRow, RunStatus, StagePoint, Store, StoreError};

/// A run of two stages that was interrupted in the second.
fn interrupted_run(store: &Store) -> String {
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    run.evaluation(&evaluation(None, "start", 0, 0.1)).unwrap();
    for step in 0..4 {
        write(&mut run, grpo_step(0, step));
        if step == 1 {
            run.checkpoint(&checkpoint(0, 2, CheckpointKind::Step, "two")).unwrap();
            run.evaluation(&evaluation(Some(0), "grpo-0", 2, 0.2)).unwrap();
        }
    }
    run.checkpoint(&checkpoint(0, 4, CheckpointKind::Stage, "four")).unwrap();
    run.evaluation(&evaluation(Some(0), "grpo-0", 4, 0.4)).unwrap();
    run.stage_finished(&stage(0, "grpo", 0), "aa").unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    run.checkpoint(&checkpoint(1, 0, CheckpointKind::Interrupt, "later")).unwrap();
    write(&mut run, grpo_step(1, 0));
    run.finish(RunStatus::Interrupted, 130, None, Some("old")).unwrap();
    run.name().to_owned()
}

const POINT: StagePoint = StagePoint { stage: 0, step: 2 };

/// The values of `pass@1`, in order.
fn pass_at_1(evals: &[EvalRow]) -> Vec<Option<f64>> {
    evals.iter().filter(|row| row.metric == "pass@1").map(|row| row.value).collect()
}

#[test]
fn what_comes_after_the_cursor_no_longer_counts() {
    let place = Place::new();
    let store = place.write();
    let name = interrupted_run(&store);
    let run = store.resume_run(&name[..name.len() - 1], POINT, None).unwrap();
    assert_eq!(run.name(), name);
    let card = store.run_card("latest").unwrap();
    assert_eq!((card.run.status.as_str(), card.run.steps), ("running", 2));
    assert_eq!((card.run.digest, card.run.exit_code), (None, None));
    assert_eq!(card.stages.len(), 1, "a stage that will be run again is not listed");
    let paths: Vec<_> =
        card.checkpoints.iter().map(|checkpoint| checkpoint.path.as_str()).collect();
    assert_eq!(paths, ["two"]);
    let why = "the evaluation at the cursor itself still counts";
    assert_eq!(pass_at_1(&card.evals), [Some(0.1), Some(0.2)], "{why}");
    assert_eq!(number(&store, "SELECT count(*) FROM v_rollouts"), 8);
    assert_eq!(number(&store, "SELECT count(*) FROM rollout"), 20, "rows stay");
}

#[test]
fn what_is_computed_anew_takes_the_place_of_the_old() {
    let place = Place::new();
    let store = place.write();
    let name = interrupted_run(&store);
    let mut run = store.resume_run(&name, POINT, None).unwrap();
    run.stage_started(&stage(0, "grpo", 2)).unwrap();
    let mut facts = grpo_step(0, 2);
    facts.metrics[0].1 = -1.0;
    write(&mut run, facts);
    run.checkpoint(&checkpoint(0, 2, CheckpointKind::Step, "two")).unwrap();
    run.evaluation(&evaluation(Some(0), "grpo-0", 2, 0.3)).unwrap();
    let series = store.metric_series(&name, None, "loss").unwrap();
    let loss: Vec<_> = series.iter().map(|point| (point.step, point.value)).collect();
    assert_eq!(loss, [(0, 0.5), (1, 1.5), (2, -1.0)]);
    assert_eq!(number(&store, "SELECT count(*) FROM v_rollouts"), 12);
    assert_eq!(number(&store, "SELECT count(*) FROM v_groups"), 6);
    assert_eq!(number(&store, "SELECT count(*) FROM v_rewards"), 24);
    assert_eq!(number(&store, "SELECT count(*) FROM rollout"), 24, "rows stay");
    let card = store.run_card(&name).unwrap();
    let only = &card.stages[0];
    assert_eq!((only.attempts, only.steps, only.rollouts), (2, 3, 12));
    let why = "a checkpoint of the same path replaces the older one";
    assert_eq!(card.checkpoints.len(), 1, "{why}");
    let why = "run again at the same place, an evaluation replaces the older one";
    assert_eq!(pass_at_1(&card.evals), [Some(0.1), Some(0.3)], "{why}");
    assert_eq!(store.step(&name, None, 2).unwrap().metrics[0].value, -1.0);
    assert!(store.step(&name, None, 3).is_err());
    assert_eq!(card.metrics[0].value, -1.0);
}

#[test]
fn resuming_twice_keeps_the_lowest_cursor() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 4);
    run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    let mut run = store.resume_run("latest", StagePoint { stage: 1, step: 3 }, None).unwrap();
    run.stage_started(&stage(1, "grpo", 3)).unwrap();
    write(&mut run, grpo_step(1, 3));
    run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    let mut run = store.resume_run("latest", StagePoint { stage: 1, step: 1 }, None).unwrap();
    assert_eq!(store.metric_series("latest", None, "loss").unwrap().len(), 1);
    run.stage_started(&stage(1, "grpo", 1)).unwrap();
    write(&mut run, grpo_step(1, 1));
    let steps: Vec<u64> =
        store.metric_series("latest", None, "loss").unwrap().iter().map(|p| p.step).collect();
    assert_eq!(steps, [0, 1]);
}

#[test]
fn an_earlier_stage_can_be_named_after_a_resume() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 2);
    run.stage_finished(&stage(1, "grpo", 0), "aa").unwrap();
    run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    let mut run = store.resume_run("latest", StagePoint { stage: 2, step: 0 }, None).unwrap();
    run.evaluation(&evaluation(Some(1), "grpo-1", 2, 0.7)).unwrap();
    assert_eq!(store.eval_results("latest").unwrap().len(), 2);
    assert!(run.step(grpo_step(2, 0)).is_err(), "the stage to run must be started first");
}

#[test]
fn a_live_run_is_not_resumed() {
    let place = Place::new();
    let store = place.write();
    let run = run_of_steps(&store, 1);
    let error = store.resume_run("latest", StagePoint { stage: 0, step: 0 }, None).err().unwrap();
    assert!(matches!(error, StoreError::StillRunning { .. }), "{error}");
    assert_eq!(number(&store, "SELECT count(*) FROM v_rollouts"), 4, "and is left alone");
    drop(run);
    assert_eq!(store.run("latest").unwrap().status, "crashed", "dropped without an end");
    store.resume_run("latest", StagePoint { stage: 0, step: 0 }, None).unwrap();
}
