//! `r1x plot`: a metric of one or several runs as SVG.
//!
//! What was recorded is drawn faintly, and a moving average over it with its window in the legend: nobody can take the
//! smooth curve for what was measured. Must not change the store.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use plotters::prelude::*;

use crate::args::Global;
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

/// A run's values over its steps. A value that is not finite is a gap.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
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
    // A window has a middle, so that the average does not lag behind.
    let window = draw.window.map_or((longest / 50).max(1), NonZeroUsize::get) | 1;
    let picture = Picture { curves, metric, window, steps: step_axis(&stages) };
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
        match self.window {
            1 => curve.name.clone(),
            steps => format!("{}: mean of {steps} steps (faint: each step)", curve.name),
        }
    }

    /// Where the axes begin and end.
    fn bounds(&self) -> (std::ops::Range<f64>, std::ops::Range<f64>) {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let steps = || points().map(|point| point.0);
        let (first, last) = (steps().fold(f64::INFINITY, f64::min), steps().fold(0.0, f64::max));
        let values = || points().map(|point| point.1).filter(|value| value.is_finite());
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
}
