//! Whatever people type, it is split and read without a panic, and nothing that runs changes the store.

use std::cell::Cell;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::lexer::{parse, split};
use super::{SqlQuery, Value};
use crate::error::StoreError;
use crate::{Mode, Store};

/// What statements are made of, and what a lexer trips over.
const SCRAPS: [&str; 34] = [
    "SELECT",
    "select 1",
    "WITH x AS (SELECT 1) ",
    "VALUES (1)",
    "EXPLAIN ",
    "PRAGMA ",
    "table_info",
    "DELETE FROM run",
    "; ",
    ";",
    "(",
    ")",
    "'",
    "\"",
    "`",
    "[",
    "]",
    "--",
    "/*",
    "*/",
    "\n",
    " ",
    ":run",
    ":",
    "@n",
    "$x",
    "?",
    "?1",
    "''",
    ".",
    ",",
    "é",
    "🦀",
    "\0",
];

fn text() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        8 => select(&SCRAPS[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from)
    ];
    vec(scrap, 0..30).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn any_text_is_split_into_statements_in_order_and_a_rest_without_one(text in text()) {
        let (statements, rest) = split(&text);
        let mut behind = 0;
        for statement in &statements {
            prop_assert!(statement.ends_with(';'));
            let at = statement.as_ptr().addr() - text.as_ptr().addr();
            prop_assert!(at >= behind, "statements overlap");
            behind = at + statement.len();
            prop_assert_eq!(split(statement), (vec![*statement], ""));
        }
        prop_assert!(text[behind..].ends_with(rest));
        prop_assert_eq!(split(rest), (Vec::new(), rest));
        // What is taken for one query is no more than one.
        if parse(&text).is_ok() {
            prop_assert!(statements.len() <= 1);
            prop_assert!(statements.is_empty() || parse(rest).is_err());
        }
    }
}

/// Statements, most of which would change something where they are let.
const STATEMENTS: [&str; 24] = [
    "SELECT 1",
    "SELECT * FROM run",
    "DELETE FROM run",
    "INSERT INTO metric_key (name) SELECT 'a'",
    "INSERT INTO metric_key (name) VALUES ('a') RETURNING *",
    "UPDATE run SET name = 'a'",
    "REPLACE INTO metric_key (name) VALUES ('a')",
    "DROP TABLE run",
    "DROP VIEW v_runs",
    "ALTER TABLE run RENAME TO other",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t (a)",
    "CREATE INDEX i ON run (name)",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "ANALYZE",
    "REINDEX",
    "ATTACH 'other.db' AS other",
    "DETACH main",
    "BEGIN IMMEDIATE",
    "SAVEPOINT s",
    "COMMIT",
    "SELECT writefile('a', 'b')",
    "SELECT load_extension('x')",
];
const PRAGMAS: [&str; 24] = [
    "application_id",
    "auto_vacuum",
    "cache_size",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "incremental_vacuum",
    "integrity_check",
    "journal_mode",
    "locking_mode",
    "optimize",
    "page_size",
    "quick_check",
    "query_only",
    "recursive_triggers",
    "schema_version",
    "secure_delete",
    "synchronous",
    "table_info",
    "temp_store",
    "trusted_schema",
    "user_version",
    "wal_checkpoint",
    "writable_schema",
];
const VALUES: [&str; 8] = ["0", "1", "7", "run", "'delete'", "OFF", "TRUNCATE", "'UTF-16'"];

fn statement() -> impl Strategy<Value = String> {
    let plain = select(&STATEMENTS[..]).prop_map(str::to_owned);
    let pragma =
        (select(&["", "main.", "temp."][..]), select(&PRAGMAS[..]), select(&VALUES[..]), 0..4_u8)
            .prop_map(|(schema, name, value, form)| match form {
                0 => format!("PRAGMA {schema}{name}"),
                1 => format!("PRAGMA {schema}{name} = {value}"),
                2 => format!("PRAGMA {schema}{name}({value})"),
                _ => format!("SELECT * FROM pragma_{name}({value})"),
            });
    let head = select(
        &[
            "",
            "WITH x AS (SELECT 1) ",
            "EXPLAIN ",
            "EXPLAIN QUERY PLAN ",
            "/* SELECT */ ",
            "-- SELECT\n",
            " ;",
            "SELECT 1; ",
        ][..],
    );
    (head, prop_oneof![2 => plain, 1 => pragma], any::<bool>()).prop_map(
        |(head, statement, lower)| {
            let statement = if lower { statement.to_lowercase() } else { statement };
            format!("{head}{statement}")
        },
    )
}

/// What changes when anybody writes: the version of the data as another connection sees it, what the store holds, and
/// the files beside it.
fn state(reader: &Store, folder: &Path) -> (Vec<Vec<Value>>, Vec<std::ffi::OsString>) {
    let text = "SELECT (SELECT data_version FROM pragma_data_version), (SELECT count(*) FROM run),
                (SELECT count(*) FROM metric_key), (SELECT count(*) FROM sqlite_schema),
                (SELECT journal_mode FROM pragma_journal_mode), (SELECT user_version FROM pragma_user_version)";
    let rows = reader.sql_table(&SqlQuery::new(text)).unwrap().rows;
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    (rows, names)
}

#[test]
fn nothing_that_runs_changes_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r1x.db");
    let store = Store::open(&path, Mode::Write).unwrap();
    let reader = Store::open(&path, Mode::Read).unwrap();
    let before = state(&reader, folder.path());
    let (ran, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config::with_cases(512));
    let outcome = runner.run(&statement(), |text| {
        match store.sql_table(&SqlQuery::new(&text)) {
            Ok(_) => ran.set(ran.get() + 1),
            Err(StoreError::Writes { .. } | StoreError::Query { .. }) => {
                refused.set(refused.get() + 1)
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
        prop_assert_eq!(&state(&reader, folder.path()), &before);
        Ok(())
    });
    outcome.unwrap();
    let (ran, refused) = (ran.get(), refused.get());
    assert!(ran > 50 && refused > 200, "{ran} ran and {refused} were refused");
}
