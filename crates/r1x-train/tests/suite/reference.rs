//! The reference policy: when it is set, refreshed and asked, and that the penalty towards it holds.

use r1x_core::FinishReason;
use r1x_core::plan::{GrpoPlan, Truncated};
use r1x_core::testing;

use crate::support::{Finished, finish, grpo_plan, grpo_stage, run_plan, sft_plan, sft_stage};

/// Every step sees the same five prompts, so every step moves what the next one is compared on.
fn with_penalty(coef: f64, refresh_every: Option<u64>) -> GrpoPlan {
    let mut plan = grpo_plan(8);
    plan.data[0].limit = Some(5);
    testing::surrogate_of(&mut plan).kl.coef = coef;
    testing::surrogate_of(&mut plan).kl.refresh_every = refresh_every;
    plan
}

fn finish_stage(plan: GrpoPlan) -> Finished {
    finish(&run_plan(vec![grpo_stage(plan)]))
}

#[test]
fn without_a_penalty_there_is_no_reference() {
    let finished = finish_stage(with_penalty(0.0, Some(2)));
    assert_eq!(finished.policy.references_set, 0);
    assert_eq!(finished.curve("kl"), Vec::<f64>::new());
    assert!(finished.steps().iter().all(|step| step.reference_logprobs.is_empty()));
}

#[test]
fn the_reference_is_set_at_the_start_of_the_stage() {
    let finished = finish_stage(with_penalty(1e-6, None));
    assert_eq!(finished.policy.references_set, 1);
    let kl = finished.curve("kl");
    assert_eq!(kl[0], 0.0);
    assert!(kl[7] > kl[1] && kl[1] > 0.0, "{kl:?}");
}

/// It would take memory, and a place in every later checkpoint, for nobody.
#[test]
fn a_stage_begins_without_the_reference_of_the_one_before_it() {
    let penalised = grpo_stage(with_penalty(0.1, None));
    let after = |stages| finish(&run_plan(stages)).policy.has_reference();
    assert!(after(vec![penalised.clone()]));
    assert!(!after(vec![penalised, sft_stage(sft_plan(2))]));
}

#[test]
fn the_reference_is_refreshed_after_every_so_many_steps() {
    let finished = finish_stage(with_penalty(1e-6, Some(3)));
    assert_eq!(finished.policy.references_set, 3);
    let kl = finished.curve("kl");
    for (step, &kl) in kl.iter().enumerate() {
        assert_eq!(kl == 0.0, step % 3 == 0, "step {step}: {kl}");
    }
}

#[test]
fn the_penalty_holds_the_policy_near_its_reference() {
    let free = finish_stage(with_penalty(1e-6, None)).curve("kl");
    let held = finish_stage(with_penalty(3.0, None)).curve("kl");
    assert!(held[7] < 0.5 * free[7], "{held:?} {free:?}");
}

#[test]
fn reference_log_probs_are_recorded_for_every_trained_token() {
    let mut plan = with_penalty(0.1, None);
    plan.truncated = Truncated::Mask;
    for step in finish_stage(plan).steps() {
        assert_eq!(step.reference_logprobs.len(), 5);
        for (group, scored) in step.groups.iter().zip(&step.reference_logprobs) {
            assert_eq!(scored.len(), 8);
            for (rewarded, scored) in group.group.rollouts.iter().zip(scored) {
                let completion = &rewarded.rollout.completion;
                let expected = match completion.finish {
                    FinishReason::Stop => completion.tokens.len(),
                    FinishReason::Length => 0,
                };
                assert_eq!(scored.len(), expected);
                // The reference of this stage is the untrained, uniform policy.
                for &logprob in scored {
                    assert!((f64::from(logprob) + 11.0_f64.ln()).abs() < 1e-6);
                }
            }
        }
    }
}
