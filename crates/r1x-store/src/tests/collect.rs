//! What rollouts of older steps said goes where nobody keeps it, and nothing else does.

use r1x_core::CheckpointKind;
use r1x_core::plan::{RetentionPlan, StepsKept};
use r1x_core::port::Recorder;

use super::errors::change;
use super::fixtures::*;
use super::sittings::words;
use crate::{Depth, PayloadField, Store};

fn keep(last_steps: u64, every: Option<u64>) -> Option<StepsKept> {
    Some(StepsKept { last_steps, every })
}

/// Only log-probs go, of all steps but the last.
fn logprobs_of_the_last() -> RetentionPlan {
    RetentionPlan { logprobs: keep(1, None), ..RetentionPlan::default() }
}

/// How many rollouts of each step have each field.
fn held(store: &Store) -> Vec<String> {
    words(
        store,
        "SELECT st.attempt, o.step, count(x.text), count(x.token_ids), count(x.logp), count(x.ref_logp), count(x.entropy)
           FROM stage st JOIN rollout o USING (stage_id) LEFT JOIN rollout_payload x USING (rollout_id)
          GROUP BY st.attempt, o.step ORDER BY st.attempt, o.step",
    )
}

#[test]
fn only_fields_of_older_steps_go_and_what_is_left_is_as_it_was() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(hashed_start()).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    (0..5).for_each(|step| write(&mut run, grpo_step(1, step)));
    let name = run.name().to_owned();
    let digest = run.digest().unwrap();
    let retention = RetentionPlan { text: keep(4, None), logprobs: keep(1, Some(2)), tokens: None };
    let garbage = store.garbage(&name, &retention).unwrap();
    let told: Vec<_> = garbage.iter().map(|of| (of.field, of.steps, of.bytes > 0)).collect();
    assert_eq!(told, [(PayloadField::Text, 1, true), (PayloadField::Logprobs, 2, true)]);
    // 14 tokens in a step, with a log-prob, that of the reference and an entropy of four bytes each.
    assert_eq!(garbage[1].bytes, 2 * 14 * 3 * 4);
    let all = ["4,4,4,4,4"; 5];
    let rows = |of: [&str; 5]| -> Vec<String> {
        of.iter().enumerate().map(|(step, counts)| format!("[1,{step},{counts}]")).collect()
    };
    assert_eq!(held(&store), rows(all), "looking changes nothing");
    // The run is at work all the time.
    assert_eq!(store.collect(&name, &retention).unwrap(), garbage);
    let left = ["0,4,4,4,4", "4,4,0,0,0", all[0], "4,4,0,0,0", all[0]];
    assert_eq!(held(&store), rows(left));
    assert_eq!(run.digest().unwrap(), digest);
    assert_eq!(place.read().verify(Depth::Whole).unwrap().flaws, []);
    assert_eq!(
        words(&store, "SELECT step, dropped FROM step WHERE dropped IS NOT NULL"),
        [r#"[0,"[\"text\"]"]"#, r#"[1,"[\"logprobs\"]"]"#, r#"[3,"[\"logprobs\"]"]"#]
    );
    // What went is gone; a second look finds nothing, and a stricter one the rest.
    assert_eq!(store.collect(&name, &retention).unwrap(), []);
    let nothing =
        RetentionPlan { text: keep(1, None), tokens: keep(1, None), logprobs: keep(1, None) };
    store.collect(&name, &nothing).unwrap();
    assert_eq!(
        number(&store, "SELECT count(*) FROM rollout_payload"),
        4,
        "rows without anything go"
    );
    assert_eq!(number(&store, "SELECT count(*) FROM v_rollouts"), 20);
    let every = r#"[0,"[\"text\",\"tokens\",\"logprobs\"]"]"#;
    assert_eq!(words(&store, "SELECT step, dropped FROM step WHERE step = 0"), [every]);
    assert_eq!(place.read().verify(Depth::Whole).unwrap().flaws, []);
    drop(run);
}

#[test]
fn what_another_stage_is_trained_on_stays_and_steps_that_were_done_again_go_whole() {
    let place = Place::new();
    let store = place.write();
    // Two attempts: three steps that judge every rollout, of which the last is done again, without verdicts.
    let name = finished_run(&store, 1);
    store.collect(&name, &logprobs_of_the_last()).unwrap();
    assert_eq!(
        held(&store),
        ["[1,0,4,4,2,2,2]", "[1,1,4,4,2,2,2]", "[1,2,4,4,2,2,2]", "[2,2,4,4,4,4,4]"]
    );
    assert_eq!(
        number(
            &store,
            "SELECT count(*) FROM selection JOIN rollout_payload USING (rollout_id)
              WHERE dropped_by IS NULL AND logp IS NULL"
        ),
        0
    );
    assert_eq!(place.read().verify(Depth::Whole).unwrap().flaws, []);
}

#[test]
fn a_row_that_was_damaged_before_is_a_flaw_afterwards() {
    let place = Place::new();
    let store = place.write();
    let name = finished_run(&store, 1);
    drop(store);
    change(&place, "UPDATE rollout_payload SET logp = zeroblob(12) WHERE rollout_id = 2");
    assert_eq!(place.read().verify(Depth::Whole).unwrap().flaws.len(), 1);
    place.write().collect(&name, &logprobs_of_the_last()).unwrap();
    let flaws = place.read().verify(Depth::Whole).unwrap().flaws;
    assert_eq!(flaws.len(), 1);
    assert!(flaws[0].place.ends_with("stage grpo-1, step 0"), "{flaws:?}");
}

#[test]
fn a_stage_that_lost_something_is_not_taken_over() {
    let place = Place::new();
    let store = place.write();
    let key = "5".repeat(64);
    let mut run = store.begin_run(start()).unwrap();
    run.set_stage_keys(vec!["4".repeat(64), key.clone()]);
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    write(&mut run, grpo_step(1, 0));
    write(&mut run, grpo_step(1, 1));
    let path = "grpo-1/final";
    run.checkpoint(&checkpoint(1, 2, CheckpointKind::Stage, path)).unwrap();
    run.stage_finished(&stage(1, "grpo", 0), &"ab".repeat(32)).unwrap();
    let name = run.name().to_owned();
    run.finish(crate::RunStatus::Done, 0, None, None).unwrap();
    assert_eq!(store.reusable(&key, 2).unwrap().len(), 1);
    store.collect(&name, &logprobs_of_the_last()).unwrap();
    assert_eq!(store.reusable(&key, 2).unwrap(), []);
}
