//! A plugin in JavaScript: one module with one function, and its cases.

/// Its files.
pub(super) fn files() -> Vec<(&'static str, String)> {
    [
        ("plugin.toml", include_str!("js/plugin.toml")),
        ("reward.js", include_str!("js/reward.js.txt")),
        // Without it, editors and Node take a .js file for the older kind of module.
        ("package.json", "{ \"private\": true, \"type\": \"module\" }\n"),
        (".gitignore", "*.wasm\n"),
    ]
    .map(|(path, text)| (path, text.to_owned()))
    .to_vec()
}
