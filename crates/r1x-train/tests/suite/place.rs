//! Places in a run that no run of the plan comes to, as an edited checkpoint or one of another plan names them.

use r1x_core::plan::{RunPlan, StageKind, ZeroSignal};
use r1x_core::port::{Boundary, Cursor};
use r1x_train::{check_cursor, check_place};

use crate::support::{World, evaluate_stage, grpo_plan, grpo_stage, run_plan, sft_plan, sft_stage};

/// Five steps of 4 examples, an evaluation, and six steps of 5 prompts with 2 × 3 updates each.
fn plan() -> RunPlan {
    let mut grpo = grpo_plan(6);
    (grpo.epochs, grpo.updates_per_epoch) = (2, 3);
    run_plan(vec![sft_stage(sft_plan(5)), evaluate_stage(), grpo_stage(grpo)])
}

fn at(stage: &str, step: u64, drawn: u64) -> Cursor {
    Cursor::at(stage, step, drawn)
}

#[test]
fn every_place_a_run_comes_to_is_one_of_the_plan() {
    let plan = plan();
    let StageKind::Sft(sft) = &plan.stages[0].kind else { panic!("the first stage") };
    let batch = sft.batch_size as u64;
    for (cursor, updates) in [
        (at("sft", 0, 0), 0),
        (at("sft", 1, batch), 1),
        (at("sft", 5, 5 * batch), 5),
        (at("look", 0, 0), 5),
        (at("rl", 0, 0), 5),
        (at("rl", 6, 30), 36),
        // Updates without a token to learn from are left out.
        (at("rl", 6, 30), 0),
        (Cursor::default(), 0),
    ] {
        assert_eq!(check_place(&plan, &cursor, updates), Ok(()), "{cursor:?} {updates}");
    }
}

/// Two steps that draw from 5 to 15 problems each.
#[test]
fn a_step_that_resamples_draws_what_it_may() {
    let mut grpo = grpo_plan(4);
    grpo.zero_signal = ZeroSignal::Resample { most_batches: 3 };
    let plan = run_plan(vec![grpo_stage(grpo)]);
    for drawn in [10, 11, 29, 30] {
        assert_eq!(check_cursor(&plan, &at("rl", 2, drawn)), Ok(()), "{drawn}");
    }
    for (step, drawn, bound) in [(2, 9, 10), (2, 31, 30), (0, 1, 0), (4, u64::MAX, 60)] {
        let error = check_cursor(&plan, &at("rl", step, drawn)).expect_err("no run comes there");
        let said = format!("{drawn} problems drawn, where a run of this plan has {bound}");
        assert!(error.message.contains(&said), "{error}");
    }
}

#[test]
fn a_place_beyond_or_beside_the_plan_is_refused() {
    let plan = plan();
    for (cursor, said) in [
        (at("other", 0, 0), "of the stage `other`, which this plan does not have"),
        (at("", 0, 0), "of the stage ``"),
        (
            Cursor { step: 1, ..Cursor::default() },
            "the beginning of the run: the checkpoint says 1 steps",
        ),
        (Cursor { drawn: 5, ..Cursor::default() }, "5 problems drawn"),
        (at("sft", 6, 24), "stage `sft`: the checkpoint has 6 steps done, but the plan has only 5"),
        (at("rl", u64::MAX, 0), "the plan has only 6"),
        (at("rl", 4, 21), "21 problems drawn, where a run of this plan has 20"),
        (at("rl", 4, u64::MAX), "problems drawn"),
        (at("look", 1, 0), "the plan has only 0"),
    ] {
        let error = check_cursor(&plan, &cursor).expect_err("no run comes there");
        assert_eq!(error.boundary, Boundary::Data);
        assert!(error.message.contains(said), "{cursor:?}: {error}");
        // Nor does a run begin there.
        let finished = World { from: cursor, ..World::default() }.run(&plan);
        assert_eq!(finished.outcome, Err(error));
        assert!(finished.facts.is_empty());
    }
}

#[test]
fn more_updates_than_the_steps_make_are_refused() {
    let plan = plan();
    for (cursor, updates) in [
        (at("sft", 0, 0), 1),
        (at("rl", 1, 5), 7),
        (at("rl", 6, 30), u64::MAX),
        (at("look", 0, 0), 6),
        (Cursor::default(), 1),
    ] {
        let error = check_place(&plan, &cursor, updates).expect_err("too many updates");
        assert!(error.message.contains("updates of the optimizer"), "{error}");
    }
}
