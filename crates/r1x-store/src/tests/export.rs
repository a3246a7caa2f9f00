//! What is taken out of a store page by page: the steps that count, in the order of the run, with all that is in them.

use r1x_core::facts::StepFacts;
use r1x_core::port::Recorder;
use r1x_core::select::Verdict;

use super::fixtures::*;
use crate::{Rollouts, RunStep, SearchIn, StagePoint, StoreError, Tokens};

const ALL: (Rollouts, Tokens) = (Rollouts::All, Tokens::Left);

#[test]
fn steps_are_those_that_count_one_stage_after_the_other() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    for index in [0, 1] {
        run.stage_started(&stage(index, "grpo", 0)).unwrap();
        (0..3).for_each(|step| write(&mut run, grpo_step(index, step)));
        if index == 0 {
            run.stage_finished(&stage(index, "grpo", 0), "aa").unwrap();
        }
    }
    run.flush().unwrap();
    drop(run);
    let mut run = store.resume_run("latest", StagePoint { stage: 1, step: 1 }, None).unwrap();
    run.stage_started(&stage(1, "grpo", 1)).unwrap();
    write(&mut run, grpo_step(1, 1));
    run.flush().unwrap();

    let read = place.read();
    let steps = read.run_steps("latest", None).unwrap();
    let places: Vec<(i64, u64, u64)> =
        steps.iter().map(|step| (step.stage_index, step.step, step.run_step)).collect();
    assert_eq!(places, [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3), (1, 1, 4)]);
    let second = read.run_steps("latest", Some("grpo-1")).unwrap();
    assert_eq!(second, steps[3..]);
    let unknown = read.run_steps("latest", Some("grpo")).unwrap_err();
    let StoreError::NotInRun { instead, .. } = unknown else { panic!("{unknown}") };
    assert_eq!(instead, "its stages are `grpo-0`, `grpo-1`");

    // The step that was done again is there once.
    let rollouts = |step: &RunStep| read.rollouts_of(step, ALL, None).unwrap().len() as i64;
    let counted: i64 = steps.iter().map(rollouts).sum();
    assert_eq!(counted, number(&read, "SELECT count(*) FROM v_rollouts"));
    assert!(counted < number(&read, "SELECT count(*) FROM rollout"));
    for step in &steps {
        let sql = format!(
            "SELECT count(*) FROM v_metrics WHERE stage_idx = {} AND step = {}",
            step.stage_index, step.step
        );
        assert_eq!(read.metrics_of(step).unwrap().len() as i64, number(&read, &sql));
    }
    let texts = read.texts_of(&steps[0], SearchIn::Completions).unwrap();
    assert_eq!(texts.len() as i64, rollouts(&steps[0]));
    assert!(read.texts_of(&steps[0], SearchIn::Prompts).unwrap().len() < texts.len());
}

/// The first step of a stage that makes data: of two groups of two completions the first completion is kept.
fn judged_step() -> StepFacts {
    let mut facts = grpo_step(0, 0);
    facts.reference_logprobs.clear();
    facts.groups.iter_mut().for_each(|group| group.advantages.clear());
    let dropped = || Verdict::Dropped("reward.equation".to_owned());
    facts.verdicts = vec![vec![Verdict::Kept, dropped()], vec![dropped(), dropped()]];
    facts
}

#[test]
fn conditions_of_people_choose_among_what_is_there_and_no_more() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "reject", 0)).unwrap();
    let facts = judged_step();
    write(&mut run, facts);
    run.flush().unwrap();
    let read = place.read();
    let step = &read.run_steps("latest", None).unwrap()[0];
    let kept = (Rollouts::Kept, Tokens::Read);
    let kept_rows = read.rollouts_of(step, kept, None).unwrap();
    assert_eq!(kept_rows.iter().map(|row| (row.group, row.sample)).collect::<Vec<_>>(), [(0, 0)]);
    assert_eq!(kept_rows[0].tokens.as_ref().unwrap().len() as i64, kept_rows[0].n_tokens);
    let count = |which, condition: &str| {
        read.rollouts_of(step, which, Some(condition)).map(|rows| rows.len())
    };
    assert_eq!(count(ALL, "sample = 1 -- and no more").unwrap(), 2);
    assert_eq!(count(ALL, "sample = 1 OR 1").unwrap(), 4);
    assert_eq!(count(ALL, "1) UNION SELECT rollout_id, 0 FROM rollout WHERE (1").unwrap(), 4);
    assert_eq!(count(kept, "dropped_by IS NOT NULL").unwrap(), 0);
    assert_eq!(count(kept, "NOT kept) OR (1").unwrap(), 1);
    assert!(matches!(count(ALL, "1; SELECT 1"), Err(StoreError::Writes { .. })));
    assert!(matches!(count(ALL, "rewrad = 1"), Err(StoreError::Query { .. })));
    assert!(matches!(read.check_condition("v_rollouts", "(1"), Err(StoreError::Query { .. })));
    read.check_condition("v_selections", "kept").unwrap();
}

#[test]
fn columns_of_kept_problems_are_told_with_every_kind_of_json_in_them() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "reject", 0)).unwrap();
    let mut facts = judged_step();
    let columns = [
        ("few", "[1, 2.5, null]"),
        ("flag", "false"),
        ("long", "18446744073709551616"),
        ("longs", "[9223372036854775807, 9223372036854775808]"),
        ("none", "null"),
        ("number", "1e3"),
        ("some", "[]"),
        ("text", "\"[1]\""),
        ("things", "{\"a\": [1]}"),
        ("whole", "-9223372036854775808"),
    ];
    let columns = columns.map(|(name, json)| (name.to_owned(), json.to_owned()));
    facts.groups[0].group.problem.columns = columns.into();
    write(&mut run, facts);
    run.flush().unwrap();
    let read = place.read();
    let kinds = read.problem_columns("latest", Some("reject-0"), Rollouts::Kept).unwrap();
    let told: Vec<(&str, String)> =
        kinds.iter().map(|(name, kinds)| (name.as_str(), kinds.join(" "))).collect();
    let expected = [
        ("few", "array array.integer array.null array.real"),
        ("flag", "false"),
        ("long", "long"),
        ("longs", "array array.integer array.long"),
        ("none", "null"),
        ("number", "real"),
        ("some", "array"),
        ("text", "text"),
        ("things", "object"),
        ("whole", "integer"),
    ];
    assert_eq!(told, expected.map(|(name, kinds)| (name, kinds.to_owned())));
    assert!(read.problem_columns("latest", Some("other"), Rollouts::Kept).unwrap().is_empty());
}
