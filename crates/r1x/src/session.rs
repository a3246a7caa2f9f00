//! What the commands that need a plan or a model share: resolving specs, opening the store, wiring ports.
//!
//! Must not know arguments beyond the shared ones, nor print results.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use r1x_core::plan::{Precision, RewardPlan, RunPlan, SourcePlan};
use r1x_model::Model;
use r1x_ops::device::Device;
use r1x_reward::{Compiling, Host, HostOptions, WasmRewarder};
use r1x_spec::{Class, Resolved, Style, render_warnings, resolve};
use r1x_store::{DatasetInput, Mode, PluginInput, Store, StoreError, Upgraded};
use r1x_tasks::Problems;

use crate::cli::{ComputeArgs, Global, SpecArgs};
use crate::display::Ink;
use crate::failure::{Failure, code};
use crate::helper;
use crate::inputs::World;
use crate::output::{self, Stream};
use crate::relocate;
use crate::sandbox::HostSandbox;

/// Where a store is unless something else is said.
const STORE: &str = "runs/r1x.sqlite";

/// Where things are kept that can be made again: `$XDG_CACHE_HOME/r1x`, or `~/.cache/r1x`.
pub fn cache_root() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or_else(home).map(|base| base.join("r1x"))
}

/// Where compiled plugins are kept.
pub fn cache_dir() -> Option<PathBuf> {
    cache_root().map(|root| root.join("plugins"))
}

/// What builds of plugins may know of this machine.
pub fn build_environment() -> r1x_build::Environment {
    let named = |(name, value): (std::ffi::OsString, _)| Some((name.into_string().ok()?, value));
    let variables = std::env::vars_os().filter_map(named).collect();
    // Without a home there is still a place for a build, if not for the next one.
    let cache_folder = cache_dir().unwrap_or_else(|| std::env::temp_dir().join("r1x-plugins"));
    r1x_build::Environment::new(variables, cache_folder.with_file_name("build"))
        .supervised(helper::supervisor())
}

/// How many times the limits on compiling a plugin count.
const COMPILE_SCALE: &str = "R1X_COMPILE_SCALE";

/// The plugin host with this many workers. What is not compiled yet is compiled in a process with limits.
///
/// # Errors
/// When it cannot start, or what scales its limits is no number.
pub fn host(workers: usize) -> Result<Host, Failure> {
    let options = HostOptions { cache_dir: cache_dir(), workers };
    let scale = match std::env::var_os(COMPILE_SCALE) {
        None => 1,
        Some(text) => text.to_str().and_then(scale).ok_or_else(|| {
            let message = format!("{COMPILE_SCALE} is `{}`", text.to_string_lossy());
            Failure::new(code::INPUT, message, "give a whole number from 1 to 1000")
        })?,
    };
    let compiling = Compiling { compiler: Some(Arc::new(helper::Separate)), scale };
    Host::with_compiler(options, compiling)
        .map_err(|error| Failure::from(r1x_core::PortError::from(error)))
}

fn scale(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|scale| (1..=1000).contains(scale))
}

/// What builds may know of this machine, with this host to try what they make.
pub fn build_environment_with(host: &Host) -> r1x_build::Environment {
    build_environment().with_sandbox(Arc::new(HostSandbox(host.clone())))
}

/// The world with a plugin host of this many workers.
///
/// # Errors
/// When the host cannot start.
pub fn world(workers: usize) -> Result<World, Failure> {
    Ok(World::new(host(workers)?))
}

/// Reads and checks a spec; diagnostics are printed.
///
/// # Errors
/// When anything is wrong with it.
pub fn resolved(spec: &SpecArgs, world: &World) -> Result<Resolved, Failure> {
    let color = output::view(Stream::Err).color == Ink::Colored;
    let style = Style { unicode: true, color };
    let resolved = resolve(&spec.spec, &spec.overrides(), world).map_err(|report| {
        output::drawn(Stream::Err, &report.render(style));
        let code = match report.class() {
            Class::Spec => code::SPEC,
            Class::Input => code::INPUT,
        };
        Failure { code, message: String::new(), hint: None }
    })?;
    output::drawn(Stream::Err, &render_warnings(&resolved.warnings, style));
    Ok(resolved)
}

/// Opens the device that is asked for.
///
/// # Errors
/// When there is no such device, or it does not open.
pub fn device(compute: &ComputeArgs) -> Result<Device, Failure> {
    r1x_ops::parse_device(&compute.device).map_err(|error| {
        Failure::new(code::RESOURCE, error.to_string(), "leave `--device` out to use the CPU")
    })
}

/// Loads the problems of a plan.
///
/// # Errors
/// When a data set cannot be read or generated.
pub fn problems(plan: &RunPlan) -> Result<Problems, Failure> {
    Problems::load(plan).map_err(|error| r1x_core::PortError::from(error).into())
}

/// Builds the policy of a plan on a device; checkpoints go under `folder`.
///
/// # Errors
/// When the tokenizer cannot be built, or the device's memory does not suffice.
pub fn policy(
    plan: &RunPlan,
    compute: &ComputeArgs,
    device: &Device,
    folder: &Path,
) -> Result<Box<dyn Model>, Failure> {
    let threads = compute.threads();
    if !device.is_cpu() && plan.model.precision != Precision::F32 {
        eprintln!("note: {} computes in f32, not in the plan's precision", compute.device);
    }
    r1x_model::model::fresh(&plan.model, plan.seed, threads, folder.to_owned(), device)
        .map_err(|error| r1x_core::PortError::from(error).into())
}

/// Wires the plan's plugins, loaded before or from their files, whose hashes must be the plan's. A run that was
/// recorded has its components in the store, which serve where a file is gone or changed.
///
/// # Errors
/// When a file is missing, changed, or no plugin.
pub fn rewarder(
    plan: &RunPlan,
    world: &World,
    recorded: Option<&Store>,
) -> Result<(WasmRewarder, Vec<PluginInput>), Failure> {
    let judge = crate::capability::judges(plan, world.host.workers())?;
    let mut wired = Vec::new();
    let mut inputs = Vec::new();
    for reward in &plan.rewards {
        let bytes = component(reward, recorded)?;
        let plugin = match world.loaded(&reward.sha256) {
            Some(plugin) => plugin,
            None => world
                .host
                .load_bytes(reward.plugin.clone(), bytes.clone())
                .map_err(|error| Failure::from(r1x_core::PortError::from(error)))?,
        };
        let info = plugin.info();
        inputs.push(PluginInput {
            reward_id: reward.id.clone(),
            name: info.name.clone(),
            version: info.version.clone(),
            wit_world: r1x_reward::WIT_WORLD.to_owned(),
            sha256: reward.sha256.clone(),
            bytes,
            source_sha256: None,
            config_json: reward.config.clone(),
            weight: reward.weight,
        });
        let plugin = crate::capability::granted(&plugin, &reward.grant, judge.as_ref())?;
        wired.push((reward.clone(), plugin));
    }
    let rewarder = WasmRewarder::new(&world.host, &wired)
        .map_err(|error| Failure::from(r1x_core::PortError::from(error)))?;
    Ok((rewarder, inputs))
}

/// The component of a reward.
fn component(reward: &RewardPlan, recorded: Option<&Store>) -> Result<Vec<u8>, Failure> {
    let path = Path::new(&reward.plugin);
    let read = r1x_files::read(path, r1x_files::AMPLE);
    if let Ok(bytes) = &read
        && crate::inputs::sha256(bytes) == reward.sha256
    {
        return Ok(read.unwrap_or_default());
    }
    let kept = recorded.map(|store| store.plugin_bytes(&reward.sha256)).transpose()?;
    if let Some(bytes) = kept.flatten() {
        return Ok(bytes);
    }
    read.map_err(|error| Failure::io(path, &error))?;
    Err(Failure::new(
        code::INPUT,
        format!("{}: not the build that the plan names (reward `{}`)", reward.plugin, reward.id),
        "put the recorded build back, or start a new run with this one",
    ))
}

/// Where a run keeps the calls of its rewards that failed.
pub fn failures(run_folder: &Path) -> PathBuf {
    run_folder.join("failures")
}

/// The data sets of a plan, for the record.
pub fn datasets(plan: &RunPlan, problems: &Problems) -> Vec<DatasetInput> {
    let mut inputs = Vec::new();
    for (id, set) in problems.sets() {
        let source = match plan.data.get(id).map(|data| &data.source) {
            Some(SourcePlan::Jsonl { path, .. }) => path.clone(),
            _ => "generated".to_owned(),
        };
        for (split, rows) in [("train", set.train.len()), ("heldout", set.heldout.len())] {
            inputs.push(DatasetInput {
                id: id.to_owned(),
                split: split.to_owned(),
                sha256: set.sha256.clone(),
                rows: rows as u64,
                source: source.clone(),
            });
        }
    }
    inputs
}

/// Opens the store for writing, making it and its folder if need be.
///
/// # Errors
/// When it cannot be opened.
pub fn store(global: &Global) -> Result<Store, Failure> {
    writing(&global.store.clone().unwrap_or_else(|| PathBuf::from(STORE)))
}

/// Opens a store that is there already for writing.
///
/// # Errors
/// When it is not there or cannot be opened.
pub fn existing(global: &Global) -> Result<Store, Failure> {
    let path = found(global);
    if !path.exists() {
        // The error of a reader, who makes none.
        return Ok(Store::open(&path, Mode::Read)?);
    }
    writing(&path)
}

fn writing(path: &Path) -> Result<Store, Failure> {
    let store = Store::open(path, Mode::Write)?;
    store.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    store.upgraded().into_iter().for_each(|upgraded| tell_upgraded(path, upgraded));
    Ok(store)
}

fn tell_upgraded(path: &Path, Upgraded { from, to, backup }: &Upgraded) {
    eprintln!(
        "{}: brought from schema {from} to {to}; {} is a copy of it as it was",
        path.display(),
        backup.display()
    );
}

/// The store that is asked for; without a word about it, the one of this folder or of the nearest folder above.
fn found(global: &Global) -> PathBuf {
    if let Some(path) = &global.store {
        return path.clone();
    }
    let here = PathBuf::from(STORE);
    let above = || {
        let folder = std::env::current_dir().ok()?;
        folder.ancestors().skip(1).map(|folder| folder.join(STORE)).find(|path| path.is_file())
    };
    if here.exists() {
        return here;
    }
    match above() {
        Some(path) => {
            eprintln!("store {}", path.display());
            path
        }
        None => here,
    }
}

/// The plan as canonical JSON and its sha256.
///
/// # Errors
/// Never for plans that came from a spec.
pub fn plan_json(plan: &RunPlan) -> Result<(String, String), Failure> {
    let json = serde_json::to_string(plan).map_err(|error| {
        Failure::new(
            code::INTERNAL,
            format!("the plan cannot be written: {error}"),
            "please report this",
        )
    })?;
    let hash = crate::inputs::sha256(json.as_bytes());
    Ok((json, hash))
}

/// Opens the store for reading.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn reading(global: &Global) -> Result<Store, Failure> {
    let path = found(global);
    let old = match Store::open(&path, Mode::Read) {
        Err(old @ StoreError::TooOld { .. }) => old,
        opened => return Ok(opened?),
    };
    // A store of an earlier r1x is brought up to date where it may be written.
    match Store::upgrade(&path) {
        Ok(upgraded) => upgraded.iter().for_each(|upgraded| tell_upgraded(&path, upgraded)),
        Err(error @ StoreError::Backup { .. }) => return Err(error.into()),
        Err(_) => return Err(old.into()),
    }
    Ok(Store::open(&path, Mode::Read)?)
}

/// An object as JSON text.
///
/// # Errors
/// Never for the store's cards.
pub fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| {
        Failure::new(code::INTERNAL, format!("cannot write JSON: {error}"), "please report this")
    })
}

/// The plan a run was started with; its files are looked for where they may be by now.
///
/// # Errors
/// When there is no such run, or its plan is of another version of r1x.
pub fn plan_of(store: &Store, run: &str) -> Result<RunPlan, Failure> {
    let spec = store.spec(run)?;
    let mut plan = RunPlan::from_json(&spec.plan_json).map_err(|error| {
        Failure::new(
            code::STORE,
            format!("the plan of run `{run}` cannot be read: {error}"),
            "use the version of r1x that recorded it (`r1x show` names it)",
        )
    })?;
    relocate::relocate(&mut plan, &relocate::folders(spec.folder.as_deref(), store.path()));
    Ok(plan)
}

/// This folder as text, in which relative paths of a plan begin.
pub fn folder() -> Option<String> {
    std::env::current_dir().ok()?.to_str().map(str::to_owned)
}
