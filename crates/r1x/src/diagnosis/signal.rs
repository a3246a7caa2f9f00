//! What a stage learnt from.

use super::{Looked, percent};
use crate::failure::Failure;
use crate::notice::Notice;
use crate::number::number;

/// The share of groups without a signal from which on it is told.
const SILENT: f64 = 0.5;

/// A loss below this share of what moves the weights says nothing.
const NEAR_ZERO: f64 = 0.05;

/// Groups whose completions all earned the same.
pub fn none(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(course) = looked.course("zero_signal")? else { return Ok(None) };
    if course.last <= SILENT {
        return Ok(None);
    }
    let place = (looked.card.run.run_id, looked.stage.index);
    let silent = looked.store.silent_groups(place, looked.last_tenth())?;
    let best = silent.best as f64 / silent.groups.max(1) as f64;
    let hint = match best > 0.5 {
        true => {
            "most of these problems are solved: take harder ones, or draw others in their place (`resample`)"
        }
        false => {
            "most of these problems are never solved: take easier ones, warm up on worked examples (a stage `sft`), or \
             sample more of each (`group_size`)"
        }
    };
    Ok(Some(Notice::new(
        format!(
            "{}: in the last tenth of the steps {} of the groups taught nothing, because all of their completions earned the \
             same; {} of them earned the most that any completion did",
            looked.place(),
            percent(course.last),
            percent(best),
        ),
        hint,
    )))
}

/// A loss that is near 0 because it has to be.
pub fn loss(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let (Some(loss), Some(clipped), Some(gradient)) =
        (looked.course("loss")?, looked.course("clip_fraction")?, looked.course("grad_norm")?)
    else {
        return Ok(None);
    };
    if clipped.most > 0.0 || loss.size > NEAR_ZERO || gradient.last == 0.0 {
        return Ok(None);
    }
    Ok(Some(Notice::new(
        format!(
            "{}: the loss is near 0 all the way ({} on average), and that is right",
            looked.place(),
            number(loss.size)
        ),
        format!(
            "with one update a step the policy is the one that sampled, and the advantages of a group add up to 0; what it \
             learns shows in the rewards and in the gradient (norm {} at the end)",
            number(gradient.last)
        ),
    )))
}
