//! Direct preference optimisation on the table of logits: the loss by hand, what is learnt, the reference, resume, and
//! pairs that are none. Reward models need a model that says values; they are tested where there is one.

use r1x_core::plan::{
    DpoPlan, EvalPlan, EvalWhen, HeadPlan, PreferenceKind, PreferencePlan, RunPlan,
};
use r1x_core::{Boundary, Problem, testing};
use r1x_train::RunOutcome;

use crate::support::{Fact, Finished, FixedProblems, TablePolicy, World, run_plan};

/// Each digit rather than the next one.
fn pairs() -> FixedProblems {
    let pair = |digit: u32| Problem {
        rejected: Some(((digit + 1) % 10).to_string()),
        ..FixedProblems::digit(digit)
    };
    FixedProblems { problems: (0..10).map(pair).collect(), more: Vec::new() }
}

fn plan(steps: u64, kind: PreferenceKind) -> DpoPlan {
    DpoPlan {
        batch_size: 5,
        optimizer: testing::optimizer(0.5),
        loss: PreferencePlan { kind, beta: 0.1 },
        ..testing::dpo(steps)
    }
}

fn run(plan: DpoPlan) -> RunPlan {
    run_plan(vec![testing::dpo_stage(plan)])
}

fn world() -> World {
    World { problems: pairs(), ..World::default() }
}

fn finish(plan: DpoPlan) -> Finished {
    let finished = world().run(&run(plan));
    assert_eq!(finished.outcome, Ok(RunOutcome::Done));
    finished
}

const SIGMOID: PreferenceKind = PreferenceKind::Sigmoid { label_smoothing: 0.0 };

#[test]
fn the_better_completion_becomes_likelier_and_the_margin_grows() {
    for kind in [
        SIGMOID,
        PreferenceKind::Sigmoid { label_smoothing: 0.05 },
        PreferenceKind::Ipo,
        PreferenceKind::Hinge,
    ] {
        let finished = finish(plan(30, kind));
        let curve = |name: &str| finished.curve(name);
        assert_eq!(curve("accuracy")[0], 0.0, "{kind:?}: the policy is its reference");
        assert_eq!(curve("accuracy")[29], 1.0, "{kind:?}");
        assert_eq!(curve("margin")[0], 0.0);
        assert!(curve("margin")[29] > curve("margin")[3] && curve("margin")[3] > 0.0, "{kind:?}");
        assert!(curve("better")[29] > 0.0 && curve("worse")[29] < 0.0, "{kind:?}");
        assert!(curve("loss")[29] < curve("loss")[0], "{kind:?}");
        // A digit and the end of the sequence, of both members of five pairs.
        assert_eq!(curve("tokens"), vec![20.0; 30]);
        assert_eq!(curve("epoch")[3], 2.0);
        assert_eq!(finished.policy.references_set, 1);
    }
}

/// At first the log-ratio is 0: ln 2, 1/(2β) squared, and 1.
#[test]
fn the_first_loss_is_known() {
    for (kind, expected) in
        [(SIGMOID, 2f64.ln()), (PreferenceKind::Ipo, 25.0), (PreferenceKind::Hinge, 1.0)]
    {
        let loss = finish(plan(1, kind)).curve("loss")[0];
        assert!((loss - expected).abs() < 1e-12, "{kind:?}: {loss}");
    }
}

/// A derivative belongs to its pair, whatever is computed beside it.
#[test]
fn micro_batches_do_not_show() {
    let with = |micro_batch_size| finish(DpoPlan { micro_batch_size, ..plan(6, SIGMOID) }).facts;
    let one = with(1);
    assert_eq!(one, with(3));
    assert_eq!(one, with(10));
}

#[test]
fn a_run_that_was_interrupted_leaves_the_facts_of_one_that_was_not() {
    let plan = run(plan(6, SIGMOID));
    let whole = world().run(&plan);
    let first = World { stop_after: 3, ..world() }.run(&plan);
    assert!(matches!(first.outcome, Ok(RunOutcome::Interrupted { .. })));
    let name = first.facts.iter().rev().find_map(|fact| match fact {
        Fact::Checkpoint(saved) => Some(saved.path.clone()),
        _ => None,
    });
    let (policy, from) = TablePolicy::restored(&first.policy.checkpoints, &name.unwrap());
    assert!(policy.has_reference(), "the reference is in the checkpoint");
    let second = World { policy, from, ..world() }.run(&plan);
    assert_eq!(second.outcome, Ok(RunOutcome::Done));
    let steps = |finished: &Finished| -> Vec<_> { finished.steps().into_iter().cloned().collect() };
    assert_eq!([steps(&first), steps(&second)].concat(), steps(&whole));
}

#[test]
fn a_problem_with_one_completion_is_refused_before_the_first_step() {
    let mut problems = pairs();
    problems.problems[3].rejected = None;
    let finished = World { problems, ..World::default() }.run(&run(plan(9, SIGMOID)));
    let error = finished.outcome.unwrap_err();
    assert_eq!(error.boundary, Boundary::Data);
    assert_eq!(
        error.message,
        "stage `dpo`: problem `digit-3`: there is no worse response beside the solution in data set `digits`"
    );
    assert!(finished.facts.is_empty());
}

#[test]
fn a_stage_works_on_a_model_with_its_head_only() {
    let reward = run_plan(vec![testing::reward_model_stage(testing::reward_model(3))]);
    let error = world().run(&reward).outcome.unwrap_err();
    let expected = "stage `judge`: it works on a model with the head `value`, and the model has the head `vocabulary`";
    assert_eq!((error.boundary, &error.message[..]), (Boundary::Spec, expected));
    let mut written = run(plan(3, SIGMOID));
    written.model.head = HeadPlan::Value;
    let when = EvalWhen { start: true, stage_end: false, every: None };
    written.evals.push(EvalPlan { when, ..testing::eval("heldout") });
    let errors = r1x_train::check_plan(&written, &Default::default());
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    for (message, place) in messages.iter().zip(["stage `dpo`", "eval `heldout`"]) {
        assert!(message.starts_with(place) && message.contains("head `vocabulary`"), "{message}");
    }
}
