//! What the composed model says of targets beyond their log-probs, on the tape: entropies, and further tokens.

use candle_core::{D, DType, Device, Tensor};
use r1x_ops::kernel::softmax::{largest_tokens, token_logprob_and_spread};
use r1x_ops::op::token_logprob;

use super::{Composed, Pass};
use crate::error::ModelError;
use crate::family::packed::Packed;
use crate::family::said::{Answers, Derivatives, Upstream};
use crate::layout::Head;

/// Whether the entropies at targets are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entropies {
    /// Entropies are computed.
    Said,
    /// Entropies are not computed.
    Unsaid,
}

/// What a pass says of its targets.
#[derive(Clone, Debug)]
pub struct Answered {
    /// One number per target, `[targets]`.
    targets: Tensor,
    /// The entropies, `[targets]`.
    entropies: Option<Tensor>,
    /// The log-probs of further tokens, `[targets, width]`.
    candidates: Option<Tensor>,
}

impl Composed {
    /// What the model says of every target of the packed sequences, of which there is at least one.
    ///
    /// # Errors
    /// As [`Composed::token_logprobs`].
    pub(crate) fn answered(
        &self,
        pass: &Pass,
        packed: &Packed,
        temperature: f64,
        entropies: Entropies,
    ) -> Result<Answered, ModelError> {
        let plain = packed.width == 0 && entropies == Entropies::Unsaid;
        if plain || matches!(self.layout.head, Head::Value(_)) {
            let targets = self.say(pass, packed, temperature)?;
            return Ok(Answered { targets, entropies: None, candidates: None });
        }
        let rows = self.predicting(&pass.residual, packed)?;
        let logits = self.logits(&rows)?.narrow(1, 0, self.tokens)?.contiguous()?;
        let targets = token_logprob(&logits, &packed.targets, temperature)?;
        let logprobs = candle_nn::ops::log_softmax(&(logits / temperature)?, D::Minus1)?;
        let entropy = || (logprobs.exp()? * &logprobs)?.sum(D::Minus1)?.neg();
        let further = || {
            let shape = (packed.targets.len(), packed.width);
            logprobs.gather(&Tensor::from_slice(&packed.further, shape, &self.device)?, D::Minus1)
        };
        let entropies = (entropies == Entropies::Said).then(entropy).transpose()?;
        let candidates = (packed.width > 0).then(further).transpose()?;
        Ok(Answered { targets, entropies, candidates })
    }
}

/// Rows whose logits leave the device together.
const ROWS: usize = 64;

impl Composed {
    /// The `width` most likely tokens at every target of the packed sequences, and their log-probs, `[targets, width]`
    /// each; the most likely first. `width` is at most the number of tokens.
    ///
    /// # Errors
    /// As [`Composed::pass`].
    pub(crate) fn most_likely(
        &self,
        packed: &Packed,
        width: usize,
        temperature: f64,
    ) -> Result<(Vec<u32>, Vec<f32>), ModelError> {
        let (mut tokens, mut logprobs) = (Vec::new(), Vec::new());
        if packed.targets.is_empty() {
            return Ok((tokens, logprobs));
        }
        let rows = self.predicting(&self.pass(packed)?.residual, packed)?;
        for first in (0..packed.targets.len()).step_by(ROWS) {
            let rows = rows.narrow(0, first, ROWS.min(packed.targets.len() - first))?;
            let logits = self.logits(&rows)?.narrow(1, 0, self.tokens)?.to_dtype(DType::F32)?;
            for row in logits.to_vec2::<f32>()? {
                let spread = token_logprob_and_spread(&row, 0, temperature).1;
                let likely = largest_tokens(&row, width);
                let said = likely.iter().map(|one| spread.logprob(row[*one as usize], temperature));
                logprobs.extend(said);
                tokens.extend(likely);
            }
        }
        Ok((tokens, logprobs))
    }
}

impl Answered {
    /// The answers as numbers.
    ///
    /// # Errors
    /// When the answers cannot be brought from the device.
    pub fn numbers(&self) -> Result<Answers<f32>, ModelError> {
        let numbers = |tensor: &Option<Tensor>| match tensor {
            Some(tensor) => tensor.flatten_all()?.to_vec1::<f32>(),
            None => Ok(Vec::new()),
        };
        Ok(Answers {
            targets: self.targets.to_vec1::<f32>()?,
            entropies: numbers(&self.entropies)?,
            candidates: numbers(&self.candidates)?,
        })
    }

    /// Σ derivative · what was said, which the tape starts from.
    ///
    /// # Errors
    /// When the device fails.
    pub fn weighted(&self, by: &Derivatives, device: &Device) -> Result<Tensor, ModelError> {
        let Upstream { targets, entropies, candidates } = by.into();
        let with =
            |said: &Tensor, by: &[f32]| (said.flatten_all()? * Tensor::new(by, device)?)?.sum_all();
        let mut sum = with(&self.targets, targets)?;
        for (said, by) in [(&self.entropies, entropies), (&self.candidates, candidates)] {
            if let Some(said) = said.as_ref().filter(|_| !by.is_empty()) {
                sum = (sum + with(said, by)?)?;
            }
        }
        Ok(sum)
    }
}
