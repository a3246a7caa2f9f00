//! Rollouts of another system: what it has not written down is not made up, and what must be there in runs of r1x must be.

use r1x_core::{FinishReason, Recorder as _};

use super::fixtures::*;
use crate::{Advantages, RunStatus};

/// A step of one group, of which only the texts and the totals are known.
fn step_of_texts() -> r1x_core::StepFacts {
    let mut group =
        group(problem(0), vec![rollout(2, 0, Some(1.0), None), rollout(2, 1, Some(0.5), None)]);
    group.advantages.clear();
    for rollout in &mut group.group.rollouts {
        let completion = &mut rollout.rollout.completion;
        completion.finish = FinishReason::Unknown;
        completion.logprobs.clear();
        completion.entropies.clear();
    }
    step_facts(0, 40, vec![group])
}

#[test]
fn what_another_system_does_not_say_is_null() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(hashed_start()).unwrap();
    run.stage_started(&stage(0, "imported", 0)).unwrap();
    let error = run.step(step_of_texts()).unwrap_err();
    assert!(error.message.contains("2 advantages are needed"), "{}", error.message);
    run.set_advantages(Advantages::WhereKnown);
    write(&mut run, step_of_texts());
    let mut one = step_of_texts();
    one.step = 50;
    one.groups[0].advantages = vec![0.5];
    let error = run.step(one).unwrap_err();
    assert!(error.message.contains("2 advantages are needed"), "{}", error.message);
    let digest = run.digest().unwrap();
    run.finish(RunStatus::Imported, 0, None, Some(&digest)).unwrap();
    let known = "SELECT count(*) FROM v_rollouts WHERE finish = 'unknown' AND logp_sum IS NULL
                    AND advantage IS NULL AND step = 40";
    assert_eq!(number(&store, known), 2);
    let summary = store.run("latest").unwrap();
    assert!(summary.status == "imported" && !summary.can_go_on());
    assert_eq!(store.run_card("latest").unwrap().stages[0].status, "imported");
    assert!(store.verify(crate::Depth::Whole).unwrap().flaws.is_empty());
}
