//! `r1x grep`: which completions, prompts or answers in evaluations of a run a pattern is in, and where these are.
//!
//! The texts are read one after the other: those of a hundred thousand completions take less than a second. An index of
//! words would answer ten times as fast, but would have to be written by whoever only reads, and kept as a run goes on,
//! takes a quarter of what it indexes, and knows nothing of parts of words or of patterns. `docs/export.md` has the
//! figures.

use r1x_store::{RunEvaluation, RunStep, SearchIn, Searched, Store};
use regex::{Regex, RegexBuilder};
use serde::Serialize;

use crate::args::Global;
use crate::display::{Page, Table};
use crate::failure::{Failure, code};
use crate::number::{number, optional};
use crate::output::{self, Extent, Stream};
use crate::{plans, stores, table};

/// Characters of a line that are shown before what was found, and behind it.
const BEFORE: usize = 24;
const BEHIND: usize = 120;

/// What is looked for.
#[derive(Debug)]
pub struct Ask {
    /// The run.
    pub run: String,
    /// A text, or a regular expression.
    pub pattern: String,
    /// How the pattern is meant.
    pub syntax: Syntax,
    /// Whether large and small letters are told apart.
    pub case: Case,
    /// Where to look.
    pub within: Within,
    /// One stage of the run.
    pub stage: Option<String>,
    /// Matches to show at most.
    pub limit: usize,
    /// Whether a JSON object is printed.
    pub json: bool,
}

/// How a pattern is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// As the characters that it has.
    Text,
    /// As a regular expression.
    Regex,
}

/// Whether large and small letters are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They are.
    Told,
    /// They are not.
    Ignored,
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Within {
    /// In what the model wrote.
    Completion,
    /// In what it was asked.
    Prompt,
    /// In what it wrote in evaluations.
    Evaluations,
}

impl Within {
    /// The word for so many.
    fn word(self, count: u64) -> &'static str {
        match (self, count) {
            (Self::Completion, 1) => "completion",
            (Self::Completion, _) => "completions",
            (Self::Prompt, 1) => "prompt",
            (Self::Prompt, _) => "prompts",
            (Self::Evaluations, 1) => "answer in an evaluation",
            (Self::Evaluations, _) => "answers in evaluations",
        }
    }
}

/// A text in which the pattern is.
#[derive(Debug, PartialEq, Serialize)]
struct Hit {
    /// What `r1x show` takes; none in evaluations, of which suite, step, problem and sample are the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suite: Option<String>,
    stage: String,
    step: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<i64>,
    reward: Option<f64>,
    /// How often the pattern is in the text.
    matches: usize,
    /// The line of the first one, before it, it, and behind it.
    before: String,
    found: String,
    behind: String,
}

/// Where a text was written.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Step(&'a RunStep),
    Evaluation(&'a RunEvaluation),
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    run: String,
    pattern: String,
    /// Texts that were looked at.
    searched: u64,
    /// Texts that are not recorded.
    not_recorded: u64,
    /// Texts with the pattern in them.
    matching: u64,
    /// The first of these.
    hits: Vec<Hit>,
}

/// Shows where a pattern is.
///
/// # Errors
/// When there is no such run or stage, the pattern is no regular expression, or the texts are not recorded.
pub fn grep(global: &Global, ask: &Ask) -> Result<i32, Failure> {
    let pattern = pattern(ask)?;
    let store = stores::reading(global.store())?;
    let run = store.run(&ask.run)?.name;
    let mut findings =
        Findings { run: run.clone(), pattern: ask.pattern.clone(), ..Findings::default() };
    match ask.within {
        Within::Completion => findings.search(&store, ask, &pattern, SearchIn::Completions)?,
        Within::Prompt => findings.search(&store, ask, &pattern, SearchIn::Prompts)?,
        Within::Evaluations => findings.search_evaluations(&store, ask, &pattern)?,
    }
    if findings.searched == 0 {
        let words = ask.within.word(2);
        let message = match findings.not_recorded {
            0 => format!("{run} has no {words} to look at"),
            _ => format!("the {words} of {run} are not recorded"),
        };
        let hint = match ask.within {
            Within::Evaluations => {
                "suites have answers once they were run, and `record: {text: true}` keeps their texts"
            }
            _ => {
                "stages that sample have completions, and `record: {text: true}` keeps their texts"
            }
        };
        return Err(Failure::new(code::INPUT, message, hint));
    }
    if ask.json {
        output::json(&plans::json(&findings)?);
        return Ok(0);
    }
    findings.say(ask, global.looks().extent);
    Ok(0)
}

/// The pattern as one that finds itself in a text, a line being what `^` and `$` are about.
fn pattern(ask: &Ask) -> Result<Regex, Failure> {
    if ask.pattern.is_empty() {
        return Err(Failure::new(code::USAGE, "the pattern is empty", "write what to look for"));
    }
    let source = match ask.syntax {
        Syntax::Text => regex::escape(&ask.pattern),
        Syntax::Regex => ask.pattern.clone(),
    };
    let built = RegexBuilder::new(&source)
        .case_insensitive(ask.case == Case::Ignored)
        .multi_line(true)
        .build();
    built.map_err(|error| {
        let hint = "without --regex the pattern is the text that it is; the syntax of patterns is at \
                    https://docs.rs/regex/latest/regex/#syntax";
        Failure::new(code::USAGE, format!("the pattern cannot be read: {error}"), hint)
    })
}

impl Findings {
    fn search(
        &mut self,
        store: &Store,
        ask: &Ask,
        pattern: &Regex,
        within: SearchIn,
    ) -> Result<(), Failure> {
        for step in store.run_steps(&self.run, ask.stage.as_deref())? {
            for text in store.texts_of(&step, within)? {
                self.look(pattern, Place::Step(&step), text, ask.limit);
            }
        }
        Ok(())
    }

    fn search_evaluations(
        &mut self,
        store: &Store,
        ask: &Ask,
        pattern: &Regex,
    ) -> Result<(), Failure> {
        for evaluation in store.run_evaluations(&self.run, ask.stage.as_deref())? {
            let mut next = Some(0);
            while let Some(from) = next {
                let (texts, further) = store.answer_texts_of(&evaluation, from)?;
                for text in texts {
                    self.look(pattern, Place::Evaluation(&evaluation), text, ask.limit);
                }
                next = further;
            }
        }
        Ok(())
    }

    fn look(&mut self, pattern: &Regex, place: Place<'_>, searched: Searched, limit: usize) {
        let Searched { group, sample, reward, text } = searched;
        let Some(text) = text else {
            self.not_recorded += 1;
            return;
        };
        self.searched += 1;
        let Some(first) = pattern.find(&text) else { return };
        self.matching += 1;
        if self.hits.len() >= limit {
            return;
        }
        let begin = text[..first.start()].rfind('\n').map_or(0, |at| at + 1);
        let end = text[first.end()..].find('\n').map_or(text.len(), |at| first.end() + at);
        let (stage, step, suite) = match place {
            Place::Step(step) => (&step.stage, step.step, None),
            Place::Evaluation(one) => (&one.stage, one.step, Some(one.suite.clone())),
        };
        let of_sample = sample.map_or_else(String::new, |sample| format!(".{sample}"));
        let address = format!("{}@{step}.{group}{of_sample}", self.run);
        self.hits.push(Hit {
            address: suite.is_none().then_some(address),
            group: suite.is_none().then_some(group),
            item: suite.is_some().then_some(group),
            suite,
            stage: stage.clone(),
            step,
            sample,
            reward,
            matches: pattern.find_iter(&text).count(),
            before: text[begin..first.start()].to_owned(),
            found: first.as_str().to_owned(),
            behind: text[first.end()..end].to_owned(),
        });
    }

    fn say(&self, ask: &Ask, extent: Extent) {
        let rows: Vec<Vec<String>> = self.hits.iter().map(|hit| hit.row(extent)).collect();
        if !rows.is_empty() {
            let mut page = Page::default();
            page.table(match ask.within {
                Within::Completion | Within::Prompt => {
                    let header = ["address", "stage", "reward", "line"];
                    Table::of(&header, &rows).whole(&["address", "stage"])
                }
                Within::Evaluations => {
                    let header = ["suite", "after", "steps", "item", "sample", "reward", "line"];
                    Table::of(&header, &rows).whole(&["suite", "after"])
                }
            });
            output::page(Stream::Out, &page);
        }
        let Self { searched, not_recorded, matching, hits, .. } = self;
        let share = number((*matching as f64 / *searched as f64 * 1e4).round() / 100.0);
        let words = ask.within.word(*searched);
        let mut said = format!(
            "{} of {} {words} ({share} %)",
            table::count(*matching),
            table::count(*searched)
        );
        if hits.len() as u64 != *matching {
            said.push_str(&format!("; the first {} are shown, --limit shows more", hits.len()));
        }
        if *not_recorded > 0 {
            let left = table::count(*not_recorded);
            said.push_str(&format!("; {left} more have no recorded text"));
        }
        eprintln!("{said}");
    }
}

impl Hit {
    /// The cells of its row in a table.
    fn row(&self, extent: Extent) -> Vec<String> {
        let number =
            |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        let place = match (&self.address, &self.suite) {
            (Some(address), _) => vec![address.clone(), self.stage.clone()],
            (None, suite) => vec![
                suite.clone().unwrap_or_default(),
                self.stage.clone(),
                self.step.to_string(),
                number(self.item),
                number(self.sample),
            ],
        };
        [place, vec![optional(self.reward), self.line(extent)]].concat()
    }

    /// The line with the match between `»` and `«`: all of it, or what is near the match.
    fn line(&self, extent: Extent) -> String {
        let (before, behind) = match extent {
            Extent::Everything => (self.before.clone(), self.behind.clone()),
            Extent::Fitted => (ending(&self.before), beginning(&self.behind)),
        };
        format!("{before}»{}«{behind}", self.found)
    }
}

fn ending(text: &str) -> String {
    match text.char_indices().rev().nth(BEFORE - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &text[at..]),
        _ => text.to_owned(),
    }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(BEHIND) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pattern: &str, syntax: Syntax, case: Case) -> Ask {
        Ask {
            run: "latest".to_owned(),
            pattern: pattern.to_owned(),
            syntax,
            case,
            within: Within::Completion,
            stage: None,
            limit: 10,
            json: false,
        }
    }

    #[test]
    fn patterns_are_texts_unless_they_are_said_to_be_more() {
        use {Case::*, Syntax::*};
        let found = |wanted: &str, syntax, case, text: &str| {
            pattern(&ask(wanted, syntax, case)).unwrap().is_match(text)
        };
        assert!(found("1+1", Text, Told, "is 1+1 so") && !found("1+1", Text, Told, "111"));
        assert!(found("1+1", Regex, Told, "111"));
        assert!(found("GRÖSSE", Text, Ignored, "größe und Grösse"));
        assert!(!found("wait", Text, Told, "Wait") && found("wait", Text, Ignored, "Wait"));
        assert!(found("^so$", Regex, Told, "well\nso\nthen"));
        for wrong in [ask("", Text, Told), ask("(", Regex, Told)] {
            assert_eq!(pattern(&wrong).map_err(|failure| failure.code).err(), Some(code::USAGE));
        }
    }

    #[test]
    fn a_line_is_cut_around_what_was_found_in_it() {
        let hit = |before: &str, behind: &str| Hit {
            address: None,
            suite: None,
            stage: String::new(),
            step: 0,
            group: None,
            item: None,
            sample: None,
            reward: None,
            matches: 1,
            before: before.to_owned(),
            found: "é".to_owned(),
            behind: behind.to_owned(),
        };
        assert_eq!(hit("a ", " b").line(Extent::Fitted), "a »é« b");
        let long = hit(&"ä".repeat(30), &"ö".repeat(130));
        let expected = format!("…{}»é«{}…", "ä".repeat(BEFORE), "ö".repeat(BEHIND));
        assert_eq!(long.line(Extent::Fitted), expected);
        assert_eq!(long.line(Extent::Everything).chars().count(), 163);
        assert_eq!(hit(&"ä".repeat(BEFORE), "").line(Extent::Fitted).chars().next(), Some('ä'));
    }
}
