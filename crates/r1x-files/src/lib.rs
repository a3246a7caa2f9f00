//! Files that somebody else made: opened only where they are regular files, and read only up to a limit. And folders
//! and files of our own, which appear whole or not at all.
//!
//! Opening a pipe waits for somebody who may never write to it, and a device has no end.

pub mod folder;
pub mod whole;

use std::fs::{self, File, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// More than any source, component, tokenizer or list of cases takes; one that is larger is something else.
pub const AMPLE: u64 = 1 << 30;

/// Whether a path leads to a regular file.
///
/// # Errors
/// What the system says, and when it leads to a folder, a pipe, a socket or a device.
pub fn check(path: impl AsRef<Path>) -> Result<()> {
    regular(&fs::metadata(path)?)
}

/// Opens a regular file for reading.
///
/// # Errors
/// What the system says, and when the path leads to a folder, a pipe, a socket or a device.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    // Before it is opened, because opening is what would wait.
    check(path)?;
    let file = File::open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// The bytes of a regular file of at most so many.
///
/// # Errors
/// When the path leads to no regular file or cannot be read, and when the file has more bytes than the limit.
pub fn read(path: impl AsRef<Path>, limit_bytes: u64) -> Result<Vec<u8>> {
    read_open(open(path)?, limit_bytes)
}

/// The text of a file of at most so many bytes, or of what comes out of a pipe, whose end is waited for. It is for a path
/// that a person gives on the command line, where a pipe is meant to be read.
///
/// # Errors
/// When the path leads to a folder or cannot be read, when there are more bytes than the limit, and when they are not
/// UTF-8.
pub fn read_text_or_pipe(path: impl AsRef<Path>, limit_bytes: u64) -> Result<String> {
    let path = path.as_ref();
    if fs::metadata(path)?.is_dir() {
        return Err(folder_error());
    }
    text(read_open(File::open(path)?, limit_bytes)?)
}

fn read_open(file: File, limit_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes {
        let message = format!("it has more than {limit_bytes} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The text of a regular file of at most so many bytes.
///
/// # Errors
/// When the path leads to no regular file or cannot be read, when the file has more bytes than the limit, and when
/// its bytes are not UTF-8.
pub fn read_text(path: impl AsRef<Path>, limit_bytes: u64) -> Result<String> {
    text(read(path, limit_bytes)?)
}

fn text(bytes: Vec<u8>) -> Result<String> {
    let not_text = |_| Error::new(ErrorKind::InvalidData, "it is not text in UTF-8");
    String::from_utf8(bytes).map_err(not_text)
}

fn folder_error() -> Error {
    Error::new(ErrorKind::IsADirectory, "it is a folder, not a file")
}

fn regular(meta: &Metadata) -> Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    if meta.is_dir() {
        return Err(folder_error());
    }
    let message = "it is a pipe, a socket or a device, not a regular file; copy what comes out of it into one";
    Err(Error::new(ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(folder.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        let missing = folder.path().join("missing");
        assert_eq!(open(&missing).unwrap_err().kind(), ErrorKind::NotFound);
        if cfg!(unix) {
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let error = open(&pipe).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
            assert!(open("/dev/zero").is_err());
        }
    }

    #[test]
    fn a_pipe_is_read_to_its_end_where_one_may_be_meant() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_text_or_pipe(folder.path(), 4).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let path = folder.path().join("file");
        fs::write(&path, b"four").unwrap();
        assert_eq!(read_text_or_pipe(&path, 4).unwrap(), "four");
        if cfg!(unix) {
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            for (limit, read) in [(4, Ok("four".to_owned())), (3, Err(ErrorKind::FileTooLarge))] {
                let writer = std::thread::spawn({
                    let pipe = pipe.clone();
                    move || fs::write(pipe, b"four")
                });
                let found = read_text_or_pipe(&pipe, limit).map_err(|error| error.kind());
                assert_eq!(found, read);
                writer.join().unwrap().unwrap();
            }
        }
    }

    #[test]
    fn a_limit_counts_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_text(&path, u64::MAX).unwrap(), "four");
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
