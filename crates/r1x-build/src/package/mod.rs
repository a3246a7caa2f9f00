//! Packages that a reward in Python names: from requirements to a folder with their files.
//!
//! What requirements come to is looked up once and kept in a lock beside the plugin; the files are fetched by their
//! hashes, once, and kept. Packages with native code are refused by name: nothing in a component could run it.

mod lock;
mod marker;
mod pip;
mod requirement;
pub(crate) mod script;

use std::path::{Path, PathBuf};

use lock::Lock;
use pip::{Files, Found, Pip};
pub use requirement::Requirement;
use requirement::key;
pub(crate) use script::REQUIREMENT_HINT;

use crate::environment::Environment;
use crate::error::{BuildError, ManifestError};
use crate::files;
use crate::scratch::Stage;
use crate::source::Source;

/// The lock of a plugin with a manifest.
const LOCK_NAME: &str = "requirements.lock";
/// How the lock of a single file ends: that of `reward.py` is `reward.py.lock`.
const LOCK_ENDING: &str = "lock";
/// Where packages are kept, below the cache folder: a folder for each set of them.
const KEPT: &str = "packages";
/// Written last into a folder of packages: without it the folder is not whole.
const WHOLE: &str = ".whole";
/// All packages of a reward together; their files travel in the component.
const MAX_BYTES: u64 = 256 << 20;
/// Endings of files that a dynamic linker loads.
const NATIVE_ENDINGS: [&str; 5] = ["so", "pyd", "dylib", "dll", "node"];
/// How native programs and libraries begin, whatever they are called: ELF, Mach-O, Windows.
const NATIVE_BEGINNINGS: [&[u8]; 5] =
    [b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ\x90\x00"];

/// The packages of one reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packages {
    /// Where their files lie, as if installed.
    pub(crate) folder: PathBuf,
    /// Names, versions and hashes as a text: what decides about them.
    pub(crate) identity: String,
}

/// The lock's path: beside the manifest, or beside the single file.
pub(crate) fn lock_path(source: &Source) -> PathBuf {
    match (&source.manifest_path, &source.manifest.build.entry) {
        (None, Some(entry)) => source.folder.join(format!("{entry}.{LOCK_ENDING}")),
        _ => source.folder.join(LOCK_NAME),
    }
}

/// The packages of a plugin; `None` when it names none. A lock that is not there, or was made from other
/// requirements, is written; files that are not there are fetched.
///
/// # Errors
/// When there is no pip, no network or no such package, or a package has native code.
pub(crate) fn provide(
    source: &Source,
    environment: &Environment,
) -> Result<Option<Packages>, BuildError> {
    let requirements: Vec<Requirement> = source.manifest.build.requirements.clone();
    if requirements.is_empty() {
        return Ok(None);
    }
    let path = lock_path(source);
    let known = read_lock(&path)?.filter(|lock| lock.fits(&requirements));
    let lock = match known {
        Some(lock) => lock,
        None => {
            let lock = resolve(&requirements, environment)?;
            files::write_whole(&path, lock.text().as_bytes())?;
            lock
        }
    };
    let identity = lock.packages();
    let kept = environment.cache_folder.join(KEPT).join(files::sha256(identity.as_bytes()));
    if !kept.join(WHOLE).is_file() {
        fetch(&lock, &kept, environment)?;
    }
    files::used(&[&kept.join(WHOLE)]);
    Ok(Some(Packages { folder: kept, identity }))
}

fn read_lock(path: &Path) -> Result<Option<Lock>, BuildError> {
    let text = match r1x_files::read_text(path, r1x_files::AMPLE) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BuildError::io(path, error)),
    };
    let lock = Lock::parse(&text).map_err(|(line, message)| ManifestError {
        path: path.to_owned(),
        line,
        column: 1,
        message,
        hint: "delete the lock to have it written again".to_owned(),
    })?;
    Ok(Some(lock))
}

/// Looks requirements up. What they come to where native code can run is what people mean by them: an old
/// version without it is no answer that anybody asked for.
fn resolve(requirements: &[Requirement], environment: &Environment) -> Result<Lock, BuildError> {
    let pip = Pip::find(environment)?;
    let stage = Stage::new(environment, "package-build")?;
    let wanted: Vec<Requirement> =
        requirements.iter().filter(|one| one.applies(&[])).cloned().collect();
    if wanted.is_empty() {
        return Ok(Lock::new(requirements, Vec::new()));
    }
    let best = pip.resolve(&stage, &wanted, Files::Any)?.map_err(|said| unknown(&said))?;
    let pins = |found: Vec<Found>| found.into_iter().map(|one| one.pin).collect();
    if best.iter().all(Found::is_pure) {
        return Ok(Lock::new(requirements, pins(best)));
    }
    // A package may come with and without native code in the same version.
    let pure = pip.resolve(&stage, &wanted, Files::Pure)?;
    match pure {
        Ok(pure) if same_versions(&best, &pure) => Ok(Lock::new(requirements, pins(pure))),
        pure => Err(native(&wanted, &best, &pure.unwrap_or_default())),
    }
}

fn version_of<'a>(found: &'a [Found], name: &str) -> Option<&'a str> {
    let one = found.iter().find(|one| key(&one.pin.name) == key(name))?;
    Some(one.pin.version.as_str())
}

fn same_versions(best: &[Found], pure: &[Found]) -> bool {
    best.iter().all(|one| version_of(pure, &one.pin.name) == Some(one.pin.version.as_str()))
}

/// The error about packages with native code: the first of them, who needs it, and what would do instead.
fn native(wanted: &[Requirement], best: &[Found], pure: &[Found]) -> BuildError {
    let culprit = best.iter().find(|one| {
        !one.is_pure() && version_of(pure, &one.pin.name) != Some(one.pin.version.as_str())
    });
    let named = culprit.map(|one| {
        let mut names = chain(wanted, best, &one.pin.name);
        names.push(one.pin.name.clone());
        // `a` needs `b`, which needs `c`, which has native code.
        let mut text = format!("`{}`", names[0]);
        for (at, name) in names.iter().enumerate().skip(1) {
            let which = if at == 1 { "" } else { ", which" };
            text = format!("{text}{which} needs `{name}`");
        }
        let which = if names.len() == 1 { "" } else { ", which" };
        format!("{text}{which} has native code: {}", one.file)
    });
    let older: Vec<String> = wanted
        .iter()
        .filter_map(|one| Some(format!("{}=={}", one.name, version_of(pure, &one.name)?)))
        .collect();
    let hint = if older.is_empty() {
        "a reward runs in a sandbox that has no place for native code: only packages in pure Python can be used"
            .to_owned()
    } else {
        format!(
            "a reward runs in a sandbox that has no place for native code; without it there is {}, if that will do",
            older.join(", ")
        )
    };
    let what = named.unwrap_or_else(|| "the requirements come to native code".to_owned());
    BuildError::Failed { what, output: String::new(), hint }
}

/// The packages through which a requirement leads to a package, the package itself left out.
fn chain(wanted: &[Requirement], best: &[Found], target: &str) -> Vec<String> {
    let mut waiting: Vec<(Requirement, Vec<String>)> =
        wanted.iter().map(|one| (one.clone(), Vec::new())).collect();
    let mut seen = Vec::new();
    while !waiting.is_empty() {
        let (one, before) = waiting.remove(0);
        if one.key() == key(target) {
            return before;
        }
        if seen.contains(&one.key()) {
            continue;
        }
        seen.push(one.key());
        let found = best.iter().find(|found| key(&found.pin.name) == one.key());
        let needs = found.map(|found| found.needs.clone()).unwrap_or_default();
        let path: Vec<String> = before.into_iter().chain([one.name.clone()]).collect();
        let needed = needs.into_iter().filter(|need| need.applies(&one.extras));
        waiting.extend(needed.map(|need| (need, path.clone())));
    }
    Vec::new()
}

fn unknown(said: &str) -> BuildError {
    BuildError::Failed {
        what: "the packages of this reward cannot be found".to_owned(),
        output: said.to_owned(),
        hint: format!(
            "rewards run on Python {}, and packages are taken as wheels only; looking them up needs a network, \
             once: the lock and the files are kept",
            crate::language::python::INTERPRETER
        ),
    }
}

/// Fetches what a lock pins into its folder. Readers see all of it or nothing.
fn fetch(lock: &Lock, kept: &Path, environment: &Environment) -> Result<(), BuildError> {
    let pip = Pip::find(environment)?;
    let stage = Stage::new(environment, "package-build")?;
    // The folder exists even when no package does.
    stage.write("unpacked/.r1x", b"")?;
    pip.fetch(&stage, lock, "unpacked")?.map_err(|said| BuildError::Failed {
        what: "the packages of this reward cannot be fetched".to_owned(),
        output: said,
        hint: "fetching needs a network, once; a hash that differs means another file than the locked one"
            .to_owned(),
    })?;
    let unpacked = stage.path("unpacked");
    // Programs that packages bring for a shell.
    let programs = unpacked.join("bin");
    if programs.is_dir() {
        std::fs::remove_dir_all(&programs).map_err(|error| BuildError::io(&programs, error))?;
    }
    check(&unpacked)?;
    stage.write(&format!("unpacked/{WHOLE}"), b"")?;
    let parent = kept.parent().unwrap_or(kept);
    std::fs::create_dir_all(parent).map_err(|error| BuildError::io(parent, error))?;
    if kept.exists() {
        // Cut short by a crash, or another process was faster.
        let _ = std::fs::remove_dir_all(kept);
    }
    match std::fs::rename(&unpacked, kept) {
        Err(_) if kept.join(WHOLE).is_file() => Ok(()),
        renamed => renamed.map_err(|error| BuildError::io(kept, error)),
    }
}

/// Looks into unpacked packages: a wheel may call itself pure and hold a library all the same.
fn check(folder: &Path) -> Result<(), BuildError> {
    let mut total = 0;
    for file in files::all(folder)? {
        let path = folder.join(&file);
        let bytes = r1x_files::read(&path, r1x_files::AMPLE)
            .map_err(|error| BuildError::io(&path, error))?;
        total += bytes.len() as u64;
        if is_native(&file, &bytes) {
            let owner = owner(folder, &file).unwrap_or_else(|| "a package".to_owned());
            return Err(BuildError::Failed {
                what: format!("`{owner}` has native code: {}", file.display()),
                output: String::new(),
                hint: "a reward runs in a sandbox that has no place for native code: only packages in pure \
                       Python can be used"
                    .to_owned(),
            });
        }
        if total > MAX_BYTES {
            return Err(BuildError::Failed {
                what: format!("the packages hold more than {} MiB", MAX_BYTES >> 20),
                output: String::new(),
                hint: "a component carries all of them".to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether a file is one that a dynamic linker or a system would run.
fn is_native(file: &Path, bytes: &[u8]) -> bool {
    let name =
        file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    // `libx.so.1` as well.
    let mut endings = name.split('.').skip(1);
    endings.any(|ending| NATIVE_ENDINGS.contains(&ending) && !name.ends_with(".py"))
        || NATIVE_BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning))
}

/// The package that lists a file among its own.
fn owner(folder: &Path, file: &Path) -> Option<String> {
    let line = format!("{},", file.to_string_lossy().replace('\\', "/"));
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut infos =
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".dist-info"));
    infos.find_map(|info| {
        let record = r1x_files::read_text(info.path().join("RECORD"), r1x_files::AMPLE).ok()?;
        let listed = record.lines().any(|known| known.starts_with(&line));
        let name = info.file_name().to_string_lossy().into_owned();
        listed.then(|| name.split('-').next().unwrap_or_default().to_owned())
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
