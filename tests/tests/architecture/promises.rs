//! Sentences of ARCHITECTURE.md and of file headers that can be tested, each next to the code that would break it.
//!
//! A rule that is only written down is broken by the first change that nobody compares with it.

use super::assert_none;
use super::sources::{Source, all, lines_with};

/// Every shipped line of some files that contains one of the words.
fn places(of: impl Fn(&Source) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside() && of(source)) {
        for word in words {
            let lines = lines_with(source.shipped(), word);
            found.extend(lines.iter().map(|line| format!("{}:{line}: `{word}`", source.path)));
        }
    }
    found
}

#[test]
fn core_is_pure() {
    let impure = ["std::fs", "std::thread", "std::net", "std::time", "std::process", "std::env"];
    let violations = places(|source| source.home() == "r1x-core", &impure);
    assert_none(&violations, "r1x-core has no file, thread, socket, clock, process or environment");
}

#[test]
fn a_plan_has_no_defaults() {
    // The attribute is looked for as it is written, since contents of literals are not part of the code.
    let of = |source: &Source| source.path.starts_with("crates/r1x-core/src/plan/");
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside() && of(source)) {
        for (at, line) in source.text.lines().enumerate() {
            let attribute = line.trim_start().starts_with("#[serde(");
            if attribute && (line.contains("default") || line.contains("skip")) {
                violations.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(
        &violations,
        "a plan says everything: older plans are completed in plan/version.rs",
    );
}

#[test]
fn kinds_of_stage_are_told_apart_where_they_are_at_home() {
    const HOMES: [&str; 3] = [
        "crates/r1x-core/src/plan/stage/",
        "crates/r1x-spec/src/resolve/stages.rs",
        "crates/r1x-train/src/stage/mod.rs",
    ];
    let elsewhere = |source: &Source| {
        source.home() != "bench" && !HOMES.iter().any(|home| source.path.starts_with(home))
    };
    let violations = places(elsewhere, &["StageKind::"]);
    assert_none(&violations, "whoever is not a table of the kinds asks a stage for its outline");
}

/// The words of the kinds in SQL, where a new kind would be passed over in silence.
#[test]
fn the_store_decides_nothing_by_the_kind_of_a_stage() {
    let words = ["sft", "grpo", "evaluate"].map(|word| format!("'{word}'"));
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside() && source.home() != "xtask") {
        for (at, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                violations.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(&violations, "a query asks what a stage has recorded, not of which kind it is");
}

#[test]
fn plans_are_defined_in_core() {
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside() && source.home() != "r1x-core") {
        for (at, line) in source.shipped().lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let defines = words.any(|word| word == "struct" || word == "enum");
            if defines && words.next().is_some_and(|name| name.ends_with("Plan")) {
                violations.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(&violations, "what a plan says is defined in r1x-core, under plan/");
}

/// Tables that hold facts of a run. Whoever writes to them without the recorder would make facts that no digest covers.
const FACTS: [&str; 13] = [
    "step",
    "metric",
    "rollout_group",
    "rollout",
    "rollout_payload",
    "selection",
    "reward",
    "eval_run",
    "eval_sample",
    "eval_reward",
    "eval_result",
    "prompt",
    "checkpoint",
];

#[test]
fn facts_are_written_in_one_place() {
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside()) {
        if source.path.starts_with("crates/r1x-store/src/record") {
            continue;
        }
        for (at, line) in source.text.lines().enumerate() {
            let Some((_, into)) = line.split_once("INTO ") else { continue };
            let table = into.split(|c: char| !c.is_alphanumeric() && c != '_').next();
            if line.contains("INSERT") && table.is_some_and(|table| FACTS.contains(&table)) {
                violations.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(
        &violations,
        "only record.rs of the store and what is below it write facts, for the recorder",
    );
}

/// What is written to a recorded fact later: the cost of a step, which it cannot contain itself, and the mark that an
/// evaluation was made again. A problem goes once no run is left that was asked it; the runs themselves go whole, with
/// the row that everything of a run belongs to. What rollouts said may go when a person says so, and their step says then
/// what went.
const LATER: [&str; 6] = [
    "UPDATE step SET store_ms",
    "UPDATE eval_run SET superseded",
    "DELETE FROM prompt WHERE prompt_id NOT IN",
    "UPDATE rollout_payload",
    "DELETE FROM rollout_payload",
    "UPDATE step SET rows_sha256 = ?, dropped = ?",
];

#[test]
fn recorded_facts_are_not_rewritten() {
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside()) {
        for (at, line) in source.text.lines().enumerate() {
            for verb in ["UPDATE ", "DELETE FROM ", "INSERT OR REPLACE INTO "] {
                let Some((_, into)) = line.split_once(verb) else { continue };
                let table = into.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let is_later = LATER.iter().any(|later| line.contains(later));
                if table.is_some_and(|table| FACTS.contains(&table)) && !is_later {
                    violations.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
                }
            }
        }
    }
    assert_none(&violations, "facts are only added; what is written later is listed here");
}

/// Values that a whole process shares, and why each may be.
const SHARED: [(&str, &str); 9] = [
    ("crates/r1x/src/output.rs", "where a command prints"),
    ("crates/r1x-build/src/scratch.rs", "numbers names of scratch folders"),
    ("crates/r1x-build/src/files.rs", "numbers names of files under way"),
    ("crates/r1x-reward/src/cache.rs", "numbers names of files under way"),
    ("crates/r1x-ops/src/simd.rs", "which instructions the processor has is asked once"),
    ("crates/r1x-spec/src/codes.rs", "the codes of errors, which never change"),
    ("crates/r1x-store/src/open.rs", "the migrations, which never change"),
    ("bench/src/main.rs", "counts allocations"),
    ("fuzz/src/child.rs", "what a panic said, in a process of its own"),
];

#[test]
fn what_a_process_shares_is_listed() {
    let mut violations = Vec::new();
    for source in all().iter().filter(|source| !source.is_beside()) {
        for (at, line) in source.shipped().lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_static = words.iter().take(2).any(|word| *word == "static");
            let shared = SHARED.iter().any(|(path, _)| *path == source.path);
            if is_static && line.contains(':') && !shared && source.home() != "plugins" {
                violations.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(
        &violations,
        "no globals: what is shared by a process is listed here with its reason",
    );
}
