//! What a user may point at: a plugin's folder, its manifest, a single source file, or a component.

use std::path::{Path, PathBuf};

use crate::error::BuildError;
use crate::manifest::{Case, Language, Manifest, is_name};
use crate::package::script;

/// The name of a manifest.
pub const MANIFEST_NAME: &str = "plugin.toml";
/// Further cases of a plugin, beside its manifest.
const CASES_NAME: &str = "cases.jsonl";
/// The ending of the file with the cases of a single file: those of `reward.py` stand in `reward.cases.jsonl`.
const SINGLE_CASES: &str = "cases.jsonl";

/// A plugin's sources and its manifest, written or synthesised.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The folder that everything in the manifest is relative to.
    pub folder: PathBuf,
    /// Where the manifest is, when there is one.
    pub manifest_path: Option<PathBuf>,
    /// What it says; the cases of a `cases.jsonl` beside it are among its tests.
    pub manifest: Manifest,
}

impl Source {
    /// Finds out what a path names.
    ///
    /// # Errors
    /// When it is no plugin, or its manifest is wrong.
    pub fn open(path: &Path) -> Result<Self, BuildError> {
        let facts = std::fs::metadata(path).map_err(|error| BuildError::io(path, error))?;
        if facts.is_dir() {
            return Self::with_manifest(path, &path.join(MANIFEST_NAME));
        }
        r1x_files::check(path).map_err(|error| BuildError::io(path, error))?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if path.file_name().is_some_and(|name| name == MANIFEST_NAME) {
            return Self::with_manifest(folder, path);
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        let language = match extension {
            Some("py") => Language::Python,
            Some("js" | "mjs") => Language::JavaScript,
            Some("c") => Language::C,
            Some("wasm") => Language::Prebuilt,
            _ => {
                let reason =
                    "is neither a folder with a plugin.toml, nor a .py, .js, .c or .wasm file";
                return Err(not_a_plugin(path, reason));
            }
        };
        let entry = path.file_name().and_then(|name| name.to_str());
        let entry = entry.ok_or_else(|| not_a_plugin(path, "has a name that is not UTF-8"))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name = stem.to_lowercase().replace(['_', ' ', '.'], "-");
        let name = if is_name(&name) { name.as_str() } else { "plugin" };
        let mut manifest = Manifest::synthesised(name, language, entry);
        if language == Language::Python {
            let bytes = r1x_files::read(path, r1x_files::AMPLE)
                .map_err(|error| BuildError::io(path, error))?;
            let script = script::read(path, &String::from_utf8_lossy(&bytes))?;
            manifest.build.requirements = script.requirements;
            manifest.build.top_level = script.top_level;
        }
        manifest.tests.extend(read_cases(&path.with_extension(SINGLE_CASES))?);
        Ok(Self { folder: folder.to_owned(), manifest_path: None, manifest })
    }

    /// Where an author adds a case, in words.
    pub fn where_cases_go(&self) -> String {
        const KEYS: &str = "with `completion`, `columns` and `reward`";
        match (&self.manifest_path, &self.manifest.build.entry) {
            (None, Some(entry)) => {
                let cases = self.folder.join(entry).with_extension(SINGLE_CASES);
                format!("write JSON lines {KEYS} to {}", cases.display())
            }
            _ => format!(
                "add [[test]] {KEYS} to plugin.toml, or JSON lines to a {CASES_NAME} beside it"
            ),
        }
    }

    fn with_manifest(folder: &Path, path: &Path) -> Result<Self, BuildError> {
        let text = match r1x_files::read_text(path, r1x_files::AMPLE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(not_a_plugin(folder, "has no plugin.toml"));
            }
            Err(error) => return Err(BuildError::io(path, error)),
        };
        let mut manifest = Manifest::parse(path, &text)?;
        manifest.tests.extend(read_cases(&folder.join(CASES_NAME))?);
        Ok(Self { folder: folder.to_owned(), manifest_path: Some(path.to_owned()), manifest })
    }
}

/// The cases of a file; none when it is not there.
fn read_cases(path: &Path) -> Result<Vec<Case>, BuildError> {
    match r1x_files::read_text(path, r1x_files::AMPLE) {
        Ok(text) => Ok(Case::parse_lines(path, &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(BuildError::io(path, error)),
    }
}

fn not_a_plugin(path: &Path, reason: &str) -> BuildError {
    BuildError::NotAPlugin { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_files_get_a_manifest() {
        let folder = tempfile::tempdir().unwrap();
        for (name, language, plugin) in [
            ("My_Reward.py", Language::Python, "my-reward"),
            ("count.wasm", Language::Prebuilt, "count"),
            ("1.py", Language::Python, "plugin"),
            ("a.mjs", Language::JavaScript, "a"),
            ("b.js", Language::JavaScript, "b"),
            ("c.c", Language::C, "c"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            let source = Source::open(&path).unwrap();
            assert_eq!(source.manifest.build.language, language);
            assert_eq!(source.manifest.build.entry.as_deref(), Some(name));
            assert_eq!(source.manifest.plugin.name, plugin);
            assert_eq!((source.folder.as_path(), source.manifest_path), (folder.path(), None));
        }
    }

    #[test]
    fn a_single_file_has_its_cases_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reward.py");
        std::fs::write(&path, "").unwrap();
        let told = Source::open(&path).unwrap().where_cases_go();
        let cases = folder.path().join("reward.cases.jsonl");
        assert!(told.contains(cases.to_str().unwrap()), "{told}");
        std::fs::write(cases, "{\"completion\":\"x\",\"reward\":1}").unwrap();
        assert_eq!(Source::open(&path).unwrap().manifest.tests.len(), 1);
    }

    #[test]
    fn a_folder_is_its_manifest_with_its_cases() {
        let folder = tempfile::tempdir().unwrap();
        let error = Source::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("has no plugin.toml"), "{error}");
        let manifest = "[plugin]\nname = \"a\"\nversion = \"1\"\n[build]\nlanguage = \"rust\"\n";
        std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let cases =
            "{\"completion\":\"x\",\"reward\":1}\n\n{\"completion\":\"y\",\"abstain\":true}";
        std::fs::write(folder.path().join("cases.jsonl"), cases).unwrap();
        let source = Source::open(folder.path()).unwrap();
        assert_eq!(source.manifest.tests.len(), 2);
        assert_eq!(source.manifest.tests[1].line, 3);
        assert_eq!(Source::open(&folder.path().join("plugin.toml")).unwrap(), source);
        std::fs::write(folder.path().join("cases.jsonl"), "{\"completion\":1}").unwrap();
        let error = Source::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cases.jsonl:1:15: invalid type"), "{error}");
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reward.txt");
        std::fs::write(&path, "").unwrap();
        let error = Source::open(&path).unwrap_err();
        assert!(error.hint().contains("plugin new"), "{}", error.hint());
        assert!(Source::open(&folder.path().join("nothing.py")).is_err());
    }
}
