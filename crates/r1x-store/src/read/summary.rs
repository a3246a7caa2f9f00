//! Runs in a list, and which run a reference means.

use sqlx::{FromRow, query_as};

use crate::error::StoreError;
use crate::process_liveness::Process;
use crate::run_writer::RunStatus;
use crate::sitting::now_ms;
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// One run in a list.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RunSummary {
    /// Number in this store.
    pub run_id: i64,
    /// Name.
    pub name: String,
    /// Identity across stores.
    pub uid: String,
    /// `running`, `done`, `gate missed`, `failed`, `interrupted`, `crashed`, `diverged`, `differs` or `imported`. A run whose process
    /// is gone is `crashed`, whether or not somebody has marked it yet.
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
    /// Time somebody worked on it, to the end or the last sign of life, seconds; pauses do not count.
    pub seconds: f64,
    /// Processes that worked on it: one, and one more for every resume.
    pub sittings: u64,
    /// Steps that count, over all stages.
    pub steps: u64,
    /// Name of the run it comes from.
    pub parent: Option<String>,
    /// How it comes from it: `reproduce`, `fork` or `sweep`.
    pub relation: Option<String>,
    /// Name of the sweep that it was begun for.
    pub sweep: Option<String>,
    /// Labels: those of the spec that nobody took away, and those that were given later.
    pub tags: Vec<String>,
    /// What a person noted about it.
    pub note: Option<String>,
    /// `path=value` of each `--set`.
    pub overrides: Vec<String>,
    /// `reward.mean` of the newest step, or `loss` where nothing is rewarded.
    pub last_metric: Option<LastFigure>,
    /// The first figure of the newest evaluation.
    pub last_eval: Option<LastFigure>,
}

impl RunSummary {
    /// Whether it can go on: somebody stopped it, or it failed or crashed. A run whose stages are all done has nothing
    /// left to do, one that is running goes on already, one that differs from the run it makes again has done what it was
    /// made for, and an imported one was never run here.
    pub fn can_go_on(&self) -> bool {
        let done =
            [RunStatus::Done, RunStatus::GateMissed, RunStatus::Differs, RunStatus::Imported];
        self.status != "running" && done.iter().all(|done| self.status != done.as_str())
    }
}

/// A number worth a look in a list of runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LastFigure {
    /// Its name.
    pub name: String,
    /// Its value; none when it is not finite.
    pub value: Option<f64>,
}

#[derive(FromRow)]
struct RunRow {
    run_id: i64,
    #[sqlx(try_from = "Text")]
    name: String,
    #[sqlx(try_from = "Text")]
    uid: String,
    #[sqlx(try_from = "Text")]
    status: String,
    #[sqlx(try_from = "MaybeText")]
    spec_path: Option<String>,
    seed: i64,
    #[sqlx(try_from = "MaybeText")]
    digest: Option<String>,
    #[sqlx(try_from = "Text")]
    plan_sha256: String,
    exit_code: Option<i64>,
    #[sqlx(try_from = "MaybeText")]
    error: Option<String>,
    started_ms: i64,
    ended_ms: Option<i64>,
    heartbeat_ms: i64,
    #[sqlx(try_from = "MaybeText")]
    machine: Option<String>,
    pid: Option<i64>,
    pid_start: Option<i64>,
    #[sqlx(try_from = "MaybeText")]
    boot_id: Option<String>,
    steps: i64,
    worked_ms: i64,
    sittings: i64,
    #[sqlx(try_from = "MaybeText")]
    tags: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    note: Option<String>,
    #[sqlx(try_from = "Text")]
    overrides: String,
    #[sqlx(try_from = "MaybeText")]
    parent: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    relation: Option<String>,
    #[sqlx(try_from = "MaybeText")]
    sweep: Option<String>,
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
        let list = |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok());
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
            seconds: self.worked_ms as f64 / 1e3,
            sittings: self.sittings.cast_unsigned(),
            steps: self.steps.cast_unsigned(),
            parent: self.parent,
            relation: self.relation,
            sweep: self.sweep,
            tags: list(self.tags.as_deref()).unwrap_or_default(),
            note: self.note,
            overrides: list(Some(&self.overrides)).unwrap_or_default(),
            last_metric: None,
            last_eval: None,
        }
    }
}

macro_rules! run_query {
    ($rest:literal) => {
        concat!(
            "SELECT r.run_id, r.name, r.uid, r.status, s.source_path AS spec_path, r.seed, r.digest, \
             r.plan_sha256, r.exit_code, r.error, r.started_ms, r.ended_ms, r.heartbeat_ms, r.machine, r.pid, \
             r.pid_start, r.boot_id, p.name AS parent, r.relation, s.overrides, r.note, \
             (SELECT w.name FROM sweep_run x JOIN sweep_member m USING (member_id) JOIN sweep w USING (sweep_id) \
              WHERE x.run_id = r.run_id) AS sweep, \
             (SELECT v.tags FROM v_runs v WHERE v.run_id = r.run_id) AS tags, \
             (SELECT coalesce(sum(coalesce(t.ended_ms, r.heartbeat_ms) - t.started_ms), 0) FROM sitting t \
              WHERE t.run_id = r.run_id) AS worked_ms, \
             (SELECT count(*) FROM sitting t WHERE t.run_id = r.run_id) AS sittings, \
             (SELECT count(*) FROM stage st JOIN step t USING (stage_id) WHERE st.run_id = r.run_id \
              AND (st.superseded_from IS NULL OR t.step < st.superseded_from)) AS steps \
             FROM run r JOIN spec s USING (spec_id) LEFT JOIN run p ON p.run_id = r.parent_run_id ",
            $rest
        )
    };
}

/// The newest step of the last stage that has one, and of its metrics the one people look for.
const LAST_METRIC: &str = "\
WITH newest AS MATERIALIZED (
    SELECT st.stage_id, max(t.step) AS step FROM stage st JOIN step t USING (stage_id)
     WHERE st.run_id = ? AND (st.superseded_from IS NULL OR t.step < st.superseded_from)
     GROUP BY st.stage_id ORDER BY st.idx DESC, step DESC LIMIT 1)
SELECT k.name, m.value FROM newest JOIN metric m ON m.stage_id = newest.stage_id AND m.step = newest.step
       JOIN metric_key k USING (key_id)
 WHERE k.name IN ('reward.mean', 'loss') ORDER BY k.name DESC LIMIT 1";

const LAST_EVAL: &str = "\
SELECT x.metric, x.value FROM eval_run e JOIN eval_result x USING (eval_id)
 WHERE e.run_id = ? AND e.superseded = 0 ORDER BY e.eval_id DESC, x.idx LIMIT 1";

fn figure(row: Option<(Text, Option<f64>)>) -> Option<LastFigure> {
    row.map(|(Text(name), value)| LastFigure { name, value })
}

impl Store {
    /// All runs, newest first.
    pub fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let rows = self
            .reader()?
            .all(query_as::<_, RunRow>(run_query!("ORDER BY r.started_ms DESC, r.run_id DESC")))?;
        self.with_figures(rows)
    }

    /// The run a reference means: `latest`, a name, a uid, or the beginning of one that fits a single run.
    pub fn run(&self, reference: &str) -> Result<RunSummary, StoreError> {
        let run = self.run_of_id(self.find_run(reference)?)?;
        run.ok_or_else(|| self.unknown_run(reference, Vec::new()))
    }

    /// The run with this number in this store.
    pub(crate) fn run_of_id(&self, run_id: i64) -> Result<Option<RunSummary>, StoreError> {
        let query = query_as::<_, RunRow>(run_query!("WHERE r.run_id = ?")).bind(run_id);
        let row = self.reader()?.first(query)?;
        Ok(self.with_figures(row)?.pop())
    }

    /// Runs with their newest numbers.
    fn with_figures(
        &self,
        rows: impl IntoIterator<Item = RunRow>,
    ) -> Result<Vec<RunSummary>, StoreError> {
        let mut runs: Vec<RunSummary> = rows.into_iter().map(RunRow::summary).collect();
        for run in &mut runs {
            let metric = query_as(LAST_METRIC).bind(run.run_id);
            run.last_metric = figure(self.reader()?.first(metric)?);
            let eval = query_as(LAST_EVAL).bind(run.run_id);
            run.last_eval = figure(self.reader()?.first(eval)?);
        }
        Ok(runs)
    }

    pub(crate) fn unknown_run(&self, reference: &str, close: Vec<String>) -> StoreError {
        StoreError::UnknownRun {
            path: self.path().to_owned(),
            reference: reference.to_owned(),
            close,
        }
    }

    fn find_run(&self, reference: &str) -> Result<i64, StoreError> {
        let query = "SELECT run_id, name, uid FROM run ORDER BY started_ms DESC, run_id DESC";
        let runs: Vec<(i64, Text, Text)> = self.reader()?.all(query_as(query))?;
        let runs: Vec<(i64, String, String)> =
            runs.into_iter().map(|(id, Text(name), Text(uid))| (id, name, uid)).collect();
        if reference == "latest" {
            let none = || StoreError::NoRun { path: self.path().to_owned() };
            return runs.first().map(|(id, ..)| *id).ok_or_else(none);
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
