//! Where a plugin begins: a file of its folder, and a function in it where the language has a choice.

use std::path::PathBuf;

use crate::error::BuildError;
use crate::source::Source;

/// What a language takes for an entry, and what it takes when a manifest names none.
pub(super) struct Form {
    /// Endings of a file's name, without the point.
    pub(super) extensions: &'static [&'static str],
    /// The file.
    pub(super) file: &'static str,
    /// The function; `None` when only one name is possible.
    pub(super) function: Option<&'static str>,
}

/// The file and the function of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) file: String,
    pub(super) function: String,
}

impl Entry {
    pub(super) fn of(source: &Source, form: &Form) -> Result<Self, BuildError> {
        let text = source.manifest.build.entry.as_deref().unwrap_or(form.file);
        let (file, function) = match form.function {
            Some(usual) => text.split_once(':').unwrap_or((text, usual)),
            None => (text, ""),
        };
        let refused = |path: PathBuf, reason: String| BuildError::NotAPlugin { path, reason };
        let known = file.rsplit_once('.').is_some_and(|(_, end)| form.extensions.contains(&end));
        if !known {
            let function = if form.function.is_some() { ":FUNCTION" } else { "" };
            let wanted = format!("FILE.{}{function}", form.extensions[0]);
            let reason = format!("names the entry `{text}`, which is not {wanted}");
            return Err(refused(source.folder.clone(), reason));
        }
        let path = source.folder.join(file);
        if !path.is_file() {
            return Err(refused(path, format!("is not there, but is the entry `{text}`")));
        }
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if form.function.is_some() && (function.is_empty() || !function.chars().all(plain)) {
            let reason = format!("names the entry `{text}`, whose `{function}` is no function");
            return Err(refused(source.folder.clone(), reason));
        }
        Ok(Self { file: file.to_owned(), function: function.to_owned() })
    }
}
