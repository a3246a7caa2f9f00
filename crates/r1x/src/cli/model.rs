//! Arguments of `r1x model` and its verbs.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use r1x_core::plan::Precision;
use r1x_model::published::SaveDtype;

use crate::args::{Global, all_or, precision, threads};
use crate::command::model as verbs;
use crate::failure::Failure;

/// A type to write numbers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 16 bits with 8 of exponent: what most models are published in.
    Bf16,
    /// 16 bits with 5 of exponent.
    F16,
    /// 32 bits: what r1x trains in.
    F32,
}

impl From<Dtype> for SaveDtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Bf16 => Self::BF16,
            Dtype::F16 => Self::F16,
            Dtype::F32 => Self::F32,
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a folder as hubs publish it, in safetensors, of a GGUF file or another such folder
    Import {
        /// A .gguf file, a folder with one, or a folder with config.json and weights
        from: PathBuf,
        /// The folder to make, which must not be there
        to: PathBuf,
        /// Type of the numbers [default: each tensor's own, and f32 for quantised ones: nothing is rounded]
        #[arg(long, value_enum)]
        dtype: Option<Dtype>,
    },
    /// Make a folder as hubs publish it of a run's checkpoint
    Export {
        /// The folder of the checkpoint, such as runs/NAME/rl/final, or the name of a run for its newest one
        checkpoint: PathBuf,
        /// The folder to make, which must not be there
        to: PathBuf,
        /// Type of the numbers
        #[arg(long, value_enum, default_value_t = Dtype::F32)]
        dtype: Dtype,
        /// Write the adapters (LoRA) alone, as PEFT does, instead of merging them into the model
        #[arg(long)]
        adapters: bool,
    },
    /// Show family, shape, parameters, types of numbers and tokenizer of a published model
    Inspect {
        /// A folder with config.json, a .gguf file, or a folder with one
        #[arg(default_value = ".")]
        model: PathBuf,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the log-prob of given tokens under a published model
    Score {
        /// A folder with config.json, a .gguf file, or a folder with one
        model: PathBuf,
        /// Token ids: a JSON list of numbers a line; a file or a pipe
        #[arg(long, value_name = "FILE")]
        ids: PathBuf,
        /// What the factors of matrix products are rounded to: f32 or bf16
        #[arg(long, default_value = "f32", value_parser = precision)]
        precision: Precision,
        /// Threads to compute on [default: all cores]; they change nothing but the speed
        #[arg(long, value_name = "N", value_parser = threads)]
        threads: Option<NonZeroUsize>,
        /// Also the norm of the gradient of each parameter, for the mean negative log-prob of a line
        #[arg(long)]
        grad_norms: bool,
        /// Print one JSON object a line of the file, with every log-prob
        #[arg(long)]
        json: bool,
    },
}

/// Runs a verb.
pub fn dispatch(global: &Global, verb: Verb) -> Result<i32, Failure> {
    match verb {
        Verb::Import { from, to, dtype } => {
            verbs::import::import(&from, &to, dtype.map(SaveDtype::from))
        }
        Verb::Export { checkpoint, to, dtype, adapters } => {
            let what =
                if adapters { verbs::export::What::Adapters } else { verbs::export::What::Model };
            verbs::export::export(global, &checkpoint, &to, (what, dtype.into()))
        }
        Verb::Inspect { model, json } => verbs::inspect::inspect(&model, json),
        Verb::Score { model, ids, precision, threads, grad_norms, json } => {
            let threads = all_or(threads);
            let asked = verbs::score::Request { model, ids, precision, threads, grad_norms };
            verbs::score::score(&asked, json)
        }
    }
}
