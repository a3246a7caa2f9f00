//! Everything that a run has written, to be taken elsewhere: its steps and evaluations in order, and what is in each of
//! them, a page at a time.
//!
//! A page is a step, or some problems of an evaluation. Each one is a query of its own, so that whoever reads a large run
//! holds one page in memory, and no transaction over the whole time, which would keep the log of a run that is going on
//! from being cleared.

use std::collections::{BTreeMap, HashSet};

use sqlx::{FromRow, query_as};

use super::metric::metric_value;
use super::rollout::{Metric, f32_list, u32_list};
use crate::error::StoreError;
use crate::sql::{SqlQuery, Value};
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// Problems of an evaluation in one page.
const PAGE_ITEMS: i64 = 64;

/// A step of a run that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStep {
    stage_id: i64,
    run_id: i64,
    /// Position of the stage in the plan.
    pub stage_index: i64,
    /// Id of the stage.
    pub stage: String,
    /// The step inside the stage.
    pub step: u64,
    /// The step when those of all stages are counted one after the other.
    pub run_step: u64,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: i64,
}

/// An evaluation of a suite that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEvaluation {
    eval_id: i64,
    /// Id of the stage, or `start`.
    pub stage: String,
    /// Steps of the stage that were done.
    pub step: u64,
    /// Steps of the run that were done.
    pub run_step: u64,
    /// Id of the suite.
    pub suite: String,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: i64,
}

/// Which rollouts of a step are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollouts {
    /// Every one of them.
    All,
    /// What a stage that makes data has kept.
    Kept,
}

/// Whether tokens and log-probs are read as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// As far as they are recorded.
    Read,
    /// They are left where they are.
    Left,
}

/// A rollout, or an answer in an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// Group of a step, or problem of an evaluation.
    pub group: i64,
    /// Position in it.
    pub sample: i64,
    /// Id of the data set; none in evaluations.
    pub data: Option<String>,
    /// Key of the problem.
    pub prompt_key: String,
    /// The prompt.
    pub prompt: String,
    /// The gold answer.
    pub gold: Option<String>,
    /// Column name to JSON text.
    pub columns: BTreeMap<String, String>,
    /// What was written, when text is recorded.
    pub text: Option<String>,
    /// `stop` or `length`.
    pub finish: String,
    /// Length, tokens.
    pub n_tokens: i64,
    /// Weighted total of the rewards; in an evaluation the value of the reward that grades.
    pub reward: Option<f64>,
    /// Its advantage; none in evaluations.
    pub advantage: Option<f64>,
    /// Whether it is right; none outside of evaluations.
    pub correct: Option<bool>,
    /// Id and value of each reward.
    pub rewards: Vec<(String, Option<f64>)>,
    /// Tokens of the prompt.
    pub prompt_tokens: Option<Vec<u32>>,
    /// Tokens of the completion.
    pub tokens: Option<Vec<u32>>,
    /// Log-prob of each token, nats.
    pub logprobs: Option<Vec<f32>>,
}

/// A text to be searched: a completion, the prompt of a group, or an answer in an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Searched {
    /// The group, or the problem of an evaluation.
    pub group: i64,
    /// Position in it; none where the text is the prompt of all of them.
    pub sample: Option<i64>,
    /// Weighted total of the rewards, on average where it is of a group; in an evaluation the value of the reward that
    /// grades.
    pub reward: Option<f64>,
    /// The text, when it is recorded.
    pub text: Option<String>,
}

/// Which texts of a run are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchIn {
    /// What the model wrote.
    Completions,
    /// What it was asked.
    Prompts,
}

#[derive(FromRow)]
struct CompletionRow {
    id: i64,
    grp: i64,
    sample: i64,
    #[sqlx(try_from = "MaybeText")]
    data: Option<String>,
    #[sqlx(try_from = "Text")]
    prompt_key: String,
    #[sqlx(try_from = "Text")]
    prompt: String,
    #[sqlx(try_from = "MaybeText")]
    gold: Option<String>,
    #[sqlx(try_from = "Text")]
    columns: String,
    #[sqlx(try_from = "MaybeText")]
    text: Option<String>,
    #[sqlx(try_from = "Text")]
    finish: String,
    n_tokens: i64,
    reward: Option<f64>,
    advantage: Option<f64>,
    correct: Option<bool>,
    prompt_ids: Option<Vec<u8>>,
    token_ids: Option<Vec<u8>>,
    logp: Option<Vec<u8>>,
}

/// Group or problem, position in it, reward, text.
type SearchedRow = (i64, Option<i64>, Option<f64>, MaybeText);

fn searched((group, sample, reward, MaybeText(text)): SearchedRow) -> Searched {
    Searched { group, sample, reward, text }
}

/// Number of the rollout or answer, id of the reward, its value.
type ValueRow = (i64, Text, Option<f64>);

const ROLLOUTS: &str = "\
SELECT o.rollout_id AS id, o.grp, o.sample, g.data, p.key AS prompt_key, p.text AS prompt, p.answer AS gold, p.columns,
       x.text, o.finish, o.n_tokens, o.reward, o.advantage, NULL AS correct,
       iif(?3, g.prompt_ids, NULL) AS prompt_ids, iif(?3, x.token_ids, NULL) AS token_ids, iif(?3, x.logp, NULL) AS logp
  FROM rollout o JOIN prompt p USING (prompt_id)
       LEFT JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
       LEFT JOIN rollout_payload x ON x.rollout_id = o.rollout_id
       LEFT JOIN selection s ON s.rollout_id = o.rollout_id
 WHERE o.stage_id = ?1 AND o.step = ?2 AND (NOT ?4 OR (s.rollout_id IS NOT NULL AND s.dropped_by IS NULL))
 ORDER BY o.grp, o.sample";

const ROLLOUT_VALUES: &str = "\
SELECT o.rollout_id, k.name, w.value
  FROM rollout o JOIN reward w USING (rollout_id) JOIN reward_key k USING (key_id)
 WHERE o.stage_id = ?1 AND o.step = ?2 ORDER BY o.grp, o.sample, k.name";

const ANSWERS: &str = "\
SELECT s.eval_sample_id AS id, s.item AS grp, s.sample, NULL AS data, p.key AS prompt_key, p.text AS prompt,
       p.answer AS gold, p.columns, s.text, s.finish, s.n_tokens, coalesce(s.value, s.score) AS reward,
       NULL AS advantage, s.correct, NULL AS prompt_ids, iif(?4, s.token_ids, NULL) AS token_ids,
       iif(?4, s.logp, NULL) AS logp
  FROM eval_sample s JOIN prompt p USING (prompt_id)
 WHERE s.eval_id = ?1 AND s.item >= ?2 AND s.item < ?3 ORDER BY s.item, s.sample";

const ANSWER_VALUES: &str = "\
SELECT s.eval_sample_id, k.name, w.value
  FROM eval_sample s JOIN eval_reward w USING (eval_sample_id) JOIN reward_key k USING (key_id)
 WHERE s.eval_id = ?1 AND s.item >= ?2 AND s.item < ?3 ORDER BY s.item, s.sample, k.name";

impl Store {
    /// The steps of a run that count, or of one of its stages, in order.
    ///
    /// # Errors
    /// When there is no such run or stage.
    pub fn run_steps(
        &self,
        reference: &str,
        stage: Option<&str>,
    ) -> Result<Vec<RunStep>, StoreError> {
        let run = self.run(reference)?;
        self.check_stage(run.run_id, &run.name, stage)?;
        let query = query_as(
            "SELECT st.stage_id, st.idx, st.name, t.step, t.ended_ms FROM stage st JOIN step t USING (stage_id)
              WHERE st.run_id = ? AND (st.superseded_from IS NULL OR t.step < st.superseded_from)
              ORDER BY st.idx, t.step",
        );
        let rows: Vec<(i64, i64, Text, i64, i64)> = self.reader()?.all(query.bind(run.run_id))?;
        let mut steps: Vec<RunStep> = Vec::with_capacity(rows.len());
        let mut before = 0;
        for (stage_id, stage_index, Text(stage), step, ended_ms) in rows {
            if let Some(last) = steps.last().filter(|last| last.stage_index != stage_index) {
                before = last.run_step + 1;
            }
            let step = step.cast_unsigned();
            let run_step = before + step;
            let run_id = run.run_id;
            steps.push(RunStep { stage_id, run_id, stage_index, stage, step, run_step, ended_ms });
        }
        steps.retain(|step| stage.is_none_or(|stage| stage == step.stage));
        Ok(steps)
    }

    /// The evaluations of a run that count, or those at one of its stages, in order.
    ///
    /// # Errors
    /// When there is no such run or stage.
    pub fn run_evaluations(
        &self,
        reference: &str,
        stage: Option<&str>,
    ) -> Result<Vec<RunEvaluation>, StoreError> {
        let steps = self.run_steps(reference, None)?;
        let run = self.run(reference)?;
        self.check_stage(run.run_id, &run.name, stage.filter(|stage| *stage != "start"))?;
        let query = query_as(
            "SELECT e.eval_id, e.label, e.step, e.suite, e.ended_ms,
                    coalesce((SELECT st.idx FROM stage st WHERE st.stage_id = e.stage_id), -1)
               FROM eval_run e WHERE e.run_id = ? AND e.superseded = 0 ORDER BY e.eval_id",
        );
        let rows: Vec<(i64, Text, i64, Text, i64, i64)> =
            self.reader()?.all(query.bind(run.run_id))?;
        let evaluation = |(eval_id, Text(stage), step, Text(suite), ended_ms, index)| {
            let step = i64::cast_unsigned(step);
            // Steps of the stages before this one.
            let earlier = steps.partition_point(|step: &RunStep| step.stage_index < index);
            let before = earlier.checked_sub(1).map_or(0, |last| steps[last].run_step + 1);
            RunEvaluation { eval_id, stage, step, run_step: before + step, suite, ended_ms }
        };
        let mut evaluations: Vec<RunEvaluation> = rows.into_iter().map(evaluation).collect();
        evaluations.retain(|evaluation| stage.is_none_or(|stage| stage == evaluation.stage));
        Ok(evaluations)
    }

    /// Fails with the ids of the stages where none has this one.
    pub(super) fn check_stage(
        &self,
        run_id: i64,
        run: &str,
        stage: Option<&str>,
    ) -> Result<(), StoreError> {
        let Some(stage) = stage else { return Ok(()) };
        let query = query_as("SELECT DISTINCT name FROM stage WHERE run_id = ? ORDER BY idx");
        let names: Vec<(Text,)> = self.reader()?.all(query.bind(run_id))?;
        if names.iter().any(|(Text(name),)| name == stage) {
            return Ok(());
        }
        let names: Vec<String> = names.iter().map(|(Text(name),)| format!("`{name}`")).collect();
        Err(StoreError::NotInRun {
            run: run.to_owned(),
            what: format!("stage `{stage}`"),
            instead: match names.is_empty() {
                true => "it has no stages yet".to_owned(),
                false => format!("its stages are {}", names.join(", ")),
            },
        })
    }

    /// The metrics of a step in their order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn metrics_of(&self, step: &RunStep) -> Result<Vec<Metric>, StoreError> {
        let query = query_as(
            "SELECT k.name, m.value, m.kind FROM metric m JOIN metric_key k USING (key_id)
              WHERE m.stage_id = ? AND m.step = ? ORDER BY m.idx",
        );
        let query = query.bind(step.stage_id).bind(step.step.cast_signed());
        let rows: Vec<(Text, Option<f64>, MaybeText)> = self.reader()?.all(query)?;
        let metric = |(Text(name), value, kind): (Text, Option<f64>, MaybeText)| Metric {
            name,
            value: metric_value(value, kind.0.as_deref()),
        };
        Ok(rows.into_iter().map(metric).collect())
    }

    /// The figures of an evaluation that are numbers, in their order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn figures_of(&self, evaluation: &RunEvaluation) -> Result<Vec<Metric>, StoreError> {
        let query = query_as(
            "SELECT metric, value FROM eval_result WHERE eval_id = ? AND value IS NOT NULL ORDER BY idx",
        );
        let rows: Vec<(Text, f64)> = self.reader()?.all(query.bind(evaluation.eval_id))?;
        Ok(rows.into_iter().map(|(Text(name), value)| Metric { name, value }).collect())
    }

    /// Names of the metrics of a run's steps, in the order in which steps have them.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn metric_names(&self, reference: &str) -> Result<Vec<String>, StoreError> {
        let query = query_as(
            "SELECT k.name FROM stage st JOIN metric m USING (stage_id) JOIN metric_key k USING (key_id)
              WHERE st.run_id = ? AND (st.superseded_from IS NULL OR m.step < st.superseded_from)
              GROUP BY k.key_id ORDER BY min(st.idx), min(m.idx), k.name",
        );
        self.names(reference, query)
    }

    /// Ids of the rewards that a run's rollouts have.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn reward_names(&self, reference: &str) -> Result<Vec<String>, StoreError> {
        let query = query_as(
            "SELECT DISTINCT k.name FROM stage st JOIN reward_total w USING (stage_id)
               JOIN reward_key k USING (key_id) WHERE st.run_id = ? ORDER BY k.name",
        );
        self.names(reference, query)
    }

    /// Ids of the rewards that the answers in a run's evaluations have.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn evaluation_reward_names(&self, reference: &str) -> Result<Vec<String>, StoreError> {
        let query = query_as(
            "SELECT DISTINCT k.name FROM eval_run e JOIN eval_sample s USING (eval_id)
               JOIN eval_reward w USING (eval_sample_id) JOIN reward_key k USING (key_id)
              WHERE e.run_id = ? ORDER BY k.name",
        );
        self.names(reference, query)
    }

    fn names(
        &self,
        reference: &str,
        query: super::ReadQuery<(Text,)>,
    ) -> Result<Vec<String>, StoreError> {
        let run = self.run(reference)?;
        let rows: Vec<(Text,)> = self.reader()?.all(query.bind(run.run_id))?;
        Ok(rows.into_iter().map(|(Text(name),)| name).collect())
    }

    /// Rollouts of a step, in order. `condition` is SQL of a person over `v_rollouts`, or over `v_selections` where
    /// kept ones are asked for.
    ///
    /// # Errors
    /// When the store cannot be read or the condition is wrong.
    pub fn rollouts_of(
        &self,
        step: &RunStep,
        (which, tokens): (Rollouts, Tokens),
        condition: Option<&str>,
    ) -> Result<Vec<Completion>, StoreError> {
        let at = step.step.cast_signed();
        let view = which.view();
        let RunStep { run_id, stage_index, .. } = step;
        let part = format!("run_id = {run_id} AND stage_idx = {stage_index} AND step = {at}");
        let wanted = match condition {
            Some(condition) => Some(self.chosen(view, "rollout_id, 0", &part, condition)?),
            None => None,
        };
        let query = query_as(ROLLOUTS).bind(step.stage_id).bind(at);
        let query = query.bind(tokens == Tokens::Read).bind(which == Rollouts::Kept);
        let rows: Vec<CompletionRow> = self.reader()?.all(query)?;
        let values = query_as(ROLLOUT_VALUES).bind(step.stage_id).bind(at);
        let values: Vec<ValueRow> = self.reader()?.all(values)?;
        let is_wanted = |row: &CompletionRow| {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(&(row.id, 0)))
        };
        self.completions(rows, values, is_wanted)
    }

    /// Answers in an evaluation from a problem on, in order, and the problem to go on with; none after the last.
    /// `condition` is SQL of a person over `v_eval_samples`.
    ///
    /// # Errors
    /// When the store cannot be read or the condition is wrong.
    pub fn answers_of(
        &self,
        evaluation: &RunEvaluation,
        from: i64,
        tokens: Tokens,
        condition: Option<&str>,
    ) -> Result<(Vec<Completion>, Option<i64>), StoreError> {
        let (eval_id, to) = (evaluation.eval_id, from + PAGE_ITEMS);
        let next = self.next_page(eval_id, to)?;
        let part = format!("eval_id = {eval_id} AND item >= {from} AND item < {to}");
        let wanted = match condition {
            Some(condition) => {
                Some(self.chosen("v_eval_samples", "item, sample", &part, condition)?)
            }
            None => None,
        };
        let query = query_as(ANSWERS).bind(eval_id).bind(from).bind(to);
        let rows: Vec<CompletionRow> = self.reader()?.all(query.bind(tokens == Tokens::Read))?;
        let values = query_as(ANSWER_VALUES).bind(eval_id).bind(from).bind(to);
        let values: Vec<ValueRow> = self.reader()?.all(values)?;
        let is_wanted = |row: &CompletionRow| {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(&(row.grp, row.sample)))
        };
        Ok((self.completions(rows, values, is_wanted)?, next))
    }

    /// Fails where a condition of a person is not one over a view.
    ///
    /// # Errors
    /// What SQLite says, and what there is in the view.
    pub fn check_condition(&self, view: &str, condition: &str) -> Result<(), StoreError> {
        self.chosen(view, "1, 1", "0", condition).map(|_| ())
    }

    /// Two numbers that name each row of a part of a view that meets a condition. The condition stands outside of the
    /// part, so whatever it says it cannot reach beyond it.
    pub(super) fn chosen(
        &self,
        view: &str,
        names: &str,
        part: &str,
        condition: &str,
    ) -> Result<HashSet<(i64, i64)>, StoreError> {
        let text = format!(
            "SELECT {names} FROM (SELECT * FROM {view} WHERE {part}) WHERE (\n{condition}\n)"
        );
        let table = self.sql_table(&SqlQuery::new(&text))?;
        let pair = |row: Vec<Value>| match row.as_slice() {
            [Value::Integer(a), Value::Integer(b)] => Some((*a, *b)),
            _ => None,
        };
        Ok(table.rows.into_iter().filter_map(pair).collect())
    }

    /// Texts of a step, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn texts_of(&self, step: &RunStep, within: SearchIn) -> Result<Vec<Searched>, StoreError> {
        let query = query_as(match within {
            SearchIn::Completions => {
                "SELECT o.grp, o.sample, o.reward, x.text FROM rollout o LEFT JOIN rollout_payload x USING (rollout_id)
                  WHERE o.stage_id = ? AND o.step = ? ORDER BY o.grp, o.sample"
            }
            SearchIn::Prompts => {
                "SELECT o.grp, NULL, avg(o.reward), p.text FROM rollout o JOIN prompt p USING (prompt_id)
                  WHERE o.stage_id = ? AND o.step = ? GROUP BY o.grp ORDER BY o.grp"
            }
        });
        let query = query.bind(step.stage_id).bind(step.step.cast_signed());
        let rows: Vec<SearchedRow> = self.reader()?.all(query)?;
        Ok(rows.into_iter().map(searched).collect())
    }

    /// Texts that were written in an evaluation from a problem on, in order, and the problem to go on with; none after the
    /// last.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answer_texts_of(
        &self,
        evaluation: &RunEvaluation,
        from: i64,
    ) -> Result<(Vec<Searched>, Option<i64>), StoreError> {
        let (eval_id, to) = (evaluation.eval_id, from + PAGE_ITEMS);
        let query = query_as(
            "SELECT item, sample, coalesce(value, score), text FROM eval_sample
              WHERE eval_id = ? AND item >= ? AND item < ? ORDER BY item, sample",
        );
        let query = query.bind(eval_id).bind(from).bind(to);
        let rows: Vec<SearchedRow> = self.reader()?.all(query)?;
        Ok((rows.into_iter().map(searched).collect(), self.next_page(eval_id, to)?))
    }

    /// The problem that the next page of an evaluation begins with, where there is one.
    fn next_page(&self, eval_id: i64, to: i64) -> Result<Option<i64>, StoreError> {
        let query = query_as("SELECT max(item) FROM eval_sample WHERE eval_id = ?").bind(eval_id);
        let last: Option<(Option<i64>,)> = self.reader()?.first(query)?;
        Ok(last.and_then(|(last,)| last).filter(|last| *last >= to).map(|_| to))
    }

    fn completions(
        &self,
        rows: Vec<CompletionRow>,
        values: Vec<ValueRow>,
        is_wanted: impl Fn(&CompletionRow) -> bool,
    ) -> Result<Vec<Completion>, StoreError> {
        let mut values_of: BTreeMap<i64, Vec<(String, Option<f64>)>> = BTreeMap::new();
        for (id, Text(name), value) in values {
            values_of.entry(id).or_default().push((name, value));
        }
        rows.into_iter()
            .filter(is_wanted)
            .map(|row| {
                let columns = self.columns_of(&row.prompt_key, &row.columns)?;
                let rewards = values_of.remove(&row.id).unwrap_or_default();
                Ok(row.completion(columns, rewards))
            })
            .collect()
    }
}

impl Rollouts {
    /// The view that conditions are over.
    pub fn view(self) -> &'static str {
        match self {
            Self::All => "v_rollouts",
            Self::Kept => "v_selections",
        }
    }
}

impl CompletionRow {
    fn completion(
        self,
        columns: BTreeMap<String, String>,
        rewards: Vec<(String, Option<f64>)>,
    ) -> Completion {
        Completion {
            group: self.grp,
            sample: self.sample,
            data: self.data,
            prompt_key: self.prompt_key,
            prompt: self.prompt,
            gold: self.gold,
            columns,
            text: self.text,
            finish: self.finish,
            n_tokens: self.n_tokens,
            reward: self.reward,
            advantage: self.advantage,
            correct: self.correct,
            rewards,
            prompt_tokens: self.prompt_ids.as_deref().map(u32_list),
            tokens: self.token_ids.as_deref().map(u32_list),
            logprobs: self.logp.as_deref().map(f32_list),
        }
    }
}
