//! `r1x plot`: a metric of one or several runs as SVG.
//!
//! What was recorded is drawn faintly, and a moving average over it with its window in the legend: nobody can take the
//! smooth curve for what was measured. Must not change the store.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use plotters::prelude::SVGBackend;

use crate::args::Global;
use crate::failure::{Failure, code};
use crate::picture::{Curve, Legend, Picture, window};
use crate::stores;

/// What is drawn, and where to.
#[derive(Debug)]
pub struct Draw {
    /// The metric.
    pub metric: String,
    /// One stage, or all that have the metric.
    pub stage: Option<String>,
    /// Values in the moving average; chosen where it is not said.
    pub window: Option<NonZeroUsize>,
    /// The file.
    pub output: PathBuf,
}

/// Draws the metric over steps, one line per run.
///
/// # Errors
/// When a run has no such metric or the file cannot be written.
pub fn plot(global: &Global, runs: &[String], draw: &Draw) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let metric = draw.metric.as_str();
    let mut curves = Vec::new();
    let mut stages: Vec<String> = Vec::new();
    for run in runs {
        let summary = store.run(run)?;
        let recorded = store.curve(run, draw.stage.as_deref(), metric)?;
        let of = draw.stage.as_ref().map_or(String::new(), |stage| format!(" in stage `{stage}`"));
        if !recorded.points.iter().any(|(_, value)| value.is_finite()) {
            return Err(Failure::new(
                code::INPUT,
                format!("run {} has no metric `{metric}`{of}", summary.name),
                "r1x sql \"SELECT DISTINCT stage, metric FROM v_metrics WHERE run = :run\" lists them",
            ));
        }
        for stage in recorded.stages {
            if !stages.contains(&stage) {
                stages.push(stage);
            }
        }
        let name = format!("{}, seed {}", summary.name, summary.seed);
        let points = recorded.points.iter().map(|(step, value)| (*step as f64, *value)).collect();
        curves.push(Curve { name, points });
    }
    let longest = curves.iter().map(|curve| curve.points.len()).max().unwrap_or(0);
    let window = draw.window.map_or_else(|| window(longest), |steps| steps.get() | 1);
    let (steps, legend) = (step_axis(&stages), Legend::Shown);
    let picture = Picture { curves, metric, window, steps, legend };
    picture.draw(SVGBackend::new(&draw.output, (760, 400))).map_err(|error| {
        Failure::new(
            code::INPUT,
            format!("{}: {error}", draw.output.display()),
            "check that the folder may be written",
        )
    })?;
    let smoothed = match window {
        1 => String::new(),
        steps => format!(" (recorded values, and their moving average over {steps} steps)"),
    };
    eprintln!("wrote {}{smoothed}", draw.output.display());
    Ok(0)
}

fn step_axis(stages: &[String]) -> String {
    match stages {
        [one] => format!("step of stage {one}"),
        many => format!("step of the stages {}, one after the other", many.join(", ")),
    }
}
