//! A file that appears whole or not at all: it is filled and synced beside its place, and takes its name when it is done.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The file that has the name stays, and nothing is written.
    Kept,
    /// The file that is written takes the name.
    Replaced,
}

/// A file under a name of this process, which goes away with this value unless it was given another name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Half a file must not take space; where it has its name there is nothing here any more.
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether anything has this name, a link that leads nowhere included.
pub fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Writes a file, in a folder that is made where it is missing: `fill` is given an empty one that nobody else has.
/// `failed` turns what the system says into an error of the caller.
///
/// # Errors
/// What `fill` says, and when the file cannot be written or its name is taken. What had the name before has it then.
pub fn write<T, E>(
    path: &Path,
    existing: Existing,
    fill: impl FnOnce(&mut File) -> std::result::Result<T, E>,
    failed: impl Fn(Error) -> E,
) -> std::result::Result<T, E> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    let partial = Partial(PathBuf::from(name));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), fs::create_dir_all).map_err(&failed)?;
    // What a killed program with the number of this one has left.
    let _ = fs::remove_file(&partial.0);
    let opened = OpenOptions::new().write(true).create_new(true).open(&partial.0);
    let mut file = opened.map_err(&failed)?;
    let value = fill(&mut file)?;
    let done = file.sync_all().and_then(|()| place(&partial.0, path, existing));
    done.map_err(failed)?;
    Ok(value)
}

/// Gives a file that is whole its name, which lasts when this returns. Where the file stays under its first name as well, the
/// caller removes that.
///
/// # Errors
/// When the name is taken and is to be kept, or the file cannot be given it.
pub fn place(partial: &Path, path: &Path, existing: Existing) -> Result<()> {
    if existing == Existing::Replaced {
        return fs::rename(partial, path).and_then(|()| sync_folder(path));
    }
    // A second name is refused where the name is taken, in one step; a rename would take it.
    match fs::hard_link(partial, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Ok(()) => {}
        // Some file systems have one name a file.
        Err(_) if is_taken(path) => return Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(partial, path)?,
    }
    sync_folder(path)
}

/// Makes the name of a file outlast a power cut, where folders can be opened.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn put(path: &Path, existing: Existing, text: &str) -> Result<()> {
        write(path, existing, |file| file.write_all(text.as_bytes()), |error| error)
    }

    #[test]
    fn a_file_is_there_whole_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        put(&path, Existing::Kept, "one").unwrap();
        let taken = put(&path, Existing::Kept, "two").unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        let torn = write(
            &path,
            Existing::Replaced,
            |file| {
                file.write_all(b"thr")?;
                assert_eq!(fs::read_to_string(&path).unwrap(), "one");
                Err::<(), _>(Error::other("full"))
            },
            |error| error,
        );
        assert_eq!(torn.unwrap_err().to_string(), "full");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        put(&path, Existing::Replaced, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let beside: Vec<_> = fs::read_dir(folder.path().join("deep")).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
    }

    #[test]
    fn a_name_that_is_taken_while_the_file_is_filled_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let fill = |file: &mut File| {
            fs::write(&path, "theirs")?;
            file.write_all(b"ours")
        };
        let taken = write(&path, Existing::Kept, fill, |error| error).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
