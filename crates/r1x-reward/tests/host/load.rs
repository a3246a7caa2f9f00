//! Files that are no plugin: each has its own message and a way to mend it.

use r1x_core::{Boundary, PortError};
use r1x_reward::{Fault, RewardError};

use crate::support::*;

/// The header of a component: magic, version 13, layer 1.
const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
/// Section ids of the component binary format.
const TYPES: u8 = 7;
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id, content.len() as u8], content].concat()
}

fn name(name: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes()].concat()
}

/// A component that imports one empty interface.
fn importing(interface: &str) -> Vec<u8> {
    let instance_type = section(TYPES, &[1, 0x42, 0]);
    let import = [&[1][..], &name(interface), &[5, 0]].concat();
    [HEADER, &instance_type, &section(IMPORTS, &import)].concat()
}

/// A component that exports the type `bool` under these names.
fn exporting(names: &[&str]) -> Vec<u8> {
    let bool_type = section(TYPES, &[1, 0x7f]);
    let one = |export: &&str| [&name(export)[..], &[3, 0, 0]].concat();
    let exports: Vec<u8> = names.iter().flat_map(one).collect();
    let exports = [&[names.len() as u8][..], &exports].concat();
    [HEADER, &bool_type, &section(EXPORTS, &exports)].concat()
}

fn load(bytes: &[u8]) -> RewardError {
    let error = host().load_bytes("tested", bytes.to_vec()).unwrap_err();
    assert!(error.to_string().starts_with("plugin tested: "), "{error}");
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn a_missing_file_is_named() {
    let error = host().load(path("plugins/nothing.wasm")).unwrap_err();
    assert!(matches!(error.fault, Fault::Unreadable(_)), "{error}");
    assert!(error.to_string().contains("nothing.wasm"), "{error}");
    let port = PortError::from(error);
    assert_eq!(port.boundary, Boundary::Data);
    assert!(port.hint.is_some());
}

#[test]
fn what_is_not_webassembly_is_refused() {
    assert!(matches!(load(b"def reward():").fault, Fault::NotWasm));
    assert!(matches!(load(b"").fault, Fault::Damaged(_)));
    assert!(matches!(load(b"\0asm\x01").fault, Fault::Damaged(_)));
}

#[test]
fn a_core_module_is_told_to_become_a_component() {
    let error = load(b"\0asm\x01\0\0\0");
    assert!(matches!(error.fault, Fault::CoreModule));
    assert!(error.hint().contains("component new"), "{}", error.hint());
}

#[test]
fn a_file_cut_anywhere_is_damaged() {
    let whole = std::fs::read(hostile_path()).unwrap();
    for length in [9, 100, whole.len() / 2, whole.len() - 1] {
        let error = load(&whole[..length]);
        let known = matches!(error.fault, Fault::Damaged(_) | Fault::WrongExports { .. });
        assert!(known, "{length}: {error}");
    }
}

#[test]
fn missing_exports_are_named_with_what_there_is() {
    let error = load(HEADER).to_string();
    assert!(error.contains("lacks the export info") && error.contains("none"), "{error}");
    let error = load(&exporting(&["info", "judge"])).to_string();
    assert!(error.contains("lacks the export configure"), "{error}");
    assert!(error.contains("info, judge"), "{error}");
}

#[test]
fn right_names_with_wrong_types_are_refused() {
    let error = load(&exporting(&["info", "configure", "score-batch"]));
    assert!(matches!(error.fault, Fault::WrongTypes(_)), "{error}");
}

#[test]
fn imports_are_named() {
    let error = load(&importing("wasi:http/types@0.2.0"));
    assert!(matches!(error.fault, Fault::Wasi(_)));
    assert!(error.to_string().contains("wasi:http/types@0.2.0"), "{error}");
    let error = load(&importing("wasi:io/poll@0.3.0"));
    assert!(matches!(error.fault, Fault::Wasi(_)), "{error}");
    let error = load(&importing("acme:tools/hammer@1.0.0"));
    assert!(matches!(error.fault, Fault::UnknownImport(_)), "{error}");
    let error = load(&importing("r1x:reward/crystal-ball@0.1.0"));
    assert!(matches!(error.fault, Fault::UnknownImport(_)), "{error}");
}

#[test]
fn another_version_of_the_contract_is_named() {
    let error = load(&importing("r1x:reward/log@0.2.0")).to_string();
    assert!(error.contains("speaks r1x:reward@0.2.0; this r1x speaks 0.1"), "{error}");
}
