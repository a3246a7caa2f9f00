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

Rows of facts are only added, never changed. A person may remove a whole run (`r1x rm`), or what rollouts of older steps \
said (`r1x gc`). `PRAGMA \
user_version` is the schema's version. A store of an earlier version is brought up to date when it is opened for writing, \
or asked while it may be written, after a copy of it was made beside it (`r1x.sqlite.schema-N`); without room for the copy \
it is left as it is. One of a later version is refused. `r1x sql` asks read-only, and so does `sqlite3 -readonly \
runs/r1x.sqlite` (while a run is under way as well); lists of numbers are blobs, little endian: in Python, \
`numpy.frombuffer(logp, '<f4')` or `numpy.frombuffer(token_ids, '<u4')`.
";

/// What keeps a store in order, and runs in it.
const UPKEEP: &str = "
## Upkeep

`r1x store path` prints where the store in use is, and says on standard error how it was chosen.

`r1x store verify` compares the store with what was written: SQLite's `integrity_check` and `foreign_key_check`; the digest \
of every finished run, computed again from the hashes of its steps, evaluations and weights; the rows of every step and \
evaluation with the hash that was recorded beside them; the hashes of plans, specs, problems and components, which are \
unpacked; and every file of every checkpoint. Periodic checkpoints that were removed because newer ones came are no \
mistake; any other checkpoint that is gone is one. What is wrong is a row that says what, where and how to mend it, and \
the exit code is 8. Steps of schema 7 and before have no hash over their rows: of these, what is hashed into the digest \
is compared. `--quick` leaves rows, components and checkpoints out. Nothing is changed.

`r1x store backup FILE` copies the store as it is at one moment, also while a run writes to it, and takes a quick look at \
the copy. A file that is there is never written over. Checkpoints are not in the copy.

`r1x store vacuum` removes rows that no run refers to any more and writes the file anew. It needs the store for itself: \
while a run is at work, or another program has the store open, it is refused, because a run takes a file that became \
shorter for one that was cut short.

`r1x store merge OTHER` takes in every run of another store that this one lacks, all of them or none. A run is known by \
its `uid`: one that is here already is left alone, and one that a program is at work on too. Numbers of rows become other \
ones, digests stay, and each is computed again from what was taken in. A run whose name is taken here gets the end of its \
`uid` behind the name. The other store is only read; of one of an earlier version a copy is brought up to date, which goes \
away. `--checkpoints` copies the folders of these runs too; without it a run can be shown, compared and asked, and what \
needs a checkpoint finds none.

`r1x rm RUN...` removes runs, all or none: everything that is recorded of them in one transaction, then their folders, \
then what the file of the store has become too long by, where nobody else has it open. It asks first (`--yes`), and \
refuses while a program is at work on one of them, or another run stands on one of them: a reproduction, or a run whose \
plan names the weights of a checkpoint. With `--force` these stay, and an event of theirs says what they came from.

`r1x gc [RUN...]` removes texts, tokens or log-probs of older steps. What is kept is said by the spec of a run \
(`record: {retention: {logprobs: {last_steps: 50, every: 10}}}`: the newest 50 steps of each stage, and each whose number is \
a multiple of 10), or by `--field logprobs --last-steps 50 --every 10` for the runs that are named. Of steps that were done \
again after an interruption nothing is kept. `--dry-run` shows what would go; else it asks first (`--yes`). Rollouts, \
rewards, advantages and metrics stay, and so does every completion that another stage is trained on. The digest of the run \
is what it was, `r1x store verify` compares what is left with what was written, and `step.dropped` says what went. It may \
be done while a run is at work, whose further steps use the space then. Stages that lost something are not taken over by \
later runs.

`r1x tag RUN +word -word`, `r1x note RUN TEXT` and `r1x rename RUN NAME` change what is said about a run. None of it is in \
a digest, and a run that was renamed is gone on with, reproduced and compared as before. `r1x ls` finds runs by `--tag`, \
`--status` and `--where`, which is SQL over the columns of `v_runs`, and `--tree` puts a run below the one it comes from.
";

const ASKING: &str = "`r1x sql --example NAME --run RUN` asks them. They are SQL for any program: in `sqlite3` a line \
`.parameter set :run \"'RUN'\"` comes first, and in pandas they are `pandas.read_sql(query, connection, \
params={'run': 'RUN'})` with `connection = sqlite3.connect('file:runs/r1x.sqlite?mode=ro', uri=True)`. (All twenty were \
asked in `sqlite3` 3.40.1 and in pandas 3.1 on 1 December 2026.)";

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
    page.push_str(UPKEEP);
    let _ = writeln!(page, "\n## Questions\n\n{ASKING}");
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
