//! Arguments of the commands that list runs and keep them tidy.

use clap::{Args, Subcommand, ValueEnum};
use r1x_core::plan::StepsKept;
use r1x_store::PayloadField;

use crate::args::Global;
use crate::command::sweep::list::list;
use crate::command::{gc, ls, note, rename, rm, tag};
use crate::failure::Failure;

/// What is done to runs that are there.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give tags to a run, and take them away: +word -word
    Tag(TagArgs),
    /// Note something about a run
    Note(NoteArgs),
    /// Give a run and its folder another name
    Rename(RenameArgs),
    /// Remove runs: everything recorded of them, and their checkpoints
    Rm(RmArgs),
    /// Remove texts, tokens and log-probs of older steps, as far as they are not kept
    Gc(GcArgs),
}

/// Arguments of `r1x ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Only runs for which this holds, in SQL over the columns of `v_runs`: "seed = 1 AND seconds > 60"
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// Only runs with this tag; with several, those that have all of them
    #[arg(long, value_name = "WORD")]
    tag: Vec<String>,
    /// Only runs with this status: running, done, "gate missed", failed, interrupted, crashed, diverged, differs or
    /// imported; with several, those that have one of them
    #[arg(long, value_name = "WORD")]
    status: Vec<String>,
    /// The runs of a sweep, with the values that each of them has: its name, or the beginning of it [default: the latest]
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = "latest",
        conflicts_with_all = ["condition", "tag", "status", "tree"]
    )]
    sweep: Option<String>,
    /// Put reproductions, and runs that use a checkpoint of another one, below the run they come from
    #[arg(long)]
    tree: bool,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
}

/// Arguments of `r1x rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// The runs: their names, or the beginnings of them
    #[arg(required = true)]
    runs: Vec<String>,
    /// Also when other runs stand on them: reproductions, and runs that use a checkpoint
    #[arg(long)]
    force: bool,
    /// Remove without being asked
    #[arg(short, long)]
    yes: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Arguments of `r1x gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// The runs: their names, or the beginnings of them; without one, all of the store
    #[arg(value_name = "RUN", required_if_eq_any = [("field", "text"), ("field", "tokens"), ("field", "logprobs")])]
    runs: Vec<String>,
    /// What older steps lose, in place of what the spec of the run says (`record.retention`); may be given several times
    #[arg(long, value_name = "FIELD", requires = "last_steps")]
    field: Vec<FieldArg>,
    /// The number of the newest steps of each stage that keep it
    #[arg(long, value_name = "N", requires = "field", value_parser = clap::value_parser!(u64).range(1..))]
    last_steps: Option<u64>,
    /// Each step whose number is a multiple of this keeps it too
    #[arg(long, value_name = "N", requires = "field", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Show what would go, and remove nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Remove without being asked
    #[arg(short, long)]
    yes: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// A part of what a rollout said.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FieldArg {
    /// The text of completions
    Text,
    /// The ids of their tokens
    Tokens,
    /// The log-prob of each token, the one under the reference, and the entropy
    Logprobs,
}

impl From<FieldArg> for PayloadField {
    fn from(field: FieldArg) -> Self {
        match field {
            FieldArg::Text => Self::Text,
            FieldArg::Tokens => Self::Tokens,
            FieldArg::Logprobs => Self::Logprobs,
        }
    }
}

/// Arguments of `r1x tag`.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// The run: its name, or the beginning of it
    run: String,
    /// `+word` gives the tag, `-word` takes it away; without a word, the tags are printed
    #[arg(value_name = "+WORD|-WORD", allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Arguments of `r1x note`.
#[derive(Debug, Args)]
pub struct NoteArgs {
    /// The run: its name, or the beginning of it
    run: String,
    /// The note, which takes the place of an earlier one; an empty text removes it, without one it is printed
    text: Option<String>,
}

/// Arguments of `r1x rename`.
#[derive(Debug, Args)]
pub struct RenameArgs {
    /// The run: its name, or the beginning of it
    run: String,
    /// Its new name, and that of its folder
    name: String,
}

/// Carries out `r1x ls`.
///
/// # Errors
/// The errors of `r1x ls`.
pub fn ls(global: &Global, asked: LsArgs) -> Result<i32, Failure> {
    let LsArgs { condition, tag, status, sweep, tree, json } = asked;
    if let Some(sweep) = sweep {
        return list(global, &sweep, json);
    }
    let order = if tree { ls::Order::Descent } else { ls::Order::Time };
    ls::ls(global, &ls::Filter { condition, tags: tag, statuses: status }, order, json)
}

/// Carries out one of the commands.
///
/// # Errors
/// The errors of the command.
pub fn dispatch(global: &Global, asked: Command) -> Result<i32, Failure> {
    match asked {
        Command::Tag(TagArgs { run, words }) => tag::tag(global, &run, &words),
        Command::Note(NoteArgs { run, text }) => note::note(global, &run, text.as_deref()),
        Command::Rename(RenameArgs { run, name }) => rename::rename(global, &run, &name),
        Command::Rm(RmArgs { runs, force, yes, json }) => {
            let stood_on = if force { rm::StoodOn::LeftAlone } else { rm::StoodOn::Refused };
            let consent = if yes { rm::Consent::Given } else { rm::Consent::Asked };
            rm::rm(global, &runs, (stood_on, consent), json)
        }
        Command::Gc(GcArgs { runs, field, last_steps, every, dry_run, yes, json }) => {
            let kept = last_steps.map(|last_steps| gc::Kept {
                fields: field.into_iter().map(PayloadField::from).collect(),
                steps: StepsKept { last_steps, every },
            });
            let consent = if yes { rm::Consent::Given } else { rm::Consent::Asked };
            let ending = if dry_run { gc::Ending::Shown } else { gc::Ending::Removed(consent) };
            gc::gc(global, &runs, kept.as_ref(), ending, json)
        }
    }
}
