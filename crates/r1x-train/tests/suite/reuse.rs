//! Stages that are taken over instead of run: what follows from them is what would have followed had they been run.

use std::rc::Rc;

use r1x_core::plan::RunPlan;
use r1x_train::RunOutcome;

use crate::resume::{
    branching_plan, harvesting_plan, last_checkpoint, lasting, plan_of_two_models, resume_after,
};
use crate::support::{Fact, Finished, TablePolicy, World, finish};

/// The world after a run, in which the stages at these positions are known.
fn world(whole: &Finished, known: &[usize]) -> World {
    let is_known = |stage: usize| known.contains(&stage);
    let others = whole.facts.iter().filter(|fact| fact.stage().is_some_and(is_known));
    let others: Vec<Fact> = others.cloned().collect();
    let checkpoints = Rc::clone(&whole.policy.checkpoints);
    World { policy: TablePolicy { checkpoints, ..TablePolicy::new() }, others, ..World::default() }
}

/// Positions of every set of stages of a plan.
fn sets(plan: &RunPlan) -> impl Iterator<Item = Vec<usize>> {
    let stages = plan.stages.len();
    (0..1_u32 << stages).map(move |set| (0..stages).filter(|at| set >> at & 1 == 1).collect())
}

#[test]
fn whichever_stages_are_taken_over_the_facts_are_those_of_the_whole_run() {
    for plan in [branching_plan(), plan_of_two_models(), harvesting_plan()] {
        let whole = finish(&plan);
        for known in sets(&plan) {
            let run = world(&whole, &known).run(&plan);
            assert_eq!(run.outcome, Ok(RunOutcome::Done));
            assert_eq!(run.facts, whole.facts, "taken over: {known:?}");
            let computed = plan.stages.len() - known.len();
            let begun = run.stages_begun;
            assert_eq!(begun, computed, "taken over: {known:?}");
        }
    }
}

#[test]
fn a_run_that_is_stopped_behind_a_stage_that_it_took_over_goes_on_from_there() {
    for plan in [branching_plan(), plan_of_two_models(), harvesting_plan()] {
        let whole = finish(&plan);
        let first = World { stop_after: 0, ..world(&whole, &[0]) }.run(&plan);
        assert!(matches!(first.outcome, Ok(RunOutcome::Interrupted { .. })));
        assert_eq!(first.stages_begun, 0);
        let name = last_checkpoint(&first.facts);
        let earlier = (u64::MAX, first.facts.clone());
        let second = resume_after(&plan, &first.policy.checkpoints, &name, earlier);
        let mut facts = lasting(&first.facts);
        facts.extend(lasting(&second.facts));
        assert_eq!(facts, lasting(&whole.facts));
    }
}
