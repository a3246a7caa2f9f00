//! Tables as text: figures beside limits, and figures beside saved ones.

use crate::row::{Row, Saved};

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Columns in line, for a terminal.
    Plain,
    /// For documents.
    Markdown,
}

/// The table of a run.
pub fn measured(rows: &[Row], style: Style) -> String {
    let header =
        ["what", "figure", "unit", "spread", "limit", "share", "peak MiB", "large allocations"];
    let lines = rows.iter().map(|row| {
        vec![
            row.id.clone(),
            number(row.figure),
            row.unit.clone(),
            spread(row),
            row.limit.map_or_else(none, number),
            row.share().map_or_else(none, percent),
            row.peak_bytes.map_or_else(none, mebibytes),
            allocations(row),
        ]
    });
    let lines: Vec<_> = lines.collect();
    match style {
        Style::Plain => aligned(&header, &lines),
        Style::Markdown => markdown(&header, &lines),
    }
}

/// One figure, for who waits.
pub fn brief(row: &Row) -> String {
    let share = row.share().map_or_else(String::new, |share| format!(", {}", percent(share)));
    format!("{}: {} {}{share}", row.id, number(row.figure), row.unit)
}

/// A run beside a saved one: how many times as good each figure is now.
pub fn compared(rows: &[Row], saved: &Saved) -> String {
    let header =
        ["what", "figure", "saved", "unit", "ratio", "share", "saved", "peak MiB", "saved"];
    let mut lines = Vec::new();
    for row in rows {
        let before =
            saved.rows.iter().find(|before| before.id == row.id && before.unit == row.unit);
        let of = |cell: &dyn Fn(&Row) -> Option<String>| before.and_then(cell).unwrap_or_else(none);
        lines.push(vec![
            row.id.clone(),
            number(row.figure),
            of(&|before| Some(number(before.figure))),
            row.unit.clone(),
            of(&|before| Some(format!("{:.2}", row.times_as_good_as(before)))),
            row.share().map_or_else(none, percent),
            of(&|before| before.share().map(percent)),
            row.peak_bytes.map_or_else(none, mebibytes),
            of(&|before| before.peak_bytes.map(mebibytes)),
        ]);
    }
    aligned(&header, &lines)
}

fn none() -> String {
    "-".to_owned()
}

/// Three significant digits at least, whole numbers from a hundred on.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    let digits = match magnitude {
        _ if magnitude >= 100.0 => 0,
        _ if magnitude >= 10.0 => 1,
        _ if magnitude >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if magnitude < 10_000.0 || !magnitude.is_finite() { text } else { thousands(&text) }
}

/// Digits in groups of three.
fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

fn allocations(row: &Row) -> String {
    let Some(found) = &row.allocations else { return none() };
    let digits = if found.count == 0.0 || found.count >= 10.0 { 0 } else { 3 };
    format!("{:.digits$} / {}", found.count, found.per)
}

/// How far the repetitions lie from the median.
fn spread(row: &Row) -> String {
    let (below, above) = (1.0 - row.low / row.figure, row.high / row.figure - 1.0);
    format!("-{:.0} +{:.0} %", below * 100.0, above * 100.0)
}

/// A table of Markdown; ids are code.
fn markdown(header: &[&str], lines: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", header.join(" | "), " --- |".repeat(header.len()));
    for line in lines {
        text.push_str(&format!("| `{}` | {} |\n", line[0], line[1..].join(" | ")));
    }
    text
}

/// Columns two blanks apart; those of numbers end in line.
fn aligned(header: &[&str], lines: &[Vec<String>]) -> String {
    let length = |cell: &str| cell.chars().count();
    let width = |column: usize| {
        let cells = lines.iter().map(|line| length(&line[column]));
        cells.chain([length(header[column])]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let left = |column: usize| column == 0 || header[column] == "unit";
    let mut text = String::new();
    let mut push = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (column, cell) in cells.enumerate() {
            let gap = " ".repeat(widths[column] - length(cell));
            let padded = if left(column) { format!("{cell}{gap}") } else { format!("{gap}{cell}") };
            line.push_str(&padded);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    push(&mut header.iter().copied());
    for line in lines {
        push(&mut line.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::row::Allocations;

    fn rows() -> Vec<Row> {
        let mut first =
            Row::new("generate/small", "tokens/s", &[10_000.0, 12_345.0, 13_000.0], None);
        first.allocations = Some(Allocations { count: 0.0, per: "token".to_owned() });
        let mut second = Row::new("grpo/big", "s", &[4.0], Some(1.5));
        second.peak_bytes = Some(300 << 20);
        second.allocations = Some(Allocations { count: 17.25, per: "layer".to_owned() });
        vec![first, second]
    }

    #[test]
    fn a_table_shows_figures_limits_and_shares() {
        let expected = "\
what            figure  unit        spread  limit  share  peak MiB  large allocations
generate/small  12 345  tokens/s  -19 +5 %      -      -         -          0 / token
grpo/big          4.00  s          -0 +0 %   1.50   38 %       300         17 / layer
";
        assert_eq!(measured(&rows(), Style::Plain), expected);
        let lines = measured(&rows()[1..], Style::Markdown);
        let last = "| `grpo/big` | 4.00 | s | -0 +0 % | 1.50 | 38 % | 300 | 17 / layer |";
        let rule = format!("|{}", " --- |".repeat(8));
        assert_eq!(lines.lines().skip(1).collect::<Vec<_>>(), [&rule, last]);
    }

    #[test]
    fn a_comparison_gives_ratios_and_names_what_is_new() {
        let machine = Machine { cpu: "c".to_owned(), cores: 2, level: "Avx2".to_owned() };
        let mut before = rows();
        before[0].id = "generate/other".to_owned();
        before[1].figure = 6.0;
        let saved = Saved { machine, threads: 2, cpu_time: false, rows: before };
        let expected = "\
what            figure  saved  unit      ratio  share  saved  peak MiB  saved
generate/small  12 345      -  tokens/s      -      -      -         -      -
grpo/big          4.00   6.00  s          1.50   38 %   25 %       300    300
";
        assert_eq!(compared(&rows(), &saved), expected);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [(0.1234, "0.123"), (1.5, "1.50"), (12.34, "12.3"), (123.4, "123")];
        let large = [(9999.0, "9999"), (10_000.4, "10 000"), (-1_234_567.0, "-1 234 567")];
        for (value, expected) in cases.into_iter().chain(large) {
            assert_eq!(number(value), expected);
        }
    }
}
