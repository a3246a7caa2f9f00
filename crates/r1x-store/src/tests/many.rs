//! Steps of the size that runs have, one after the other: all of them are there. What they cost is measured in `bench/`.

use r1x_core::port::Recorder;

use super::fixtures::*;

/// 60 steps of 256 rollouts of 30 tokens with two rewards.
#[test]
fn every_rollout_of_many_large_steps_is_recorded() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    for step in 0..60 {
        let groups = (0..32)
            .map(|g| {
                let rollouts =
                    (0..8).map(|s| rollout(30, g * 8 + s, Some(0.0), Some(1.0))).collect();
                group(problem(step * 32 + u64::from(g)), rollouts)
            })
            .collect();
        run.step(step_facts(0, step, groups)).unwrap();
    }
    run.flush().unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM v_rollouts WHERE run = :run"), 60 * 256);
}
