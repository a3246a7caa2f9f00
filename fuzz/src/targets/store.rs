//! The file of a store: opened for reading, and asked what `ls`, `show` and `sql` ask.

use std::path::Path;
use std::time::Duration;

use r1x_store::{Environment, Mode, RunStart, SqlQuery, Store};

use super::{Read, Target, failed, said};

/// The target.
pub const TARGET: Target = Target {
    name: "store",
    reads: "the SQLite file of a store",
    files: &[],
    words: &["CREATE TABLE ", "CREATE VIEW v_runs AS ", "CREATE TRIGGER ", "SQLite format 3\0"],
    make,
};

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let original = folder.join("original.sqlite");
    {
        let store = Store::open(&original, Mode::Write).map_err(failed)?;
        store.begin_run(start()).map_err(failed)?;
    }
    let seed = std::fs::read(&original)?;
    let path = folder.join("store.sqlite");
    let read = move |input: &[u8]| {
        for left in ["sqlite-wal", "sqlite-shm"] {
            let _ = std::fs::remove_file(path.with_extension(left));
        }
        if let Err(error) = std::fs::write(&path, input) {
            return error.to_string();
        }
        match Store::open(&path, Mode::Read) {
            Ok(store) => asked(&store),
            Err(error) => error.to_string(),
        }
    };
    Ok((Box::new(read), vec![seed]))
}

fn asked(store: &Store) -> String {
    let runs = match store.runs() {
        Ok(runs) => runs,
        Err(error) => return error.to_string(),
    };
    for run in runs.iter().take(3) {
        if let Err(error) = store.run_card(&run.name) {
            return error.to_string();
        }
        if let Err(error) = store.spec(&run.name) {
            return error.to_string();
        }
    }
    let time_limit = Duration::from_millis(500);
    let query = SqlQuery { time_limit, limit: Some(50), ..SqlQuery::new("SELECT * FROM v_runs") };
    said(store.tables().and_then(|_| store.sql_table(&query)))
}

fn start() -> RunStart {
    RunStart {
        name: "fuzz".to_owned(),
        seed: 1,
        spec_path: None,
        spec_text: "r1x: 1".to_owned(),
        overrides: Vec::new(),
        plan_json: r#"{"record":{"text":true,"tokens":true,"logprobs":true}}"#.to_owned(),
        plan_sha256: "0".repeat(64),
        environment: Environment::default(),
        datasets: Vec::new(),
        plugins: Vec::new(),
        parent: None,
        member: None,
        folder: None,
    }
}
