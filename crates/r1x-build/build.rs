//! Lists the files of the Rust SDK and of the contract, which `r1x plugin new` copies into every new plugin.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { below(&path, files) } else { files.push(path) }
    }
    files.sort();
}

fn main() {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let root = Path::new(&manifest.unwrap_or_else(|| panic!("cargo sets CARGO_MANIFEST_DIR")))
        .join("../..");
    let mut table = String::from(
        "/// Paths below `sdk/`, and texts.\npub(super) const SDK: &[(&str, &str)] = &[\n",
    );
    for (folder, target) in [("plugins/sdk-rust/src", "src"), ("crates/r1x-reward/wit", "wit")] {
        let folder = root.join(folder);
        println!("cargo:rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        below(&folder, &mut files);
        for file in files {
            let relative = file.strip_prefix(&folder).unwrap_or(&file);
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            let name = format!("sdk/{target}/{}", parts.join("/"));
            // Writing to a String cannot fail.
            let _ =
                writeln!(table, "    ({name:?}, include_str!({:?})),", file.display().to_string());
        }
    }
    table.push_str("];\n");
    let out = std::env::var_os("OUT_DIR").unwrap_or_else(|| panic!("cargo sets OUT_DIR"));
    let path = Path::new(&out).join("sdk.rs");
    std::fs::write(&path, table).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
