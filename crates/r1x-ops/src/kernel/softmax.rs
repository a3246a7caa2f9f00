//! Log-softmax of a row of logits: the chosen token's log-prob, the entropy, and the gradient.
//!
//! Trainer and sampler both call [`token_logprob`], so they agree bit for bit. Must not know vocabularies.

use crate::real::Real;
use crate::simd::vectorized;

/// What one row of logits says about one token, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogprob<R> {
    /// The log of softmax(logits / temperature) at the token.
    pub logprob: R,
    /// Entropy of softmax(logits / temperature).
    pub entropy: R,
}

/// The largest scaled logit and the sum of exponentials around it, in sixteen interleaved partial sums.
#[inline(always)]
fn largest_and_sum<R: Real>(logits: &[R], inverse_temperature: R) -> (R, R, R) {
    const LANES: usize = 16;
    let mut maxima = [R::from_f64(f64::NEG_INFINITY); LANES];
    for chunk in logits.chunks(LANES) {
        for (lane, logit) in maxima.iter_mut().zip(chunk) {
            let scaled = *logit * inverse_temperature;
            *lane = if scaled > *lane { scaled } else { *lane };
        }
    }
    let mut largest = maxima[0];
    for lane in &maxima[1..] {
        largest = if *lane > largest { *lane } else { largest };
    }
    let mut sums = [R::ZERO; LANES];
    let mut weighted = [R::ZERO; LANES];
    for chunk in logits.chunks(LANES) {
        for ((sum, weighted), logit) in sums.iter_mut().zip(&mut weighted).zip(chunk) {
            let shifted = *logit * inverse_temperature - largest;
            let e = shifted.exp();
            *sum += e;
            *weighted += e * shifted;
        }
    }
    let (mut sum, mut weight) = (sums[0], weighted[0]);
    for lane in 1..LANES {
        sum += sums[lane];
        weight += weighted[lane];
    }
    (largest, sum, weight)
}

vectorized! {
    /// The log-prob of `token` and the entropy of the row at `temperature` > 0.
    pub fn token_logprob<R: Real>(logits: &[R], token: usize, temperature: f64) -> TokenLogprob<R> {
        let inverse = R::from_f64(1.0 / temperature);
        let (largest, sum, weighted) = largest_and_sum(logits, inverse);
        let log_sum = sum.ln();
        TokenLogprob {
            logprob: logits[token] * inverse - largest - log_sum,
            entropy: log_sum - weighted / sum,
        }
    }
}

vectorized! {
    /// Probabilities of the row at `temperature` > 0.
    pub fn softmax<R: Real>(logits: &[R], temperature: f64, probabilities: &mut [R]) {
        let inverse = R::from_f64(1.0 / temperature);
        let (largest, sum, _) = largest_and_sum(logits, inverse);
        let scale = R::ONE / sum;
        for (p, logit) in probabilities.iter_mut().zip(logits) {
            *p = (*logit * inverse - largest).exp() * scale;
        }
    }
}

vectorized! {
    /// Turns a row of logits into the gradient of `weight · logprob(token)` with respect to those logits.
    pub fn token_logprob_backward<R: Real>(
        logits: &mut [R],
        token: usize,
        temperature: f64,
        weight: R,
    ) {
        let inverse = R::from_f64(1.0 / temperature);
        let (largest, sum, _) = largest_and_sum(logits, inverse);
        let scale = -weight * inverse / sum;
        for logit in logits.iter_mut() {
            *logit = (*logit * inverse - largest).exp() * scale;
        }
        logits[token] += weight * inverse;
    }
}
