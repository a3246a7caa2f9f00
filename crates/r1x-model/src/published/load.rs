//! From published weight files into the places of a layout, one tensor at a time.
//!
//! The numbers of a model take their own memory and no more: a tensor is read straight into its place. Everything that
//! does not fit is found before the first number is read, and said at once.

use std::collections::BTreeSet;

use r1x_weights::WeightFiles;

use super::names::{Place, Renaming, find, published_name};
use crate::checkpoint::Numbers;
use crate::error::ModelError;
use crate::layout::{Layout, Parameter};
use crate::update::first_not_finite;

/// Names of one kind that a message shows at most.
const MOST_SHOWN: usize = 6;
/// What published files may hold beside the weights of a model: constants that are computed here.
const IGNORED: &str = ".rotary_emb.inv_freq";
/// The name of an output head.
const HEAD: &str = "lm_head.weight";
/// The name of the embedding.
const EMBEDDING: &str = "model.embed_tokens.weight";

/// What a model has and the files lack, and the other way round.
#[derive(Debug, Default)]
struct Differences {
    missing: Vec<String>,
    misshapen: Vec<String>,
    surplus: Vec<String>,
}

impl Differences {
    fn error(&self, files: &WeightFiles) -> Option<ModelError> {
        let kinds = [
            ("missing", &self.missing),
            ("misshapen", &self.misshapen),
            ("surplus", &self.surplus),
        ];
        let said = kinds.into_iter().filter(|(_, names)| !names.is_empty()).map(|(kind, names)| {
            let shown = &names[..names.len().min(MOST_SHOWN)];
            let more = match names.len() - shown.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{} {kind}: {}{more}", names.len(), shown.join(", "))
        });
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| ModelError::Published {
            path: files.path().display().to_string(),
            reason: format!("its tensors are not those of its configuration: {}", said.join("; ")),
        })
    }
}

/// Reads every number of a model.
pub fn numbers(
    files: &WeightFiles,
    layout: &Layout,
    renamed: &[Renaming],
) -> Result<Numbers, ModelError> {
    let biases: Vec<Parameter> = layout.biases.iter().map(bias).collect();
    let mut differences = Differences::default();
    let mut used = BTreeSet::new();
    let mut place = |parameter: &Parameter| {
        let place = find(files, parameter, renamed);
        match &place {
            None => differences.missing.push(published_name(&parameter.name, renamed)),
            Some(place) => {
                used.insert(place.name.clone());
                differences.misshapen.extend(misfit(files, parameter, place));
            }
        }
        place
    };
    let places: Vec<Option<Place>> = layout.parameters.iter().map(&mut place).collect();
    let of_biases: Vec<Option<Place>> = biases.iter().map(&mut place).collect();
    let is_tied = !layout.parameters.iter().any(|parameter| parameter.name == HEAD);
    for tensor in files.tensors() {
        let name = tensor.name();
        let is_head = is_tied && name == HEAD;
        let is_known = used.contains(name) || name.ends_with(IGNORED) || is_head;
        if !is_known && !is_behind(name, layout.layers.len()) {
            differences.surplus.push(name.to_owned());
        }
    }
    if let Some(error) = differences.error(files) {
        return Err(error);
    }
    let mut values = vec![0.0; layout.len];
    for (parameter, place) in layout.parameters.iter().zip(places.iter().flatten()) {
        read(files, place, &mut values[parameter.offset..parameter.offset + parameter.len()])?;
    }
    let mut bias_values: Vec<Vec<f32>> = biases.iter().map(|bias| vec![0.0; bias.len()]).collect();
    for (place, values) in of_biases.iter().flatten().zip(&mut bias_values) {
        read(files, place, values)?;
    }
    if is_tied {
        check_tied(files, layout, &values)?;
    }
    if let Some((name, value)) = first_not_finite(layout, &values, &bias_values) {
        let path = files.path().display().to_string();
        return Err(ModelError::NotFinite { path, name: name.to_owned(), value });
    }
    Ok(Numbers { values, biases: bias_values })
}

fn bias((name, experts): &(String, usize)) -> Parameter {
    let initial = r1x_core::parameters::Initial::Zeros;
    Parameter { name: name.clone(), shape: vec![*experts], offset: 0, initial }
}

/// How a tensor in the files differs from a parameter; `None` where it fits.
fn misfit(files: &WeightFiles, parameter: &Parameter, place: &Place) -> Option<String> {
    let found = files.get(&place.name)?;
    let fits = match &place.rows {
        None => found.shape() == parameter.shape,
        // Where experts are stacked, the last of them must be there, and rows must be as wide.
        Some(rows) => {
            found.shape().len() == 3
                && rows.end <= found.rows()
                && parameter.shape.last() == found.shape().last()
        }
    };
    let (name, shape) = (&place.name, found.shape());
    (!fits).then(|| format!("{name} is {shape:?}, not {:?}", parameter.shape))
}

/// Whether a name is of a layer behind the last: the next-token predictors of DeepSeek-V3, which are no part of the
/// model itself.
fn is_behind(name: &str, layers: usize) -> bool {
    let rest = name.strip_prefix("model.").unwrap_or(name).strip_prefix("layers.");
    let number = rest.and_then(|rest| rest.split('.').next()).and_then(|n| n.parse::<usize>().ok());
    number.is_some_and(|number| number >= layers)
}

fn read(files: &WeightFiles, place: &Place, to: &mut [f32]) -> Result<(), ModelError> {
    match &place.rows {
        None => files.read(&place.name, to)?,
        Some(rows) => files.read_rows(&place.name, rows.clone(), to)?,
    }
    Ok(())
}

/// An output head beside an embedding that serves as head must be equal to it: whoever wrote another one meant it.
fn check_tied(files: &WeightFiles, layout: &Layout, values: &[f32]) -> Result<(), ModelError> {
    let embedding = layout.embedding;
    let Some(head) = files.get(HEAD).filter(|head| head.elements() == embedding.len()) else {
        return Ok(());
    };
    let mut rows = vec![0.0; head.columns()];
    for row in 0..head.rows() {
        files.read_rows(HEAD, row..row + 1, &mut rows)?;
        let start = embedding.offset + row * head.columns();
        if rows[..] != values[start..start + head.columns()] {
            let reason = format!(
                "`tie_word_embeddings` is true, but {HEAD} and {EMBEDDING} differ in row {row}"
            );
            let path = files.path().display().to_string();
            return Err(ModelError::Published { path, reason });
        }
    }
    Ok(())
}
