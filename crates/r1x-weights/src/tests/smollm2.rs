//! A whole file of somebody else: SmolLM2-135M-Instruct in Q4_1, as `cargo xtask models smollm2` brings it.

use sha2::{Digest, Sha256};

use super::numbers;
use crate::{Format, WeightFiles};

/// sha256 over every tensor in the order of names: the name, then its numbers as little-endian f32. Computed by the
/// Python package `gguf` 0.19.0 (`GGUFReader`, `dequantize`) and numpy 2.4.6.
const EXPECTED: &str = "dcdb0cf3978dc9d439d1fcedc6b9b6bb72ee07e74d21dbae7757d4208f3021f1";

#[test]
#[ignore = "needs models/smollm2"]
fn every_number_is_what_the_python_package_reads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/smollm2");
    let files = WeightFiles::open(folder).unwrap();
    assert_eq!(files.format(), Format::Gguf);
    assert_eq!(files.tensors().len(), 272);
    let total: usize = files.tensors().iter().map(|tensor| tensor.elements()).sum();
    assert_eq!(total, 134_515_008);
    let embedding = files.get("token_embd.weight").unwrap();
    assert_eq!((embedding.shape(), embedding.dtype().name()), (&[49152, 576][..], "Q8_0"));
    let mut digest = Sha256::new();
    for tensor in files.tensors() {
        digest.update(tensor.name());
        digest.update(super::f32s(&numbers(&files, tensor.name())));
    }
    let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, EXPECTED);
    let value = |key: &str| &files.metadata()[key];
    assert_eq!(value("general.architecture").as_text(), Some("llama"));
    assert_eq!(value("llama.rope.freq_base").as_f64(), Some(100_000.0));
    assert_eq!(value("llama.attention.head_count_kv").as_u64(), Some(3));
    let tokens = value("tokenizer.ggml.tokens").as_texts().unwrap();
    assert_eq!((tokens.len(), tokens[1].as_str()), (49_152, "<|im_start|>"));
    assert_eq!(value("tokenizer.ggml.merges").as_texts().unwrap().len(), 48_900);
    assert_eq!(value("tokenizer.ggml.token_type").as_i64s().unwrap()[..3], [3, 3, 3]);
}
