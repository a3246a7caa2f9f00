//! The languages plugins can be built from: one file each, one row here.
//!
//! Must not know manifests beyond the entry, nor the cache.

pub mod python;
pub mod rust;

use crate::build::Environment;
use crate::error::BuildError;
use crate::manifest::Language;
use crate::source::Source;

/// How one language becomes a component.
pub(crate) struct Builder {
    /// The language.
    pub(crate) language: Language,
    /// Whatever decides the component besides its sources, such as versions of tools, as one text; the cache
    /// is keyed by it. `None` when the language's own tool knows better than a hash what has changed.
    pub(crate) fingerprint: Option<fn(&Environment) -> Result<String, BuildError>>,
    /// Makes the component's bytes.
    pub(crate) compile: fn(&Source, &Environment) -> Result<Vec<u8>, BuildError>,
}

/// Every language with a builder.
const BUILDERS: &[Builder] = &[
    Builder { language: Language::Rust, fingerprint: None, compile: rust::compile },
    Builder {
        language: Language::Python,
        fingerprint: Some(python::fingerprint),
        compile: python::compile,
    },
];

/// The builder of a language.
pub(crate) fn find(language: Language) -> Option<&'static Builder> {
    BUILDERS.iter().find(|builder| builder.language == language)
}

/// The words of the languages that [`crate::build()`] takes.
pub fn supported() -> Vec<&'static str> {
    BUILDERS.iter().map(|builder| builder.language.as_str()).collect()
}
