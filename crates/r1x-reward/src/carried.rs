//! What a component carries beside its code: custom sections at its top level, so that the component's hash covers them
//! and they go wherever it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::files::Files;
use crate::sections;

/// What a component carries beside its code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    /// Files that it reads through a capability.
    pub(crate) assets: Arc<Assets>,
    /// Files that its own system shows it.
    pub(crate) files: Arc<Files>,
}

impl Carried {
    /// What a component that has been validated carries.
    ///
    /// # Errors
    /// When it carries too much.
    pub(crate) fn by(component: &[u8]) -> Result<Self, String> {
        let (assets, files) = (read_assets(component)?, Files::read(component)?);
        Ok(Self { assets: Arc::new(assets), files: Arc::new(files) })
    }
}

/// How the name of a section with a file begins.
const PREFIX: &str = "r1x:asset/";

/// Files by name.
pub(crate) type Assets = BTreeMap<String, Vec<u8>>;

/// The most files of one component.
const MAX_FILES: usize = 10_000;

/// The files of a component that has been validated; sections that are cut short hold none.
///
/// # Errors
/// When there are too many.
fn read_assets(component: &[u8]) -> Result<Assets, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sections::tests::{HEADER, section};

    #[test]
    fn too_many_files_are_refused() {
        let many: Vec<u8> =
            (0..=MAX_FILES).flat_map(|n| section(&format!("r1x:asset/{n}"), b"")).collect();
        let error = read_assets(&[HEADER, &many].concat()).unwrap_err();
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
        let assets = read_assets(&component).unwrap();
        assert_eq!(assets.len(), 2);
        assert_eq!((&assets["a/b.txt"], &assets["c"]), (&long, &Vec::new()));
        for length in 0..component.len() {
            assert!(read_assets(&component[..length]).unwrap().len() < 2);
        }
    }
}
