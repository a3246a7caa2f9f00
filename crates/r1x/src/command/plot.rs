//! `r1x plot`: a metric of one or several runs as SVG.
//!
//! Must not change the store.

use std::path::Path;

use plotters::prelude::*;

use crate::cli::Global;
use crate::failure::{Failure, code};
use crate::session;

const COLORS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
];

struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws the metric over steps, smoothed, one line per run.
///
/// # Errors
/// When a run has no such metric or the file cannot be written.
pub fn plot(global: &Global, runs: &[String], metric: &str, output: &Path) -> Result<i32, Failure> {
    let store = session::reading(global)?;
    let mut curves = Vec::new();
    for run in runs {
        let summary = store.run(run)?;
        let series = store.metric_series(run, None, metric)?;
        let values: Vec<f64> = series.iter().map(|p| p.value).filter(|v| v.is_finite()).collect();
        if values.is_empty() {
            return Err(Failure::new(
                code::INPUT,
                format!("run {} has no metric `{metric}`", summary.name),
                "r1x sql \"SELECT DISTINCT metric FROM v_metrics WHERE run = :run\" lists them",
            ));
        }
        curves.push(Curve {
            name: format!("{}, seed {}", summary.name, summary.seed),
            points: smooth(&values),
        });
    }
    draw(&curves, metric, output).map_err(|error| {
        Failure::new(
            code::INPUT,
            format!("{}: {error}", output.display()),
            "check that the folder may be written",
        )
    })?;
    eprintln!("wrote {}", output.display());
    Ok(0)
}

/// Means over windows of about a fiftieth of the curve.
fn smooth(values: &[f64]) -> Vec<(f64, f64)> {
    let half = values.len() / 100;
    (0..values.len())
        .map(|i| {
            let window = &values[i.saturating_sub(half)..(i + half + 1).min(values.len())];
            (i as f64 + 1.0, window.iter().sum::<f64>() / window.len() as f64)
        })
        .collect()
}

fn draw(curves: &[Curve], metric: &str, output: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let all = || curves.iter().flat_map(|c| &c.points);
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    let low = all().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = all().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.08).max(1e-6);
    let root = SVGBackend::new(output, (760, 380)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(14)
        .x_label_area_size(38)
        .y_label_area_size(52)
        .build_cartesian_2d(1.0..last, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc(metric)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (index, curve) in curves.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), color.stroke_width(2)))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.85))
        .draw()?;
    root.present()?;
    Ok(())
}
