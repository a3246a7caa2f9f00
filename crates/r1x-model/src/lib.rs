//! Language models: structure, weights, sampling, scoring, learning, checkpoints, tokenizers.
//!
//! Implements the `Policy` port. Must not know rewards, stages, stores or the command line.

pub mod checkpoint;
pub mod error;
pub mod family;
pub mod generate;
pub mod layout;
pub mod policy;
pub mod sample;
pub mod tokenizer;
pub mod update;
pub mod weights;

pub use error::ModelError;
pub use policy::DecoderPolicy;
pub use tokenizer::Tokenizer;

#[cfg(test)]
mod tests;
