//! Writes a model as hubs publish it: `config.json` in the keys of a family, weights as safetensors, and the files of its
//! tokenizer, in one folder that appears whole or not at all.
//!
//! A family says a model where its keys, read again, are the plan. So whatever is written is what will be read, and what
//! cannot be said is named before anything is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use r1x_core::plan::{FeedForwardPlan, HeadPlan, InitialWeights, ModelPlan, MtpPlan};
use r1x_weights::{NewTensor, SHARD_BYTES, SaveDtype, Sink};
use serde_json::{Map, Value, json};

use super::family::{FAMILIES, Family};
use super::names::{EMBEDDING, HEAD, mtp_copies};
use super::texts::{GENERATION, Texts, pretty};
use super::{CONFIG, Published, class};
use crate::checkpoint::Numbers;
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::not_finite_in;

/// Differences that a message shows at most.
const MOST_SHOWN: usize = 4;
/// Longest value in a message, characters.
const LONGEST_SHOWN: usize = 60;

/// A published folder that was written.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The family whose keys say the model.
    pub family: &'static Family,
    /// The name of the class of the model in transformers.
    pub class: String,
    /// Every file with its bytes, in the order in which they were written.
    pub files: Vec<(String, u64)>,
}

/// Writes a published model again, as a folder of safetensors that was not there. One tensor at a time is in memory.
///
/// Every tensor is written in `dtype`; without one it keeps its type where that is F32, F16 or BF16, and is written in F32
/// where it is another, so that no number changes.
///
/// # Errors
/// When the model cannot be read, a number of it is not finite or none in `dtype`, or the folder is there already or
/// cannot be written.
pub fn import(from: &Published, to: &Path, dtype: Option<SaveDtype>) -> Result<Saved, ModelError> {
    let texts = from.texts()?;
    // Nothing that is written depends on the tokenizer or the precision of the plan.
    let plan = from.stored_plan()?;
    let layout = Layout::new(&plan);
    let tensors = from.tensors(&layout)?;
    let stored = |index: usize| {
        let (_, place) = &tensors.all()[index];
        let found = tensors.files().get(&place.name).map(|tensor| tensor.dtype().name());
        match found {
            Some("BF16") => SaveDtype::BF16,
            Some("F16") => SaveDtype::F16,
            _ => SaveDtype::F32,
        }
    };
    let parameters: Vec<&Parameter> = tensors.all().iter().map(|(one, _)| one).collect();
    let target = Target { plan: &plan, family: from.family, texts: &texts, to };
    target.write(
        &layout,
        &parameters,
        |index| dtype.unwrap_or_else(|| stored(index)),
        |index| {
            let mut values = vec![0.0; parameters[index].len()];
            tensors.read(index, &mut values)?;
            match not_finite_in(&values) {
                Some(value) => Err(tensors.not_finite(&parameters[index].name, value)),
                None => Ok(values),
            }
        },
    )
}

/// Writes numbers in layout order as a published model.
pub(crate) fn export(
    layout: &Layout,
    numbers: &Numbers,
    target: &Target<'_>,
    dtype: SaveDtype,
) -> Result<Saved, ModelError> {
    let biases: Vec<Parameter> = layout.biases.iter().map(super::load::bias).collect();
    let parameters: Vec<&Parameter> = layout.base.parameters.iter().chain(&biases).collect();
    target.write(
        layout,
        &parameters,
        |_| dtype,
        |index| {
            let count = layout.base.parameters.len();
            Ok(match parameters.get(index).filter(|_| index < count) {
                Some(one) => numbers.values[one.offset..one.offset + one.len()].to_vec(),
                None => numbers.biases[index - count].clone(),
            })
        },
    )
}

/// What is written and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The model.
    pub plan: &'a ModelPlan,
    /// The family whose keys say it.
    pub family: &'static Family,
    /// The files about its texts.
    pub texts: &'a Texts,
    /// The folder.
    pub to: &'a Path,
}

impl Target<'_> {
    fn write(
        &self,
        layout: &Layout,
        parameters: &[&Parameter],
        dtype: impl Fn(usize) -> SaveDtype,
        mut numbers: impl FnMut(usize) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Saved, ModelError> {
        // A separator at the end would put what is being written into the folder itself.
        let to: PathBuf = self.to.components().collect();
        if to.symlink_metadata().is_ok() {
            return Err(ModelError::Exists { path: to.display().to_string() });
        }
        let (count, naming) =
            (layout.base.parameters.len(), super::Naming::Hub(self.family.renamed));
        let tensors: Vec<NewTensor> = parameters
            .iter()
            .enumerate()
            .map(|(index, parameter)| NewTensor {
                name: naming.name(&parameter.name),
                shape: parameter.shape.clone(),
                // What steers the choice of experts is kept exact by everybody.
                dtype: if index < count { dtype(index) } else { SaveDtype::F32 },
            })
            .collect();
        let places: BTreeMap<String, usize> =
            tensors.iter().enumerate().map(|(at, tensor)| (tensor.name.clone(), at)).collect();
        let (tensors, places) = with_copies(layout, tensors, places);
        let word = tensors.first().map_or("float32", |tensor| torch_word(tensor.dtype));
        let config = self.config(word)?;
        let fill = |tensor: &NewTensor, sink: &mut Sink<'_>| {
            let numbers = numbers(places[&tensor.name])?;
            Ok::<_, ModelError>(sink.put(&numbers)?)
        };
        let failed = |source| ModelError::Io { path: to.display().to_string(), source };
        let fill_folder = |partial: &Path| {
            let mut files = vec![self.put(partial, CONFIG, &pretty(&config))?];
            if self.texts.file(GENERATION).is_none() {
                files.push(self.put(partial, GENERATION, &pretty(&self.texts.ids.keys()))?);
            }
            for (name, bytes) in &self.texts.files {
                files.push(self.put(partial, name, bytes)?);
            }
            files.extend(r1x_weights::write(partial, &tensors, SHARD_BYTES, fill)?.files);
            Ok(files)
        };
        let files = r1x_files::folder::write(&to, fill_folder, failed)?;
        Ok(Saved { family: self.family, class: class(self.family, self.plan.head), files })
    }

    fn put(&self, folder: &Path, name: &str, bytes: &[u8]) -> Result<(String, u64), ModelError> {
        r1x_files::folder::file(folder, name, bytes).map_err(|source| ModelError::Io {
            path: folder.join(name).display().to_string(),
            source,
        })?;
        Ok((name.to_owned(), bytes.len() as u64))
    }

    /// The `config.json` of a model whose numbers are of a type.
    fn config(&self, torch_dtype: &str) -> Result<Map<String, Value>, ModelError> {
        let unsaid = unsaid(self.plan, self.family);
        if !unsaid.is_empty() {
            return Err(unpublishable(self.family, &unsaid));
        }
        let mut config = config(self.plan, self.family);
        // Where nothing is said, a reader would take what is usual in the family.
        for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            config.insert(key.to_owned(), Value::Null);
        }
        config.extend(self.texts.ids.keys());
        config.insert("torch_dtype".to_owned(), json!(torch_dtype));
        Ok(config)
    }
}

/// Tensors with those that repeat them in modules of multi-token prediction, and of each of all where its numbers are.
fn with_copies(
    layout: &Layout,
    mut tensors: Vec<NewTensor>,
    mut places: BTreeMap<String, usize>,
) -> (Vec<NewTensor>, BTreeMap<String, usize>) {
    let first = layout.layers.len();
    for layer in first..first + layout.mtp.len() {
        let embedding = places.get(EMBEDDING).copied();
        let head = places.get(HEAD).copied().or(embedding);
        for (name, original) in mtp_copies(layer).into_iter().zip([embedding, head]) {
            let Some(original) = original else { continue };
            let NewTensor { shape, dtype, .. } = tensors[original].clone();
            tensors.push(NewTensor { name: name.clone(), shape, dtype });
            places.insert(name, original);
        }
    }
    (tensors, places)
}

fn torch_word(dtype: SaveDtype) -> &'static str {
    match dtype {
        SaveDtype::F32 => "float32",
        SaveDtype::F16 => "float16",
        SaveDtype::BF16 => "bfloat16",
    }
}

/// The first family that can say a plan.
///
/// # Errors
/// When none can; what the nearest one cannot say is named.
pub fn family_of(plan: &ModelPlan) -> Result<&'static Family, ModelError> {
    let mut nearest: Option<(&'static Family, Vec<String>)> = None;
    for family in FAMILIES {
        let unsaid = unsaid(plan, family);
        if unsaid.is_empty() {
            return Ok(family);
        }
        if nearest.as_ref().is_none_or(|(_, least)| unsaid.len() < least.len()) {
            nearest = Some((family, unsaid));
        }
    }
    let (family, unsaid) = nearest.unwrap_or((&FAMILIES[0], Vec::new()));
    Err(unpublishable(family, &unsaid))
}

fn unpublishable(family: &Family, unsaid: &[String]) -> ModelError {
    let shown = &unsaid[..unsaid.len().min(MOST_SHOWN)];
    let more = match unsaid.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let family = family.model_type.to_owned();
    ModelError::Unpublishable { family, reason: format!("{}{more}", shown.join("; ")) }
}

/// The keys that say a plan in a family, as far as it can.
fn config(plan: &ModelPlan, family: &Family) -> Map<String, Value> {
    let front = json!({
        "architectures": [class(family, plan.head)],
        "model_type": family.model_type,
        "hidden_act": "silu",
        "hidden_size": plan.hidden_size,
        "num_hidden_layers": plan.layers,
        "max_position_embeddings": plan.context_length,
        "vocab_size": plan.vocabulary_size,
        "tie_word_embeddings": plan.tie_embeddings,
        "initializer_range": plan.init_std,
        "attention_dropout": 0.0,
        "use_cache": true,
    });
    let Value::Object(mut config) = front else { return Map::new() };
    config.extend((family.config)(plan));
    if plan.head == HeadPlan::Value {
        config.insert("id2label".to_owned(), json!({"0": "LABEL_0"}));
        config.insert("label2id".to_owned(), json!({"LABEL_0": 0}));
        config.insert("problem_type".to_owned(), json!("regression"));
    }
    config
}

/// What a family cannot say of a plan: nothing, where its keys are read as the plan.
fn unsaid(plan: &ModelPlan, family: &Family) -> Vec<String> {
    let read = match Published::of_config(Path::new(""), &config(plan, family)) {
        Ok(read) => read,
        Err(problems) => return problems,
    };
    let depth = read.mtp_layers;
    let read = ModelPlan {
        recompute_activations: plan.recompute_activations,
        mtp: (depth > 0).then_some(MtpPlan { depth, weight: 0.0 }),
        ..read.plan(plan.tokenizer.clone(), plan.precision)
    };
    let values = [plan, &read].map(|plan| serde_json::to_value(published_part(plan)));
    let mut found = Vec::new();
    match values {
        [Ok(plan), Ok(read)] => differences("", &plan, &read, &mut found),
        _ => found.push("the plan holds a number that is none in JSON".to_owned()),
    }
    found
}

/// A plan without what only training asks for and where its first weights came from, and with one way to say that all
/// layers are dense.
fn published_part(plan: &ModelPlan) -> ModelPlan {
    let mut plan = ModelPlan { initial: InitialWeights::Random, lora: None, ..plan.clone() };
    plan.mtp = plan.mtp.map(|mtp| MtpPlan { weight: 0.0, ..mtp });
    if let FeedForwardPlan::Moe(moe) = &mut plan.feed_forward {
        (moe.bias_update_speed, moe.balance_loss) = (0.0, 0.0);
        moe.dense_layers.retain(|layer| *layer < plan.layers);
        if moe.dense_layers.is_empty() {
            moe.dense_intermediate_size = 0;
        }
        // Modules of multi-token prediction have experts wherever a family has keys for experts.
        if moe.dense_layers.len() == plan.layers && plan.mtp.is_none() {
            plan.feed_forward = FeedForwardPlan::swiglu(moe.dense_intermediate_size);
        }
    }
    plan
}

/// Names each value of a plan that is read as another one.
fn differences(path: &str, plan: &Value, read: &Value, found: &mut Vec<String>) {
    if plan == read {
        return;
    }
    let both = (plan.as_object(), read.as_object());
    if let (Some(plan), Some(read)) = both
        && plan.keys().eq(read.keys())
    {
        for (key, value) in plan {
            let dot = if path.is_empty() { "" } else { "." };
            differences(&format!("{path}{dot}{key}"), value, &read[key], found);
        }
        return;
    }
    let [plan, read] = [plan, read].map(|value| {
        let text = value.to_string();
        let cut: String = text.chars().take(LONGEST_SHOWN).collect();
        if cut.len() < text.len() { format!("{cut}…") } else { cut }
    });
    found.push(format!("`{path}` is {plan}, and would be read as {read}"));
}
