//! Files that a component carries for its own interpreter: a section of its own, so that its hash covers them.
//!
//! The host reads the section by the same rules (`r1x-reward`, `files.rs`): for each file its path, its length and
//! what is stored of it, each behind its own length; what is stored is deflated where that is shorter.

use crate::assets::{length, section};

/// The name of the section.
const SECTION: &str = "r1x:files";
/// How hard it is tried to make files small: a third of the time of the hardest, and nearly as small.
const LEVEL: u8 = 6;

/// Files with paths, packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    content: Vec<u8>,
}

impl Archive {
    /// Adds a file. One that is added under the same path again wins.
    pub(crate) fn push(&mut self, path: &str, bytes: &[u8]) {
        let deflated = miniz_oxide::deflate::compress_to_vec(bytes, LEVEL);
        // Equal lengths mean that nothing was deflated.
        let stored = if deflated.len() < bytes.len() { deflated.as_slice() } else { bytes };
        length(&mut self.content, path.len());
        self.content.extend_from_slice(path.as_bytes());
        length(&mut self.content, bytes.len());
        length(&mut self.content, stored.len());
        self.content.extend_from_slice(stored);
    }

    /// Puts the files behind a component; without files it stays as it is.
    pub(crate) fn append_to(&self, component: &mut Vec<u8>) {
        if !self.content.is_empty() {
            section(component, SECTION, &self.content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_packed_behind_the_component() {
        let mut archive = Archive::default();
        let mut component = b"c".to_vec();
        archive.append_to(&mut component);
        assert_eq!(component, b"c");
        archive.push("a/b", b"xy");
        archive.append_to(&mut component);
        // 1 + 9 bytes of the name, then path, length and content of one file.
        assert_eq!(component, b"c\0\x12\x09r1x:files\x03a/b\x02\x02xy");
        archive.push("long", &[7; 1000]);
        assert!(archive.content.len() < 60, "{}", archive.content.len());
    }
}
