//! Published weight files as bytes and numbers: safetensors, alone and in shards, and GGUF.
//!
//! [`WeightFiles`] opens a file or a folder, says which tensors are there, and reads them one by one, or rows of
//! them, into memory of the caller as `f32` or `bf16`. [`write()`] and [`save`] write safetensors in the layout that
//! hubs publish. Files are of strangers: everything a header says is compared with the file and with fixed limits
//! before memory is asked for.
//!
//! Numbers are fetched by positioned reads into a small buffer and are not mapped into memory. Mapping would need
//! `unsafe`, and a file that becomes shorter while it is mapped kills the process (SIGBUS), where a read is an error
//! that names the file. It would save one copy that stays within the processor's cache: a loaded tensor costs its
//! destination and [`BUFFER_BYTES`].
//!
//! Must not know models, plans, tokenizers or what a name of a tensor means, but for the suffix of the scales that
//! belong to 8-bit numbers.

mod dtype;
mod error;
mod float8;
mod gguf;
mod open;
mod plain;
mod quantised;
mod read;
mod safetensors;
#[cfg(test)]
mod tests;
mod value;

pub use dtype::Dtype;
pub use error::WeightsError;
pub use float8::{FLOAT8_BLOCK, e4m3_to_f32};
pub use open::{Format, TensorInfo, WeightFiles};
pub use read::BUFFER_BYTES;
pub use safetensors::write::{
    INDEX, MODEL, NewTensor, SHARD_BYTES, SaveDtype, Sink, Written, save, write, write_one,
};
pub use value::{List, Value};
