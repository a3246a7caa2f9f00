//! `r1x check`: everything that can be known to be wrong before a run.
//!
//! Must not run anything.

use std::time::Instant;

use crate::cli::{Global, SpecArgs};
use crate::failure::Failure;
use crate::{session, table};

/// Checks a spec and the plugins and data it names.
///
/// # Errors
/// Everything wrong, printed at once.
pub fn check(global: &Global, spec: &SpecArgs) -> Result<i32, Failure> {
    let began = Instant::now();
    let world = session::world(1)?;
    let resolved = session::resolved(global, spec, &world)?;
    let plan = &resolved.plan;
    for (path, took) in world.compiled() {
        eprintln!("compiled {path} in {}", table::seconds(took.as_secs_f64()));
    }
    let plural =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    println!(
        "ok  {}  {}, {}, {}  ({:.0} ms)",
        spec.spec.display(),
        plural(plan.stages.len(), "stage"),
        plural(plan.rewards.len(), "reward"),
        plural(plan.evals.len(), "suite"),
        began.elapsed().as_secs_f64() * 1e3,
    );
    Ok(0)
}
