//! Everything a run needs, made and checked before it begins.
//!
//! `check` and `run` both come through here, so that a spec one of them refuses is refused by the other, with the
//! same words: problems are loaded, plugins and judges wired, every text a step will meet is turned into tokens, and
//! every reward is asked about rows it will judge. Nothing here writes to the store.

use r1x_core::plan::{InitialWeights, RewardPlan, RunPlan};
use r1x_core::port::Cursor;
use r1x_core::{PortError, ProblemSource, PromptForm};
use r1x_model::ModelEncoder;
use r1x_reward::WasmRewarder;
use r1x_store::{PluginInput, Store};
use r1x_tasks::Problems;
use r1x_train::{Checked, Rehearsal, Unseen};
use serde_json::Value;

use crate::failure::Failure;
use crate::inputs::World;
use crate::memory::{self, Excess};
use crate::notice::Notice;
use crate::sizes::sizes;
use crate::{overlap, wiring};

/// Below this share, tokens that training never shows are those of any long text.
const UNSEEN_SHARE: f64 = 1e-3;

/// What opens a thought.
const THINK: &str = "<think>";

/// What a run begins with.
pub struct Prepared<'p> {
    /// The plan, in which nothing that can be known to fail is left.
    pub checked: Checked<'p>,
    /// The problems.
    pub problems: Problems,
    /// The rewards.
    pub rewarder: WasmRewarder,
    /// The plugins, for the record.
    pub plugins: Vec<PluginInput>,
    /// What the user should know.
    pub notices: Vec<Notice>,
}

/// How much of the CPU a run is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its threads.
    pub threads: usize,
    /// How many such runs go on at a time, each of which takes as much memory.
    pub runs: usize,
}

impl Share {
    /// One run that has all of these threads.
    pub fn alone(threads: usize) -> Self {
        Self { threads, runs: 1 }
    }
}

/// Prepares a new run of a plan with its share of the CPU. Components of rewards that are gone come from the
/// store of an earlier run, where there is one.
///
/// # Errors
/// Everything that would stop the run before its first step, as far as one can be looked for without the other.
pub fn prepare<'p>(
    plan: &'p RunPlan,
    world: &World,
    recorded: Option<&Store>,
    share: Share,
    excess: Excess,
) -> Result<Prepared<'p>, Failure> {
    let encoder = ModelEncoder::new(&plan.model).map_err(PortError::from)?;
    let problems = world.problems(plan, encoder.markup()).map_err(PortError::from)?;
    let too_much = check_memory(plan, (&encoder, &problems), share, excess)?;
    let (mut rewarder, plugins) = wiring::rewarder(plan, world, recorded)?;
    let checked = r1x_train::check(plan, &encoder, &problems, Cursor::default());
    let Rehearsal { errors: failed, tolerated } =
        r1x_train::rehearse(plan, &problems, &mut rewarder);
    let (checked, mut errors) = match checked {
        Ok(checked) => (Some(checked), Vec::new()),
        Err(errors) => (None, errors),
    };
    errors.extend(failed);
    let Some(checked) = checked.filter(|_| errors.is_empty()) else {
        return Err(Failure::all(errors.into_iter().map(Failure::from)));
    };
    let mut notices: Vec<Notice> = tolerated.iter().map(Notice::from).collect();
    notices.extend(too_much);
    notices.extend(opened_twice(plan, world, &problems)?);
    notices.extend(overlap::overlaps(plan, &problems)?);
    // What has learnt elsewhere has learnt tokens there.
    let unseen = match plan.model.initial {
        InitialWeights::Random => r1x_train::unseen(plan, &encoder, &problems)?,
        InitialWeights::Published { .. } | InitialWeights::Checkpoint { .. } => Vec::new(),
    };
    notices.extend(unseen.iter().filter(|one| one.share() >= UNSEEN_SHARE).map(never_learnt));
    Ok(Prepared { checked, problems, rewarder, plugins, notices })
}

/// Rewards that take completions to begin inside of a thought, though what the prompt gives of an answer is handed to
/// them with the completion, or gives no thought: each would be 0 for ever.
fn opened_twice(
    plan: &RunPlan,
    world: &World,
    problems: &Problems,
) -> Result<Vec<Notice>, PortError> {
    let mut found = Vec::new();
    for stage in &plan.stages {
        let outline = stage.kind.outline();
        // Data that a stage makes is not there yet; its problems are those of the stage that makes it.
        for data in outline.data.into_iter().filter(|data| plan.data.contains_key(&data.data)) {
            let first = problems.problems(&data.data, data.split)?.first();
            let asked = first.map(|problem| &problem.form);
            let Some(PromptForm::Messages { prefill }) = asked else { continue };
            let begun = match prefill.contains(THINK) {
                true => "begin with it",
                false => "have to open it themselves",
            };
            let rewards = outline.rewards.iter().filter_map(|id| plan.reward(id));
            let rewards = rewards.filter(|reward| takes_opened_thoughts(reward, world));
            found.extend(rewards.map(|reward| {
                Notice::new(
                    format!(
                        "stage `{}`: the reward `{}` takes the prompt to end with {THINK} (`prefilled`), but the \
                         completions for `{}` {begun}",
                        stage.id, reward.id, data.data
                    ),
                    format!("say rewards.{}.with: {{prefilled: false}}", reward.id),
                )
            }));
        }
    }
    Ok(found)
}

/// Whether the setting `prefilled` of a reward is on, by its configuration or else by what its plugin says of it.
fn takes_opened_thoughts(reward: &RewardPlan, world: &World) -> bool {
    let Some(planned) = reward.plugin() else { return false };
    let said: Value = serde_json::from_str(&planned.config).unwrap_or_default();
    let plugin = world.loaded(&planned.sha256);
    let schema = plugin.and_then(|plugin| plugin.info().config_schema.clone());
    let schema: Value =
        schema.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let default = &schema["properties"]["prefilled"]["default"];
    said["prefilled"].as_bool().or(default.as_bool()).unwrap_or(false)
}

/// Compares what a plan takes on the CPU with what this machine has.
///
/// # Errors
/// With the key to lower, when it takes more and nobody said to begin all the same.
pub fn check_memory(
    plan: &RunPlan,
    (encoder, problems): (&ModelEncoder, &Problems),
    share: Share,
    excess: Excess,
) -> Result<Option<Notice>, Failure> {
    let sizes = sizes(problems, Some(encoder));
    let needed = r1x_spec::memory(plan, &sizes, share.threads);
    let parameters = r1x_spec::parameters(&plan.model).total;
    memory::fits(&needed, parameters, share.runs, excess)
}

fn never_learnt(unseen: &Unseen) -> Notice {
    let examples: Vec<String> =
        unseen.examples.iter().map(|text| format!("`{}`", shown(text))).collect();
    Notice::new(
        format!(
            "eval `{}`: {:.1} % of the tokens of its problems ({} of {}, in {} of {} problems) occur in no training \
             problem, so the model never learns them; the most frequent: {}",
            unseen.suite,
            100.0 * unseen.share(),
            unseen.unseen,
            unseen.tokens,
            unseen.touched,
            unseen.problems,
            examples.join(", "),
        ),
        "where each word is a token, a new word is a new token: use `tokenizer: {file: ...}` with pieces smaller than \
         words, or train on problems that have these words",
    )
}

/// A piece of text on one line, cut.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    plain.take(24).collect()
}
