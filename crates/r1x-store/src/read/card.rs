//! The card of a run: its stages, and what it began with.

use sqlx::{FromRow, query_as};

use super::checkpoint::CheckpointCard;
use super::evaluation::EvalRow;
use super::metric::MetricPoint;
use super::summary::RunSummary;
use crate::error::StoreError;
use crate::packing;
use crate::run_begin::{DatasetInput, Environment};
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// One stage of a run, over all its attempts.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct StageCard {
    /// Position in the plan.
    pub index: i64,
    /// Its id in the spec.
    #[sqlx(try_from = "Text")]
    pub name: String,
    /// `sft`, `grpo` or `evaluate`.
    #[sqlx(try_from = "Text")]
    pub kind: String,
    /// Of the newest attempt: `running` or `done`, or how the run ended before the stage did.
    #[sqlx(try_from = "Text")]
    pub status: String,
    /// Attempts made; more than one after a resume.
    pub attempts: i64,
    /// Steps that count.
    pub steps: i64,
    /// sha256 of the weights it put out, hex.
    #[sqlx(try_from = "MaybeText")]
    pub weights_sha256: Option<String>,
    /// The run whose stage it was taken over from, by its name, or by its identity where it is no more.
    #[sqlx(try_from = "MaybeText")]
    pub reused_from: Option<String>,
    /// Rollouts that count.
    pub rollouts: i64,
    /// Time in sampling, milliseconds.
    pub generate_ms: f64,
    /// Time in rewards, milliseconds.
    pub reward_ms: f64,
    /// Time in training, milliseconds.
    pub train_ms: f64,
    /// Time in the store, milliseconds.
    pub store_ms: f64,
    /// Time of all its attempts, to their ends or last signs of life, milliseconds; pauses do not count.
    pub worked_ms: i64,
    /// Start of the first attempt, milliseconds since 1970.
    pub started_ms: i64,
    /// End of the newest attempt, milliseconds since 1970.
    pub ended_ms: Option<i64>,
}

/// A reward plugin a run uses.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct PluginCard {
    /// Id of the reward in the spec.
    #[sqlx(try_from = "Text")]
    pub reward: String,
    /// The plugin's own name.
    #[sqlx(try_from = "Text")]
    pub plugin: String,
    /// The plugin's own version.
    #[sqlx(try_from = "Text")]
    pub version: String,
    /// The interface it implements.
    #[sqlx(try_from = "Text")]
    pub wit_world: String,
    /// sha256 of the component, hex.
    #[sqlx(try_from = "Text")]
    pub sha256: String,
    /// sha256 of its source, hex.
    #[sqlx(try_from = "MaybeText")]
    pub source_sha256: Option<String>,
    /// Size of the component, bytes.
    pub bytes: i64,
    /// Weight in the total.
    pub weight: f64,
    /// JSON handed to it.
    #[sqlx(try_from = "Text")]
    pub settings: String,
}

/// A warning or an error of a run.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct EventCard {
    /// When, milliseconds since 1970.
    pub ts_ms: i64,
    /// `info`, `warn` or `error`.
    #[sqlx(try_from = "Text")]
    pub level: String,
    /// The part of r1x it comes from.
    #[sqlx(try_from = "Text")]
    pub target: String,
    /// What happened.
    #[sqlx(try_from = "Text")]
    pub message: String,
}

/// What a run was asked to do.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SpecText {
    /// Where the spec was read.
    pub path: Option<String>,
    /// Where the run was started the last time: relative paths of the plan begin there. None in older stores.
    pub folder: Option<String>,
    /// The spec as written.
    pub text: String,
    /// `path=value` of each `--set`.
    pub overrides: Vec<String>,
    /// The plan as JSON.
    pub plan_json: String,
}

/// One run with everything about it that fits on a page.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RunCard {
    /// Its line in the list.
    #[serde(flatten)]
    pub run: RunSummary,
    /// Where it was computed.
    pub environment: Environment,
    /// Stages in order.
    pub stages: Vec<StageCard>,
    /// Metrics of the newest step of each stage.
    pub metrics: Vec<MetricPoint>,
    /// Evaluations in order.
    pub evals: Vec<EvalRow>,
    /// Data it read.
    pub datasets: Vec<DatasetInput>,
    /// Plugins it used.
    pub plugins: Vec<PluginCard>,
    /// Checkpoints in order.
    pub checkpoints: Vec<CheckpointCard>,
    /// Newest warnings and errors, at most 50, oldest first.
    pub events: Vec<EventCard>,
}

impl Store {
    /// One run with everything about it that fits on a page.
    pub fn run_card(&self, reference: &str) -> Result<RunCard, StoreError> {
        let run = self.run(reference)?;
        let id = run.run_id;
        let mut stages = self.stages(id)?;
        if run.status == "crashed" {
            // Nobody may have marked the run yet.
            let left = stages.iter_mut().filter(|stage| stage.status == "running");
            left.for_each(|stage| stage.status.clone_from(&run.status));
        }
        Ok(RunCard {
            environment: self.environment(id)?,
            stages,
            metrics: self.last_metrics(id)?,
            evals: self.evals(id)?,
            datasets: self.datasets(id)?,
            plugins: self.plugins(id)?,
            checkpoints: self.checkpoints_of(&run)?,
            events: self.events(id)?,
            run,
        })
    }

    fn environment(&self, run_id: i64) -> Result<Environment, StoreError> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(try_from = "Text")]
            r1x_version: String,
            #[sqlx(try_from = "MaybeText")]
            git_commit: Option<String>,
            git_dirty: Option<bool>,
            #[sqlx(try_from = "MaybeText")]
            host: Option<String>,
            #[sqlx(try_from = "MaybeText")]
            os: Option<String>,
            #[sqlx(try_from = "MaybeText")]
            cpu: Option<String>,
            cores: Option<u32>,
            ram_bytes: Option<i64>,
            #[sqlx(try_from = "MaybeText")]
            device: Option<String>,
            #[sqlx(try_from = "MaybeText")]
            rustc: Option<String>,
            #[sqlx(try_from = "MaybeText")]
            features: Option<String>,
            threads: Option<u32>,
            #[sqlx(try_from = "MaybeText")]
            kernels: Option<String>,
        }
        let query = "SELECT e.* FROM run JOIN environment e USING (env_id) WHERE run_id = ?";
        let row: Option<Row> = self.reader()?.first(query_as(query).bind(run_id))?;
        Ok(row.map_or_else(Environment::default, |row| Environment {
            r1x_version: row.r1x_version,
            git_commit: row.git_commit,
            git_dirty: row.git_dirty,
            host: row.host,
            os: row.os,
            cpu: row.cpu,
            cores: row.cores,
            ram_bytes: row.ram_bytes.map(i64::cast_unsigned),
            device: row.device,
            rustc: row.rustc,
            features: row.features,
            threads: row.threads,
            kernels: row.kernels,
        }))
    }

    pub(super) fn stages(&self, run_id: i64) -> Result<Vec<StageCard>, StoreError> {
        let query = query_as(
            "SELECT st.idx AS \"index\", st.name, st.kind, st.status, st.attempt AS attempts, st.weights_sha256,
                    st.ended_ms,
                    coalesce((SELECT o.name FROM run o WHERE o.uid = st.reused_from), st.reused_from) AS reused_from,
                    (SELECT sum(coalesce(w.ended_ms,
                                         CASE WHEN w.stage_id = st.stage_id AND r.status = 'running'
                                              THEN r.heartbeat_ms END,
                                         (SELECT max(x.ended_ms) FROM step x WHERE x.stage_id = w.stage_id),
                                         w.started_ms) - w.started_ms)
                       FROM stage w JOIN run r USING (run_id)
                      WHERE w.run_id = st.run_id AND w.idx = st.idx) AS worked_ms,
                    (SELECT min(started_ms) FROM stage f WHERE f.run_id = st.run_id AND f.idx = st.idx) AS started_ms,
                    (SELECT coalesce(sum(o.rollouts), 0) FROM stage a JOIN group_total o USING (stage_id)
                      WHERE a.run_id = st.run_id AND a.idx = st.idx
                        AND (a.superseded_from IS NULL OR o.step < a.superseded_from)) AS rollouts,
                    count(t.step) AS steps,
                    total(t.gen_ms) AS generate_ms, total(t.reward_ms) AS reward_ms,
                    total(t.train_ms) AS train_ms, total(t.store_ms) AS store_ms
               FROM stage st
               LEFT JOIN v_steps t ON t.run_id = st.run_id AND t.stage_idx = st.idx
              WHERE st.run_id = ?1 AND st.superseded_from IS NOT -1
                AND st.attempt = (SELECT max(attempt) FROM stage l WHERE l.run_id = st.run_id AND l.idx = st.idx)
              GROUP BY st.stage_id ORDER BY st.idx",
        );
        self.reader()?.all(query.bind(run_id))
    }

    fn datasets(&self, run_id: i64) -> Result<Vec<DatasetInput>, StoreError> {
        let query = "SELECT i.role, d.split, d.sha256, d.rows, d.source
                       FROM run_input i JOIN dataset d USING (dataset_id) WHERE i.run_id = ? ORDER BY i.idx";
        let rows: Vec<(Text, Text, Text, i64, Text)> =
            self.reader()?.all(query_as(query).bind(run_id))?;
        let input =
            |(Text(id), Text(split), Text(sha256), rows, Text(source)): (_, _, _, i64, _)| {
                DatasetInput { id, split, sha256, rows: rows.cast_unsigned(), source }
            };
        Ok(rows.into_iter().map(input).collect())
    }

    fn plugins(&self, run_id: i64) -> Result<Vec<PluginCard>, StoreError> {
        let query = query_as(
            "SELECT i.role AS reward, p.name AS plugin, p.version, p.wit_world, p.sha256, p.source_sha256,
                    p.bytes, i.weight, i.settings
               FROM run_input i JOIN plugin p USING (plugin_id) WHERE i.run_id = ? ORDER BY i.idx",
        );
        self.reader()?.all(query.bind(run_id))
    }

    /// The reward of a run that a plugin judges for, by the plugin's own name; the first one where there are several.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn reward_of_plugin(
        &self,
        reference: &str,
        plugin: &str,
    ) -> Result<Option<String>, StoreError> {
        let plugins = self.plugins(self.run(reference)?.run_id)?;
        Ok(plugins.into_iter().find(|card| card.plugin == plugin).map(|card| card.reward))
    }

    fn events(&self, run_id: i64) -> Result<Vec<EventCard>, StoreError> {
        let query = query_as(
            "SELECT ts_ms, level, target, message FROM event WHERE run_id = ?
              ORDER BY ts_ms DESC, event_id DESC LIMIT 50",
        );
        let mut events: Vec<EventCard> = self.reader()?.all(query.bind(run_id))?;
        events.reverse();
        Ok(events)
    }

    /// When a run was begun, as date and time (UTC).
    ///
    /// # Errors
    /// When there is no such run.
    pub fn started(&self, reference: &str) -> Result<String, StoreError> {
        let run_id = self.run(reference)?.run_id;
        let query = "SELECT started || ' UTC' FROM v_runs WHERE run_id = ?";
        let row: Option<(Text,)> = self.reader()?.first(query_as(query).bind(run_id))?;
        Ok(row.map(|(Text(started),)| started).unwrap_or_default())
    }

    /// The spec as written and the plan it became.
    pub fn spec(&self, reference: &str) -> Result<SpecText, StoreError> {
        let run = self.run(reference)?;
        let query = "SELECT source_path, source_text, overrides, plan_json,
                            (SELECT folder FROM sitting t WHERE t.run_id = run.run_id
                              AND folder IS NOT NULL ORDER BY number DESC LIMIT 1)
                       FROM run JOIN spec USING (spec_id) WHERE run_id = ?";
        let row: Option<(MaybeText, Text, Text, Text, MaybeText)> =
            self.reader()?.first(query_as(query).bind(run.run_id))?;
        let (path, text, overrides, plan_json, folder) =
            row.ok_or_else(|| self.unknown_run(reference, Vec::new()))?;
        Ok(SpecText {
            path: path.into(),
            folder: folder.into(),
            text: text.into(),
            overrides: serde_json::from_str(&overrides.0).unwrap_or_default(),
            plan_json: plan_json.into(),
        })
    }

    /// The component of a reward plugin as a run used it.
    pub fn plugin_bytes(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let query = query_as("SELECT wasm, packing, bytes FROM plugin WHERE sha256 = ?")
            .bind(sha256.to_owned());
        let row: Option<(Vec<u8>, Text, i64)> = self.reader()?.first(query)?;
        let unpacked = |(kept, Text(packing), length): (Vec<u8>, Text, i64)| {
            let length = usize::try_from(length).unwrap_or_default();
            packing::unpack(kept, &packing, length).map_err(|detail| StoreError::Damaged {
                path: self.path().to_owned(),
                detail: format!("the component {sha256} cannot be unpacked: {detail}"),
            })
        };
        row.map(unpacked).transpose()
    }
}
