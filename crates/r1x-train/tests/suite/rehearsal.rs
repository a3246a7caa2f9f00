//! Rewards are asked about the rows that they will judge before a run begins: which rows, and what their failures mean.

use r1x_core::plan::{DataRef, EvalPlan, OnFailure, RewardPlan, RunPlan};
use r1x_core::port::{Outcomes, PendingGroups, ReadColumns, Rehearsable, Scoring};
use r1x_core::{Boundary, PendingGroup, PortError, Problem, PromptForm, Rewarder, Split, testing};
use r1x_train::{Rehearsal, Tolerated, rehearse};

use crate::support::{FixedProblems, eval_plan, grpo_plan, grpo_stage, run_plan};

/// A reward that fails on some problems, and remembers what it was asked about.
#[derive(Default)]
struct Fussy {
    /// Columns it cannot do without.
    required: Vec<String>,
    /// Columns it reads where they are.
    optional: Vec<String>,
    costly: bool,
    /// Keys of the problems that it fails on.
    fails: Vec<String>,
    /// Whether a failure takes all the time that there is.
    hangs: bool,
    met_deadline: bool,
    /// The problems of each call, by their keys.
    calls: Vec<Vec<String>>,
    /// The texts of the newest call's first group.
    texts: Vec<String>,
}

impl Fussy {
    fn failing<const N: usize>(fails: [u32; N]) -> Self {
        let fails = fails.iter().map(|digit| format!("digit-{digit}")).collect();
        Self { fails, ..Self::default() }
    }
}

impl Rewarder for Fussy {
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError> {
        let [reward] = rewards else { panic!("a reward is rehearsed alone: {rewards:?}") };
        assert_eq!(reward.on_failure, OnFailure::Fail, "every failure is told");
        self.met_deadline = false;
        self.calls.push(groups.iter().map(|group| group.problem.key.clone()).collect());
        for group in groups.iter() {
            let missing = |name: &&String| !group.problem.columns.contains_key(*name);
            if let Some(name) = self.required.iter().find(missing) {
                let message = format!("reward `{}` needs the column `{name}`", reward.id);
                return Err(PortError::new(Boundary::Data, message, "add the column"));
            }
        }
        Ok(Box::new(Judging { reward: self, groups }))
    }
}

impl Rehearsable for Fussy {
    fn columns(&self, _: &str) -> ReadColumns<'_> {
        ReadColumns { required: &self.required, optional: &self.optional }
    }

    fn is_costly(&self, _: &str) -> bool {
        self.costly
    }

    fn met_deadline(&self) -> bool {
        self.met_deadline
    }
}

struct Judging<'a> {
    reward: &'a mut Fussy,
    groups: PendingGroups,
}

impl Scoring for Judging<'_> {
    fn arrived(&mut self, _: usize) {}

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        let Self { reward, groups } = *self;
        let first = groups[0].rollouts().expect("every group is there");
        reward.texts = first.iter().map(|rollout| rollout.text.clone()).collect();
        let fails = |group: &&PendingGroup| reward.fails.contains(&group.problem.key);
        if let Some(group) = groups.iter().find(fails) {
            reward.met_deadline = reward.hangs;
            let message = format!("the reward fails on {}", group.problem.key);
            return Err(PortError::new(Boundary::Reward, message, "mend the reward"));
        }
        let of_group = |group: &PendingGroup| vec![testing::outcome(1.0); group.samples];
        Ok(vec![groups.iter().map(of_group).collect()])
    }
}

/// GRPO in steps of 5 problems with 8 rollouts each, for a reward with a policy.
fn plan(on_failure: OnFailure, max_failed_share: f64) -> RunPlan {
    let mut plan = run_plan(vec![grpo_stage(grpo_plan(1))]);
    let id = plan.stages[0].kind.outline().rewards[0].clone();
    plan.rewards = vec![RewardPlan { on_failure, max_failed_share, ..testing::reward(&id) }];
    plan
}

fn digits(plan: &RunPlan, reward: &mut Fussy) -> Rehearsal {
    rehearse(plan, &FixedProblems::digits(), reward)
}

#[test]
fn a_rehearsed_completion_begins_with_what_the_prompt_gives_of_it() {
    let mut problems = FixedProblems::digits();
    for problem in &mut problems.problems {
        problem.form = PromptForm::Messages { prefill: "<think>".to_owned() };
        problem.solution = Some("<think> so".to_owned());
    }
    let mut reward = Fussy::default();
    let rehearsal = rehearse(&plan(OnFailure::Mask, 0.01), &problems, &mut reward);
    assert_eq!(rehearsal, Rehearsal::default());
    assert_eq!(reward.texts, ["<think>", "<think>", "<think> so", "<think>1"]);
}

/// Problems whose only column is a text, empty in some.
fn with_texts(count: u32, empty: &[u32]) -> FixedProblems {
    let problem = |number: u32| {
        let text = if empty.contains(&number) { r#""""# } else { r#""words""# };
        let columns = [("text".to_owned(), text.to_owned())].into();
        Problem { columns, ..FixedProblems::digit(number) }
    };
    FixedProblems { problems: (0..count).map(problem).collect(), more: Vec::new() }
}

#[test]
fn the_first_row_is_asked_by_itself_and_the_others_together() {
    let mut reward = Fussy::default();
    assert_eq!(digits(&plan(OnFailure::Mask, 0.01), &mut reward), Rehearsal::default());
    let keys = |from: u32| (from..10).map(|digit| format!("digit-{digit}")).collect::<Vec<_>>();
    assert_eq!(reward.calls, [vec!["digit-0".to_owned(); 2], keys(1)]);
    let why = "an empty completion twice, and the worked solution, which is the answer too";
    assert_eq!(reward.texts, ["", "", "1"], "{why}");
}

#[test]
fn a_row_that_stops_the_run_is_named_with_how_many_fail() {
    let mut reward = Fussy::failing([3, 7]);
    let Rehearsal { errors, tolerated } = digits(&plan(OnFailure::Fail, 1.0), &mut reward);
    assert!(tolerated.is_empty());
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!(error.boundary, Boundary::Reward);
    assert_eq!(
        error.message,
        "before stage `rl`: problem `digit-3`: the reward fails on digit-3; 1 more of the 10 rows tried fail too"
    );
    let hint = error.hint.as_deref().unwrap_or_default();
    assert!(hint.starts_with("before its first step, a run asks each reward"), "{hint}");
}

#[test]
fn failures_within_the_policy_of_a_reward_are_tolerated() {
    let mut reward = Fussy::failing([3, 7]);
    let found = digits(&plan(OnFailure::Zero, 0.25), &mut reward);
    let expected = Tolerated {
        place: "stage `rl`".to_owned(),
        reward: plan(OnFailure::Zero, 0.25).rewards[0].id.clone(),
        on_failure: OnFailure::Zero,
        rows: 2,
        tried: 10,
        first: "problem `digit-3`: the reward fails on digit-3".to_owned(),
    };
    assert_eq!(found, Rehearsal { errors: Vec::new(), tolerated: vec![expected] });

    // Two rows of ten are more than a tenth.
    let found = digits(&plan(OnFailure::Zero, 0.1), &mut Fussy::failing([3, 7]));
    assert_eq!((found.errors.len(), found.tolerated.len()), (1, 0));
    // One row is few enough, but a step has as many rollouts of it as may fail of all.
    let found = digits(&plan(OnFailure::Zero, 0.1), &mut Fussy::failing([3]));
    assert_eq!((found.errors.len(), found.tolerated.len()), (1, 0));
}

#[test]
fn a_reward_that_takes_all_its_time_is_asked_no_more_than_is_needed_to_refuse_it() {
    let mut reward = Fussy { hangs: true, ..Fussy::failing([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) };
    let found = digits(&plan(OnFailure::Mask, 0.01), &mut reward);
    assert_eq!(reward.calls.len(), 1, "one call tells: {:?}", reward.calls);
    let [error] = &found.errors[..] else { panic!("{found:?}") };
    assert_eq!(error.message, "before stage `rl`: problem `digit-0`: the reward fails on digit-0");

    // Where the first row may fail, the next ones are asked until there are too many failures.
    let mut reward = Fussy { hangs: true, ..Fussy::failing([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) };
    let found = digits(&plan(OnFailure::Mask, 0.25), &mut reward);
    assert_eq!(reward.calls.len(), 1 + 3, "three rows of ten are too many: {:?}", reward.calls);
    let more = "; 2 more of the 3 rows tried fail too";
    assert!(found.errors[0].message.ends_with(more), "{found:?}");

    // A quick failure costs little, so eight are looked for.
    let mut reward = Fussy::failing([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    digits(&plan(OnFailure::Mask, 0.01), &mut reward);
    assert_eq!(reward.calls.len(), 1 + 8, "{:?}", reward.calls);
}

#[test]
fn rows_that_lack_what_a_reward_reads_are_looked_for_beyond_the_first() {
    let plan = plan(OnFailure::Mask, 0.01);
    let problems = with_texts(300, &[280, 290]);
    let asked = |mut reward: Fussy| {
        assert_eq!(rehearse(&plan, &problems, &mut reward), Rehearsal::default());
        let calls = reward.calls.concat();
        (
            calls.len() - 1,
            calls.iter().filter(|key| *key == "digit-280" || *key == "digit-290").count(),
        )
    };
    let text = || vec!["text".to_owned()];
    assert_eq!(asked(Fussy::default()), (256, 0), "a reward that reads no column");
    assert_eq!(asked(Fussy { required: text(), ..Fussy::default() }), (258, 2));
    assert_eq!(asked(Fussy { optional: text(), ..Fussy::default() }), (258, 2));
    let costly = Fussy { required: text(), costly: true, ..Fussy::default() };
    assert_eq!(asked(costly), (4, 2), "two rows of each kind, where a call takes long");
}

#[test]
fn a_column_that_is_not_there_is_the_fault_of_the_data_whatever_the_policy_says() {
    let mut reward = Fussy { required: vec!["text".to_owned()], ..Fussy::default() };
    let found = digits(&plan(OnFailure::Mask, 1.0), &mut reward);
    let [error] = &found.errors[..] else { panic!("{found:?}") };
    assert_eq!((error.boundary, error.hint.as_deref()), (Boundary::Data, Some("add the column")));
    assert!(error.message.contains("needs the column `text`; 7 more of the 8 rows"), "{error}");
}

#[test]
fn each_data_set_is_rehearsed_once_for_each_reward() {
    let mut plan = plan(OnFailure::Mask, 0.01);
    let reward = plan.rewards[0].id.clone();
    let of_stage = plan.stages[0].kind.outline().data[0].clone();
    let suite = |data: DataRef| EvalPlan { data, grade: reward.clone(), ..eval_plan() };
    plan.evals = vec![suite(of_stage.clone())];
    let mut asked = Fussy::default();
    digits(&plan, &mut asked);
    assert_eq!(asked.calls.len(), 2, "the suite has the data of the stage");
    plan.evals =
        vec![suite(DataRef { split: Split::Heldout, skip: 2, limit: Some(3), ..of_stage })];
    let mut asked = Fussy::failing([4]);
    let found = digits(&plan, &mut asked);
    let heldout = &asked.calls[asked.calls.len() - 3..];
    assert_eq!(heldout, [["digit-2"], ["digit-3"], ["digit-4"]], "each by itself after a failure");
    let messages: Vec<&str> = found.errors.iter().map(|error| error.message.as_str()).collect();
    assert!(messages[1].starts_with("before eval `digits`: problem `digit-4`"), "{messages:?}");
}
