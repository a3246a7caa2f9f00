//! What a person says about a run: its name, its tags and a note.
//!
//! None of it is a fact of the run: no digest covers it, and it may change at any time.

use std::path::{Component, Path, PathBuf};

use crate::error::StoreError;
use crate::run_resume::refuse_live_run;
use crate::store::Store;
use crate::text::Text;
use crate::writer::Tx;

/// A tag or a name has no more characters than this, which is less than what file systems allow for a folder.
const MOST_CHARACTERS: usize = 120;

/// A note has no more bytes than this.
const MOST_NOTE_BYTES: usize = 64 << 10;

/// A tag that is given or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagChange {
    /// The run has it from now on.
    Give(String),
    /// The run no longer has it, whether the spec or a person gave it.
    Take(String),
}

impl Store {
    /// Gives and takes tags of a run, in order. A tag that is there already, or not there, stays so.
    ///
    /// # Errors
    /// When there is no such run, or a word cannot be a tag.
    pub fn change_tags(&self, reference: &str, changes: Vec<TagChange>) -> Result<(), StoreError> {
        let run = self.run(reference)?;
        // A spec may have tags of any characters, which can be taken away.
        for change in &changes {
            if let TagChange::Give(word) = change {
                check_word(word, "a tag")?;
            }
        }
        self.writer()?.call(move |writer| {
            let changed = writer.lasting_transaction(async |tx| {
                for change in &changes {
                    change_tag(tx, run.run_id, change).await?;
                }
                Ok(())
            });
            writer.settle();
            changed
        })
    }

    /// Sets the note of a run; an empty text removes it.
    ///
    /// # Errors
    /// When there is no such run, or the note is too long.
    pub fn set_note(&self, reference: &str, note: &str) -> Result<(), StoreError> {
        let run = self.run(reference)?;
        if note.len() > MOST_NOTE_BYTES {
            let head: String = note.chars().take(20).collect();
            let detail =
                format!("it has {} bytes, and a note has at most {MOST_NOTE_BYTES}", note.len());
            return Err(StoreError::Word { word: format!("{head}..."), what: "a note", detail });
        }
        let note = Some(note.trim()).filter(|note| !note.is_empty()).map(str::to_owned);
        self.writer()?.call(move |writer| {
            let changed = writer.lasting_transaction(async |tx| {
                tx.execute(
                    "UPDATE run SET note = ? WHERE run_id = ?",
                    [note.into(), run.run_id.into()],
                )
                .await
                .map(|_| ())
            });
            writer.settle();
            changed
        })
    }

    /// Gives a run another name, and its folder too.
    ///
    /// # Errors
    /// When there is no such run, a program is at work on it, the name cannot be one or is taken, or the folder cannot be
    /// renamed; then both are as they were.
    pub fn rename_run(&self, reference: &str, name: &str) -> Result<(), StoreError> {
        let run = self.run(reference)?;
        check_word(name, "the name of a run")?;
        if run.name == name {
            return Ok(());
        }
        if name == "latest" {
            return Err(taken(name, "it means the newest run"));
        }
        let old_folder = is_folder_name(&run.name).then(|| self.run_folder(&run.name));
        let to = self.run_folder(name);
        let (name, old) = (name.to_owned(), run.name);
        self.writer()?.call(move |writer| {
            let mut moved = Moved::default();
            let renamed = writer.lasting_transaction(async |tx| {
                refuse_live_run(tx, run.run_id, &old).await?;
                let other: Option<(Text,)> =
                    tx.fetch("SELECT name FROM run WHERE name = ?", [(&name).into()]).await?;
                if other.is_some() {
                    return Err(taken(&name, "another run of the store is called so"));
                }
                tx.execute(
                    "UPDATE run SET name = ? WHERE run_id = ?",
                    [(&name).into(), run.run_id.into()],
                )
                .await?;
                if let Some(from) = &old_folder {
                    moved = rename_folder(from, &to, &name)?;
                }
                Ok(())
            });
            if renamed.is_err() {
                moved.back();
            }
            writer.settle();
            renamed
        })
    }
}

async fn change_tag(tx: &mut Tx<'_>, run_id: i64, change: &TagChange) -> Result<(), StoreError> {
    let (word, given) = match change {
        TagChange::Give(word) => (word, 1_i64),
        TagChange::Take(word) => (word, 0),
    };
    let of_spec: Option<(i64,)> = tx
        .fetch(
            "SELECT 1 FROM run r JOIN spec s USING (spec_id), json_each(s.plan_json, '$.tags') t
              WHERE r.run_id = ? AND t.value = ? LIMIT 1",
            [run_id.into(), word.into()],
        )
        .await?;
    // A row says what is otherwise than in the spec, and stands beside no tag that the spec has as well.
    tx.execute("DELETE FROM run_tag WHERE run_id = ? AND word = ?", [run_id.into(), word.into()])
        .await?;
    if of_spec.is_some() != (given == 1) {
        tx.execute(
            "INSERT INTO run_tag (run_id, word, given) VALUES (?, ?, ?)",
            [run_id.into(), word.into(), given.into()],
        )
        .await?;
    }
    Ok(())
}

fn taken(name: &str, detail: &str) -> StoreError {
    StoreError::Word { word: name.to_owned(), what: "the name of a run", detail: detail.to_owned() }
}

/// Whether a name is that of a folder beside the store, and of nothing else: a store of somebody else may have any text as
/// the name of a run.
pub(crate) fn is_folder_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    one && parts.next().is_none()
}

/// A name that can be one of a run, as near to a text as possible.
pub(crate) fn plain_name(text: &str) -> String {
    let plain = |c: char| if is_plain(c) { c } else { '-' };
    let name: String = text.chars().map(plain).take(MOST_CHARACTERS).collect();
    match name.trim_start_matches(['.', '-', '_']) {
        "" | "latest" => "run".to_owned(),
        name => name.to_owned(),
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Names are folders, and tags are words of a command line: both are of plain characters.
fn check_word(word: &str, what: &'static str) -> Result<(), StoreError> {
    let detail = if word.is_empty() {
        "it is empty".to_owned()
    } else if word.chars().count() > MOST_CHARACTERS {
        format!("it has more than {MOST_CHARACTERS} characters")
    } else if let Some(other) = word.chars().find(|c| !is_plain(*c)) {
        format!("it has {other:?} in it")
    } else if word.starts_with(['.', '-', '_']) {
        "it begins with a mark".to_owned()
    } else {
        return Ok(());
    };
    Err(StoreError::Word { word: word.to_owned(), what, detail })
}

/// A folder that was renamed, from and to.
#[derive(Default)]
struct Moved(Option<(PathBuf, PathBuf)>);

impl Moved {
    /// Takes the renaming back.
    fn back(self) {
        let Some((from, to)) = self.0 else { return };
        if let Err(error) = std::fs::rename(&to, &from) {
            tracing::warn!(
                "{} could not be called {} again: {error}",
                to.display(),
                from.display()
            );
        }
    }
}

/// Renames the folder of a run. A run without a folder has none afterwards; a folder that has the new name while the old
/// one is gone was renamed by a program that was stopped before the store knew.
fn rename_folder(from: &Path, to: &Path, name: &str) -> Result<Moved, StoreError> {
    if !from.exists() {
        return Ok(Moved::default());
    }
    if to.symlink_metadata().is_ok() {
        return Err(taken(name, "there is something of that name beside the store"));
    }
    std::fs::rename(from, to).map_err(|error| crate::open::from_io(to, &error))?;
    crate::open::sync_entry(to).map_err(|error| crate::open::from_io(to, &error))?;
    Ok(Moved(Some((from.to_owned(), to.to_owned()))))
}
