//! Python: the author writes one function, `python/r1x_shim.py` is the plugin around it, and componentize-py
//! puts both and an interpreter into a component.
//!
//! Nothing of the author's runs in this process or beside it: componentize-py runs the module's top level in
//! a sandbox of its own, on copies of the sources. Must not know what a reward means.

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

/// The packager's version. The shim relies on the names that this one generates.
pub const VERSION: &str = "0.25.1";
/// The variable that names the packager.
pub const VARIABLE: &str = "R1X_COMPONENTIZE_PY";

const SHIM: &str = include_str!("python/r1x_shim.py");
const WIT: &str = include_str!("../../../r1x-reward/wit/reward.wit");
const PROGRAM: &str = "componentize-py";
/// Where the command of [`not_found`] installs it, inside the cache folder.
const VENV: &str = "python";
/// The file and function that are taken when a manifest names none.
const FILE: &str = "reward.py";
const FUNCTION: &str = "reward";
/// The note that tells the shim what to load.
const NOTE: &str = "r1x_build.json";
/// How the shim starts the line with which it refuses sources.
const REFUSED: &str = "r1x-refused:";
/// A build takes about ten seconds; a module's top level may compute for a while.
const DEADLINE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// All sources together; they travel in every component.
const MAX_SOURCE_BYTES: u64 = 64 << 20;

/// What decides the component besides the sources. The tool itself is not asked, so that what was built once
/// runs where it is not installed.
pub(crate) fn fingerprint(_environment: &Environment) -> Result<String, BuildError> {
    let embedded = files::sha256(format!("{SHIM}\0{WIT}").as_bytes());
    Ok(format!("{PROGRAM} {VERSION} {embedded}"))
}

/// Builds the component of a Python plugin.
pub(crate) fn compile(source: &Source, environment: &Environment) -> Result<Vec<u8>, BuildError> {
    let entry = Entry::of(source)?;
    let tool = find(environment)?;
    let stage = Stage::new(environment)?;
    stage.fill(source, &entry)?;
    let component = stage.path("component.wasm");
    let status =
        stage.run(Command::new(&tool).args(["-d", "wit", "-w", "reward", "componentize"]))?;
    let output = stage.output()?;
    if status.is_some_and(|status| status.success()) {
        return std::fs::read(&component).map_err(|error| BuildError::io(&component, error));
    }
    Err(refused(&entry, status, &output))
}

/// The file and the function of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    file: String,
    function: String,
}

impl Entry {
    fn of(source: &Source) -> Result<Self, BuildError> {
        let text = source.manifest.build.entry.as_deref().unwrap_or(FILE);
        let (file, function) = text.split_once(':').unwrap_or((text, FUNCTION));
        let refused = |path: PathBuf, reason: String| BuildError::NotAPlugin { path, reason };
        let path = source.folder.join(file);
        if !file.ends_with(".py") {
            let reason = format!("names the entry `{text}`, which is not FILE.py:FUNCTION");
            return Err(refused(source.folder.clone(), reason));
        }
        if !path.is_file() {
            return Err(refused(path, format!("is not there, but is the entry `{text}`")));
        }
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        if function.is_empty() || !function.chars().all(plain) {
            let reason = format!("names the entry `{text}`, whose `{function}` is no function");
            return Err(refused(source.folder.clone(), reason));
        }
        Ok(Self { file: file.to_owned(), function: function.to_owned() })
    }
}

/// The packager: the one that the variable names, the one on the path, or the one in the cache folder.
///
/// # Errors
/// When there is none of the right version.
pub fn find(environment: &Environment) -> Result<PathBuf, BuildError> {
    if let Some(named) = environment.variable(VARIABLE) {
        let named = absolute(Path::new(named))?;
        return match version(&named) {
            Ok(version) if version == VERSION => Ok(named),
            Ok(other) => Err(not_found(
                environment,
                format!("{VARIABLE} names {PROGRAM} {other}; r1x needs {VERSION}"),
            )),
            Err(reason) => {
                Err(not_found(environment, format!("{VARIABLE} names no {PROGRAM}: {reason}")))
            }
        };
    }
    let bin = if cfg!(windows) { "Scripts" } else { "bin" };
    let own = absolute(&environment.cache_folder.join(VENV).join(bin).join(PROGRAM))?;
    let mut others = Vec::new();
    for candidate in [PathBuf::from(PROGRAM), own] {
        match version(&candidate) {
            Ok(version) if version == VERSION => return Ok(candidate),
            Ok(other) => others.push(other),
            Err(_) => {}
        }
    }
    let missing = match others.first() {
        None => format!("a reward in Python needs {PROGRAM}, which is not installed"),
        Some(other) => format!("the installed {PROGRAM} is {other}; r1x needs {VERSION}"),
    };
    Err(not_found(environment, missing))
}

/// The tool is started from another folder, where a relative path would mean something else.
fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(|error| BuildError::io(path, error))
}

fn not_found(environment: &Environment, missing: String) -> BuildError {
    let folder = environment.cache_folder.join(VENV);
    let folder = folder.display();
    BuildError::NoToolchain {
        missing,
        hint: format!(
            "this installs it for r1x alone: python3 -m venv {folder} && {folder}/bin/pip install \
             {PROGRAM}=={VERSION} (or set {VARIABLE} to one you have)"
        ),
    }
}

/// The version a program claims to be.
fn version(program: &Path) -> Result<String, String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix(PROGRAM) {
        Some(version) if output.status.success() => Ok(version.trim().to_owned()),
        _ => Err(format!("`{} --version` does not answer like it", program.display())),
    }
}

/// A folder for one build, removed with the value. The packager may write to what it is given, so it is given
/// copies and nothing else.
struct Stage {
    folder: PathBuf,
}

impl Stage {
    fn new(environment: &Environment) -> Result<Self, BuildError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let stage = Self { folder: absolute(&environment.cache_path("python-build", &name)?)? };
        // A process of the same id may have left one behind when it was killed.
        let _ = std::fs::remove_dir_all(&stage.folder);
        for part in ["shim", "author", "wit", "venv/lib/site-packages"] {
            let path = stage.path(part);
            std::fs::create_dir_all(&path).map_err(|error| BuildError::io(&path, error))?;
        }
        Ok(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BuildError> {
        let path = self.path(name);
        std::fs::write(&path, bytes).map_err(|error| BuildError::io(&path, error))
    }

    /// Copies the sources, and puts the shim, the interface and the note for the shim beside them.
    fn fill(&self, source: &Source, entry: &Entry) -> Result<(), BuildError> {
        let sources = match &source.manifest_path {
            None => vec![PathBuf::from(&entry.file)],
            Some(_) => files::sources(&source.folder)?,
        };
        let mut total = 0;
        for file in sources {
            let (from, to) = (source.folder.join(&file), self.path("author").join(&file));
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
        let about = &source.manifest.plugin;
        let note = serde_json::json!({
            "path": entry.file,
            "function": entry.function,
            "name": about.name,
            "version": about.version,
            "description": about.description,
        });
        self.write("shim/r1x_shim.py", SHIM.as_bytes())?;
        self.write("wit/reward.wit", WIT.as_bytes())?;
        self.write(&format!("author/{NOTE}"), note.to_string().as_bytes())
    }

    /// Runs the packager; `None` when it took longer than the deadline.
    fn run(&self, command: &mut Command) -> Result<Option<ExitStatus>, BuildError> {
        let create = |name: &str| {
            let path = self.path(name);
            File::create(&path).map_err(|error| BuildError::io(&path, error))
        };
        // The folder's own empty environment keeps the packager from adding the user's packages, which no
        // hash would cover.
        let child = command
            .args(["-p", "shim", "-p", "author", "-o", "component.wasm", "r1x_shim"])
            .current_dir(&self.folder)
            .env("VIRTUAL_ENV", self.path("venv"))
            .env_remove("PYTHONPATH")
            .stdin(Stdio::null())
            .stdout(create("stdout")?)
            .stderr(create("stderr")?)
            .spawn();
        let program = command.get_program().to_owned();
        let failed = |error: std::io::Error| not_started(&program, &error);
        wait(&mut child.map_err(failed)?, DEADLINE).map_err(failed)
    }

    fn output(&self) -> Result<String, BuildError> {
        let mut text = String::new();
        for name in ["stdout", "stderr"] {
            let path = self.path(name);
            let bytes = std::fs::read(&path).map_err(|error| BuildError::io(&path, error))?;
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ok(text)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left behind is a few files in a cache.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
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

/// What the author is told: the shim's own sentence where there is one.
fn refused(entry: &Entry, status: Option<ExitStatus>, output: &str) -> BuildError {
    let what = format!("{} cannot become a plugin", entry.file);
    if status.is_none() {
        return BuildError::Failed {
            what,
            output: format!("its top level did not end in {} s", DEADLINE.as_secs()),
            hint: "move what takes long into the function".to_owned(),
        };
    }
    let sentence = output.lines().find_map(|line| {
        let (_, json) = line.split_once(REFUSED)?;
        serde_json::from_str::<String>(json.trim()).ok()
    });
    match sentence {
        Some(sentence) => BuildError::Failed {
            what,
            output: sentence,
            hint: "the top level runs once, when the plugin is built; docs/plugins.md tells what \
                   it may use"
                .to_owned(),
        },
        None => BuildError::Failed {
            what,
            output: output.trim().to_owned(),
            hint: format!("this is what {PROGRAM} {VERSION} said"),
        },
    }
}
