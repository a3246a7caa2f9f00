//! Runs as people ask for them: the list, one run with its stages, figures, inputs and checkpoints.
//!
//! Must not know how anything is printed.

use sqlx::{FromRow, query_as};

use crate::alive::Process;
use crate::error::StoreError;
use crate::start::{DatasetInput, Environment, now_ms};
use crate::store::Store;

/// One run in a list.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RunSummary {
    /// Number in this store.
    pub run_id: i64,
    /// Name.
    pub name: String,
    /// Identity across stores.
    pub uid: String,
    /// `running`, `done`, `failed`, `interrupted`, `crashed` or `diverged`. A run whose process is gone is
    /// `crashed`, whether or not somebody has marked it yet.
    pub status: String,
    /// Where the spec was read.
    pub spec_path: Option<String>,
    /// The seed.
    pub seed: u64,
    /// sha256 over the run's facts, hex.
    pub digest: Option<String>,
    /// sha256 of the plan, hex.
    pub plan_sha256: String,
    /// How the process ended.
    pub exit_code: Option<i64>,
    /// What stopped it.
    pub error: Option<String>,
    /// Start, milliseconds since 1970.
    pub started_ms: i64,
    /// End, milliseconds since 1970.
    pub ended_ms: Option<i64>,
    /// From start to end, or to the last sign of life, seconds.
    pub seconds: f64,
    /// Steps that count, over all stages.
    pub steps: u64,
    /// Name of the run it comes from.
    pub parent: Option<String>,
    /// How it comes from it.
    pub relation: Option<String>,
}

/// One stage of a run, over all its attempts.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct StageCard {
    /// Position in the plan.
    pub index: i64,
    /// Its id in the spec.
    pub name: String,
    /// `sft`, `grpo` or `evaluate`.
    pub kind: String,
    /// `running` or `done`, of the newest attempt.
    pub status: String,
    /// Attempts made; more than one after a resume.
    pub attempts: i64,
    /// Steps that count.
    pub steps: i64,
    /// sha256 of the weights it put out, hex.
    pub weights_sha256: Option<String>,
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
    /// Start of the first attempt, milliseconds since 1970.
    pub started_ms: i64,
    /// End of the newest attempt, milliseconds since 1970.
    pub ended_ms: Option<i64>,
}

/// One figure of an evaluation.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct EvalRow {
    /// `start` or the id of the stage.
    pub stage: String,
    /// Steps of the stage done.
    pub step: i64,
    /// The suite's id.
    pub suite: String,
    /// `pass@1` and so on.
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

/// A reward plugin a run uses.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct PluginCard {
    /// Id of the reward in the spec.
    pub reward: String,
    /// The plugin's own name.
    pub plugin: String,
    /// The plugin's own version.
    pub version: String,
    /// The interface it implements.
    pub wit_world: String,
    /// sha256 of the component, hex.
    pub sha256: String,
    /// sha256 of its source, hex.
    pub source_sha256: Option<String>,
    /// Size of the component, bytes.
    pub bytes: i64,
    /// Weight in the total.
    pub weight: f64,
    /// JSON handed to it.
    pub settings: String,
}

/// A checkpoint of a run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CheckpointCard {
    /// Position of the stage in the plan.
    pub stage_index: i64,
    /// Id of the stage.
    pub stage: String,
    /// Steps of the stage done.
    pub step: i64,
    /// `step`, `stage` or `interrupt`.
    pub kind: String,
    /// Path relative to the run's folder.
    pub path: String,
    /// sha256 of the weights, hex.
    pub sha256: String,
    /// Size on disk, bytes.
    pub bytes: i64,
    /// When it was written, milliseconds since 1970.
    pub created_ms: i64,
    /// Whether it is still on disk: old periodic ones are removed.
    pub exists: bool,
}

/// A warning or an error of a run.
#[derive(Clone, Debug, PartialEq, serde::Serialize, FromRow)]
pub struct EventCard {
    /// When, milliseconds since 1970.
    pub ts_ms: i64,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// The part of r1x it comes from.
    pub target: String,
    /// What happened.
    pub message: String,
}

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

/// What a run was asked to do.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SpecText {
    /// Where the spec was read.
    pub path: Option<String>,
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

#[derive(FromRow)]
struct RunRow {
    run_id: i64,
    name: String,
    uid: String,
    status: String,
    spec_path: Option<String>,
    seed: i64,
    digest: Option<String>,
    plan_sha256: String,
    exit_code: Option<i64>,
    error: Option<String>,
    started_ms: i64,
    ended_ms: Option<i64>,
    heartbeat_ms: i64,
    machine: Option<String>,
    pid: Option<i64>,
    pid_start: Option<i64>,
    boot_id: Option<String>,
    steps: i64,
    parent: Option<String>,
    relation: Option<String>,
}

impl RunRow {
    fn summary(self) -> RunSummary {
        let process = Process {
            machine: self.machine,
            pid: self.pid.unwrap_or(0),
            pid_start: self.pid_start,
            boot_id: self.boot_id,
        };
        let dead = self.status == "running" && !process.is_alive(self.heartbeat_ms, now_ms());
        let until = self.ended_ms.unwrap_or(self.heartbeat_ms);
        RunSummary {
            run_id: self.run_id,
            name: self.name,
            uid: self.uid,
            status: if dead { "crashed".into() } else { self.status },
            spec_path: self.spec_path,
            seed: self.seed.cast_unsigned(),
            digest: self.digest,
            plan_sha256: self.plan_sha256,
            exit_code: self.exit_code,
            error: self.error,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            seconds: (until - self.started_ms) as f64 / 1e3,
            steps: self.steps.cast_unsigned(),
            parent: self.parent,
            relation: self.relation,
        }
    }
}

macro_rules! run_query {
    ($rest:literal) => {
        concat!(
            "SELECT r.run_id, r.name, r.uid, r.status, s.source_path AS spec_path, r.seed, r.digest, \
             r.plan_sha256, r.exit_code, r.error, r.started_ms, r.ended_ms, r.heartbeat_ms, r.machine, r.pid, \
             r.pid_start, r.boot_id, p.name AS parent, r.relation, \
             (SELECT count(*) FROM stage st JOIN step t USING (stage_id) WHERE st.run_id = r.run_id \
              AND (st.superseded_from IS NULL OR t.step < st.superseded_from)) AS steps \
             FROM run r JOIN spec s USING (spec_id) LEFT JOIN run p ON p.run_id = r.parent_run_id ",
            $rest
        )
    };
}

#[derive(FromRow)]
struct MetricRow {
    stage_idx: i64,
    stage: String,
    step: i64,
    metric: String,
    value: Option<f64>,
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
    /// All runs, newest first.
    pub fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let rows = self
            .reader()?
            .all(query_as::<_, RunRow>(run_query!("ORDER BY r.started_ms DESC, r.run_id DESC")))?;
        Ok(rows.into_iter().map(RunRow::summary).collect())
    }

    /// The run a reference means: `latest`, a name, a uid, or the beginning of one that fits a single run.
    pub fn run(&self, reference: &str) -> Result<RunSummary, StoreError> {
        let run_id = self.find_run(reference)?;
        let query = query_as::<_, RunRow>(run_query!("WHERE r.run_id = ?")).bind(run_id);
        let row = self.reader()?.first(query)?;
        row.map(RunRow::summary).ok_or_else(|| self.unknown_run(reference, Vec::new()))
    }

    fn unknown_run(&self, reference: &str, close: Vec<String>) -> StoreError {
        StoreError::UnknownRun {
            path: self.path().to_owned(),
            reference: reference.to_owned(),
            close,
        }
    }

    fn find_run(&self, reference: &str) -> Result<i64, StoreError> {
        let query = "SELECT run_id, name, uid FROM run ORDER BY started_ms DESC, run_id DESC";
        let runs: Vec<(i64, String, String)> = self.reader()?.all(query_as(query))?;
        if reference == "latest" {
            return runs
                .first()
                .map(|(id, ..)| *id)
                .ok_or_else(|| self.unknown_run(reference, Vec::new()));
        }
        if let Some((id, ..)) =
            runs.iter().find(|(_, name, uid)| name == reference || uid == reference)
        {
            return Ok(*id);
        }
        let begins = |(_, name, uid): &&(i64, String, String)| {
            name.starts_with(reference) || uid.starts_with(reference)
        };
        let fits: Vec<_> = runs.iter().filter(begins).collect();
        match fits.as_slice() {
            [(id, ..)] => Ok(*id),
            [] => Err(self.unknown_run(reference, close_names(&runs, reference))),
            _ if reference.is_empty() => Err(self.unknown_run(reference, Vec::new())),
            many => Err(StoreError::AmbiguousRun {
                reference: reference.to_owned(),
                names: many.iter().map(|(_, name, _)| name.clone()).collect(),
            }),
        }
    }

    /// One run with everything about it that fits on a page.
    pub fn run_card(&self, reference: &str) -> Result<RunCard, StoreError> {
        let run = self.run(reference)?;
        let id = run.run_id;
        Ok(RunCard {
            environment: self.environment(id)?,
            stages: self.stages(id)?,
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
            r1x_version: String,
            git_commit: Option<String>,
            git_dirty: Option<bool>,
            host: Option<String>,
            os: Option<String>,
            cpu: Option<String>,
            cores: Option<u32>,
            ram_bytes: Option<i64>,
            device: Option<String>,
            rustc: Option<String>,
            features: Option<String>,
            threads: Option<u32>,
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
        }))
    }

    fn stages(&self, run_id: i64) -> Result<Vec<StageCard>, StoreError> {
        let query = query_as(
            "SELECT st.idx AS \"index\", st.name, st.kind, st.status, st.attempt AS attempts, st.weights_sha256,
                    st.ended_ms,
                    (SELECT min(started_ms) FROM stage f WHERE f.run_id = st.run_id AND f.idx = st.idx) AS started_ms,
                    (SELECT count(*) FROM stage a JOIN rollout o USING (stage_id)
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

    fn last_metrics(&self, run_id: i64) -> Result<Vec<MetricPoint>, StoreError> {
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

    fn evals(&self, run_id: i64) -> Result<Vec<EvalRow>, StoreError> {
        let query = query_as(
            "SELECT e.label AS stage, e.step, e.suite, x.metric, x.value, x.stderr, x.n_items, x.n_samples
               FROM eval_run e JOIN eval_result x USING (eval_id)
              WHERE e.run_id = ? AND e.superseded = 0 ORDER BY e.eval_id, x.idx",
        );
        self.reader()?.all(query.bind(run_id))
    }

    fn datasets(&self, run_id: i64) -> Result<Vec<DatasetInput>, StoreError> {
        let query = "SELECT i.role, d.split, d.sha256, d.rows, d.source
                       FROM run_input i JOIN dataset d USING (dataset_id) WHERE i.run_id = ? ORDER BY i.idx";
        let rows: Vec<(String, String, String, i64, String)> =
            self.reader()?.all(query_as(query).bind(run_id))?;
        let input = |(id, split, sha256, rows, source): (_, _, _, i64, _)| DatasetInput {
            id,
            split,
            sha256,
            rows: rows.cast_unsigned(),
            source,
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

    fn events(&self, run_id: i64) -> Result<Vec<EventCard>, StoreError> {
        let query = query_as(
            "SELECT ts_ms, level, target, message FROM event WHERE run_id = ?
              ORDER BY ts_ms DESC, event_id DESC LIMIT 50",
        );
        let mut events: Vec<EventCard> = self.reader()?.all(query.bind(run_id))?;
        events.reverse();
        Ok(events)
    }

    fn checkpoints_of(&self, run: &RunSummary) -> Result<Vec<CheckpointCard>, StoreError> {
        type Row = (i64, String, i64, String, String, String, i64, i64);
        let query = "SELECT stage_idx, stage, step, kind, path, sha256, bytes, created_ms
                       FROM v_checkpoints WHERE run_id = ? ORDER BY stage_idx, step, checkpoint_id";
        let rows: Vec<Row> = self.reader()?.all(query_as(query).bind(run.run_id))?;
        let folder = self.run_folder(&run.name);
        let card = |(stage_index, stage, step, kind, path, sha256, bytes, created_ms): Row| {
            let exists = folder.join(&path).exists();
            CheckpointCard {
                stage_index,
                stage,
                step,
                kind,
                path,
                sha256,
                bytes,
                created_ms,
                exists,
            }
        };
        Ok(rows.into_iter().map(card).collect())
    }

    /// Checkpoints of a run that still count, in the order of training.
    pub fn checkpoints(&self, reference: &str) -> Result<Vec<CheckpointCard>, StoreError> {
        let run = self.run(reference)?;
        self.checkpoints_of(&run)
    }

    /// Figures of all evaluations of a run that still count, in order.
    pub fn eval_results(&self, reference: &str) -> Result<Vec<EvalRow>, StoreError> {
        let run = self.run(reference)?;
        self.evals(run.run_id)
    }

    /// The spec as written and the plan it became.
    pub fn spec(&self, reference: &str) -> Result<SpecText, StoreError> {
        let run = self.run(reference)?;
        let query = "SELECT source_path, source_text, overrides, plan_json
                       FROM run JOIN spec USING (spec_id) WHERE run_id = ?";
        let row: Option<(Option<String>, String, String, String)> =
            self.reader()?.first(query_as(query).bind(run.run_id))?;
        let (path, text, overrides, plan_json) =
            row.ok_or_else(|| self.unknown_run(reference, Vec::new()))?;
        let overrides = serde_json::from_str(&overrides).unwrap_or_default();
        Ok(SpecText { path, text, overrides, plan_json })
    }

    /// The component of a reward plugin as a run used it.
    pub fn plugin_bytes(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let query = query_as("SELECT wasm FROM plugin WHERE sha256 = ?").bind(sha256.to_owned());
        let row: Option<(Vec<u8>,)> = self.reader()?.first(query)?;
        Ok(row.map(|(bytes,)| bytes))
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
}

/// Names that resemble a reference, best first: those that contain it, then those spelled much like it.
fn close_names(runs: &[(i64, String, String)], reference: &str) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = runs
        .iter()
        .map(|(_, name, _)| {
            let contains = !reference.is_empty() && name.contains(reference);
            let score = if contains { 2.0 } else { strsim::jaro_winkler(name, reference) };
            (score, name.as_str())
        })
        .filter(|(score, _)| *score > 0.85)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}
