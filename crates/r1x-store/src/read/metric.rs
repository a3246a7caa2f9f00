//! Metrics of a run: their newest values, and their courses.

use sqlx::{FromRow, query_as};

use crate::error::StoreError;
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// One point of a metric's curve.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MetricPoint {
    /// Position of the stage in the plan.
    pub stage_index: i64,
    /// Id of the stage.
    pub stage: String,
    /// Step inside the stage.
    pub step: u64,
    /// Its name.
    pub metric: String,
    /// The value, NaN and infinities included.
    pub value: f64,
}

/// A metric over a whole run, or over one of its stages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Ids of the stages that have it, in order.
    pub stages: Vec<String>,
    /// Steps and values, NaN and infinities included. Steps keep their numbers, and those of a second stage go on
    /// where the first one ends.
    pub points: Vec<(u64, f64)>,
}

impl Curve {
    fn new(series: &[MetricPoint]) -> Self {
        let mut curve = Self::default();
        let mut before = 0;
        for stage in series.chunk_by(|a, b| a.stage_index == b.stage_index) {
            curve.stages.push(stage[0].stage.clone());
            curve.points.extend(stage.iter().map(|point| (before + point.step, point.value)));
            before += stage.last().map_or(0, |point| point.step + 1);
        }
        curve
    }
}

#[derive(FromRow)]
struct MetricRow {
    stage_idx: i64,
    #[sqlx(try_from = "Text")]
    stage: String,
    step: i64,
    #[sqlx(try_from = "Text")]
    metric: String,
    value: Option<f64>,
    #[sqlx(try_from = "MaybeText")]
    kind: Option<String>,
}

/// The number a stored metric stands for.
pub(crate) fn metric_value(value: Option<f64>, kind: Option<&str>) -> f64 {
    match (value, kind) {
        (Some(value), _) => value,
        (None, Some("inf")) => f64::INFINITY,
        (None, Some("-inf")) => f64::NEG_INFINITY,
        (None, _) => f64::NAN,
    }
}

impl MetricRow {
    fn point(self) -> MetricPoint {
        MetricPoint {
            stage_index: self.stage_idx,
            stage: self.stage,
            step: self.step.cast_unsigned(),
            metric: self.metric,
            value: metric_value(self.value, self.kind.as_deref()),
        }
    }
}

impl Store {
    pub(super) fn last_metrics(&self, run_id: i64) -> Result<Vec<MetricPoint>, StoreError> {
        let query = query_as::<_, MetricRow>(
            "WITH last AS (SELECT stage_idx, max(step) AS step FROM v_steps WHERE run_id = ?1 GROUP BY stage_idx)
             SELECT st.idx AS stage_idx, st.name AS stage, m.step, k.name AS metric, m.value, m.kind
               FROM last CROSS JOIN stage st ON st.run_id = ?1 AND st.idx = last.stage_idx
                AND (st.superseded_from IS NULL OR last.step < st.superseded_from)
               JOIN metric m ON m.stage_id = st.stage_id AND m.step = last.step
               JOIN metric_key k USING (key_id)
              ORDER BY st.idx, m.idx",
        );
        let rows = self.reader()?.all(query.bind(run_id))?;
        Ok(rows.into_iter().map(MetricRow::point).collect())
    }

    /// A metric through a run, or through one of its stages, in order.
    pub fn metric_series(
        &self,
        reference: &str,
        stage: Option<&str>,
        metric: &str,
    ) -> Result<Vec<MetricPoint>, StoreError> {
        let run = self.run(reference)?;
        let query = query_as::<_, MetricRow>(
            "SELECT stage_idx, stage, step, metric, value, kind FROM v_metrics
              WHERE run_id = ?1 AND metric = ?2 AND (?3 IS NULL OR stage = ?3) ORDER BY stage_idx, step",
        );
        let query = query.bind(run.run_id).bind(metric.to_owned()).bind(stage.map(str::to_owned));
        let rows = self.reader()?.all(query)?;
        Ok(rows.into_iter().map(MetricRow::point).collect())
    }

    /// The curve of a metric through a run, or through one of its stages; without points where it has no such metric.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn curve(
        &self,
        reference: &str,
        stage: Option<&str>,
        metric: &str,
    ) -> Result<Curve, StoreError> {
        Ok(Curve::new(&self.metric_series(reference, stage, metric)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(stage_index: i64, step: u64, value: f64) -> MetricPoint {
        let (stage, metric) = (format!("s{stage_index}"), "loss".to_owned());
        MetricPoint { stage_index, stage, step, metric, value }
    }

    #[test]
    fn steps_keep_their_numbers_and_stages_follow_each_other() {
        let series = [point(0, 0, 1.0), point(0, 2, f64::NAN), point(1, 0, 3.0), point(1, 1, 4.0)];
        let curve = Curve::new(&series);
        let steps: Vec<u64> = curve.points.iter().map(|point| point.0).collect();
        assert_eq!(steps, [0, 2, 3, 4]);
        assert_eq!(curve.stages, ["s0", "s1"]);
        assert!(curve.points[1].1.is_nan());
        assert_eq!(Curve::new(&[]), Curve::default());
    }
}
