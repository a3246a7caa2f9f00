//! The dependency table between crates, compared with what cargo says.
//!
//! Everything not listed is forbidden; a new dependency is a new word here, seen in review.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::sources::{self, Source};
use super::{assert_none, root};

/// What each crate may depend on outside its tests: crates of this repository, then others.
const ALLOWED: &[(&str, &[&str], &[&str])] = &[
    ("r1x-core", &[], &["serde", "serde_json", "sha2", "thiserror"]),
    (
        "r1x-spec",
        &["r1x-core"],
        &["saphyr-parser", "serde", "serde_json", "serde_norway", "strsim", "unicode-width"],
    ),
    ("r1x-files", &[], &[]),
    ("r1x-weights", &["r1x-files"], &["half", "serde", "serde_json", "thiserror"]),
    ("r1x-ops", &[], &["candle-core", "half", "thiserror"]),
    (
        "r1x-model",
        &["r1x-core", "r1x-files", "r1x-ops", "r1x-weights"],
        &[
            "base64",
            "candle-core",
            "candle-nn",
            "half",
            "safetensors",
            "serde",
            "serde_json",
            "thiserror",
            "tokenizers",
        ],
    ),
    (
        "r1x-build",
        &["r1x-core", "r1x-files"],
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
        &["r1x-core", "r1x-files"],
        &[
            "miniz_oxide",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "tracing",
            "wasmparser",
            "wasmtime",
        ],
    ),
    (
        "r1x-tasks",
        &["r1x-core", "r1x-files"],
        &["minijinja", "minijinja-contrib", "parquet", "serde", "serde_json", "sha2", "thiserror"],
    ),
    ("r1x-train", &["r1x-core"], &["thiserror"]),
    (
        "r1x-store",
        &["r1x-core", "r1x-files"],
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
            "zstd",
        ],
    ),
    (
        "r1x",
        &[
            "r1x-build",
            "r1x-core",
            "r1x-files",
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
            "indicatif",
            "minijinja",
            "nix",
            "parquet",
            "plotters",
            "regex",
            "rustyline",
            "serde",
            "serde_json",
            "signal-hook",
            "terminal_size",
            "toml",
            "tracing",
            "tracing-subscriber",
            "unicode-segmentation",
            "unicode-width",
        ],
    ),
    (
        "r1x-bench",
        &[
            "r1x",
            "r1x-core",
            "r1x-model",
            "r1x-ops",
            "r1x-reward",
            "r1x-store",
            "r1x-train",
            "r1x-weights",
        ],
        &["clap", "half", "serde", "serde_json", "tempfile"],
    ),
    (
        "r1x-fuzz",
        &[
            "r1x",
            "r1x-core",
            "r1x-model",
            "r1x-reward",
            "r1x-spec",
            "r1x-store",
            "r1x-tasks",
            "r1x-weights",
        ],
        &["clap", "nix", "serde_json", "tempfile"],
    ),
    ("xtask", &["r1x-build"], &["serde", "serde_json"]),
    ("r1x-tests", &["r1x-core"], &[]),
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

/// Dependencies that no source names, because they are there to turn a feature on, and which.
const FOR_FEATURES: &[(&str, &str)] = &[
    ("serde_json", "native tests of plugins read the rewards of their cases to the last bit"),
    ("num_traits", "proptest without `std` computes with it"),
];

/// A dependency as a manifest declares it.
struct Declared {
    package: String,
    /// Where the package lies, from the top of the repository.
    folder: String,
    /// What sources call it.
    name: String,
    /// `normal`, `dev` or `build`.
    kind: String,
    /// Whether the manifest asks for features of it.
    featured: bool,
}

/// What the packages of one workspace declare.
fn declared(manifest: &str) -> Vec<Declared> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest];
    let metadata: Value =
        serde_json::from_str(&cargo(&arguments)).unwrap_or_else(|error| panic!("{error}"));
    let texts = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let top = root().canonicalize().unwrap_or_else(|error| panic!("{error}"));
    let mut found = Vec::new();
    for package in list(&metadata["packages"]) {
        let manifest = texts(&package["manifest_path"]);
        let folder = manifest.trim_end_matches("Cargo.toml").trim_end_matches('/');
        let folder = folder.trim_start_matches(&top.display().to_string()).trim_start_matches('/');
        for dependency in list(&package["dependencies"]) {
            let renamed = dependency["rename"].as_str().or(dependency["name"].as_str());
            found.push(Declared {
                package: texts(&package["name"]),
                folder: folder.to_owned(),
                name: renamed.unwrap_or_default().replace('-', "_"),
                kind: dependency["kind"].as_str().unwrap_or("normal").to_owned(),
                featured: !list(&dependency["features"]).is_empty(),
            });
        }
    }
    found
}

/// Whether code reaches into a crate: `name::thing`, or `use name`.
fn reaches(code: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let whole = !before.ends_with(part) && !after.starts_with(part);
        whole && (after.starts_with("::") || before.ends_with("use "))
    })
}

impl Declared {
    /// The code of a file that may use it; nothing where it may not.
    fn code<'a>(&self, source: &'a Source) -> &'a str {
        let inside = source.path.strip_prefix(&self.folder).and_then(|rest| rest.strip_prefix('/'));
        match (inside, self.kind.as_str()) {
            (Some("build.rs"), "build") | (Some(_), "dev") => &source.code,
            (Some(file), "normal") if file.starts_with("src/") => source.shipped(),
            _ => "",
        }
    }

    fn is_for_features(&self) -> bool {
        self.featured && FOR_FEATURES.iter().any(|(name, _)| *name == self.name)
    }
}

#[test]
fn every_dependency_is_used_where_it_is_declared() {
    let sources = sources::all();
    let all: Vec<Declared> =
        ["Cargo.toml", "plugins/Cargo.toml"].into_iter().flat_map(declared).collect();
    assert!(all.len() > 50, "cargo tells of {} dependencies only", all.len());
    let unused = all.iter().filter(|one| {
        !one.is_for_features() && !sources.iter().any(|source| reaches(one.code(source), &one.name))
    });
    let violations: Vec<String> = unused
        .map(|one| {
            format!("{} declares {} ({}) and never names it", one.package, one.name, one.kind)
        })
        .collect();
    assert_none(&violations, "a dependency that nothing uses is taken out of its Cargo.toml");
}

#[test]
fn a_crate_is_named_by_its_paths_and_imports() {
    for (code, name, expected) in [
        ("use serde::Serialize;", "serde", true),
        ("let value = serde_json::to_string(&x);", "serde_json", true),
        ("let value = serde_json::to_string(&x);", "serde", false),
        ("let half = 0.5; half.floor()", "half", false),
        ("my_half::x()", "half", false),
        ("use half;", "half", true),
    ] {
        assert_eq!(reaches(code, name), expected, "{code}");
    }
}
