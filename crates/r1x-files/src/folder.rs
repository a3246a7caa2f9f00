//! A folder that appears whole or not at all, and goes in one moment: it is filled and synced beside its place, and takes
//! and loses its name by a rename.

use std::fs;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

/// What a folder is called while it is being written or removed.
pub const PARTIAL: &str = ".partial";
/// What a folder is called for the moment in which another one takes its name.
pub const REPLACED: &str = ".replaced";

/// The folder with something behind its name.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a folder in the place of one that may be there: `fill` is given an empty folder for its files, each of
/// which it syncs ([`file()`] does). `failed` turns what the system says into an error of the caller.
///
/// # Errors
/// What `fill` says, and when a folder cannot be written or renamed. What was there before is still there then, under
/// its name or with [`REPLACED`] behind it.
pub fn write<T, E>(
    folder: &Path,
    fill: impl FnOnce(&Path) -> std::result::Result<T, E>,
    failed: impl Fn(std::io::Error) -> E,
) -> std::result::Result<T, E> {
    let partial = beside(folder, PARTIAL);
    let filled = remove_all(&partial)
        .and_then(|()| fs::create_dir_all(&partial))
        .map_err(&failed)
        .and_then(|()| fill(&partial));
    let result = filled.and_then(|value| {
        sync(&partial).and_then(|()| replace(&partial, folder)).map_err(failed)?;
        Ok(value)
    });
    if result.is_err() {
        // A torn folder must not take space or be mistaken for a whole one; the first error is what counts.
        let _ = fs::remove_dir_all(&partial);
    }
    result
}

/// Writes and syncs one file of a folder.
///
/// # Errors
/// When it cannot be written.
pub fn file(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = fs::File::create(folder.join(name))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives the new folder its name. An old one of the name stays whole until then, under another name for a moment;
/// [`take_back`] gives it its name again where a program was stopped in that moment.
fn replace(partial: &Path, folder: &Path) -> Result<()> {
    let replaced = beside(folder, REPLACED);
    if folder.exists() {
        remove(&replaced)?;
        fs::rename(folder, &replaced)?;
    }
    if let Err(error) = fs::rename(partial, folder) {
        // The old one is what there is, then; the first error is what counts.
        let _ = fs::rename(&replaced, folder);
        return Err(error);
    }
    // The names of the folder and of those around it may all be new.
    folder.ancestors().skip(1).take(3).filter(|above| above.exists()).try_for_each(sync)?;
    remove(&replaced)
}

/// Gives folders their names back that were about to be replaced when a program was stopped, wherever nothing has the
/// name: in a folder of folders, each with the folders that are replaced.
///
/// # Errors
/// When a folder cannot be renamed.
pub fn take_back(above: &Path) -> Result<()> {
    let folders = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    for replaced in folders(above).iter().flat_map(|folder| folders(folder)) {
        let Some(name) = replaced.to_str().and_then(|path| path.strip_suffix(REPLACED)) else {
            continue;
        };
        if !Path::new(name).exists() {
            fs::rename(&replaced, name)?;
        }
    }
    Ok(())
}

/// Removes a folder, if it is there. It loses its name before its first file goes, so a program that is stopped in between
/// leaves nothing that could be taken for a whole folder, only one with [`PARTIAL`] behind its name.
///
/// # Errors
/// When it cannot be renamed or removed.
pub fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let partial = beside(folder, PARTIAL);
    remove_all(&partial)?;
    fs::rename(folder, &partial)?;
    fs::remove_dir_all(&partial)
}

fn remove_all(folder: &Path) -> Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

/// Makes the names in a folder outlast a power cut, where folders can be opened.
fn sync(folder: &Path) -> Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, text: &str) -> Result<()> {
        write(folder, |partial| file(partial, "a", text.as_bytes()), |error| error)
    }

    #[test]
    fn a_folder_goes_with_what_was_left_of_it_before() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("folder");
        put(&folder, "one").unwrap();
        let left = beside(&folder, PARTIAL);
        fs::create_dir(&left).unwrap();
        fs::write(left.join("old"), "").unwrap();
        remove(&folder).unwrap();
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);
        remove(&folder).unwrap();
    }

    #[test]
    fn a_folder_is_replaced_whole_or_not_at_all() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("deep/folder");
        put(&folder, "one").unwrap();
        fs::write(folder.join("old"), "").unwrap();
        put(&folder, "two").unwrap();
        assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "two");
        assert!(!folder.join("old").exists());
        let failing = write(
            &folder,
            |partial| {
                file(partial, "a", b"three")?;
                Err::<(), _>(std::io::Error::other("full"))
            },
            |error| error,
        );
        assert_eq!(failing.unwrap_err().to_string(), "full");
        assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "two");
        let beside: Vec<_> = fs::read_dir(above.path().join("deep")).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
    }

    #[test]
    fn a_folder_about_to_be_replaced_gets_its_name_back() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("stage/saved");
        put(&folder, "one").unwrap();
        fs::rename(&folder, beside(&folder, REPLACED)).unwrap();
        take_back(above.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "one");
    }
}
