//! What can be known to fail is found before the first step: ids, sizes of data sets, lengths and words of texts.
//!
//! Nobody should learn after an hour of training that the evaluation's prompts are too long. No weights are needed,
//! so a spec can be checked on a machine that could not hold its model.

use r1x_core::plan::{DataRef, HeadPlan, ModelPlan, RewardPlan, Rollouts, RunPlan, StagePlan};
use r1x_core::port::Cursor;
use r1x_core::{Encoder, PortError, ProblemSource};

use crate::error::TrainError;
use crate::made::RunData;
use crate::place::check_cursor;
use crate::stage::{evaluate, reward_by_id, stage_place, stepped, suite_place};

/// A plan of which everything that can be known to fail was found to be right.
#[derive(Clone, Debug)]
pub struct Checked<'p> {
    pub(crate) plan: &'p RunPlan,
    pub(crate) from: Cursor,
}

/// Checks what [`check_plan`] and [`check_inputs`] check.
///
/// # Errors
/// The errors of both, those of the plan first.
pub fn check<'p>(
    plan: &'p RunPlan,
    encoder: &dyn Encoder,
    problems: &dyn ProblemSource,
    from: Cursor,
) -> Result<Checked<'p>, Vec<PortError>> {
    let mut errors = check_plan(plan, &from);
    // What a plan gets wrong, its inputs would only repeat.
    if errors.is_empty() {
        errors = check_inputs(plan, encoder, problems, &from);
    }
    if errors.is_empty() { Ok(Checked { plan, from }) } else { Err(errors) }
}

/// Checks the cursor, the stages from it on and every suite as far as the plan alone tells: that ids, counts, conditions
/// of rewards and weights fit together. One error for each stage and suite that would fail.
pub fn check_plan(plan: &RunPlan, from: &Cursor) -> Vec<PortError> {
    if let Err(error) = check_cursor(plan, from) {
        return vec![error];
    }
    let stages = ahead(plan, from).map(|(index, stage)| planned(plan, index, stage));
    let suites = plan.evals.iter().map(|suite| {
        // Before the first stage it is the policy that a suite is run of.
        if suite.when.start {
            check_head(&plan.model, HeadPlan::Vocabulary, &suite_place(&suite.id))?;
        }
        // A suite is run before there is a reward model, and grades are to mean the same in all of a run.
        let place = suite_place(&suite.id);
        let mut graders = plan.graders(suite).into_iter();
        graders.try_for_each(|reward| check_judge(plan, 0, reward, &place))?;
        evaluate::check_plan(plan, suite)
    });
    stages.chain(suites).filter_map(Result::err).collect()
}

/// Checks the inputs of the stages from the cursor on and of every suite: that every problem a stage or suite will meet
/// has words the model knows, fits into its context, is judged, and has the solution that is learnt from. Data that a
/// stage will make is looked at as far as its prompts and columns are known. One error for each stage and suite that would fail, with the first problem that is to blame.
pub fn check_inputs(
    plan: &RunPlan,
    encoder: &dyn Encoder,
    problems: &dyn ProblemSource,
    from: &Cursor,
) -> Vec<PortError> {
    let data = match RunData::foreseen(plan, problems) {
        Ok(data) => data,
        Err(error) => return vec![error],
    };
    let stages = ahead(plan, from).map(|(_, stage)| match stepped(plan, stage, &data)? {
        Some(mut stepped) => stepped.check(&Reading::of(plan, stage.model.as_deref(), encoder)),
        None => Ok(()),
    });
    // A suite is asked of every model that learns; what the one with the least room reads, all of them read.
    let asked = plan.stages.iter().filter(|stage| stage.kind.outline().is_evaluated());
    let models = asked.map(|stage| stage.model.as_deref());
    let read = models.map(|model| Reading::of(plan, model, encoder));
    let least = read.min_by_key(|reading| reading.context_length);
    let least = least.unwrap_or_else(|| Reading::of(plan, None, encoder));
    let suite = |suite| evaluate::check_inputs(plan, suite, &least, problems);
    let suites = plan.evals.iter().map(suite);
    stages.chain(suites).filter_map(Result::err).collect()
}

/// What a model of the run reads: the tokens of the policy, in a context of its own.
struct Reading<'e> {
    encoder: &'e dyn Encoder,
    context_length: usize,
}

impl<'e> Reading<'e> {
    fn of(plan: &RunPlan, model: Option<&str>, encoder: &'e dyn Encoder) -> Self {
        let further = model.and_then(|name| plan.models.get(name));
        let of_policy = || encoder.context_length();
        let context_length = further.map_or_else(of_policy, |model| model.context_length);
        Self { encoder, context_length }
    }
}

impl Encoder for Reading<'_> {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError> {
        self.encoder.encode(text)
    }
    fn decode(&self, tokens: &[u32]) -> String {
        self.encoder.decode(tokens)
    }
    fn eos(&self) -> u32 {
        self.encoder.eos()
    }
    fn bos(&self) -> Option<u32> {
        self.encoder.bos()
    }
    fn context_length(&self) -> usize {
        self.context_length
    }
}

/// The stages from a cursor on, with their positions.
fn ahead<'p>(
    plan: &'p RunPlan,
    from: &Cursor,
) -> impl Iterator<Item = (usize, &'p StagePlan)> + use<'p> {
    plan.stages.iter().enumerate().skip(plan.stage_index(from).unwrap_or_default())
}

fn planned(plan: &RunPlan, index: usize, stage: &StagePlan) -> Result<(), PortError> {
    let (place, outline) = (stage_place(&stage.id), stage.kind.outline());
    plan.weights_before(index)
        .and_then(|_| plan.check_parts(index))
        .map_err(|error| TrainError::Weights { place: place.clone(), error })?;
    let greedy = |rollouts: Rollouts<'_>| rollouts.sampling.temperature <= 0.0;
    // Who has a teacher needs no others to compare a completion with.
    let compares = outline.learning.is_some() && outline.teacher.is_none();
    if compares && outline.rollouts.is_some_and(greedy) {
        return Err(TrainError::GreedyRollouts { place }.into());
    }
    let works = outline.changes_weights() || outline.rollouts.is_some();
    if works || !outline.suites.is_empty() {
        let model = plan.model_of(stage);
        let model = model.map_err(|error| TrainError::Weights { place: place.clone(), error })?;
        check_head(model, outline.head, &place)?;
    }
    if let Some(critic) = outline.critic {
        let place = format!("{place}, critic");
        let model = plan.model_of_critic(index, critic);
        let model = model.map_err(|error| TrainError::Weights { place: place.clone(), error })?;
        check_head(model, HeadPlan::Value, &place)?;
    }
    for reference in &outline.data {
        check_data(plan, index, reference, &place)?;
    }
    for id in outline.rewards {
        check_judge(plan, index, &reward_by_id(plan, id, &place)?, &place)?;
    }
    outline.suites.iter().try_for_each(|id| evaluate::suite_by_id(plan, id, &place).map(drop))
}

/// An error unless the model has the head that somebody works with.
fn check_head(model: &ModelPlan, needed: HeadPlan, place: &str) -> Result<(), PortError> {
    let found = model.head;
    if found == needed {
        return Ok(());
    }
    let (place, needed, found) = (place.to_owned(), needed.as_str(), found.as_str());
    Err(TrainError::Head { place, needed, found }.into())
}

/// An error unless what judges for a reward is there when the stage at a position begins.
fn check_judge(
    plan: &RunPlan,
    index: usize,
    reward: &RewardPlan,
    place: &str,
) -> Result<(), PortError> {
    let Some(id) = reward.reward_model() else { return Ok(()) };
    let trains_it = |stage: &StagePlan| stage.id == id && stage.kind.outline().values.is_some();
    if plan.stages[..index].iter().any(trains_it) {
        return Ok(());
    }
    let (place, reward, stage) = (place.to_owned(), reward.id.clone(), id.to_owned());
    Err(TrainError::NoRewardModel { place, reward, stage }.into())
}

/// An error unless the data is there when the stage at a position begins.
fn check_data(
    plan: &RunPlan,
    index: usize,
    reference: &DataRef,
    place: &str,
) -> Result<(), PortError> {
    let id = &reference.data;
    let above = plan.stages[..index].iter().any(|stage| stage.id == *id);
    match plan.maker(id) {
        Some(_) if !above => {
            let (place, maker) = (place.to_owned(), id.clone());
            Err(TrainError::NotMadeYet { place, maker }.into())
        }
        _ => Ok(()),
    }
}
