//! Curves over steps as SVG.
//!
//! What was recorded is drawn faintly, and a moving average over it: nobody can take the smooth curve for what was measured.

use plotters::coord::Shift;
use plotters::prelude::*;
use r1x_core::shown;

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

/// Values over steps: of a run, or the means of several runs. A value that is not finite is a gap.
pub struct Curve {
    /// What it is called in the legend.
    pub name: String,
    /// Steps and values.
    pub points: Vec<(f64, f64)>,
    /// The standard error of each mean; nothing of a single run.
    pub errors: Option<Vec<f64>>,
}

/// The window of the moving average over a curve of so many points: a fiftieth of them. A window has a middle, so that the
/// average does not lag behind.
pub fn window(points: usize) -> usize {
    (points / 50).max(1) | 1
}

/// Whether curves have names in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legend {
    /// They have.
    Shown,
    /// What they are is said beside the picture.
    Elsewhere,
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

/// Curves of one metric.
pub struct Picture<'a> {
    /// The curves.
    pub curves: Vec<Curve>,
    /// The metric.
    pub metric: &'a str,
    /// Values in the moving average; with 1 there is none.
    pub window: usize,
    /// What is said of the axis of steps.
    pub steps: String,
    /// Whether curves have names.
    pub legend: Legend,
}

impl Picture<'_> {
    /// Draws them on an area of its own.
    ///
    /// # Errors
    /// When what is drawn cannot be written.
    pub fn draw(&self, backend: SVGBackend<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let root: DrawingArea<_, Shift> = backend.into_drawing_area();
        root.fill(&WHITE)?;
        let (steps, values) = self.bounds();
        let mut chart = ChartBuilder::on(&root)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(steps, values)?;
        chart
            .configure_mesh()
            .x_desc(shown::line(&self.steps))
            .y_desc(shown::line(self.metric))
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
        if self.legend == Legend::Elsewhere {
            root.present()?;
            return Ok(());
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
        let name = shown::line(&curve.name);
        match self.window {
            1 => format!("{name}{band}"),
            steps => format!("{name}: mean of {steps} steps (faint: each step{band})"),
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
        // A flat curve needs room as well, in proportion to what it is; nothing has no proportion.
        let least = match low.abs().max(high.abs()) {
            0.0 => 1.0,
            size => size * 1e-6,
        };
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
