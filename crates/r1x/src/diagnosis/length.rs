//! Completions that do not end, or become longer and longer.

use super::{Looked, percent};
use crate::failure::Failure;
use crate::notice::Notice;
use crate::number::number;

/// The share of truncated completions from which on it is told.
const TRUNCATED: f64 = 0.2;

/// How much longer completions have to become, as a factor and in tokens.
const LONGER: (f64, f64) = (2.0, 20.0);

/// Completions that were cut off.
pub fn truncated(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(course) = looked.course("truncated")? else { return Ok(None) };
    Ok((course.last > TRUNCATED).then(|| {
        Notice::new(
            format!(
                "{}: {} of the completions in the last tenth of the steps were cut off at `max_tokens`, {} in the first",
                looked.place(),
                percent(course.last),
                percent(course.first)
            ),
            format!(
                "{} shows one; raise `sampling.max_tokens`, leave such completions out (`truncated: mask`), or let them cost \
                 something (the reward `length`)",
                looked.look()
            ),
        )
    }))
}

/// Completions that have become much longer.
pub fn explosion(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(tokens) = looked.course("tokens.mean")? else { return Ok(None) };
    let (factor, more) = LONGER;
    if tokens.last < factor * tokens.first || tokens.last - tokens.first < more {
        return Ok(None);
    }
    let reward = looked.course("reward.mean")?;
    let reward = reward.map_or_else(String::new, |reward| {
        format!("; the reward went from {} to {}", number(reward.first), number(reward.last))
    });
    Ok(Some(Notice::new(
        format!(
            "{}: completions grew from {} to {} tokens{reward}",
            looked.place(),
            number(tokens.first),
            number(tokens.last)
        ),
        "where length is not what is wanted: `aggregation: fixed_length` (Dr. GRPO) takes the premium off long wrong answers, \
         and the reward `length` lets tokens cost something",
    )))
}
