//! Rejection sampling: what is kept becomes data, and stages below learn from it.

use r1x_core::Boundary;
use r1x_core::plan::{
    DataRef, GrpoPlan, LeastPlan, RejectPlan, RunPlan, SftPlan, StageKind, WeightsFrom,
};
use r1x_core::select::{Verdict, worked};
use r1x_core::testing;
use r1x_core::{Problem, Split, StepFacts};
use r1x_train::{RunOutcome, check_plan};

use crate::support::{
    Fact, FixedProblems, World, eval_plan, finish, grpo_plan, grpo_stage, metric, reject_plan,
    reject_stage, run_plan, sft_plan, sft_stage,
};

fn harvest() -> DataRef {
    testing::data_ref("harvest")
}

/// A stage that learns from what `harvest` kept, from the weights that the run begins with.
fn learning(steps: u64) -> SftPlan {
    SftPlan { data: vec![harvest()], ..sft_plan(steps) }
}

/// A stage that teaches enough for some completions to be right, rejection sampling from there, and a stage that learns
/// from what was kept, from the beginning.
fn plan(reject: RejectPlan, steps: u64) -> RunPlan {
    let mut plan = run_plan(vec![
        sft_stage(sft_plan(20)),
        reject_stage(reject),
        testing::stage("learn", StageKind::Sft(learning(steps))),
    ]);
    plan.stages[2].weights = WeightsFrom::Base;
    plan
}

fn of_stage<'f>(steps: &[&'f StepFacts], stage: usize) -> Vec<&'f StepFacts> {
    steps.iter().filter(|facts| facts.stage == stage).copied().collect()
}

fn rows(steps: &[&StepFacts]) -> Vec<Problem> {
    steps.iter().flat_map(|facts| worked("harvest", &facts.groups, &facts.verdicts)).collect()
}

#[test]
fn what_passes_is_kept_and_counted() {
    let finished = finish(&plan(reject_plan(6), 1));
    let all = finished.steps();
    let steps = of_stage(&all, 1);
    assert_eq!(steps.len(), 6);
    for facts in &steps {
        let verdicts: Vec<&Verdict> = facts.verdicts.iter().flatten().collect();
        assert_eq!(verdicts.len(), 40);
        let rollouts = facts.groups.iter().flat_map(|group| {
            let prompt = &group.group.problem.prompt;
            group.group.rollouts.iter().map(move |rewarded| (prompt, &rewarded.rollout))
        });
        for (verdict, (prompt, rollout)) in verdicts.iter().zip(rollouts) {
            let is_right = rollout.text.starts_with(prompt.as_str());
            let stops = rollout.completion.finish == r1x_core::FinishReason::Stop;
            assert_eq!(**verdict == Verdict::Kept, is_right && stops, "{rollout:?}");
        }
        let number = |name: &str| metric(facts, name).unwrap_or_else(|| panic!("{name}"));
        let dropped: f64 = ["truncated", "empty", "reward.first", "surplus"]
            .map(|filter| number(&format!("dropped.{filter}")))
            .iter()
            .sum();
        assert_eq!(number("kept") + dropped, 40.0, "every completion has one verdict");
        assert_eq!(number("kept.share"), number("kept") / 40.0);
        assert!(facts.groups.iter().all(|group| group.advantages.is_empty()));
    }
}

#[test]
fn weights_stay_as_they_are_while_data_is_made() {
    let finished = finish(&plan(reject_plan(3), 2));
    let end = |fact: &Fact| match fact {
        Fact::StageFinished(_, weights) => Some(weights.clone()),
        _ => None,
    };
    let ends: Vec<String> = finished.facts.iter().filter_map(end).collect();
    assert_eq!(ends[0], ends[1]);
    assert_ne!(ends[1], ends[2]);
}

/// Learning from kept completions is learning from a data set that has them.
#[test]
fn a_stage_learns_from_made_data_as_from_a_data_set() {
    let made = finish(&plan(reject_plan(6), 5));
    let all = made.steps();
    let rows = rows(&of_stage(&all, 1));
    assert!(rows.len() > 8, "{} rows", rows.len());
    // The table policy writes one digit a token, so the text of a row has the tokens of the completion.
    let text = |row: &Problem| Problem { solution_tokens: None, ..row.clone() };
    let problems =
        FixedProblems { more: rows.iter().map(text).collect(), ..FixedProblems::digits() };
    let from_set = SftPlan { data: vec![testing::data_ref("more")], ..sft_plan(5) };
    let stage = testing::stage("learn", StageKind::Sft(from_set));
    let known = World { problems, ..World::default() }.run(&run_plan(vec![stage]));
    assert_eq!(known.outcome, Ok(RunOutcome::Done));
    let losses = &made.curve("loss")[20..];
    assert_eq!(losses, known.curve("loss"));
    assert!(losses[4] < losses[0], "it learns: {losses:?}");
}

#[test]
fn no_more_of_a_prompt_are_kept_than_may_be_over_all_passes() {
    // Two passes over ten problems.
    let reject = RejectPlan { per_prompt: 1, ..reject_plan(4) };
    let finished = finish(&plan(reject, 1));
    let all = finished.steps();
    let mut keys: Vec<String> = rows(&of_stage(&all, 1)).into_iter().map(|row| row.key).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
    let surplus = finished.curve("dropped.surplus");
    assert!(surplus.iter().sum::<f64>() > 0.0, "some passed that were not needed");
}

#[test]
fn made_data_is_mixed_with_a_data_set() {
    let mut mixed = learning(4);
    mixed.data.push(testing::data_ref("digits"));
    let mut run = plan(reject_plan(2), 0);
    run.stages[2].kind = StageKind::Sft(mixed);
    let finished = finish(&run);
    let all = finished.steps();
    let rows = rows(&of_stage(&all, 1)).len();
    let epochs = finished.curve("epoch");
    assert_eq!(epochs[20], 4.0 / (rows + 10) as f64);
}

#[test]
fn a_stage_that_keeps_nothing_says_so_and_loses_nothing() {
    let keep = vec![LeastPlan { reward: "first".to_owned(), at_least: 2.0 }];
    let finished = World::default().run(&plan(RejectPlan { keep, ..reject_plan(2) }, 1));
    let error = finished.outcome.as_ref().unwrap_err();
    assert_eq!(error.boundary, Boundary::Data);
    assert!(error.message.contains("none of its 80 completions"), "{}", error.message);
    assert_eq!(finished.steps().len(), 20 + 2, "what was sampled is recorded");
}

#[test]
fn fewer_rows_than_a_batch_are_learnt_from_again_and_again() {
    let reject = RejectPlan { samples: 2, prompts_per_step: 10, per_prompt: 1, ..reject_plan(1) };
    let big = SftPlan { batch_size: 64, ..learning(2) };
    let mut run = plan(reject, 0);
    run.stages[2].kind = StageKind::Sft(big);
    let finished = finish(&run);
    let all = finished.steps();
    let rows = rows(&of_stage(&all, 1)).len();
    assert!((1..64).contains(&rows), "{rows} rows");
    assert_eq!(finished.curve("epoch")[20], 64.0 / rows as f64);
}

#[test]
fn what_cannot_be_made_by_then_is_found_before_the_run() {
    let stages = vec![sft_stage(learning(1)), reject_stage(reject_plan(1))];
    let errors = check_plan(&run_plan(stages), &Default::default());
    let told: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(
        told,
        ["stage `sft`: it reads the data that stage `harvest` makes, which is not above it"]
    );
    let keep = vec![LeastPlan { reward: "same".to_owned(), at_least: 1.0 }];
    let finished = World::default().run(&plan(RejectPlan { keep, ..reject_plan(2) }, 1));
    let error = finished.outcome.unwrap_err();
    assert_eq!(error.message, "stage `harvest`: there is no reward of the stage called `same`");
    // A prompt that is too long for the stage that makes the data is found there and where the data is read.
    let mut problems = FixedProblems::digits();
    problems.problems[3].prompt = "1234567".to_owned();
    let grpo = GrpoPlan { data: vec![harvest()], ..grpo_plan(9) };
    let run = run_plan(vec![reject_stage(reject_plan(2)), grpo_stage(grpo)]);
    let finished = World { problems, ..World::default() }.run(&run);
    let error = finished.outcome.unwrap_err();
    assert!(error.message.contains("stage `harvest`: problem `digit-3`"), "{}", error.message);
}

#[test]
fn suites_run_where_weights_have_changed() {
    let mut run = plan(reject_plan(2), 2);
    let mut suite = eval_plan();
    suite.when.stage_end = true;
    run.evals.push(suite);
    let finished = finish(&run);
    let labels: Vec<&str> = finished
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Evaluation(facts) => Some(facts.label.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(labels, ["sft", "learn"]);
}

#[test]
fn data_of_data_is_made_in_a_chain() {
    let second = RejectPlan { data: vec![harvest()], ..reject_plan(2) };
    let mut run = run_plan(vec![
        sft_stage(sft_plan(20)),
        reject_stage(reject_plan(2)),
        testing::stage("again", StageKind::Reject(second)),
        testing::stage(
            "learn",
            StageKind::Sft(SftPlan { data: vec![testing::data_ref("again")], ..sft_plan(2) }),
        ),
    ]);
    run.stages[3].weights = WeightsFrom::Base;
    let finished = finish(&run);
    let all = finished.steps();
    let rows = |stage: usize, id: &str| {
        let steps = of_stage(&all, stage);
        steps
            .iter()
            .flat_map(|facts| worked(id, &facts.groups, &facts.verdicts))
            .collect::<Vec<_>>()
    };
    let (first, again) = (rows(1, "harvest"), rows(2, "again"));
    assert!(!again.is_empty());
    assert!(again.iter().all(|row| first.iter().any(|made| made.key == row.key)));
    let split = DataRef { split: Split::Heldout, ..harvest() };
    let heldout = SftPlan { data: vec![split], ..sft_plan(1) };
    let run = run_plan(vec![reject_stage(reject_plan(1)), sft_stage(heldout)]);
    let error = World::default().run(&run).outcome.unwrap_err();
    assert!(error.message.contains("data set `harvest` has no heldout problems"), "{error:?}");
}
