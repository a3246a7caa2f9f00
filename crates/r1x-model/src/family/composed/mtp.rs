//! Multi-token prediction out of candle ops: the modules behind the layers, one after the other.

use candle_core::{D, Tensor};

use super::attention::Projected;
use super::{Composed, Pass};
use crate::error::ModelError;
use crate::family::mtp::Ahead;
use crate::family::packed::Packed;
use crate::layout::MtpModule;

/// What a module of multi-token prediction makes of some sequences.
#[derive(Clone, Debug)]
pub struct MtpPass {
    /// Its rows.
    pub ahead: Ahead,
    /// Its layer.
    pub pass: Pass,
    /// Log-prob of every target of its rows, in nats, `[targets]`.
    pub logprobs: Tensor,
}

impl Composed {
    /// The passes of the modules over sequences whose pass through the layers is given. The first module that has no
    /// target ends the list: the ones after it look further still.
    ///
    /// # Errors
    /// As [`Composed::token_logprobs`].
    pub fn mtp<'a>(
        &self,
        pass: &Pass,
        sequences: impl Iterator<Item = (&'a [u32], usize)> + Clone,
        packed: &Packed,
        temperature: f64,
    ) -> Result<Vec<MtpPass>, ModelError> {
        let mut passes: Vec<MtpPass> = Vec::with_capacity(self.layout.mtp.len());
        let mut norm = self.layout.final_norm;
        for (index, module) in self.layout.mtp.iter().enumerate() {
            let (before, rows) = match passes.last() {
                None => (&pass.residual, packed),
                Some(last) => (&last.pass.residual, &last.ahead.packed),
            };
            let ahead = Ahead::new(sequences.clone(), index + 1, rows);
            if ahead.packed.targets.is_empty() {
                break;
            }
            let handed = self.parameters.norm(norm, before, self.eps)?;
            let pass = self.module(module, &handed, &ahead)?;
            norm = module.norm;
            let (residual, packed) = (&pass.residual, &ahead.packed);
            let logprobs = self.logprobs_after(norm, residual, packed, temperature)?;
            passes.push(MtpPass { ahead, pass, logprobs });
        }
        Ok(passes)
    }

    fn module(
        &self,
        module: &MtpModule,
        handed: &Tensor,
        ahead: &Ahead,
    ) -> Result<Pass, ModelError> {
        let packed = &ahead.packed;
        let origins: Vec<u32> = ahead.origins.iter().map(|row| *row as u32).collect();
        let handed = handed.index_select(&Tensor::new(origins, &self.device)?, 0)?;
        let embedded = self.embed(&packed.tokens)?;
        let embedded = self.parameters.norm(module.embedding_norm, &embedded, self.eps)?;
        let handed = self.parameters.norm(module.hidden_norm, &handed, self.eps)?;
        let joined = Tensor::cat(&[embedded, handed], D::Minus1)?;
        let x = self.parameters.linear(module.projection, &joined)?;
        let segments = self.segments(packed)?;
        let attend = |projected: &Projected| projected.attend(&segments);
        let (residual, routing) = self.layer(&module.layer, x, &packed.positions, attend)?;
        Ok(Pass { residual, routings: routing.into_iter().collect() })
    }
}
