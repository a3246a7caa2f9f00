//! `r1x plot`: a metric of one or several runs, or of the combinations of a sweep, as SVG.
//!
//! What was recorded is drawn faintly, and a moving average over it with its window in the legend: nobody can take the
//! smooth curve for what was measured. Must not change the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use plotters::prelude::SVGBackend;
use r1x_files::whole::{self, Existing};
use r1x_store::Store;

use crate::args::Global;
use crate::command::compare::{Comparison, mean_and_error, shown};
use crate::failure::{Failure, code};
use crate::picture::{Curve, Legend, Picture, window};
use crate::stores;

/// What a picture begins with.
const PICTURE_HEAD: &[u8; 4] = b"<svg";

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

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Runs, a line each.
    Runs(&'a [String]),
    /// The combinations of a sweep, each a line through the means over its seeds, with a band of their errors.
    Sweep(&'a str),
}

/// Draws the metric over steps.
///
/// # Errors
/// When there is no such metric or the file cannot be written.
pub fn plot(global: &Global, subject: Subject<'_>, draw: &Draw) -> Result<i32, Failure> {
    check_place(&draw.output)?;
    let store = stores::reading(global.store())?;
    let mut stages: Vec<String> = Vec::new();
    let curves = match subject {
        Subject::Runs(runs) => {
            let of = |run: &String| of_run(&store, run, draw, &mut stages);
            runs.iter().map(of).collect::<Result<Vec<Curve>, Failure>>()?
        }
        Subject::Sweep(sweep) => of_sweep(&store, sweep, draw, &mut stages)?,
    };
    let longest = curves.iter().map(|curve| curve.points.len()).max().unwrap_or(0);
    let window = draw.window.map_or_else(|| window(longest), |steps| steps.get() | 1);
    let (steps, legend) = (step_axis(&stages), Legend::Shown);
    let picture = Picture { curves, metric: &draw.metric, window, steps, legend };
    let mut svg = String::new();
    picture.draw(SVGBackend::with_string(&mut svg, (760, 400))).map_err(|error| {
        let message = format!("the picture cannot be drawn: {error}");
        Failure::new(code::INTERNAL, message, "please report this")
    })?;
    let path = draw.output.as_path();
    let fill =
        |file: &mut File| file.write_all(svg.as_bytes()).map_err(|error| Failure::io(path, &error));
    whole::write(path, Existing::Replaced, fill, |error| Failure::io(path, &error))?;
    let smoothed = match window {
        1 => String::new(),
        steps => format!(" (recorded values, and their moving average over {steps} steps)"),
    };
    eprintln!("wrote {}{smoothed}", draw.output.display());
    Ok(0)
}

/// Refuses a place where something else is than an earlier picture.
fn check_place(path: &Path) -> Result<(), Failure> {
    if !whole::is_taken(path) {
        return Ok(());
    }
    let mut head = [0; PICTURE_HEAD.len()];
    let read = r1x_files::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_ok() && head == *PICTURE_HEAD {
        return Ok(());
    }
    Err(Failure::new(
        code::INPUT,
        format!("{} is there already, and is no SVG", path.display()),
        "name another file with `-o`; a picture takes the place of an earlier one",
    ))
}

/// What a run has recorded of the metric, and the stages that have it.
fn recorded(
    store: &Store,
    run: &str,
    draw: &Draw,
    stages: &mut Vec<String>,
) -> Result<Vec<(u64, f64)>, Failure> {
    let (stage, metric) = (draw.stage.as_deref(), draw.metric.as_str());
    let found = store.curve(run, stage, metric)?;
    if !found.points.iter().any(|(_, value)| value.is_finite()) {
        let of = stage.map_or(String::new(), |stage| format!(" in stage `{stage}`"));
        return Err(Failure::new(
            code::INPUT,
            format!("run {run} has no metric `{metric}`{of} with a value that is finite"),
            "r1x sql \"SELECT DISTINCT stage, metric FROM v_metrics WHERE run = :run\" lists them",
        ));
    }
    for stage in found.stages {
        if !stages.contains(&stage) {
            stages.push(stage);
        }
    }
    Ok(found.points)
}

fn of_run(
    store: &Store,
    run: &str,
    draw: &Draw,
    stages: &mut Vec<String>,
) -> Result<Curve, Failure> {
    let summary = store.run(run)?;
    let points = recorded(store, &summary.name, draw, stages)?;
    Ok(Curve {
        name: format!("{}, seed {}", summary.name, summary.seed),
        points: points.into_iter().map(|(step, value)| (step as f64, value)).collect(),
        errors: None,
    })
}

/// A curve for each combination with runs that have ended: means of them at every step that all of them have.
fn of_sweep(
    store: &Store,
    sweep: &str,
    draw: &Draw,
    stages: &mut Vec<String>,
) -> Result<Vec<Curve>, Failure> {
    let comparison = Comparison::of(store, &store.sweep(sweep)?)?;
    let mut curves = Vec::new();
    for row in &comparison.rows {
        let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for run in row.ended_runs() {
            for (step, value) in recorded(store, &run.name, draw, stages)? {
                at.entry(step).or_default().extend(Some(value).filter(|value| value.is_finite()));
            }
        }
        at.retain(|_, values| values.len() == row.ended);
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for (step, values) in &at {
            if let (Some(mean), error) = mean_and_error(values) {
                points.push((*step as f64, mean));
                errors.extend(error);
            }
        }
        if points.is_empty() {
            continue;
        }
        let values =
            row.values.iter().map(|(path, value)| format!("{path}={}", shown(Some(value))));
        let values: Vec<String> = values.collect();
        let name = if values.is_empty() { comparison.sweep.clone() } else { values.join(" ") };
        let seeds = if row.ended == 1 { "seed" } else { "seeds" };
        let errors = (errors.len() == points.len()).then_some(errors);
        curves.push(Curve { name: format!("{name}, {} {seeds}", row.ended), points, errors });
    }
    if curves.is_empty() {
        return Err(Failure::new(
            code::INPUT,
            format!("no run of the sweep {} has ended", comparison.sweep),
            "`r1x plot RUN` draws a run that has not",
        ));
    }
    Ok(curves)
}

fn step_axis(stages: &[String]) -> String {
    match stages {
        [one] => format!("step of stage {one}"),
        many => format!("step of the stages {}, one after the other", many.join(", ")),
    }
}
