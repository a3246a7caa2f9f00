//! Tables: aligned columns, numbers to the right. Where they are too wide for a terminal, texts end in `…`; where
//! even that does not do, each row becomes a card.
//!
//! Table crates wrap or cut every column alike; here numbers and names stay whole, because half a number is a
//! wrong one and half a name cannot be used. Must not know what is in a cell.

use r1x_core::shown;

use super::wrap::{cut, end_line, width};
use super::{Cut, Fields, Tone, View, paint};

/// Blanks between columns.
const GAP: usize = 2;
/// A text is not cut to fewer columns than this.
const LEAST: usize = 12;

/// A table: a header, and rows with as many cells.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    whole: Vec<bool>,
    status: Vec<bool>,
}

impl Table {
    /// A table of these cells; what is missing at the end of a row is empty.
    pub fn of(header: &[&str], rows: &[Vec<String>]) -> Self {
        let cell = |text: &str| shown::line(text).into_owned();
        let columns = header.len();
        let row = |row: &Vec<String>| {
            let mut cells: Vec<String> = row.iter().take(columns).map(|text| cell(text)).collect();
            cells.resize(columns, String::new());
            cells
        };
        Self {
            header: header.iter().map(|name| cell(name)).collect(),
            rows: rows.iter().map(row).collect(),
            whole: vec![false; columns],
            status: vec![false; columns],
        }
    }

    /// These columns are never cut: names and hashes that people type or copy.
    #[must_use]
    pub fn whole(mut self, names: &[&str]) -> Self {
        self.mark(names, |table| &mut table.whole);
        self
    }

    /// These columns hold a status, coloured by its word and never cut.
    #[must_use]
    pub fn status(mut self, names: &[&str]) -> Self {
        self.mark(names, |table| &mut table.status);
        self.whole(names)
    }

    fn mark(&mut self, names: &[&str], which: fn(&mut Self) -> &mut Vec<bool>) {
        for column in 0..self.header.len() {
            if names.contains(&self.header[column].as_str()) {
                which(self)[column] = true;
            }
        }
    }

    fn is_numeric(&self, column: usize) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| is_number(&row[column]))
    }

    pub(super) fn draw(&self, out: &mut String, view: View) -> Cut {
        let natural: Vec<usize> =
            (0..self.header.len()).map(|column| self.widest(column)).collect();
        let Some(widths) = self.fit(&natural, view.width) else {
            self.cards(out, view);
            return Cut::Nothing;
        };
        self.grid(out, &widths, view);
        if widths == natural { Cut::Nothing } else { Cut::Cells }
    }

    fn widest(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| width(&row[column]));
        cells.chain([width(&self.header[column])]).max().unwrap_or(0)
    }

    /// Widths that fit the room; `None` where there are none. Wide texts give way first, down to one width.
    fn fit(&self, natural: &[usize], room: Option<usize>) -> Option<Vec<usize>> {
        let Some(room) = room else { return Some(natural.to_vec()) };
        let gaps = GAP * natural.len().saturating_sub(1);
        let least = |column: usize| {
            let fixed = self.whole[column] || self.is_numeric(column);
            let enough = LEAST.max(width(&self.header[column])).min(natural[column]);
            if fixed { natural[column] } else { enough }
        };
        let least: Vec<usize> = (0..natural.len()).map(least).collect();
        if gaps + least.iter().sum::<usize>() > room {
            return None;
        }
        let at = |most: usize| -> Vec<usize> {
            natural.iter().zip(&least).map(|(own, least)| (*own).min(most).max(*least)).collect()
        };
        let mut most = natural.iter().copied().max().unwrap_or(0);
        while gaps + at(most).iter().sum::<usize>() > room {
            most -= 1;
        }
        Some(at(most))
    }

    fn grid(&self, out: &mut String, widths: &[usize], view: View) {
        let numeric: Vec<bool> = (0..widths.len()).map(|column| self.is_numeric(column)).collect();
        let mut line = |cells: &[String], tone: &dyn Fn(usize, &str) -> Tone| {
            for (column, cell) in cells.iter().enumerate() {
                let text = cut(cell, widths[column]);
                let gap = " ".repeat(widths[column] - width(&text));
                if numeric[column] {
                    out.push_str(&gap);
                }
                paint(out, tone(column, cell), &text, view);
                if column + 1 < cells.len() {
                    if !numeric[column] {
                        out.push_str(&gap);
                    }
                    out.push_str(&" ".repeat(GAP));
                }
            }
            end_line(out);
        };
        line(&self.header, &|_, _| Tone::Strong);
        let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        line(&rules, &|_, _| Tone::Faint);
        for row in &self.rows {
            line(row, &|column, cell| self.tone(column, cell));
        }
    }

    fn tone(&self, column: usize, cell: &str) -> Tone {
        if self.status[column] { Tone::of_status(cell) } else { Tone::Plain }
    }

    fn cards(&self, out: &mut String, view: View) {
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let mut fields = Fields::default();
            for (column, cell) in row.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
                fields.toned(&self.header[column], self.tone(column, cell), cell);
            }
            fields.draw(out, view);
        }
    }
}

/// What follows figures in a cell that is a number.
const UNITS: [&str; 14] =
    ["s", "ms", "µs", "m", "h", "d", "B", "KiB", "MiB", "GiB", "TiB", "e", "inf", "NaN"];

/// Whether a cell is a number, with its unit or its error perhaps, or nothing where a number could be.
fn is_number(cell: &str) -> bool {
    if cell.is_empty() || cell == "-" || cell == "inf" || cell == "NaN" {
        return true;
    }
    let figures = |c: char| c.is_ascii_digit() || " .,+-±×%".contains(c);
    let mut words = cell.split(figures).filter(|word| !word.is_empty());
    cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
        && words.all(|word| UNITS.contains(&word))
}
