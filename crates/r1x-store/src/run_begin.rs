//! How a run begins in the store: with everything needed to explain it, which is spec, plan, environment, data and
//! plugins.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use r1x_core::digest::hex;
use r1x_core::plan::RecordPlan;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::StoreError;
use crate::names;
use crate::packing;
use crate::process_liveness::Process;
use crate::sitting::{now_ms, sit_down};
use crate::sweep;
use crate::text::Text;
use crate::writer::{Cell, Tx};

/// Everything known about a run when it begins.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// The experiment; the run is called `name-adjective-animal`, and its folder so too.
    pub name: String,
    /// The seed of every stream.
    pub seed: u64,
    /// Where the spec was read.
    pub spec_path: Option<String>,
    /// The spec as written, comments included.
    pub spec_text: String,
    /// `path=value` of each `--set`.
    pub overrides: Vec<String>,
    /// The plan as JSON (a `RunPlan`); its `record` says what of a rollout is kept.
    pub plan_json: String,
    /// sha256 of the plan, hex.
    pub plan_sha256: String,
    /// Where it runs.
    pub environment: Environment,
    /// Data it reads.
    pub datasets: Vec<DatasetInput>,
    /// Reward plugins it uses.
    pub plugins: Vec<PluginInput>,
    /// A run it comes from, by id, and how.
    pub parent: Option<(i64, Relation)>,
    /// The member of a sweep that it is begun for, by id.
    pub member: Option<i64>,
    /// The folder in which relative paths of the plan begin.
    pub folder: Option<String>,
}

/// How a run comes from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A run made again, to compare.
    Reproduce,
    /// Goes on from its weights with another plan.
    Fork,
    /// One of several with varied values.
    Sweep,
}

impl Relation {
    fn as_str(self) -> &'static str {
        match self {
            Relation::Reproduce => "reproduce",
            Relation::Fork => "fork",
            Relation::Sweep => "sweep",
        }
    }
}

/// Where a run is computed and by which build.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Environment {
    /// Version of r1x.
    pub r1x_version: String,
    /// Commit of the build.
    pub git_commit: Option<String>,
    /// Whether the build had uncommitted changes.
    pub git_dirty: Option<bool>,
    /// Name of the machine.
    pub host: Option<String>,
    /// Operating system.
    pub os: Option<String>,
    /// Processor model.
    pub cpu: Option<String>,
    /// Logical cores.
    pub cores: Option<u32>,
    /// Main memory, bytes.
    pub ram_bytes: Option<u64>,
    /// Where tensors live.
    pub device: Option<String>,
    /// Compiler of the build.
    pub rustc: Option<String>,
    /// Cargo features of the build.
    pub features: Option<String>,
    /// Threads used.
    pub threads: Option<u32>,
    /// Instructions that the kernels of the CPU use, on which the order of their sums depends; none on other devices.
    pub kernels: Option<String>,
}

/// One split of a data set a run reads.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DatasetInput {
    /// Its id in the spec.
    pub id: String,
    /// The split.
    pub split: String,
    /// sha256 over the problems, hex.
    pub sha256: String,
    /// Problems in it.
    pub rows: u64,
    /// Where they come from, in words.
    pub source: String,
}

/// One reward plugin a run uses.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginInput {
    /// Id of the reward in the spec.
    pub reward_id: String,
    /// The name the plugin gives itself.
    pub name: String,
    /// The version the plugin gives itself.
    pub version: String,
    /// The interface it implements, e.g. `r1x:reward@0.1.0`.
    pub wit_world: String,
    /// sha256 of the component, hex.
    pub sha256: String,
    /// The component.
    pub bytes: Vec<u8>,
    /// sha256 of its source, where a lock gives one, hex.
    pub source_sha256: Option<String>,
    /// JSON handed to it.
    pub config_json: String,
    /// Weight in the total.
    pub weight: f64,
}

/// A run as the writer needs it.
#[derive(Debug)]
pub(crate) struct Begun {
    pub run_id: i64,
    pub name: String,
    pub uid: String,
    pub record: RecordPlan,
    /// Reward keys by id in the spec.
    pub reward_keys: HashMap<String, i64>,
    /// Stage ids by position, for the stages that are not run again.
    pub stages: HashMap<usize, i64>,
}

/// sha256 over parts, each preceded by its length so that no two lists of parts look alike.
pub(crate) fn hash_parts<'a>(parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        match part {
            None => hasher.update(u64::MAX.to_le_bytes()),
            Some(part) => {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
    }
    hasher.finalize().into()
}

/// What of a rollout the plan keeps. A plan has no defaults: one that does not say it is none.
pub(crate) fn record_plan(run: &str, plan_json: &str) -> Result<RecordPlan, StoreError> {
    /// The part of a plan that the store acts on.
    #[derive(serde::Deserialize)]
    struct Part {
        record: RecordPlan,
    }
    let part: Part = serde_json::from_str(plan_json).map_err(|error| StoreError::Facts {
        run: run.to_owned(),
        detail: format!("the plan cannot be read: {error}"),
    })?;
    Ok(part.record)
}

/// Writes the beginning of a run. `folders` is where run folders are made; `made` is the folder made for
/// this one, also when writing fails later.
pub(crate) async fn begin(
    tx: &mut Tx<'_>,
    start: &RunStart,
    folders: &Path,
    made: &mut Option<PathBuf>,
) -> Result<Begun, StoreError> {
    let record = record_plan(&start.name, &start.plan_json)?;
    let spec_id = upsert_spec(tx, start).await?;
    let env_id = upsert_environment(tx, &start.environment).await?;
    let (uid, name) = choose_name(tx, &start.name, folders).await?;
    *made = Some(folders.join(&name));
    let me = Process::current();
    let now = now_ms();
    let run_id = tx
        .insert(
            "INSERT INTO run (uid, name, spec_id, env_id, plan_sha256, parent_run_id, relation, seed, status,
                 machine, pid, pid_start, boot_id, heartbeat_ms, started_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?)",
            [
                (&uid).into(),
                (&name).into(),
                spec_id.into(),
                env_id.into(),
                (&start.plan_sha256).into(),
                start.parent.map(|(id, _)| id).into(),
                start.parent.map(|(_, relation)| relation.as_str()).into(),
                start.seed.into(),
                me.machine.into(),
                me.pid.into(),
                me.pid_start.into(),
                me.boot_id.into(),
                now.into(),
                now.into(),
            ],
        )
        .await?;
    sit_down(tx, run_id, start.folder.as_deref(), now).await?;
    if let Some(member_id) = start.member {
        sweep::begin_member(tx, run_id, member_id).await?;
    }
    insert_inputs(tx, run_id, start).await?;
    let reward_keys = reward_keys(tx, run_id).await?;
    Ok(Begun { run_id, name, uid, record, reward_keys, stages: HashMap::new() })
}

async fn upsert_spec(tx: &mut Tx<'_>, start: &RunStart) -> Result<i64, StoreError> {
    let overrides = serde_json::Value::from(start.overrides.clone()).to_string();
    let path = start.spec_path.as_deref();
    let parts =
        [path, Some(start.spec_text.as_str()), Some(overrides.as_str()), Some(&start.plan_json)];
    let sha256 = hex(&hash_parts(parts.map(|part| part.map(str::as_bytes))));
    tx.execute(
        "INSERT INTO spec (sha256, source_path, source_text, overrides, plan_json)
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (sha256) DO NOTHING",
        [
            (&sha256).into(),
            path.into(),
            (&start.spec_text).into(),
            overrides.into(),
            (&start.plan_json).into(),
        ],
    )
    .await?;
    id(tx, "SELECT spec_id FROM spec WHERE sha256 = ?", [sha256.into()]).await
}

async fn upsert_environment(tx: &mut Tx<'_>, env: &Environment) -> Result<i64, StoreError> {
    let json = serde_json::to_string(env).unwrap_or_default();
    let sha256 = hex(&hash_parts([Some(json.as_bytes())]));
    tx.execute(
        "INSERT INTO environment (sha256, r1x_version, git_commit, git_dirty, host, os, cpu, cores, ram_bytes,
             device, rustc, features, threads, kernels)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sha256) DO NOTHING",
        [
            (&sha256).into(),
            (&env.r1x_version).into(),
            env.git_commit.as_ref().into(),
            env.git_dirty.into(),
            env.host.as_ref().into(),
            env.os.as_ref().into(),
            env.cpu.as_ref().into(),
            env.cores.into(),
            env.ram_bytes.into(),
            env.device.as_ref().into(),
            env.rustc.as_ref().into(),
            env.features.as_ref().into(),
            env.threads.into(),
            env.kernels.as_ref().into(),
        ],
    )
    .await?;
    id(tx, "SELECT env_id FROM environment WHERE sha256 = ?", [sha256.into()]).await
}

/// Draws names until one is free both in the store and on disk, and makes the run's folder.
async fn choose_name(
    tx: &mut Tx<'_>,
    experiment: &str,
    folders: &Path,
) -> Result<(String, String), StoreError> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if experiment.is_empty() || experiment.starts_with(['.', '-']) || !experiment.chars().all(plain)
    {
        return Err(StoreError::Facts {
            run: experiment.to_owned(),
            detail: "its name cannot be the name of a folder".into(),
        });
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        let uid = Uuid::now_v7();
        let (_, bits) = uid.as_u64_pair();
        let mut name = names::run_name(experiment, bits);
        if attempt > 32 {
            // The pairs of words are nearly used up for this experiment.
            name = format!("{name}-{:04x}", (bits >> 16) & 0xffff);
        }
        let taken: Option<(i64,)> =
            tx.fetch("SELECT run_id FROM run WHERE name = ?", [(&name).into()]).await?;
        if taken.is_some() {
            continue;
        }
        let folder = folders.join(&name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok((uid.hyphenated().to_string(), name)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(crate::open::from_io(&folder, &error)),
        }
    }
}

async fn insert_inputs(tx: &mut Tx<'_>, run_id: i64, start: &RunStart) -> Result<(), StoreError> {
    let mut idx = 0_i64;
    for data in &start.datasets {
        let key: [Cell; 4] =
            [(&data.sha256).into(), (&data.split).into(), (&data.id).into(), (&data.source).into()];
        let [sha256, split, name, source] = key.clone();
        tx.execute(
            "INSERT INTO dataset (sha256, split, name, source, rows) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING",
            [sha256, split, name, source, data.rows.into()],
        )
        .await?;
        let select = "SELECT dataset_id FROM dataset WHERE sha256 = ? AND split = ? AND name = ? AND source = ?";
        let dataset_id = id(tx, select, key).await?;
        tx.execute(
            "INSERT INTO run_input (run_id, idx, role, dataset_id) VALUES (?, ?, ?, ?)",
            [run_id.into(), idx.into(), (&data.id).into(), dataset_id.into()],
        )
        .await?;
        idx += 1;
    }
    for plugin in &start.plugins {
        let plugin_id = upsert_plugin(tx, plugin).await?;
        tx.execute(
            "INSERT INTO run_input (run_id, idx, role, plugin_id, weight, settings) VALUES (?, ?, ?, ?, ?, ?)",
            [
                run_id.into(),
                idx.into(),
                (&plugin.reward_id).into(),
                plugin_id.into(),
                plugin.weight.into(),
                (&plugin.config_json).into(),
            ],
        )
        .await?;
        idx += 1;
    }
    Ok(())
}

pub(crate) async fn upsert_plugin(
    tx: &mut Tx<'_>,
    plugin: &PluginInput,
) -> Result<i64, StoreError> {
    let known: Vec<(i64,)> = tx
        .fetch_all("SELECT plugin_id FROM plugin WHERE sha256 = ?", [(&plugin.sha256).into()])
        .await?;
    // A component is kept once, however many runs use it.
    if let Some((plugin_id,)) = known.first() {
        return Ok(*plugin_id);
    }
    let (packing, packed) = packing::pack(&plugin.bytes);
    tx.execute(
        "INSERT INTO plugin (sha256, name, version, wit_world, source_sha256, bytes, packing, wasm)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (&plugin.sha256).into(),
            (&plugin.name).into(),
            (&plugin.version).into(),
            (&plugin.wit_world).into(),
            plugin.source_sha256.as_ref().into(),
            plugin.bytes.len().into(),
            packing.as_str().into(),
            packed.into_owned().into(),
        ],
    )
    .await?;
    id(tx, "SELECT plugin_id FROM plugin WHERE sha256 = ?", [(&plugin.sha256).into()]).await
}

/// Keys of the rewards of a run; a key is shared by all runs with the same plugin build and weight.
pub(crate) async fn reward_keys(
    tx: &mut Tx<'_>,
    run_id: i64,
) -> Result<HashMap<String, i64>, StoreError> {
    let inputs: Vec<(Text, i64, f64)> = tx
        .fetch_all(
            "SELECT role, plugin_id, weight FROM run_input WHERE run_id = ? AND plugin_id IS NOT NULL",
            [run_id.into()],
        )
        .await?;
    let mut keys = HashMap::new();
    for (Text(role), plugin_id, weight) in inputs {
        let key = reward_key(tx, &role, Some(plugin_id), Some(weight)).await?;
        keys.insert(role, key);
    }
    Ok(keys)
}

/// The key of one reward; one without a plugin (a reward built into a test) has neither build nor weight.
pub(crate) async fn reward_key(
    tx: &mut Tx<'_>,
    name: &str,
    plugin_id: Option<i64>,
    weight: Option<f64>,
) -> Result<i64, StoreError> {
    tx.execute(
        "INSERT INTO reward_key (name, plugin_id, weight) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [name.into(), plugin_id.into(), weight.into()],
    )
    .await?;
    id(
        tx,
        "SELECT key_id FROM reward_key WHERE name = ? AND plugin_id IS ? AND weight IS ?",
        [name.into(), plugin_id.into(), weight.into()],
    )
    .await
}

/// The id of a row that is known to be there.
pub(crate) async fn id<const N: usize>(
    tx: &mut Tx<'_>,
    select: &'static str,
    cells: [Cell; N],
) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = tx.fetch(select, cells).await?;
    row.map(|(id,)| id).ok_or_else(|| tx.internal(format!("no row for {select}")))
}
