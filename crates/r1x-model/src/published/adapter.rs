//! Adapters (LoRA) as PEFT writes them: a folder with `adapter_config.json` and `adapter_model.safetensors`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use r1x_core::digest::sha256;
use r1x_core::parameters::{Adapter, ParameterList};
use r1x_core::plan::{InitialWeights, LoraPlan, LoraScaling, LoraTarget, ModelPlan};
use r1x_weights::{NewTensor, SaveDtype, Sink, WeightFiles, write_one};
use serde_json::{Map, Value, json};

use super::config::Keys;
use super::family::Family;
use super::hash;
use super::load::Differences;
use super::names::{Renaming, published_name};
use super::texts::pretty;
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::not_finite_in;

/// The name of the configuration of adapters.
pub const CONFIG: &str = "adapter_config.json";
/// The name of the file of their weights.
const WEIGHTS: &str = "adapter_model.safetensors";
/// More than any configuration takes, bytes.
const MOST_CONFIG_BYTES: u64 = 1 << 20;
/// What PEFT writes before the name of a tensor.
const PREFIX: &str = "base_model.model.";
/// The largest rank that is read.
const MOST_RANK: usize = 1 << 16;
/// What names of matrices end with.
const WEIGHT: &str = ".weight";
/// The names of the two parts, as they end here.
const PARTS: [&str; 2] = [".lora_A.weight", ".lora_B.weight"];

/// Keys that change what an adapter computes, and that are refused where they say something.
const UNKNOWN: [&str; 13] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "fan_in_fan_out",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layer_replication",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
];
/// Ways to begin that leave the weights of the model as they are; others change them, and need a base of their own.
const BEGINNINGS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// Reads what a folder says about the adapters of a model: their plan, whose numbers are those of the folder.
///
/// # Errors
/// When a file cannot be read, the configuration says what is not known, or the tensors are none of the model's adapters;
/// all that is wrong is said.
pub fn open(folder: &Path, model: &ModelPlan) -> Result<LoraPlan, ModelError> {
    let path = folder.join(CONFIG);
    let error = |reason: String| ModelError::Published { path: path.display().to_string(), reason };
    let io = |source| ModelError::Io { path: path.display().to_string(), source };
    let text = r1x_files::read(&path, MOST_CONFIG_BYTES).map_err(io)?;
    let map: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|problem| error(problem.to_string()))?;
    let problems = RefCell::new(Vec::new());
    let keys = Keys::new(&map, &problems);
    let plan = LoraPlan {
        rank: keys.needed_up_to("r", MOST_RANK),
        alpha: keys.positive_or("lora_alpha", 8.0),
        scaling: match keys.flag("use_rslora") {
            Some(true) => LoraScaling::RootOfRank,
            Some(false) | None => LoraScaling::Rank,
        },
        targets: Vec::new(),
        initial: InitialWeights::Random,
    };
    check(&keys);
    let problems = problems.take();
    if !problems.is_empty() {
        return Err(error(problems.join("; ")));
    }
    let files = WeightFiles::open(folder.join(WEIGHTS))?;
    let targets = targets(&files, model);
    let plan = LoraPlan { targets, ..plan };
    let with = ModelPlan { lora: Some(plan.clone()), ..model.clone() };
    find(&files, &Layout::new(&with))?;
    let initial = InitialWeights::Published {
        folder: folder.display().to_string(),
        sha256: hash_of(folder)?,
    };
    Ok(LoraPlan { initial, ..plan })
}

/// Reports what a configuration says that is not known here.
fn check(keys: &Keys<'_>) {
    if keys.word("peft_type").is_some_and(|word| word != "LORA") {
        keys.problem("peft_type", "is no LORA, and only LORA is known");
    }
    if keys.word("bias").is_some_and(|word| word != "none") {
        keys.problem("bias", "is not \"none\": an adapter here has no bias");
    }
    let beginning = keys.get("init_lora_weights").and_then(Value::as_str);
    if let Some(word) = beginning.filter(|word| !BEGINNINGS.contains(word)) {
        let message = format!(
            "is `{word}`, which changes the weights of the model: convert it to plain LoRA"
        );
        keys.problem("init_lora_weights", message);
    }
    for key in UNKNOWN {
        let says_nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if keys.get(key).is_some_and(|value| !says_nothing(value)) {
            keys.problem(key, "is set, and is not known here");
        }
    }
}

/// The files of a folder of adapters that its hash is taken of.
pub fn files(folder: &Path) -> [PathBuf; 2] {
    [CONFIG, WEIGHTS].map(|name| folder.join(name))
}

/// sha256 over the hashes of configuration and weights.
fn hash_of(folder: &Path) -> Result<String, ModelError> {
    let line = |name: &str| Ok(format!("{} {name}\n", hash::of_file(&folder.join(name))?));
    let lines: Result<String, ModelError> =
        [CONFIG, WEIGHTS].iter().map(|name| line(name)).collect();
    Ok(sha256(lines?.as_bytes()))
}

/// The targets of which there is a tensor.
fn targets(files: &WeightFiles, model: &ModelPlan) -> Vec<LoraTarget> {
    let lora = Some(LoraPlan::everywhere(1));
    let list = ParameterList::new(&ModelPlan { lora, ..model.clone() });
    let names: BTreeSet<&str> = files.tensors().iter().map(|tensor| tensor.name()).collect();
    let mut found = BTreeSet::new();
    for layers in &list.layers {
        for module in &layers.modules {
            let is_there = |adapter: &Adapter| {
                layers.range.clone().any(|layer| {
                    (0..module.copies).any(|copy| {
                        let ours = adapter.down.name_in(layer, copy);
                        spellings(&ours).iter().any(|name| names.contains(name.as_str()))
                    })
                })
            };
            let there = module.adapters.iter().filter(|adapter| is_there(adapter));
            found.extend(there.filter_map(Adapter::target));
        }
    }
    found.into_iter().collect()
}

/// The names that the tensor of an adapter may have in a file: as each family calls the projection.
fn spellings(ours: &str) -> Vec<String> {
    let mut names: Vec<String> =
        super::FAMILIES.iter().map(|family| name_in_file(ours, family.renamed)).collect();
    names.push(format!("{PREFIX}{ours}"));
    names.dedup();
    names
}

/// The name that PEFT gives the tensor of an adapter, in a family that calls projections so.
fn name_in_file(ours: &str, renamed: &[Renaming]) -> String {
    let parts = PARTS.iter().find_map(|part| Some((ours.strip_suffix(part)?, part)));
    let Some((projection, part)) = parts else { return format!("{PREFIX}{ours}") };
    let published = published_name(&format!("{projection}{WEIGHT}"), renamed);
    let projection = published.strip_suffix(WEIGHT).unwrap_or(&published);
    format!("{PREFIX}{projection}{part}")
}

/// The name of every adapter's tensor in some files, in the order of the layout.
fn find(files: &WeightFiles, layout: &Layout) -> Result<Vec<String>, ModelError> {
    let mut differences = Differences::default();
    let mut found = Vec::new();
    for parameter in &layout.trained().parameters {
        let names = spellings(&parameter.name);
        match names.iter().find_map(|name| files.get(name)) {
            None => differences.missing.extend(names.into_iter().next()),
            Some(tensor) if tensor.shape() != parameter.shape => {
                let (name, shape) = (tensor.name(), tensor.shape());
                let message = format!("{name} is {shape:?}, not {:?}", parameter.shape);
                differences.misshapen.push(message);
                found.push(tensor.name().to_owned());
            }
            Some(tensor) => found.push(tensor.name().to_owned()),
        }
    }
    let used: BTreeSet<&String> = found.iter().collect();
    let names = files.tensors().iter().map(|tensor| tensor.name().to_owned());
    differences.surplus = names.filter(|name| !used.contains(name)).collect();
    match differences.error(files, "the adapters of the model") {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// The numbers of the adapters of a layout, from a folder that must be the one of the plan.
///
/// # Errors
/// When its files are others than those of the plan, its tensors are not those of the layout, or a number is not finite.
pub(crate) fn planned(
    folder: &Path,
    sha256: &str,
    layout: &Layout,
) -> Result<Vec<f32>, ModelError> {
    let found = hash_of(folder)?;
    if found != sha256 {
        let reason = format!("it has changed: its sha256 is {found}, the plan says {sha256}");
        return Err(ModelError::Published { path: folder.display().to_string(), reason });
    }
    let files = WeightFiles::open(folder.join(WEIGHTS))?;
    let names = find(&files, layout)?;
    let trained = layout.trained();
    let mut values = vec![0.0; trained.len()];
    for (parameter, name) in trained.parameters.iter().zip(&names) {
        let values = &mut values[trained.place(parameter)];
        files.read(name, values)?;
        if let Some(value) = not_finite_in(values) {
            let path = files.path().display().to_string();
            return Err(ModelError::NotFinite { path, name: name.clone(), value });
        }
    }
    Ok(values)
}

/// What the folder of adapters says about the model that they belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The adapters.
    pub plan: &'a LoraPlan,
    /// The family of the model.
    pub family: &'static Family,
    /// The folder of the model, where it is a published one.
    pub base: Option<&'a str>,
    /// The folder to write, which must not be there.
    pub to: &'a Path,
}

/// Writes the numbers of the adapters of a layout as PEFT does. Returns every file with its bytes.
///
/// # Errors
/// When the folder is there already or cannot be written, or a number is none in `dtype`.
pub(crate) fn save(
    layout: &Layout,
    values: &[f32],
    target: &Target<'_>,
    dtype: SaveDtype,
) -> Result<Vec<(String, u64)>, ModelError> {
    let to: PathBuf = target.to.components().collect();
    if to.symlink_metadata().is_ok() {
        return Err(ModelError::Exists { path: to.display().to_string() });
    }
    let name = |parameter: &Parameter| name_in_file(&parameter.name, target.family.renamed);
    let numbers: BTreeMap<String, &[f32]> =
        layout.trained().split(values).map(|(one, values)| (name(one), values)).collect();
    let parameters = layout.trained().parameters.iter();
    let tensors: Vec<NewTensor> = parameters
        .map(|one| NewTensor { name: name(one), shape: one.shape.clone(), dtype })
        .collect();
    let config = pretty(&config(&tensors, target));
    let failed = |source| ModelError::Io { path: to.display().to_string(), source };
    let fill = |tensor: &NewTensor, sink: &mut Sink<'_>| {
        Ok::<_, ModelError>(sink.put(numbers[&tensor.name])?)
    };
    let fill_folder = |partial: &Path| {
        r1x_files::folder::file(partial, CONFIG, &config).map_err(failed)?;
        let bytes = write_one(partial, WEIGHTS, &tensors, fill)?;
        Ok(vec![(CONFIG.to_owned(), config.len() as u64), (WEIGHTS.to_owned(), bytes)])
    };
    r1x_files::folder::write(&to, fill_folder, failed)
}

fn config(tensors: &[NewTensor], target: &Target<'_>) -> Map<String, Value> {
    let module = |tensor: &NewTensor| {
        let projection = PARTS.iter().find_map(|part| tensor.name.strip_suffix(part))?;
        projection.rsplit_once('.').map(|(_, name)| name.to_owned())
    };
    let modules: BTreeSet<String> = tensors.iter().filter_map(module).collect();
    let LoraPlan { rank, alpha, scaling, .. } = target.plan;
    let whole = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": target.base,
        "r": rank,
        "lora_alpha": alpha,
        "use_rslora": *scaling == LoraScaling::RootOfRank,
        "target_modules": modules,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "use_dora": false,
        "modules_to_save": null,
        "inference_mode": true,
    });
    match whole {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
