//! `r1x plot`: a metric of one or several runs, or of the combinations of a sweep, as SVG.
//!
//! What was recorded is drawn faintly, and a moving average over it with its window in the legend: nobody can take the
//! smooth curve for what was measured. Must not change the store.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use plotters::prelude::*;
use r1x_store::Store;

use crate::args::Global;
use crate::command::compare::{Comparison, mean_and_error, shown};
use crate::failure::{Failure, code};
use crate::stores;

const COLORS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
];

/// How much of the colour is left of what was recorded, behind the average.
const FAINT: f64 = 0.4;

/// How much of the colour is in a band.
const BAND: f64 = 0.18;

/// Height of letters, in the units of plotters, which are a quarter larger than points.
const LETTERS: (&str, i32) = ("sans-serif", 16);

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

/// Values over steps: of a run, or the means of several runs. A value that is not finite is a gap.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    /// The standard error of each mean; nothing of a single run.
    errors: Option<Vec<f64>>,
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
    // A window has a middle, so that the average does not lag behind.
    let window = draw.window.map_or((longest / 50).max(1), NonZeroUsize::get) | 1;
    let picture = Picture { curves, metric: &draw.metric, window, steps: step_axis(&stages) };
    picture.draw(draw).map_err(|error| {
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
            format!("run {run} has no metric `{metric}`{of}"),
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

/// Means of the finite values among the `window` around each; the window is shorter at both ends, and as long on both
/// sides of a point.
fn smooth(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let mean = |index: usize| {
        let half = (window / 2).min(index).min(points.len() - 1 - index);
        let around = points[index - half..=index + half].iter().map(|(_, value)| *value);
        let (sum, count) = around
            .filter(|value| value.is_finite())
            .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        (points[index].0, sum / count)
    };
    (0..points.len()).map(mean).filter(|(_, value)| value.is_finite()).collect()
}

/// The outline of what lies within one error of a curve that was smoothed: there above it, and back below it.
fn band(points: &[(f64, f64)], errors: &[f64], window: usize) -> Vec<(f64, f64)> {
    let edge = |sign: f64| {
        let moved = points.iter().zip(errors);
        let moved: Vec<(f64, f64)> =
            moved.map(|((step, value), error)| (*step, value + sign * error)).collect();
        smooth(&moved, window)
    };
    let (above, below) = (edge(1.0), edge(-1.0));
    above.into_iter().chain(below.into_iter().rev()).collect()
}

struct Picture<'a> {
    curves: Vec<Curve>,
    metric: &'a str,
    window: usize,
    steps: String,
}

impl Picture<'_> {
    fn draw(&self, draw: &Draw) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::new(&draw.output, (760, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let (steps, values) = self.bounds();
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(steps, values)?;
        chart
            .configure_mesh()
            .x_desc(&self.steps)
            .y_desc(self.metric)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| crate::number::number(*y))
            .axis_desc_style(LETTERS)
            .label_style(LETTERS)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let smoothed = self.window > 1;
        for (index, curve) in self.curves.iter().enumerate() {
            let color = COLORS[index % COLORS.len()];
            if let Some(errors) = &curve.errors {
                let band = band(&curve.points, errors, self.window);
                chart.draw_series(std::iter::once(Polygon::new(band, color.mix(BAND))))?;
            }
            let strength = if smoothed { FAINT } else { 1.0 };
            for piece in curve.points.chunk_by(|a, b| a.1.is_finite() && b.1.is_finite()) {
                let finite = piece.iter().copied().filter(|(_, value)| value.is_finite());
                let style = color.mix(strength).stroke_width(1);
                chart.draw_series(LineSeries::new(finite, style))?;
            }
        }
        // Averages lie over the recorded values of every run.
        for (index, curve) in self.curves.iter().enumerate() {
            let color = COLORS[index % COLORS.len()];
            let line = match smoothed {
                true => smooth(&curve.points, self.window),
                false => Vec::new(),
            };
            chart
                .draw_series(LineSeries::new(line, color.stroke_width(2)))?
                .label(self.label(curve))
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .label_font(LETTERS)
            .background_style(WHITE.mix(0.85))
            .draw()?;
        root.present()?;
        Ok(())
    }

    fn label(&self, curve: &Curve) -> String {
        let band = if curve.errors.is_some() { ", band: ± standard error" } else { "" };
        match self.window {
            1 => format!("{}{band}", curve.name),
            steps => format!("{}: mean of {steps} steps (faint: each step{band})", curve.name),
        }
    }

    /// Where the axes begin and end.
    fn bounds(&self) -> (std::ops::Range<f64>, std::ops::Range<f64>) {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let steps = || points().map(|point| point.0);
        let (first, last) = (steps().fold(f64::INFINITY, f64::min), steps().fold(0.0, f64::max));
        let edges = |curve: &Curve| {
            let error = |at: usize| curve.errors.as_ref().map_or(0.0, |errors| errors[at]);
            let edges =
                |(at, point): (usize, &(f64, f64))| [point.1 - error(at), point.1 + error(at)];
            curve.points.iter().enumerate().flat_map(edges).collect::<Vec<f64>>()
        };
        let values = || self.curves.iter().flat_map(edges).filter(|value| value.is_finite());
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        // A flat curve needs room as well, in proportion to what it is.
        let least = (low.abs().max(high.abs()) * 1e-6).max(f64::MIN_POSITIVE);
        let margin = ((high - low) * 0.08).max(least);
        (first..last.max(first + 1.0), low - margin..high + margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_over_as_many_values_on_both_sides_and_leave_out_what_is_none() {
        let points: Vec<(f64, f64)> = [1.0, 2.0, 6.0, f64::NAN, 4.0]
            .iter()
            .zip(0..)
            .map(|(v, x)| (f64::from(x), *v))
            .collect();
        assert_eq!(
            smooth(&points, 3),
            [(0.0, 1.0), (1.0, 3.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.0)]
        );
        assert_eq!(smooth(&points, 1).len(), 4);
    }

    #[test]
    fn a_band_goes_there_above_the_curve_and_back_below_it() {
        let points = [(0.0, 1.0), (1.0, 2.0), (2.0, 6.0)];
        let outline = band(&points, &[0.5, 1.0, 0.0], 1);
        assert_eq!(
            outline,
            [(0.0, 1.5), (1.0, 3.0), (2.0, 6.0), (2.0, 6.0), (1.0, 1.0), (0.0, 0.5)]
        );
        assert_eq!(band(&points, &[0.0; 3], 3)[1], (1.0, 3.0));
    }
}
