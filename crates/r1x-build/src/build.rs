//! Building a plugin: finds the language's builder, and keeps what it made in a cache folder.

use std::path::{Path, PathBuf};

use crate::assets;
use crate::environment::Environment;
use crate::error::BuildError;
use crate::files;
use crate::language::{self, Builder};
use crate::manifest::Language;
use crate::package;
use crate::source::Source;

/// A component on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltPlugin {
    /// The component: in the cache folder, or where it was for `prebuilt`.
    pub wasm: PathBuf,
    /// sha256 of its bytes, lower-case hex.
    pub sha256: String,
    /// Whether nothing had to be built.
    pub cached: bool,
}

/// Makes the component of a plugin, or finds the one made earlier from the same sources and tools.
///
/// # Errors
/// When the sources, the tools or the disk do not allow it.
pub fn build(source: &Source, environment: &Environment) -> Result<BuiltPlugin, BuildError> {
    if let Some(built) = find(source, environment)? {
        return Ok(built);
    }
    let builder = builder(source)?;
    let component = (builder.compile)(source, environment)?;
    let component = assets::add(component, &source.folder, &source.manifest.capabilities.assets)?;
    let sha256 = files::sha256(&component);
    let wasm = environment.cache_path("components", &format!("{sha256}.wasm"))?;
    files::write_whole(&wasm, &component)?;
    // A build may complete its own sources, with a lock file for instance, so they are hashed again.
    if let Some(path) = remembered(source, environment, builder)? {
        files::write_whole(&path, sha256.as_bytes())?;
    }
    Ok(BuiltPlugin { wasm, sha256, cached: false })
}

/// The component made earlier from the same sources and tools, or none. Nothing is built.
///
/// # Errors
/// When the sources cannot be read, or no builder knows their language.
pub fn find(source: &Source, environment: &Environment) -> Result<Option<BuiltPlugin>, BuildError> {
    if source.manifest.build.language == Language::Prebuilt {
        return prebuilt(source, environment).map(Some);
    }
    let known = remembered(source, environment, builder(source)?)?;
    Ok(known.as_deref().and_then(|path| read_pair(path, environment)))
}

/// The component with these bytes, if it was built on this machine.
pub fn find_component(sha256: &str, environment: &Environment) -> Option<Vec<u8>> {
    let wasm = environment.cache_path("components", &format!("{sha256}.wasm")).ok()?;
    let bytes = r1x_files::read(&wasm, r1x_files::AMPLE).ok()?;
    files::used(&[&wasm]);
    (files::sha256(&bytes) == sha256).then_some(bytes)
}

fn builder(source: &Source) -> Result<&'static Builder, BuildError> {
    let language = source.manifest.build.language;
    language::find(language).ok_or(BuildError::UnsupportedLanguage(language.as_str()))
}

fn prebuilt(source: &Source, environment: &Environment) -> Result<BuiltPlugin, BuildError> {
    let entry = source.manifest.build.entry.as_deref().unwrap_or_default();
    let wasm = source.folder.join(entry);
    let bytes =
        r1x_files::read(&wasm, r1x_files::AMPLE).map_err(|error| BuildError::io(&wasm, error))?;
    let pinned = &source.manifest.capabilities.assets;
    if !pinned.is_empty() {
        let component = assets::add(bytes, &source.folder, pinned)?;
        let sha256 = files::sha256(&component);
        let wasm = environment.cache_path("components", &format!("{sha256}.wasm"))?;
        files::write_whole(&wasm, &component)?;
        return Ok(BuiltPlugin { wasm, sha256, cached: true });
    }
    Ok(BuiltPlugin { sha256: files::sha256(&bytes), wasm, cached: true })
}

/// The files that the component of a plugin is made of, relative to its folder.
///
/// # Errors
/// When its folder cannot be listed, or has in it what is no file of a plugin.
pub fn sources_of(source: &Source) -> Result<Vec<PathBuf>, BuildError> {
    match (&source.manifest_path, &source.manifest.build.entry) {
        // A single file is its own source, with the lock of its packages; its neighbours are none of its
        // business.
        (None, Some(entry)) => {
            let lock = package::lock_path(source);
            let lock = lock.file_name().filter(|_| lock.is_file()).map(PathBuf::from);
            Ok([PathBuf::from(entry)].into_iter().chain(lock).collect())
        }
        _ => files::sources(&source.folder),
    }
}

/// The file that remembers which component these sources gave, where the builder wants that.
fn remembered(
    source: &Source,
    environment: &Environment,
    builder: &Builder,
) -> Result<Option<PathBuf>, BuildError> {
    let Some(fingerprint) = builder.fingerprint else { return Ok(None) };
    let sources = files::digest(&source.folder, &sources_of(source)?)?;
    let key = files::sha256(format!("{sources}\n{}", fingerprint(environment)?).as_bytes());
    environment.cache_path("built", &format!("{key}.sha256")).map(Some)
}

/// The component a remembered file names, if it is still there and whole.
fn read_pair(path: &Path, environment: &Environment) -> Option<BuiltPlugin> {
    let sha256 = r1x_files::read_text(path, r1x_files::AMPLE).ok()?;
    let wasm = environment.cache_path("components", &format!("{sha256}.wasm")).ok()?;
    let bytes = r1x_files::read(&wasm, r1x_files::AMPLE).ok()?;
    files::used(&[path, &wasm]);
    (files::sha256(&bytes) == sha256).then_some(BuiltPlugin { wasm, sha256, cached: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(folder: &Path) -> Environment {
        Environment::new(Default::default(), folder.join("cache"))
    }

    #[test]
    fn a_prebuilt_component_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wasm");
        std::fs::write(&path, b"\0asm").unwrap();
        let built = build(&Source::open(&path).unwrap(), &environment(folder.path())).unwrap();
        assert_eq!((built.wasm, built.cached), (path, true));
        assert_eq!(built.sha256, files::sha256(b"\0asm"));
        assert!(!folder.path().join("cache").exists());
    }

    #[test]
    fn a_missing_component_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = "[plugin]\nname = \"a\"\nversion = \"1\"\n[build]\nprebuilt = \"b.wasm\"\n";
        std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
        let source = Source::open(folder.path()).unwrap();
        let error = build(&source, &environment(folder.path())).unwrap_err();
        assert!(error.to_string().contains("b.wasm"), "{error}");
    }
}
