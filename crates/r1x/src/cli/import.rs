//! The arguments of `r1x import-spec` and of `r1x import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use r1x_spec::import::System;

use crate::args::Global;
use crate::command::import;
use crate::command::import_spec::Ask;
use crate::failure::Failure;

/// A recipe and what is known beside it.
#[derive(Clone, Debug, Args)]
pub struct ImportSpecArgs {
    /// The recipe: a YAML file, or a script that starts verl
    file: PathBuf,
    /// Whose recipe it is
    #[arg(long, value_enum)]
    from: Whose,
    /// Where to write the spec [default: standard output]
    #[arg(short, long, value_name = "OUT.yaml")]
    output: Option<PathBuf>,
    /// Devices that the recipe runs on, where it counts for each of them [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    devices: Option<u64>,
    /// Problems of the training data, where the recipe counts passes over them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rows: Option<u64>,
    /// Print a JSON object with the spec and what became of each key
    #[arg(long)]
    json: bool,
}

impl ImportSpecArgs {
    /// What is asked for.
    pub fn ask(self) -> Ask {
        let Self { file, from, output, devices, rows, json } = self;
        Ask { file, from: from.system(), output, devices, rows, json }
    }
}

/// Whose recipe is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Whose {
    /// The YAML of `trl grpo --config` or `trl sft --config`.
    Trl,
    /// A YAML file of open-r1's recipes.
    OpenR1,
    /// The YAML of verl's configuration, or a script that starts `verl.trainer.main_ppo`.
    Verl,
}

impl Whose {
    /// The system.
    pub const fn system(self) -> System {
        match self {
            Whose::Trl => System::Trl,
            Whose::OpenR1 => System::OpenR1,
            Whose::Verl => System::Verl,
        }
    }
}

/// Files with rollouts and how they are read.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// The files: Parquet or JSON lines, in any order; their steps put them into one
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Whose files they are; `verifiers` reads those of prime-rl as well
    #[arg(long, value_enum)]
    from: import::Whose,
    /// What the run is called, with two words behind it [default: the word of --from]
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// A column that is a reward; several times for several [default: each column of numbers]
    #[arg(long = "reward", value_name = "COLUMN")]
    rewards: Vec<String>,
    /// The weight of a reward in the total [default: 1; of what verl and verifiers have beside their total: 0]
    #[arg(long = "weight", value_name = "COLUMN=WEIGHT", value_parser = weight)]
    weights: Vec<(String, f64)>,
    /// The column of the right answers [default: `gts` of verl, `answer` of the others]
    #[arg(long, value_name = "COLUMN")]
    answer: Option<String>,
    /// Count tokens with the tokenizer.json of this folder
    #[arg(long, value_name = "FOLDER")]
    tokenizer: Option<PathBuf>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// A name as a spec has one: runs get it with two words behind it, and so do their folders.
fn name(text: &str) -> Result<String, String> {
    const MOST_CHARACTERS: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && text.len() <= MOST_CHARACTERS && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a name has letters, digits, `-` and `_`, starts with a letter or digit, and has at most {MOST_CHARACTERS} \
             characters"
        )),
    }
}

/// A column and its weight.
fn weight(text: &str) -> Result<(String, f64), String> {
    let told = || "a weight is written COLUMN=WEIGHT, such as accuracy=0.5".to_owned();
    let (name, number) = text.rsplit_once('=').ok_or_else(told)?;
    let number = number.parse().ok().filter(|number: &f64| number.is_finite());
    number.map(|number| (name.to_owned(), number)).ok_or_else(told)
}

/// Carries out `r1x import`.
///
/// # Errors
/// The errors of `r1x import`.
pub fn import(global: &Global, asked: ImportArgs) -> Result<i32, Failure> {
    let ImportArgs { files, from, name, rewards, weights, answer, tokenizer, json } = asked;
    let ask = import::Ask { files, from, name, rewards, weights, answer, tokenizer, json };
    import::import(global, &ask)
}
