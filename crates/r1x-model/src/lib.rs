//! Language models: structure, weights, sampling, scoring, learning, checkpoints, tokenizers.
//!
//! Implements the `Policy` port. Must not know rewards, stages, stores or the command line.

mod balance;
mod blocks;
pub mod checkpoint;
mod copies;
pub mod device_selftest;
mod error;
pub mod export;
pub mod family;
mod generate;
mod initial;
pub mod layout;
pub mod load;
mod merged;
pub mod model;
mod mtp;
pub mod policy;
pub mod published;
pub mod sample;
pub mod tensor;
pub mod tokenizer;
pub mod update;
pub mod weights;

pub use checkpoint::{CRITIC, Expected, Home, Place};
pub use error::ModelError;
pub use initial::Given;
pub use model::Model;
pub use policy::DecoderPolicy;
pub use published::Published;
pub use tensor::TensorPolicy;
pub use tokenizer::{ModelEncoder, Tokenizer};

#[cfg(test)]
mod tests;
