//! One line of the table, and a saved table.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::machine::Machine;
use crate::measure::median;

/// Units in which less is better.
const TIMES: [&str; 3] = ["s", "ms", "x time"];

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured: `part/model/workload/precision`.
    pub id: String,
    /// Its unit.
    pub unit: String,
    /// The median.
    pub figure: f64,
    /// The least of the repetitions.
    pub low: f64,
    /// The most of them.
    pub high: f64,
    /// What this machine could reach at most, measured in the same run; `None` where nothing says.
    pub limit: Option<f64>,
    /// The most memory the process of this workload held, bytes.
    pub peak_bytes: Option<u64>,
    /// Large allocations.
    pub allocations: Option<Allocations>,
}

/// Allocations of a page or more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocations {
    /// How many.
    pub count: f64,
    /// For each of what: `token`, `layer` of a step.
    pub per: String,
}

impl Row {
    /// A row from the figures of some repetitions.
    pub fn new(id: &str, unit: &str, figures: &[f64], limit: Option<f64>) -> Self {
        Self {
            id: id.to_owned(),
            unit: unit.to_owned(),
            figure: median(figures),
            low: figures.iter().copied().fold(f64::INFINITY, f64::min),
            high: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            limit,
            peak_bytes: None,
            allocations: None,
        }
    }

    /// Whether less is better.
    pub fn is_time(&self) -> bool {
        TIMES.contains(&self.unit.as_str())
    }

    /// How much of what is possible was reached; `None` without a limit.
    pub fn share(&self) -> Option<f64> {
        let limit = self.limit?;
        Some(if self.is_time() { limit / self.figure } else { self.figure / limit })
    }

    /// How many times as good as another measurement of the same this one is.
    pub fn times_as_good_as(&self, other: &Row) -> f64 {
        if self.is_time() { other.figure / self.figure } else { self.figure / other.figure }
    }
}

/// A table as it is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Where it was measured.
    pub machine: Machine,
    /// Threads used.
    pub threads: usize,
    /// Whether seconds are those of the processor.
    pub cpu_time: bool,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Saved {
    /// Reads a saved table.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let mend = "give a file that `cargo xtask bench --save FILE` wrote";
        let failure = |error: String| Failure::new(format!("{}: {error}", path.display()), mend);
        let text = std::fs::read_to_string(path).map_err(|error| failure(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failure(error.to_string()))
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let failure = |error: String| {
            Failure::new(format!("{}: {error}", path.display()), "check the path and try again")
        };
        let text =
            serde_json::to_string_pretty(self).map_err(|error| failure(error.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|error| failure(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_ratios_know_which_way_is_better() {
        let rate = Row::new("a", "tokens/s", &[90.0, 120.0, 100.0], Some(400.0));
        assert_eq!((rate.figure, rate.low, rate.high), (100.0, 90.0, 120.0));
        assert_eq!(rate.share(), Some(0.25));
        assert_eq!(rate.times_as_good_as(&Row { figure: 50.0, ..rate.clone() }), 2.0);
        let time = Row::new("a", "s", &[4.0], Some(1.0));
        assert_eq!(time.share(), Some(0.25));
        assert_eq!(time.times_as_good_as(&Row { figure: 8.0, ..time.clone() }), 2.0);
        assert_eq!(Row::new("a", "ms", &[1.0], None).share(), None);
    }

    #[test]
    fn a_saved_table_comes_back_and_another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        let mut row = Row::new("a/b", "ms", &[0.1, 0.25], Some(0.05));
        row.peak_bytes = Some(1 << 30);
        row.allocations = Some(Allocations { count: 1.5, per: "token".to_owned() });
        let machine = Machine { cpu: "c".to_owned(), cores: 2, level: "Avx2".to_owned() };
        let saved = Saved { machine, threads: 2, cpu_time: false, rows: vec![row] };
        saved.write(&path).unwrap();
        assert_eq!(Saved::read(&path), Ok(saved));
        std::fs::write(&path, "{}").unwrap();
        let message = Saved::read(&path).unwrap_err().to_string();
        assert!(message.contains("table.json: missing field `machine`"), "{message}");
    }
}
