//! What a power cut may take from the log of a store.
//!
//! SQLite writes the log through to the disk before it copies any of it into the store's file, and counts beforehand, in
//! the file that the processes of a store share, how many frames it is about to copy. So the frames up to this count are
//! on the disk whatever happens, and only those after it may be lost. (Formats: "WAL-mode File Format", sqlite.org,
//! sections 1 and 2.)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes before the first frame of a log.
const HEADER: u64 = 32;
/// Bytes of a frame besides its page.
const FRAME_HEADER: u64 = 24;
/// Where the index of a log says the size of a page, the number of frames, and how many of them may have been copied.
const PAGE_SIZE: usize = 14;
const FRAMES: usize = 16;
const BEING_COPIED: usize = 128;

/// The end of a log that a power cut may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loose {
    log: PathBuf,
    /// Bytes that are on the disk.
    from: u64,
    /// Bytes that committed transactions have.
    to: u64,
}

impl Loose {
    /// Reads how a program left the log of a store, before another one looks at it. `None` where nothing can be lost.
    pub fn of(store: &Path) -> Option<Self> {
        let beside = |end: &str| PathBuf::from(format!("{}{end}", store.display()));
        let log = beside("-wal");
        let (from, to) = bounds(&fs::read(beside("-shm")).ok()?)?;
        let is_there = fs::metadata(&log).is_ok_and(|meta| meta.len() >= to);
        (is_there && from < to).then_some(Self { log, from, to })
    }

    /// Takes so many hundredths of what may be lost, within a frame or between two; whether something was taken.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn take(&self, hundredths: u64) -> io::Result<bool> {
        // Whoever opened the store in between may have copied the whole log, and removed it.
        if !fs::metadata(&self.log).is_ok_and(|meta| meta.len() >= self.to) {
            return Ok(false);
        }
        let lost = ((self.to - self.from) * hundredths.min(100)).div_ceil(100);
        fs::OpenOptions::new().write(true).open(&self.log)?.set_len(self.to - lost)?;
        Ok(true)
    }
}

/// Bytes of a log that are on the disk, and that committed transactions have, as its index says.
fn bounds(index: &[u8]) -> Option<(u64, u64)> {
    let word = |at: usize| -> Option<u64> {
        let bytes = index.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?).into())
    };
    let page = index.get(PAGE_SIZE..PAGE_SIZE + 2)?;
    // A page of 65 536 bytes does not fit, and is written as 1.
    let page = match u16::from_ne_bytes(page.try_into().ok()?) {
        0 => return None,
        1 => 65_536,
        size => u64::from(size),
    };
    let end = |frames: u64| HEADER + frames * (FRAME_HEADER + page);
    Some((end(word(BEING_COPIED)?), end(word(FRAMES)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(page: u16, frames: u32, copied: u32) -> Vec<u8> {
        let mut bytes = vec![0; 136];
        bytes[PAGE_SIZE..PAGE_SIZE + 2].copy_from_slice(&page.to_ne_bytes());
        bytes[FRAMES..FRAMES + 4].copy_from_slice(&frames.to_ne_bytes());
        bytes[BEING_COPIED..BEING_COPIED + 4].copy_from_slice(&copied.to_ne_bytes());
        bytes
    }

    #[test]
    fn frames_that_may_have_been_copied_are_never_taken() {
        assert_eq!(bounds(&index(4096, 10, 3)), Some((32 + 3 * 4120, 32 + 10 * 4120)));
        assert_eq!(bounds(&index(1, 1, 0)), Some((32, 32 + 24 + 65_536)));
        assert_eq!(bounds(&index(0, 1, 0)), None);
        assert_eq!(bounds(&[0; 20]), None);
    }

    #[test]
    fn a_cut_takes_from_the_end_what_is_loose() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let log = folder.path().join("store-wal");
        fs::write(folder.path().join("store-shm"), index(4096, 10, 4)).unwrap();
        // Behind the last frame lies what an earlier turn of the log has left.
        fs::write(&log, vec![7; 32 + 20 * 4120]).unwrap();
        let loose = Loose::of(&store).unwrap();
        assert!(loose.take(50).unwrap());
        assert_eq!(fs::metadata(&log).unwrap().len(), 32 + 7 * 4120);
        assert!(!loose.take(100).unwrap(), "the log is not the one that was looked at");
        fs::write(folder.path().join("store-shm"), index(4096, 4, 4)).unwrap();
        assert_eq!(Loose::of(&store), None);
    }
}
