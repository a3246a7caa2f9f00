//! The port to frozen models that rewards ask with text.

use super::PortError;

/// A question to a frozen model, and how it is to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeRequest {
    /// What it goes on from.
    pub prompt: String,
    /// Tokens it may write.
    pub max_tokens: usize,
    /// 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Of the draws.
    pub seed: u64,
}

/// Frozen models by name. An answer depends on the model and the request only, whatever else is asked
/// beside it or at the same time.
pub trait Judge: Send + Sync {
    /// What the model writes after each prompt.
    fn complete(&self, model: &str, batch: &[JudgeRequest]) -> Result<Vec<String>, PortError>;

    /// How likely the model finds each text after its prompt, as a natural logarithm.
    fn logprob(&self, model: &str, batch: &[(String, String)]) -> Result<Vec<f64>, PortError>;
}
