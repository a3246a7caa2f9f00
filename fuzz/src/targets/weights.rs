//! Weight files: GGUF and safetensors as they are, and the two kinds of JSON they have, put where they belong.

use std::path::{Path, PathBuf};

use r1x_weights::{NewTensor, SHARD_BYTES, SaveDtype, WeightFiles, WeightsError};

use super::{Read, Target, failed, said};

/// The target.
pub const TARGET: Target = Target {
    name: "weights",
    reads: "GGUF, safetensors, their headers, and the index of shards",
    files: &[],
    words: &[
        "\"F32\"",
        "\"BF16\"",
        "\"F8_E4M3\"",
        "_scale_inv",
        "\"shape\":[",
        "\"data_offsets\":[0,",
        "__metadata__",
        "../one.safetensors",
        "general.alignment",
        "split.count",
        "GGUF",
    ],
    make,
};

/// Bytes behind a header that comes alone.
const NUMBERS: [u8; 64] = [0x38; 64];

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let whole = folder.join("whole");
    let tensor =
        |name: &str| NewTensor { name: name.to_owned(), shape: vec![2, 3], dtype: SaveDtype::BF16 };
    r1x_weights::save(&whole, &[tensor("a"), tensor("b")], SHARD_BYTES, |_, sink| {
        sink.put(&[1.0; 6])
    })
    .map_err(|error: WeightsError| failed(error))?;
    let seed = std::fs::read(whole.join(r1x_weights::MODEL))?;
    // What the seed with an index names.
    std::fs::create_dir(folder.join("shards"))?;
    std::fs::write(folder.join("shards/one.safetensors"), &seed)?;
    let folder = folder.to_owned();
    Ok((Box::new(move |input| read(&folder, input)), vec![seed]))
}

fn read(folder: &Path, input: &[u8]) -> String {
    match place(folder, input) {
        Ok(path) => said(read_all(&path)),
        Err(error) => error.to_string(),
    }
}

/// Puts an input where what it looks like belongs, and returns what is opened.
fn place(folder: &Path, input: &[u8]) -> std::io::Result<PathBuf> {
    let is_json = input.trim_ascii_start().starts_with(b"{");
    let is_index = is_json && input.windows(10).any(|window| window == b"weight_map");
    let (path, bytes) = if is_index {
        (folder.join("shards").join(r1x_weights::INDEX), input.to_vec())
    } else if is_json {
        let length = (input.len() as u64).to_le_bytes();
        (folder.join("header.safetensors"), [&length, input, &NUMBERS].concat())
    } else {
        (folder.join("file"), input.to_vec())
    };
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// Reads every tensor that can be read, and half of it again.
fn read_all(path: &Path) -> Result<(), WeightsError> {
    let files = WeightFiles::open(path)?;
    let mut outcome = Ok(());
    for tensor in files.tensors() {
        let mut out = vec![0.0; tensor.elements()];
        let rows = tensor.rows() / 2..tensor.rows();
        let read = files.read(tensor.name(), &mut out).and_then(|()| {
            files.read_rows(tensor.name(), rows.clone(), &mut out[..rows.len() * tensor.columns()])
        });
        // The first that cannot be read is told, after the others were tried.
        outcome = outcome.and(read);
    }
    outcome
}
