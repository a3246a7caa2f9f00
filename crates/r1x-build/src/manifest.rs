//! The manifest of a plugin, `plugin.toml`: what it is, how it is built, what it asks for, how it is tested.
//!
//! A manifest that was accepted has no contradictions left in it.

mod words;

use std::collections::BTreeMap;
use std::path::Path;

use r1x_core::long_number;
use r1x_core::units::bytes_or_number;
use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

pub use self::words::{Capabilities, Language, TopLevel};
use crate::error::ManifestError;
use crate::package::{REQUIREMENT_HINT, Requirement};

/// The contract a manifest speaks of when it names none.
pub(crate) const WORLD: &str = "r1x:reward@0.1.0";

/// A whole manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What the plugin is.
    pub plugin: About,
    /// How it is built.
    pub build: BuildSection,
    /// What it asks for; each also needs a grant in the spec.
    pub capabilities: Capabilities,
    /// Its author's own ceilings; a spec can only lower them.
    pub limits: Limits,
    /// Its cases, in order.
    pub tests: Vec<Case>,
}

/// `[plugin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence; may be empty.
    pub description: String,
    /// The contract it speaks.
    pub world: String,
}

/// `[build]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSection {
    /// What it is written in.
    pub language: Language,
    /// Where it begins, in the language's own terms: `reward.py:reward`, `reward.c`; the component's path
    /// for `prebuilt`. `None` leaves it to the language.
    pub entry: Option<String>,
    /// Packages that it needs, where its language has some.
    pub requirements: Vec<Requirement>,
    /// When its top level runs, where its language has one.
    pub top_level: TopLevel,
}

/// A file pinned by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its path relative to the manifest, which is also the name the plugin uses.
    pub name: String,
    /// sha256 of its bytes, lower-case hex.
    pub sha256: String,
}

/// `[limits]`; `None` is the host's default. Names are those of a spec's `limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds for a call, before the share per rollout.
    pub time_ms: Option<u64>,
    /// Milliseconds added per rollout in the call.
    pub time_per_rollout_ms: Option<u64>,
    /// Bytes of linear memory.
    pub memory_bytes: Option<u64>,
    /// Units of work for a call, the same on every machine.
    pub fuel: Option<u64>,
}

/// One `[[test]]`, or one line of a `cases.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What reports call it.
    pub name: Option<String>,
    /// The prompt, for plugins that need it.
    pub prompt: Option<String>,
    /// What the model wrote.
    pub completion: String,
    /// Whether the token limit ended it.
    pub truncated: bool,
    /// The problem's columns; see [`Case::columns_json`].
    pub columns: Map<String, Value>,
    /// What the plugin is configured with.
    pub config: Map<String, Value>,
    /// What should come of it.
    pub expected: Expectation,
    /// Line where it begins, counted from 1.
    pub line: usize,
}

/// What a case expects. What it does not name is not compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectation {
    /// The reward.
    pub reward: Option<f64>,
    /// That the plugin has no opinion.
    pub abstain: bool,
    /// Words its refusal contains.
    pub error: Option<String>,
    /// Sub-scores.
    pub parts: BTreeMap<String, f64>,
    /// Its whole explanation.
    pub info: Option<String>,
}

impl Manifest {
    /// Reads a manifest; `path` is what errors call it.
    ///
    /// # Errors
    /// The first thing wrong with it, with its place.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let reader = Reader { path, text };
        let raw: Raw = toml::from_str(text).map_err(|error| reader.toml(&error))?;
        let about = reader.about(raw.plugin)?;
        Ok(Self {
            plugin: about,
            build: reader.build(raw.build)?,
            capabilities: reader.capabilities(raw.capabilities)?,
            limits: reader.limits(raw.limits)?,
            tests: raw.test.into_iter().map(|test| reader.case(test)).collect::<Result<_, _>>()?,
        })
    }

    /// The manifest of a single file, which has none.
    pub fn synthesised(name: &str, language: Language, entry: &str) -> Self {
        Self {
            plugin: About {
                name: name.to_owned(),
                version: "0.0.0".to_owned(),
                description: String::new(),
                world: WORLD.to_owned(),
            },
            build: BuildSection {
                language,
                entry: Some(entry.to_owned()),
                requirements: Vec::new(),
                top_level: TopLevel::default(),
            },
            capabilities: Capabilities::default(),
            limits: Limits::default(),
            tests: Vec::new(),
        }
    }
}

impl Case {
    /// Reads a `cases.jsonl`: one JSON object a line, with the keys of `[[test]]`.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse_lines(path: &Path, text: &str) -> Result<Vec<Self>, ManifestError> {
        let reader = Reader { path, text };
        let mut cases = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |column: usize, message: String| ManifestError {
                path: path.to_owned(),
                line: index + 1,
                column,
                message,
                hint: CASE_HINT.to_owned(),
            };
            // Columns keep the digits of numbers that 64 bits would round; `columns_json` writes them.
            let raw: RawCase = serde_json::from_str(&long_number::marked(line))
                .map_err(|error| wrong(error.column().max(1), json_message(&error)))?;
            let case = reader.expectation(raw, index + 1);
            cases.push(case.map_err(|message| wrong(1, message))?);
        }
        Ok(cases)
    }

    /// The columns as the plugin gets them: a JSON object, numbers with all their digits.
    pub fn columns_json(&self) -> String {
        let json = Value::Object(self.columns.clone()).to_string();
        long_number::unmarked(&json).into_owned()
    }
}

const CASE_HINT: &str = "a case has `completion` and one of `reward`, `abstain = true` and `error`; also \
     `name`, `prompt`, `truncated`, `columns`, `config`, `parts`, `info`";
const BYTES_HINT: &str = "write a whole number, or one with a unit: 64KiB, 256MiB, 1GiB";

/// serde_json repeats the position in its message.
fn json_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    plugin: RawAbout,
    build: Spanned<RawBuild>,
    #[serde(default)]
    capabilities: RawCapabilities,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    test: Vec<Spanned<RawCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAbout {
    name: Spanned<String>,
    version: Spanned<String>,
    #[serde(default)]
    description: String,
    world: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBuild {
    language: Option<Spanned<String>>,
    entry: Option<Spanned<String>>,
    prebuilt: Option<Spanned<String>>,
    requirements: Option<Spanned<Vec<Spanned<String>>>>,
    top_level: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCapabilities {
    #[serde(default)]
    judge: Vec<String>,
    #[serde(default)]
    exec: bool,
    #[serde(default)]
    assets: BTreeMap<String, Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    time_ms: Option<Spanned<u64>>,
    time_per_rollout_ms: Option<u64>,
    memory_bytes: Option<Spanned<Value>>,
    fuel: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: Option<String>,
    prompt: Option<String>,
    completion: String,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    columns: Map<String, Value>,
    #[serde(default)]
    config: Map<String, Value>,
    reward: Option<f64>,
    #[serde(default)]
    abstain: bool,
    error: Option<String>,
    #[serde(default)]
    parts: BTreeMap<String, f64>,
    info: Option<String>,
}

/// A manifest's text, to turn places in it into lines and columns.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(
        &self,
        offset: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> ManifestError {
        let (line, column) = position(self.text, offset);
        let path = self.path.to_owned();
        ManifestError { path, line, column, message: message.into(), hint: hint.into() }
    }

    fn toml(&self, error: &toml::de::Error) -> ManifestError {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message();
        // serde's sentence lists the known keys; the nearest one is what people want to read first.
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let hint = match quoted.split_first() {
            Some((wrong, known)) if message.starts_with("unknown field") => nearest(wrong, known),
            _ if message.starts_with("missing field") => {
                "docs/plugins.md lists the keys of a manifest".to_owned()
            }
            _ => "a manifest is TOML: https://toml.io".to_owned(),
        };
        self.wrong(offset, message.replace("field", "key"), hint)
    }

    fn about(&self, raw: RawAbout) -> Result<About, ManifestError> {
        let name = raw.name.get_ref();
        if !is_name(name) {
            return Err(self.wrong(
                raw.name.span().start,
                format!("`{name}` is no name for a plugin"),
                "a name starts with a letter and has lower-case letters, digits and `-`",
            ));
        }
        let version = raw.version.get_ref();
        if version.trim().is_empty() {
            let hint = "write a version such as \"0.1.0\"";
            return Err(self.wrong(raw.version.span().start, "the version is empty", hint));
        }
        if let Some(world) = &raw.world
            && !world.get_ref().starts_with("r1x:reward@")
        {
            return Err(self.wrong(
                world.span().start,
                format!("`{}` is not a version of the reward interface", world.get_ref()),
                format!("leave `world` out, or write \"{WORLD}\""),
            ));
        }
        Ok(About {
            name: name.clone(),
            version: version.clone(),
            description: raw.description,
            world: raw.world.map_or_else(|| WORLD.to_owned(), Spanned::into_inner),
        })
    }

    fn build(&self, raw: Spanned<RawBuild>) -> Result<BuildSection, ManifestError> {
        let place = raw.span().start;
        let RawBuild { language, entry, prebuilt, requirements, top_level } = raw.into_inner();
        let of_python = requirements.as_ref().map(|one| ("requirements", one.span().start));
        let of_python = of_python.or(top_level.as_ref().map(|one| ("top_level", one.span().start)));
        let words = Language::ALL.map(|(word, _)| word);
        match (language, prebuilt) {
            (Some(language), None) => {
                let word = language.get_ref();
                let found = Language::ALL.iter().find(|(known, _)| known == word);
                let Some((_, language)) = found else {
                    let message = format!("`{word}` is not a language of plugins");
                    let at = language.span().start;
                    return Err(self.wrong(at, message, nearest(word, &words)));
                };
                if let Some(entry) = &entry {
                    self.inside(entry)?;
                }
                if let (Some((key, at)), true) = (of_python, *language != Language::Python) {
                    let message = format!("`{key}` is for rewards in Python");
                    return Err(self.wrong(at, message, "leave it out"));
                }
                Ok(BuildSection {
                    language: *language,
                    entry: entry.map(Spanned::into_inner),
                    requirements: self.requirements(requirements)?,
                    top_level: self.top_level(top_level)?,
                })
            }
            (None, Some(prebuilt)) => {
                self.inside(&prebuilt)?;
                if let Some((key, at)) = of_python {
                    let message = format!("`{key}` is for rewards in Python, not for `prebuilt`");
                    return Err(self.wrong(at, message, "leave it out"));
                }
                Ok(BuildSection {
                    language: Language::Prebuilt,
                    entry: Some(prebuilt.into_inner()),
                    requirements: Vec::new(),
                    top_level: TopLevel::default(),
                })
            }
            (Some(_), Some(_)) => Err(self.wrong(
                place,
                "[build] has both `language` and `prebuilt`",
                "keep `language` to build from source, or `prebuilt` to take a component as it is",
            )),
            (None, None) => Err(self.wrong(
                place,
                "[build] has neither `language` nor `prebuilt`",
                format!("write `language = \"...\"` with one of: {}", words.join(", ")),
            )),
        }
    }

    fn requirements(
        &self,
        raw: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Result<Vec<Requirement>, ManifestError> {
        let one = |text: Spanned<String>| {
            Requirement::parse(text.get_ref())
                .map_err(|message| self.wrong(text.span().start, message, REQUIREMENT_HINT))
        };
        raw.map_or_else(Vec::new, Spanned::into_inner).into_iter().map(one).collect()
    }

    fn top_level(&self, raw: Option<Spanned<String>>) -> Result<TopLevel, ManifestError> {
        let Some(word) = raw else { return Ok(TopLevel::default()) };
        let read = TopLevel::parse(word.get_ref());
        let message = || format!("`{}` is nothing that a top level can be", word.get_ref());
        read.map_err(|hint| self.wrong(word.span().start, message(), hint))
    }

    /// What a plugin names lies in its own folder.
    fn inside(&self, path: &Spanned<String>) -> Result<(), ManifestError> {
        if is_inside(path.get_ref()) {
            return Ok(());
        }
        let message = format!("`{}` is not a path inside the plugin's folder", path.get_ref());
        Err(self.wrong(path.span().start, message, "write a relative path without `..`"))
    }

    fn capabilities(&self, raw: RawCapabilities) -> Result<Capabilities, ManifestError> {
        let mut assets = Vec::new();
        for (name, sha256) in raw.assets {
            let at = sha256.span().start;
            if !is_inside(&name) {
                let message = format!("the asset `{name}` is not inside the plugin's folder");
                return Err(self.wrong(at, message, "write a relative path without `..`"));
            }
            let sha256 = sha256.into_inner();
            let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            if sha256.len() != 64 || !sha256.chars().all(hex) {
                return Err(self.wrong(
                    at,
                    format!("the asset `{name}` is not pinned: `{sha256}` is no sha256"),
                    format!("write what `sha256sum {name}` prints: 64 lower-case hex digits"),
                ));
            }
            assets.push(Asset { name, sha256 });
        }
        Ok(Capabilities { judge: raw.judge, exec: raw.exec, assets })
    }

    fn limits(&self, raw: RawLimits) -> Result<Limits, ManifestError> {
        let positive = |name: &str, value: Option<Spanned<u64>>| match value {
            Some(value) if *value.get_ref() == 0 => {
                let hint = "leave it out for the default, or write at least 1";
                Err(self.wrong(value.span().start, format!("`{name}` is 0"), hint))
            }
            value => Ok(value.map(Spanned::into_inner)),
        };
        let memory_bytes = match raw.memory_bytes {
            None => None,
            Some(value) => {
                let bytes = match value.get_ref() {
                    Value::String(text) => bytes_or_number(text),
                    other => other.as_u64(),
                };
                let wrong = |what: &str| self.wrong(value.span().start, what, BYTES_HINT);
                let bytes = bytes.ok_or_else(|| wrong("`memory_bytes` is not a size"))?;
                if bytes < 1 << 16 {
                    return Err(wrong("`memory_bytes` is less than one page, 64KiB"));
                }
                Some(bytes)
            }
        };
        Ok(Limits {
            time_ms: positive("time_ms", raw.time_ms)?,
            time_per_rollout_ms: raw.time_per_rollout_ms,
            memory_bytes,
            fuel: positive("fuel", raw.fuel)?,
        })
    }

    fn case(&self, raw: Spanned<RawCase>) -> Result<Case, ManifestError> {
        let offset = raw.span().start;
        let (line, _) = position(self.text, offset);
        self.expectation(raw.into_inner(), line)
            .map_err(|message| self.wrong(offset, message, CASE_HINT))
    }

    fn expectation(&self, raw: RawCase, line: usize) -> Result<Case, String> {
        let named = [raw.reward.is_some(), raw.abstain, raw.error.is_some()];
        match named.into_iter().filter(|named| *named).count() {
            0 => return Err("the case expects nothing".to_owned()),
            1 => {}
            _ => return Err("the case expects two things at once".to_owned()),
        }
        if let Some(reward) = raw.reward.filter(|reward| !reward.is_finite()) {
            return Err(format!("the case expects the reward {reward}, which no plugin may give"));
        }
        Ok(Case {
            name: raw.name,
            prompt: raw.prompt,
            completion: raw.completion,
            truncated: raw.truncated,
            columns: raw.columns,
            config: raw.config,
            expected: Expectation {
                reward: raw.reward,
                abstain: raw.abstain,
                error: raw.error,
                parts: raw.parts,
                info: raw.info,
            },
            line,
        })
    }
}

/// Whether a name is good for a plugin, its folder and its crate.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some()
        && parts.all(|part| {
            matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)
        })
}

fn nearest(wrong: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    match near {
        Some(near) if strsim::jaro_winkler(wrong, near) > 0.75 => {
            format!("did you mean `{near}`? known are: {}", known.join(", "))
        }
        _ => format!("known are: {}", known.join(", ")),
    }
}

/// Line and column of a byte, counted from 1; columns are characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset.min(text.len()))];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
