//! Files that a component carries for its own system: what an interpreter loads modules and data from.
//!
//! They are written by the builder, packed, in sections of their own: a part of what the component is, as its code
//! is, and nothing of the machine that it runs on. A tree is read once for all instances, a file unpacked when it is
//! first opened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::sections::{self, number, prefixed};

/// The name of a section with files; where there are several, later ones win.
const SECTION: &str = "r1x:files";
/// The most bytes of all files together, unpacked: what was read once is kept for all instances.
const MAX_BYTES: usize = 256 << 20;
/// The most files and folders. An interpreter with packages carries some thousands.
const MAX_NODES: usize = 100_000;

/// Files and folders of one component. The root is node 0.
#[derive(Debug)]
pub(crate) struct Files {
    nodes: Vec<Node>,
    /// Bytes of all files, unpacked.
    bytes: usize,
}

/// A file or a folder.
#[derive(Debug)]
pub(crate) enum Node {
    /// A file.
    File(Packed),
    /// A folder: its entries by name.
    Folder(BTreeMap<String, usize>),
}

/// A file as it is carried.
pub(crate) struct Packed {
    stored: Box<[u8]>,
    /// Bytes of the file itself.
    pub(crate) length: usize,
    unpacked: OnceLock<Option<Arc<[u8]>>>,
}

impl fmt::Debug for Packed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Packed").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Default for Files {
    fn default() -> Self {
        Self { nodes: vec![Node::Folder(BTreeMap::new())], bytes: 0 }
    }
}

impl Packed {
    /// The file's bytes; `None` when what is carried is damaged.
    pub(crate) fn bytes(&self) -> Option<Arc<[u8]>> {
        let unpacked = self.unpacked.get_or_init(|| {
            if self.stored.len() == self.length {
                return Some(Arc::from(&*self.stored));
            }
            let bytes =
                miniz_oxide::inflate::decompress_to_vec_with_limit(&self.stored, self.length);
            bytes.ok().filter(|bytes| bytes.len() == self.length).map(Arc::from)
        });
        unpacked.clone()
    }
}

impl Files {
    /// The files of a component that has been validated. What is cut short or has no good path is left out.
    ///
    /// # Errors
    /// When they are too many or too large.
    pub(crate) fn read(component: &[u8]) -> Result<Self, String> {
        let mut files = Self::default();
        for (_, content) in sections::custom(component).filter(|(name, _)| *name == SECTION) {
            let mut rest = content;
            while let Some((path, length, stored, after)) = entry(rest) {
                rest = after;
                files.add(path, length, stored);
                if files.nodes.len() > MAX_NODES {
                    return Err(format!("more than {MAX_NODES} files and folders"));
                }
                if files.bytes > MAX_BYTES {
                    return Err(format!("files of more than {} MiB, unpacked", MAX_BYTES >> 20));
                }
            }
        }
        Ok(files)
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// A node by its number.
    pub(crate) fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    /// What a path names, seen from a folder; `None` when it names nothing, or leads out of the tree.
    pub(crate) fn find(&self, folder: usize, path: &str) -> Option<usize> {
        let mut trail = vec![folder];
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    trail.pop();
                    // Above the folder that was asked there is nothing to see.
                    if trail.is_empty() {
                        return None;
                    }
                }
                name => {
                    let Node::Folder(entries) = self.nodes.get(*trail.last()?)? else {
                        return None;
                    };
                    trail.push(*entries.get(name)?);
                }
            }
        }
        trail.last().copied()
    }

    /// Adds a file; what is stored is deflated where it is shorter than the length.
    pub(crate) fn add(&mut self, path: &str, length: usize, stored: &[u8]) {
        let good = |part: &str| !matches!(part, "" | "." | "..");
        if !path.split('/').all(good) {
            return;
        }
        self.bytes = self.bytes.saturating_add(length);
        let mut at = 0;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let next = self.nodes.len();
            let Node::Folder(entries) = &mut self.nodes[at] else { return };
            let known = entries.get(part).copied();
            let last = parts.peek().is_none();
            let target = known.unwrap_or(next);
            entries.insert(part.to_owned(), target);
            if last {
                let stored = stored.into();
                let file = Node::File(Packed { stored, length, unpacked: OnceLock::new() });
                match known {
                    Some(number) => self.nodes[number] = file,
                    None => self.nodes.push(file),
                }
            } else if known.is_none() {
                self.nodes.push(Node::Folder(BTreeMap::new()));
            }
            at = target;
        }
    }
}

/// The first entry: its path, its length, what is stored of it, and what follows.
fn entry(bytes: &[u8]) -> Option<(&str, usize, &[u8], &[u8])> {
    let (path, rest) = prefixed(bytes)?;
    let (length, rest) = number(rest)?;
    let (stored, after) = prefixed(rest)?;
    Some((std::str::from_utf8(path).ok()?, length, stored, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sections::tests::{HEADER, section};

    fn packed(path: &str, bytes: &[u8]) -> Vec<u8> {
        stored(path, bytes.len(), bytes)
    }

    fn deflated(path: &str, bytes: &[u8]) -> Vec<u8> {
        stored(path, bytes.len(), &miniz_oxide::deflate::compress_to_vec(bytes, 6))
    }

    fn stored(path: &str, length: usize, stored: &[u8]) -> Vec<u8> {
        let number = |number: usize| [(number & 0x7f) as u8 | 0x80, (number >> 7) as u8];
        [&[path.len() as u8][..], path.as_bytes(), &number(length), &number(stored.len()), stored]
            .concat()
    }

    fn content(files: &Files, path: &str) -> Option<Vec<u8>> {
        match files.node(files.find(0, path)?)? {
            Node::File(file) => file.bytes().map(|bytes| bytes.to_vec()),
            Node::Folder(_) => None,
        }
    }

    #[test]
    fn a_tree_is_read_from_several_sections() {
        let first = [deflated("a/b.txt", &[7; 900]), packed("a/c", b"c")].concat();
        let second = [packed("a/c", b"later"), packed("d", b"")].concat();
        let component =
            [HEADER, &section(SECTION, &first), &section("x", b""), &section(SECTION, &second)];
        let files = Files::read(&component.concat()).unwrap();
        assert_eq!(content(&files, "a/b.txt"), Some(vec![7; 900]));
        assert_eq!(content(&files, "/a/./c"), Some(b"later".to_vec()));
        assert_eq!(content(&files, "a/../d"), Some(Vec::new()));
        assert_eq!(content(&files, "a"), None);
        for path in ["x", "a/b.txt/x", "..", "a/../../d"] {
            assert_eq!(files.find(0, path), None, "{path}");
        }
        let folder = files.find(0, "a").unwrap();
        assert!(files.find(folder, "c").is_some() && files.find(folder, "../d").is_none());
    }

    #[test]
    fn what_is_damaged_or_has_no_good_path_is_left_out() {
        let entries = [
            packed("../up", b"x"),
            packed("a//b", b"x"),
            packed("whole", b"x"),
            packed("whole/below", b"x"),
        ];
        let content_of =
            |content: &[u8]| Files::read(&[HEADER, &section(SECTION, content)].concat()).unwrap();
        let files = content_of(&entries.concat());
        assert_eq!(content(&files, "whole"), Some(b"x".to_vec()));
        assert_eq!(files.nodes.len(), 2);
        let mut damaged = deflated("a", &[7; 900]);
        let last = damaged.len() - 1;
        damaged[last] ^= 0xff;
        damaged[last - 1] ^= 0xff;
        let files = content_of(&damaged);
        assert!(content(&files, "a").is_none_or(|bytes| bytes != vec![7; 900]));
        // A path of many folders, and a length that nothing unpacks to, are cheap to carry.
        let deep = packed(&"a/".repeat(60), b"");
        let long = [&[1, b'l'][..], &[0x80, 0x80, 0x80, 0x80, 0x02], &[1, 0]].concat();
        let bombs = [vec![1, b'x', 0, 0], deep, long];
        let refused = bombs.map(|bomb| {
            let content = [HEADER, &section(SECTION, &bomb)].concat();
            Files::read(&content).err()
        });
        assert_eq!(refused, [None, None, Some("files of more than 256 MiB, unpacked".to_owned())]);
        let cut = packed("cut", b"0123456789");
        for length in 0..cut.len() {
            assert!(content_of(&cut[..length]).is_empty());
        }
    }
}
