//! Distillation on the table of logits: what is learnt of a teacher, over given texts and over those of the student, and
//! resume. The mathematics of divergences is tested in r1x-core.

use r1x_core::plan::{
    DistillPlan, DistillationPlan, DistilledTexts, DivergencePlan, OtherTokens, RunPlan, StageKind,
    StagePlan, TeacherPlan, WeightsFrom,
};
use r1x_core::testing;
use r1x_train::RunOutcome;

use crate::support::{
    Fact, Finished, TablePolicy, World, finish, grpo_plan, grpo_stage, run_plan, sft_plan,
    sft_stage,
};

const KINDS: [DivergencePlan; 3] = [
    DivergencePlan::ForwardKl,
    DivergencePlan::ReverseKl,
    DivergencePlan::JensenShannon { beta: 0.5 },
];

fn plan(steps: u64, divergence: DivergencePlan) -> DistillPlan {
    let weights = WeightsFrom::Stage("sft".to_owned());
    DistillPlan {
        teacher: TeacherPlan { model: None, weights },
        data: sft_plan(1).data,
        batch_size: 10,
        micro_batch_size: 5,
        optimizer: testing::optimizer(0.3),
        top: 11,
        loss: DistillationPlan { divergence, other_tokens: OtherTokens::None },
        ..testing::distill(steps)
    }
}

/// A teacher that has learnt digits, and a student that begins with nothing.
fn run(plan: DistillPlan) -> RunPlan {
    let mut run = run_plan(vec![
        sft_stage(sft_plan(20)),
        testing::stage("student", StageKind::Distill(plan)),
    ]);
    let student: &mut StagePlan = &mut run.stages[1];
    student.weights = WeightsFrom::Base;
    run
}

fn curve(finished: &Finished, name: &str) -> Vec<f64> {
    let steps = finished.steps().into_iter().filter(|step| step.stage == 1);
    steps.filter_map(|step| crate::support::metric(step, name)).collect()
}

fn samples() -> DistilledTexts {
    DistilledTexts::Samples { per_problem: 4, sampling: testing::sampling(2) }
}

#[test]
fn the_student_comes_to_its_teacher_over_the_solutions_of_problems() {
    for divergence in KINDS {
        let finished = finish(&run(plan(60, divergence.clone())));
        let (loss, nll) = (curve(&finished, "loss"), curve(&finished, "nll"));
        assert!(loss[0] > 0.01 && loss[59] < 0.1 * loss[0], "{divergence:?}: {loss:?}");
        assert!(nll[59] < nll[0], "{divergence:?}");
        // A digit and the end of the sequence, of ten problems.
        assert_eq!(curve(&finished, "tokens"), vec![20.0; 60]);
        assert_eq!(curve(&finished, "epoch")[1], 2.0);
    }
}

/// A student that wanders off is told about the places that it comes to.
#[test]
fn the_student_comes_to_its_teacher_over_what_it_writes_itself() {
    for divergence in KINDS {
        let plan = DistillPlan { texts: samples(), ..plan(60, divergence.clone()) };
        let finished = finish(&run(plan));
        let loss = curve(&finished, "loss");
        assert!(loss[59] < 0.1 * loss[0], "{divergence:?}: {loss:?}");
        let steps = finished.steps();
        let last = steps.last().unwrap();
        assert_eq!((last.groups.len(), last.groups[0].group.rollouts.len()), (10, 4));
        assert!(last.rewards.is_empty() && last.groups[0].group.rollouts[0].outcomes.is_empty());
        assert!(curve(&finished, "entropy")[59] < curve(&finished, "entropy")[0]);
    }
}

/// Tokens that are lumped together cannot be told apart, so the distance is at most that over all tokens.
#[test]
fn a_teacher_that_names_some_tokens_teaches_them_and_what_is_left_over() {
    let named = |top, other_tokens| {
        let loss = DistillationPlan { divergence: DivergencePlan::ForwardKl, other_tokens };
        curve(
            &finish(&run(DistillPlan { top, loss, ..plan(60, DivergencePlan::ForwardKl) })),
            "loss",
        )
    };
    let (all, two) = (named(11, OtherTokens::None), named(2, OtherTokens::OneOutcome));
    assert!(two[0] > 0.0 && two[0] <= all[0], "{} {}", two[0], all[0]);
    assert!(two[59] < 0.1 * two[0], "{two:?}");
}

#[test]
fn micro_batches_do_not_show() {
    let with = |micro_batch_size| {
        let plan = plan(4, DivergencePlan::ReverseKl);
        finish(&run(DistillPlan { micro_batch_size, ..plan })).facts
    };
    assert_eq!(with(1), with(3));
    assert_eq!(with(1), with(10));
}

#[test]
fn a_run_that_was_interrupted_leaves_the_facts_of_one_that_was_not() {
    let plan = run(DistillPlan { texts: samples(), ..plan(6, DivergencePlan::ForwardKl) });
    let whole = World::default().run(&plan);
    let first = World { stop_after: 23, ..World::default() }.run(&plan);
    assert!(matches!(first.outcome, Ok(RunOutcome::Interrupted { .. })));
    let name = first.facts.iter().rev().find_map(|fact| match fact {
        Fact::Checkpoint(saved) => Some(saved.path.clone()),
        _ => None,
    });
    let (policy, from) = TablePolicy::restored(&first.policy.checkpoints, &name.unwrap());
    let second = World { policy, from, ..World::default() }.run(&plan);
    assert_eq!(second.outcome, Ok(RunOutcome::Done));
    let steps = |finished: &Finished| -> Vec<_> { finished.steps().into_iter().cloned().collect() };
    assert_eq!([steps(&first), steps(&second)].concat(), steps(&whole));
}

/// Nothing is gained by a choice, so the bonus alone decides how sure the policy becomes of its digits.
#[test]
fn an_entropy_bonus_keeps_the_policy_from_becoming_sure() {
    let entropy = |coef: f64| {
        let mut plan = grpo_plan(40);
        testing::surrogate_of(&mut plan).entropy_coef = coef;
        let curve = finish(&run_plan(vec![grpo_stage(plan)])).curve("entropy");
        curve[39]
    };
    let (without, with) = (entropy(0.0), entropy(1.0));
    assert!(with > 1.2 * without, "{without} without a bonus, {with} with one");
}
