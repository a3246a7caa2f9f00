//! What is kept beside rollouts so that questions are quick, and lists of numbers as rows.

use r1x_core::port::Recorder;

use super::errors::change;
use super::fixtures::*;
use super::sittings::words;
use crate::{Depth, SqlQuery};

#[test]
fn totals_of_groups_and_rewards_are_those_of_the_rollouts() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(hashed_start()).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    (0..2).for_each(|step| write(&mut run, grpo_step(1, step)));
    drop((run, store));
    let store = place.read();
    // Of the second group no rollout has a value of the first reward, so the weighted total is that of the other one.
    assert_eq!(
        words(&store, "SELECT step, grp, n, mean, lowest, highest, mean_tokens, truncated FROM v_groups WHERE step = 1"),
        words(
            &store,
            "SELECT step, grp, count(*), avg(reward), min(reward), max(reward), avg(n_tokens), avg(finish = 'length')
               FROM v_rollouts WHERE step = 1 GROUP BY step, grp"
        )
    );
    let steps = words(
        &store,
        "SELECT step, reward, status, rollouts, judged, mean, lowest, highest, total, adds, example
           FROM v_reward_steps ORDER BY step, reward, status",
    );
    let said = words(
        &store,
        "SELECT step, reward, status, count(*), count(value), avg(value), min(value), max(value), sum(value),
                sum(contribution), max(info)
           FROM v_rewards GROUP BY step, reward, status ORDER BY step, reward, status",
    );
    assert_eq!(steps, said);
    assert!(steps.len() >= 6 && steps.iter().any(|row| row.contains("null")), "{steps:?}");
    drop(store);
    assert_eq!(place.read().verify(Depth::Whole).unwrap().flaws, []);
    change(&place, "UPDATE group_total SET mean = 0.75 WHERE step = 1 AND grp = 0");
    change(&place, "DELETE FROM reward_total WHERE step = 0");
    let flaws = place.read().verify(Depth::Whole).unwrap().flaws;
    let told: Vec<&str> = flaws.iter().map(|flaw| flaw.what.as_str()).collect();
    assert_eq!(
        told,
        [
            "at 1 steps the totals of groups are not what the rollouts come to",
            "at 1 steps the totals of rewards are not what the rollouts come to"
        ]
    );
}

#[test]
fn tokens_are_rows_with_their_exact_numbers() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    let logprobs =
        [-0.0, -1.5, -1e-45, -f32::MIN_POSITIVE, f32::NEG_INFINITY, -0.1, f32::NAN, -3.4e38];
    let mut facts = grpo_step(1, 0);
    facts.reference_logprobs.clear();
    let completion = &mut facts.groups[0].group.rollouts[1].rollout.completion;
    completion.tokens = vec![0, 1, 255, 256, 65_535, 65_536, 16_777_216, u32::MAX];
    completion.logprobs = logprobs.to_vec();
    completion.entropies =
        (0..8).map(|at| f32::from_bits(0x0080_0001 + at * 0x0f12_3457)).collect();
    let expected: Vec<Vec<crate::Value>> = (0..8)
        .map(|at| {
            let number = |value: f32| match value.is_nan() {
                true => crate::Value::Null,
                false => crate::Value::Real(f64::from(value)),
            };
            vec![
                crate::Value::Integer(at as i64),
                crate::Value::Integer(i64::from(completion.tokens[at])),
                number(completion.logprobs[at]),
                crate::Value::Null,
                number(completion.entropies[at]),
            ]
        })
        .collect();
    write(&mut run, facts);
    let query = "SELECT position, token_id, logp, ref_logp, entropy FROM v_tokens
                  WHERE run = :run AND step = 0 AND grp = 0 AND sample = 1 ORDER BY position";
    assert_eq!(place.read().sql_table(&SqlQuery::new(query)).unwrap().rows, expected);
    let all = "SELECT count(*) FROM v_tokens WHERE run = :run";
    let written = "SELECT sum(n_tokens) FROM v_rollouts WHERE run = :run";
    assert_eq!(number(&place.read(), all), number(&place.read(), written));
}
