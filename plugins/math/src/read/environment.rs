//! Matrices, determinants and cases.
//!
//! They are read from rows and cells, as LaTeX writes them between `begin` and `end`.

use super::Reader;
use crate::node::Node;

impl Reader {
    /// `\begin{...}` with rows between `\\` and cells between `&`.
    pub(super) fn environment(&mut self) -> Option<Node> {
        let kind = self.environment_name("\\begin ")?;
        let node = match &*kind {
            "cases" | "dcases" | "rcases" => Node::Cases(self.rows(Self::case)?),
            "array" => {
                self.alignment()?;
                Node::Matrix(self.rows(Self::sum)?)
            }
            "vmatrix" => Node::Function("det", vec![Node::Matrix(self.rows(Self::sum)?)]),
            // Two bars are a norm.
            "Vmatrix" => return None,
            "matrix" | "pmatrix" | "bmatrix" | "Bmatrix" | "smallmatrix" | "psmallmatrix"
            | "bsmallmatrix" => Node::Matrix(self.rows(Self::sum)?),
            _ => return None,
        };
        (self.environment_name("")? == kind).then_some(node)
    }

    /// The columns of an array, such as `{cc|c}`.
    fn alignment(&mut self) -> Option<()> {
        if self.eat("{") {
            while self.peek()? != '}' {
                self.at += 1;
            }
            self.at += 1;
        }
        Some(())
    }

    /// Rows up to `\end`.
    fn rows(&mut self, cell: fn(&mut Self) -> Option<Node>) -> Option<Vec<Vec<Node>>> {
        self.brackets += 1;
        let bars = std::mem::take(&mut self.bars);
        let mut rows = vec![vec![self.deeper(cell)?]];
        loop {
            if self.eat("\\\\") {
                // A distance may follow, and a line break may end the last row.
                self.distance();
                if self.eat("\\end ") {
                    break;
                }
                rows.push(vec![self.deeper(cell)?]);
            } else if self.eat("&") {
                let cell = self.deeper(cell)?;
                rows.last_mut()?.push(cell);
            } else {
                self.eat("\\end ").then_some(())?;
                break;
            }
        }
        self.brackets -= 1;
        self.bars = bars;
        Some(rows)
    }

    /// `[2mm]` after a line break.
    fn distance(&mut self) {
        let start = self.at;
        let lengths = ["mm", "pt", "ex", "em", "cm"];
        let close = self.chars[start..].iter().take(10).position(|c| *c == ']');
        if self.eat("[")
            && let Some(length) = close
        {
            let inside: String = self.chars[start + 1..start + length].iter().collect();
            if lengths.iter().any(|unit| inside.trim_end().ends_with(unit)) {
                self.at = start + length + 1;
                return;
            }
        }
        self.at = start;
    }

    /// A value, or the case in which it holds, without its "if".
    fn case(&mut self) -> Option<Node> {
        let start = self.at;
        self.skip_spaces();
        match self.text() {
            Some(text) if matches!(text.trim(), "if" | "for" | "when" | "," | "if " | "") => {}
            _ => self.at = start,
        }
        if self.word() == "if" {
            self.at += 2;
        }
        let item = self.item()?;
        // A comma may stand at the end of a cell.
        self.eat(",");
        Some(item)
    }

    fn environment_name(&mut self, before: &str) -> Option<String> {
        (self.eat(before) && self.eat("{")).then_some(())?;
        let name: String =
            self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        self.at += name.len();
        self.eat("}").then_some(name)
    }
}
