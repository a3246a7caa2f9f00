//! The arguments of `r1x import-spec`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use r1x_spec::import::System;

use crate::command::import_spec::Ask;

/// A recipe and what is known beside it.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
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
}

impl ImportArgs {
    /// What is asked for.
    pub fn ask(self) -> Ask {
        let Self { file, from, output, devices, rows } = self;
        Ask { file, from: from.system(), output, devices, rows }
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
