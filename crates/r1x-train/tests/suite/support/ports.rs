//! Rule rewards, fixed problems and a recorder in memory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use r1x_core::plan::RewardPlan;
use r1x_core::port::{Outcomes, PendingGroups, Reuse, Scoring};
use r1x_core::select::{Kept, kept};
use r1x_core::{
    CheckpointFacts, EvalFacts, FinishReason, PortError, Problem, ProblemSource, Recorder,
    RewardOutcome, RewardStatus, Rewarder, Split, StageFacts, StepFacts, testing,
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

impl Fact {
    /// The position of the stage that it is about; none of what is evaluated before the first stage.
    pub fn stage(&self) -> Option<usize> {
        match self {
            Self::StageStarted(facts) | Self::StageFinished(facts, _) => Some(facts.index),
            Self::Step(facts) => Some(facts.stage),
            Self::Evaluation(facts) => facts.stage,
            Self::Checkpoint(facts) => Some(facts.stage),
        }
    }
}

/// Facts in a `Vec`.
#[derive(Default)]
pub struct MemoryRecorder {
    /// What earlier attempts of the run have left.
    pub earlier: Vec<Fact>,
    /// Stages of another run, to be taken over.
    pub others: Vec<Fact>,
    pub facts: Vec<Fact>,
    /// How many stages were begun, and not taken over.
    pub stages_begun: usize,
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
    fn reuse(&mut self, facts: &StageFacts) -> Result<Reuse, PortError> {
        let of_stage = |fact: &&Fact| fact.stage() == Some(facts.index);
        let taken: Vec<Fact> = self.others.iter().filter(of_stage).cloned().collect();
        self.earlier.extend(taken.iter().cloned());
        let reuse = if taken.is_empty() { Reuse::NotKnown } else { Reuse::Taken };
        self.facts.extend(taken);
        Ok(reuse)
    }

    fn stage_started(&mut self, facts: &StageFacts) -> Result<(), PortError> {
        self.stages_begun += 1;
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

    fn kept(&mut self, stage: usize, before_step: u64) -> Result<Vec<Kept>, PortError> {
        let mut steps: BTreeMap<u64, Vec<Kept>> = BTreeMap::new();
        for fact in &self.earlier {
            match fact {
                // A step that was done again counts as it was done last.
                Fact::Step(facts) if facts.stage == stage && facts.step < before_step => {
                    let kept = kept(&facts.groups, &facts.verdicts).map(|(kept, _)| kept);
                    steps.insert(facts.step, kept.collect());
                }
                _ => {}
            }
        }
        Ok(steps.into_values().flatten().collect())
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
        let judging = testing::by_rule(rewards, groups, rule);
        Ok(if self.forget_a_group { Box::new(Forgetful(judging)) } else { judging })
    }
}

/// Scoring that leaves the last group out.
struct Forgetful<'a>(Box<dyn Scoring + 'a>);

impl Scoring for Forgetful<'_> {
    fn arrived(&mut self, group: usize) {
        self.0.arrived(group);
    }

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        let mut outcomes = self.0.finish()?;
        outcomes.iter_mut().for_each(|groups| drop(groups.pop()));
        Ok(outcomes)
    }
}

fn rule((id, problem, _, rollout): testing::Ruled<'_>) -> RewardOutcome {
    let right = f64::from(u8::from(rollout.text.starts_with(&problem.prompt)));
    let failed = RewardOutcome { value: None, status: RewardStatus::Trap, ..testing::outcome(0.0) };
    match id {
        "first" => testing::outcome(right),
        "stops" => {
            let completion = &rollout.completion;
            let stops = completion.finish == FinishReason::Stop && completion.tokens.len() == 2;
            testing::outcome(f64::from(u8::from(stops)))
        }
        "same" => testing::outcome(1.0),
        "flaky" => {
            let first = rollout.text.chars().next().and_then(|letter| letter.to_digit(10));
            let fails = first.is_some_and(|digit| digit % 2 == 1);
            if fails { failed } else { testing::outcome(right) }
        }
        "broken" => failed,
        other => panic!("no rule called {other}"),
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
            solution: Some(digit.to_string()),
            answer: Some(digit.to_string()),
            ..testing::problem(&format!("digit-{digit}"), &digit.to_string())
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
