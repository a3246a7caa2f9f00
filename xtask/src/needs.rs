//! Tests that need something not every machine has: run where it is, and named where it is not.
//!
//! Such a test is ignored with a reason, `#[ignore = "needs X"]`, so that an ordinary run shows it as ignored instead of
//! passed. This task finds these tests in the sources, asks the machine for each X, and runs the tests of what is
//! there. It fails when one of them fails, and when one was not run. Other ignored tests, the children of tests that
//! start a process, are not its business.

mod machine;
mod sources;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::Context;
use crate::failure::Failure;
use machine::{NEEDS, Need};
use sources::Needy;

/// A set of test programs that one call of cargo builds.
struct Suite {
    /// What cargo is told before the arguments of the tests.
    cargo: &'static str,
    holds: fn(&Needy) -> bool,
}

const SUITES: [Suite; 3] = [
    Suite {
        cargo: "--release --workspace",
        holds: |test| !test.is_of_plugins() && !test.needs_a_card(),
    },
    Suite {
        cargo: "--manifest-path plugins/Cargo.toml --workspace --target-dir target/plugins",
        holds: Needy::is_of_plugins,
    },
    Suite {
        cargo: "--release --target-dir target/cuda --features r1x/cuda -p r1x -p r1x-model -p r1x-ops",
        holds: Needy::needs_a_card,
    },
];

/// Runs what this machine can run.
pub fn run(context: &Context) -> Result<(), Failure> {
    let tests = sources::needy(&context.root)?;
    let mut by_need: BTreeMap<&str, Vec<&Needy>> = BTreeMap::new();
    for test in &tests {
        by_need.entry(&test.need).or_default().push(test);
    }
    let (mut able, mut lacking) = (Vec::new(), Vec::new());
    for (need, tests) in by_need {
        let Need { find, .. } = known(need, tests[0])?;
        match find() {
            Ok(()) => able.extend(tests),
            Err(reason) => lacking.push(format!("{need} ({} tests; {reason})", tests.len())),
        }
    }
    let mut passed = 0;
    for suite in &SUITES {
        let wanted: Vec<&Needy> = able.iter().copied().filter(|test| (suite.holds)(test)).collect();
        if !wanted.is_empty() {
            passed += suite.run(context, &wanted)?;
        }
    }
    println!("{passed} tests passed that need what this machine has");
    if !lacking.is_empty() {
        println!("not exercised, for want of: {}", lacking.join(", "));
    }
    Ok(())
}

fn known(need: &str, test: &Needy) -> Result<&'static Need, Failure> {
    NEEDS.iter().find(|known| known.name == need).ok_or_else(|| {
        Failure::new(
            format!("{}: `{}` needs {need}, which nobody knows how to find", test.file, test.name),
            "add a row to NEEDS in xtask/src/needs/machine.rs",
        )
    })
}

impl Suite {
    /// Runs tests and returns how many passed.
    fn run(&self, context: &Context, wanted: &[&Needy]) -> Result<usize, Failure> {
        let listed =
            self.cargo(context, &["--ignored", "--list", "--format", "terse"], Echo::Off)?;
        let listed: Vec<&str> =
            listed.iter().filter_map(|line| line.strip_suffix(": test")).collect();
        let mut paths = Vec::new();
        for test in wanted {
            let found = test.among(&listed);
            if found.is_empty() {
                return Err(Failure::new(
                    format!("{}: no test program has the test `{}`", test.file, test.name),
                    "is its file part of a crate, and its `#[test]` unconditional?",
                ));
            }
            paths.extend(found);
        }
        let exact = [&["--ignored", "--exact"], &paths[..]].concat();
        let lines = self.cargo(context, &exact, Echo::On)?;
        let passed = lines.iter().filter_map(|line| passed(line)).sum();
        // A path may stand in two programs, so there may be more.
        if passed >= paths.len() {
            return Ok(passed);
        }
        Err(Failure::new(format!("{passed} of {} tests ran", paths.len()), "see what is above"))
    }

    /// What the test programs print.
    fn cargo(
        &self,
        context: &Context,
        arguments: &[&str],
        echo: Echo,
    ) -> Result<Vec<String>, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let failed = |what: String| Failure::new(what, "its messages are above");
        let mut child = Command::new(cargo)
            .args(["test", "--locked"])
            .args(self.cargo.split(' '))
            .args(["--lib", "--bins", "--tests", "--"])
            .args(arguments)
            .current_dir(&context.root)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cargo does not start: {error}")))?;
        let mut lines = Vec::new();
        for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
            let line = line.map_err(|error| failed(format!("cargo's output: {error}")))?;
            if echo == Echo::On && !line.trim().is_empty() && !is_idle(&line) {
                println!("{line}");
            }
            lines.push(line);
        }
        let status = child.wait().map_err(|error| failed(format!("cargo: {error}")))?;
        if status.success() { Ok(lines) } else { Err(failed(format!("the tests fail ({status})"))) }
    }
}

/// Whether the lines of a program are printed again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

/// Whether a line is of a test program that has none of the tests.
fn is_idle(line: &str) -> bool {
    line == "running 0 tests" || passed(line) == Some(0) && line.starts_with("test result: ok")
}

/// How many tests passed, from the last line of a test program.
fn passed(line: &str) -> Option<usize> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    counts.split_once(" passed")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_of_the_sources_is_known_and_every_known_one_is_of_use() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let tests = sources::needy(root.as_ref()).unwrap();
        assert!(tests.len() > 50, "{} tests", tests.len());
        for test in &tests {
            known(&test.need, test).unwrap();
        }
        for need in NEEDS {
            assert!(tests.iter().any(|test| need.name == test.need), "{}", need.name);
        }
    }

    #[test]
    fn results_are_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out";
        assert_eq!(passed(line), Some(12));
        assert!(!is_idle(line));
        let line = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out";
        assert!(is_idle(line) && is_idle("running 0 tests"));
        assert_eq!(passed("test a::b ... ok"), None);
    }
}
