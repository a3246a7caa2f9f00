//! Files inside a component: custom sections at its top level, so that the component's hash covers them and
//! they go wherever it goes.

use std::collections::BTreeMap;

use r1x_core::Capability;
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::{count, not_granted};
use crate::abi::cut;
use crate::limits::MAX_INFO_BYTES;
use crate::sections;
use crate::state::State;

/// How the name of a section with a file begins.
pub(crate) const PREFIX: &str = "r1x:asset/";

/// Files by name.
pub(crate) type Assets = BTreeMap<String, Vec<u8>>;

/// The most files of one component.
const MAX_FILES: usize = 10_000;

/// The files of a component that has been validated; sections that are cut short hold none.
///
/// # Errors
/// When there are too many.
pub(crate) fn read(component: &[u8]) -> Result<Assets, String> {
    let named = |(name, bytes): (&str, &[u8])| {
        Some((name.strip_prefix(PREFIX)?.to_owned(), bytes.to_vec()))
    };
    let assets: Assets =
        sections::custom(component).filter_map(named).take(MAX_FILES + 1).collect();
    if assets.len() > MAX_FILES {
        return Err(format!("more than {MAX_FILES} assets"));
    }
    Ok(assets)
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
            let missing = || format!("no asset `{name}`; there are: {}", names());
            Ok((found.ok_or_else(|| cut(missing(), MAX_INFO_BYTES)),))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sections::tests::{HEADER, section};

    #[test]
    fn too_many_files_are_refused() {
        let many: Vec<u8> =
            (0..=MAX_FILES).flat_map(|n| section(&format!("r1x:asset/{n}"), b"")).collect();
        let error = read(&[HEADER, &many].concat()).unwrap_err();
        assert_eq!(error, "more than 10000 assets");
    }

    #[test]
    fn files_are_found_among_other_sections() {
        let long = vec![7u8; 300];
        let component = [
            HEADER,
            &section("producers", b"x"),
            &section("r1x:asset/a/b.txt", &long),
            &section("r1x:asset/c", b""),
        ]
        .concat();
        let assets = read(&component).unwrap();
        assert_eq!(assets.len(), 2);
        assert_eq!((&assets["a/b.txt"], &assets["c"]), (&long, &Vec::new()));
        for length in 0..component.len() {
            assert!(read(&component[..length]).unwrap().len() < 2);
        }
    }
}
