//! Arguments of the command that draws curves.

use std::path::PathBuf;

use clap::Args;

use crate::args::Global;
use crate::command::plot::{self, Draw, Subject};
use crate::failure::Failure;

/// Arguments of `r1x plot`.
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// Runs; several are drawn over each other
    #[arg(default_value = "latest")]
    runs: Vec<String>,
    /// A sweep in place of runs: for each combination of its values the mean over seeds, with a band of its standard
    /// error [default: the latest]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "latest", conflicts_with = "runs")]
    sweep: Option<String>,
    /// Metric
    #[arg(long, default_value = "reward.mean")]
    metric: String,
    /// Only this stage [default: every stage that has the metric, one after the other]
    #[arg(long)]
    stage: Option<String>,
    /// Steps of the moving average drawn over the recorded values; 1 draws these alone [default: a fiftieth of the
    /// longest curve]
    #[arg(long, value_name = "STEPS")]
    window: Option<std::num::NonZeroUsize>,
    /// Where to write
    #[arg(short, long, default_value = "curve.svg")]
    output: PathBuf,
}

/// Carries out `r1x plot`.
///
/// # Errors
/// The errors of `r1x plot`.
pub fn plot(global: &Global, asked: PlotArgs) -> Result<i32, Failure> {
    let PlotArgs { runs, sweep, metric, stage, window, output } = asked;
    let draw = Draw { metric, stage, window, output };
    let subject = match &sweep {
        Some(sweep) => Subject::Sweep(sweep),
        None => Subject::Runs(&runs),
    };
    plot::plot(global, subject, &draw)
}
