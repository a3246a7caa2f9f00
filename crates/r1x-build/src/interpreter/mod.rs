//! Interpreters for programs that a model wrote: components of the world `interpreter`, one row for each
//! language. They are built when first wanted and kept.

mod python;

use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;

/// How one language's interpreter comes to be.
struct Interpreter {
    /// The word for the language.
    language: &'static str,
    /// Whatever decides the component, as one text; what was built is kept under its hash.
    fingerprint: fn() -> String,
    /// Whether the tools for it are here.
    ready: fn(&Environment) -> Result<(), BuildError>,
    /// Makes the component.
    compile: fn(&Environment) -> Result<Vec<u8>, BuildError>,
}

/// Every language that programs can be in.
const INTERPRETERS: &[Interpreter] = &[Interpreter {
    language: "python",
    fingerprint: python::fingerprint,
    ready: python::ready,
    compile: python::compile,
}];

/// The words of the languages.
pub fn languages() -> Vec<&'static str> {
    INTERPRETERS.iter().map(|interpreter| interpreter.language).collect()
}

/// The component that runs programs of a language; `None` for a language without one.
///
/// # Errors
/// When it is not built yet and the tools for it are missing or fail.
pub fn component(language: &str, environment: &Environment) -> Result<Option<Vec<u8>>, BuildError> {
    let Some(interpreter) = find(language) else { return Ok(None) };
    let path = path(interpreter, environment)?;
    if let Some(bytes) = kept(&path) {
        return Ok(Some(bytes));
    }
    let component = (interpreter.compile)(environment)?;
    let noted = format!("{}\n", files::sha256(&component));
    // The note comes second: a component without its note is one that is not there.
    files::write_whole(&path, &component)?;
    files::write_whole(&path.with_extension("sha256"), noted.as_bytes())?;
    Ok(Some(component))
}

/// Whether [`component`] has it, or could build it.
///
/// # Errors
/// When neither is so.
pub fn ready(language: &str, environment: &Environment) -> Result<(), BuildError> {
    match find(language) {
        Some(interpreter) if kept(&path(interpreter, environment)?).is_none() => {
            (interpreter.ready)(environment)
        }
        _ => Ok(()),
    }
}

/// Whether it was built before.
pub fn is_built(language: &str, environment: &Environment) -> bool {
    let kept = |interpreter| path(interpreter, environment).ok().and_then(|path| kept(&path));
    find(language).and_then(kept).is_some()
}

fn find(language: &str) -> Option<&'static Interpreter> {
    INTERPRETERS.iter().find(|interpreter| interpreter.language == language)
}

fn path(
    interpreter: &Interpreter,
    environment: &Environment,
) -> Result<std::path::PathBuf, BuildError> {
    let key = files::sha256((interpreter.fingerprint)().as_bytes());
    environment.cache_path("interpreters", &format!("{}-{key}.wasm", interpreter.language))
}

fn kept(path: &std::path::Path) -> Option<Vec<u8>> {
    let noted = r1x_files::read_text(path.with_extension("sha256"), r1x_files::AMPLE).ok()?;
    let bytes = r1x_files::read(path, r1x_files::AMPLE).ok()?;
    files::used(&[path]);
    (files::sha256(&bytes) == noted.trim()).then_some(bytes)
}
