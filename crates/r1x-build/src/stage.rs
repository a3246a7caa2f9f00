//! A folder for one build: copies of the sources, what a tool is given beside them, and the tool running there.
//!
//! A tool may write to what it is given, so it is given copies and nothing else. Must not know any language.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::build::Environment;
use crate::error::BuildError;
use crate::files;
use crate::source::Source;

/// Builds take seconds; a module's top level may compute for a while.
pub(crate) const DEADLINE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// All sources together; they travel in every component.
const MAX_SOURCE_BYTES: u64 = 64 << 20;

/// A folder that is removed with the value.
pub(crate) struct Stage {
    folder: PathBuf,
}

/// How a tool ended.
pub(crate) struct Ran {
    /// `None` when it took longer than the deadline.
    status: Option<ExitStatus>,
    /// What it wrote to both streams.
    pub(crate) output: String,
}

impl Ran {
    pub(crate) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    pub(crate) fn timed_out(&self) -> bool {
        self.status.is_none()
    }
}

impl Stage {
    /// An empty folder in the cache.
    pub(crate) fn new(environment: &Environment, kind: &str) -> Result<Self, BuildError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let stage = Self { folder: absolute(&environment.cache_path(kind, &name)?)? };
        // A process of the same id may have left one behind when it was killed.
        let _ = std::fs::remove_dir_all(&stage.folder);
        std::fs::create_dir_all(&stage.folder)
            .map_err(|error| BuildError::io(&stage.folder, error))?;
        Ok(stage)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file, and the folders it lies in.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|error| BuildError::io(&path, error))
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, BuildError> {
        let path = self.path(name);
        std::fs::read(&path).map_err(|error| BuildError::io(&path, error))
    }

    /// Copies a plugin's sources into a folder here; a plugin without a manifest is its entry alone.
    pub(crate) fn copy(&self, source: &Source, entry: &str, into: &str) -> Result<(), BuildError> {
        let sources = match &source.manifest_path {
            None => vec![PathBuf::from(entry)],
            Some(_) => files::sources(&source.folder)?,
        };
        let mut total = 0;
        for file in sources {
            let (from, to) = (source.folder.join(&file), self.path(into).join(&file));
            let folder = to.parent().unwrap_or(&to);
            std::fs::create_dir_all(folder).map_err(|error| BuildError::io(folder, error))?;
            total += std::fs::copy(&from, &to).map_err(|error| BuildError::io(&from, error))?;
            if total > MAX_SOURCE_BYTES {
                return Err(BuildError::NotAPlugin {
                    path: source.folder.clone(),
                    reason: format!(
                        "holds more than {} MiB; a component carries all of it",
                        MAX_SOURCE_BYTES >> 20
                    ),
                });
            }
        }
        Ok(())
    }

    /// Runs a tool in a folder here, without input.
    pub(crate) fn run(&self, folder: &str, command: &mut Command) -> Result<Ran, BuildError> {
        let create = |name: &str| {
            let path = self.path(name);
            File::create(&path).map_err(|error| BuildError::io(&path, error))
        };
        let child = command
            .current_dir(self.path(folder))
            .stdin(Stdio::null())
            .stdout(create("stdout")?)
            .stderr(create("stderr")?)
            .spawn();
        let program = command.get_program().to_owned();
        let failed = |error: std::io::Error| not_started(&program, &error);
        let status = wait(&mut child.map_err(failed)?, DEADLINE).map_err(failed)?;
        let mut output = String::new();
        for name in ["stdout", "stderr"] {
            output.push_str(&String::from_utf8_lossy(&self.read(name)?));
        }
        Ok(Ran { status, output })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left behind is a few files in a cache.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A tool is started from another folder, where a relative path would mean something else.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(|error| BuildError::io(path, error))
}

/// The first line a program prints when it is asked something.
pub(crate) fn ask(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().trim();
    if output.status.success() { Ok(line.to_owned()) } else { Err(format!("`{shown}` fails")) }
}

fn not_started(program: &OsString, error: &std::io::Error) -> BuildError {
    BuildError::Failed {
        what: format!("cannot run {}", program.to_string_lossy()),
        output: error.to_string(),
        hint: "can it be started by hand?".to_owned(),
    }
}

fn wait(child: &mut Child, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}
