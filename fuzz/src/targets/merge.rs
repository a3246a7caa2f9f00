//! The file of a store with rollouts in it: taken into another store, which must be what it was before, or whole with more
//! in it.

use std::path::Path;

use r1x_store::{Depth, Mode, Store};

use super::store::{filled, put};
use super::{Read, Target, failed};

/// The target.
pub const TARGET: Target = Target {
    name: "merge",
    reads: "the SQLite file of a store that is merged into another one",
    files: &[],
    words: super::store::WORDS,
    make,
};

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let seed = filled(&folder.join("original.sqlite"))?;
    let (path, into) = (folder.join("store.sqlite"), folder.join("into.sqlite"));
    let empty = {
        drop(Store::open(&into, Mode::Write).map_err(failed)?);
        std::fs::read(&into)?
    };
    let read = move |input: &[u8]| {
        if let Err(error) = put(&path, input).and_then(|()| put(&into, &empty)) {
            return error.to_string();
        }
        let store = match Store::open(&into, Mode::Write) {
            Ok(store) => store,
            Err(error) => return error.to_string(),
        };
        let merged = store.merge(&path);
        let runs = store.runs().map(|runs| runs.len());
        let verified = store.verify(Depth::Whole);
        match merged {
            Ok(merged) => {
                let flaws = verified.map(|verified| verified.flaws);
                // Other texts in place of those that were written are a flaw of what came, and are named.
                let flaws = flaws.map_or_else(
                    |error| error.to_string(),
                    |flaws| flaws.iter().map(|flaw| format!("{}; ", flaw.what)).collect(),
                );
                match (flaws.is_empty(), merged.imported.len()) {
                    (true, 1..) => "ok".to_owned(),
                    (_, count) => format!("{count} taken in, {flaws}"),
                }
            }
            Err(error) => {
                let untouched = matches!(runs, Ok(0))
                    && verified.is_ok_and(|verified| verified.flaws.is_empty());
                assert!(untouched, "what was refused has left something: {error}");
                error.to_string()
            }
        }
    };
    Ok((Box::new(read), vec![seed]))
}
