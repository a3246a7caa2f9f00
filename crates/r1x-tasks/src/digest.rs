//! sha256 of what a reader reads, and of fields that cannot run into each other.

use std::io::Read;

use r1x_core::digest::{hex, sha256};
use sha2::{Digest, Sha256};

/// Hex digits of a problem's key: 128 bits, far beyond chance collisions between problems.
const KEY_DIGITS: usize = 32;

/// The key of a problem with this canonical form.
pub(crate) fn problem_key(canonical: &str) -> String {
    let mut key = sha256(canonical.as_bytes());
    key.truncate(KEY_DIGITS);
    key
}

/// The first 64 bits of a key as a number, for choices that must depend on the problem alone.
pub(crate) fn key_number(key: &str) -> u64 {
    key.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

/// Hashes a sequence of optional texts; every text goes in with its length, so no two sequences look alike.
pub(crate) struct Fields(Sha256);

impl Fields {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    pub(crate) fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.update(u64::MAX.to_le_bytes()),
        }
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_le_bytes());
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// A reader that hashes what is read through it.
pub(crate) struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R> Hashed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// sha256 of all that was read, hex.
    pub(crate) fn finish(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_beginning_of_a_hash() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(problem_key("abc"), expected[..32]);
        assert_eq!(key_number(expected), 0xba78_16bf_8f01_cfea);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let of = |texts: &[Option<&str>]| {
            let mut fields = Fields::new();
            texts.iter().for_each(|text| fields.optional(*text));
            fields.finish()
        };
        assert_ne!(of(&[Some("ab"), Some("c")]), of(&[Some("a"), Some("bc")]));
        assert_ne!(of(&[None]), of(&[Some("")]));
    }
}
