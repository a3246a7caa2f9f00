//! `r1x report`: a run as one page that stands by itself, for people who have neither the store nor r1x.
//!
//! Must not change the store. Nothing of the page is fetched or run by who opens it: curves are drawn here, and what models,
//! data and rewards said is text, whatever it looks like.

mod curves;
mod page;
mod samples;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use r1x_files::whole::{self, Existing};
use r1x_store::{RunCard, Store};

use crate::args::Global;
use crate::failure::{Failure, code};
use crate::{diagnosis, plans, stores};

/// What a report says at its beginning that no other page says.
const MARK: &str = r#"<meta name="generator" content="r1x report">"#;

/// As much of a file as is looked at to tell a report.
const HEAD_BYTES: u64 = 1024;

/// Writes the page of a run. It takes the place of an earlier report, and of nothing else.
///
/// # Errors
/// When there is no such run, or the file cannot be written.
pub fn report(global: &Global, run: &str, output: Option<&Path>) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let mut card = store.run_card(run)?;
    diagnosis::add(&store, &mut card)?;
    let name = format!("{}.html", card.run.name);
    let path = output.unwrap_or(Path::new(&name));
    if whole::is_taken(path) && !is_report(path) {
        return Err(Failure::new(
            code::INPUT,
            format!("{} is there already, and is no report of r1x", path.display()),
            "name another file with `-o`; a report takes the place of an earlier one",
        ));
    }
    let html = html(&store, &card)?;
    let fill = |file: &mut File| {
        file.write_all(html.as_bytes()).map_err(|error| Failure::io(path, &error))
    };
    whole::write(path, Existing::Replaced, fill, |error| Failure::io(path, &error))?;
    eprintln!("wrote {}", path.display());
    Ok(0)
}

/// Whether a file says at its beginning that it is a report.
fn is_report(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.is_ok() && String::from_utf8_lossy(&head).contains(MARK)
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
