//! Any bytes are read or refused: no panic, and no memory by what a header says.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Gguf, f32s, folder_with, list, tensors_file, text};
use crate::{TensorInfo, WeightFiles};

/// Opens a file of these bytes and reads all there is. What can be read is bounded by the file.
fn read_all(name: &str, bytes: &[u8]) {
    let (_folder, path) = folder_with(name, bytes);
    let Ok(files) = WeightFiles::open(&path) else { return };
    for tensor in files.tensors() {
        let stored = tensor.elements() as u64;
        assert!(stored <= 4 * bytes.len() as u64, "{} of {} bytes", stored, bytes.len());
        let mut out = vec![0.0; tensor.elements()];
        let whole = files.read(tensor.name(), &mut out).is_ok();
        let rows = tensor.rows();
        let mut rest = vec![0.0; rows.saturating_sub(1) * tensor.columns()];
        let part = files.read_rows(tensor.name(), rows.min(1)..rows, &mut rest);
        assert_eq!(part.is_ok(), whole, "{}", tensor.name());
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert!(out[out.len() - rest.len()..].iter().zip(&rest).all(same));
    }
}

fn gguf() -> Vec<u8> {
    Gguf::new()
        .value("general.architecture", 8, &text("llama"))
        .value("tokens", 9, &list(8, &[text("a"), text("b")]))
        .value("kinds", 9, &list(5, &[vec![1, 0, 0, 0]]))
        .tensor("a", &[32, 2], 2, &[7; 36])
        .tensor("b", &[256], 12, &[9; 144])
        .tensor("c", &[2], 0, &f32s(&[1.0, 2.0]))
        .bytes()
}

fn float8() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"w":{"dtype":"F8_E4M3","shape":[2,3],"data_offsets":[0,6]},
        "w_scale_inv":{"dtype":"F32","shape":[1,1],"data_offsets":[6,10]},
        "v":{"dtype":"BF16","shape":[1],"data_offsets":[10,12]}}"#;
    tensors_file(header, &[0x38; 12])
}

/// A file with some of its bytes exchanged, numbers at the ends of their range among them, and perhaps cut off.
fn mutated(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edges = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        proptest::sample::select(vec![0_u64, 1, 31, 1 << 31, 1 << 40, u64::MAX / 2, u64::MAX])
            .prop_map(|edge| edge.to_le_bytes().to_vec()),
        proptest::sample::select(vec![0_u32, 2, 8, 9, 12, u32::MAX])
            .prop_map(|edge| edge.to_le_bytes().to_vec()),
        proptest::sample::select(vec!["99", "-1", "0,", "]", "\"", "1e3"])
            .prop_map(|piece| piece.as_bytes().to_vec()),
    ];
    let length = whole.len();
    (vec((0..length, edges), 1..4), 0..2 * length).prop_map(move |(changes, cut)| {
        let mut bytes = whole.clone();
        for (at, piece) in changes {
            let end = (at + piece.len()).min(length);
            bytes[at..end].copy_from_slice(&piece[..end - at]);
        }
        bytes.truncate(cut.max(1));
        bytes
    })
}

#[test]
fn what_is_mutated_is_readable_before() {
    for (name, bytes, count) in [("a.gguf", gguf(), 3), ("a.safetensors", float8(), 2)] {
        let (_folder, path) = folder_with(name, &bytes);
        let files = WeightFiles::open(&path).unwrap();
        assert_eq!(files.tensors().len(), count);
        let total: usize = files.tensors().iter().map(TensorInfo::elements).sum();
        assert!(total > 6);
        read_all(name, &bytes);
    }
}

proptest! {
    #[test]
    fn a_mutated_gguf_is_read_or_refused(bytes in mutated(gguf())) {
        read_all("a.gguf", &bytes);
    }

    #[test]
    fn a_mutated_safetensors_is_read_or_refused(bytes in mutated(float8())) {
        read_all("a.safetensors", &bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        read_all("a", &bytes);
        read_all("a", &[&b"GGUF\x03\0\0\0"[..], &bytes].concat());
        read_all("a.index.json", &bytes);
    }
}
