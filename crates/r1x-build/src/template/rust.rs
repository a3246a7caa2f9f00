//! A plugin in Rust: a crate, its cases, and the SDK beside it so that it builds anywhere.

mod sdk {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// Where the SDK finds the contract in this repository, and where in a new plugin.
const WIT_PATH: (&str, &str) = ("../../crates/r1x-reward/wit", "wit");

/// What the author writes.
const OWN: &[(&str, &str)] = &[
    ("plugin.toml", include_str!("rust/plugin.toml")),
    ("Cargo.toml", include_str!("rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("rust/lib.rs.txt")),
    (".gitignore", "/target\n"),
    ("sdk/Cargo.toml", include_str!("rust/sdk.Cargo.toml.txt")),
];

/// Its files. The SDK is copied from this repository, with the contract it is made from.
pub(super) fn files() -> Vec<(&'static str, String)> {
    let own = OWN.iter().map(|(path, text)| (*path, (*text).to_owned()));
    let sdk = sdk::SDK.iter().map(|(path, text)| (*path, text.replace(WIT_PATH.0, WIT_PATH.1)));
    own.chain(sdk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_comes_with_its_contract_and_finds_it() {
        let files = files();
        let find =
            |path: &str| files.iter().find(|(known, _)| *known == path).map(|(_, text)| text);
        assert!(find("sdk/wit/reward.wit").unwrap().contains("world reward"));
        assert!(find("sdk/src/lib.rs").unwrap().contains("path: \"wit\""));
        assert!(files.iter().all(|(_, text)| !text.contains(WIT_PATH.0)));
    }
}
