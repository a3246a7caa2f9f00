//! Hashes of files and trees, and writing whole files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use r1x_core::digest::hex;
pub use r1x_core::digest::sha256;
use sha2::{Digest, Sha256};

use crate::error::BuildError;

/// Folders that hold what tools left behind.
const NOT_SOURCES: &[&str] = &["target", "node_modules", "__pycache__", "build", "dist"];

/// Every source file below a folder, sorted, relative to it. Hidden files, components and what tools leave
/// behind are none. Sources travel in a component, so a link to what is not the plugin's own is refused.
///
/// # Errors
/// When the folder cannot be listed, or something in it is neither a folder nor a file of the plugin.
pub fn sources(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut files = Vec::new();
    collect(folder, Path::new(""), &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<(), BuildError> {
    let folder = root.join(below);
    let listed = std::fs::read_dir(&folder).map_err(|error| BuildError::io(&folder, error))?;
    for entry in listed {
        let entry = entry.map_err(|error| BuildError::io(&folder, error))?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.starts_with('.') || text.ends_with(".wasm") {
            continue;
        }
        let relative = below.join(&name);
        let kind = entry.file_type().map_err(|error| BuildError::io(&entry.path(), error))?;
        let left_out = NOT_SOURCES.contains(&text.as_ref());
        if kind.is_dir() && !left_out {
            collect(root, &relative, files)?;
        } else if kind.is_file() || (kind.is_symlink() && is_own(root, &entry.path())) {
            files.push(relative);
        } else if !left_out {
            let reason = "is no file of the plugin: a link that leads out of its folder or to another folder, or \
                          nothing that can be read";
            return Err(BuildError::NotAPlugin { path: entry.path(), reason: reason.to_owned() });
        }
    }
    Ok(())
}

/// Whether a link leads to a file inside the folder.
fn is_own(root: &Path, link: &Path) -> bool {
    match (root.canonicalize(), link.canonicalize()) {
        (Ok(root), Ok(file)) => file.starts_with(root) && file.is_file(),
        _ => false,
    }
}

/// Every file below a folder, sorted, relative to it, whatever it is called.
pub(crate) fn all(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let folder = folder.join(&below);
        let listed = std::fs::read_dir(&folder).map_err(|error| BuildError::io(&folder, error))?;
        for entry in listed {
            let entry = entry.map_err(|error| BuildError::io(&folder, error))?;
            let relative = below.join(entry.file_name());
            let list = if entry.path().is_dir() { &mut waiting } else { &mut found };
            list.push(relative);
        }
    }
    found.sort();
    Ok(found)
}

/// A relative path with `/` between its parts, whatever the system writes.
pub(crate) fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// sha256 over names, lengths and bytes of files, in the order given.
///
/// # Errors
/// When one cannot be read.
pub fn digest(root: &Path, files: &[PathBuf]) -> Result<String, BuildError> {
    let mut hasher = Sha256::new();
    for file in files {
        let path = root.join(file);
        let bytes = r1x_files::read(&path, r1x_files::AMPLE)
            .map_err(|error| BuildError::io(&path, error))?;
        hasher.update(format!("{}\0{}\0", slashed(file), bytes.len()));
        hasher.update(bytes);
    }
    Ok(hex(&hasher.finalize()))
}

/// Writes a file so that a reader sees the old bytes or the new ones, and nothing between.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.part", std::process::id()));
    let written =
        std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        // The write's own error is the one worth telling.
        let _ = std::fs::remove_file(&temporary);
        BuildError::io(path, error)
    })
}

/// Notes that files of the cache were of use just now; what was not for the longest goes first.
pub(crate) fn used(paths: &[&Path]) {
    let now = std::time::SystemTime::now();
    for path in paths {
        // What cannot be noted is taken for older than it is, and made again when it is missed.
        let file = std::fs::File::options().write(true).open(path);
        let _ = file.and_then(|file| file.set_modified(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_is_a_source_only_where_it_stays_inside() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("plugin");
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::write(root.join("a/words.txt"), "x").unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        symlink("a/words.txt", root.join("own.txt")).unwrap();
        assert_eq!(sources(&root).unwrap().len(), 2);
        for target in ["../secret", "/etc/hostname", "a", "..", "nowhere"] {
            let link = root.join("link.txt");
            symlink(target, &link).unwrap();
            let error = sources(&root).unwrap_err().to_string();
            assert!(error.contains("link.txt: is no file of the plugin"), "{error}");
            std::fs::remove_file(&link).unwrap();
        }
        let made = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
        assert!(made.success());
        assert!(sources(&root).is_err(), "reading a pipe would wait for ever");
    }

    #[test]
    fn sources_leave_out_what_tools_made_and_digests_see_names_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in ["b.py", "a/c.py", "target/x", ".git/y", "out.wasm", "a/__pycache__/z"] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let files = sources(root).unwrap();
        assert_eq!(files, [PathBuf::from("a/c.py"), PathBuf::from("b.py")]);
        assert_eq!(all(root).unwrap().len(), 6);
        assert_eq!(slashed(&files[0]), "a/c.py");
        let first = digest(root, &files).unwrap();
        assert_eq!(digest(root, &files).unwrap(), first);
        write_whole(&root.join("b.py"), b"changed").unwrap();
        assert_ne!(digest(root, &files).unwrap(), first);
        assert!(digest(root, &[PathBuf::from("gone")]).is_err());
    }
}
