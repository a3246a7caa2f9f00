//! Arguments that several commands share, as clap reads them.
//!
//! What they mean is in the types of the modules that do the work; here is what they are called, and what is said of
//! them in help texts.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use r1x_core::plan::Precision;

use crate::display::Ink;
use crate::output::{Extent, Looks};
use crate::plans::SpecSource;
use crate::wiring::Compute;

/// Options every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The store: a SQLite file with every run; checkpoints lie in a folder beside it [default: runs/r1x.sqlite, here
    /// or, for runs that are there already, in the nearest folder above]
    #[arg(long, global = true, env = "R1X_STORE")]
    store: Option<PathBuf>,
    /// Colour: `NO_COLOR`, `TERM=dumb` and a terminal that is none turn it off
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Show lines and cells whole, however wide the terminal is
    #[arg(long, global = true)]
    wide: bool,
    /// What builds and native code of plugins may take on disk; what was used longest ago goes first
    #[arg(long, global = true, env = "R1X_CACHE_LIMIT", value_name = "SIZE", default_value = "2GiB", value_parser = size)]
    cache_limit: u64,
    /// More messages on standard error; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// A number of bytes with its unit.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Result<u64, String> {
    r1x_core::units::bytes_or_number(text)
        .ok_or_else(|| "a size is a number with a unit, such as 500MiB or 2GiB".to_owned())
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Global {
    /// The store that is asked for, if one is.
    pub fn store(&self) -> Option<&Path> {
        self.store.as_deref()
    }

    /// What may be kept to be quick, bytes.
    pub fn cache_limit_bytes(&self) -> u64 {
        self.cache_limit
    }

    /// Messages that are shown beyond results, as a level of the log.
    pub fn log_level(&self) -> &'static str {
        match self.verbose {
            0 => "warn",
            1 => "info",
            _ => "debug",
        }
    }

    /// How the command prints.
    pub fn looks(&self) -> Looks {
        Looks {
            color: match self.color {
                Color::Always => Some(Ink::Colored),
                Color::Never => Some(Ink::Plain),
                Color::Auto => None,
            },
            extent: if self.wide { Extent::Everything } else { Extent::Fitted },
        }
    }
}

/// A spec and what is changed in it.
#[derive(Clone, Debug, Args)]
pub struct SpecArgs {
    /// The experiment, a YAML file
    pub spec: PathBuf,
    /// Change one value: `--set stages.rl.grpo.lr=1e-4` (list entries go by id)
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Short for `--set seed=N`
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

impl SpecArgs {
    /// The spec, with every override in order.
    pub fn source(&self) -> SpecSource {
        let seed = self.seed.map(|seed| format!("seed={seed}"));
        let overrides = self.set.iter().cloned().chain(seed).collect();
        SpecSource { path: self.spec.clone(), overrides }
    }
}

/// Where things are computed.
#[derive(Clone, Debug, Args)]
pub struct ComputeArgs {
    /// `cpu`, or `cuda:N` in a build with CUDA
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
}

impl ComputeArgs {
    /// Where to compute.
    pub fn compute(&self) -> Compute {
        Compute { device: self.device.clone(), threads: all_or(self.threads) }
    }
}

/// How a model writes.
#[derive(Clone, Debug, Args)]
pub struct WritingArgs {
    /// Tokens of a completion at most [default: what the context has room for, and 256 of a published model]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<std::num::NonZeroUsize>,
    /// Softmax temperature, from 0.01 to 100; 0 is greedy
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    pub temperature: f64,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// What the factors of matrix products of a published model are rounded to: f32 or bf16
    #[arg(long, default_value = "f32", value_parser = precision)]
    pub precision: Precision,
}

impl WritingArgs {
    /// Tokens of a completion at most, where somebody said.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_tokens.map(std::num::NonZeroUsize::get)
    }
}

/// A temperature as a spec takes it.
fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let possible = |number: &f64| *number == 0.0 || (0.01..=100.0).contains(number);
    number
        .filter(possible)
        .ok_or_else(|| "a temperature is 0, or a number from 0.01 to 100".to_owned())
}

/// A precision by its word in a spec.
pub fn precision(word: &str) -> Result<Precision, String> {
    match word {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        other => Err(format!("`{other}` is not one of f32 and bf16")),
    }
}

/// As many threads as asked for, or one per core.
pub fn all_or(threads: Option<std::num::NonZeroUsize>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    threads.map_or_else(all, std::num::NonZeroUsize::get)
}

/// How `sql` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// A list of objects.
    Json,
    /// An object a line.
    Jsonl,
}

/// A plugin and how it is configured.
#[derive(Clone, Debug, Args)]
pub struct PluginArgs {
    /// The plugin: its folder, one source file or a .wasm component
    #[arg(default_value = ".")]
    pub plugin: PathBuf,
    /// What it is configured with, as in a spec's `with`
    #[arg(long = "with", value_name = "JSON")]
    pub with: Option<String>,
    /// What it may ask for beyond text, as in a spec's `grant`: assets,exec
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub grant: Vec<String>,
}

/// What new scores are compared with.
#[derive(Clone, Debug, Args)]
pub struct AgainstArgs {
    /// Id of the reward to compare with [default: the one whose plugin has the same name]
    #[arg(long)]
    pub reward: Option<String>,
    /// Changed rollouts to show
    #[arg(long, default_value_t = 10)]
    pub show: usize,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}
