//! Components in the store: once each, compressed, and those of older stores as they were.

use super::errors::change;
use super::fixtures::*;
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
    for statement in [
        "DROP VIEW v_sweeps",
        "DROP TABLE sweep_run",
        "DROP TABLE sweep_member",
        "DROP TABLE sweep",
        "DROP VIEW v_stages",
        "DROP INDEX stage_key",
        "ALTER TABLE stage DROP COLUMN key_sha256",
        "ALTER TABLE stage DROP COLUMN reused_from",
        "DROP VIEW v_selections",
        "DROP TABLE selection",
        "ALTER TABLE environment DROP COLUMN kernels",
        "DROP VIEW v_checkpoints",
        "CREATE VIEW v_checkpoints AS SELECT 1",
        "ALTER TABLE checkpoint DROP COLUMN state_sha256",
        "ALTER TABLE plugin DROP COLUMN packing",
        "DROP VIEW v_runs",
        "CREATE VIEW v_runs AS SELECT 1",
        "DROP TABLE run_tag",
        "ALTER TABLE run DROP COLUMN note",
        "ALTER TABLE step DROP COLUMN rows_sha256",
        "ALTER TABLE eval_run DROP COLUMN rows_sha256",
        "DELETE FROM _sqlx_migrations WHERE version > 4",
        "PRAGMA user_version = 4",
    ] {
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
