//! The dependency table between crates, compared with what cargo says.
//!
//! Everything not listed is forbidden; a new dependency is a new word here, seen in review. Must not know
//! versions or features.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::{assert_none, root};

/// What each crate may depend on outside its tests: crates of this repository, then others.
const ALLOWED: &[(&str, &[&str], &[&str])] = &[
    ("r1x-core", &[], &["serde", "thiserror"]),
    (
        "r1x-spec",
        &["r1x-core"],
        &["saphyr-parser", "serde", "serde_json", "serde_norway", "strsim"],
    ),
    ("r1x-ops", &[], &["candle-core", "half", "thiserror"]),
    (
        "r1x-model",
        &["r1x-core", "r1x-ops"],
        &[
            "candle-core",
            "candle-nn",
            "half",
            "safetensors",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "tokenizers",
        ],
    ),
    (
        "r1x-build",
        &[],
        &[
            "miniz_oxide",
            "nix",
            "serde",
            "serde_json",
            "sha2",
            "strsim",
            "thiserror",
            "toml",
            "wit-component",
            "wit-parser",
        ],
    ),
    (
        "r1x-reward",
        &["r1x-core"],
        &["miniz_oxide", "serde", "serde_json", "sha2", "thiserror", "tracing", "wasmtime"],
    ),
    ("r1x-tasks", &["r1x-core"], &["minijinja", "serde_json", "sha2", "thiserror"]),
    ("r1x-train", &["r1x-core"], &["thiserror"]),
    (
        "r1x-store",
        &["r1x-core"],
        &[
            "futures-util",
            "serde",
            "serde_json",
            "sha2",
            "sqlx",
            "strsim",
            "thiserror",
            "tokio",
            "tracing",
            "uuid",
        ],
    ),
    (
        "r1x",
        &[
            "r1x-build",
            "r1x-core",
            "r1x-model",
            "r1x-ops",
            "r1x-reward",
            "r1x-spec",
            "r1x-store",
            "r1x-tasks",
            "r1x-train",
        ],
        &[
            "clap",
            "clap_complete",
            "ctrlc",
            "indicatif",
            "plotters",
            "rustyline",
            "serde",
            "serde_json",
            "sha2",
            "terminal_size",
            "tracing",
            "tracing-subscriber",
            "unicode-segmentation",
            "unicode-width",
        ],
    ),
    (
        "r1x-bench",
        &["r1x-core", "r1x-model", "r1x-ops", "r1x-reward", "r1x-spec", "r1x-store", "r1x-train"],
        &["clap", "half", "serde", "serde_json", "tempfile"],
    ),
    ("xtask", &["r1x-build"], &["serde", "serde_json", "sha2"]),
    ("r1x-tests", &[], &["insta", "serde_json", "tempfile"]),
];

/// Crates that only a build with the `cuda` feature may contain.
const CUDA_ONLY: &[&str] = &["bindgen_cuda", "candle-kernels", "cudaforge", "cudarc"];

/// Runs cargo without network in the repository and returns what it prints.
fn cargo(arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(program).args(arguments).arg("--offline").current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("cargo does not start: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("cargo's output: {error}"))
}

/// Packages of the workspace with their dependencies as (name, is it for tests only).
fn packages() -> BTreeMap<String, Vec<(String, bool)>> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let texts = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let dependencies = |package: &Value| {
        let entry = |d: &Value| (texts(&d["name"]), d["kind"].as_str() == Some("dev"));
        list(&package["dependencies"]).iter().map(entry).collect()
    };
    let packages = list(&metadata["packages"]);
    packages.iter().map(|package| (texts(&package["name"]), dependencies(package))).collect()
}

#[test]
fn crates_depend_on_what_the_table_allows() {
    let packages = packages();
    let mut violations = Vec::new();
    for (name, dependencies) in &packages {
        let Some((_, ours, others)) = ALLOWED.iter().find(|(allowed, ..)| allowed == name) else {
            violations.push(format!("{name} is not in the table"));
            continue;
        };
        for (dependency, dev) in dependencies {
            let inside = packages.contains_key(dependency);
            // Tests may use other people's crates freely, but see no more of ours than the crate does.
            let allowed = if inside { ours.contains(&dependency.as_str()) } else { *dev };
            if !allowed && !others.contains(&dependency.as_str()) {
                violations.push(format!("{name} must not depend on {dependency}"));
            }
        }
        for stale in ours.iter().chain(*others) {
            if !dependencies.iter().any(|(dependency, _)| dependency == stale) {
                violations
                    .push(format!("{name} no longer depends on {stale}: take it out of the table"));
            }
        }
    }
    for (name, ..) in ALLOWED {
        if !packages.contains_key(*name) {
            violations.push(format!("{name} is in the table, but does not exist"));
        }
    }
    assert_none(&violations, "dependencies between crates are those of the table in this file");
}

#[test]
fn a_default_build_has_nothing_of_cuda() {
    let tree = cargo(&["tree", "--workspace", "--prefix", "none", "--edges", "normal,build"]);
    let named = |line: &str| CUDA_ONLY.iter().any(|name| line.split(' ').next() == Some(name));
    let violations: Vec<String> =
        tree.lines().filter(|line| named(line)).map(str::to_owned).collect();
    assert!(tree.contains("candle-core"), "cargo tree lists no candle: {tree}");
    assert_none(&violations, "CUDA comes with the feature `cuda` only");
}
