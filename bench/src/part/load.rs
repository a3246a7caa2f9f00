//! A weights file of a gigabyte from the system's cache into fresh memory, tensor by tensor, beside the same bytes read
//! whole.
//!
//! A process that has loaded holds the numbers as f32: the size of an F32 file, and twice that of BF16 and F16.

use std::path::Path;

use r1x_weights::{NewTensor, SHARD_BYTES, SaveDtype, WeightFiles, WeightsError};

use super::Case;
use crate::failure::Failure;
use crate::measure::{Options, median, rate_row, repeat};
use crate::row::Row;

/// Bytes of numbers in the file, and fewer for a look.
const BYTES: [u64; 2] = [1 << 30, 1 << 26];
/// Columns of every matrix.
const COLUMNS: usize = 1536;
/// Rows of every matrix.
const ROWS: usize = 4096;

/// The workloads.
pub fn cases() -> Vec<Case> {
    let case = |dtype: SaveDtype| {
        let id = format!("load/{}", dtype.name().to_lowercase());
        Case::new(id.clone(), move |options| Ok(vec![run(&id, dtype, options)?]))
    };
    [SaveDtype::F32, SaveDtype::BF16, SaveDtype::F16].map(case).into()
}

fn run(id: &str, dtype: SaveDtype, options: &Options) -> Result<Row, Failure> {
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::new(format!("no temporary folder: {error}"), "check the disk and TMPDIR")
    })?;
    let failure = |error: WeightsError| Failure::new(error.to_string(), error.hint());
    let model = folder.path().join("model");
    let bytes = BYTES[usize::from(options.quick)];
    save(&model, dtype, bytes).map_err(failure)?;
    let loaded = repeat(options, || {
        let tick = options.now();
        let values = load(&model).map_err(failure)?;
        let seconds = tick.seconds();
        drop(values);
        Ok(Some(seconds))
    })?;
    let file = model.join(r1x_weights::MODEL);
    let read = repeat(options, || {
        let tick = options.now();
        let values = std::fs::read(&file)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display()), "try again"))?;
        let seconds = tick.seconds();
        drop(values);
        Ok(Some(seconds))
    })?;
    Ok(rate_row(id, "GB/s", bytes as f64 / 1e9, &loaded, Some(median(&read.seconds))))
}

fn save(folder: &Path, dtype: SaveDtype, bytes: u64) -> Result<(), WeightsError> {
    let count = bytes / dtype.bytes() / (ROWS * COLUMNS) as u64;
    let tensor = |at: u64| NewTensor {
        name: format!("layers.{at}.weight"),
        shape: vec![ROWS, COLUMNS],
        dtype,
    };
    let tensors: Vec<NewTensor> = (0..count.max(1)).map(tensor).collect();
    let row: Vec<f32> = (0..COLUMNS).map(|at| at as f32 / 1000.0 - 0.5).collect();
    let fill = |_: &NewTensor, sink: &mut r1x_weights::Sink<'_>| {
        (0..ROWS).try_for_each(|_| sink.put(&row))
    };
    r1x_weights::save(folder, &tensors, SHARD_BYTES, fill).map(drop)
}

/// Every number of a model, one tensor behind the other.
fn load(folder: &Path) -> Result<Vec<f32>, WeightsError> {
    let files = WeightFiles::open(folder)?;
    let total = files.tensors().iter().map(|tensor| tensor.elements()).sum();
    let mut values = vec![0.0; total];
    let mut rest = &mut values[..];
    for tensor in files.tensors() {
        let (out, behind) = rest.split_at_mut(tensor.elements());
        files.read(tensor.name(), out)?;
        rest = behind;
    }
    Ok(values)
}
