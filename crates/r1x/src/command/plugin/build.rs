//! `r1x plugin build`: from sources to a component beside them.

use std::path::Path;

use r1x_build::{Language, Source};

use super::built;
use crate::failure::{Failure, code};
use crate::table;

/// Builds a plugin and puts its component where it is wanted.
///
/// # Errors
/// When it does not build or cannot be written.
pub fn build(path: &Path, output: Option<&Path>) -> Result<i32, Failure> {
    let source = Source::open(path)?;
    if source.manifest.build.language == Language::Prebuilt {
        return Err(Failure::new(
            code::INPUT,
            format!("{}: is a component already", path.display()),
            "`r1x plugin inspect` shows what is in it",
        ));
    }
    let component = built(&source)?;
    let bytes = r1x_files::read(&component.wasm, r1x_files::AMPLE)
        .map_err(|error| Failure::io(&component.wasm, &error))?;
    let beside = source.folder.join(format!("{}.wasm", source.manifest.plugin.name));
    let output = output.unwrap_or(&beside);
    r1x_build::files::write_whole(output, &bytes)?;
    println!(
        "{}  {}  sha256 {}",
        output.display(),
        table::bytes(bytes.len() as u64),
        component.sha256
    );
    Ok(0)
}
