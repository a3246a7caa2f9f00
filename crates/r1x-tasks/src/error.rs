//! What can be wrong with data, said so that the reader can mend it.

use r1x_core::port::{Boundary, PortError};

/// Why problems cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// An error in a named data set.
    #[error("the data `{id}` cannot be used: {error}")]
    InData {
        /// Id of the data set.
        id: String,
        /// What is wrong.
        error: Box<TaskError>,
    },
    /// A plan names a data set it does not have.
    #[error("there is no data set `{id}`")]
    UnknownData {
        /// The name.
        id: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A Countdown plan that describes no game.
    #[error("{reason}")]
    Rules {
        /// What does not fit.
        reason: String,
        /// How to mend it.
        hint: String,
    },
    /// More problems are wanted than the ranges hold.
    #[error("only {found} distinct problems exist in these ranges, but {wanted} are wanted")]
    TooFewProblems {
        /// Problems that exist.
        found: usize,
        /// Training and held-out problems wanted.
        wanted: usize,
    },
    /// Too few problems turned up in a space too large to list.
    #[error("only {found} of the {wanted} wanted problems turned up in {draws} draws")]
    RareProblems {
        /// Problems found.
        found: usize,
        /// Training and held-out problems wanted.
        wanted: usize,
        /// Sets of numbers drawn.
        draws: usize,
    },
    /// The template of a prompt or a message is malformed or fails on a problem.
    #[error("the {of} template cannot be used{}: {reason}", at_line(*.line))]
    Template {
        /// What it writes.
        of: &'static str,
        /// Line in the template, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
        /// The columns a template may use.
        columns: Vec<String>,
    },
    /// The template of a prompt or a message goes beyond a limit.
    #[error("the {of} template is too much{}: {reason}", at_line(*.line))]
    TemplateLimit {
        /// What it writes.
        of: &'static str,
        /// Line in the template, from 1, where it is known.
        line: Option<usize>,
        /// Which limit, and what the template comes to.
        reason: String,
    },
    /// A chat template is malformed, goes beyond a limit or fails on messages.
    #[error("the chat template cannot be used{}: {reason}", at_line(*.line))]
    Chat {
        /// Line in the template, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
        /// How to mend it.
        hint: String,
    },
    /// Messages for a model that was not trained on conversations.
    #[error("the prompt is written as `messages`, but the model has no chat template")]
    NoChat,
    /// A prefill that the chat template writes itself.
    #[error("the chat template begins every answer with `{}` itself", display(begun))]
    BegunTwice {
        /// What it writes.
        begun: String,
    },
    /// A text of the data that is no text to the tokenizer.
    #[error(
        "the {what} holds `{}`, which the tokenizer reads as a token with a meaning of its own",
        display(token)
    )]
    Reserved {
        /// Which text.
        what: &'static str,
        /// The part of it.
        token: String,
    },
    /// A number in the prompt touches other characters, so it has no token of its own.
    #[error("the prompt writes the word `{word}`, in which a number touches other characters")]
    GluedNumber {
        /// The word.
        word: String,
    },
    /// The vocabulary would be too large to have a token per word.
    #[error("the data would need more than {limit} words, one token each")]
    VocabularyTooLarge {
        /// Most words allowed.
        limit: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the file system says.
        error: std::io::Error,
    },
    /// A file is not the one the plan was made from.
    #[error("{path} has changed: its sha256 is {found}, the plan says {planned}")]
    Changed {
        /// The file.
        path: String,
        /// sha256 in the plan.
        planned: String,
        /// sha256 of the file now.
        found: String,
    },
    /// A file larger than any that is read.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// Most bytes allowed.
        limit: u64,
    },
    /// Rows that take more memory than there is for them.
    #[error("{path}:{line}: the problems up to this line take more than {} MiB of memory", limit >> 20)]
    TooMuch {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// Most bytes allowed.
        limit: u64,
    },
    /// A file without a single row.
    #[error("{path} has no rows")]
    Empty {
        /// The file.
        path: String,
    },
    /// One row of a JSON-lines file is no problem.
    #[error("{path}:{line}: {reason}")]
    Row {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
        /// How to mend it.
        hint: String,
    },
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line} of it)"))
}

/// Names in backticks, separated by commas.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> =
        names.into_iter().map(|name| format!("`{}`", display(name))).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}

/// Text of a file on one line, without characters that a terminal would act on.
pub(crate) fn display(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

impl TaskError {
    /// The error of a text that holds a reserved one.
    pub(crate) fn reserved(what: &'static str, token: &str) -> Self {
        Self::Reserved { what, token: token.to_owned() }
    }

    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            TaskError::InData { error, .. } => error.hint(),
            TaskError::UnknownData { known, .. } => {
                format!("the plan has {}", listed(known.iter().map(String::as_str)))
            }
            TaskError::Rules { hint, .. }
            | TaskError::Row { hint, .. }
            | TaskError::Chat { hint, .. } => hint.clone(),
            TaskError::TooFewProblems { .. } => {
                "lower `train` or `heldout`, or widen the ranges of the problems".to_owned()
            }
            TaskError::RareProblems { .. } => {
                "widen `target`, allow more operations, or lower `train` and `heldout`".to_owned()
            }
            TaskError::Template { columns, .. } => {
                let columns = listed(columns.iter().map(String::as_str));
                format!("a template can use the columns: {columns}")
            }
            TaskError::TemplateLimit { .. } => {
                "write a shorter template: loop over fewer things, repeat less text".to_owned()
            }
            TaskError::NoChat => {
                "name one, model.tokenizer.chat_template: FILE, or write the prompt as one text under `prompt`"
                    .to_owned()
            }
            TaskError::BegunTwice { .. } => "take `prefill` out".to_owned(),
            TaskError::Reserved { .. } => {
                "take it out, or write it with a blank inside: a text that holds it could speak for the model"
                    .to_owned()
            }
            TaskError::GluedNumber { .. } => {
                "put blanks around every number, for example `{{ nums | join(' ') }}`".to_owned()
            }
            TaskError::VocabularyTooLarge { .. } => {
                "use a tokenizer file: `tokenizer: {file: ...}`".to_owned()
            }
            TaskError::Read { .. } => "check the path and its permissions".to_owned(),
            TaskError::TooLarge { .. } => "split it into several data sets".to_owned(),
            TaskError::TooMuch { .. } => {
                "keep fewer rows: split the file, shorten the template, or list only the `columns` \
                 that templates and rewards use"
                    .to_owned()
            }
            TaskError::Changed { .. } => {
                "put the file back as it was, or start a new run with the new file".to_owned()
            }
            TaskError::Empty { .. } => "write one JSON object on each line".to_owned(),
        }
    }
}

impl From<TaskError> for PortError {
    fn from(error: TaskError) -> Self {
        PortError::new(Boundary::Data, error.to_string(), error.hint())
    }
}
