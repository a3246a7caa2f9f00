//! The log-prob of one token per row of logits as a candle op.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor, bail};

use super::element::{
    Element, by_dtype, gradient_of, has_kernel, slice, with_slices, working_dtype,
};
use super::selftest::{Outcome, compare, random};
use crate::kernel::softmax;

const NAME: &str = "token-logprob";

/// `log softmax(logits / temperature)[target]` per row, in nats: logits `[rows, vocabulary]`, one target per
/// row, result `[rows]`. The result is `f32` for half-precision logits.
///
/// # Errors
/// When there is not one target per row, a target is outside the vocabulary, or the temperature is not
/// positive.
pub fn token_logprob(logits: &Tensor, targets: &[u32], temperature: f64) -> Result<Tensor> {
    let (rows, vocabulary) = logits.dims2()?;
    if targets.len() != rows {
        bail!("{rows} rows of logits need as many targets, got {}", targets.len());
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= vocabulary) {
        bail!("target {target} is outside the {vocabulary} logits of a row");
    }
    if temperature.is_nan() || temperature <= 0.0 {
        bail!("a log-prob needs a positive temperature, got {temperature}");
    }
    if has_kernel(logits) {
        let op = TokenLogprob { targets: targets.to_vec(), vocabulary, temperature };
        logits.contiguous()?.apply_op1(op)
    } else {
        composed(logits, targets, temperature)
    }
}

/// [`token_logprob`] out of candle's differentiable ops.
fn composed(logits: &Tensor, targets: &[u32], temperature: f64) -> Result<Tensor> {
    let scaled = (logits.to_dtype(working_dtype(logits.dtype()))? * (1.0 / temperature))?;
    // The largest logit only keeps the exponentials in range; no gradient passes through it.
    let shifted = scaled.broadcast_sub(&scaled.detach().max_keepdim(D::Minus1)?)?;
    let log_sum = shifted.exp()?.sum(D::Minus1)?.log()?;
    let targets = Tensor::new(targets, logits.device())?.unsqueeze(1)?;
    shifted.gather(&targets, D::Minus1)?.squeeze(1)? - log_sum
}

struct TokenLogprob {
    targets: Vec<u32>,
    vocabulary: usize,
    temperature: f64,
}

impl TokenLogprob {
    fn forward<T: Element>(&self, logits: &[T]) -> CpuStorage {
        let rows = logits.chunks(self.vocabulary).zip(&self.targets);
        let said = rows.map(|(row, target)| {
            softmax::token_logprob(row, *target as usize, self.temperature).logprob
        });
        T::to_cpu_storage_owned(said.collect())
    }

    fn backward<T: Element>(&self, [logits, upstream]: [&[T]; 2]) -> Vec<T> {
        let mut gradient = logits.to_vec();
        let rows = gradient.chunks_mut(self.vocabulary).zip(&self.targets).zip(upstream);
        for ((row, target), weight) in rows {
            softmax::token_logprob_backward(row, *target as usize, self.temperature, *weight);
        }
        gradient
    }
}

impl CustomOp1 for TokenLogprob {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let said = by_dtype!(logits.dtype(), NAME, T => {
            Ok(self.forward::<T>(slice(logits, layout)?))
        })?;
        Ok((said, Shape::from(self.targets.len())))
    }

    fn bwd(&self, logits: &Tensor, _said: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let upstream = upstream.contiguous()?;
        by_dtype!(logits.dtype(), NAME, T => {
            let gradient = with_slices([logits, &upstream], |slices| self.backward::<T>(slices))?;
            gradient_of(logits, gradient).map(Some)
        })
    }
}

/// The op on a device against its composition in `f64`.
pub(super) fn selftest(device: &Device) -> Result<Outcome> {
    let (inputs, targets) = ([(random(5, &[4, 83]) * 8.0)?], [3, 0, 82, 3]);
    let op = |x: &[Tensor]| token_logprob(&x[0], &targets, 0.7);
    compare(device, &inputs, &op, &|x| composed(&x[0], &targets, 0.7))
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::super::testing::agree;
    use super::*;

    #[test]
    fn kernel_composition_and_finite_differences_agree() {
        let (inputs, targets) = ([random(21, &[4, 19])], [3, 0, 18, 3]);
        for temperature in [1.0, 0.7] {
            agree(
                &inputs,
                1e-6,
                |x| token_logprob(&x[0], &targets, temperature),
                |x| composed(&x[0], &targets, temperature),
            );
        }
    }

    #[test]
    fn probabilities_of_all_tokens_sum_to_one_however_large_the_logits() {
        let row = (random(22, &[1, 11]) * 1e4).unwrap();
        let logits = row.broadcast_as((11, 11)).unwrap();
        let targets: Vec<u32> = (0..11).collect();
        for said in [token_logprob(&logits, &targets, 0.5), composed(&logits, &targets, 0.5)] {
            let sum = said.unwrap().exp().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
    }

    #[test]
    fn half_precision_logits_give_single_precision_logprobs() {
        let logits = Tensor::zeros((2, 8), DType::BF16, &Device::Cpu).unwrap();
        let said = token_logprob(&logits, &[0, 7], 1.0).unwrap().to_vec1::<f32>().unwrap();
        assert!(said.iter().all(|p| (p + 8f32.ln()).abs() < 1e-6), "{said:?}");
    }

    #[test]
    fn targets_and_temperatures_that_make_no_sense_are_refused() {
        let logits = random(23, &[2, 5]);
        assert!(token_logprob(&logits, &[0], 1.0).is_err());
        assert!(token_logprob(&logits, &[0, 5], 1.0).is_err());
        assert!(token_logprob(&logits, &[0, 1], 0.0).is_err());
        assert!(token_logprob(&logits, &[0, 1], f64::NAN).is_err());
    }
}
