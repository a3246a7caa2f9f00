//! How tokens are drawn.

use serde::{Deserialize, Serialize};

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingPlan {
    /// Softmax temperature; 0 means greedy.
    pub temperature: f64,
    /// Keep only the `top_k` likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of likeliest tokens with at least this mass; 1 keeps all.
    pub top_p: f64,
    /// Keep tokens at least this likely relative to the likeliest; 0 keeps all.
    pub min_p: f64,
    /// Longest completion, tokens.
    pub max_tokens: usize,
}
