//! Arguments of `r1x plugin` and its verbs.

use std::path::PathBuf;

use clap::Subcommand;

use crate::args::{AgainstArgs, Global, PluginArgs, SpecArgs};
use crate::command::plugin as verbs;
use crate::failure::Failure;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a folder with a new plugin that builds and passes its tests
    New {
        /// Its name: lower-case letters, digits and `-`
        name: String,
        /// What it is written in: python, rust, c or js
        #[arg(long, default_value = "python")]
        lang: String,
        /// Where its folder goes
        #[arg(long = "in", value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
    },
    /// Build the component
    Build {
        /// The plugin's folder or source file
        #[arg(default_value = ".")]
        plugin: PathBuf,
        /// Where the component goes [default: NAME.wasm in the plugin's folder]
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Run its cases, then what every plugin must keep
    Test {
        #[command(flatten)]
        plugin: PluginArgs,
        /// More cases: JSON lines with the keys of a [[test]]
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
        /// Make one failed call of a run again, instead; PLUGIN may be another build
        #[arg(long, value_name = "FILE", conflicts_with = "cases")]
        replay: Option<PathBuf>,
    },
    /// Compare a spec's plugins with its data, limits and hashes, and let each judge a call
    Check {
        #[command(flatten)]
        spec: SpecArgs,
    },
    /// Measure time, work and memory
    Bench {
        #[command(flatten)]
        plugin: PluginArgs,
        /// Completions in a batch
        #[arg(short = 'n', long, default_value_t = 1000)]
        n: usize,
        /// Length of a completion, bytes
        #[arg(long, default_value_t = 2000)]
        bytes: usize,
        /// Batches that are timed
        #[arg(long, default_value_t = 15)]
        rounds: usize,
        /// Length of a step to compare with, milliseconds [default: that of the newest run]
        #[arg(long, value_name = "MS")]
        step_ms: Option<f64>,
    },
    /// Show what a plugin says about itself, its imports, exports, size and hash
    Inspect {
        /// The plugin: its folder, one source file or a .wasm component
        #[arg(default_value = ".")]
        plugin: PathBuf,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Score a run's recorded rollouts with a plugin, and show what changes
    Run {
        #[command(flatten)]
        plugin: PluginArgs,
        /// The run
        #[arg(long, value_name = "RUN", default_value = "latest")]
        replay: String,
        #[command(flatten)]
        against: AgainstArgs,
    },
}

/// Runs a verb.
pub fn dispatch(global: &Global, verb: Verb) -> Result<i32, Failure> {
    match verb {
        Verb::New { name, lang, folder } => verbs::new::new(&name, &lang, &folder),
        Verb::Build { plugin, output } => verbs::build::build(&plugin, output.as_deref()),
        Verb::Test { plugin, replay: Some(file), .. } => verbs::replay::replay(&plugin, &file),
        Verb::Test { plugin, cases, replay: None } => verbs::test::test(&plugin, cases.as_deref()),
        Verb::Check { spec } => verbs::check::check(&spec.source()),
        Verb::Bench { plugin, n, bytes, rounds, step_ms } => {
            let work = verbs::bench::Work { n, bytes, rounds, step_ms };
            verbs::bench::bench(global, &plugin, &work)
        }
        Verb::Inspect { plugin, json } => verbs::inspect::inspect(&plugin, json),
        Verb::Run { plugin, replay, against } => {
            verbs::run::run(global, &plugin, &replay, &against)
        }
    }
}
