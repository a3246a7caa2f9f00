//! Arguments, help texts and exit codes of the command line.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{
    AgainstArgs, ComputeArgs, Format, Global, PluginArgs, RunsArgs, WritingArgs, all_or, size,
};
use crate::command::resume::{Lost, Point};
use crate::command::{self, cache::Wanted, show};
use crate::display::{Line, Page, Tone};
use crate::failure::{Failure, code};
use crate::memory::Excess;
use crate::output::{self, Stream};
use crate::{cache, hosting, table};

mod again;
mod begin;
mod diff;
mod export;
mod import;
mod model;
mod plot;
mod plugin;
mod store;
mod tidy;

const AFTER_HELP: &str = "\
Exit codes:
  0 ok                      6 a reward plugin failed beyond its policy
  1 internal error (a bug)  7 memory, disk or device exhausted or missing
  2 usage                   8 the store is locked, damaged or newer
  3 the spec is invalid     9 a run made again differs
  4 an input is missing     10 diverged (a value was not finite)
  5 a gate was missed       130 interrupted

Results go to standard output, everything else to standard error.";

/// Reinforcement learning for language models: one YAML file in, a reproducible run out.
#[derive(Debug, Parser)]
#[command(name = "r1x", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Completions that are all held until they are printed.
fn samples(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok().filter(|number| *number <= 65_536);
    number.ok_or_else(|| "a number of completions is at most 65536".to_owned())
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an experiment, or every run that its spec stands for
    Run(begin::RunArgs),
    /// Go on with an interrupted or crashed run
    Resume {
        /// Its name, or the beginning of it [default: the latest]
        #[arg(default_value = "latest")]
        run: String,
        #[command(flatten)]
        compute: ComputeArgs,
        /// A checkpoint of the run, such as `rl/step-000020`, or the folder of one [default: the newest that serves]
        #[arg(long, value_name = "PATH")]
        checkpoint: Option<String>,
        /// Do recorded steps again when checkpoints after an older one are gone, without being asked
        #[arg(long)]
        redo_steps: bool,
        /// Go on even when the run takes more memory than there is
        #[arg(long)]
        force: bool,
        /// Print one JSON object at the end instead of tables
        #[arg(long)]
        json: bool,
    },
    /// Make a recorded run again, and compare every fact with what was recorded, bit for bit
    Reproduce(again::ReproduceArgs),
    /// Make one step of a recorded run again, or one group of it, and compare: RUN@STEP[.GROUP]
    Replay(again::ReplayArgs),
    /// Check a spec and everything it names, without running it
    Check(begin::CheckArgs),
    /// Lock what a spec reads (models, tokenizers, data, plugins, judges) by sha256, in SPEC.lock beside it
    Lock(begin::LockArgs),
    /// Read a recipe of TRL, open-r1 or verl, write it as a spec, and say what became of each key
    ImportSpec(import::ImportSpecArgs),
    /// Bring in rollouts that TRL, verl, verifiers or prime-rl have written, as a run to query and to score again
    Import(import::ImportArgs),
    /// Show the plan: every value and where it came from, sizes and estimates
    Plan {
        #[command(flatten)]
        spec: RunsArgs,
        /// The memory of one device, such as 80GiB: how many of them the model needs
        #[arg(long, value_name = "SIZE", value_parser = size)]
        device_memory: Option<u64>,
        /// Print the resolved plan as JSON
        #[arg(long)]
        json: bool,
    },
    /// List runs
    Ls(tidy::LsArgs),
    /// Compare the combinations of a sweep: means over its seeds, with their standard errors
    Compare {
        /// The sweep: its name, or the beginning of it
        #[arg(default_value = "latest")]
        sweep: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show a run, a step, a group or one rollout: RUN[@STEP[.GROUP[.SAMPLE]]]
    Show {
        /// What to show; `latest` is the newest run
        #[arg(default_value = "latest")]
        address: String,
        /// Stage of the step [default: the last one that has sampled in it, or has it]
        #[arg(long)]
        stage: Option<String>,
        /// A row for each token of a rollout as well
        #[arg(long, conflicts_with = "json")]
        tokens: bool,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show what differs between two recorded runs: plan, environment, plugins, metrics and evaluations
    Diff(diff::DiffArgs),
    #[command(flatten)]
    Tidy(tidy::Command),
    /// Verify, copy, tidy and merge stores
    #[command(subcommand)]
    Store(store::Verb),
    /// Ask the store in SQL, read-only; `:run` is the run given by --run
    Sql {
        /// The query; without one, a prompt
        query: Option<String>,
        /// One of the built-in questions, by number or name
        #[arg(long, conflicts_with = "query")]
        example: Option<String>,
        /// The run that `:run` stands for
        #[arg(long, default_value = "latest")]
        run: String,
        /// How to print
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
        /// Rows to print at most [default: all]
        #[arg(long, value_name = "ROWS")]
        limit: Option<u64>,
        /// Seconds that the store may compute
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        timeout: u64,
    },
    /// Find a text in what a run's model wrote, or was asked
    Grep(export::GrepArgs),
    /// Write what a run has recorded as a file or folder that other programs read
    Export(export::ExportArgs),
    /// Sample from a run's last checkpoint, or from a published model
    Generate {
        /// The run, or the folder of a published model
        #[arg(default_value = "latest")]
        model: String,
        /// A prompt; without one, held-out problems of the run are asked
        #[arg(long, conflicts_with = "messages")]
        prompt: Option<String>,
        /// A file of messages, of which the model's chat template makes the prompt: a JSON list of objects with `role` and
        /// `content`
        #[arg(long, value_name = "FILE")]
        messages: Option<PathBuf>,
        /// Completions per prompt [default: 4 of a run, 1 of a published model]
        #[arg(short = 'n', long, value_parser = samples)]
        samples: Option<usize>,
        #[command(flatten)]
        writing: WritingArgs,
        /// A checkpoint of the run, such as `rl/final` [default: the newest]
        #[arg(long)]
        checkpoint: Option<String>,
        /// Print one JSON object a completion, with its text as it is
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        compute: ComputeArgs,
    },
    /// Talk with a model on the terminal
    Chat {
        /// The folder of a published model, or a run
        model: String,
        /// What the model is told before the conversation
        #[arg(long, value_name = "TEXT")]
        system: Option<String>,
        #[command(flatten)]
        writing: WritingArgs,
        #[command(flatten)]
        compute: ComputeArgs,
    },
    /// Read, write and look into models as hubs publish them
    #[command(subcommand)]
    Model(model::Verb),
    /// Write, build, test and measure reward plugins
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Score a run's recorded rollouts with a plugin, and keep that beside the original
    Rescore {
        /// The run
        run: String,
        /// The plugin: its folder, one source file or a .wasm component
        #[arg(long)]
        plugin: PathBuf,
        /// What it is configured with, as in a spec's `with` [default: as in the run]
        #[arg(long = "with", value_name = "JSON")]
        with: Option<String>,
        /// What it may ask for beyond text, as in a spec's `grant`: assets,exec
        #[arg(long, value_name = "WORDS", value_delimiter = ',')]
        grant: Vec<String>,
        #[command(flatten)]
        against: AgainstArgs,
    },
    /// Draw the curve of a run or of a sweep as SVG
    Plot(plot::PlotArgs),
    /// Write a run as one page of HTML that stands by itself: curves, tables, samples and where it comes from
    Report {
        /// The run
        #[arg(default_value = "latest")]
        run: String,
        /// Where to write [default: RUN.html]
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Check this machine: its speed, and that it computes what it should
    Doctor {
        /// Check a card instead of the CPU; N is its number [default: 0]
        #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "0")]
        gpu: Option<usize>,
        /// Threads to measure with [default: all cores]
        #[arg(long, value_name = "N", conflicts_with = "gpu")]
        threads: Option<std::num::NonZeroUsize>,
    },
    /// Show what is kept to be quick: builds of plugins and their native code
    Cache {
        /// List every entry, the last used first
        #[arg(long, conflicts_with = "clear")]
        list: bool,
        /// Remove every entry; what is needed is made again
        #[arg(long)]
        clear: bool,
    },
    /// Print the JSON Schema of specs, for editors
    Schema,
    /// Explain an error code such as R1X0103, or list them all
    Explain {
        /// The code [default: a list]
        code: Option<String>,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print version and build
    Version,
}

/// Runs the command line and returns the exit code.
pub fn main() -> i32 {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("error: r1x {} has a bug: {info}", env!("CARGO_PKG_VERSION"));
        eprintln!("  help: recorded steps are safe; please report this with the command you ran");
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // What was asked for, such as help, is printed as it was laid out.
        Err(said) if !said.use_stderr() => said.exit(),
        Err(mistake) => return told(&mistake),
    };
    output::set_looks(cli.global.looks());
    logging(cli.global.log_level());
    let (began, limit_bytes) = (SystemTime::now(), cli.global.cache_limit_bytes());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(cli)));
    let code = match result {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => {
            output::page(Stream::Err, &failure.page());
            failure.code
        }
        Err(_) => code::INTERNAL,
    };
    trim_cache(limit_bytes, began);
    match output::failure() {
        Some(kind) if code == 0 => {
            let error = std::io::Error::from(kind);
            eprintln!("error: cannot write the output: {error}");
            code::RESOURCE
        }
        _ => code,
    }
}

/// Says what is wrong with the arguments, in lines that fit the terminal, and returns the exit code.
fn told(mistake: &clap::Error) -> i32 {
    let mut page = Page::default();
    for line in mistake.render().to_string().lines() {
        match line.strip_prefix("error: ") {
            Some(rest) => page.line(Line::of(Tone::Bad, "error: ").and(Tone::Plain, rest)),
            None => page.line(line),
        };
    }
    output::page(Stream::Err, &page);
    mistake.exit_code()
}

/// Keeps the cache within its limit, whatever this command added to it.
fn trim_cache(limit_bytes: u64, began: SystemTime) {
    let Some(root) = hosting::cache_root() else { return };
    let freed = cache::trim(&root, limit_bytes, began);
    if freed.entries > 0 {
        let bytes = table::bytes(freed.bytes);
        tracing::info!("removed {} entries of the cache, {bytes}: see `r1x cache`", freed.entries);
    }
}

fn logging(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::registry().with(crate::log::Log).with(filter).init();
}

fn excess(force: bool) -> Excess {
    if force { Excess::Forced } else { Excess::Refused }
}

/// What to do with the cache; to clear it wins.
fn wanted(list: bool, clear: bool) -> Wanted {
    match (list, clear) {
        (_, true) => Wanted::Clear,
        (true, _) => Wanted::List,
        _ => Wanted::Sums,
    }
}

fn dispatch(cli: Cli) -> Result<i32, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Run(asked) => begin::run(&global, &asked),
        Command::Resume { run, compute, checkpoint, redo_steps, force, json } => {
            let lost = if redo_steps { Lost::Redo } else { Lost::Ask };
            let from = Point { checkpoint, lost, excess: excess(force) };
            command::resume::resume(&global, &run, &compute.compute(), &from, json)
        }
        Command::Reproduce(asked) => again::reproduce(&global, asked),
        Command::Replay(asked) => again::replay(&global, &asked),
        Command::Check(asked) => begin::check(&global, &asked),
        Command::Lock(asked) => begin::lock(&global, &asked),
        Command::ImportSpec(asked) => command::import_spec::import_spec(&asked.ask()),
        Command::Import(asked) => import::import(&global, asked),
        Command::Plan { spec, device_memory, json } => {
            command::plan::plan(&global, &spec.source(), json, device_memory)
        }
        Command::Ls(asked) => tidy::ls(&global, asked),
        Command::Compare { sweep, json } => command::compare::compare(&global, &sweep, json),
        Command::Show { address, stage, tokens, json } => {
            let depth = if tokens { show::Depth::Tokens } else { show::Depth::Rollout };
            show::show(&global, &address, stage.as_deref(), depth, json)
        }
        Command::Diff(asked) => diff::diff(&global, &asked),
        Command::Tidy(asked) => tidy::dispatch(&global, asked),
        Command::Store(verb) => store::dispatch(&global, verb),
        Command::Sql { query, example, run, format, limit, timeout } => {
            let time_limit = Duration::from_secs(timeout);
            let asking = command::sql::Asking { run, format, limit, time_limit };
            command::sql::sql(&global, query, example, asking)
        }
        Command::Grep(asked) => export::grep(&global, asked),
        Command::Export(asked) => export::export(&global, asked),
        Command::Generate {
            model,
            prompt,
            messages,
            samples,
            writing,
            checkpoint,
            json,
            compute,
        } => {
            let ask = command::generate::Ask { prompt, messages, samples, writing, checkpoint };
            command::generate::generate(&global, &model, &ask, &compute.compute(), json)
        }
        Command::Chat { model, system, writing, compute } => {
            let ask = command::chat::Ask { system, writing };
            command::chat::chat(&global, &model, &ask, &compute.compute())
        }
        Command::Model(verb) => model::dispatch(&global, verb),
        Command::Plugin(verb) => plugin::dispatch(&global, verb),
        Command::Rescore { run, plugin, with, grant, against } => {
            command::rescore::rescore(&global, &run, &PluginArgs { plugin, with, grant }, &against)
        }
        Command::Plot(asked) => plot::plot(&global, asked),
        Command::Report { run, output } => {
            command::report::report(&global, &run, output.as_deref())
        }
        Command::Doctor { gpu, threads } => command::doctor::doctor(gpu, all_or(threads)),
        Command::Cache { list, clear } => {
            command::cache::cache(wanted(list, clear), global.cache_limit_bytes())
        }
        Command::Schema => command::info::schema(),
        Command::Explain { code } => command::info::explain(code.as_deref()),
        Command::Completions { shell } => command::info::completions(shell, &mut Cli::command()),
        Command::Version => command::info::version(),
    }
}
