//! Experts of a mixture that no token reaches.

use super::{Looked, percent};
use crate::failure::Failure;
use crate::notice::Notice;

/// The share of dead experts from which on it is told.
const DEAD: f64 = 0.05;

/// Experts that get next to no token at the end of the stage.
pub fn dead(looked: &Looked<'_>) -> Result<Option<Notice>, Failure> {
    let Some(course) = looked.course("moe.dead.max")? else { return Ok(None) };
    if course.last < DEAD {
        return Ok(None);
    }
    let used = looked.course("moe.utilisation.min")?;
    let used = used.map_or_else(String::new, |used| {
        format!("; {} of them have any at all", percent(used.last))
    });
    Ok(Some(Notice::new(
        format!(
            "{}: up to {} of the experts of a layer have less than a tenth of the mean load at the end{used}",
            looked.place(),
            percent(course.last)
        ),
        "r1x sql \"SELECT metric, value FROM v_metrics WHERE run = :run AND metric LIKE 'moe.dead.layer.%' ORDER BY step DESC\" \
         names the layers; a larger `bias_update_speed` or a `balance_loss` spreads the load",
    )))
}
