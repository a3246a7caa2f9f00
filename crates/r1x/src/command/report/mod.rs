//! `r1x report`: a run as one page that stands by itself, for people who have neither the store nor r1x.
//!
//! Must not change the store. Nothing of the page is fetched or run by who opens it: curves are drawn here, and what models,
//! data and rewards said is text, whatever it looks like.

mod curves;
mod page;
mod samples;

use std::path::Path;

use r1x_store::{RunCard, Store};

use crate::args::Global;
use crate::failure::{Failure, code};
use crate::{diagnosis, plans, stores};

/// Writes the page of a run.
///
/// # Errors
/// When there is no such run, or the file cannot be written.
pub fn report(global: &Global, run: &str, output: Option<&Path>) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let mut card = store.run_card(run)?;
    diagnosis::add(&store, &mut card)?;
    let name = format!("{}.html", card.run.name);
    let path = output.unwrap_or(Path::new(&name));
    let html = html(&store, &card)?;
    std::fs::write(path, html).map_err(|error| Failure::io(path, &error))?;
    eprintln!("wrote {}", path.display());
    Ok(0)
}

/// The page as a text.
fn html(store: &Store, card: &RunCard) -> Result<String, Failure> {
    let spec = store.spec(&card.run.name)?;
    let curves = curves::of(store, card)?;
    let samples = samples::of(store, card, plans::plan_of(store, &card.run.name).ok().as_ref())?;
    let started = store.started(&card.run.name)?;
    page::render(card, (&spec, &started), &curves, &samples).map_err(|error| {
        let message = format!("the page cannot be written: {error}");
        Failure::new(code::INTERNAL, message, "please report this")
    })
}
