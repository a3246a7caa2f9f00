//! Asking pip: which packages requirements come to, and their files.
//!
//! Only wheels are taken, so nothing of a package runs on this machine: it is unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::lock::{Lock, Pin};
use super::marker::ENVIRONMENT;
use super::requirement::Requirement;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::language::python;
use crate::scratch::{Stage, absolute};
use crate::tool::{self, Ran};

/// The variable that names a Python with pip.
pub(crate) const VARIABLE: &str = "R1X_PYTHON";
/// Runs pip for the sandbox.
const WRAPPER: &str = include_str!("pip.py");
const WRAPPER_FILE: &str = "pip_for_the_sandbox.py";
/// The first pip that writes what it would install into a file.
const OLDEST: (u32, u32) = (22, 2);
/// Looking packages up and fetching them waits for a network.
const DEADLINE: Duration = Duration::from_secs(600);
/// Settings of a user's pip that contradict what it is asked here. Where it finds packages is theirs to say.
const REMOVED: [&str; 10] = [
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_NO_BINARY",
    "PIP_REQUIRE_HASHES",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
    "PYTHONPATH",
];

/// Which files of packages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// Files in Python alone, which run anywhere.
    Pure,
    /// Also files for one usual machine, to learn what requirements come to where native code can run.
    Any,
}

/// Where native code can run: a usual machine, whatever this one is, so that the answer is the same everywhere.
const PLATFORMS: [&str; 10] = [
    "manylinux_2_39_x86_64",
    "manylinux_2_34_x86_64",
    "manylinux_2_31_x86_64",
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_24_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "linux_x86_64",
];

/// A Python with pip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pip {
    python: PathBuf,
}

/// A package that pip would install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What a lock says of it.
    pub(crate) pin: Pin,
    /// The name of its file.
    pub(crate) file: String,
    /// What it needs itself, as far as that can be read.
    pub(crate) needs: Vec<Requirement>,
}

impl Found {
    /// Whether its file runs anywhere: the tags at the end of a wheel's name say so.
    pub(crate) fn is_pure(&self) -> bool {
        let mut tags = self.file.trim_end_matches(".whl").rsplit('-');
        self.file.ends_with(".whl") && tags.next() == Some("any") && tags.next() == Some("none")
    }
}

impl Pip {
    /// The Python that the variable names, that of the packager, or one on the path.
    pub(crate) fn find(environment: &Environment) -> Result<Self, BuildError> {
        let named = environment.variable(VARIABLE).map(|named| absolute(Path::new(named)));
        let candidates = match named {
            Some(named) => vec![named?],
            None => vec![python::own_python(environment)?, "python3".into(), "python".into()],
        };
        let mut reason = String::new();
        for python in candidates {
            match version(&python) {
                Ok(version) if version >= OLDEST => return Ok(Self { python }),
                Ok((major, minor)) => {
                    reason = format!(
                        "{} has pip {major}.{minor}, and {}.{} is needed",
                        python.display(),
                        OLDEST.0,
                        OLDEST.1
                    );
                }
                Err(error) if reason.is_empty() => reason = error,
                Err(_) => {}
            }
        }
        Err(python::not_found(
            environment,
            format!("the packages of a reward are fetched with pip, which is not here: {reason}"),
        ))
    }

    /// What requirements come to.
    pub(crate) fn resolve(
        &self,
        stage: &Stage,
        requirements: &[Requirement],
        files: Files,
    ) -> Result<Result<Vec<Found>, String>, BuildError> {
        let mut command = self.command(stage, "install", files)?;
        command
            .args(["--dry-run", "--quiet", "--ignore-installed", "--report", "report.json"])
            .args(["--target", "nowhere", "--"])
            .args(requirements.iter().map(ToString::to_string));
        let ran = stage.run(".", &mut command, DEADLINE)?;
        if !ran.succeeded() {
            return Ok(Err(said(&ran)));
        }
        let report = stage.read("report.json")?;
        let report: Report = serde_json::from_slice(&report).map_err(|error| strange(&error))?;
        report.install.into_iter().map(Installed::found).collect::<Result<_, _>>().map(Ok)
    }

    /// Unpacks what a lock pins into a folder of the stage.
    pub(crate) fn fetch(
        &self,
        stage: &Stage,
        lock: &Lock,
        into: &str,
    ) -> Result<Result<(), String>, BuildError> {
        stage.write("requirements.txt", lock.packages().as_bytes())?;
        let mut command = self.command(stage, "install", Files::Pure)?;
        command.args(["--quiet", "--no-deps", "--require-hashes", "--no-compile"]).args([
            "--target",
            into,
            "-r",
            "requirements.txt",
        ]);
        let ran = stage.run(".", &mut command, DEADLINE)?;
        Ok(if ran.succeeded() { Ok(()) } else { Err(said(&ran)) })
    }

    fn command(&self, stage: &Stage, verb: &str, files: Files) -> Result<Command, BuildError> {
        stage.write(WRAPPER_FILE, WRAPPER.as_bytes())?;
        let values: serde_json::Map<String, Value> = ENVIRONMENT
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        let mut command = Command::new(&self.python);
        // The interpreter looks into its own folders only, not into what a user's environment adds.
        command.args(["-s", WRAPPER_FILE]).arg(Value::Object(values).to_string()).arg(verb);
        command.args(["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]);
        command.args(["--python-version", python::INTERPRETER, "--implementation", "cp"]);
        command.args(["--abi", "none", "--platform", "any"]);
        if files == Files::Any {
            command.args(["--abi", "abi3", "--abi", "cp314"]);
            command.args(PLATFORMS.iter().flat_map(|platform| ["--platform", *platform]));
        }
        for variable in REMOVED {
            command.env_remove(variable);
        }
        Ok(command)
    }
}

/// What pip complains about, without its warnings.
fn said(ran: &Ran) -> String {
    if let Some((took, _)) = ran.timed_out() {
        return format!("pip: {took}");
    }
    let output = ran.output();
    let errors: Vec<&str> = output.lines().filter(|line| line.starts_with("ERROR: ")).collect();
    if errors.is_empty() { output.trim().to_owned() } else { errors.join("\n") }
}

fn version(python: &Path) -> Result<(u32, u32), String> {
    let line = tool::ask(Command::new(python).args(["-m", "pip", "--version"]))?;
    read_version(&line).ok_or_else(|| format!("`{} -m pip` says {line}", python.display()))
}

/// The version in `pip 23.2.1 from ...`.
fn read_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("pip ")?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// pip's report of what it would install.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    install: Vec<Installed>,
}

#[derive(Deserialize)]
struct Installed {
    metadata: Metadata,
    download_info: Download,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
    #[serde(default)]
    requires_dist: Vec<String>,
}

#[derive(Deserialize)]
struct Download {
    url: String,
    archive_info: Option<Archive>,
}

#[derive(Deserialize)]
struct Archive {
    /// `sha256=...`, as older ones say it.
    hash: Option<String>,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

impl Installed {
    fn found(self) -> Result<Found, BuildError> {
        let Metadata { name, version, requires_dist } = self.metadata;
        let hash = self.download_info.archive_info.and_then(|archive| {
            let old = archive.hash.as_deref().and_then(|hash| hash.strip_prefix("sha256="));
            archive.hashes.get("sha256").cloned().or_else(|| old.map(str::to_owned))
        });
        let sha256 = hash.ok_or_else(|| strange(&format!("{name} {version} has no sha256")))?;
        let file = self.download_info.url.split(['#', '?']).next().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default().to_owned();
        let needs = requires_dist.iter().filter_map(|text| Requirement::parse(text).ok()).collect();
        Ok(Found { pin: Pin { name, version, sha256 }, file, needs })
    }
}

fn strange(error: &dyn std::fmt::Display) -> BuildError {
    BuildError::Failed {
        what: "pip's report cannot be used".to_owned(),
        output: error.to_string(),
        hint: "another version of pip may write it as r1x expects".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_would_be_installed() {
        let report = r#"{"version": "1", "install": [
            {"download_info": {"url": "https://x/a/b_c-1.0-py3-none-any.whl",
               "archive_info": {"hash": "sha256=aa", "hashes": {"sha256": "bb"}}},
             "requested": true,
             "metadata": {"name": "b.c", "version": "1.0",
               "requires_dist": ["d[x]>=1; extra == 'y'", "e @ https://x", "f"]}},
            {"download_info": {"url": "file:///w/d-2-cp314-cp314-manylinux_2_28_x86_64.whl#x",
               "archive_info": {"hash": "sha256=cc"}},
             "metadata": {"name": "d", "version": "2"}}]}"#;
        let report: Report = serde_json::from_str(report).unwrap();
        let found: Vec<Found> =
            report.install.into_iter().map(|one| one.found().unwrap()).collect();
        assert_eq!((found[0].pin.name.as_str(), found[0].pin.sha256.as_str()), ("b.c", "bb"));
        assert_eq!(found[0].needs.len(), 2);
        assert!(found[0].is_pure() && !found[1].is_pure());
        assert_eq!(found[1].file, "d-2-cp314-cp314-manylinux_2_28_x86_64.whl");
        assert_eq!(found[1].pin.sha256, "cc");
        let nothing: Report = serde_json::from_str("{}").unwrap();
        assert!(nothing.install.is_empty());
    }

    #[test]
    fn tags_tell_what_runs_anywhere() {
        for (file, expected) in [
            ("a-1.0-py3-none-any.whl", true),
            ("a-1.0-1-py2.py3-none-any.whl", true),
            ("a-1.0-cp314-cp314-any.whl", false),
            ("a-1.0-py3-none-manylinux2014_x86_64.whl", false),
            ("a-1.0-cp39-abi3-macosx_11_0_arm64.whl", false),
            ("a-1.0.tar.gz", false),
        ] {
            let pin = Pin { name: String::new(), version: String::new(), sha256: String::new() };
            let found = Found { pin, file: file.to_owned(), needs: Vec::new() };
            assert_eq!(found.is_pure(), expected, "{file}");
        }
    }

    #[test]
    fn versions_of_pip_are_read() {
        assert_eq!(read_version("pip 23.2.1 from /x (python 3.11)"), Some((23, 2)));
        assert_eq!(read_version("pip 26.0"), Some((26, 0)));
        assert_eq!(read_version("no pip"), None);
    }
}
