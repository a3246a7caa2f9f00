//! Arguments of the commands that list runs and keep them tidy.

use clap::{Args, Subcommand};

use crate::args::Global;
use crate::command::sweep::list::list;
use crate::command::{ls, note, rename, rm, tag};
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
    /// Only runs with this status: running, done, "gate missed", failed, interrupted, crashed, diverged or differs; with
    /// several, those that have one of them
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
    }
}
