//! Values of arms, figures and runs as a table: means and their standard errors over runs.

use serde_json::Value;

use crate::failure::Failure;

/// A value of an arm in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub arm: String,
    pub figure: String,
    pub value: f64,
}

impl Cell {
    /// The cell that a row of an answer says.
    pub fn read(row: &Value) -> Result<Self, Failure> {
        let text = |key: &str| row[key].as_str().map(str::to_owned);
        match (text("arm"), text("figure"), row["value"].as_f64()) {
            (Some(arm), Some(figure), Some(value)) => Ok(Self { arm, figure, value }),
            _ => Err(Failure::new(
                format!("`{row}` has no arm, figure and value"),
                "mend the question",
            )),
        }
    }
}

/// Values by arm and figure, each in the order in which they were told first.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub arms: Vec<String>,
    pub figures: Vec<String>,
    cells: Vec<Cell>,
}

/// What the runs of an arm come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub values: Vec<f64>,
    pub mean: f64,
    /// The standard error of the mean; `None` of a single value.
    pub error: Option<f64>,
}

impl Table {
    pub fn of(cells: Vec<Cell>) -> Self {
        let (mut arms, mut figures) = (Vec::new(), Vec::new());
        for cell in &cells {
            for (known, name) in [(&mut arms, &cell.arm), (&mut figures, &cell.figure)] {
                if !known.contains(name) {
                    known.push(name.clone());
                }
            }
        }
        Self { arms, figures, cells }
    }

    /// What the runs come to, where there is a value.
    pub fn summary(&self, arm: &str, figure: &str) -> Option<Summary> {
        let here = self.cells.iter().filter(|cell| cell.arm == arm && cell.figure == figure);
        let values: Vec<f64> = here.map(|cell| cell.value).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (values.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt());
        (!values.is_empty()).then_some(Summary { values, mean, error })
    }

    /// The table for the page: an arm in each row, a figure in each column.
    pub fn markdown(&self) -> String {
        let mut text = format!("| arm | {} |\n", self.figures.join(" | "));
        text.push_str(&format!("| --- |{}\n", " --- |".repeat(self.figures.len())));
        for arm in &self.arms {
            let told = |figure: &String| match self.summary(arm, figure) {
                None => "–".to_owned(),
                Some(summary) => said(&summary),
            };
            let row: Vec<String> = self.figures.iter().map(told).collect();
            text.push_str(&format!("| {arm} | {} |\n", row.join(" | ")));
        }
        text
    }
}

/// A mean and its error with as many digits after the point as its size asks for.
fn said(summary: &Summary) -> String {
    let digits = if summary.mean.abs() >= 10.0 { 1 } else { 2 };
    match summary.error {
        None => format!("{:.digits$}", summary.mean),
        Some(error) => format!("{:.digits$} ± {error:.digits$}", summary.mean),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Table {
        let cell = |arm: &str, figure: &str, value: f64| {
            Cell::read(&json!({"arm": arm, "figure": figure, "run": "r", "value": value})).unwrap()
        };
        Table::of(vec![
            cell("base", "right, %", 10.0),
            cell("base", "right, %", 13.0),
            cell("base", "right, %", 16.0),
            cell("rl", "right, %", 40.0),
            cell("rl", "load", 0.5),
        ])
    }

    /// The deviation of 10, 13 and 16 is 3, which over the root of 3 is 1.732.
    #[test]
    fn means_have_the_standard_error_over_runs() {
        let base = table().summary("base", "right, %").unwrap();
        assert_eq!((base.mean, base.values.len()), (13.0, 3));
        assert!((base.error.unwrap() - 3.0 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(table().summary("rl", "load").unwrap().error, None);
        assert_eq!(table().summary("base", "load"), None);
    }

    #[test]
    fn the_table_has_a_row_for_each_arm() {
        let wanted = "| arm | right, % | load |\n| --- | --- | --- |\n| base | 13.0 ± 1.7 | – |\n\
                      | rl | 40.0 | 0.50 |\n";
        assert_eq!(table().markdown(), wanted);
    }

    #[test]
    fn a_row_without_a_value_is_refused() {
        assert!(Cell::read(&json!({"arm": "base", "figure": "right", "value": null})).is_err());
    }
}
