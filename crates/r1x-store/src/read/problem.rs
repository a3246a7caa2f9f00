//! The problems that a run has tried, and how well it did on each: pass rates where a reward is one for right answers and
//! nothing for wrong ones. What they come to is read at once, a few numbers a problem, and their texts a page at a time.

use std::collections::{BTreeMap, HashMap};

use sqlx::{FromRow, query_as};

use super::export::Rollouts;
use crate::error::StoreError;
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// The view that conditions on problems are over.
pub const PROBLEMS_VIEW: &str = "v_problems";

/// A problem of a stage, with what its rollouts come to.
#[derive(Clone, Debug, PartialEq)]
pub struct TriedProblem {
    prompt_id: i64,
    /// Id of the stage.
    pub stage: String,
    /// Id of the data set, the first by the alphabet where several have the problem.
    pub data: Option<String>,
    /// Number of rollouts.
    pub rollouts: i64,
    /// Mean of the weighted totals that there are.
    pub reward: Option<f64>,
    /// Id of each reward, and the mean of the values that it has given.
    pub rewards: Vec<(String, Option<f64>)>,
}

/// What a problem asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProblemText {
    /// Its key.
    pub key: String,
    /// The prompt.
    pub prompt: String,
    /// The gold answer.
    pub gold: Option<String>,
    /// The solution of the data.
    pub solution: Option<String>,
    /// Column name to JSON text.
    pub columns: BTreeMap<String, String>,
}

#[derive(FromRow)]
struct TriedRow {
    idx: i64,
    prompt_id: i64,
    #[sqlx(try_from = "Text")]
    stage: String,
    #[sqlx(try_from = "MaybeText")]
    data: Option<String>,
    rollouts: i64,
    reward: Option<f64>,
}

#[derive(FromRow)]
struct TextRow {
    #[sqlx(try_from = "Text")]
    key: String,
    #[sqlx(try_from = "Text")]
    text: String,
    #[sqlx(try_from = "MaybeText")]
    answer: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    solution: Option<String>,
    #[sqlx(try_from = "Text")]
    columns: String,
}

/// Position of the stage, number of the problem, id of the reward, mean of its values.
type MeanRow = (i64, i64, Text, Option<f64>);

const TRIED: &str = "\
SELECT st.idx, o.prompt_id, st.name AS stage, min(g.data) AS data, count(*) AS rollouts, avg(o.reward) AS reward
  FROM stage st JOIN rollout o USING (stage_id)
       LEFT JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
 WHERE st.run_id = ?1 AND (?2 IS NULL OR st.name = ?2)
   AND (st.superseded_from IS NULL OR o.step < st.superseded_from)
 GROUP BY st.idx, o.prompt_id ORDER BY st.idx, min(o.rollout_id)";

const MEANS: &str = "\
SELECT st.idx, o.prompt_id, k.name, avg(w.value)
  FROM stage st JOIN rollout o USING (stage_id) JOIN reward w USING (rollout_id) JOIN reward_key k USING (key_id)
 WHERE st.run_id = ?1 AND (?2 IS NULL OR st.name = ?2)
   AND (st.superseded_from IS NULL OR o.step < st.superseded_from)
 GROUP BY st.idx, o.prompt_id, k.name ORDER BY st.idx, o.prompt_id, k.name";

const COLUMNS: &str = "\
WITH asked AS (
   SELECT DISTINCT o.prompt_id FROM stage st JOIN rollout o USING (stage_id) LEFT JOIN selection s USING (rollout_id)
    WHERE st.run_id = ?1 AND (?2 IS NULL OR st.name = ?2)
      AND (NOT ?3 OR (s.rollout_id IS NOT NULL AND s.dropped_by IS NULL))
      AND (st.superseded_from IS NULL OR o.step < st.superseded_from)),
 cell AS (
   SELECT j.key AS name, j.value AS written,
          CASE WHEN json_valid(j.value) THEN json_type(j.value) ELSE 'other' END AS kind
     FROM asked JOIN prompt p USING (prompt_id), json_each(p.columns) j)
 SELECT name, CASE WHEN kind = 'integer' AND typeof(json_extract(written, '$')) <> 'integer' THEN 'long' ELSE kind END
   FROM cell
  UNION
 SELECT name, 'array.' || iif(e.type = 'integer' AND typeof(e.value) <> 'integer', 'long', e.type)
   FROM cell, json_each(iif(kind = 'array', written, '[]')) e
  ORDER BY 1, 2";

impl Store {
    /// The problems that a run or one of its stages has tried, in the order in which it first did. `condition` is SQL of
    /// a person over `v_problems`; a problem is there where one of its rows meets it.
    ///
    /// # Errors
    /// When there is no such run or stage, and when the condition is wrong.
    pub fn problems_of(
        &self,
        reference: &str,
        stage: Option<&str>,
        condition: Option<&str>,
    ) -> Result<Vec<TriedProblem>, StoreError> {
        let run = self.run(reference)?;
        self.check_stage(run.run_id, &run.name, stage)?;
        let part = format!("run_id = {}", run.run_id);
        let wanted = match condition {
            Some(condition) => {
                Some(self.chosen(PROBLEMS_VIEW, "stage_idx, prompt_id", &part, condition)?)
            }
            None => None,
        };
        let query = query_as(TRIED).bind(run.run_id).bind(stage.map(str::to_owned));
        let rows: Vec<TriedRow> = self.reader()?.all(query)?;
        let query = query_as(MEANS).bind(run.run_id).bind(stage.map(str::to_owned));
        let means: Vec<MeanRow> = self.reader()?.all(query)?;
        let mut means_of: HashMap<(i64, i64), Vec<(String, Option<f64>)>> = HashMap::new();
        for (idx, prompt_id, Text(name), mean) in means {
            means_of.entry((idx, prompt_id)).or_default().push((name, mean));
        }
        let is_wanted = |row: &TriedRow| {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(&(row.idx, row.prompt_id)))
        };
        let problem = |row: TriedRow| TriedProblem {
            rewards: means_of.remove(&(row.idx, row.prompt_id)).unwrap_or_default(),
            prompt_id: row.prompt_id,
            stage: row.stage,
            data: row.data,
            rollouts: row.rollouts,
            reward: row.reward,
        };
        Ok(rows.into_iter().filter(is_wanted).map(problem).collect())
    }

    /// What each of some problems asks.
    ///
    /// # Errors
    /// When the store cannot be read or is damaged.
    pub fn texts_of_problems(
        &self,
        problems: &[TriedProblem],
    ) -> Result<Vec<ProblemText>, StoreError> {
        let ids: Vec<i64> = problems.iter().map(|problem| problem.prompt_id).collect();
        let query = query_as(
            "SELECT p.key, p.text, p.answer, p.solution, p.columns
               FROM json_each(?) j JOIN prompt p ON p.prompt_id = j.value ORDER BY j.key",
        );
        let rows: Vec<TextRow> =
            self.reader()?.all(query.bind(serde_json::json!(ids).to_string()))?;
        let text = |row: TextRow| {
            let columns = self.columns_of(&row.key, &row.columns)?;
            let TextRow { key, text: prompt, answer: gold, solution, .. } = row;
            Ok(ProblemText { key, prompt, gold, solution, columns })
        };
        rows.into_iter().map(text).collect()
    }

    /// Names of the columns that the problems of rollouts have, each with the kinds of JSON in it, in the words of SQLite's
    /// `json_type`. Kinds in a list have `array.` before them; a whole number that SQLite cannot hold is a `long`, and
    /// what is no JSON an `other`.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn problem_columns(
        &self,
        reference: &str,
        stage: Option<&str>,
        of: Rollouts,
    ) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let run = self.run(reference)?;
        let query = query_as(COLUMNS).bind(run.run_id).bind(stage.map(str::to_owned));
        let rows: Vec<(Text, Text)> = self.reader()?.all(query.bind(of == Rollouts::Kept))?;
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (Text(name), Text(kind)) in rows {
            columns.entry(name).or_default().push(kind);
        }
        Ok(columns)
    }

    /// The columns of a problem: column name to JSON text.
    pub(super) fn columns_of(
        &self,
        key: &str,
        json: &str,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        serde_json::from_str(json).map_err(|error| {
            let detail = format!("the columns of problem {key}: {error}");
            StoreError::Damaged { path: self.path().to_owned(), detail }
        })
    }
}
