//! The first reading of imported files: every row is checked, and nothing is kept but what the files have in common.

use std::path::{Path, PathBuf};

use r1x_core::plan::RowFormat;
use r1x_tasks::dataset::rows::{FileRow, each_row};

use super::row::{Cell, Found, Mistake, Score, short};
use super::{Ask, Format};
use crate::failure::{Failure, code};
use crate::imported::{SourceFile, SourceReward};

/// Columns that may be rewards, at most.
const MOST_COLUMNS: usize = 4096;

/// What the files have.
pub struct Survey {
    /// The files, in the order of their steps.
    pub files: Vec<Surveyed>,
    /// What may be rewards, in the order in which they first appear.
    columns: Vec<Column>,
    /// Rows with a right answer.
    answers: u64,
}

/// A file that was read once.
pub struct Surveyed {
    /// Where it is.
    pub path: PathBuf,
    /// Its path as text.
    pub name: String,
    /// How its rows are written.
    pub format: RowFormat,
    /// sha256 of it, hex.
    pub sha256: String,
    /// Rows in it.
    pub rows: u64,
    /// Its first and its last step.
    span: Option<(u64, u64)>,
    /// The step of rows that say none.
    pub step: Option<u64>,
}

impl Surveyed {
    /// The file as the run remembers it.
    pub fn source(&self) -> SourceFile {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        let name = name.to_string_lossy().into_owned();
        SourceFile { name, sha256: self.sha256.clone(), rows: self.rows }
    }

    /// The step of a rollout of this file.
    pub fn step_of(&self, found: &Found) -> u64 {
        found.step.or(self.step).unwrap_or_default()
    }
}

/// What may be a reward.
struct Column {
    name: String,
    weight: f64,
    /// Rows with a number.
    numbers: u64,
    /// The first place with something else than a number.
    other: Option<String>,
}

/// Reads a row as a rollout of a system.
///
/// # Errors
/// When it is none, with its place.
pub fn rollout(row: &FileRow, path: &str, format: &Format, answer: &str) -> Result<Found, Failure> {
    (format.read)(row, answer).map_err(|mistake| at(path, row.number(), &mistake))
}

/// A mistake with its place.
fn at(path: &str, line: usize, mistake: &Mistake) -> Failure {
    Failure::new(code::INPUT, format!("{path}:{line}: {}", mistake.reason), mistake.hint)
}

impl Survey {
    /// Reads the files of a request.
    ///
    /// # Errors
    /// When a file cannot be read, a row is no rollout, or the steps are not in order.
    pub fn of(ask: &Ask) -> Result<Self, Failure> {
        let mut survey = Self { files: Vec::new(), columns: Vec::new(), answers: 0 };
        for path in &ask.files {
            let file = survey.file(path, ask)?;
            if let Some(known) = survey.files.iter().find(|known| known.sha256 == file.sha256) {
                let message = format!("{} and {} are one file", known.name, file.name);
                return Err(Failure::new(code::INPUT, message, "name each file once"));
            }
            survey.files.push(file);
        }
        if let (Some(column), 0) = (&ask.answer, survey.answers) {
            let message = format!("no row has a column `{column}` with a right answer");
            return Err(Failure::new(code::INPUT, message, "name a column of the files"));
        }
        if survey.files.iter().all(|file| file.rows == 0) {
            let names: Vec<&str> = survey.files.iter().map(|file| file.name.as_str()).collect();
            let message = format!("there are no rows in {}", names.join(", "));
            return Err(Failure::new(code::INPUT, message, "name files with rollouts"));
        }
        survey.order()?;
        Ok(survey)
    }

    fn file(&mut self, path: &Path, ask: &Ask) -> Result<Surveyed, Failure> {
        let format = format_of(path)?;
        let name = path.display().to_string();
        let step = step_in(path);
        let (mut rows, mut steps) = (0, None);
        let mut last: Option<(Option<u64>, usize)> = None;
        let sha256 = each_row(&name, format, |row| {
            let found = rollout(&row, &name, ask.format(), ask.answer())?;
            let step = found.step.or(step);
            if let Some((before, line)) = last {
                in_order((before, line), step)
                    .map_err(|mistake| at(&name, row.number(), &mistake))?;
            }
            last = Some((step, row.number()));
            if let Some(step) = step {
                steps = Some((steps.map_or(step, |(first, _): (u64, u64)| first), step));
            }
            rows += 1;
            self.answers += u64::from(found.answer.is_some());
            for score in &found.scores {
                self.add(score, || format!("{name}:{}", row.number()))?;
            }
            Ok::<(), Failure>(())
        })?;
        Ok(Surveyed { path: path.to_owned(), name, format, sha256, rows, span: steps, step })
    }

    /// Takes note of what may be a reward.
    fn add(&mut self, score: &Score, place: impl Fn() -> String) -> Result<(), Failure> {
        let known = self.columns.iter().position(|column| column.name == score.name);
        let index = known.unwrap_or(self.columns.len());
        if known.is_none() {
            if self.columns.len() == MOST_COLUMNS {
                let message = format!("{}: there are more than {MOST_COLUMNS} columns", place());
                return Err(Failure::new(code::INPUT, message, "leave columns out of the file"));
            }
            let (name, weight) = (score.name.clone(), score.weight);
            self.columns.push(Column { name, weight, numbers: 0, other: None });
        }
        let column = &mut self.columns[index];
        match score.cell {
            Cell::Number(_) => column.numbers += 1,
            Cell::Nothing => {}
            Cell::Other if column.other.is_none() => column.other = Some(place()),
            Cell::Other => {}
        }
        Ok(())
    }

    /// Brings the files into the order of their steps, which do not overlap. Files of which none says a step are a step each,
    /// in the order in which they are named.
    fn order(&mut self) -> Result<(), Failure> {
        self.files.retain(|file| file.rows > 0);
        let silent = self.files.iter().find(|file| file.span.is_none());
        let telling = self.files.iter().find(|file| file.span.is_some());
        match (silent, telling) {
            (Some(silent), Some(telling)) => {
                let message = format!(
                    "{} says of no row which step it is of, and {} does",
                    silent.name, telling.name
                );
                let hint = "import them one after the other, under names of their own";
                return Err(Failure::new(code::INPUT, message, hint));
            }
            (Some(_), None) => {
                (0..).zip(&mut self.files).for_each(|(step, file)| file.step = Some(step));
            }
            _ => self.files.sort_by_key(|file| file.span),
        }
        let both = |pair: &&[Surveyed]| match (pair[0].span, pair[1].span) {
            (Some((_, last)), Some((first, _))) => first <= last,
            _ => false,
        };
        if let Some([before, after]) = self.files.windows(2).find(both) {
            let step = after.span.map_or(0, |(first, _)| first);
            let message = format!(
                "{} and {} have steps in common, such as step {step}",
                before.name, after.name
            );
            let hint =
                "files of one run have steps of their own: import others under another `--name`";
            return Err(Failure::new(code::INPUT, message, hint));
        }
        Ok(())
    }

    /// The rewards, with their weights.
    ///
    /// # Errors
    /// When a column that is named as one is not there, or has something else than numbers.
    pub fn rewards(&self, ask: &Ask) -> Result<Vec<SourceReward>, Failure> {
        let named = ask.rewards.iter().chain(ask.weights.iter().map(|(name, _)| name));
        for name in named {
            self.check(name)?;
        }
        let is_reward = |column: &&Column| match ask.rewards.is_empty() {
            true => column.numbers > 0 && column.other.is_none(),
            false => ask.rewards.contains(&column.name),
        };
        let weight = |column: &Column| {
            let given = ask.weights.iter().rev().find(|(name, _)| *name == column.name);
            given.map_or(column.weight, |(_, weight)| *weight)
        };
        let reward =
            |column: &Column| SourceReward { name: column.name.clone(), weight: weight(column) };
        Ok(self.columns.iter().filter(is_reward).map(reward).collect())
    }

    fn check(&self, name: &str) -> Result<(), Failure> {
        let usable = |column: &&Column| column.other.is_none() && column.numbers > 0;
        let known: Vec<String> =
            self.columns.iter().filter(usable).take(20).map(|c| short(&c.name)).collect();
        let hint = match known.as_slice() {
            [] => "the files have no column of numbers".to_owned(),
            known => format!("columns of numbers: {}", known.join(", ")),
        };
        let message = match self.columns.iter().find(|column| column.name == name) {
            None => format!("the files have no column `{}`", short(name)),
            Some(Column { other: Some(place), .. }) => {
                format!(
                    "{place}: the column `{}` holds no number, and cannot be a reward",
                    short(name)
                )
            }
            Some(_) => return Ok(()),
        };
        Err(Failure::new(code::INPUT, message, hint))
    }
}

/// Whether a row may stand behind another one.
fn in_order((before, line): (Option<u64>, usize), step: Option<u64>) -> Result<(), Mistake> {
    let reason = match (before, step) {
        (Some(before), Some(step)) if step < before => {
            format!("step {step} stands behind step {before} of row {line}")
        }
        (Some(_), None) | (None, Some(_)) => {
            format!("this row or row {line} does not say which step it is of")
        }
        _ => return Ok(()),
    };
    Err(Mistake { reason, hint: "sort the rows of the file by `step`" })
}

/// How the rows of a file are written, by the ending of its name.
fn format_of(path: &Path) -> Result<RowFormat, Failure> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let formats = [RowFormat::JsonLines, RowFormat::Parquet];
    formats.into_iter().find(|format| format.endings().contains(&ending)).ok_or_else(|| {
        Failure::new(
            code::INPUT,
            format!("{} is neither a table nor JSON lines by its name", path.display()),
            "names end with .parquet, .jsonl, .json or .ndjson",
        )
    })
}

/// The step that a path names: the digits that a file is called by, or else those of the nearest folder `step_…` above.
fn step_in(path: &Path) -> Option<u64> {
    let digits = |text: &str| -> Option<u64> {
        let only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        only.then(|| text.parse().ok()).flatten().filter(|step| i64::try_from(*step).is_ok())
    };
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.and_then(digits).or_else(|| {
        let folders = path.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
        folders.filter_map(|name| name.strip_prefix("step_")).find_map(digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_steps() {
        let step = |path: &str| step_in(Path::new(path));
        assert_eq!(step("rollouts/42.jsonl"), Some(42));
        assert_eq!(step("rollouts/step_7/train/all/traces.jsonl"), Some(7));
        assert_eq!(step("step_7/3.jsonl"), Some(3));
        assert_eq!(step("completions/completions_00042.parquet"), None);
        assert_eq!(step("step_x/results.jsonl"), None);
        assert_eq!(step("99999999999999999999.jsonl"), None);
        assert_eq!(step("9999999999999999999.jsonl"), None, "more than a store has room for");
    }

    #[test]
    fn rows_follow_each_other() {
        let told = |before, step| in_order((before, 3), step).err().map(|mistake| mistake.reason);
        assert_eq!(told(Some(1), Some(1)), None);
        assert_eq!(told(Some(1), Some(4)), None);
        assert_eq!(told(None, None), None);
        assert_eq!(told(Some(4), Some(1)).unwrap(), "step 1 stands behind step 4 of row 3");
        assert!(told(None, Some(1)).unwrap().contains("does not say which step"));
    }
}
