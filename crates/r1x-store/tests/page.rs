//! The page `docs/store.md`: every table, view and column of the schema as it is, with a meaning for each, and the
//! questions that are built in.
//!
//! `R1X_BLESS=1` writes the page anew. A column without a meaning in `page/words.txt`, or a meaning without a column,
//! fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use r1x_store::examples::EXAMPLES;
use r1x_store::{Mode, SqlQuery, Store, Value, known_schema};

const WORDS: &str = include_str!("page/words.txt");

/// Where meanings of columns stand that are the same everywhere.
const EVERYWHERE: &str = "everywhere";

const HEAD: &str = "# The store

`r1x run` records everything in one SQLite file, `runs/r1x.sqlite` unless `--store` or `R1X_STORE` says otherwise. This \
page has every table, view and column of it, generated from the schema itself: a test fails when it is stale.

**Ask the views** (`v_...`): they leave out what a resumed run has made anew, and join what belongs together. The tables \
are below them. Steps, groups and samples count from 0; times are milliseconds since 1970, or durations in milliseconds. \
NULL is never 0: a reward without a value has none. What is not finite is NULL in `value`, and named beside it.

Rows of facts are only added, never changed. `PRAGMA user_version` is the schema's version. A store of an earlier \
version is brought up to date when it is opened for writing, after a copy of it was made; one of a later version is \
refused. `r1x sql` asks read-only, and so does `sqlite3 -readonly runs/r1x.sqlite` (while a run is under way as well); lists of \
numbers are blobs, little endian: in Python, `numpy.frombuffer(logp, '<f4')` or `numpy.frombuffer(token_ids, '<u4')`.
";

/// Meanings by section (`table run`, `view v_runs`) and column; the description of a section has no column.
fn words() -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut sections: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut section = EVERYWHERE;
    for line in WORDS.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("@ ") {
            section = name;
            assert!(sections.insert(name, BTreeMap::new()).is_none(), "`{name}` is there twice");
            continue;
        }
        let is_column = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let (column, meaning) = match line.split_once(": ").filter(|(name, _)| is_column(name)) {
            Some(pair) => pair,
            None => ("", line),
        };
        let of = sections.entry(section).or_default();
        assert!(of.insert(column, meaning).is_none(), "{section}: `{column}` is there twice");
    }
    sections
}

/// A table or a view of the schema.
struct Shape {
    /// `table` or `view`, and its name.
    title: String,
    /// Name, type (empty where SQLite knows none) and whether it may be NULL.
    columns: Vec<(String, String, bool)>,
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The schema of a store that was made just now: views first, then tables.
fn shapes() -> Vec<Shape> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("r1x.sqlite"), Mode::Write).unwrap();
    let sql = "SELECT m.type || ' ' || m.name, p.name, p.type,
                      p.\"notnull\" = 0 AND p.pk = 0 FROM sqlite_schema m JOIN pragma_table_info(m.name) p
                WHERE m.type IN ('table', 'view') AND m.name NOT LIKE '\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'
                ORDER BY m.type DESC, m.rowid, p.cid";
    let mut shapes: Vec<Shape> = Vec::new();
    for row in store.sql_table(&SqlQuery::new(sql)).unwrap().rows {
        let [title, name, kind, may_be_null] = row.as_slice() else { panic!("{row:?}") };
        let title = text(title);
        if shapes.last().is_none_or(|shape| shape.title != title) {
            shapes.push(Shape { title, columns: Vec::new() });
        }
        let column = (text(name), text(kind), *may_be_null == Value::Integer(1));
        shapes.last_mut().unwrap().columns.push(column);
    }
    shapes
}

/// The page, and everything that is missing from the words or is there for nothing.
fn page() -> (String, Vec<String>) {
    let (mut words, mut wrong) = (words(), Vec::new());
    let everywhere = words.remove(EVERYWHERE).unwrap();
    let mut used = Vec::new();
    let mut page = HEAD.to_owned();
    let _ = writeln!(page, "\nThis is schema {}.", known_schema());
    let _ = writeln!(page, "\n## Questions\n\n`r1x sql --example NAME --run RUN` asks them.");
    for example in EXAMPLES {
        let (name, question, reading) = (example.name, example.question, example.reading);
        let _ =
            writeln!(page, "\n**{question}** (`{name}`) {reading}\n\n```sql\n{}\n```", example.sql);
    }
    for (kind, heading) in [("view", "Views"), ("table", "Tables")] {
        let _ = writeln!(page, "\n## {heading}");
        for shape in shapes().iter().filter(|shape| shape.title.starts_with(kind)) {
            let mut of = words.remove(shape.title.as_str()).unwrap_or_default();
            let name = shape.title.split(' ').nth(1).unwrap();
            let about = of.remove("").unwrap_or_else(|| {
                wrong.push(format!("{}: no description", shape.title));
                ""
            });
            let _ = writeln!(
                page,
                "\n### `{name}`\n\n{about}\n\n| column | type | meaning |\n| --- | --- | --- |"
            );
            for (column, of_type, may_be_null) in &shape.columns {
                let own = of.remove(column.as_str());
                let shared = everywhere.get(column.as_str()).copied();
                used.extend(shared.filter(|_| own.is_none()).map(|_| column.clone()));
                let meaning = own.or(shared).unwrap_or_else(|| {
                    wrong.push(format!("{}: `{column}` has no meaning", shape.title));
                    ""
                });
                // SQLite does not say whether a column of a view may be NULL.
                let null = if *may_be_null && kind == "table" { " or NULL" } else { "" };
                let of_type = if of_type.is_empty() { "computed" } else { of_type };
                let _ = writeln!(
                    page,
                    "| `{column}` | {of_type}{null} | {} |",
                    meaning.replace('|', "\\|")
                );
            }
            wrong
                .extend(of.keys().map(|column| format!("{}: there is no `{column}`", shape.title)));
        }
    }
    wrong.extend(words.keys().map(|section| format!("there is no {section}")));
    let unused = everywhere.keys().filter(|column| !used.iter().any(|used| used == *column));
    wrong.extend(unused.map(|column| format!("{EVERYWHERE}: nobody uses `{column}`")));
    (page, wrong)
}

#[test]
fn the_page_is_what_the_schema_says() {
    let (wanted, wrong) = page();
    assert!(wrong.is_empty(), "mend crates/r1x-store/tests/page/words.txt:\n{}", wrong.join("\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/store.md");
    if std::env::var_os("R1X_BLESS").is_some() {
        std::fs::write(&path, &wanted).expect("docs can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "docs/store.md is stale: R1X_BLESS=1 cargo test --release -p r1x-store --test page\n{differs:#?}"
    );
}
