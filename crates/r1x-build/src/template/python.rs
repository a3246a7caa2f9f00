//! A plugin in Python: one file with one function, and its cases.

/// Its files.
pub(super) fn files() -> Vec<(&'static str, String)> {
    [
        ("plugin.toml", include_str!("python/plugin.toml")),
        ("reward.py", include_str!("python/reward.py.txt")),
        (".gitignore", "*.wasm\n__pycache__/\n"),
    ]
    .map(|(path, text)| (path, text.to_owned()))
    .to_vec()
}
