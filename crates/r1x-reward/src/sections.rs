//! The custom sections that r1x itself puts behind a component: files of several kinds, covered by its hash.

use std::borrow::Cow;
use std::ops::Range;

/// How the name of every section of r1x begins.
const OWN: &str = "r1x:";
/// Bytes before the first section: magic, version, layer.
const HEADER_BYTES: usize = 8;
/// Number of custom sections.
const CUSTOM: u8 = 0;

/// Names and contents of the custom sections at a component's top level. What is cut short is left out.
pub(crate) fn custom(component: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    all(component).map(|(name, content, _)| (name, content))
}

/// A component without the sections of r1x. They hold no code, so components that differ in nothing else are
/// compiled once.
pub(crate) fn code(component: &[u8]) -> Cow<'_, [u8]> {
    let own: Vec<Range<usize>> = all(component)
        .filter(|(name, _, _)| name.starts_with(OWN))
        .map(|(_, _, range)| range)
        .collect();
    if own.is_empty() {
        return Cow::Borrowed(component);
    }
    let mut kept = Vec::with_capacity(component.len());
    let mut at = 0;
    for range in own {
        kept.extend_from_slice(&component[at..range.start]);
        at = range.end;
    }
    kept.extend_from_slice(&component[at..]);
    Cow::Owned(kept)
}

/// Custom sections with their names, contents and places.
fn all(component: &[u8]) -> impl Iterator<Item = (&str, &[u8], Range<usize>)> {
    let mut rest = component.get(HEADER_BYTES..).unwrap_or_default();
    let sections = std::iter::from_fn(move || {
        let start = component.len() - rest.len();
        let (id, content, after) = section(rest)?;
        rest = after;
        Some((id, content, start..component.len() - after.len()))
    });
    sections.filter(|(id, _, _)| *id == CUSTOM).filter_map(|(_, content, range)| {
        let (name, bytes) = prefixed(content)?;
        Some((std::str::from_utf8(name).ok()?, bytes, range))
    })
}

/// The first section: its number, its content, and what follows it.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (id, rest) = bytes.split_first()?;
    let (content, after) = prefixed(rest)?;
    Some((*id, content, after))
}

/// Bytes that their length stands before, and what follows them.
pub(crate) fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(length)
}

/// A number as WebAssembly writes it: seven bits a byte, the lowest first.
pub(crate) fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

    pub(crate) fn section(name: &str, bytes: &[u8]) -> Vec<u8> {
        let length = 1 + name.len() + bytes.len();
        // Two bytes for every length, as encoders may write it.
        let length = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
        [&[CUSTOM][..], &length, &[name.len() as u8], name.as_bytes(), bytes].concat()
    }

    #[test]
    fn sections_of_r1x_are_no_code() {
        let (producers, more) = (section("producers", b"x"), section("name", &[7; 300]));
        let plain = [HEADER, &producers, &more].concat();
        assert!(matches!(code(&plain), Cow::Borrowed(kept) if kept == plain));
        let own = section("r1x:asset/a", &[1; 200]);
        for carrying in [
            [HEADER, &producers, &more, &own].concat(),
            [HEADER, &own, &producers, &section("r1x:files", b""), &more].concat(),
        ] {
            assert_eq!(code(&carrying), plain);
        }
        let names: Vec<&str> = custom(&plain).map(|(name, _)| name).collect();
        assert_eq!(names, ["producers", "name"]);
    }
}
