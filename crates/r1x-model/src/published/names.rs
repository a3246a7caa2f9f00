//! Where a tensor of a model lies in published files: under which name, and in which rows of it.

use std::ops::Range;

use r1x_weights::WeightFiles;

use crate::layout::Parameter;

/// A part of a name that a family writes otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Renaming {
    /// The part of this program's names.
    pub ours: &'static str,
    /// What stands there in published files.
    pub theirs: &'static str,
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
}

/// Where a tensor is in some files, whatever its shape there; `None` where it is not.
pub fn find(files: &WeightFiles, parameter: &Parameter, renamed: &[Renaming]) -> Option<Place> {
    let whole = |name: &str| files.get(name).map(|_| Place { name: name.to_owned(), rows: None });
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
    Some(Place { name, rows: Some(start..start + rows) })
}
