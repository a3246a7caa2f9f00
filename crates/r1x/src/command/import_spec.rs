//! `r1x import-spec`: a recipe of another system as a spec, and what became of each of its keys.
//!
//! With `-o` the report is the result; without it the spec is, and the report goes where messages go. As JSON both are one
//! object.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use r1x_spec::import::{Beside, Carried, FillIn, Findings, Imported, System, Told, import};
use serde::Serialize;

use crate::display::{Fields, Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::plans;

/// Bytes of a recipe that are read; a larger one is refused.
const MOST_BYTES: u64 = (1 << 20) + 1;
/// A component that lies where the components of r1x do.
const COMPONENT: &str = "math.wasm";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The file of the recipe.
    pub file: PathBuf,
    /// Whose recipe it is.
    pub from: System,
    /// Where the spec is written; on standard output when left out.
    pub output: Option<PathBuf>,
    /// Devices that the recipe runs on.
    pub devices: Option<u64>,
    /// Problems of the training data.
    pub rows: Option<u64>,
    /// Whether a JSON object is printed.
    pub json: bool,
}

/// What became of a recipe, in the words of `--json`.
#[derive(Debug, Serialize)]
struct Said<'a> {
    /// The file of the recipe.
    recipe: String,
    /// Whose it is.
    from: &'static str,
    /// The system with the version whose defaults hold for keys that the recipe leaves out.
    defaults: &'static str,
    /// Where the spec was written; none where it was not.
    output: Option<String>,
    /// The text of the spec.
    spec: &'a str,
    /// What became of each key.
    #[serde(flatten)]
    findings: &'a Findings,
}

/// Reads a recipe, writes a spec, and says what became of each key.
///
/// # Errors
/// When the file cannot be read, is no such recipe, or the spec cannot be written.
pub fn import_spec(ask: &Ask) -> Result<i32, Failure> {
    let bytes = read(&ask.file)?;
    let folder = ask.output.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let plugins = plugins(folder);
    let beside = Beside {
        devices: ask.devices,
        rows: ask.rows,
        plugins: plugins.unwrap_or(PLUGINS[0]).to_owned(),
    };
    let mut imported =
        import(ask.from, &ask.file, &bytes, &beside).map_err(|report| plans::told(&report))?;
    if plugins.is_none() && imported.spec.contains(".wasm") {
        let text = "the components of r1x lie in the folder `plugins` of its repository; write where that is";
        let path = "rewards.ID.plugin".to_owned();
        let left = FillIn { path, from: Vec::new(), text: text.to_owned() };
        imported.findings.fill_in.push(left);
    }
    if let Some(path) = &ask.output {
        write(path, &imported.spec)?;
    }
    if ask.json {
        output::json(&plans::json(&said(ask, &imported))?);
        return Ok(0);
    }
    let mut page = report(ask, &imported);
    match &ask.output {
        Some(path) => {
            page.blank().line(next(path, &imported));
            output::page(Stream::Out, &page);
        }
        None => {
            output::data(&imported.spec);
            output::page(Stream::Err, &page);
        }
    }
    Ok(0)
}

fn said<'a>(ask: &Ask, imported: &'a Imported) -> Said<'a> {
    Said {
        recipe: ask.file.display().to_string(),
        from: ask.from.word(),
        defaults: ask.from.version(),
        output: ask.output.as_ref().map(|path| path.display().to_string()),
        spec: &imported.spec,
        findings: &imported.findings,
    }
}

/// Where components are looked for, from the folder of the spec.
const PLUGINS: [&str; 2] = ["plugins", "../plugins"];

/// Where the components of r1x lie, as a spec in this folder names it.
fn plugins(folder: &Path) -> Option<&'static str> {
    PLUGINS.into_iter().find(|plugins| folder.join(plugins).join(COMPONENT).is_file())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let opened = r1x_files::open(path).map_err(|error| Failure::io(path, &error))?;
    opened.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| Failure::io(path, &error))?;
    Ok(bytes)
}

/// Writes a new file: one that is there may have been changed by hand.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = std::fs::File::create_new(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            code::INPUT,
            format!("{} is there already", path.display()),
            "name another file with `-o`, or move this one away",
        ),
        _ => Failure::io(path, &error),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| Failure::io(path, &error))
}

/// What is to be done next.
fn next(path: &Path, imported: &Imported) -> Line {
    let path = path.display();
    if imported.findings.fill_in.is_empty() {
        return Line::of(Tone::Plain, format!("next: r1x check {path}"));
    }
    Line::of(Tone::Plain, format!("next: fill in what is left, then r1x check {path}"))
}

/// The report as a page.
fn report(ask: &Ask, imported: &Imported) -> Page {
    let found = &imported.findings;
    let mut page = Page::default();
    let version = ask.from.version();
    page.line(Line::of(Tone::Strong, format!("{}", ask.file.display())).and(
        Tone::Plain,
        format!(": {}; keys that it leaves out have the defaults of {version}", counted(found)),
    ));
    for text in &found.assumed {
        page.line(format!("  {text}"));
    }
    carried(&mut page, &found.carried);
    told(&mut page, "means something else in r1x", Tone::Warn, &found.differs);
    told(&mut page, "not in r1x", Tone::Bad, &found.unsupported);
    if !found.no_matter.is_empty() {
        heading(&mut page, "of no matter here", Tone::Strong);
        for group in &found.no_matter {
            page.line(Line::of(Tone::Plain, format!("  {}", group.about)));
            page.line(Line::of(Tone::Faint, format!("    {}", group.keys.join(", "))));
        }
    }
    told(&mut page, "not known", Tone::Bad, &found.unknown);
    if !found.fill_in.is_empty() {
        heading(&mut page, "to be filled in", Tone::Warn);
        for one in &found.fill_in {
            let head = Line::of(Tone::Plain, format!("  {}: ", one.path));
            page.line(head.and(Tone::Plain, &one.text));
        }
    }
    page
}

/// How many keys became what.
fn counted(found: &Findings) -> String {
    let idle: usize = found.no_matter.iter().map(|group| group.keys.len()).sum();
    format!(
        "{} values carried over, {} not in r1x, {idle} of no matter, {} not known",
        found.carried.len(),
        found.unsupported.len(),
        found.unknown.len(),
    )
}

fn heading(page: &mut Page, text: &str, tone: Tone) {
    page.blank().line(Line::of(tone, text));
}

/// What is carried over, by the map of the spec that it stands in.
fn carried(page: &mut Page, all: &[Carried]) {
    let parent = |path: &str| {
        let depth = if path.starts_with("stages.") { 3 } else { 2 };
        let parts: Vec<&str> = path.split('.').collect();
        parts[..depth.min(parts.len() - 1)].join(".")
    };
    let mut parents: Vec<String> = Vec::new();
    for one in all {
        let parent = parent(&one.path);
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    for above in parents {
        let title = if above.is_empty() { "the top" } else { above.as_str() };
        heading(page, title, Tone::Strong);
        let mut fields = Fields::default();
        for one in all.iter().filter(|one| parent(&one.path) == above) {
            let name = one.path.strip_prefix(&above).unwrap_or(&one.path).trim_start_matches('.');
            let from = one.from.join(", ");
            fields.add(&format!("  {name}"), format!("{}  from {from}", short(&one.value)));
        }
        page.fields(fields);
    }
}

/// A value that fits beside others.
fn short(value: &str) -> String {
    const LONGEST: usize = 40;
    match value.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &value[..at]),
        None => value.to_owned(),
    }
}

fn told(page: &mut Page, title: &str, tone: Tone, all: &[Told]) {
    if all.is_empty() {
        return;
    }
    heading(page, title, tone);
    for one in all {
        let place = match one.line {
            Some(line) => format!(" (line {line})"),
            None => " (default)".to_owned(),
        };
        let head = Line::of(Tone::Plain, format!("  {}: {}", one.key, one.value));
        page.line(head.and(Tone::Faint, place).and(Tone::Plain, format!(": {}", one.text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::View;

    /// The report of a recipe of the tests of specs, as a terminal of this width shows it.
    fn drawn(name: &str, from: System, width: usize) -> String {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../r1x-spec/tests/fixtures/import");
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let file = PathBuf::from(name);
        let beside = Beside { devices: None, rows: None, plugins: "plugins".to_owned() };
        let imported = import(from, &file, &bytes, &beside).unwrap();
        let ask = Ask { file, from, output: None, devices: None, rows: None, json: false };
        report(&ask, &imported).draw(View { width: Some(width), ..View::default() }).text
    }

    /// `R1X_BLESS=1` writes the reports anew.
    #[test]
    fn reports_fit_a_terminal() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports");
        for (name, from, width) in [
            ("trl-grpo.yaml", System::Trl, 80),
            ("trl-grpo.yaml", System::Trl, 120),
            ("open-r1-grpo.yaml", System::OpenR1, 80),
            ("verl-gsm8k.sh", System::Verl, 80),
        ] {
            let text = drawn(name, from, width);
            let path = folder.join(format!("{name}-{width}.txt"));
            if std::env::var_os("R1X_BLESS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let known = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(known, text, "R1X_BLESS=1 rewrites {}", path.display());
            for line in text.lines() {
                // A word that is longer than a line stays whole.
                let words = line.split_whitespace().map(crate::display::width).max().unwrap_or(0);
                assert!(crate::display::width(line) <= width.max(words + 4), "{line}");
            }
        }
    }
}
