//! Written files: their bytes beside the reference implementation's, shards, and what is refused.

use std::borrow::Cow;
use std::collections::HashMap;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, View};

use super::numbers;
use crate::{
    Format, INDEX, MODEL, NewTensor, SHARD_BYTES, SaveDtype, Sink, WeightFiles, WeightsError, save,
};

fn tensor(name: &str, shape: &[usize], dtype: SaveDtype) -> NewTensor {
    NewTensor { name: name.to_owned(), shape: shape.to_vec(), dtype }
}

fn some() -> Vec<NewTensor> {
    vec![
        tensor("z", &[2, 3], SaveDtype::F32),
        tensor("model.embed \"é\"", &[4], SaveDtype::BF16),
        tensor("m", &[], SaveDtype::F16),
        tensor("a", &[0, 5], SaveDtype::BF16),
        tensor("b", &[3], SaveDtype::F32),
    ]
}

/// Numbers of a tensor, told from those of others.
fn values(tensor: &NewTensor) -> Vec<f32> {
    let count: usize = tensor.shape.iter().product();
    (0..count).map(|at| at as f32 - tensor.name.len() as f32 / 2.0).collect()
}

fn fill(tensor: &NewTensor, sink: &mut Sink<'_>) -> Result<(), WeightsError> {
    // In two calls.
    let values = values(tensor);
    let (first, second) = values.split_at(values.len() / 2);
    sink.put(first)?;
    sink.put(second)
}

struct Bytes(Dtype, Vec<usize>, Vec<u8>);

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.0
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.2)
    }
    fn data_len(&self) -> usize {
        self.2.len()
    }
}

fn reference(tensor: &NewTensor) -> (String, Bytes) {
    let values = values(tensor);
    let (dtype, bytes) = match tensor.dtype {
        SaveDtype::F32 => (Dtype::F32, super::f32s(&values)),
        SaveDtype::BF16 => (
            Dtype::BF16,
            values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        ),
        SaveDtype::F16 => (
            Dtype::F16,
            values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        ),
    };
    (tensor.name.clone(), Bytes(dtype, tensor.shape.clone(), bytes))
}

#[test]
fn a_file_is_what_the_reference_writes_byte_for_byte() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("saved");
    let written = save(&folder, &some(), SHARD_BYTES, fill).unwrap();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let expected = safetensors::serialize(some().iter().map(reference), Some(metadata)).unwrap();
    let found = std::fs::read(folder.join(MODEL)).unwrap();
    assert_eq!(found, expected);
    assert_eq!(written.files, [(MODEL.to_owned(), expected.len() as u64)]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    // What is written again from what is read is the same file.
    let files = WeightFiles::open(&folder).unwrap();
    let again = above.path().join("again");
    let copy = |tensor: &NewTensor, sink: &mut Sink<'_>| sink.put(&numbers(&files, &tensor.name));
    save(&again, &some(), SHARD_BYTES, copy).unwrap();
    assert_eq!(std::fs::read(again.join(MODEL)).unwrap(), expected);
    // And so it is in another order of the caller.
    let mut turned = some();
    turned.reverse();
    save(&again, &turned, SHARD_BYTES, fill).unwrap();
    assert_eq!(std::fs::read(again.join(MODEL)).unwrap(), expected);
}

#[test]
fn shards_are_filled_in_the_order_given_and_indexed() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("saved");
    // 24 bytes, 8, 2, 0 and 12: the first is more than a shard has.
    let written = save(&folder, &some(), 20, fill).unwrap();
    let names: Vec<&str> = written.files.iter().map(|(name, _)| name.as_str()).collect();
    let (first, second, third) = (
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
    );
    assert_eq!(names, [first, second, third, INDEX]);
    let index = std::fs::read_to_string(folder.join(INDEX)).unwrap();
    let expected = format!(
        r#"{{
  "metadata": {{
    "total_size": 46
  }},
  "weight_map": {{
    "a": "{second}",
    "b": "{third}",
    "m": "{second}",
    "model.embed \"é\"": "{second}",
    "z": "{first}"
  }}
}}
"#
    );
    assert_eq!(index, expected);
    for (name, bytes) in &written.files {
        assert_eq!(std::fs::metadata(folder.join(name)).unwrap().len(), *bytes, "{name}");
    }
    let bytes = std::fs::read(folder.join(second)).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.len(), 3);
    let files = WeightFiles::open(&folder).unwrap();
    assert_eq!((files.format(), files.tensors().len()), (Format::Shards, 5));
    for tensor in some() {
        assert_eq!(numbers(&files, &tensor.name), values(&tensor), "{}", tensor.name);
    }
}

#[test]
fn halves_of_the_caller_are_written_as_they_are() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("saved");
    let halves: Vec<bf16> = [0x7fc1, 0x3f80, 0x0001].map(bf16::from_bits).to_vec();
    let tensors = [tensor("a", &[3], SaveDtype::BF16), tensor("b", &[3], SaveDtype::F32)];
    save(&folder, &tensors, SHARD_BYTES, |_, sink| sink.put_bf16(&halves)).unwrap();
    let files = WeightFiles::open(&folder).unwrap();
    let mut read = [bf16::ZERO; 3];
    files.read_bf16("a", &mut read).unwrap();
    assert_eq!(read.map(bf16::to_bits), [0x7fc1, 0x3f80, 0x0001]);
    assert_eq!(numbers(&files, "b")[1..], [1.0, f32::from_bits(0x0001_0000)]);
}

#[test]
fn a_tensor_that_cannot_be_written_leaves_what_was_there() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("saved");
    save(&folder, &some(), SHARD_BYTES, fill).unwrap();
    let before = std::fs::read(folder.join(MODEL)).unwrap();
    let said = |tensors: &[NewTensor], values: &[f32]| {
        let error = save(&folder, tensors, SHARD_BYTES, |_, sink| sink.put(values)).unwrap_err();
        assert_eq!(std::fs::read(folder.join(MODEL)).unwrap(), before);
        assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), 1);
        error.to_string().split_once(": ").unwrap().1.to_owned()
    };
    let one = |dtype| tensor("a", &[2], dtype);
    assert_eq!(said(&[one(SaveDtype::F32)], &[1.0]), "`a` gets fewer numbers than it has");
    assert_eq!(said(&[one(SaveDtype::F32)], &[1.0; 3]), "`a` gets more numbers than it has");
    assert_eq!(
        said(&[one(SaveDtype::F16)], &[1.0, 65520.0]),
        "`a` holds 6.552e4, which is too large for F16"
    );
    let twice = [one(SaveDtype::F32), one(SaveDtype::F32)];
    assert_eq!(said(&twice, &[1.0; 2]), "`a` is to be written twice");
    let none = tensor("__metadata__", &[2], SaveDtype::F32);
    assert_eq!(said(&[none], &[1.0; 2]), "`__metadata__` is no name that a tensor can have");
    let long = tensor("a", &[usize::MAX, 2], SaveDtype::F32);
    assert_eq!(said(&[long], &[1.0; 2]), "`a` has more bytes than can be counted");
}

#[test]
fn infinities_and_what_is_no_number_are_kept_in_every_type() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("saved");
    let dtypes = [SaveDtype::F16, SaveDtype::BF16, SaveDtype::F32];
    let tensors = dtypes.map(|dtype| tensor(dtype.name(), &[3], dtype));
    let odd = [f32::NAN, f32::NEG_INFINITY, -0.0];
    save(&folder, &tensors, SHARD_BYTES, |_, sink| sink.put(&odd)).unwrap();
    let files = WeightFiles::open(&folder).unwrap();
    for tensor in &tensors {
        let read = numbers(&files, &tensor.name);
        assert!(read[0].is_nan() && read[1] == f32::NEG_INFINITY, "{read:?}");
        assert_eq!(read[2].to_bits(), (-0.0_f32).to_bits());
    }
}
