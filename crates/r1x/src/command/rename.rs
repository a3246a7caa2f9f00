//! `r1x rename`: another name for a run and its folder. Its identity stays, and so does its digest.

use crate::args::Global;
use crate::failure::Failure;
use crate::stores;

/// Renames a run.
///
/// # Errors
/// When there is no such run, a program is at work on it, or the name cannot be one or is taken.
pub fn rename(global: &Global, run: &str, name: &str) -> Result<i32, Failure> {
    let store = stores::existing(global.store())?;
    let old = store.run(run)?.name;
    store.rename_run(&old, name)?;
    println!("{old} is called {name} now, and so is its folder");
    Ok(0)
}
