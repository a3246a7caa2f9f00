//! `r1x check`: everything that can be known to be wrong before a run.
//!
//! Must not run anything.

use std::time::Instant;

use crate::cli::SpecArgs;
use crate::display::{Line, Page, Tone};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::{session, table};

/// Checks a spec and the plugins and data it names.
///
/// # Errors
/// Everything wrong, printed at once.
pub fn check(spec: &SpecArgs) -> Result<i32, Failure> {
    let began = Instant::now();
    let world = session::world(1)?;
    let resolved = session::resolved(spec, &world)?;
    let plan = &resolved.plan;
    for (path, took) in world.compiled() {
        eprintln!("compiled {path} in {}", table::seconds(took.as_secs_f64()));
    }
    let plural =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let said = format!(
        "  {}  {}, {}, {}  ({:.0} ms)",
        spec.spec.display(),
        plural(plan.stages.len(), "stage"),
        plural(plan.rewards.len(), "reward"),
        plural(plan.evals.len(), "suite"),
        began.elapsed().as_secs_f64() * 1e3,
    );
    let mut page = Page::default();
    page.line(Line::of(Tone::Good, "ok").and(Tone::Plain, said));
    output::page(Stream::Out, &page);
    Ok(0)
}
