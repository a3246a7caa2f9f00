//! Interrupted and resumed equals uninterrupted, wherever the interruption falls.

use std::rc::Rc;

use r1x_core::CheckpointKind;
use r1x_core::plan::{
    EvalWhen, GrpoPlan, KlPlace, RejectPlan, RunPlan, SftPlan, StageKind, StagePlan, WeightsFrom,
    ZeroSignal,
};
use r1x_core::port::Cursor;
use r1x_core::testing;
use r1x_train::RunOutcome;

use crate::support::{
    Checkpoints, Fact, TablePolicy, World, eval_plan, evaluate_stage, finish, grpo_plan,
    grpo_stage, reject_plan, reject_stage, run_plan, sft_plan, sft_stage,
};

/// Supervised, then reinforced with a reference that is refreshed, evaluated at all times.
fn plan() -> RunPlan {
    let mut grpo = grpo_plan(7);
    testing::surrogate_of(&mut grpo).kl.coef = 0.05;
    testing::surrogate_of(&mut grpo).kl.refresh_every = Some(3);
    grpo.epochs = 2;
    grpo.updates_per_epoch = 2;
    let mut plan = run_plan(vec![sft_stage(sft_plan(5)), evaluate_stage(), grpo_stage(grpo)]);
    let mut suite = eval_plan();
    suite.when = EvalWhen { start: true, stage_end: true, every: Some(2) };
    plan.evals.push(suite);
    plan.checkpoints.every = Some(2);
    plan
}

/// The facts that must not depend on interruptions: all but starts of attempts and interrupt checkpoints.
pub fn lasting(facts: &[Fact]) -> Vec<Fact> {
    let lasts = |fact: &&Fact| match fact {
        Fact::StageStarted(_) => false,
        Fact::Checkpoint(saved) => saved.kind != CheckpointKind::Interrupt,
        _ => true,
    };
    let mut facts: Vec<Fact> = facts.iter().filter(lasts).cloned().collect();
    for fact in &mut facts {
        if let Fact::StageFinished(stage, _) = fact {
            stage.start_step = 0;
        }
    }
    facts
}

pub fn last_checkpoint(facts: &[Fact]) -> String {
    let saved = facts.iter().rev().find_map(|fact| match fact {
        Fact::Checkpoint(saved) => Some(saved.path.clone()),
        _ => None,
    });
    saved.expect("an interrupted run has a checkpoint")
}

fn resume(
    plan: &RunPlan,
    checkpoints: &Checkpoints,
    name: &str,
    stop_after: u64,
) -> crate::support::Finished {
    resume_after(plan, checkpoints, name, (stop_after, Vec::new()))
}

/// Goes on from a checkpoint with what earlier attempts have left.
pub fn resume_after(
    plan: &RunPlan,
    checkpoints: &Checkpoints,
    name: &str,
    (stop_after, earlier): (u64, Vec<Fact>),
) -> crate::support::Finished {
    let (policy, from) = TablePolicy::restored(checkpoints, name);
    World { policy, from, stop_after, earlier, ..World::default() }.run(plan)
}

#[test]
fn a_run_interrupted_after_any_step_and_resumed_leaves_the_same_facts() {
    let plan = plan();
    let whole = finish(&plan);
    for stop_after in 1..=12 {
        let first = World { stop_after, ..World::default() }.run(&plan);
        let Ok(RunOutcome::Interrupted { cursor }) = first.outcome else {
            panic!("not interrupted after {stop_after}: {:?}", first.outcome);
        };
        let name = last_checkpoint(&first.facts);
        assert_eq!(first.policy.checkpoints.borrow()[&name].1, cursor);
        let second = resume(&plan, &first.policy.checkpoints, &name, u64::MAX);
        assert_eq!(second.outcome, Ok(RunOutcome::Done));
        let mut facts = lasting(&first.facts);
        facts.extend(lasting(&second.facts));
        assert_eq!(facts, lasting(&whole.facts), "interrupted after {stop_after}");
    }
}

#[test]
fn a_run_interrupted_at_every_step_leaves_the_same_facts() {
    let plan = plan();
    let mut facts = Vec::new();
    let mut finished = World { stop_after: 1, ..World::default() }.run(&plan);
    let mut attempts = 1;
    while let Ok(RunOutcome::Interrupted { .. }) = finished.outcome {
        facts.extend(lasting(&finished.facts));
        let checkpoints = Rc::clone(&finished.policy.checkpoints);
        let name = last_checkpoint(&finished.facts);
        finished = resume(&plan, &checkpoints, &name, 1);
        attempts += 1;
    }
    assert_eq!(finished.outcome, Ok(RunOutcome::Done));
    facts.extend(lasting(&finished.facts));
    assert!(attempts > 12);
    assert_eq!(facts, lasting(&finish(&plan).facts));
}

/// Supervised; reinforced from there in two ways that know nothing of each other; and once from nothing at all.
pub fn branching_plan() -> RunPlan {
    let rl = |id: &str, from: WeightsFrom| {
        let kind = StageKind::Grpo(grpo_plan(3));
        StagePlan { id: id.to_owned(), model: None, weights: from, kind }
    };
    let of = |id: &str| WeightsFrom::Stage(id.to_owned());
    let mut plan = run_plan(vec![sft_stage(sft_plan(5))]);
    plan.evals.push(eval_plan());
    plan.stages.extend([
        rl("one", of("sft")),
        rl("two", of("sft")),
        StagePlan { weights: of("one"), ..evaluate_stage() },
        rl("three", of("look")),
        rl("alone", WeightsFrom::Base),
    ]);
    plan
}

/// The weights that each stage ended with.
fn ends(facts: &[Fact]) -> Vec<(String, String)> {
    let end = |fact: &Fact| match fact {
        Fact::StageFinished(stage, weights) => Some((stage.id.clone(), weights.clone())),
        _ => None,
    };
    facts.iter().filter_map(end).collect()
}

#[test]
fn what_a_stage_makes_depends_on_the_stage_it_begins_from_only() {
    let plan = branching_plan();
    let whole = ends(&finish(&plan).facts);
    let alone = |kept: &[&str]| {
        let mut part = plan.clone();
        part.stages.retain(|stage| kept.contains(&stage.id.as_str()));
        ends(&finish(&part).facts)
    };
    let of = |ends: &[(String, String)], id: &str| {
        ends.iter().find(|(stage, _)| stage == id).map(|(_, weights)| weights.clone()).unwrap()
    };
    assert_eq!(of(&alone(&["sft", "two"]), "two"), of(&whole, "two"));
    assert_eq!(of(&alone(&["sft", "one", "look", "three"]), "three"), of(&whole, "three"));
    assert_eq!(of(&alone(&["alone"]), "alone"), of(&whole, "alone"));
    // An evaluation leaves the weights that it looks at as they are.
    assert_eq!(of(&whole, "look"), of(&whole, "one"));
    let different: std::collections::BTreeSet<_> = whole.iter().map(|(_, end)| end).collect();
    assert_eq!(different.len(), 5);
}

/// Interrupts a run of a plan after each of so many steps, resumes it, and compares its facts with those of the whole run.
fn assert_interruptions_do_not_show(plan: &RunPlan, steps: std::ops::RangeInclusive<u64>) {
    let whole = finish(plan);
    for stop_after in steps {
        let first = World { stop_after, ..World::default() }.run(plan);
        let mut facts = lasting(&first.facts);
        if let Ok(RunOutcome::Interrupted { .. }) = first.outcome {
            let name = last_checkpoint(&first.facts);
            let second = resume(plan, &first.policy.checkpoints, &name, u64::MAX);
            assert_eq!(second.outcome, Ok(RunOutcome::Done));
            facts.extend(lasting(&second.facts));
        }
        assert_eq!(facts, lasting(&whole.facts), "interrupted after {stop_after}");
    }
}

#[test]
fn a_branching_run_interrupted_anywhere_leaves_the_same_facts() {
    assert_interruptions_do_not_show(&branching_plan(), 1..=17);
}

/// Steps that draw as many problems as it takes, beside a reference that is refreshed.
fn resampling_plan() -> RunPlan {
    let mut grpo = grpo_plan(7);
    grpo.rewards = vec!["first".to_owned()];
    grpo.zero_signal = ZeroSignal::Resample { most_batches: 3 };
    testing::surrogate_of(&mut grpo).kl.coef = 0.05;
    testing::surrogate_of(&mut grpo).kl.refresh_every = Some(3);
    grpo.updates_per_epoch = 2;
    let mut plan = run_plan(vec![grpo_stage(grpo)]);
    plan.checkpoints.every = Some(2);
    plan
}

#[test]
fn a_run_that_resamples_interrupted_anywhere_leaves_the_same_facts() {
    let plan = resampling_plan();
    let further: Vec<f64> = finish(&plan).curve("resampled.groups");
    assert!(further.iter().any(|groups| *groups > 0.0), "the position is no multiple: {further:?}");
    assert!(further.iter().any(|groups| *groups < 10.0), "nor always the bound: {further:?}");
    assert_interruptions_do_not_show(&plan, 1..=7);
}

#[test]
fn a_penalty_in_the_reward_interrupted_anywhere_leaves_the_same_facts() {
    let mut grpo = grpo_plan(5);
    grpo.data[0].limit = Some(5);
    let kl = &mut testing::surrogate_of(&mut grpo).kl;
    (kl.coef, kl.counted_in) = (0.2, KlPlace::Reward);
    (kl.refresh_every, kl.refresh_mix) = (Some(2), 0.6);
    let plan = run_plan(vec![sft_stage(sft_plan(3)), grpo_stage(grpo)]);
    let penalties = finish(&plan).curve("kl.penalty");
    assert!(penalties.iter().any(|penalty| *penalty != 0.0), "{penalties:?}");
    assert_interruptions_do_not_show(&plan, 1..=8);
}

/// A policy that goes on after a further model had its turn, and that model again after the policy.
pub fn plan_of_two_models() -> RunPlan {
    let sft = |id: &str, model: Option<&str>, weights: WeightsFrom| {
        let kind = StageKind::Sft(sft_plan(3));
        StagePlan { id: id.to_owned(), model: model.map(str::to_owned), weights, kind }
    };
    let of = |id: &str| WeightsFrom::Stage(id.to_owned());
    let mut plan = run_plan(vec![sft_stage(sft_plan(5))]);
    plan.models.insert("small".to_owned(), testing::tiny_model());
    plan.evals.push(eval_plan());
    let rl = StageKind::Grpo(grpo_plan(2));
    plan.stages.extend([
        sft("small", Some("small"), WeightsFrom::Base),
        StagePlan { id: "rl".to_owned(), model: None, weights: of("sft"), kind: rl },
        sft("smaller", Some("small"), of("small")),
    ]);
    plan
}

#[test]
fn models_take_turns_and_know_nothing_of_each_other() {
    let plan = plan_of_two_models();
    let finished = finish(&plan);
    let small = Some("small".to_owned());
    assert_eq!(finished.policy.put_to_work, [small.clone(), None, small]);
    let whole = ends(&finished.facts);
    for kept in [["sft", "rl"], ["small", "smaller"]] {
        let mut part = plan.clone();
        part.stages.retain(|stage| kept.contains(&stage.id.as_str()));
        for end in ends(&finish(&part).facts) {
            assert!(whole.contains(&end), "{end:?}");
        }
    }
    assert_interruptions_do_not_show(&plan, 1..=13);
}

#[test]
fn a_stage_of_a_model_that_is_not_there_is_refused_before_the_first_step() {
    let mut plan = plan_of_two_models();
    plan.stages[1].model = Some("large".to_owned());
    let error = World::default().run(&plan).outcome.unwrap_err();
    assert!(error.message.contains("stage `small`") && error.message.contains("`large`"));
}

/// Supervised; what that model gets right; supervised from the beginning on it and reinforced on its prompts.
pub fn harvesting_plan() -> RunPlan {
    let harvest = || testing::data_ref("harvest");
    let reject = RejectPlan { per_prompt: 3, ..reject_plan(4) };
    let again = SftPlan { data: vec![harvest()], ..sft_plan(4) };
    let grpo = GrpoPlan { data: vec![harvest()], ..grpo_plan(3) };
    let kind = StageKind::Sft(again);
    let mut plan = run_plan(vec![
        sft_stage(sft_plan(20)),
        reject_stage(reject),
        testing::stage("again", kind),
        grpo_stage(grpo),
    ]);
    plan.stages[2].weights = WeightsFrom::Base;
    plan.checkpoints.every = Some(2);
    plan
}

#[test]
fn a_run_that_makes_data_interrupted_anywhere_leaves_the_same_facts() {
    let plan = harvesting_plan();
    let whole = finish(&plan);
    for stop_after in 19..=30 {
        let first = World { stop_after, ..World::default() }.run(&plan);
        let Ok(RunOutcome::Interrupted { .. }) = first.outcome else {
            panic!("not interrupted after {stop_after}: {:?}", first.outcome);
        };
        let name = last_checkpoint(&first.facts);
        let earlier = (u64::MAX, first.facts.clone());
        let second = resume_after(&plan, &first.policy.checkpoints, &name, earlier);
        assert_eq!(second.outcome, Ok(RunOutcome::Done));
        let mut facts = lasting(&first.facts);
        facts.extend(lasting(&second.facts));
        assert_eq!(facts, lasting(&whole.facts), "interrupted after {stop_after}");
    }
}

/// After a crash the run goes on from any earlier checkpoint; the facts from there on repeat exactly.
#[test]
fn going_on_from_any_checkpoint_repeats_the_facts_after_it() {
    let plan = plan();
    let whole = finish(&plan);
    let mut checked = 0;
    for (index, fact) in whole.facts.iter().enumerate() {
        if let Fact::Checkpoint(saved) = fact {
            let resumed = resume(&plan, &whole.policy.checkpoints, &saved.path, u64::MAX);
            assert_eq!(resumed.outcome, Ok(RunOutcome::Done));
            assert_eq!(
                lasting(&resumed.facts),
                lasting(&whole.facts[index + 1..]),
                "{}",
                saved.path
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 2 + 1 + 3 + 1);
}

#[test]
fn a_resumed_stage_keeps_its_reference_and_says_where_it_starts() {
    let plan = plan();
    let whole = finish(&plan);
    let resumed = resume(&plan, &whole.policy.checkpoints, "rl/step-000004", u64::MAX);
    assert_eq!(resumed.policy.references_set, 1, "only the refresh after step 6");
    let Some(Fact::StageStarted(stage)) = resumed.facts.first() else {
        panic!("a resumed run begins with its stage: {:?}", resumed.facts.first());
    };
    assert_eq!((stage.index, stage.start_step), (2, 4));
}

#[test]
fn an_interruption_saves_under_its_own_name_unless_a_checkpoint_is_due_anyway() {
    let name = |stop_after| {
        let stopped = World { stop_after, ..World::default() };
        last_checkpoint(&stopped.run(&plan()).facts)
    };
    assert_eq!(name(1), "sft/interrupt-000001");
    assert_eq!(name(2), "sft/step-000002");
    assert_eq!(name(5), "sft/final");
}

#[test]
fn a_finished_run_has_nothing_to_go_on_with() {
    let plan = run_plan(vec![sft_stage(sft_plan(2))]);
    let stopped = World { stop_after: 2, ..World::default() }.run(&plan);
    let rest = resume(&plan, &stopped.policy.checkpoints, "sft/final", u64::MAX);
    assert_eq!(rest.outcome, Ok(RunOutcome::Done));
    assert!(rest.steps().is_empty());
    assert_eq!(rest.facts.len(), 2, "only the stage's start and end: {:?}", rest.facts);
}

/// A request to stop that arrives during an evaluation is answered after it: between stages, with a checkpoint
/// that points at the next stage, so that nothing is evaluated twice.
#[test]
fn an_interruption_during_an_evaluation_waits_for_it() {
    let plan = plan();
    let whole = finish(&plan);
    // The start, two inside the first stage and its end make four; the fifth is the stage `look`.
    for (evaluations, stage, name) in
        [(4, "look", "sft/interrupt-000005"), (5, "rl", "look/interrupt-000000")]
    {
        let first = World { stop_after_evaluations: evaluations, ..World::default() }.run(&plan);
        let cursor = Cursor::at(stage, 0, 0);
        assert_eq!(first.outcome, Ok(RunOutcome::Interrupted { cursor }));
        assert_eq!(last_checkpoint(&first.facts), name);
        let second = resume(&plan, &first.policy.checkpoints, name, u64::MAX);
        let mut facts = lasting(&first.facts);
        facts.extend(lasting(&second.facts));
        assert_eq!(facts, lasting(&whole.facts));
    }
}
