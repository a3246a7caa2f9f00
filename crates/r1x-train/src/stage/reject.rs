//! Rejection sampling: one step draws problems, samples completions of each, and says which of them are kept. The weights
//! stay as they are.

use std::collections::HashMap;

use r1x_core::plan::{RejectPlan, RewardPlan, RunPlan};
use r1x_core::select::{Verdict, select};
use r1x_core::{
    CreditedGroup, Encoder, PortError, Problem, ProblemSource, RewardedGroup, Rng, Split,
    StepFacts, Stream,
};

use super::{StepPlace, SteppedStage, problem_stream, rewards_by_id, stage_place};
use crate::credit::{at_rest, check_coverage};
use crate::draw::{ProblemStream, each};
use crate::error::TrainError;
use crate::finite::{Guard, Moment};
use crate::metrics;
use crate::ports::Ports;
use crate::rollout::{Draws, encode_prompt, rewarded_groups};

/// A stage of rejection sampling in progress.
pub(crate) struct RejectStage<'a> {
    plan: &'a RejectPlan,
    rewards: Vec<RewardPlan>,
    source: &'a dyn ProblemSource,
    draw: ProblemStream<'a>,
    sampling: Stream,
    /// Texts that were kept, by the key of their problem.
    kept: HashMap<String, Vec<String>>,
    place: String,
}

impl<'a> RejectStage<'a> {
    /// The stage called `id`, which goes on from the rows that it has made already. Errors when there are fewer problems
    /// than a step draws, or when a reward is not defined.
    pub(crate) fn new(
        run: &RunPlan,
        id: &str,
        plan: &'a RejectPlan,
        source: &'a dyn ProblemSource,
    ) -> Result<Self, PortError> {
        let place = stage_place(id);
        let draw = problem_stream(run, id, (&plan.data, plan.prompts_per_step), source)?;
        let mut kept: HashMap<String, Vec<String>> = HashMap::new();
        for row in source.problems(id, Split::Train)? {
            let texts = kept.entry(row.key.clone()).or_default();
            texts.extend(row.solution.clone());
        }
        Ok(Self {
            rewards: rewards_by_id(run, &plan.rewards, &place)?,
            plan,
            source,
            draw,
            sampling: Rng::new(run.seed).stream("sampling").named(id),
            kept,
            place,
        })
    }

    /// The verdicts on a group, after which what is kept of it counts for later groups of its problem.
    fn select(&mut self, group: &RewardedGroup) -> Vec<Verdict> {
        let kept = self.kept.entry(group.problem.key.clone()).or_default();
        let earlier: Vec<&str> = kept.iter().map(String::as_str).collect();
        let verdicts = select(self.plan, group, &earlier);
        let texts = group.rollouts.iter().map(|rewarded| rewarded.rollout.text.clone());
        let pairs = texts.zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Kept);
        kept.extend(pairs.map(|(text, _)| text));
        verdicts
    }
}

impl SteppedStage for RejectStage<'_> {
    fn ahead(&mut self) -> Vec<&Problem> {
        self.draw.ahead(self.plan.steps, self.plan.prompts_per_step)
    }

    fn check(&mut self, encoder: &dyn Encoder) -> Result<(), PortError> {
        at_rest(&self.rewards, &self.place)?;
        if let Some(least) =
            self.plan.keep.iter().find(|least| !self.plan.rewards.contains(&least.reward))
        {
            let (place, id) = (self.place.clone(), least.reward.clone());
            return Err(TrainError::Unknown { place, kind: "reward of the stage", id }.into());
        }
        check_coverage(&self.rewards, self.draw.problems(), self.source, &self.place)?;
        let max_tokens = self.plan.sampling.max_tokens;
        let ahead = self.draw.ahead(self.plan.steps, self.plan.prompts_per_step);
        each(ahead, |problem| {
            encode_prompt(encoder, self.source, problem, max_tokens, &self.place).map(drop)
        })
    }

    /// Draw problems, sample a group of completions for each, reward them, and keep those that pass.
    fn step(&mut self, ports: &mut Ports<'_>, at: StepPlace) -> Result<StepFacts, PortError> {
        let problems = self.draw.take(at.drawn, self.plan.prompts_per_step);
        let place = self.place.clone();
        let draws = Draws {
            samples: self.plan.samples,
            sampling: &self.plan.sampling,
            stream: self.sampling,
            guard: Guard { place: &place, at: Moment::Step(at.step) },
        };
        let rewards = self.rewards.clone();
        let combination = at_rest(&rewards, &place)?;
        let rewarded = rewarded_groups(ports, draws, &problems, at.drawn, &combination)?;
        let verdicts: Vec<Vec<Verdict>> = rewarded.iter().map(|group| self.select(group)).collect();
        let groups: Vec<CreditedGroup> =
            rewarded.into_iter().map(CreditedGroup::uncompared).collect();
        Ok(StepFacts {
            metrics: metrics::of_reject_step(self.plan, &self.rewards, &groups, &verdicts),
            stage: at.stage,
            step: at.step,
            rewards: self.plan.rewards.clone(),
            reference_logprobs: Vec::new(),
            groups,
            verdicts,
        })
    }
}
