//! Questions about parts of a run that several commands ask: how far it is recorded, which checkpoint is meant, what was
//! evaluated last, what a step is on average.

use r1x_core::port::Recorder;
use r1x_core::{CheckpointKind, FinishReason};

use super::errors::change;
use super::fixtures::*;
use crate::{
    CheckpointCard, EvalRow, RunStatus, StagePoint, StepTiming, StepsAfter, checkpoints_on_disk,
    evaluations, newest_evaluation,
};

const fn at(stage: usize, step: u64) -> StagePoint {
    StagePoint { stage, step }
}

#[test]
fn a_run_is_recorded_up_to_its_last_step_and_no_further() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    assert!(store.recorded_steps("latest").unwrap().covers(at(0, 0)), "nothing is missing yet");
    assert!(!store.recorded_steps("latest").unwrap().covers(at(0, 1)));
    for index in [0, 1] {
        run.stage_started(&stage(index, "grpo", 0)).unwrap();
        for step in 0..3 {
            write(&mut run, grpo_step(index, step));
        }
        let steps = store.recorded_steps("latest").unwrap();
        assert!(steps.covers(at(index, 3)) && !steps.covers(at(index, 4)));
        assert!(!steps.covers(at(index + 1, 0)), "the stage is not done yet");
        run.stage_finished(&stage(index, "grpo", 0), "aa").unwrap();
        run.flush().unwrap();
        assert!(store.recorded_steps("latest").unwrap().covers(at(index + 1, 0)));
    }
    let steps = store.recorded_steps("latest").unwrap();
    let after = |stage, step| steps.after(at(stage, step));
    assert_eq!(after(0, 0), StepsAfter { steps: 6, first: at(0, 0) });
    assert_eq!(after(0, 2), StepsAfter { steps: 4, first: at(0, 2) });
    assert_eq!(after(0, 3), StepsAfter { steps: 3, first: at(1, 0) }, "the next stage's first");
    assert_eq!(after(1, 2), StepsAfter { steps: 1, first: at(1, 2) });
    assert_eq!(after(1, 3), StepsAfter { steps: 0, first: at(1, 3) }, "none is left");
    assert_eq!(after(2, 0), StepsAfter { steps: 0, first: at(2, 0) });
    run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    store.resume_run("latest", at(0, 2), None).unwrap();
    let steps = store.recorded_steps("latest").unwrap();
    assert!(steps.covers(at(0, 2)) && !steps.covers(at(0, 3)), "what is done again is not there");
    assert!(store.recorded_steps("nobody").is_err());
}

#[test]
fn a_run_can_go_on_unless_it_is_done_or_goes_on_already() {
    let place = Place::new();
    let store = place.write();
    let can_go_on = || store.run("latest").unwrap().can_go_on();
    for (status, expected) in [
        (RunStatus::Done, false),
        (RunStatus::GateMissed, false),
        (RunStatus::Failed, true),
        (RunStatus::Interrupted, true),
        (RunStatus::Diverged, true),
    ] {
        let mut run = store.begin_run(start()).unwrap();
        assert!(!can_go_on(), "it is running");
        run.finish(status, 0, None, None).unwrap();
        assert_eq!(can_go_on(), expected, "{status:?}");
    }
    drop(store.begin_run(start()).unwrap());
    assert!(can_go_on(), "it has crashed");
}

#[test]
fn a_checkpoint_is_known_by_its_hash_or_by_its_weights_and_place() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 4);
    run.checkpoint(&checkpoint(1, 2, CheckpointKind::Step, "two")).unwrap();
    run.checkpoint(&checkpoint(1, 4, CheckpointKind::Interrupt, "four")).unwrap();
    run.flush().unwrap();
    std::fs::create_dir(run.folder().join("four")).unwrap();
    let cards = store.checkpoints("latest").unwrap();
    let [two, four] = cards.as_slice() else { panic!("{cards:?}") };
    assert_eq!((two.point(), four.point()), (at(1, 2), at(1, 4)));
    assert_eq!(checkpoints_on_disk(&cards), ["four"]);

    assert!(two.leads_to(at(1, 2)) && !two.leads_to(at(1, 3)) && !two.leads_to(at(2, 0)));
    assert!(four.leads_to(at(1, 4)) && four.leads_to(at(2, 0)), "interrupted between two stages");
    assert!(!four.leads_to(at(2, 1)) && !four.leads_to(at(3, 0)));

    let (weights, state) = (two.sha256.clone(), two.state_sha256.clone().unwrap());
    assert!(two.is_copy("other", &state, None), "a hash of everything suffices");
    assert!(!two.is_copy(&weights, "other", Some(at(1, 2))));
    let early = CheckpointCard { state_sha256: None, ..two.clone() };
    assert!(early.is_copy(&weights, &state, Some(at(1, 2))));
    assert!(!early.is_copy(&weights, &state, Some(at(1, 3))), "equal weights of another place");
    assert!(
        !early.is_copy(&weights, &state, None) && !early.is_copy("other", &state, Some(at(1, 2)))
    );
}

#[test]
fn figures_belong_to_evaluations_and_the_newest_of_a_suite_counts() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    run.evaluation(&evaluation(None, "start", 0, 0.1)).unwrap();
    let other = r1x_core::EvalFacts { suite: "other".into(), ..evaluation(None, "start", 0, 0.2) };
    run.evaluation(&other).unwrap();
    run.evaluation(&evaluation(Some(1), "grpo-1", 1, 0.3)).unwrap();
    run.flush().unwrap();
    let rows = store.eval_results("latest").unwrap();
    let places: Vec<(&str, i64, usize)> = evaluations(&rows)
        .map(|figures| (figures[0].suite.as_str(), figures[0].step, figures.len()))
        .collect();
    assert_eq!(places, [("heldout", 0, 2), ("other", 0, 2), ("heldout", 1, 2)]);
    let value = |figures: Option<&[EvalRow]>| figures.and_then(|figures| figures[0].value);
    assert_eq!(value(newest_evaluation(&rows, "heldout")), Some(0.3));
    assert_eq!(value(newest_evaluation(&rows, "other")), Some(0.2));
    assert_eq!(newest_evaluation(&rows, "nothing"), None);
}

#[test]
fn a_curve_goes_through_the_stages_of_a_run() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    for index in [0, 1] {
        run.stage_started(&stage(index, "grpo", 0)).unwrap();
        for step in 0..2 {
            write(&mut run, grpo_step(index, step));
        }
        run.stage_finished(&stage(index, "grpo", 0), "aa").unwrap();
    }
    run.flush().unwrap();
    let curve = store.curve("latest", None, "loss").unwrap();
    assert_eq!(curve.stages, ["grpo-0", "grpo-1"]);
    assert_eq!(curve.points, [(0, 0.5), (1, 1.5), (2, 0.5), (3, 1.5)]);
    let of_one = store.curve("latest", Some("grpo-1"), "loss").unwrap();
    assert_eq!((of_one.stages.len(), of_one.points.as_slice()), (1, &[(0, 0.5), (1, 1.5)][..]));
    assert!(store.curve("latest", None, "nothing").unwrap().points.is_empty());
}

#[test]
fn a_step_on_average_is_one_of_the_newest_run_that_measured_its_steps() {
    let place = Place::new();
    let store = place.write();
    assert_eq!(store.mean_step().unwrap(), None, "there is no run");
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    for (step, train_ms) in [(0, 20.0), (1, 40.0)] {
        run.set_timing(StepTiming { generate_ms: 10.0, reward_ms: 0.5, train_ms });
        write(&mut run, grpo_step(1, step));
    }
    let _newer = run_of_steps(&store, 1);
    let mean = store.mean_step().unwrap().unwrap();
    assert_eq!((mean.run.as_str(), mean.ms, mean.rollouts), (run.name(), 40.5, 4.0));
}

#[test]
fn a_reward_is_found_by_the_name_of_its_plugin() {
    let place = Place::new();
    let store = place.write();
    let _run = run_of_steps(&store, 1);
    let found = |plugin: &str| store.reward_of_plugin("latest", plugin).unwrap();
    assert_eq!(found("format-plugin").as_deref(), Some("format"));
    assert_eq!(found("nothing"), None);
}

#[test]
fn recorded_groups_are_asked_about_as_they_were() {
    let place = Place::new();
    let store = place.write();
    let _run = run_of_steps(&store, 1);
    let step = store.rollout_steps("latest").unwrap().remove(0);
    let facts = grpo_step(1, 0);
    let groups = store.stored_groups(&step, "equation").unwrap();
    for (stored, fact) in groups.iter().zip(&facts.groups) {
        let asked = stored.asked().unwrap();
        assert_eq!(asked.problem, fact.group.problem);
        assert_eq!(asked.prompt_tokens, fact.group.prompt_tokens);
        for (rollout, fact) in asked.rollouts.iter().zip(&fact.group.rollouts) {
            assert_eq!(rollout.text, fact.rollout.text);
            let (found, was) = (&rollout.completion, &fact.rollout.completion);
            assert_eq!((found.tokens.len(), found.finish), (was.tokens.len(), was.finish));
        }
    }
    let finishes = groups.iter().flat_map(|group| group.asked().unwrap().rollouts);
    let cut = finishes.filter(|rollout| rollout.completion.finish == FinishReason::Length).count();
    assert_eq!(cut, 2, "both ways to end are there");
    change(&place, "UPDATE rollout_payload SET text = NULL");
    let groups = store.stored_groups(&step, "equation").unwrap();
    assert_eq!(groups[0].asked(), None, "without text there is nothing to ask about");
}
