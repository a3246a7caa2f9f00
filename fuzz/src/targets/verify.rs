//! The file of a store with rollouts in it: compared with what was written, as a whole.

use std::path::Path;

use r1x_store::{Depth, Mode, Store};

use super::store::{filled, put};
use super::{Read, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "verify",
    reads: "the SQLite file of a store that is compared with what was written",
    files: &[],
    words: super::store::WORDS,
    make,
};

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let seed = filled(&folder.join("original.sqlite"))?;
    let path = folder.join("store.sqlite");
    let read = move |input: &[u8]| {
        if let Err(error) = put(&path, input) {
            return error.to_string();
        }
        let verified = Store::open(&path, Mode::Read).and_then(|store| store.verify(Depth::Whole));
        match verified {
            Ok(verified) if verified.flaws.is_empty() => "ok".to_owned(),
            Ok(verified) => verified.flaws.iter().map(|flaw| format!("{}; ", flaw.what)).collect(),
            Err(error) => error.to_string(),
        }
    };
    Ok((Box::new(read), vec![seed]))
}
