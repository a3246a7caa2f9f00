//! Counting tokens of imported completions, with the tokenizer of the model that wrote them.

use std::path::Path;

use r1x_core::PortError;
use r1x_core::plan::TokenizerPlan;
use r1x_model::tokenizer::Tokenizer;

use crate::failure::Failure;
use crate::speaker;

/// A tokenizer that only counts.
pub struct Counter {
    tokenizer: Tokenizer,
    /// sha256 of its file, hex.
    pub sha256: String,
}

impl Counter {
    /// The tokenizer in the folder of a published model.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let plan = speaker::tokenizer_of(folder)?;
        let sha256 = match &plan {
            TokenizerPlan::File { sha256, .. } => sha256.clone(),
            TokenizerPlan::Vocabulary { .. } => String::new(),
        };
        Ok(Self { tokenizer: Tokenizer::new(&plan).map_err(PortError::from)?, sha256 })
    }

    /// Tokens of a text.
    ///
    /// # Errors
    /// When the text is too long for a tokenizer.
    pub fn count(&self, text: &str) -> Result<usize, Failure> {
        Ok(self.tokenizer.encode(text).map_err(PortError::from)?.len())
    }
}

/// Whence the numbers of tokens of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// A tokenizer has counted them.
    Counted,
    /// The files have them.
    Recorded,
    /// Nobody knows them, and 0 stands in their place.
    Unknown,
}

impl Known {
    /// How the numbers of tokens are known, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Counted => "counted by the tokenizer",
            Self::Recorded => "as the files say",
            Self::Unknown => "not known, recorded as 0: `--tokenizer FOLDER` counts them",
        }
    }
}
