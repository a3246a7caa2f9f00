//! A question in SQL: what a person or a script may ask the store, which reads and does not write.

use std::path::Path;
use std::time::Duration;

use r1x_store::{Mode, SqlQuery, Store, statements};

use super::{Read, Target, failed, said};

/// The target.
pub const TARGET: Target = Target {
    name: "sql",
    reads: "questions to the store in SQL",
    files: &[],
    words: &[
        "SELECT ",
        "FROM v_runs ",
        "WITH RECURSIVE ",
        "(",
        ")",
        ";",
        "'",
        "\"",
        "--",
        "/*",
        "*/",
        ":run",
        ":run_id",
        "?1",
        "ATTACH ",
        "PRAGMA ",
        "randomblob(999999999)",
        "zeroblob(1000000000)",
        "printf('%.*c', 999999999, 'x')",
        "UNION ALL ",
        "GLOB ",
        "\0",
        "group_concat(",
        "json_each('",
        "load_extension('x')",
        "writefile('x','y')",
    ],
    make,
};

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let store = Store::open(&folder.join("store.sqlite"), Mode::Write).map_err(failed)?;
    let read = move |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        statements(&text);
        let time_limit = Duration::from_millis(500);
        let query = SqlQuery { time_limit, limit: Some(50), ..SqlQuery::new(&text) };
        said(store.sql_table(&query))
    };
    Ok((Box::new(read), Vec::new()))
}
