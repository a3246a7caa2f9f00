//! Compiled components on disk, so that a plugin is compiled once per machine and version of r1x.
//!
//! A compiled component is native code that will be run, so the cache trusts only what this user alone can have
//! written: the folder must belong to us and be closed to everyone else, or it is not used at all.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use r1x_core::digest::{hex, sha256};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A folder of compiled components.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the folder, making it if it is not there. The error says why it is not used.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let refused = |reason: String| format!("{}: {reason}", folder.display());
        private::create(folder).map_err(|error| refused(format!("cannot be made: {error}")))?;
        private::check_folder(folder).map_err(refused)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Whether there is an entry. It may still turn out to be damaged.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.path(key).is_file()
    }

    /// The compiled component, if there is a whole one that this engine can run.
    pub(crate) fn load(&self, engine: &Engine, key: &str) -> Option<Component> {
        let path = self.path(key);
        private::check_file(&path).ok()?;
        let noted = fs::read_to_string(self.note_path(key)).ok()?;
        if noted.trim() != sha256_of_file(&path).ok()? {
            return None;
        }
        self.note_use(key);
        deserialize(engine, &path)
    }

    /// Marks the entry as used now: what was not for the longest is removed first.
    fn note_use(&self, key: &str) {
        // The note is touched and never the code, which may be mapped. What cannot be marked looks older than it
        // is, and is compiled again when it is missed.
        let note = File::options().write(true).open(self.note_path(key));
        let _ = note.and_then(|note| note.set_modified(SystemTime::now()));
    }

    /// Keeps a compiled component. Readers see all of it or nothing.
    pub(crate) fn store(&self, key: &str, Native(bytes): &Native) -> io::Result<()> {
        // The note comes second: an entry without its note is an entry that is not there.
        self.write_whole(&self.path(key), bytes)?;
        self.write_whole(&self.note_path(key), sha256(bytes).as_bytes())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.cwasm"))
    }

    fn note_path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.sha256"))
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{}-{number}.part", std::process::id()));
        let written = private::new_file(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
        if written.is_err() {
            // The write's own error is the one worth telling.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// The name under which a component compiled by this engine is kept: another component, another version of
/// the engine or other settings give another name.
pub(crate) fn key(engine: &Engine, wasm_sha256: &str) -> String {
    let mut settings = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut settings);
    let settings = hex(settings.0.finalize().as_slice());
    format!("{wasm_sha256}-{}", &settings[..16])
}

/// sha256 of a file, lower-case hex, a piece at a time: entries are large, and touching fresh memory costs as much as hashing.
fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(hasher.finalize().as_slice())),
            length => hasher.update(&piece[..length]),
        }
    }
}

/// Hashes what `Hash` types feed it with sha256, which stays the same between processes and compilers.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |number, &byte| (number << 8) | u64::from(byte))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// Machine code of a component that this r1x compiled just now.
pub(crate) struct Native(Vec<u8>);

impl Native {
    /// Compiles a component in this process.
    pub(crate) fn of(engine: &Engine, component: &[u8]) -> Result<Self, String> {
        let compiled = engine.precompile_component(component);
        compiled.map(Self).map_err(|error| error.root_cause().to_string())
    }

    /// What a [`Compiler`](crate::compile::Compiler) made.
    pub(crate) fn by_compiler(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// The component, ready to be linked.
#[allow(unsafe_code)]
pub(crate) fn run(engine: &Engine, Native(bytes): &Native) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must be what an engine of wasmtime wrote. They are the output of `precompile_component`, in
    // this process or in one that runs the program of this one, and have not left memory since; wasmtime itself
    // refuses what is of other versions and settings.
    unsafe { Component::deserialize(engine, bytes) }
}

#[allow(unsafe_code)]
fn deserialize(engine: &Engine, path: &Path) -> Option<Component> {
    // SAFETY: the file must be one that `Component::serialize` wrote and nobody changed since. `Cache::open`
    // made sure that the folder belongs to this user and is closed to others, `load` that the file belongs to
    // this user too and that its bytes still have the hash noted when they were written; entries are only
    // ever replaced by renaming, so the bytes that get mapped do not change. wasmtime itself refuses files of
    // other versions and settings.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}

#[cfg(unix)]
mod private {
    //! Folders and files that belong to this user alone.

    use super::{File, Path, fs, io};
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(super) fn create(folder: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    pub(super) fn new_file(path: &Path) -> io::Result<File> {
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
        let folder_facts =
            fs::symlink_metadata(folder).map_err(|error| format!("cannot be read: {error}"))?;
        if !folder_facts.is_dir() {
            return Err("is not a folder".to_owned());
        }
        if folder_facts.mode() & 0o077 != 0 {
            return Err(format!(
                "others may look into it (mode {:o}): chmod 700 it",
                folder_facts.mode() & 0o777
            ));
        }
        let own = own_uid(folder).map_err(|error| format!("cannot be written: {error}"))?;
        if folder_facts.uid() != own {
            return Err(format!("belongs to user {}, not to {own}", folder_facts.uid()));
        }
        Ok(())
    }

    pub(super) fn check_file(path: &Path) -> io::Result<()> {
        let file = fs::symlink_metadata(path)?;
        let folder = fs::symlink_metadata(path.parent().unwrap_or(path))?;
        if file.is_file() && file.uid() == folder.uid() && file.mode() & 0o022 == 0 {
            return Ok(());
        }
        Err(io::Error::other("is not a file of ours"))
    }

    /// The standard library does not tell our user id, but a file we make has it.
    fn own_uid(folder: &Path) -> io::Result<u32> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let probe = folder.join(format!(".{}-{number}.probe", std::process::id()));
        let uid = new_file(&probe).and_then(|file| Ok(file.metadata()?.uid()));
        // A probe left behind is an empty file; it does not matter why it could not be removed.
        let _ = fs::remove_file(&probe);
        uid
    }
}

#[cfg(not(unix))]
mod private {
    //! Where ownership cannot be checked there is no cache.

    use super::{File, Path, io};

    pub(super) fn create(_folder: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn new_file(_path: &Path) -> io::Result<File> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    pub(super) fn check_folder(_folder: &Path) -> Result<(), String> {
        Err("ownership of files cannot be checked on this system".to_owned())
    }

    pub(super) fn check_file(_path: &Path) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
