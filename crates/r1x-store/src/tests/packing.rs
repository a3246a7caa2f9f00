//! Components in the store: once each, compressed, and those of older stores as they were.

use super::errors::change;
use super::fixtures::*;
use super::sittings::WITHOUT_SCHEMA_8;
use crate::{PluginInput, RunStart, StoreError};

/// A component that is larger than what is in it.
fn large() -> PluginInput {
    PluginInput { bytes: b"\0asm and much of it again. ".repeat(20_000), ..plugin("large", 1.0) }
}

fn with_large() -> RunStart {
    let mut start = start();
    start.plugins.push(large());
    start
}

#[test]
fn a_component_is_kept_once_and_compressed() {
    let place = Place::new();
    let store = place.write();
    drop(store.begin_run(with_large()).unwrap());
    drop(store.begin_run(with_large()).unwrap());
    let sizes = "SELECT count(*) * 1000 + sum(length(wasm)) * 20 / sum(bytes) FROM plugin WHERE name = 'large-plugin'";
    assert_eq!(number(&store, sizes), 1000, "one row, less than a twentieth of its bytes");
    let large = large();
    assert_eq!(number(&store, "SELECT max(bytes) FROM v_plugins"), large.bytes.len() as i64);
    assert_eq!(store.plugin_bytes(&large.sha256).unwrap(), Some(large.bytes));
    assert_eq!(store.plugin_bytes("gone").unwrap(), None);
}

#[test]
fn components_of_an_older_store_are_read_as_they_are() {
    let place = Place::new();
    drop(run_of_steps(&place.write(), 1));
    let equation = plugin("equation", 1.0);
    let older = [
        "DROP VIEW v_checkpoints",
        "CREATE VIEW v_checkpoints AS SELECT 1",
        "ALTER TABLE checkpoint DROP COLUMN state_sha256",
        "ALTER TABLE plugin DROP COLUMN packing",
        "DELETE FROM _sqlx_migrations WHERE version > 4",
        "PRAGMA user_version = 4",
    ];
    for statement in WITHOUT_SCHEMA_8.into_iter().chain(older) {
        change(&place, statement);
    }
    let store = place.write();
    assert_eq!(store.plugin_bytes(&equation.sha256).unwrap(), Some(equation.bytes));
}

#[test]
fn a_component_that_cannot_be_unpacked_is_told() {
    let place = Place::new();
    drop(place.write().begin_run(with_large()).unwrap());
    change(&place, "UPDATE plugin SET wasm = x'28b52ffd00' WHERE name = 'large-plugin'");
    let error = place.read().plugin_bytes(&large().sha256).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&large().sha256), "{error}");
}
