//! The prompt of `r1x sql`: statements over any number of lines, and commands that begin with a dot.
//!
//! Lines come from a person's keyboard or from a pipe; what they mean is the same.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::ValueEnum;
use r1x_store::{Store, examples, statements};

use super::editor::Editor;
use super::{Asking, answer, example_table, find_example};
use crate::args::Format;
use crate::display::{Fields, Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::output::{self, Stream};
use crate::table;

/// What a source of lines gives.
pub enum Input {
    /// A line, without its end.
    Line(String),
    /// Whatever was typed so far is to be forgotten.
    Cleared,
    /// There are no more.
    Ended,
}

/// Where lines come from.
pub trait Lines {
    /// The next line; `pending` is the statement so far.
    fn next(&mut self, pending: &str) -> Input;
    /// A statement or a command that is complete, for those who remember them.
    fn remember(&mut self, _text: &str) {}
    /// What becomes of a mistake.
    fn mistake(&mut self, failure: Failure) -> Result<(), Failure>;
}

/// The lines of a pipe or a file. A mistake ends them: what follows may build on it.
pub struct Piped;

impl Lines for Piped {
    fn next(&mut self, _: &str) -> Input {
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(count) if count > 0 => Input::Line(line.trim_end_matches(['\n', '\r']).to_owned()),
            _ => Input::Ended,
        }
    }

    fn mistake(&mut self, failure: Failure) -> Result<(), Failure> {
        Err(failure)
    }
}

impl Lines for Editor {
    fn next(&mut self, pending: &str) -> Input {
        self.read(pending)
    }

    fn remember(&mut self, text: &str) {
        self.add(text);
    }

    fn mistake(&mut self, failure: Failure) -> Result<(), Failure> {
        output::page(Stream::Err, &failure.page());
        Ok(())
    }
}

/// Whether there is more to come.
enum Flow {
    GoesOn,
    Ends,
}

/// What is asked, and how it is answered.
pub struct Prompt<'a> {
    store: &'a Store,
    asking: Asking,
    /// False while a query runs, and true once it is to stop.
    stop: Arc<AtomicBool>,
    manner: Manner,
}

/// Whom the prompt talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A person, who is told how long things took.
    Person,
    /// A program, which is told what it asked.
    Program,
}

/// A command of the prompt.
struct Command {
    name: &'static str,
    takes: &'static str,
    does: &'static str,
    run: fn(&mut Prompt<'_>, &str) -> Result<Flow, Failure>,
}

const COMMANDS: [Command; 9] = [
    Command {
        name: ".help",
        takes: "",
        does: "shows these commands",
        run: |prompt, _| prompt.help(),
    },
    Command {
        name: ".tables",
        takes: "",
        does: "lists what can be asked",
        run: |prompt, _| prompt.tables(),
    },
    Command {
        name: ".schema",
        takes: "NAME",
        does: "lists the columns of a view or table",
        run: |prompt, argument| prompt.schema(argument),
    },
    Command {
        name: ".examples",
        takes: "",
        does: "lists questions",
        run: |prompt, _| prompt.examples(),
    },
    Command {
        name: ".example",
        takes: "NAME",
        does: "asks one of them, by number or name",
        run: |prompt, argument| prompt.example(argument),
    },
    Command {
        name: ".run",
        takes: "RUN",
        does: "says which run `:run` stands for",
        run: |prompt, argument| prompt.set_run(argument),
    },
    Command {
        name: ".format",
        takes: "table|csv|json",
        does: "says how answers are printed",
        run: |prompt, argument| prompt.set_format(argument),
    },
    Command {
        name: ".quit",
        takes: "",
        does: "leaves, as Ctrl-D does",
        run: |prompt, _| prompt.quit(),
    },
    Command { name: ".exit", takes: "", does: "leaves as well", run: |prompt, _| prompt.quit() },
];

/// The names of the commands.
pub fn commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

impl<'a> Prompt<'a> {
    /// A prompt over a store; `stop` ends the query that is running.
    pub fn new(store: &'a Store, asking: Asking, stop: Arc<AtomicBool>, manner: Manner) -> Self {
        Self { store, asking, stop, manner }
    }

    /// Answers until the lines end.
    ///
    /// # Errors
    /// A mistake that ends the lines.
    pub fn talk(&mut self, lines: &mut dyn Lines) -> Result<(), Failure> {
        let mut pending = String::new();
        while !output::is_closed() {
            let line = match lines.next(&pending) {
                Input::Line(line) => line,
                Input::Cleared => {
                    pending.clear();
                    continue;
                }
                Input::Ended => {
                    // The last statement of a file need not end in `;`.
                    if !pending.trim().is_empty() && self.manner == Manner::Program {
                        return self.ask(&pending, lines);
                    }
                    return Ok(());
                }
            };
            // A dot begins a command, but inside a statement it may begin a number.
            let command = line.trim();
            let known = commands().any(|name| name == command);
            if command.starts_with('.') && (pending.is_empty() || known) {
                lines.remember(command);
                match self.command(command) {
                    Ok(Flow::GoesOn) => {}
                    Ok(Flow::Ends) => return Ok(()),
                    Err(failure) => lines.mistake(failure)?,
                }
                continue;
            }
            pending.push_str(&line);
            pending.push('\n');
            let (complete, rest) = statements(&pending);
            for statement in complete {
                lines.remember(statement.trim());
                self.ask(statement, lines)?;
            }
            pending = rest.trim_start().to_owned();
        }
        Ok(())
    }

    fn ask(&self, statement: &str, lines: &mut dyn Lines) -> Result<(), Failure> {
        let begun = Instant::now();
        match self.put(statement) {
            Ok(rows) => {
                if self.manner == Manner::Person {
                    let noun = if rows == 1 { "row" } else { "rows" };
                    let took = table::seconds(begun.elapsed().as_secs_f64());
                    let mut page = Page::default();
                    page.line(Line::of(Tone::Faint, format!("{rows} {noun} in {took}")));
                    output::page(Stream::Err, &page);
                }
                Ok(())
            }
            Err(failure) => lines.mistake(failure),
        }
    }

    /// Puts a query; the signal that would end the process ends the query meanwhile.
    fn put(&self, query: &str) -> Result<u64, Failure> {
        self.stop.store(false, Ordering::SeqCst);
        let answered = answer(self.store, query, &self.asking, Some(&self.stop));
        self.stop.store(true, Ordering::SeqCst);
        answered
    }

    fn command(&mut self, line: &str) -> Result<Flow, Failure> {
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        // People end commands like statements.
        let (name, argument) = (name.trim_end_matches(';'), argument.trim().trim_end_matches(';'));
        let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
            let near = COMMANDS.iter().find(|command| command.name.starts_with(name));
            let meant =
                near.map_or(String::new(), |near| format!("did you mean `{}`? ", near.name));
            return Err(Failure::new(
                code::INPUT,
                format!("there is no command `{name}`"),
                format!("{meant}`.help` lists the commands"),
            ));
        };
        if command.takes.is_empty() != argument.is_empty() {
            let takes = if command.takes.is_empty() { "nothing" } else { command.takes };
            let message = format!("`{name}` takes {takes}");
            return Err(Failure::new(code::INPUT, message, "`.help` lists the commands"));
        }
        (command.run)(self, argument)
    }

    fn help(&self) -> Result<Flow, Failure> {
        let mut fields = Fields::default();
        for Command { name, takes, does, .. } in &COMMANDS {
            fields.add(&format!("{name} {takes}"), *does);
        }
        let mut page = Page::default();
        page.line(
            "A statement ends with `;` and may have several lines. Ctrl-C forgets what is typed,",
        );
        page.line(
            "or stops the query that is running. `:run` and `:run_id` are the run of `.run`.",
        );
        page.blank().fields(fields);
        output::page(Stream::Out, &page);
        Ok(Flow::GoesOn)
    }

    fn tables(&self) -> Result<Flow, Failure> {
        let mut page = Page::default();
        for info in self.store.tables()? {
            page.line(format!("{} {}({})", info.kind, info.name, info.columns.join(", ")));
        }
        output::page(Stream::Out, &page);
        Ok(Flow::GoesOn)
    }

    fn schema(&mut self, name: &str) -> Result<Flow, Failure> {
        let tables = self.store.tables()?;
        let Some(info) = tables.iter().find(|info| info.name == name) else {
            let message = format!("there is no view or table `{name}`");
            return Err(Failure::new(code::INPUT, message, "`.tables` lists them"));
        };
        let mut page = Page::default();
        page.line(format!("{} {}", info.kind, info.name));
        for column in &info.columns {
            page.line(format!("  {column}"));
        }
        output::page(Stream::Out, &page);
        Ok(Flow::GoesOn)
    }

    fn examples(&self) -> Result<Flow, Failure> {
        let mut page = Page::default();
        page.table(example_table());
        output::page(Stream::Out, &page);
        Ok(Flow::GoesOn)
    }

    fn example(&mut self, name: &str) -> Result<Flow, Failure> {
        let examples::Example { question, sql, .. } = find_example(name)?;
        eprintln!("{question}");
        self.put(sql)?;
        Ok(Flow::GoesOn)
    }

    fn set_run(&mut self, name: &str) -> Result<Flow, Failure> {
        self.asking.run = self.store.run(name)?.name;
        eprintln!("`:run` is {}", self.asking.run);
        Ok(Flow::GoesOn)
    }

    fn set_format(&mut self, word: &str) -> Result<Flow, Failure> {
        self.asking.format = Format::from_str(word, true).map_err(|_| {
            let message = format!("there is no format `{word}`");
            Failure::new(code::INPUT, message, "the formats are table, csv, json and jsonl")
        })?;
        Ok(Flow::GoesOn)
    }

    fn quit(&self) -> Result<Flow, Failure> {
        Ok(Flow::Ends)
    }
}
