//! The samples of a report: what the model wrote at the beginning, in the middle and at the end of a stage, token by token,
//! and what each reward said of it.

use r1x_core::plan::RunPlan;
use r1x_model::ModelEncoder;
use r1x_store::{GroupDetail, RolloutDetail, RunCard, Store};

use crate::failure::Failure;
use crate::number::optional;
use crate::pieces::{Piece, encoder_of, pieces};

/// Completions of a group at most: the best and the worst of them.
const MOST_SAMPLES: usize = 4;

/// Tokens of a completion that are shown; what comes behind is counted.
const MOST_TOKENS: usize = 1_500;

/// One group of rollouts.
#[derive(Debug, serde::Serialize)]
pub struct Group {
    /// Id of the stage.
    pub stage: String,
    /// The step.
    pub step: u64,
    /// The address by which `r1x show` finds it.
    pub address: String,
    /// What was asked.
    pub prompt: String,
    /// The right answer, where there is one.
    pub gold: Option<String>,
    /// Completions that were sampled.
    pub sampled: usize,
    /// The ones that are shown.
    pub samples: Vec<Sample>,
}

/// One completion.
#[derive(Debug, serde::Serialize)]
pub struct Sample {
    /// Position in the group.
    pub sample: i64,
    /// Total of the rewards.
    pub reward: String,
    /// Advantage.
    pub advantage: String,
    /// How it ended.
    pub ended: String,
    /// The text in pieces.
    pub pieces: Vec<Piece>,
    /// Tokens that are not shown.
    pub left_out: usize,
    /// What each reward said.
    pub rewards: Vec<Said>,
}

/// What a reward said.
#[derive(Debug, serde::Serialize)]
pub struct Said {
    /// Id in the spec.
    pub reward: String,
    /// Its value.
    pub value: String,
    /// Its part of the total.
    pub adds: String,
    /// Why it has no value, or a sentence of the reward.
    pub info: String,
}

/// Samples of every stage of a run that samples. The plan says how tokens become text; without one, texts are not in pieces.
///
/// # Errors
/// When the store cannot be read.
pub fn of(store: &Store, card: &RunCard, plan: Option<&RunPlan>) -> Result<Vec<Group>, Failure> {
    let mut groups = Vec::new();
    let recorded = store.rollout_steps(&card.run.name)?;
    for stage in card.stages.iter().filter(|stage| stage.rollouts > 0 && stage.steps > 0) {
        let encoder = plan.and_then(|plan| encoder_of(plan, &stage.name));
        let stage = stage.name.as_str();
        // An imported run may have any steps, not only those from 0 on.
        let of_stage = recorded.iter().filter(|step| step.stage == stage);
        let steps: Vec<u64> = of_stage.map(|step| step.step.cast_unsigned()).collect();
        let last = steps.len().saturating_sub(1);
        let mut places = vec![0, last / 2, last];
        places.dedup();
        for step in places.into_iter().filter_map(|place| steps.get(place).copied()) {
            if let Some(group) = telling(store, card, stage, step)? {
                groups.push(shown(store, card, group, encoder.as_ref())?);
            }
        }
    }
    Ok(groups)
}

/// The first group of a step whose completions earned different totals; the first one where all are alike.
fn telling(
    store: &Store,
    card: &RunCard,
    stage: &str,
    step: u64,
) -> Result<Option<GroupDetail>, Failure> {
    let step_card = store.step(&card.run.name, Some(stage), step)?;
    let differs = |lowest: Option<f64>, highest: Option<f64>| lowest < highest;
    let telling = step_card.groups.iter().find(|group| differs(group.lowest, group.highest));
    let Some(group) = telling.or(step_card.groups.first()) else { return Ok(None) };
    let group = group.group.cast_unsigned();
    Ok(Some(store.group(&card.run.name, Some(stage), step, group)?))
}

fn shown(
    store: &Store,
    card: &RunCard,
    group: GroupDetail,
    encoder: Option<&ModelEncoder>,
) -> Result<Group, Failure> {
    let run = card.run.name.as_str();
    let mut order: Vec<(f64, i64)> = group
        .samples
        .iter()
        .map(|sample| (sample.reward.unwrap_or(f64::NEG_INFINITY), sample.sample))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let ends = MOST_SAMPLES / 2;
    if order.len() > MOST_SAMPLES {
        order.drain(ends..order.len() - ends);
    }
    let mut samples = Vec::new();
    for (_, sample) in order {
        let place = (group.group.group.cast_unsigned(), sample.cast_unsigned());
        let detail = store.rollout(run, Some(&group.stage), group.step, place.0, place.1)?;
        samples.push(sample_of(&detail, encoder));
    }
    Ok(Group {
        address: format!("{run}@{}.{}", group.step, group.group.group),
        stage: group.stage,
        step: group.step,
        prompt: group.group.prompt,
        gold: group.group.gold,
        sampled: group.samples.len(),
        samples,
    })
}

fn sample_of(detail: &RolloutDetail, encoder: Option<&ModelEncoder>) -> Sample {
    let whole = || Piece { text: detail.said().to_owned(), level: None, title: String::new() };
    let pieces = match (encoder, &detail.tokens) {
        (Some(encoder), Some(tokens)) => {
            pieces(encoder, &tokens[..tokens.len().min(MOST_TOKENS)], detail.logprobs.as_deref())
        }
        _ => vec![whole()],
    };
    let shown = encoder.and(detail.tokens.as_ref()).map_or(0, |tokens| tokens.len());
    let rewards = detail.rewards.iter().map(|reward| Said {
        reward: reward.name.clone(),
        value: optional(reward.value),
        adds: optional(reward.contribution),
        info: match reward.status.as_str() {
            "ok" => reward.info.clone().unwrap_or_default(),
            status => {
                [status, reward.info.as_deref().unwrap_or_default()].join(" ").trim().to_owned()
            }
        },
    });
    Sample {
        sample: detail.sample,
        reward: optional(detail.reward),
        advantage: optional(detail.advantage),
        ended: format!("{} after {} tokens", detail.finish, detail.n_tokens),
        pieces,
        left_out: shown.saturating_sub(MOST_TOKENS),
        rewards: rewards.collect(),
    }
}
