//! A plugin in C: one file with one function, its cases, and the header it includes.

use crate::language::c::HEADER;

/// Its files. The header is there for the author and the editor; a build uses the one inside r1x.
pub(super) fn files() -> Vec<(&'static str, String)> {
    [
        ("plugin.toml", include_str!("c/plugin.toml")),
        ("reward.c", include_str!("c/reward.c.txt")),
        ("r1x.h", HEADER),
        (".gitignore", "*.wasm\n"),
    ]
    .map(|(path, text)| (path, text.to_owned()))
    .to_vec()
}
