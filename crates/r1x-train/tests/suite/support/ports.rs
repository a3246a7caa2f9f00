//! Rule rewards, fixed problems and a recorder in memory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use r1x_core::plan::RewardPlan;
use r1x_core::port::{Outcomes, PendingGroups, Scoring};
use r1x_core::reward::applies;
use r1x_core::{
    CheckpointFacts, EvalFacts, FinishReason, PendingGroup, PortError, Problem, ProblemSource,
    Recorder, RewardOutcome, RewardStatus, Rewarder, Rollout, Split, StageFacts, StepFacts,
};

/// Anything a recorder was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    StageStarted(StageFacts),
    Step(StepFacts),
    Evaluation(EvalFacts),
    Checkpoint(CheckpointFacts),
    StageFinished(StageFacts, String),
}

/// Facts in a `Vec`.
#[derive(Default)]
pub struct MemoryRecorder {
    pub facts: Vec<Fact>,
    steps: Rc<Cell<u64>>,
    evaluations: Rc<Cell<u64>>,
}

impl MemoryRecorder {
    /// How many steps are recorded, readable while a run holds the recorder.
    pub fn steps(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.steps)
    }

    /// How many evaluations are recorded, likewise.
    pub fn evaluations(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.evaluations)
    }
}

impl Recorder for MemoryRecorder {
    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError> {
        self.facts.push(Fact::StageStarted(facts.clone()));
        Ok(())
    }

    fn step(&mut self, facts: StepFacts) -> Result<(), PortError> {
        self.steps.set(self.steps.get() + 1);
        self.facts.push(Fact::Step(facts));
        Ok(())
    }

    fn evaluation(&mut self, facts: &EvalFacts) -> Result<(), PortError> {
        self.evaluations.set(self.evaluations.get() + 1);
        self.facts.push(Fact::Evaluation(facts.clone()));
        Ok(())
    }

    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError> {
        self.facts.push(Fact::Checkpoint(facts.clone()));
        Ok(())
    }

    fn stage_finished(&mut self, facts: &StageFacts, weights: &str) -> Result<(), PortError> {
        let finished = Fact::StageFinished(facts.clone(), weights.to_owned());
        self.facts.push(finished);
        Ok(())
    }
}

/// Rewards that are functions, by id: `first` (is the first digit right), `stops` (one digit, then the end),
/// `flaky` (fails for odd digits), `broken` (always fails), `same` (always 1).
#[derive(Default)]
pub struct Rules {
    /// Leave out the scores of the last group.
    pub forget_a_group: bool,
}

impl Rewarder for Rules {
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError> {
        let (rewards, arrived) = (rewards.to_vec(), 0);
        Ok(Box::new(Ruling { rules: self, rewards, groups, arrived }))
    }
}

/// Rules at work.
struct Ruling<'a> {
    rules: &'a Rules,
    rewards: Vec<RewardPlan>,
    groups: PendingGroups,
    arrived: usize,
}

impl Scoring for Ruling<'_> {
    fn arrived(&mut self, group: usize) {
        assert!(self.groups[group].rollouts().is_some(), "group {group} is here");
        self.arrived += 1;
    }

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        assert_eq!(self.arrived, self.groups.len(), "each group is said once");
        let groups = &self.groups[..self.groups.len() - usize::from(self.rules.forget_a_group)];
        let one = |reward: &RewardPlan| {
            let group = |group: &PendingGroup| {
                if !applies(reward, &group.problem) {
                    return vec![RewardOutcome::unasked(); group.samples];
                }
                let rollouts = group.rollouts().expect("every group has arrived").iter();
                rollouts.map(|rollout| rule(&reward.id, &group.problem, rollout)).collect()
            };
            groups.iter().map(group).collect()
        };
        Ok(self.rewards.iter().map(one).collect())
    }
}

fn rule(id: &str, problem: &Problem, rollout: &Rollout) -> RewardOutcome {
    let right = rollout.text.starts_with(&problem.prompt);
    let value = match id {
        "first" => Some(f64::from(u8::from(right))),
        "stops" => {
            let completion = &rollout.completion;
            let stops = completion.finish == FinishReason::Stop && completion.tokens.len() == 2;
            Some(f64::from(u8::from(stops)))
        }
        "same" => Some(1.0),
        "flaky" => {
            let first = rollout.text.chars().next().and_then(|letter| letter.to_digit(10));
            let failed = first.is_some_and(|digit| digit % 2 == 1);
            (!failed).then_some(f64::from(u8::from(right)))
        }
        "broken" => None,
        other => panic!("no rule called {other}"),
    };
    RewardOutcome {
        value,
        status: if value.is_some() { RewardStatus::Ok } else { RewardStatus::Trap },
        parts: Vec::new(),
        info: None,
    }
}

/// Problems in a list, the same for both splits.
#[derive(Default)]
pub struct FixedProblems {
    pub problems: Vec<Problem>,
    /// The problems of the data set `more`.
    pub more: Vec<Problem>,
}

impl FixedProblems {
    /// Ten problems: each digit wants itself.
    pub fn digits() -> Self {
        Self { problems: (0..10).map(Self::digit).collect(), more: Vec::new() }
    }

    /// One problem.
    pub fn digit(digit: u32) -> Problem {
        Problem {
            data: "digits".to_owned(),
            key: format!("digit-{digit}"),
            prompt: digit.to_string(),
            solution: Some(digit.to_string()),
            answer: Some(digit.to_string()),
            columns: BTreeMap::new(),
        }
    }
}

impl ProblemSource for FixedProblems {
    fn problems(&self, data: &str, _split: Split) -> Result<&[Problem], PortError> {
        Ok(if data == "more" { &self.more } else { &self.problems })
    }

    fn origin(&self, problem: &Problem) -> String {
        format!("problem `{}`", problem.key)
    }
}
