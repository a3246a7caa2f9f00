//! `r1x ls`: the runs of a store.
//!
//! Must not change them.

use crate::cli::Global;
use crate::failure::Failure;
use crate::{session, table};

/// Lists runs, newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn ls(global: &Global, json: bool) -> Result<i32, Failure> {
    let store = session::reading(global)?;
    let runs = store.runs()?;
    if json {
        println!("{}", session::json(&runs)?);
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                run.name.clone(),
                run.status.clone(),
                run.seed.to_string(),
                run.steps.to_string(),
                table::seconds(run.seconds),
                run.digest
                    .as_deref()
                    .map_or("-".to_owned(), |digest| digest[..12.min(digest.len())].to_owned()),
                run.spec_path.clone().unwrap_or_default(),
            ]
        })
        .collect();
    print!(
        "{}",
        table::render(&["run", "status", "seed", "steps", "time", "digest", "spec"], &rows)
    );
    Ok(0)
}
