//! Evaluations of a run: their figures in order, and which of them belong together.

use sqlx::{FromRow, query_as};

use crate::error::StoreError;
use crate::store::Store;
use crate::text::Text;

/// One figure of an evaluation.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct EvalRow {
    /// `start` or the id of the stage.
    #[sqlx(try_from = "Text")]
    pub stage: String,
    /// Steps of the stage done.
    pub step: i64,
    /// The suite's id.
    #[sqlx(try_from = "Text")]
    pub suite: String,
    /// `pass@1` and so on.
    #[sqlx(try_from = "Text")]
    pub metric: String,
    /// Mean over items; none when it was not finite.
    pub value: Option<f64>,
    /// Standard error of the mean.
    pub stderr: Option<f64>,
    /// Items in the mean.
    pub n_items: i64,
    /// Samples per item.
    pub n_samples: i64,
}

/// The evaluations among the figures of a run: for each, its own figures.
pub fn evaluations(rows: &[EvalRow]) -> impl Iterator<Item = &[EvalRow]> {
    rows.chunk_by(|a, b| (&a.suite, &a.stage, a.step) == (&b.suite, &b.stage, b.step))
}

/// The figures of the newest evaluation of a suite; `None` when it was never evaluated.
pub fn newest_evaluation<'r>(rows: &'r [EvalRow], suite: &str) -> Option<&'r [EvalRow]> {
    evaluations(rows).filter(|figures| figures[0].suite == suite).last()
}

impl Store {
    pub(super) fn evals(&self, run_id: i64) -> Result<Vec<EvalRow>, StoreError> {
        let query = query_as(
            "SELECT e.label AS stage, e.step, e.suite, x.metric, x.value, x.stderr, x.n_items, x.n_samples
               FROM eval_run e JOIN eval_result x USING (eval_id)
              WHERE e.run_id = ? AND e.superseded = 0 ORDER BY e.eval_id, x.idx",
        );
        self.reader()?.all(query.bind(run_id))
    }

    /// Figures of all evaluations of a run that still count, in order.
    pub fn eval_results(&self, reference: &str) -> Result<Vec<EvalRow>, StoreError> {
        let run = self.run(reference)?;
        self.evals(run.run_id)
    }
}
