//! `r1x plugin inspect`: what a component is and says.
//!
//! Must not score anything.

use std::path::Path;

use r1x_core::shown;
use r1x_reward::PluginInfo;
use serde_json::{Value, json};

use super::{Opened, open};
use crate::display::{Fields, Page};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::table;

/// Prints what is known of a plugin without asking it to judge.
///
/// # Errors
/// When it is none.
pub fn inspect(path: &Path, json: bool) -> Result<i32, Failure> {
    let opened = open(path)?;
    if json {
        output::json(&object(&opened).to_string());
    } else {
        output::page(Stream::Out, &page(&opened));
    }
    Ok(0)
}

fn needs(info: &PluginInfo) -> Vec<&'static str> {
    let all = [
        ("prompt", info.needs.prompt),
        ("metadata", info.needs.metadata),
        ("groups", info.needs.groups),
    ];
    all.into_iter().filter(|(_, needed)| *needed).map(|(name, _)| name).collect()
}

/// What it asks for, and whether its manifest says so.
fn asks(opened: &Opened) -> String {
    let asks = opened.plugin.asks();
    if let Some(disagreement) = crate::capability::disagreement(&opened.source, asks) {
        return disagreement;
    }
    let words: Vec<&str> = asks.iter().map(|one| one.as_str()).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

fn object(opened: &Opened) -> Value {
    let (plugin, info) = (&opened.plugin, opened.plugin.info());
    json!({
        "name": info.name,
        "version": info.version,
        "description": info.description,
        "sha256": plugin.sha256(),
        "bytes": plugin.bytes().len(),
        "imports": plugin.imports(),
        "exports": plugin.exports(),
        "needs": needs(info),
        "columns": info.columns,
        "optional_columns": info.optional_columns,
        "parts": info.parts,
        "min": info.min,
        "max": info.max,
        "config_schema": info
            .config_schema
            .as_deref()
            .and_then(|schema| serde_json::from_str::<Value>(schema).ok()),
        "capabilities": plugin.asks().iter().map(|one| one.as_str()).collect::<Vec<_>>(),
    })
}

fn page(opened: &Opened) -> Page {
    let (plugin, info) = (&opened.plugin, opened.plugin.info());
    let list = |names: &[String]| match names {
        [] => "-".to_owned(),
        names => names.join(", "),
    };
    let bound = |bound: Option<f64>| bound.map_or("..".to_owned(), |bound| bound.to_string());
    let needs = needs(info).join(", ");
    let rows = [
        ("component", opened.built.wasm.display().to_string()),
        ("sha256", plugin.sha256().to_owned()),
        ("size", table::bytes(plugin.bytes().len() as u64)),
        ("imports", list(&plugin.imports())),
        ("exports", list(&plugin.exports())),
        ("asks for", asks(opened)),
        ("columns", list(&info.columns)),
        ("optional", list(&info.optional_columns)),
        ("needs", if needs.is_empty() { "-".to_owned() } else { needs }),
        ("range", format!("{} to {}", bound(info.min), bound(info.max))),
        ("parts", list(&info.parts)),
        ("config", info.config_schema.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    let mut fields = Fields::default();
    for (name, value) in rows {
        // A line break in a name would begin a line like those of r1x.
        fields.add(name, shown::line(&value));
    }
    let mut page = Page::default();
    page.line(format!("{} {}", info.name, info.version));
    page.text("  ", &info.description).blank().fields(fields);
    page
}
