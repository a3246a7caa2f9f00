//! Two runs that should be equal: whatever is changed in one of them is what differs, and nothing else.

use r1x_core::CheckpointKind;
use r1x_core::port::Recorder;

use super::fixtures::*;
use crate::{Compared, Difference, LastFact, RunPair, RunStatus, StagePoint, Store};

/// Records a run of one stage of two steps, with its evaluations, and returns its number.
fn record(store: &Store) -> i64 {
    let mut run = store.begin_run(start()).unwrap();
    run.evaluation(&evaluation(None, "start", 0, 0.1)).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    for step in 0..2 {
        write(&mut run, grpo_step(0, step));
    }
    run.checkpoint(&checkpoint(0, 2, CheckpointKind::Stage, "grpo-0/final")).unwrap();
    run.evaluation(&evaluation(Some(0), "grpo-0", 2, 0.4)).unwrap();
    run.stage_finished(&stage(0, "grpo", 0), "aa").unwrap();
    run.finish(RunStatus::Done, 0, None, None).unwrap();
    run.run_id()
}

/// Every comparison of two runs, in the order in which facts arise.
fn compare(store: &Store, runs: RunPair) -> Vec<Compared> {
    vec![
        store.compare_evaluation(runs, "heldout", ("start", 0)).unwrap(),
        store.compare_step(runs, 0, 0).unwrap(),
        store.compare_step(runs, 0, 1).unwrap(),
        store.compare_checkpoint(runs, (0, "grpo-0"), 2).unwrap(),
        store.compare_evaluation(runs, "heldout", ("grpo-0", 2)).unwrap(),
        store.compare_stage_end(runs, 0).unwrap(),
    ]
}

/// The one comparison that does not find equal facts after a statement was carried out on the earlier run, and its
/// position among all.
fn after(statement: &str) -> (usize, Difference) {
    let place = Place::new();
    let store = place.write();
    let runs = RunPair { was: record(&store), is: record(&store) };
    assert!(compare(&store, runs).iter().all(|found| *found == Compared::Equal), "{statement}");
    let statement: &'static str = statement.to_owned().leak();
    store.writer().unwrap().call(move |writer| writer.execute(statement)).unwrap();
    let found = compare(&store, runs).into_iter().enumerate();
    let mut found = found.filter(|(_, found)| *found != Compared::Equal);
    let Some((at, Compared::Differs(difference))) = found.next() else { panic!("{statement}") };
    assert_eq!(found.next(), None, "{statement}");
    (at, *difference)
}

/// The rollout 1.1 of step 1 of the earlier run, which has four tokens.
const ROLLOUT: &str = "rollout_id = (SELECT rollout_id FROM rollout WHERE stage_id = 1 AND step = 1 AND grp = 1 AND sample = 1)";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_changed_in_a_rollout_is_named_with_its_place_and_both_values() {
    let facts = grpo_step(0, 1);
    let completion = &facts.groups[1].group.rollouts[1].rollout.completion;
    let mut tokens = completion.tokens.clone();
    tokens[2] += 1;
    let mut logprobs = completion.logprobs.clone();
    logprobs[3] = f32::from_bits(logprobs[3].to_bits() ^ 1);
    let flipped = format!("{:?}", logprobs[3]);
    let (tokens, logprobs) =
        (crate::record::u32_bytes(&tokens), crate::record::f32_bytes(&logprobs));
    let payload = |what: &str| format!("UPDATE rollout_payload SET {what} WHERE {ROLLOUT}");
    let rollout = |what: &str| format!("UPDATE rollout SET {what} WHERE {ROLLOUT}");
    let reward = |what: &str| {
        let key = "key_id = (SELECT key_id FROM reward_key WHERE name = 'format')";
        format!("UPDATE reward SET {what} WHERE {ROLLOUT} AND {key}")
    };
    let sum: f64 = completion.logprobs.iter().copied().map(f64::from).sum();
    let (sum, logprob) = (format!("{sum:?}"), format!("{:?}", completion.logprobs[3]));
    let selected =
        "INSERT INTO selection (rollout_id, dropped_by) SELECT rollout_id, 'x' FROM rollout WHERE";
    let recorded = |what: &str| format!("the number of recorded values ({what})");
    let (no_tokens, no_reference) =
        (recorded("the token"), recorded("the log-prob under the reference"));
    let cases: [(String, Option<u64>, &str, &str, &str); 13] = [
        (payload(&format!("token_ids = x'{}'", hex(&tokens))), Some(2), "the token", "118", "117"),
        (
            payload(&format!("logp = x'{}'", hex(&logprobs))),
            Some(3),
            "the log-prob",
            &flipped,
            &logprob,
        ),
        (payload("token_ids = NULL"), None, &no_tokens, "nothing", "4"),
        (payload("text = 'x'"), None, "the text", "\"x\"", "\"<think>103</think> 1 + 2\""),
        (payload("ref_logp = NULL"), None, &no_reference, "nothing", "4"),
        (rollout("finish = 'stop'"), None, "the reason to end", "\"stop\"", "\"length\""),
        (rollout("logp_sum = 0.5"), None, "the sum of log-probs", "0.5", &sum),
        (rollout("reward = 1e-9"), None, "the total of its rewards", "1e-9", "0.0"),
        (rollout("advantage = NULL"), None, "the advantage", "nothing", "0.5"),
        (reward("value = 0.25"), None, "the value of reward `format`", "0.25", "0.0"),
        (reward("status = 'trap'"), None, "the status of reward `format`", "\"trap\"", "\"ok\""),
        (reward("weight = 0.75"), None, "the weight of reward `format`", "0.75", "0.5"),
        (
            format!("{selected} {ROLLOUT}"),
            None,
            "whether it was judged for the data",
            "true",
            "false",
        ),
    ];
    for (statement, token, quantity, was, is) in cases {
        let (at, found) = after(&statement);
        assert_eq!(at, 2, "{statement}");
        let place = (found.step, found.group, found.sample, found.token);
        assert_eq!(place, (Some(1), Some(1), Some(1), token), "{statement}");
        assert_eq!(found.quantity, quantity, "{statement}");
        assert_eq!((found.was.as_str(), found.is.as_str()), (was, is), "{statement}");
    }
}

#[test]
fn steps_evaluations_and_weights_are_named_in_words() {
    let metric = "UPDATE metric SET value = 1.25 WHERE stage_id = 1 AND step = 0 AND idx = 0";
    let hash = "UPDATE step SET facts_sha256 = 'other' WHERE stage_id = 1 AND step = 0";
    let prompt = "UPDATE rollout_group SET prompt_ids = x'03000000' WHERE stage_id = 1 AND step = 0 AND grp = 1";
    let sample = "UPDATE eval_sample SET score = 0.5 WHERE eval_id = 2 AND item = 1 AND sample = 1";
    let figure = "UPDATE eval_result SET value = 0.25 WHERE eval_id = 1 AND metric = 'pass@2'";
    let weights = "UPDATE stage SET weights_sha256 = 'bb' WHERE run_id = 1";
    let saved = "UPDATE checkpoint SET sha256 = 'cc' WHERE stage_id = 1";
    let cases = [
        (metric, 1, "step 0 of stage `grpo-0`: the metric `loss` was 1.25, is 0.5"),
        (
            hash,
            1,
            "step 0 of stage `grpo-0`: the hash of everything, recorded or not, was \"other\", is ",
        ),
        (
            prompt,
            1,
            "step 0 of stage `grpo-0`, group 1, token 1: the token of the prompt was nothing, is 1",
        ),
        (
            sample,
            4,
            "suite `heldout` after 2 steps of `grpo-0`, sample 1.1: the score was 0.5, is 0.0",
        ),
        (figure, 0, "suite `heldout` at `start`: the figure `pass@2` was 0.25, is 0.5"),
        (weights, 5, "the end of stage `grpo-0`: the hash of the weights was \"bb\", is \"aa\""),
        (
            saved,
            3,
            "step 1 of stage `grpo-0`: the hash of the weights after it was \"cc\", is \"ffff",
        ),
    ];
    for (statement, place, words) in cases {
        let (at, found) = after(statement);
        assert_eq!(at, place, "{statement}");
        assert!(found.to_string().starts_with(words), "{found}");
    }
}

/// Advantages of a whole group follow from one reward: the reward is what is named.
#[test]
fn causes_are_named_before_their_effects() {
    let statement = format!(
        "UPDATE rollout SET advantage = 9 WHERE stage_id = 1 AND step = 1; UPDATE reward SET value = 7 WHERE {ROLLOUT}"
    );
    let (_, found) = after(&statement);
    assert_eq!((found.group, found.sample), (Some(1), Some(1)));
    assert!(found.quantity.starts_with("the value of reward"), "{found}");
}

#[test]
fn facts_that_one_run_has_not_recorded_are_missing_and_superseded_ones_do_not_count() {
    let place = Place::new();
    let store = place.write();
    let was = record(&store);
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    write(&mut run, grpo_step(0, 0));
    let mut other = grpo_step(0, 1);
    other.metrics[0].1 = -1.0;
    write(&mut run, other);
    let runs = RunPair { was, is: run.run_id() };
    assert!(matches!(store.compare_step(runs, 0, 1).unwrap(), Compared::Differs(_)));
    assert_eq!(store.recorded_steps("latest").unwrap().last(), Some(step(0, 1)));
    run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    let mut run = store.resume_run("latest", StagePoint { stage: 0, step: 1 }, None).unwrap();
    assert_eq!(store.compare_step(runs, 0, 1).unwrap(), Compared::Missing);
    assert_eq!(store.recorded_steps("latest").unwrap().last(), Some(step(0, 0)));
    run.stage_started(&stage(0, "grpo", 1)).unwrap();
    write(&mut run, grpo_step(0, 1));
    assert_eq!(store.compare_step(runs, 0, 1).unwrap(), Compared::Equal);
    assert_eq!(store.compare_stage_end(runs, 0).unwrap(), Compared::Missing);
    let late = store.compare_evaluation(runs, "heldout", ("grpo-0", 2)).unwrap();
    assert_eq!(late, Compared::Missing);
    run.stage_finished(&stage(0, "grpo", 0), "aa").unwrap();
    run.flush().unwrap();
    assert_eq!(store.recorded_steps("latest").unwrap().last(), Some(LastFact::Stage(0)));
    drop(store.begin_run(start()).unwrap());
    assert_eq!(store.recorded_steps("latest").unwrap().last(), None);
}

fn step(stage: usize, step: u64) -> LastFact {
    LastFact::Step(StagePoint { stage, step })
}
