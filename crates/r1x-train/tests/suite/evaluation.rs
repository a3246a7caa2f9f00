//! Evaluations: when they run, what they draw, what they report.

use r1x_core::plan::{EvalWhen, RunPlan};
use r1x_core::{EvalFacts, EvalMetric};

use crate::support::{
    Fact, Finished, FixedProblems, World, eval_plan, evaluate_stage, finish, grpo_plan, grpo_stage,
    run_plan, sft_plan, sft_stage,
};

fn evaluations(finished: &Finished) -> Vec<&EvalFacts> {
    let all = finished.facts.iter();
    all.filter_map(|fact| match fact {
        Fact::Evaluation(facts) => Some(facts),
        _ => None,
    })
    .collect()
}

fn figure<'a>(facts: &'a EvalFacts, name: &str) -> &'a EvalMetric {
    let found = facts.metrics.iter().find(|metric| metric.metric == name);
    found.expect("the figure is reported")
}

fn with_suite(mut plan: RunPlan, start: bool, stage_end: bool, every: Option<u64>) -> RunPlan {
    let mut suite = eval_plan();
    suite.when = EvalWhen { start, stage_end, every };
    plan.evals.push(suite);
    plan
}

#[test]
fn suites_run_at_the_planned_moments_and_once_each() {
    let stages = vec![sft_stage(sft_plan(4)), grpo_stage(grpo_plan(3)), evaluate_stage()];
    let finished = finish(&with_suite(run_plan(stages), true, true, Some(2)));
    let moments: Vec<_> = evaluations(&finished)
        .iter()
        .map(|facts| (facts.stage, facts.label.as_str(), facts.step))
        .collect();
    let expected = [
        (None, "start", 0),
        (Some(0), "sft", 2),
        (Some(0), "sft", 4),
        (Some(1), "rl", 2),
        (Some(1), "rl", 3),
        (Some(2), "look", 0),
    ];
    assert_eq!(moments, expected);
}

#[test]
fn evaluating_does_not_disturb_training() {
    let stages = vec![sft_stage(sft_plan(3)), grpo_stage(grpo_plan(3))];
    let plain = finish(&run_plan(stages.clone()));
    let watched = finish(&with_suite(run_plan(stages), true, true, Some(1)));
    assert_eq!(plain.steps(), watched.steps());
}

/// Two evaluations of the same weights are the same, sample by sample, wherever they happen.
#[test]
fn a_suite_draws_the_same_at_every_evaluation() {
    let stages = vec![evaluate_stage(), sft_stage(sft_plan(1)), evaluate_stage()];
    let finished = finish(&with_suite(run_plan(stages), true, true, None));
    let all = evaluations(&finished);
    assert_eq!(all[0].items, all[1].items, "both see the untrained weights");
    assert_eq!(all[2].items, all[3].items, "both see the trained weights");
    assert_ne!(all[1].items, all[2].items);
}

/// The figures, computed again from the recorded samples.
#[test]
fn figures_agree_with_the_samples() {
    let finished = finish(&with_suite(run_plan(vec![sft_stage(sft_plan(8))]), false, true, None));
    let facts = evaluations(&finished)[0];
    assert_eq!(facts.items.len(), 10);
    let names: Vec<_> = facts.metrics.iter().map(|metric| metric.metric.as_str()).collect();
    assert_eq!(names, ["pass@1", "pass@4", "truncated", "tokens"]);
    let mut shares = Vec::new();
    let mut any = 0.0;
    let mut tokens = 0.0;
    for (problem, samples) in &facts.items {
        assert_eq!(samples.len(), 4);
        let right = samples.iter().filter(|one| one.text.starts_with(&problem.prompt)).count();
        assert_eq!(right, samples.iter().filter(|one| one.correct).count());
        shares.push(right as f64 / 4.0);
        any += f64::from(u8::from(right > 0));
        tokens += samples.iter().map(|one| one.tokens.len() as f64).sum::<f64>() / 4.0;
    }
    let mean = shares.iter().sum::<f64>() / 10.0;
    let squares: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
    let first = figure(facts, "pass@1");
    assert!((first.value - mean).abs() < 1e-12);
    assert!((first.stderr - (squares / 9.0 / 10.0).sqrt()).abs() < 1e-12);
    assert!(first.stderr > 0.0, "the seed gives problems of different difficulty");
    assert_eq!((first.n_items, first.n_samples), (10, 4));
    assert!((figure(facts, "pass@4").value - any / 10.0).abs() < 1e-12);
    assert!((figure(facts, "tokens").value - tokens / 10.0).abs() < 1e-12);
}

#[test]
fn learning_shows_in_pass_at_one() {
    let stages = vec![sft_stage(sft_plan(10)), grpo_stage(grpo_plan(50))];
    let finished = finish(&with_suite(run_plan(stages), true, true, None));
    let all = evaluations(&finished);
    let values: Vec<_> = all.iter().map(|facts| figure(facts, "pass@1").value).collect();
    assert!(values[0] < 0.3 && values[1] > values[0] && values[2] > 0.9, "{values:?}");
}

/// Samples that cannot be graded are wrong, not left out.
#[test]
fn a_failed_grade_is_not_correct() {
    let mut plan = with_suite(run_plan(vec![evaluate_stage()]), false, false, None);
    plan.evals[0].grade = "broken".to_owned();
    plan.evals[0].threshold = f64::NEG_INFINITY;
    let finished = finish(&plan);
    let facts = evaluations(&finished)[0];
    assert_eq!(figure(facts, "pass@1").value, 0.0);
    assert!(facts.items.iter().all(|(_, samples)| samples.iter().all(|one| one.score.is_none())));
}

/// More problems than are graded together: the draws of a problem depend on its place in the suite only.
#[test]
fn large_suites_are_evaluated_in_pieces_with_the_same_draws() {
    let run = |count: usize| {
        let problems = (0..count).map(|index| FixedProblems::digit(index as u32 % 10)).collect();
        let world = World {
            problems: FixedProblems { problems, ..FixedProblems::default() },
            ..World::default()
        };
        world.run(&with_suite(run_plan(vec![evaluate_stage()]), false, false, None))
    };
    let (small, large) = (run(250), run(600));
    let (small, large) = (evaluations(&small)[0], evaluations(&large)[0]);
    assert_eq!(large.items.len(), 600);
    assert_eq!(small.items[..], large.items[..250]);
    // The untrained policy ignores the prompt, so equal addresses would give equal tokens.
    let tokens = |range: std::ops::Range<usize>| -> Vec<&Vec<u32>> {
        let samples = large.items[range].iter().flat_map(|(_, samples)| samples);
        samples.map(|sample| &sample.tokens).collect()
    };
    assert_ne!(tokens(0..10), tokens(256..266), "pieces have their own draws");
    assert_ne!(tokens(0..10), tokens(10..20), "places have their own draws");
}
