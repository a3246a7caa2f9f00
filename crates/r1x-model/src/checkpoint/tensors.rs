//! The numbers of a model on their way to safetensors files and from there: every tensor by the name its layout gives.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::MOST_FROZEN;
use crate::layout::{Layout, Parameter, Region};

/// Most bytes of the names and places of tensors before their numbers.
pub(super) const HEADER_BYTES: u64 = 64 << 20;

/// Numbers that are written at a time.
const PIECE: usize = 1 << 16;

/// A tensor to be written.
pub(super) struct Tensor<'a> {
    shape: Vec<usize>,
    numbers: From<'a>,
}

/// Where the numbers of a tensor are.
enum From<'a> {
    /// Here.
    Slice(&'a [f32]),
    /// In weights, which may keep them otherwise.
    Weights(&'a dyn Values, &'a Parameter),
}

impl Tensor<'_> {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * 4
    }

    /// Hands the bytes on, some at a time.
    fn write(&self, piece: &mut Vec<u8>, to: &mut dyn Write) -> io::Result<()> {
        let numbers = match self.numbers {
            From::Slice(values) => Cow::Borrowed(values),
            From::Weights(weights, parameter) => weights.of(parameter),
        };
        for values in numbers.chunks(PIECE) {
            piece.clear();
            values.iter().for_each(|value| piece.extend_from_slice(&value.to_le_bytes()));
            to.write_all(piece)?;
        }
        Ok(())
    }
}

/// Tensors to be written, with their names.
pub(super) type Named<'a> = Vec<(String, Tensor<'a>)>;

/// The numbers of a model on the host: those of a region of its layout, in layout order, and selection biases by layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers {
    /// Where the region begins.
    pub(crate) start: usize,
    pub(crate) values: Vec<f32>,
    pub(crate) biases: Vec<Vec<f32>>,
}

impl Numbers {
    /// All zero, for a region of a layout.
    pub(crate) fn zeros(layout: &Layout, region: &Region) -> Self {
        let biases = layout.biases.iter().map(|(_, experts)| vec![0.0; *experts]);
        let values = vec![0.0; region.len()];
        Self { start: region.range.start, values, biases: biases.collect() }
    }

    /// Moves every number towards another one of the same place by a share of the way, rounded once.
    pub(crate) fn follow(&mut self, (values, biases): (&[f32], &[Vec<f32>]), share: f64) {
        let toward = |(own, other): (&mut f32, &f32)| {
            *own = (f64::from(*own) * (1.0 - share) + f64::from(*other) * share) as f32;
        };
        self.values.iter_mut().zip(values).for_each(toward);
        let layers = self.biases.iter_mut().zip(biases);
        layers.for_each(|(own, other)| own.iter_mut().zip(other).for_each(toward));
    }
}

/// What takes the numbers of a model while they are read.
pub(crate) trait Sink {
    /// Takes whole rows of a parameter, or numbers of a vector, from the one of number `first` on.
    fn take(&mut self, parameter: &Parameter, first: usize, values: &[f32]);
    /// Takes the selection biases of a layer with experts.
    fn take_biases(&mut self, index: usize, values: &[f32]);
}

impl Sink for Numbers {
    fn take(&mut self, parameter: &Parameter, first: usize, values: &[f32]) {
        let from = parameter.offset - self.start + first * parameter.columns();
        self.values[from..from + values.len()].copy_from_slice(values);
    }

    fn take_biases(&mut self, index: usize, values: &[f32]) {
        self.biases[index].copy_from_slice(values);
    }
}

/// The numbers of a model, wherever they are.
pub(crate) trait Values {
    /// The numbers of a parameter.
    fn of(&self, parameter: &Parameter) -> Cow<'_, [f32]>;
    /// Selection biases by layer.
    fn biases(&self) -> &[Vec<f32>];
}

impl Values for Numbers {
    fn of(&self, parameter: &Parameter) -> Cow<'_, [f32]> {
        Cow::Borrowed(&self.values[parameter.offset - self.start..][..parameter.len()])
    }

    fn biases(&self) -> &[Vec<f32>] {
        &self.biases
    }
}

/// Numbers of what is trained as tensors, whose names begin with a prefix.
pub(super) fn parameters<'a>(layout: &Layout, values: &'a [f32], prefix: &str) -> Named<'a> {
    let trained = layout.trained();
    let tensor = |p: &Parameter| Tensor {
        shape: p.shape.clone(),
        numbers: From::Slice(&values[trained.place(p)]),
    };
    trained.parameters.iter().map(|p| (format!("{prefix}{}", p.name), tensor(p))).collect()
}

/// What is trained of some weights, with their selection biases, as tensors, whose names begin with a prefix.
pub(super) fn weights<'a>(layout: &'a Layout, weights: &'a dyn Values, prefix: &str) -> Named<'a> {
    let tensor =
        |p: &'a Parameter| Tensor { shape: p.shape.clone(), numbers: From::Weights(weights, p) };
    let parameters = layout.trained().parameters.iter();
    let mut named: Named<'a> =
        parameters.map(|p| (format!("{prefix}{}", p.name), tensor(p))).collect();
    for ((name, experts), values) in layout.biases.iter().zip(weights.biases()) {
        let numbers = From::Slice(values);
        named.push((format!("{prefix}{name}"), Tensor { shape: vec![*experts], numbers }));
    }
    named
}

/// Writes the bytes of a safetensors file one piece after the other, so that no more than a tensor is held beside the
/// numbers themselves.
pub(super) fn write(mut named: Named<'_>, to: &mut dyn Write) -> io::Result<()> {
    named.sort_by(|one, other| one.0.cmp(&other.0));
    let mut end = 0;
    let info = |(name, tensor): &(String, Tensor<'_>)| {
        let start = end;
        end += tensor.bytes();
        let shape = tensor.shape.clone();
        (name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) })
    };
    let infos = named.iter().map(info).collect();
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    // Numbers begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    to.write_all(&(header.len() as u64).to_le_bytes())?;
    to.write_all(&header)?;
    let mut piece = Vec::new();
    named.iter().try_for_each(|(_, tensor)| tensor.write(&mut piece, to))
}

/// Most bytes of a file that holds every number of a model as often as moments and frozen copies may.
pub(super) fn most_bytes(layout: &Layout) -> u64 {
    let biases: usize = layout.biases.iter().map(|(_, experts)| *experts).sum();
    ((layout.trained().len() + biases) as u64)
        .saturating_mul(4 * (2 + MOST_FROZEN as u64))
        .saturating_add(HEADER_BYTES)
}

#[cfg(test)]
mod tests {
    use r1x_core::testing;

    use super::*;

    struct Whole<'a>(&'a Tensor<'a>);

    impl safetensors::View for Whole<'_> {
        fn dtype(&self) -> Dtype {
            Dtype::F32
        }
        fn shape(&self) -> &[usize] {
            &self.0.shape
        }
        fn data(&self) -> Cow<'_, [u8]> {
            let mut bytes = Vec::new();
            self.0.write(&mut Vec::new(), &mut bytes).unwrap();
            bytes.into()
        }
        fn data_len(&self) -> usize {
            self.0.bytes()
        }
    }

    #[test]
    fn what_is_written_in_pieces_is_what_the_library_writes_at_once() {
        let layout = Layout::new(&testing::tiny_model());
        let mut numbers = Numbers::zeros(&layout, layout.trained());
        numbers.values.iter_mut().enumerate().for_each(|(at, value)| *value = at as f32 * 0.37);
        let mut named = weights(&layout, &numbers, "");
        named.extend(parameters(&layout, &numbers.values, "first."));
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let views = named.iter().map(|(name, tensor)| (name.clone(), Whole(tensor)));
        let expected = safetensors::serialize(views, Some(metadata)).unwrap();
        let mut found = Vec::new();
        write(named, &mut found).unwrap();
        assert!(found == expected, "{} and {} bytes", found.len(), expected.len());
        assert!(found.len() > 4 * numbers.values.len() * 2);
    }
}
