//! Files inside a component: custom sections at its top level, so that the component's hash covers them and
//! they go wherever it goes.
//!
//! Must not know manifests or the disk.

use std::collections::BTreeMap;

use r1x_core::Capability;
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::{count, not_granted};
use crate::abi::v0_1::State;

/// How the name of a section with a file begins.
pub(crate) const PREFIX: &str = "r1x:asset/";
/// Bytes before the first section: magic, version, layer.
const HEADER_BYTES: usize = 8;
/// Number of custom sections.
const CUSTOM: u8 = 0;

/// Files by name.
pub(crate) type Assets = BTreeMap<String, Vec<u8>>;

/// The files of a component that has been validated; sections that are cut short hold none.
pub(crate) fn read(component: &[u8]) -> Assets {
    let mut assets = Assets::new();
    let mut rest = component.get(HEADER_BYTES..).unwrap_or_default();
    while let Some((id, content, after)) = section(rest) {
        rest = after;
        if id == CUSTOM
            && let Some((name, bytes)) = prefixed(content)
            && let Some(name) = std::str::from_utf8(name).ok().and_then(|n| n.strip_prefix(PREFIX))
        {
            assets.insert(name.to_owned(), bytes.to_vec());
        }
    }
    assets
}

/// The first section: its number, its content, and what follows it.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (id, rest) = bytes.split_first()?;
    let (content, after) = prefixed(rest)?;
    Some((*id, content, after))
}

/// Bytes that their length stands before, and what follows them.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes[index + 1..].split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

/// The functions of the interface.
pub(super) fn define(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap(
        "read",
        |mut store: StoreContextMut<'_, State>,
         (name,): (String,)|
         -> wasmtime::Result<(Result<Vec<u8>, String>,)> {
            let state = store.data_mut();
            count(state, Capability::Assets)?;
            if !state.grants.assets {
                return Err(not_granted(Capability::Assets));
            }
            let found = state.assets.get(&name).cloned();
            let names = || state.assets.keys().cloned().collect::<Vec<_>>().join(", ");
            Ok((found.ok_or_else(|| format!("no asset `{name}`; there are: {}", names())),))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

    fn custom(name: &str, bytes: &[u8]) -> Vec<u8> {
        let length = 1 + name.len() + bytes.len();
        // Two bytes for every length, as encoders may write it.
        let length = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
        [&[CUSTOM][..], &length, &[name.len() as u8], name.as_bytes(), bytes].concat()
    }

    #[test]
    fn files_are_found_among_other_sections() {
        let long = vec![7u8; 300];
        let component = [
            HEADER,
            &custom("producers", b"x"),
            &custom("r1x:asset/a/b.txt", &long),
            &custom("r1x:asset/c", b""),
        ]
        .concat();
        let assets = read(&component);
        assert_eq!(assets.len(), 2);
        assert_eq!((&assets["a/b.txt"], &assets["c"]), (&long, &Vec::new()));
        for length in 0..component.len() {
            assert!(read(&component[..length]).len() < 2 || length == component.len());
        }
    }
}
