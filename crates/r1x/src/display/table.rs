//! Tables: aligned columns, numbers to the right. Where they are too wide for a terminal, texts end in `…`; where
//! even that does not do, the columns go below each other in groups, or each row becomes a card.
//!
//! Table crates wrap or cut every column alike; here numbers and names stay whole, because half a number is a wrong
//! one and half a name cannot be used.

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
        let all: Vec<usize> = (0..self.header.len()).collect();
        if let Some(widths) = self.fit(&all, view.width) {
            self.grid(out, &all, &widths, view);
            return if widths == self.natural(&all) { Cut::Nothing } else { Cut::Cells };
        }
        match self.parts(view.width.unwrap_or(usize::MAX)) {
            Some(parts) => self.grids(out, &parts, view),
            None => {
                self.cards(out, view);
                Cut::Nothing
            }
        }
    }

    /// The columns in groups that fit, each with the names at the front of the table; `None` where there are no
    /// names, or nothing to compare.
    fn parts(&self, room: usize) -> Option<Vec<Vec<usize>>> {
        let names = self.whole.iter().take_while(|whole| **whole).count();
        if names == 0 || self.rows.len() < 2 {
            return None;
        }
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for column in names..self.header.len() {
            let joined = parts.last().map(|part| part.iter().copied().chain([column]).collect());
            let alone: Vec<usize> = (0..names).chain([column]).collect();
            match joined.filter(|part: &Vec<usize>| self.fit(part, Some(room)).is_some()) {
                Some(part) => *parts.last_mut()? = part,
                None if self.fit(&alone, Some(room)).is_some() => parts.push(alone),
                None => return None,
            }
        }
        Some(parts)
    }

    fn grids(&self, out: &mut String, parts: &[Vec<usize>], view: View) -> Cut {
        let mut cut = Cut::Nothing;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let widths = self.fit(part, view.width).unwrap_or_else(|| self.natural(part));
            if widths != self.natural(part) {
                cut = Cut::Cells;
            }
            self.grid(out, part, &widths, view);
        }
        cut
    }

    fn natural(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().map(|column| self.widest(*column)).collect()
    }

    fn widest(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| width(&row[column]));
        cells.chain([width(&self.header[column])]).max().unwrap_or(0)
    }

    /// Widths that fit the room; `None` where there are none. Wide texts give way first, down to one width.
    fn fit(&self, columns: &[usize], room: Option<usize>) -> Option<Vec<usize>> {
        let natural = self.natural(columns);
        let Some(room) = room else { return Some(natural) };
        let gaps = GAP * natural.len().saturating_sub(1);
        let least = |(column, natural): (&usize, &usize)| {
            let fixed = self.whole[*column] || self.is_numeric(*column);
            let enough = LEAST.max(width(&self.header[*column])).min(*natural);
            if fixed { *natural } else { enough }
        };
        let least: Vec<usize> = columns.iter().zip(&natural).map(least).collect();
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

    fn grid(&self, out: &mut String, columns: &[usize], widths: &[usize], view: View) {
        let numeric: Vec<bool> = columns.iter().map(|column| self.is_numeric(*column)).collect();
        let mut line = |cells: &dyn Fn(usize, usize) -> (Tone, String)| {
            for (at, column) in columns.iter().enumerate() {
                let (tone, cell) = cells(at, *column);
                let text = cut(&cell, widths[at]);
                let gap = " ".repeat(widths[at] - width(&text));
                if numeric[at] {
                    out.push_str(&gap);
                }
                paint(out, tone, &text, view);
                if at + 1 < columns.len() {
                    if !numeric[at] {
                        out.push_str(&gap);
                    }
                    out.push_str(&" ".repeat(GAP));
                }
            }
            end_line(out);
        };
        line(&|_, column| (Tone::Strong, self.header[column].clone()));
        line(&|at, _| (Tone::Faint, "─".repeat(widths[at])));
        for row in &self.rows {
            line(&|_, column| (self.tone(column, &row[column]), row[column].clone()));
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
