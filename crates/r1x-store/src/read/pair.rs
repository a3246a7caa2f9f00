//! Two runs side by side: their metrics at the ends of stages, and their evaluations, paired by problem.
//!
//! Nothing here says which of two runs is the better one. `difference` finds the first fact that differs between a run
//! and its repetition; the questions here are about runs that are meant to differ.

use std::collections::HashMap;

use sqlx::{FromRow, query_as};

use crate::error::StoreError;
use crate::store::Store;
use crate::text::Text;

/// The figure that says which share of samples is right, averaged over problems.
const PASS_AT_1: &str = "pass@1";

/// A metric at the end of a stage of two runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MetricPair {
    /// Id of the stage.
    pub stage: String,
    /// Name of the metric.
    pub metric: String,
    /// Mean over the last tenth of the stage's steps in the first run; none when a value there was not finite.
    pub a: Option<f64>,
    /// The mean in the second run.
    pub b: Option<f64>,
    /// How much larger the second one is; none when one of them is none.
    pub difference: Option<f64>,
}

/// A figure of a suite that two runs have evaluated at one moment.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct EvaluationPair {
    /// The suite's id.
    pub suite: String,
    /// `start` or the id of the stage.
    pub stage: String,
    /// Steps of the stage done.
    pub step: i64,
    /// `pass@1` and so on.
    pub metric: String,
    /// The figure of the first run, over all of its problems; none when it was not finite.
    pub a: Option<f64>,
    /// The figure of the second run.
    pub b: Option<f64>,
    /// How much larger the second one is; none when one of them is none.
    pub difference: Option<f64>,
    /// The comparison by problem, for `pass@1`; none for other figures, and where the runs share no problem.
    pub paired: Option<Paired>,
}

/// How two runs do on the problems that both were asked, each problem compared with itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Paired {
    /// Problems that both runs have.
    pub problems: i64,
    /// Mean over these problems of the share of right samples in the second run less the share in the first.
    pub difference: f64,
    /// Standard error of that mean: the unbiased deviation of the problems' differences over the root of their number;
    /// 0 with one problem.
    pub stderr: f64,
    /// Problems of which the first run has a larger share of right samples.
    pub better_in_a: i64,
    /// Problems of which the second run has a larger share of right samples.
    pub better_in_b: i64,
    /// Problems right in the first run and wrong in the second; a problem is right when more than half of its samples
    /// are.
    pub right_in_a_alone: i64,
    /// Problems wrong in the first run and right in the second.
    pub right_in_b_alone: i64,
}

#[derive(FromRow)]
struct EndRow {
    #[sqlx(try_from = "Text")]
    stage: String,
    #[sqlx(try_from = "Text")]
    metric: String,
    mean: Option<f64>,
}

#[derive(FromRow)]
struct FigureRow {
    a_id: i64,
    #[sqlx(try_from = "Text")]
    suite: String,
    #[sqlx(try_from = "Text")]
    stage: String,
    step: i64,
    #[sqlx(try_from = "Text")]
    metric: String,
    a: Option<f64>,
    b: Option<f64>,
}

#[derive(FromRow)]
struct PairedRow {
    a_id: i64,
    problems: i64,
    mean: f64,
    squares: f64,
    better_in_a: i64,
    better_in_b: i64,
    right_in_a_alone: i64,
    right_in_b_alone: i64,
}

impl PairedRow {
    fn paired(self) -> Paired {
        let problems = self.problems as f64;
        let variance = if self.problems > 1 { self.squares / (problems - 1.0) } else { 0.0 };
        Paired {
            problems: self.problems,
            difference: self.mean,
            stderr: (variance / problems).sqrt(),
            better_in_a: self.better_in_a,
            better_in_b: self.better_in_b,
            right_in_a_alone: self.right_in_a_alone,
            right_in_b_alone: self.right_in_b_alone,
        }
    }
}

/// Evaluations that both runs have and that count: `?1` and `?2` are the runs.
macro_rules! pairs {
    ($rest:literal) => {
        concat!(
            "WITH pair AS MATERIALIZED (
                 SELECT a.suite, a.label, a.step, a.eval_id AS a_id, b.eval_id AS b_id
                   FROM eval_run a JOIN eval_run b ON b.suite = a.suite AND b.step = a.step AND b.label = a.label
                  WHERE a.run_id = ?1 AND b.run_id = ?2 AND a.superseded = 0 AND b.superseded = 0)",
            $rest
        )
    };
}

/// The mean of each metric over the last tenth of the steps of each stage: one step at least, rounded up. The key of
/// the table `metric` begins with stage, name and step, so nothing before the last tenth is read.
const ENDS: &str = "\
WITH span AS MATERIALIZED (
    SELECT stage_idx, max(step) + 1 - (count(*) + 9) / 10 AS beginning
      FROM v_steps WHERE run_id = ?1 GROUP BY stage_idx)
SELECT st.name AS stage, k.name AS metric, CASE WHEN count(m.kind) = 0 THEN avg(m.value) END AS mean
  FROM span CROSS JOIN stage st ON st.run_id = ?1 AND st.idx = span.stage_idx
       CROSS JOIN metric_key k
       CROSS JOIN metric m ON m.stage_id = st.stage_id AND m.key_id = k.key_id AND m.step >= span.beginning
        AND (st.superseded_from IS NULL OR m.step < st.superseded_from)
 GROUP BY st.idx, st.name, k.key_id, k.name ORDER BY st.idx, min(m.idx)";

const FIGURES: &str = pairs!(
    "
SELECT pair.a_id, pair.suite, pair.label AS stage, pair.step, x.metric, x.value AS a, y.value AS b
  FROM pair JOIN eval_result x ON x.eval_id = pair.a_id
       JOIN eval_result y ON y.eval_id = pair.b_id AND y.metric = x.metric
 ORDER BY pair.a_id, x.idx"
);

/// Each problem's share of right samples in both runs, and what becomes of these over the problems of an evaluation.
/// Problems are told apart by their keys, which are hashes of what they ask. Samples are summed up item by item first, in
/// the order of their index, so that keys are looked up once an item. Squares are taken about the mean.
const PAIRED: &str = pairs!(
    ",
     item AS MATERIALIZED (
         SELECT s.eval_id, max(s.prompt_id) AS prompt_id, sum(s.correct) AS n_right, count(*) AS n
           FROM eval_sample s WHERE s.eval_id IN (SELECT a_id FROM pair UNION SELECT b_id FROM pair)
          GROUP BY s.eval_id, s.item),
     problem AS MATERIALIZED (
         SELECT item.eval_id, p.key, 1.0 * sum(n_right) / sum(n) AS share
           FROM item JOIN prompt p USING (prompt_id) GROUP BY item.eval_id, p.key),
     share AS (
         SELECT pair.a_id, x.share AS a, y.share AS b
           FROM pair JOIN problem x ON x.eval_id = pair.a_id
                JOIN problem y ON y.eval_id = pair.b_id AND y.key = x.key),
     about AS (SELECT a_id, a, b, avg(b - a) OVER (PARTITION BY a_id) AS mean FROM share)
SELECT a_id, count(*) AS problems, mean, sum((b - a - mean) * (b - a - mean)) AS squares,
       sum(a > b) AS better_in_a, sum(b > a) AS better_in_b,
       sum(a > 0.5 AND b <= 0.5) AS right_in_a_alone, sum(b > 0.5 AND a <= 0.5) AS right_in_b_alone
  FROM about GROUP BY a_id, mean"
);

fn difference(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.zip(b).map(|(a, b)| b - a)
}

impl Store {
    /// Metrics of the stages that two runs both have, told apart by their ids, at the ends of these stages: in the order
    /// of the first run.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn metric_pairs(&self, a: &str, b: &str) -> Result<Vec<MetricPair>, StoreError> {
        let ends = |reference: &str| -> Result<Vec<EndRow>, StoreError> {
            let run = self.run(reference)?;
            self.reader()?.all(query_as(ENDS).bind(run.run_id))
        };
        let (a, b) = (ends(a)?, ends(b)?);
        let of_b: HashMap<(&str, &str), Option<f64>> =
            b.iter().map(|row| ((row.stage.as_str(), row.metric.as_str()), row.mean)).collect();
        let pair = |row: &EndRow| {
            let b = *of_b.get(&(row.stage.as_str(), row.metric.as_str()))?;
            Some(MetricPair {
                stage: row.stage.clone(),
                metric: row.metric.clone(),
                a: row.mean,
                b,
                difference: difference(row.mean, b),
            })
        };
        Ok(a.iter().filter_map(pair).collect())
    }

    /// Figures of the evaluations that two runs both have: of one suite, after as many steps of a stage with one id. In
    /// the order of the first run.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn evaluation_pairs(&self, a: &str, b: &str) -> Result<Vec<EvaluationPair>, StoreError> {
        let (a, b) = (self.run(a)?.run_id, self.run(b)?.run_id);
        let figures: Vec<FigureRow> = self.reader()?.all(query_as(FIGURES).bind(a).bind(b))?;
        let paired: Vec<PairedRow> = self.reader()?.all(query_as(PAIRED).bind(a).bind(b))?;
        let mut paired: HashMap<i64, Paired> =
            paired.into_iter().map(|row| (row.a_id, row.paired())).collect();
        let pair = |row: FigureRow| EvaluationPair {
            paired: if row.metric == PASS_AT_1 { paired.remove(&row.a_id) } else { None },
            suite: row.suite,
            stage: row.stage,
            step: row.step,
            metric: row.metric,
            a: row.a,
            b: row.b,
            difference: difference(row.a, row.b),
        };
        Ok(figures.into_iter().map(pair).collect())
    }
}
