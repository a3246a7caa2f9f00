//! The languages plugins can be built from: one file each, one row here.

pub mod c;
mod entry;
pub mod javascript;
pub mod python;
pub mod rust;

use crate::environment::Environment;
use crate::error::BuildError;
use crate::manifest::Language;
use crate::source::Source;
use crate::tool::{self, Ran};

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
    Builder { language: Language::C, fingerprint: Some(c::fingerprint), compile: c::compile },
    Builder {
        language: Language::JavaScript,
        fingerprint: Some(javascript::fingerprint),
        compile: javascript::compile,
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

/// How a shim starts the line with which it refuses sources; a JSON string follows.
const REFUSED: &str = "r1x-refused:";

/// What the author is told when `tool` made no component of `file`: the shim's own sentence where there is one.
fn refused(file: &str, tool: &str, ran: &Ran) -> BuildError {
    if let Some((took, _)) = ran.timed_out() {
        return endless(file, took);
    }
    let output = ran.output();
    match sentence(&output) {
        Some(sentence) => refusal(file, sentence),
        None => {
            let (what, output) = (cannot(file), output.trim().to_owned());
            BuildError::Failed { what, output, hint: format!("this is what {tool} said") }
        }
    }
}

/// What the author is told when the file itself is refused.
fn refusal(file: &str, sentence: String) -> BuildError {
    let hint =
        "the top level runs once, when the plugin is built; docs/plugins.md tells what it may use";
    BuildError::Failed { what: cannot(file), output: sentence, hint: hint.to_owned() }
}

/// What the author is told when building does not end.
fn endless(file: &str, took: String) -> BuildError {
    let hint = format!(
        "does the top level end? What takes long belongs into the function; {}",
        tool::MORE_TIME
    );
    BuildError::Failed { what: cannot(file), output: took, hint }
}

fn cannot(file: &str) -> String {
    format!("{file} cannot become a plugin")
}

/// The sentence with which a shim refused sources, if it did.
fn sentence(output: &str) -> Option<String> {
    output.lines().find_map(|line| {
        let (_, json) = line.split_once(REFUSED)?;
        serde_json::from_str(json.trim()).ok()
    })
}
