//! Arguments that several commands share, as clap reads them.
//!
//! What they mean is in the types of the modules that do the work; here is what they are called, and what is said of
//! them in help texts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use r1x_core::plan::Precision;
use r1x_spec::Seeds;

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

    /// The options again, for another r1x that this one starts.
    pub fn passed_on(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(store) = &self.store {
            arguments.extend(["--store".into(), store.into()]);
        }
        let color = match self.color {
            Color::Auto => "auto",
            Color::Always => "always",
            Color::Never => "never",
        };
        arguments.extend(["--color", color].map(OsString::from));
        arguments.extend(["--cache-limit".into(), self.cache_limit.to_string().into()]);
        arguments.extend(self.wide.then(|| "--wide".into()));
        arguments.extend((0..self.verbose).map(|_| "--verbose".into()));
        arguments
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
        SpecSource { path: self.spec.clone(), overrides, seeds: Seeds::default() }
    }
}

/// A spec that may stand for several runs.
#[derive(Clone, Debug, Args)]
pub struct RunsArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// A run with each of these seeds: `1..5` is 1, 2, 3, 4 and 5, and `1,2,7` these three
    #[arg(long, value_name = "LIST", value_parser = seeds, conflicts_with = "seed")]
    pub seeds: Option<Seeds>,
}

impl RunsArgs {
    /// The spec, with every override in order and the seeds that are asked for beside it.
    pub fn source(&self) -> SpecSource {
        SpecSource { seeds: self.seeds.clone().unwrap_or_default(), ..self.spec.source() }
    }
}

/// Seeds in a list of at most this length.
const MOST_SEEDS: u64 = 1000;

/// Seeds by number, and from one to another, both of which count.
fn seeds(text: &str) -> Result<Seeds, String> {
    let wrong = || "seeds are numbers as in 1,2,7, or a first and a last one as in 1..5".to_owned();
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once("..") {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if last < first {
            return Err(format!("{first}..{last} has no seed: the first one comes first"));
        }
        if last - first >= MOST_SEEDS || seeds.len() as u64 + (last - first) >= MOST_SEEDS {
            return Err(format!("there are at most {MOST_SEEDS} seeds"));
        }
        seeds.extend(first..=last);
    }
    let twice = seeds.iter().enumerate().find(|(at, seed)| seeds[..*at].contains(seed));
    match twice {
        Some((_, seed)) => Err(format!("the seed {seed} is there twice")),
        None => Ok(Seeds { text: text.to_owned(), seeds }),
    }
}

/// Where things are computed.
#[derive(Clone, Debug, Args)]
pub struct ComputeArgs {
    /// `cpu`, or `cuda:N` in a build with CUDA
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads)]
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

/// More threads than any machine has cores for.
const MOST_THREADS: usize = 1024;

/// A number of threads.
///
/// # Errors
/// When it is none, or more than any machine has cores for.
pub fn threads(text: &str) -> Result<std::num::NonZeroUsize, String> {
    let wrong = || format!("a number from 1 to {MOST_THREADS} is expected");
    let count = text.parse::<std::num::NonZeroUsize>().map_err(|_| wrong())?;
    if count.get() <= MOST_THREADS { Ok(count) } else { Err(wrong()) }
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

#[cfg(test)]
mod tests {
    use super::seeds;

    #[test]
    fn seeds_are_listed_or_counted_with_both_ends() {
        let of = |text: &str| seeds(text).map(|seeds| seeds.seeds);
        assert_eq!(of("1..5"), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(of("1,2, 7"), Ok(vec![1, 2, 7]));
        assert_eq!(of("9,1..3"), Ok(vec![9, 1, 2, 3]));
        assert_eq!(of("18446744073709551615"), Ok(vec![u64::MAX]));
        for (text, told) in [
            ("", "seeds are numbers"),
            ("1..", "seeds are numbers"),
            ("-1", "seeds are numbers"),
            ("1..=5", "seeds are numbers"),
            ("5..1", "5..1 has no seed"),
            ("1,2,1", "the seed 1 is there twice"),
            ("1..3,2", "the seed 2 is there twice"),
            ("0..18446744073709551615", "at most 1000 seeds"),
            ("1..600,601..1001", "at most 1000 seeds"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert_eq!(of("1..1000").unwrap().len(), 1000);
    }
}
