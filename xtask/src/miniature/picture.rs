//! A table as a picture: a panel for each figure, a row for each arm, a point for each run, and the mean with its standard
//! error. Written as SVG by hand, because lines, circles and texts are all there is to it.

use super::table::{Summary, Table};

/// Pixels.
const WIDTH: f64 = 760.0;
const ROW: f64 = 24.0;
const HEAD: f64 = 30.0;
const AXIS: f64 = 26.0;
const MARGIN: f64 = 20.0;
/// Between a name and its row.
const GAP: f64 = 10.0;
/// The width of a character of a name, at the most of what fonts without serifs have on the mean.
const CHARACTER: f64 = 7.0;
/// Parts of an axis between its numbers.
const TICKS: u32 = 4;

/// The picture.
pub fn draw(table: &Table) -> String {
    let panel = HEAD + ROW * table.arms.len() as f64 + AXIS;
    let height = panel * table.figures.len() as f64;
    let mut svg = format!(
        "<svg width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n"
    );
    for (index, figure) in table.figures.iter().enumerate() {
        draw_panel(&mut svg, table, figure, panel * index as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, table: &Table, figure: &str, top: f64) {
    let summaries: Vec<Option<Summary>> =
        table.arms.iter().map(|arm| table.summary(arm, figure)).collect();
    let axis = Axis::of(summaries.iter().flatten(), names_width(table));
    let bottom = top + HEAD + ROW * table.arms.len() as f64;
    text(
        svg,
        axis.left,
        top + HEAD - 10.0,
        "start",
        &format!("<tspan font-weight=\"bold\">{}</tspan>", escaped(figure)),
    );
    for tick in 0..=TICKS {
        let value = axis.low + (axis.high - axis.low) * f64::from(tick) / f64::from(TICKS);
        let x = axis.x(value);
        line(svg, [x, top + HEAD, x, bottom], "#DDDDDD", 1.0);
        text(svg, x, bottom + 15.0, "middle", &short(value));
    }
    for (row, (arm, summary)) in table.arms.iter().zip(&summaries).enumerate() {
        let y = top + HEAD + ROW * (row as f64 + 0.5);
        text(svg, axis.left - GAP, y + 4.0, "end", &escaped(arm));
        let Some(summary) = summary else { continue };
        let error = summary.error.unwrap_or(0.0);
        line(
            svg,
            [axis.x(summary.mean - error), y, axis.x(summary.mean + error), y],
            "#1F6FB4",
            3.0,
        );
        let mean = axis.x(summary.mean);
        line(svg, [mean, y - 7.0, mean, y + 7.0], "#1F6FB4", 3.0);
        for value in &summary.values {
            let x = axis.x(*value);
            svg.push_str(&format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"none\" stroke=\"#333333\"/>\n"
            ));
        }
    }
}

/// The width that the names of arms take, with what is left free on both sides of them.
fn names_width(table: &Table) -> f64 {
    let longest = table.arms.iter().map(|arm| arm.chars().count()).max().unwrap_or_default();
    MARGIN + CHARACTER * longest as f64 + GAP
}

/// What lies from the left end of a panel to its right end.
struct Axis {
    /// Where it begins, in pixels.
    left: f64,
    low: f64,
    high: f64,
}

impl Axis {
    /// From 0, or from the lowest value below it, to the highest one, in round numbers.
    fn of<'a>(summaries: impl Iterator<Item = &'a Summary>, left: f64) -> Self {
        let values = summaries.flat_map(|summary| &summary.values);
        let (least, most) = values
            .fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(*value), high.max(*value)));
        let step = round_up((most - least).max(f64::MIN_POSITIVE) / f64::from(TICKS));
        let low = (least / step).floor() * step;
        let mut high = low + step * f64::from(TICKS);
        while high < most {
            high += step * f64::from(TICKS);
        }
        Self { left, low, high }
    }

    fn x(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.left + share.clamp(0.0, 1.0) * (WIDTH - self.left - MARGIN)
    }
}

/// The next number that is 1, 2, 2.5 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.log10().floor());
    let parts = [1.0, 2.0, 2.5, 5.0].map(|part| part * power);
    parts.into_iter().find(|part| *part >= value * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, said: &str) {
    svg.push_str(&format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{said}</text>\n"
    ));
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4], color: &str, width: f64) {
    svg.push_str(&format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\" stroke-width=\"{width}\"/>\n"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miniature::table::Cell;

    #[test]
    fn every_run_has_a_point_and_every_arm_a_name() {
        let cell = |arm: &str, value: f64| Cell {
            arm: arm.to_owned(),
            figure: "right, %".to_owned(),
            value,
        };
        let table = Table::of(vec![cell("a<b", 10.0), cell("a<b", 20.0), cell("rl", 40.0)]);
        let (svg, left) = (draw(&table), names_width(&table));
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a&lt;b") && svg.contains(">rl<") && svg.contains("right, %"));
        // 0 to 40 in four parts of 10: 40 is at the right end, and 10 a quarter of the way to it.
        let right = WIDTH - MARGIN;
        let quarter = left + (right - left) / 4.0;
        assert!(
            svg.contains(&format!("cx=\"{right:.1}\""))
                && svg.contains(&format!("cx=\"{quarter:.1}\""))
        );
    }

    #[test]
    fn axes_end_at_round_numbers() {
        let axis = |values: &[f64]| {
            let summary = Summary { values: values.to_vec(), mean: 0.0, error: None };
            let axis = Axis::of(std::iter::once(&summary), 100.0);
            (axis.low, axis.high)
        };
        assert_eq!(axis(&[37.0, 62.0]), (0.0, 80.0));
        assert_eq!(axis(&[3.0]), (0.0, 4.0));
        assert_eq!(axis(&[-1.0, 3.0]), (-1.0, 3.0));
        let (low, high) = axis(&[0.0]);
        assert!(low == 0.0 && high > 0.0);
        assert_eq!([0.7, 1.0, 2.1, 2.6, 7.0].map(round_up), [1.0, 1.0, 2.5, 5.0, 10.0]);
    }
}
