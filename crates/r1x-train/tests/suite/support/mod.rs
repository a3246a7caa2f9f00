//! The other side of the four ports: a table policy, rule rewards, fixed problems, a recorder in memory.
//!
//! The game: the prompt is a digit, the right answer is the same digit and then stop.

mod plans;
mod policy;
mod ports;

pub use plans::{
    eval_plan, evaluate_stage, grpo_plan, grpo_stage, reject_plan, reject_stage, run_plan,
    sft_plan, sft_stage,
};
pub use policy::{Checkpoints, Table, TablePolicy, Turns};
pub use ports::{Fact, FixedProblems, MemoryRecorder, Rules};

use r1x_core::plan::RunPlan;
use r1x_core::port::Cursor;
use r1x_core::{PortError, StepFacts};
use r1x_train::{Ports, RunOutcome, run};

/// Everything a run left behind.
pub struct Finished {
    pub outcome: Result<RunOutcome, PortError>,
    pub facts: Vec<Fact>,
    /// How many stages were begun, and not taken over.
    pub stages_begun: usize,
    pub policy: TablePolicy,
}

impl Finished {
    /// The facts of all steps, in order.
    pub fn steps(&self) -> Vec<&StepFacts> {
        self.facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::Step(step) => Some(step),
                _ => None,
            })
            .collect()
    }

    /// One metric over all steps that have it.
    pub fn curve(&self, name: &str) -> Vec<f64> {
        self.steps().iter().filter_map(|step| metric(step, name)).collect()
    }
}

/// A metric of a step.
pub fn metric(step: &StepFacts, name: &str) -> Option<f64> {
    let found = step.metrics.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| *value)
}

/// The world a run takes place in; tests change what they are about.
pub struct World {
    pub policy: TablePolicy,
    pub rules: Rules,
    pub problems: FixedProblems,
    pub from: Cursor,
    /// What earlier attempts of the run have left.
    pub earlier: Vec<Fact>,
    /// Stages of another run, to be taken over.
    pub others: Vec<Fact>,
    /// The run is asked to stop once it has recorded so many steps.
    pub stop_after: u64,
    /// It is also asked to stop once it has recorded so many evaluations.
    pub stop_after_evaluations: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            policy: TablePolicy::new(),
            rules: Rules::default(),
            problems: FixedProblems::digits(),
            from: Cursor::default(),
            earlier: Vec::new(),
            others: Vec::new(),
            stop_after: u64::MAX,
            stop_after_evaluations: u64::MAX,
        }
    }
}

impl World {
    /// Runs a plan in this world.
    pub fn run(mut self, plan: &RunPlan) -> Finished {
        let mut recorder = MemoryRecorder::default();
        (recorder.earlier, recorder.others) = (self.earlier, self.others);
        let (steps, evaluations) = (recorder.steps(), recorder.evaluations());
        let outcome = run(
            plan,
            Ports {
                policy: &mut Turns(&mut self.policy),
                rewarder: &mut self.rules,
                problems: &self.problems,
                recorder: &mut recorder,
            },
            self.from,
            &|| steps.get() >= self.stop_after || evaluations.get() >= self.stop_after_evaluations,
        );
        let MemoryRecorder { facts, stages_begun, .. } = recorder;
        Finished { outcome, facts, stages_begun, policy: self.policy }
    }
}

/// Runs a plan to its end with a fresh table policy; it must succeed.
pub fn finish(plan: &RunPlan) -> Finished {
    let finished = World::default().run(plan);
    assert_eq!(finished.outcome, Ok(RunOutcome::Done));
    finished
}
