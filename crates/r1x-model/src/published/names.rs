//! Where a tensor of a model lies in published files: under which name, and in which rows of it.

use std::ops::Range;

use r1x_weights::WeightFiles;

use super::gguf::names::GgufNames;
use crate::layout::Parameter;

/// The name of an output head.
pub const HEAD: &str = "lm_head.weight";
/// The name of the embedding.
pub const EMBEDDING: &str = "model.embed_tokens.weight";

/// The tensors of a layer of multi-token prediction that repeat others: the embedding and the output head. They are written
/// as published models have them, and must be equal where they are read.
pub fn mtp_copies(layer: usize) -> [String; 2] {
    ["embed_tokens", "shared_head.head"].map(|name| format!("model.layers.{layer}.{name}.weight"))
}

/// What published files may hold beside the weights of a model: constants that are computed here.
const IGNORED: &str = ".rotary_emb.inv_freq";

/// A part of a name that a family writes otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Renaming {
    /// The part of this program's names.
    pub ours: &'static str,
    /// What stands there in published files.
    pub theirs: &'static str,
}

/// How the tensors of published files are called.
#[derive(Clone, Copy, Debug)]
pub enum Naming {
    /// As Hugging Face's library calls them, with what a family writes otherwise.
    Hub(&'static [Renaming]),
    /// As llama.cpp calls them.
    Gguf(GgufNames),
}

impl Naming {
    /// The name that the tensor should have.
    pub fn name(&self, ours: &str) -> String {
        match self {
            Self::Hub(renamed) => published_name(ours, renamed),
            Self::Gguf(names) => names.name(ours),
        }
    }

    /// Where a tensor is in some files, whatever its shape there; `None` where it is not.
    pub fn find(&self, files: &WeightFiles, parameter: &Parameter) -> Option<Place> {
        match self {
            Self::Hub(renamed) => find(files, parameter, renamed),
            Self::Gguf(names) => names.find(files, parameter),
        }
    }

    /// Whether a tensor that belongs to none of the model's may be in the files all the same: constants, a head that
    /// repeats the embedding, and layers behind the last, which are the next-token predictors of DeepSeek-V3.
    pub fn is_beside(&self, name: &str, layers: usize, is_tied: bool) -> bool {
        match self {
            Self::Hub(_) => {
                let is_head = is_tied && name == HEAD;
                name.ends_with(IGNORED) || is_head || is_behind(name, layers)
            }
            Self::Gguf(names) => names.is_constant(name),
        }
    }
}

/// The name that published files of a family give a tensor.
pub fn published_name(name: &str, renamed: &[Renaming]) -> String {
    let mut published = name.to_owned();
    for Renaming { ours, theirs } in renamed {
        published = published.replace(ours, theirs);
    }
    published
}

/// A place in weight files: a tensor, whole or some rows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the tensor there.
    pub name: String,
    /// The rows that are meant; `None` for all.
    pub rows: Option<Range<usize>>,
    /// The heads in each of which rows that turn together stand side by side, where they stand in halves here; `None`
    /// where rows stand as they do here.
    pub paired_heads: Option<usize>,
}

impl Place {
    /// A whole tensor, its rows as they stand here.
    pub fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), rows: None, paired_heads: None }
    }
}

fn find(files: &WeightFiles, parameter: &Parameter, renamed: &[Renaming]) -> Option<Place> {
    let whole = |name: &str| files.get(name).map(|_| Place::whole(name));
    let ours = &parameter.name;
    let published = published_name(ours, renamed);
    // Some exports leave the first word of all names out.
    let short = published.strip_prefix("model.").and_then(whole);
    whole(&published).or(short).or_else(|| whole(ours)).or_else(|| stacked(files, parameter))
}

/// Where an expert's tensor is in a tensor of all experts: `gate_up_proj` `[experts, 2 · inner, hidden]`, the rows of the
/// gate first, and `down_proj` `[experts, hidden, inner]`.
fn stacked(files: &WeightFiles, parameter: &Parameter) -> Option<Place> {
    let (layer, rest) = parameter.name.split_once(".mlp.experts.")?;
    let (expert, projection) = rest.split_once('.')?;
    let (expert, rows): (usize, usize) = (expert.parse().ok()?, *parameter.shape.first()?);
    let (tensor, each, first) = match projection {
        "gate_proj.weight" => ("gate_up_proj", 2 * rows, 0),
        "up_proj.weight" => ("gate_up_proj", 2 * rows, rows),
        "down_proj.weight" => ("down_proj", rows, 0),
        _ => return None,
    };
    let name = format!("{layer}.mlp.experts.{tensor}");
    files.get(&name)?;
    let start = expert * each + first;
    Some(Place { rows: Some(start..start + rows), ..Place::whole(name) })
}

/// Whether a name is of a layer behind the last.
fn is_behind(name: &str, layers: usize) -> bool {
    let rest = name.strip_prefix("model.").unwrap_or(name).strip_prefix("layers.");
    let number = rest.and_then(|rest| rest.split('.').next()).and_then(|n| n.parse::<usize>().ok());
    number.is_some_and(|number| number >= layers)
}
