//! `r1x export`: what a run has written, as files that other programs read. Nothing that is there already is replaced
//! unless that is asked for, and whoever reads sees a whole export or none.
//!
//! `content` has the columns and rows of what is exported, `made` those of data that a stage has made, `tried` those of
//! problems, and `problem` what both of these have of a problem; `jsonl`, `parquet` and `tensorboard` write files, and
//! `card` describes a folder for hubs.

mod card;
mod content;
mod jsonl;
mod made;
mod parquet;
mod problem;
mod row;
mod tensorboard;
mod tried;

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use r1x_files::folder;
use r1x_files::whole::{self, Existing};
use r1x_store::{Store, Tokens};
use serde_json::json;

use crate::args::Global;
use crate::display::{Fields, Page};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::{interrupt, stores, table};

use card::Contents;
use content::{Content, Part};
use jsonl::Jsonl;
use parquet::Parquet;
use problem::Form;

pub use content::What;

/// Who reads what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum To {
    /// A file of JSON lines, an object a row.
    Jsonl,
    /// A Parquet file, a column for each reward.
    Parquet,
    /// A Parquet file with the columns of TRL's table of completions.
    Trl,
    /// A folder for `datasets.load_dataset`.
    Hf,
    /// A folder of scalars for TensorBoard.
    Tensorboard,
}

/// What is asked for.
#[derive(Debug)]
pub struct Ask {
    /// The run.
    pub run: String,
    /// Where to write.
    pub output: PathBuf,
    /// Who is to read it; by the ending of the file where nothing is said.
    pub to: Option<To>,
    /// What of the run.
    pub what: Option<What>,
    /// One stage of it.
    pub stage: Option<String>,
    /// SQL over the view of the rows.
    pub condition: Option<String>,
    /// Whether tokens and log-probs are written.
    pub tokens: Tokens,
    /// What becomes of an earlier file or folder.
    pub existing: Existing,
    /// Whether one JSON object tells what was written.
    pub json: bool,
}

/// What was written.
struct Written {
    rows: u64,
    bytes: u64,
}

/// Writes what is asked for.
///
/// # Errors
/// When there is no such run or stage, when something has the name already, and when the file cannot be written.
pub fn export(global: &Global, ask: &Ask) -> Result<i32, Failure> {
    let (to, what) = target(ask)?;
    check_place(ask, to)?;
    let store = stores::reading(global.store())?;
    let run = store.run(&ask.run)?;
    let stop = interrupt::while_asked();
    stop.store(false, Ordering::SeqCst);
    let part = Part {
        store: &store,
        run: &run.name,
        stage: ask.stage.as_deref(),
        condition: ask.condition.as_deref(),
        tokens: ask.tokens,
        stopped: &|| stop.load(Ordering::SeqCst),
    };
    let written = match to {
        To::Tensorboard => scalars(&store, &part, run.started_ms, ask)?,
        To::Hf => data_set(&Content::new(part, what, Form::Table)?, &run.name, ask)?,
        To::Jsonl => {
            let content = Content::new(part, what, Form::Objects)?;
            file(ask, |file| {
                let mut sink = Jsonl::new(&content.columns(), file);
                let rows = content.write(&mut sink)?;
                sink.finish()?;
                Ok(rows)
            })?
        }
        To::Parquet => parquet_file(&Content::new(part, what, Form::Table)?, ask)?,
        To::Trl => parquet_file(&Content::new(part, what, Form::Trl)?, ask)?,
    };
    tell(ask, &run.name, &written);
    Ok(0)
}

/// Who is to read what, as far as it fits together.
fn target(ask: &Ask) -> Result<(To, What), Failure> {
    let usage = |message: &str, hint: &str| Failure::new(code::USAGE, message, hint);
    let ending = ask.output.extension().and_then(|ending| ending.to_str());
    let to = match (ask.to, ending) {
        (Some(to), _) => to,
        (None, Some("jsonl")) => To::Jsonl,
        (None, Some("parquet")) => To::Parquet,
        _ => {
            let message = format!("{} does not say who is to read it", ask.output.display());
            let hint = "end it in .jsonl or .parquet, or say it with --to jsonl, parquet, trl, hf or tensorboard";
            return Err(usage(&message, hint));
        }
    };
    let what = match (to, ask.what) {
        (To::Trl, None | Some(What::Rollouts)) => What::Rollouts,
        (To::Tensorboard, None | Some(What::Metrics)) => What::Metrics,
        (To::Trl, _) => return Err(usage("TRL's table has rollouts only", "leave out --what")),
        (To::Tensorboard, _) => {
            return Err(usage("TensorBoard is given metrics only", "leave out --what"));
        }
        (_, what) => what.unwrap_or(What::Rollouts),
    };
    if what == What::Metrics && ask.condition.is_some() {
        let hint = "`r1x sql` answers questions about metrics";
        return Err(usage("--where chooses among completions, and metrics have none", hint));
    }
    let has_tokens = matches!(what, What::Rollouts | What::Evals) && to != To::Trl;
    if ask.tokens == Tokens::Read && !has_tokens {
        let hint = "use it with --what rollouts or evals, for jsonl, parquet or hf";
        return Err(usage("--tokens adds columns that this export has no place for", hint));
    }
    Ok((to, what))
}

/// Refuses a place where something is that an export would not write.
fn check_place(ask: &Ask, to: To) -> Result<(), Failure> {
    let place = &ask.output;
    let above = place.ancestors().skip(1).find(|above| whole::is_taken(above));
    if let Some(above) = above.filter(|above| !above.is_dir()) {
        let message = format!("{} is a file, and no folder", above.display());
        return Err(Failure::new(code::INPUT, message, "name another place"));
    }
    if !whole::is_taken(place) {
        return Ok(());
    }
    let refused = |what: &str, hint: &str| {
        Err(Failure::new(code::INPUT, format!("{} {what}", place.display()), hint))
    };
    let is_plain = place.symlink_metadata().is_ok_and(|meta| meta.is_file() || meta.is_dir());
    if !is_plain {
        return refused(
            "is there and no file",
            "name another place: a link or a device stays as it is",
        );
    }
    if is_database(place) {
        return refused("is a database, which no export takes the place of", "name another place");
    }
    let is_folder = place.is_dir();
    let wants_folder = matches!(to, To::Hf | To::Tensorboard);
    match (wants_folder, is_folder) {
        (false, true) => refused("is a folder, and a file is to be written", "name a file in it"),
        (true, false) => refused("is there and no folder", "name another place"),
        _ if ask.existing == Existing::Kept => {
            refused("is there already", "name another place, or replace it with --force")
        }
        (true, true) if !is_export(place, to) => refused(
            "has files in it that no such export has written, and --force would remove them",
            "name another folder",
        ),
        _ => Ok(()),
    }
}

/// Whether a file is one of SQLite, as a store is, which holds what nothing else does.
fn is_database(place: &Path) -> bool {
    let mut head = [0; DATABASE_HEAD.len()];
    let read = r1x_files::open(place).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *DATABASE_HEAD
}

/// What a file of SQLite begins with.
const DATABASE_HEAD: &[u8; 16] = b"SQLite format 3\0";

/// Whether everything in a folder has a name that an export gives.
fn is_export(place: &Path, to: To) -> bool {
    let names = |folder: &Path| -> Option<Vec<String>> {
        let entries = fs::read_dir(folder).ok()?;
        entries.map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    };
    let all = |folder: &Path, is_ours: &dyn Fn(&str) -> bool| {
        names(folder).is_some_and(|names| names.iter().all(|name| is_ours(name)))
    };
    match to {
        To::Tensorboard => all(place, &|name| name.starts_with(EVENTS)),
        _ => {
            let rows = |name: &str| card::ROWS.ends_with(name);
            all(place, &|name| name == "README.md" || name == "data")
                && (!place.join("data").exists() || all(&place.join("data"), &rows))
        }
    }
}

/// What the names of files begin with that TensorBoard reads.
const EVENTS: &str = "events.out.tfevents.";

/// Writes one file.
fn file(
    ask: &Ask,
    fill: impl FnOnce(&mut File) -> Result<u64, Failure>,
) -> Result<Written, Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            code::INPUT,
            format!("{} was made by somebody else meanwhile", ask.output.display()),
            "name another place, or replace it with --force",
        ),
        _ => Failure::io(&ask.output, &error),
    };
    let fill = |file: &mut File| {
        let rows = something(ask, fill(file)?)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Written { rows, bytes })
    };
    whole::write(&ask.output, ask.existing, fill, failed)
}

/// Fails where a run has nothing of what is exported. That no row meets a condition is an answer.
fn something(ask: &Ask, rows: u64) -> Result<u64, Failure> {
    if rows > 0 || ask.condition.is_some() {
        return Ok(rows);
    }
    let of = ask.stage.as_ref().map(|stage| format!(" in stage `{stage}`")).unwrap_or_default();
    let (what, hint) = match ask.what.unwrap_or(What::Rollouts) {
        _ if ask.to == Some(To::Tensorboard) => ("no step yet", "`r1x show` says what it has"),
        What::Metrics => ("no step yet", "`r1x show` says what it has"),
        What::Rollouts => ("sampled no completions", "`r1x show` says what its stages did"),
        What::Evals => ("no evaluation", "`r1x show` says which there are"),
        What::Problems => ("tried no problems", "`r1x show` says what its stages did"),
        What::Data => ("kept no data", "stages of the kind `reject` make data"),
    };
    Err(Failure::new(code::INPUT, format!("the run has {what}{of}"), hint))
}

fn parquet_file(content: &Content<'_>, ask: &Ask) -> Result<Written, Failure> {
    file(ask, |file| parquet_rows(content, file))
}

fn parquet_rows(content: &Content<'_>, file: &mut File) -> Result<u64, Failure> {
    let mut sink = Parquet::new(&content.columns(), file)?;
    let rows = content.write(&mut sink)?;
    sink.finish()?;
    Ok(rows)
}

/// Writes a folder as hubs have data sets.
fn data_set(content: &Content<'_>, run: &str, ask: &Ask) -> Result<Written, Failure> {
    let failed = |error: std::io::Error| Failure::io(&ask.output, &error);
    let fill = |folder: &Path| {
        let path = folder.join(card::ROWS);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let mut file = made.and_then(|()| File::create(&path)).map_err(failed)?;
        let rows = something(ask, parquet_rows(content, &mut file)?)?;
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let columns = &content.columns();
        let text = card::card(&Contents { run, row: content.row_word(), columns, rows, bytes });
        folder::file(folder, "README.md", text.as_bytes()).map_err(failed)?;
        Ok(Written { rows, bytes: bytes + text.len() as u64 })
    };
    folder::write(&ask.output, fill, failed)
}

/// Writes a folder with the scalars of a run.
fn scalars(store: &Store, part: &Part<'_>, started_ms: i64, ask: &Ask) -> Result<Written, Failure> {
    let failed = |error: std::io::Error| Failure::io(&ask.output, &error);
    let moments = content::moments(store, part.run, part.stage)?;
    something(ask, moments.len() as u64)?;
    let fill = |folder: &Path| {
        let path = folder.join(format!("{EVENTS}{:010}.r1x", started_ms / 1000));
        let mut file = File::create(path).map_err(failed)?;
        let mut out = BufWriter::new(&mut file);
        tensorboard::begin(&mut out, started_ms).map_err(failed)?;
        for moment in &moments {
            part.go_on()?;
            let mut values = moment.scalars(store)?;
            if let content::Moment::Step(step) = moment {
                values.iter_mut().for_each(|(name, _)| *name = format!("{}/{name}", step.stage));
            }
            let at = (moment.ended_ms(), moment.run_step());
            tensorboard::step(&mut out, at, &values).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        drop(out);
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Written { rows: moments.len() as u64, bytes })
    };
    folder::write(&ask.output, fill, failed)
}

/// Says what was written.
fn tell(ask: &Ask, run: &str, written: &Written) {
    let Written { rows, bytes } = *written;
    let place = ask.output.display().to_string();
    if ask.json {
        let told = json!({"run": run, "path": place, "rows": rows, "bytes": bytes});
        output::json(&told.to_string());
        return;
    }
    let mut fields = Fields::default();
    fields.add("run", run).add("written", place);
    fields.add("rows", table::count(rows)).add("size", table::bytes(bytes));
    let mut page = Page::default();
    page.fields(fields);
    output::page(Stream::Out, &page);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(output: &str, to: Option<To>, what: Option<What>) -> Ask {
        Ask {
            run: "latest".to_owned(),
            output: PathBuf::from(output),
            to,
            what,
            stage: None,
            condition: None,
            tokens: Tokens::Left,
            existing: Existing::Kept,
            json: false,
        }
    }

    #[test]
    fn the_ending_of_a_file_says_who_reads_it_where_nothing_else_does() {
        let of = |output, to, what| target(&ask(output, to, what)).ok();
        assert_eq!(of("a.jsonl", None, None), Some((To::Jsonl, What::Rollouts)));
        assert_eq!(of("a.parquet", None, Some(What::Data)), Some((To::Parquet, What::Data)));
        assert_eq!(of("a.parquet", Some(To::Trl), None), Some((To::Trl, What::Rollouts)));
        assert_eq!(of("logs", Some(To::Tensorboard), None), Some((To::Tensorboard, What::Metrics)));
        assert_eq!(of("a.json", None, None), None);
        assert_eq!(of("logs", Some(To::Tensorboard), Some(What::Evals)), None);
        assert_eq!(of("a.parquet", Some(To::Trl), Some(What::Data)), None);
        let with_condition =
            Ask { condition: Some("1".to_owned()), ..ask("a.jsonl", None, Some(What::Metrics)) };
        assert_eq!(target(&with_condition).map_err(|failure| failure.code), Err(code::USAGE));
        let with_tokens = Ask { tokens: Tokens::Read, ..ask("a.jsonl", None, Some(What::Data)) };
        assert_eq!(target(&with_tokens).map_err(|failure| failure.code), Err(code::USAGE));
    }

    #[test]
    fn a_folder_with_anything_else_in_it_is_no_export() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(folder.path().join(name), "").unwrap();
        assert!(is_export(folder.path(), To::Hf) && is_export(folder.path(), To::Tensorboard));
        put("events.out.tfevents.1764547200.r1x");
        assert!(is_export(folder.path(), To::Tensorboard) && !is_export(folder.path(), To::Hf));
        fs::remove_file(folder.path().join("events.out.tfevents.1764547200.r1x")).unwrap();
        put("README.md");
        fs::create_dir(folder.path().join("data")).unwrap();
        put("data/train-00000-of-00001.parquet");
        assert!(is_export(folder.path(), To::Hf) && !is_export(folder.path(), To::Tensorboard));
        put("data/thesis.tex");
        assert!(!is_export(folder.path(), To::Hf));
    }
}
