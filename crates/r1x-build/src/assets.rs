//! Files that a manifest pins, put into the component: sections of its own, so that its hash covers them and
//! they go wherever it goes.

use std::path::Path;

use crate::error::BuildError;
use crate::files;
use crate::manifest::Asset;

/// How the name of a section with a file begins.
const PREFIX: &str = "r1x:asset/";
/// Number of custom sections.
const CUSTOM: u8 = 0;
/// All files of a plugin together.
const MAX_BYTES: u64 = 16 << 20;

/// The component with the files in it. Without any it stays as it is, to the bit.
///
/// # Errors
/// When a file is missing, is not the one that is pinned, or there is too much of them.
pub(crate) fn add(
    mut component: Vec<u8>,
    folder: &Path,
    assets: &[Asset],
) -> Result<Vec<u8>, BuildError> {
    let mut total = 0;
    for asset in assets {
        let path = folder.join(&asset.name);
        let facts = std::fs::metadata(&path).map_err(|error| BuildError::io(&path, error))?;
        total += facts.len();
        if total > MAX_BYTES {
            return Err(refused(
                format!("the assets hold more than {} MiB", MAX_BYTES >> 20),
                "a plugin carries them in its component: keep what it needs",
            ));
        }
        let bytes = r1x_files::read(&path, r1x_files::AMPLE)
            .map_err(|error| BuildError::io(&path, error))?;
        let found = files::sha256(&bytes);
        if found != asset.sha256 {
            return Err(refused(
                format!(
                    "the asset {} has sha256 {found}, but the manifest pins {}",
                    path.display(),
                    asset.sha256
                ),
                "put the pinned file back, or pin this one under [capabilities.assets]",
            ));
        }
        section(&mut component, &format!("{PREFIX}{}", asset.name), &bytes);
    }
    Ok(component)
}

fn refused(what: String, hint: &str) -> BuildError {
    BuildError::Failed { what, output: String::new(), hint: hint.to_owned() }
}

/// Puts a custom section behind a component.
pub(crate) fn section(component: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let mut content = Vec::with_capacity(name.len() + bytes.len() + 5);
    length(&mut content, name.len());
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(bytes);
    component.push(CUSTOM);
    length(component, content.len());
    component.append(&mut content);
}

/// A length as WebAssembly writes it: seven bits a byte, the lowest first.
pub(crate) fn length(bytes: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(name: &str, bytes: &[u8]) -> Asset {
        Asset { name: name.to_owned(), sha256: files::sha256(bytes) }
    }

    #[test]
    fn files_follow_the_component() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![1u8; 200];
        std::fs::write(folder.path().join("a"), b"xy").unwrap();
        std::fs::write(folder.path().join("b"), &long).unwrap();
        let assets = [asset("a", b"xy"), asset("b", &long)];
        let added = add(b"component".to_vec(), folder.path(), &assets).unwrap();
        let first = b"\0\x0e\x0br1x:asset/axy";
        // 1 + 11 + 200 bytes are 212, which takes two bytes to write.
        let second = [&b"\0\xd4\x01\x0br1x:asset/b"[..], &long].concat();
        assert_eq!(added, [&b"component"[..], first, &second].concat());
        assert_eq!(add(b"x".to_vec(), folder.path(), &[]).unwrap(), b"x");
    }

    #[test]
    fn another_file_than_the_pinned_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), b"changed").unwrap();
        let error = add(Vec::new(), folder.path(), &[asset("a", b"xy")]).unwrap_err();
        assert!(error.to_string().contains("but the manifest pins"), "{error}");
        assert!(error.hint().contains("[capabilities.assets]"));
        let error = add(Vec::new(), folder.path(), &[asset("missing", b"")]).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        std::fs::write(folder.path().join("big"), vec![0; 17 << 20]).unwrap();
        let error = add(Vec::new(), folder.path(), &[asset("big", b"")]).unwrap_err();
        assert!(error.to_string().contains("more than 16 MiB"), "{error}");
    }
}
