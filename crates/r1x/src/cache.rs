//! What r1x keeps on this machine to be quick: components built from sources, their native code, interpreters.
//!
//! All of it can be made again, so there is a limit: what was used longest ago goes first. Tools that people put
//! beside it are not r1x's to remove.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folders of builds under way are removed with their build; what is older was left behind by a kill.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// One kind of things that are kept.
struct Shelf {
    /// Where, below the cache.
    folder: &'static str,
    /// What is there.
    what: &'static str,
    grain: Grain,
}

/// What is kept, and removed, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grain {
    /// The files of one name, whatever their endings.
    Name,
    /// Each folder in it.
    Each,
    /// The folder as a whole.
    Folder,
}

const SHELVES: [Shelf; 7] = [
    Shelf { folder: "plugins", what: "native code", grain: Grain::Name },
    Shelf { folder: "build/components", what: "component", grain: Grain::Name },
    Shelf { folder: "build/built", what: "note of a build", grain: Grain::Name },
    Shelf { folder: "build/bases", what: "interpreter with packages", grain: Grain::Name },
    Shelf { folder: "build/packages", what: "packages", grain: Grain::Each },
    Shelf { folder: "build/interpreters", what: "interpreter", grain: Grain::Name },
    Shelf { folder: "build/rust", what: "cargo's folder", grain: Grain::Folder },
];

/// Something that can be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub what: &'static str,
    /// Its name in its folder.
    pub name: String,
    /// Its files together.
    pub bytes: u64,
    /// When it was last of use.
    pub used: SystemTime,
    paths: Vec<PathBuf>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Entries.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The entries below a cache folder, the last used first.
pub fn entries(root: &Path) -> Vec<Entry> {
    let mut found = Vec::new();
    for shelf in &SHELVES {
        let folder = root.join(shelf.folder);
        match shelf.grain {
            Grain::Name => by_name(shelf.what, &folder, &mut found),
            Grain::Each => {
                let folders = listed(&folder).into_iter().filter(|path| path.is_dir());
                found.extend(folders.filter_map(|folder| whole(shelf.what, folder)));
            }
            Grain::Folder => found.extend(whole(shelf.what, folder)),
        }
    }
    found.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.name.cmp(&b.name)));
    found
}

/// A folder as one entry; nothing where it is empty.
fn whole(what: &'static str, folder: PathBuf) -> Option<Entry> {
    let (bytes, used) = size(&folder);
    let name = folder.file_name()?.to_string_lossy().into_owned();
    (bytes > 0).then(|| Entry { what, name, bytes, used, paths: vec![folder] })
}

fn by_name(what: &'static str, folder: &Path, found: &mut Vec<Entry>) {
    let begin = found.len();
    for path in listed(folder) {
        // A file that is being written has a name that begins with a dot, or ends in `.part`.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with(".part") || !path.is_file() {
            continue;
        }
        let stem = name.split('.').next().unwrap_or_default().to_owned();
        let (bytes, used) = size(&path);
        match found[begin..].iter_mut().find(|entry| entry.name == stem) {
            Some(entry) => {
                entry.bytes += bytes;
                entry.used = entry.used.max(used);
                entry.paths.push(path);
            }
            None => found.push(Entry { what, name: stem, bytes, used, paths: vec![path] }),
        }
    }
}

/// Folders beside the entries, which people put there themselves: tools of languages.
pub fn tools(root: &Path) -> Vec<(PathBuf, u64)> {
    let shelves: Vec<PathBuf> = SHELVES.iter().map(|shelf| root.join(shelf.folder)).collect();
    let build = listed(&root.join("build")).into_iter();
    let others = build.filter(|path| path.is_dir() && !shelves.contains(path) && !is_stage(path));
    others.map(|path| (path.clone(), size(&path).0)).collect()
}

/// Removes what was used longest ago until the entries fit the limit. What was used since `began` stays, so that
/// nobody loses what is at work.
pub fn trim(root: &Path, limit_bytes: u64, began: SystemTime) -> Freed {
    sweep(root, began);
    let mut entries = entries(root);
    let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut freed = Freed::default();
    while bytes > limit_bytes {
        let Some(oldest) = entries.pop().filter(|entry| entry.used < began) else { break };
        bytes -= oldest.bytes;
        if oldest.remove().is_ok() {
            freed.add(&oldest);
        }
    }
    freed
}

/// Removes every entry.
///
/// # Errors
/// When one cannot be removed; the others are gone.
pub fn clear(root: &Path) -> (Freed, io::Result<()>) {
    let mut freed = Freed::default();
    let mut result = Ok(());
    for entry in entries(root) {
        match entry.remove() {
            Ok(()) => freed.add(&entry),
            Err(error) => result = Err(error),
        }
    }
    (freed, result)
}

impl Entry {
    fn remove(&self) -> io::Result<()> {
        for path in &self.paths {
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
        }
        Ok(())
    }
}

impl Freed {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.bytes += entry.bytes;
    }
}

/// Removes what killed processes left behind: folders of builds and halves of files.
fn sweep(root: &Path, now: SystemTime) {
    let stages = listed(&root.join("build")).into_iter().filter(|path| is_stage(path));
    let below = stages.flat_map(|stage| listed(&stage));
    let shelves = SHELVES.iter().filter(|shelf| shelf.grain == Grain::Name);
    let halves = shelves.flat_map(|shelf| listed(&root.join(shelf.folder)));
    let halves = halves.filter(|path| path.to_string_lossy().ends_with(".part"));
    for path in below.chain(halves) {
        let (_, used) = size(&path);
        if now.duration_since(used).is_ok_and(|age| age > ABANDONED) {
            // Whoever else removes it, or keeps it from being removed, the next sweep sees.
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// Whether a folder holds builds under way.
fn is_stage(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-build"))
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    // A folder that is not there, or not ours to read, has nothing to remove.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Bytes of a file or of a folder with all that is in it, and when the last of it was written.
fn size(path: &Path) -> (u64, SystemTime) {
    let Ok(about) = fs::symlink_metadata(path) else { return (0, SystemTime::UNIX_EPOCH) };
    let own = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    if !about.is_dir() {
        return (about.len(), own);
    }
    listed(path)
        .iter()
        .map(|path| size(path))
        .fold((0, own), |(bytes, used), (more, later)| (bytes + more, used.max(later)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, bytes: usize, age_s: u64) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![0; bytes]).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age_s);
        fs::File::options().write(true).open(&path).unwrap().set_modified(used).unwrap();
    }

    fn names(root: &Path) -> Vec<String> {
        entries(root).into_iter().map(|entry| entry.name).collect()
    }

    fn filled() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "plugins/old.cwasm", 400, 900);
        put(root, "plugins/old.sha256", 64, 500);
        put(root, "plugins/new.cwasm", 100, 5);
        put(root, "build/components/older.wasm", 200, 700);
        put(root, "build/interpreters/python-1.wasm", 300, 600);
        put(root, "build/rust/release/x.rlib", 50, 800);
        put(root, "build/python/bin/componentize-py", 1000, 9999);
        put(root, "plugins/.1-0.part", 10, 5);
        folder
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let folder = filled();
        let root = folder.path();
        // The folder of cargo has the age of its last write, which making it was.
        assert_eq!(names(root), ["rust", "new", "old", "python-1", "older"]);
        let freed = trim(root, 900, SystemTime::now());
        assert_eq!(freed.bytes, 200 + 300, "{:?}", names(root));
        assert_eq!(entries(root).iter().map(|entry| entry.bytes).sum::<u64>(), 614);
        assert!(root.join("build/python/bin/componentize-py").exists(), "a tool is not ours");
    }

    #[test]
    fn what_this_process_used_stays_whatever_the_limit() {
        let folder = filled();
        let root = folder.path();
        trim(root, 0, SystemTime::now() - Duration::from_secs(550));
        assert_eq!(names(root), ["rust", "new", "old"]);
        assert_eq!(tools(root), [(root.join("build/python"), 1000)]);
    }

    #[test]
    fn clearing_leaves_tools() {
        let folder = filled();
        let root = folder.path();
        put(root, "build/packages/1f/sympy/core.py", 30, 5);
        put(root, "build/packages/2e/mpmath/core.py", 40, 5);
        let (freed, result) = clear(root);
        result.unwrap();
        assert_eq!((freed.entries, freed.bytes), (7, 1184));
        assert!(entries(root).is_empty());
        assert_eq!(tools(root).len(), 1);
        assert_eq!(clear(&root.join("nowhere")).0, Freed::default());
    }

    #[test]
    fn what_a_killed_build_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "build/components/a.1-2.part", 10, 2 * 24 * 3600);
        put(root, "build/components/b.3-4.part", 10, 60);
        put(root, "build/python-build/7-0/stdout", 10, 60);
        trim(root, 1 << 30, SystemTime::now());
        assert!(!root.join("build/components/a.1-2.part").exists());
        assert!(root.join("build/components/b.3-4.part").exists(), "somebody is writing it");
        assert!(root.join("build/python-build/7-0/stdout").exists());
        let later = SystemTime::now() + 2 * ABANDONED;
        trim(root, 1 << 30, later);
        assert!(!root.join("build/python-build/7-0").exists());
    }
}
