//! What a step costs. Must not know how.

use std::time::Instant;

use r1x_core::port::Recorder;

use super::fixtures::*;

/// 256 rollouts of 30 tokens with two rewards, as in the main job and a little more.
#[test]
fn a_step_is_cheap() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    let mut times_ms = Vec::new();
    for step in 0..60 {
        let groups = (0..32)
            .map(|g| {
                let rollouts =
                    (0..8).map(|s| rollout(30, g * 8 + s, Some(0.0), Some(1.0))).collect();
                group(problem(step * 32 + u64::from(g)), rollouts)
            })
            .collect();
        let facts = step_facts(0, step, groups);
        let begun = Instant::now();
        run.step(facts).unwrap();
        run.flush().unwrap();
        times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times_ms.sort_by(f64::total_cmp);
    let (median, most) = (times_ms[30], times_ms[59]);
    let bytes = std::fs::metadata(place.path()).unwrap().len();
    println!(
        "step of 256 rollouts x 30 tokens x 2 rewards: median {median:.2} ms, worst {most:.2} ms, {bytes} bytes"
    );
    assert_eq!(number(&store, "SELECT count(*) FROM v_rollouts WHERE run = :run"), 60 * 256);
    // Generous: the machine may be busy with other tests. The figure itself is what the line above says.
    assert!(median < 50.0, "median {median} ms");
}
