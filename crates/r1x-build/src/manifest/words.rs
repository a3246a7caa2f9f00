//! The words that a manifest takes: when top-level code runs, languages, and what a plugin asks for.

use super::{Asset, nearest};

/// When the top level of a plugin's files runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopLevel {
    /// When the plugin is built, to check it, and at the start of every instance: an edit costs a moment.
    #[default]
    Loaded,
    /// When the plugin is built and never again: for what takes long, at the price of building the component
    /// again with every edit.
    Frozen,
}

impl TopLevel {
    /// Every choice, by its word.
    const ALL: [(&'static str, TopLevel); 2] =
        [("loaded", TopLevel::Loaded), ("frozen", TopLevel::Frozen)];

    /// The choice a word names.
    ///
    /// # Errors
    /// The words there are.
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(known, _)| *known == word);
        known
            .map(|(_, choice)| *choice)
            .ok_or_else(|| nearest(word, &Self::ALL.map(|(word, _)| word)))
    }
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Rust: a crate built by cargo.
    Rust,
    /// Python: a function in a file.
    Python,
    /// C: one file.
    C,
    /// JavaScript: one module.
    JavaScript,
    /// A component somebody built already.
    Prebuilt,
}

impl Language {
    /// Every language a manifest may name, by its word.
    pub const ALL: [(&'static str, Language); 4] = [
        ("rust", Language::Rust),
        ("python", Language::Python),
        ("c", Language::C),
        ("js", Language::JavaScript),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        let word = Self::ALL.iter().find(|(_, language)| *language == self);
        word.map_or("prebuilt", |(word, _)| word)
    }
}

/// `[capabilities]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Names of frozen models it may ask.
    pub judge: Vec<String>,
    /// Whether it may run code in another sandbox.
    pub exec: bool,
    /// Files it may read, by the names it asks for them.
    pub assets: Vec<Asset>,
}

impl Capabilities {
    /// The names of the capabilities asked for.
    pub fn names(&self) -> Vec<&'static str> {
        let asked = [
            ("judge", !self.judge.is_empty()),
            ("exec", self.exec),
            ("assets", !self.assets.is_empty()),
        ];
        asked.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name).collect()
    }
}
