//! The places of a run are exactly those that a walk through its plan comes to.
//!
//! The walk counts step by step, as a run does, where `check_cursor` multiplies.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use r1x_core::plan::{
    DistillPlan, DpoPlan, EvaluatePlan, GrpoPlan, MergePlan, RejectPlan, RewardModelPlan, RunPlan,
    SftPlan, StageKind, ZeroSignal,
};
use r1x_core::port::Cursor;
use r1x_core::testing;
use r1x_train::check_cursor;

fn kind() -> impl Strategy<Value = StageKind> {
    let sft = (0..4_u64, 1..5_usize).prop_map(|(steps, batch_size)| {
        StageKind::Sft(SftPlan { batch_size, ..testing::sft(steps) })
    });
    let grpo = (0..4_u64, 1..5_usize, 1..3_usize).prop_map(|(steps, prompts_per_step, epochs)| {
        StageKind::Grpo(GrpoPlan { prompts_per_step, epochs, ..testing::grpo(steps) })
    });
    let refilled =
        (0..4_u64, 1..4_usize, 1..3_usize).prop_map(|(steps, prompts_per_step, most_batches)| {
            let zero_signal = ZeroSignal::Resample { most_batches };
            StageKind::Grpo(GrpoPlan { prompts_per_step, zero_signal, ..testing::grpo(steps) })
        });
    let reject = (0..4_u64, 1..5_usize).prop_map(|(steps, prompts_per_step)| {
        StageKind::Reject(RejectPlan { prompts_per_step, ..testing::reject(steps) })
    });
    let judge = (0..4_u64, 1..5_usize).prop_map(|(steps, batch_size)| {
        StageKind::RewardModel(RewardModelPlan { batch_size, ..testing::reward_model(steps) })
    });
    let dpo = (0..4_u64, 1..5_usize).prop_map(|(steps, batch_size)| {
        StageKind::Dpo(DpoPlan { batch_size, ..testing::dpo(steps) })
    });
    let distill = (0..4_u64, 1..5_usize).prop_map(|(steps, batch_size)| {
        StageKind::Distill(DistillPlan { batch_size, ..testing::distill(steps) })
    });
    let evaluate = Just(StageKind::Evaluate(EvaluatePlan { evals: Vec::new() }));
    let merge = Just(StageKind::Merge(MergePlan { parts: Vec::new() }));
    prop_oneof![sft, grpo, refilled, reject, judge, dpo, distill, merge, evaluate]
}

/// A run whose stages are called `0`, `1` and so on.
fn run() -> impl Strategy<Value = RunPlan> {
    vec(kind(), 0..5).prop_map(|kinds| {
        let stage = |(at, kind): (usize, StageKind)| testing::stage(&at.to_string(), kind);
        testing::run(kinds.into_iter().enumerate().map(stage).collect())
    })
}

/// Every place a run of the plan comes to.
fn places(plan: &RunPlan) -> Vec<Cursor> {
    let mut places = vec![Cursor::default()];
    for stage in &plan.stages {
        let (steps, draws) = match &stage.kind {
            StageKind::Sft(sft) => (sft.steps, sft.batch_size),
            StageKind::Grpo(grpo) => (grpo.steps, grpo.prompts_per_step),
            StageKind::Reject(reject) => (reject.steps, reject.prompts_per_step),
            StageKind::RewardModel(judge) => (judge.steps, judge.batch_size),
            StageKind::Dpo(dpo) => (dpo.steps, dpo.batch_size),
            StageKind::Distill(distill) => (distill.steps, distill.batch_size),
            StageKind::Merge(_) => (1, 0),
            StageKind::Evaluate(_) => (0, 0),
        };
        let most = match &stage.kind {
            StageKind::Grpo(grpo) => grpo.most_prompts_per_step(),
            _ => draws,
        };
        let mut drawn = BTreeSet::from([0]);
        for step in 0..=steps {
            places.extend(drawn.iter().map(|drawn| Cursor::at(&stage.id, step, *drawn as u64)));
            drawn = drawn
                .iter()
                .flat_map(|drawn| (draws..=most).map(move |more| drawn + more))
                .collect();
        }
    }
    places
}

/// A place near those of such plans, or far from any.
fn place() -> impl Strategy<Value = Cursor> {
    let stage = prop_oneof![Just(None), (0..6_usize).prop_map(|at| Some(at.to_string()))];
    let counts = prop_oneof![9 => (0..6_u64, 0..24_u64), 1 => any::<(u64, u64)>()];
    (stage, counts).prop_map(|(stage, (step, drawn))| Cursor { stage, step, drawn })
}

proptest! {
    #[test]
    fn a_place_is_accepted_where_a_run_comes_to_it_and_nowhere_else(
        plan in run(),
        others in vec(place(), 64),
    ) {
        let places = places(&plan);
        for place in &places {
            prop_assert_eq!(check_cursor(&plan, place), Ok(()));
        }
        for other in others {
            let accepted = check_cursor(&plan, &other).is_ok();
            prop_assert_eq!(accepted, places.contains(&other), "{:?}", other);
        }
    }
}
