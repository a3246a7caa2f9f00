//! `r1x cache`: what is kept on this machine to be quick, and how to be rid of it.

use std::path::Path;
use std::time::SystemTime;

use crate::cache::{self, Entry};
use crate::display::{Fields, Page, Table};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::{hosting, table};

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// How much there is of each kind.
    Sums,
    /// Every entry.
    List,
    /// Nothing left.
    Clear,
}

/// Shows or clears the cache.
///
/// # Errors
/// When something cannot be removed, or this machine has no place for a cache.
pub fn cache(wanted: Wanted, limit_bytes: u64) -> Result<i32, Failure> {
    let Some(root) = hosting::cache_root() else {
        let hint = "set HOME, or XDG_CACHE_HOME to an absolute path";
        return Err(Failure::new(code::INPUT, "there is no place for a cache", hint));
    };
    let mut page = Page::default();
    match wanted {
        Wanted::Clear => return clear(&root),
        Wanted::List => page.table(list(&cache::entries(&root))),
        Wanted::Sums => page.table(sums(&cache::entries(&root))),
    };
    let used: u64 = cache::entries(&root).iter().map(|entry| entry.bytes).sum();
    let mut fields = Fields::default();
    fields.add("place", root.display().to_string());
    fields.add(
        "used",
        format!("{} of {} (R1X_CACHE_LIMIT)", table::bytes(used), table::bytes(limit_bytes)),
    );
    for (path, bytes) in cache::tools(&root) {
        let said = format!("{} in {}, put there by hand", table::bytes(bytes), path.display());
        fields.add("beside", said);
    }
    page.blank().fields(fields);
    output::page(Stream::Out, &page);
    Ok(0)
}

fn clear(root: &Path) -> Result<i32, Failure> {
    let (freed, result) = cache::clear(root);
    println!("removed {} entries, {}", freed.entries, table::bytes(freed.bytes));
    match result {
        Ok(()) => Ok(0),
        Err(error) => Err(Failure::io(root, &error)),
    }
}

fn sums(entries: &[Entry]) -> Table {
    let mut rows: Vec<(&str, u64, u64)> = Vec::new();
    for entry in entries {
        match rows.iter_mut().find(|(what, ..)| *what == entry.what) {
            Some((_, count, bytes)) => (*count, *bytes) = (*count + 1, *bytes + entry.bytes),
            None => rows.push((entry.what, 1, entry.bytes)),
        }
    }
    let row = |(what, count, bytes): (&str, u64, u64)| {
        vec![what.to_owned(), table::count(count), table::bytes(bytes)]
    };
    let rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
    Table::of(&["kind", "entries", "size"], &rows)
}

fn list(entries: &[Entry]) -> Table {
    let now = SystemTime::now();
    let row = |entry: &Entry| {
        let age = now.duration_since(entry.used).unwrap_or_default();
        vec![
            entry.what.to_owned(),
            entry.name.chars().take(12).collect(),
            table::bytes(entry.bytes),
            table::age(age),
        ]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    Table::of(&["kind", "name", "size", "last used"], &rows).whole(&["kind", "name"])
}
