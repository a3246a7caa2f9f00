//! Whether the files of an open store are still those that its path names.
//!
//! A file that is deleted or replaced stays open, and SQLite goes on writing to what nobody will find again. So who
//! writes looks, every time.

use std::fs;
use std::path::{Path, PathBuf};

/// What a file is, whatever it is called: device and inode. Elsewhere than on Unix an open file cannot go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Identity {
    fn of(meta: &fs::Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Self { device: meta.dev(), inode: meta.ino() }
        }
        #[cfg(not(unix))]
        {
            let _ = meta;
            Self {}
        }
    }
}

/// One of the files.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    identity: Identity,
}

/// The files of an open store, as they were when it was opened.
#[derive(Debug)]
pub(crate) struct Guard {
    store: Watched,
    /// The log and its index, which lie beside the store for as long as it is open.
    beside: Vec<Watched>,
    /// The store never gets shorter than this, bytes.
    length: u64,
}

/// The names that SQLite gives to the log and its index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The path with something behind it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn watched(path: &Path) -> std::io::Result<Watched> {
    let identity = Identity::of(&fs::metadata(path)?);
    Ok(Watched { path: path.to_owned(), identity })
}

impl Guard {
    /// Remembers the files of a store that has just been opened.
    pub fn new(path: &Path) -> std::io::Result<Self> {
        let store = watched(path)?;
        let length = fs::metadata(path)?.len();
        let log = BESIDE.iter().filter_map(|suffix| watched(&beside(path, suffix)).ok());
        Ok(Self { store, beside: log.collect(), length })
    }

    /// What has become of the files, as the rest of a sentence about the store; `None` when all is well.
    pub fn loss(&mut self) -> Option<String> {
        let Watched { path, identity } = &self.store;
        match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Some("was deleted or moved".to_owned());
            }
            // What cannot be looked at cannot be told from what is well; writing will tell.
            Err(_) => return None,
            Ok(meta) if Identity::of(&meta) != *identity => {
                return Some("was replaced by another file".to_owned());
            }
            Ok(meta) if meta.len() < self.length => return Some("was cut short".to_owned()),
            Ok(meta) => self.length = meta.len(),
        }
        self.beside.iter().find_map(|Watched { path, identity }| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match fs::metadata(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Some(format!("has lost its log: {name} was deleted or moved"))
                }
                Err(_) => None,
                Ok(meta) if Identity::of(&meta) != *identity => {
                    Some(format!("has lost its log: {name} was replaced by another file"))
                }
                Ok(_) => None,
            }
        })
    }
}
