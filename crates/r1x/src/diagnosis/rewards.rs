//! Rewards that say nothing, or contradict each other.

use super::{Looked, percent};
use crate::failure::Failure;
use crate::notice::Notice;
use crate::number::number;

/// Two rewards disagree where the correlation of their values is below this.
const DISAGREE: f64 = -0.3;

/// The least rollouts from which a correlation is taken.
const LEAST_ROLLOUTS: u64 = 200;

/// The most rollouts from which a correlation is taken, the newest ones.
const MOST_ROLLOUTS: u64 = 4_096;

/// The share of rollouts without a total from which on it is told.
const UNSCORED: f64 = 0.05;

/// The rewards of the stage, by id.
fn ids<'l>(looked: &'l Looked<'_>) -> impl Iterator<Item = &'l str> {
    let id = |metric: &'l str| metric.strip_prefix("reward.")?.strip_suffix(".mean");
    looked.metrics().filter_map(id)
}

/// A reward that was 0 for every completion.
pub fn never(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let mut never = Vec::new();
    for id in ids(looked) {
        let course = looked.course(&format!("reward.{id}.mean"))?;
        if course.is_some_and(|course| course.size == 0.0) {
            never.push(format!("`{id}`"));
        }
    }
    if never.is_empty() {
        return Ok(None);
    }
    Ok(Some(Notice::new(
        format!("{}: {} gave 0 to every completion", looked.place(), never.join(" and ")),
        format!(
            "{} shows what was written; where the prompt ends with `<think>`, a reward of format needs \
             `with: {{prefilled: true}}`, and where the task is too hard for the model as it is, a stage of `sft` comes first",
            looked.look()
        ),
    )))
}

/// A reward that said one number of every completion, which is not 0.
pub fn constant(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let mut constant = Vec::new();
    for id in ids(looked) {
        let Some(course) = looked.course(&format!("reward.{id}.mean"))? else { continue };
        if course.least == course.most && course.size > 0.0 {
            constant.push(format!("`{id}` ({})", number(course.least)));
        }
    }
    if constant.is_empty() {
        return Ok(None);
    }
    Ok(Some(Notice::new(
        format!(
            "{}: {} is one number for every step, so it taught nothing",
            looked.place(),
            constant.join(" and ")
        ),
        "leave it out, or let it judge what completions differ in",
    )))
}

/// Rewards that fall where others rise.
pub fn disagree(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    if looked.stage.rollouts == 0 {
        return Ok(None);
    }
    let place = (looked.card.run.run_id, looked.stage.index);
    let pairs = looked.store.reward_pairs(place, MOST_ROLLOUTS)?;
    let least = pairs.into_iter().filter(|pair| pair.rollouts >= LEAST_ROLLOUTS);
    let least = least.min_by(|a, b| a.correlation.total_cmp(&b.correlation));
    let Some(pair) = least.filter(|pair| pair.correlation < DISAGREE) else { return Ok(None) };
    Ok(Some(Notice::new(
        format!(
            "{}: `{}` falls where `{}` rises (correlation {} over the last {} rollouts)",
            looked.place(),
            pair.first,
            pair.second,
            number(pair.correlation),
            pair.rollouts
        ),
        "what one pays for, the other takes back: look at completions that one of them likes, and weigh the two by what is \
         wanted",
    )))
}

/// Rollouts that no reward could judge.
pub fn unscored(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(course) = looked.course("reward.unscored")? else { return Ok(None) };
    let rollouts = looked.stage.rollouts as f64 / looked.stage.steps.max(1) as f64;
    let share = course.size / rollouts.max(1.0);
    Ok((share > UNSCORED).then(|| {
        Notice::new(
            format!("{}: {} of the rollouts have no total", looked.place(), percent(share)),
            "r1x sql \"SELECT reward, status, info, count(*) FROM v_rewards WHERE run = :run AND status != 'ok' GROUP BY 1, 2, 3 \
             ORDER BY 4 DESC\" says why",
        )
    }))
}
