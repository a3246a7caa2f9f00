//! From a plan to what runs it: the ports of the loop, filled with the implementations of the other crates.

use std::path::{Path, PathBuf};

use r1x_core::plan::{ModelPlan, PluginPlan, Precision, RunPlan, SourcePlan};
use r1x_core::{Markup, PortError};
use r1x_model::{Given, Model};
use r1x_ops::device::Device;
use r1x_reward::WasmRewarder;
use r1x_store::{DatasetInput, PluginInput, Store};
use r1x_tasks::Problems;

use crate::failure::{Failure, code};
use crate::inputs::World;

/// Where a run is computed.
#[derive(Clone, Debug)]
pub struct Compute {
    /// `cpu`, or `cuda:N` in a build with CUDA.
    pub device: String,
    /// Threads of the CPU; results do not depend on their number.
    pub threads: usize,
}

/// Opens the device that is asked for.
///
/// # Errors
/// When there is no such device, or it does not open.
pub fn device(compute: &Compute) -> Result<Device, Failure> {
    r1x_ops::parse_device(&compute.device).map_err(|error| {
        Failure::new(code::RESOURCE, error.to_string(), "leave `--device` out to use the CPU")
    })
}

/// Loads the problems of a plan, whose prompts are written for its model.
///
/// # Errors
/// When a data set cannot be read or generated.
pub fn problems(plan: &RunPlan, markup: &Markup) -> Result<Problems, Failure> {
    Problems::load(plan, markup).map_err(|error| PortError::from(error).into())
}

/// Builds a model that learns on a device. It has no place for checkpoints yet.
///
/// # Errors
/// When the tokenizer cannot be built, or the device's memory does not suffice.
pub fn model(
    plan: &ModelPlan,
    seed: u64,
    compute: &Compute,
    device: &Device,
) -> Result<Box<dyn Model>, PortError> {
    note_precision(plan, compute, device);
    Ok(r1x_model::model::fresh(plan, seed, compute.threads, PathBuf::new(), device)?)
}

/// Builds a model that samples and scores with given weights on a device, and never learns.
///
/// # Errors
/// When the tokenizer cannot be built, the weights cannot be read, or the device's memory does not suffice.
pub fn answering(
    plan: &ModelPlan,
    compute: &Compute,
    device: &Device,
    given: Given<'_>,
) -> Result<Box<dyn Model>, PortError> {
    note_precision(plan, compute, device);
    Ok(r1x_model::model::answering(plan, compute.threads, device, given)?)
}

fn note_precision(plan: &ModelPlan, compute: &Compute, device: &Device) {
    if !device.is_cpu() && plan.precision != Precision::F32 {
        eprintln!("note: {} computes in f32, not in the plan's precision", compute.device);
    }
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
    let planned = plan.rewards.iter().filter_map(|reward| Some((reward, reward.plugin()?)));
    for (reward, planned) in planned {
        let bytes = component((&reward.id, planned), recorded)?;
        let plugin = match world.loaded(&planned.sha256) {
            Some(plugin) => plugin,
            None => world
                .host
                .load_bytes(planned.path.clone(), bytes.clone())
                .map_err(|error| Failure::from(PortError::from(error)))?,
        };
        let info = plugin.info();
        inputs.push(PluginInput {
            reward_id: reward.id.clone(),
            name: info.name.clone(),
            version: info.version.clone(),
            wit_world: r1x_reward::WIT_WORLD.to_owned(),
            sha256: planned.sha256.clone(),
            bytes,
            source_sha256: None,
            config_json: planned.config.clone(),
            weight: reward.weight,
        });
        let plugin = crate::capability::granted(&plugin, &planned.grant, judge.as_ref())?;
        wired.push((reward.clone(), plugin));
    }
    let rewarder = WasmRewarder::new(&world.host, &wired)
        .map_err(|error| Failure::from(PortError::from(error)))?;
    Ok((rewarder, inputs))
}

/// The component of a reward.
fn component(
    (reward, planned): (&str, &PluginPlan),
    recorded: Option<&Store>,
) -> Result<Vec<u8>, Failure> {
    let path = Path::new(&planned.path);
    let read = r1x_files::read(path, r1x_files::AMPLE);
    if let Ok(bytes) = &read
        && r1x_core::digest::sha256(bytes) == planned.sha256
    {
        return Ok(read.unwrap_or_default());
    }
    let kept = recorded.map(|store| store.plugin_bytes(&planned.sha256)).transpose()?;
    if let Some(bytes) = kept.flatten() {
        if r1x_core::digest::sha256(&bytes) == planned.sha256 {
            return Ok(bytes);
        }
        let message = format!("the component of reward `{reward}` in the store is not what it was");
        return Err(Failure::new(
            code::STORE,
            message,
            format!("put the build that the plan names back at {}", planned.path),
        ));
    }
    read.map_err(|error| Failure::io(path, &error))?;
    Err(Failure::new(
        code::INPUT,
        format!("{}: not the build that the plan names (reward `{reward}`)", planned.path),
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
            Some(SourcePlan::Rows { path, .. }) => path.clone(),
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
