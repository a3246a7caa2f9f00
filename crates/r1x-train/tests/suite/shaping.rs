//! Shaped rewards in the loop: what counts, with which weight, about which problems, and what advantages become.

use r1x_core::plan::*;
use r1x_core::{Boundary, ConditionState, RewardStatus, StepFacts};

use crate::support::{
    Fact, Finished, FixedProblems, World, eval_plan, evaluate_stage, finish, grpo_plan, grpo_stage,
    metric, run_plan,
};

fn only_if(reward: &str) -> Option<ConditionPlan> {
    Some(ConditionPlan { reward: reward.to_owned(), at_least: 1.0, otherwise: Otherwise::Zero })
}

fn about(data: &[&str]) -> Option<AppliesPlan> {
    let data = data.iter().map(|&id| id.to_owned()).collect();
    Some(AppliesPlan { data: Some(data), column: None })
}

fn with(mut plan: RunPlan, reward: &str, change: impl Fn(&mut ShapingPlan)) -> RunPlan {
    let found = plan.rewards.iter_mut().find(|known| known.id == reward).unwrap();
    change(&mut found.shaping);
    plan
}

/// A world with three problems in the data set `more` beside the digits.
fn two_sets() -> World {
    let mut problems = FixedProblems::digits();
    problems.more = (0..3).map(FixedProblems::digit).collect();
    for (index, problem) in problems.more.iter_mut().enumerate() {
        problem.data = "more".to_owned();
        problem.key = format!("more-{index}");
        let kind = if index == 0 { "\"easy\"" } else { "[\"hard\",\"odd\"]" };
        problem.columns.insert("kind".to_owned(), kind.to_owned());
    }
    World { problems, ..World::default() }
}

fn mixed(steps: u64) -> GrpoPlan {
    let mut plan = grpo_plan(steps);
    let more = DataRef { data: "more".to_owned(), ..plan.data[0].clone() };
    plan.data.push(more);
    plan.prompts_per_step = 13;
    plan
}

fn value(step: &StepFacts, group: usize, rollout: usize, reward: usize) -> Option<f64> {
    step.groups[group].group.rollouts[rollout].outcomes[reward].value
}

#[test]
fn conditions_and_courses_make_the_totals() {
    let points = [(0, 1.0), (2, 3.0)].map(|(step, weight)| WeightPoint { step, weight });
    let plan = run_plan(vec![grpo_stage(grpo_plan(4))]);
    let plan = with(plan, "first", |shaping| shaping.condition = only_if("stops"));
    let plan = with(plan, "stops", |shaping| {
        shaping.course = Some(CoursePlan::Points(points.to_vec()));
    });
    let finished = finish(&plan);
    let (mut unmet, mut met) = (0, 0);
    for (step, weight) in finished.steps().into_iter().zip([1.0, 2.0, 3.0, 3.0]) {
        for (g, group) in step.groups.iter().enumerate() {
            for (r, rollout) in group.group.rollouts.iter().enumerate() {
                let (first, stops) = (value(step, g, r, 0).unwrap(), value(step, g, r, 1).unwrap());
                let counted = if stops >= 1.0 { first } else { 0.0 };
                assert_eq!(rollout.total, Some(counted + weight * stops));
                assert_eq!(rollout.terms[0].counted, Some(counted));
                unmet += usize::from(rollout.terms[0].condition == Some(ConditionState::Unmet));
                met += usize::from(rollout.terms[0].condition == Some(ConditionState::Met));
            }
        }
        assert_eq!(metric(step, "reward.stops.weight"), Some(weight));
    }
    assert!(unmet > 10 && met > 10, "{unmet} and {met}");
    let shares: f64 = finished.curve("reward.first.open").iter().sum();
    assert!((shares * 40.0 - met as f64).abs() < 1e-9);
    assert_eq!(finished.curve("reward.first.weight"), Vec::<f64>::new());
}

#[test]
fn bounds_hold_for_rewards_and_totals() {
    let mut stage = grpo_plan(2);
    stage.advantage.combine.clip = Some(Bounds { low: 0.0, high: 0.6 });
    let plan = with(run_plan(vec![grpo_stage(stage)]), "first", |shaping| {
        shaping.clip = Some(Bounds { low: 0.25, high: 0.5 });
    });
    let finished = finish(&plan);
    let mut cut = 0;
    for step in finished.steps() {
        for (g, group) in step.groups.iter().enumerate() {
            for (r, rollout) in group.group.rollouts.iter().enumerate() {
                let first = if value(step, g, r, 0) == Some(1.0) { 0.5 } else { 0.25 };
                let sum = first + 0.5 * value(step, g, r, 1).unwrap();
                assert_eq!((rollout.unclipped, rollout.total), (Some(sum), Some(sum.min(0.6))));
                cut += usize::from(sum > 0.6);
            }
        }
    }
    assert!(cut > 5, "{cut}");
}

/// `first` is about the digits, `same` about the other set: neither is asked about the other's problems.
#[test]
fn a_stage_mixes_data_sets_and_each_has_its_reward() {
    let mut stage = mixed(3);
    stage.rewards = vec!["first".to_owned(), "same".to_owned()];
    let plan = with(run_plan(vec![grpo_stage(stage)]), "first", |shaping| {
        shaping.applies = about(&["digits"]);
    });
    let plan = with(plan, "same", |shaping| shaping.applies = about(&["more"]));
    let finished = two_sets().run(&plan);
    assert!(finished.outcome.is_ok(), "{:?}", finished.outcome);
    for step in finished.steps() {
        let more = step.groups.iter().filter(|group| group.group.problem.data == "more").count();
        assert_eq!((step.groups.len(), more), (13, 3), "a pass has every problem of both once");
        for group in &step.groups {
            let asked = usize::from(group.group.problem.data == "more");
            for rollout in &group.group.rollouts {
                assert_eq!(rollout.outcomes[1 - asked].status, RewardStatus::Unasked);
                assert_eq!(rollout.total, rollout.outcomes[asked].value);
                assert!(rollout.total.is_some());
            }
        }
    }
}

#[test]
fn a_column_chooses_problems_too() {
    let column = ColumnPlan { name: "kind".to_owned(), values: vec!["\"hard\"".to_owned()] };
    let mut stage = mixed(1);
    stage.rewards = vec!["first".to_owned(), "same".to_owned()];
    let plan = with(run_plan(vec![grpo_stage(stage)]), "same", |shaping| {
        shaping.applies = Some(AppliesPlan { data: None, column: Some(column.clone()) });
    });
    let finished = two_sets().run(&plan);
    let groups = &finished.steps()[0].groups;
    let asked = groups
        .iter()
        .filter(|group| group.group.rollouts[0].outcomes[1].status != RewardStatus::Unasked);
    let mut keys: Vec<&str> = asked.map(|group| group.group.problem.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["more-1", "more-2"]);
}

fn refusal(world: World, plan: &RunPlan) -> String {
    let Finished { outcome, facts, .. } = world.run(plan);
    assert!(facts.is_empty(), "nothing is recorded before it is known");
    let error = outcome.expect_err("the plan cannot work");
    assert_eq!(error.boundary, Boundary::Spec);
    error.message
}

#[test]
fn problems_without_a_judge_and_judges_without_a_problem_are_refused_at_the_start() {
    let mut stage = mixed(1);
    stage.rewards = vec!["first".to_owned()];
    let plan = with(run_plan(vec![grpo_stage(stage)]), "first", |shaping| {
        shaping.applies = about(&["digits"]);
    });
    let message = refusal(two_sets(), &plan);
    assert_eq!(
        message,
        "stage `rl`: problem `more-0`: no reward judges this problem of the data `more`"
    );
    let plan = with(run_plan(vec![grpo_stage(mixed(1))]), "stops", |shaping| {
        shaping.applies = about(&["nothing"]);
    });
    let message = refusal(two_sets(), &plan);
    assert_eq!(message, "stage `rl`: the reward `stops` judges none of the problems");
    let mut plan = with(run_plan(vec![evaluate_stage()]), "first", |shaping| {
        shaping.applies = about(&["more"]);
    });
    plan.evals.push(eval_plan());
    let message = refusal(World::default(), &plan);
    assert_eq!(
        message,
        "eval `digits`: problem `digit-0`: no reward judges this problem of the data `digits`"
    );
    let plan =
        with(run_plan(vec![grpo_stage(grpo_plan(1))]), "first", |s| s.condition = only_if("same"));
    let message = refusal(World::default(), &plan);
    assert!(message.contains("`first` counts only if `same` does"), "{message}");
}

fn normalized(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let deviation = (squares / (values.len() - 1) as f64).sqrt();
    let equal = values.iter().all(|value| *value == values[0]);
    values.iter().map(|v| if equal { 0.0 } else { (v - mean) / (deviation + 1e-4) }).collect()
}

/// GDPO, worked out again from the outcomes of every step.
#[test]
fn rewards_compared_one_by_one_give_these_advantages() {
    let mut stage = grpo_plan(3);
    stage.advantage.combine =
        CombinePlan { order: CombineOrder::NormalizeThenSum, whiten: true, clip: None };
    let finished = finish(&run_plan(vec![grpo_stage(stage)]));
    for step in finished.steps() {
        let mut expected = Vec::new();
        for (g, group) in step.groups.iter().enumerate() {
            let of = |reward| -> Vec<f64> {
                (0..8).map(|rollout| value(step, g, rollout, reward).unwrap()).collect()
            };
            let (first, stops) = (normalized(&of(0)), normalized(&of(1)));
            expected.extend(first.iter().zip(&stops).map(|(a, b)| a + 0.5 * b));
            for (rollout, z) in group.group.rollouts.iter().zip(&stops) {
                assert!((rollout.terms[1].normalized.unwrap() - z).abs() < 1e-12);
            }
        }
        let squares: f64 = expected.iter().map(|a| a * a).sum();
        let deviation = (squares / (expected.len() - 1) as f64).sqrt() + 1e-4;
        let found = step.groups.iter().flat_map(|group| &group.advantages);
        for (found, expected) in found.zip(&expected) {
            assert!((found - expected / deviation).abs() < 1e-9, "{found} {expected}");
        }
        for group in step.groups.iter().filter(|group| group.zero_signal) {
            assert_eq!(group.advantages, vec![0.0; 8]);
        }
    }
}

#[test]
fn a_policy_learns_from_rewards_compared_one_by_one() {
    let mut stage = grpo_plan(150);
    stage.advantage.combine =
        CombinePlan { order: CombineOrder::NormalizeThenSum, whiten: true, clip: None };
    let plan = with(run_plan(vec![grpo_stage(stage)]), "stops", |s| s.condition = only_if("first"));
    let finished = finish(&plan);
    for name in ["reward.first.mean", "reward.stops.counted"] {
        let rewards = finished.curve(name);
        let last = rewards[140..].iter().sum::<f64>() / 10.0;
        assert!(rewards[0] < 0.3 && last > 0.9, "{name}: {rewards:?}");
    }
}

/// A grade with a condition: what counts decides, and what was said is recorded.
#[test]
fn evaluations_read_a_grade_as_training_does() {
    let mut plan = run_plan(vec![evaluate_stage()]);
    plan.evals.push(eval_plan());
    let free = finish(&plan);
    let conditional = finish(&with(plan, "first", |shaping| {
        shaping.condition = only_if("stops");
        shaping.clip = Some(Bounds { low: -1.0, high: 1.0 });
    }));
    let samples = |finished: &Finished| -> Vec<r1x_core::EvalSample> {
        let Fact::Evaluation(facts) = &finished.facts[1] else { panic!("{:?}", finished.facts) };
        facts.items.iter().flat_map(|(_, samples)| samples.clone()).collect()
    };
    let mut unmet = 0;
    for (free, conditional) in samples(&free).into_iter().zip(samples(&conditional)) {
        assert_eq!((conditional.value, free.condition), (free.score, None));
        let stops =
            conditional.tokens.len() == 2 && conditional.finish == r1x_core::FinishReason::Stop;
        let expected = if stops { free.score } else { Some(0.0) };
        assert_eq!((conditional.score, conditional.correct), (expected, expected == Some(1.0)));
        unmet += usize::from(conditional.score != free.score);
    }
    assert!(unmet > 0, "a right digit that does not stop is among the samples");
}
