//! Log-softmax of a row of logits: the chosen token's log-prob, the entropy, and the gradient.
//!
//! Trainer and sampler both call [`token_logprob`], so they agree bit for bit.

use super::LANES;
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

/// The largest scaled logit.
#[inline(always)]
fn largest<R: Real>(logits: &[R], inverse: R) -> R {
    let mut maxima = [R::from_f64(f64::NEG_INFINITY); LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        maxima = std::array::from_fn(|lane| {
            let scaled = chunk[lane] * inverse;
            if scaled > maxima[lane] { scaled } else { maxima[lane] }
        });
    }
    let mut largest = maxima[0];
    for lane in &maxima[1..] {
        largest = if *lane > largest { *lane } else { largest };
    }
    for logit in rest {
        let scaled = *logit * inverse;
        largest = if scaled > largest { scaled } else { largest };
    }
    largest
}

/// Sums of exponentials and of exponentials times their exponents, in interleaved parts.
struct Sums<R> {
    plain: [R; LANES],
    weighted: [R; LANES],
}

impl<R: Real> Sums<R> {
    #[inline(always)]
    fn new() -> Self {
        Self { plain: [R::ZERO; LANES], weighted: [R::ZERO; LANES] }
    }

    /// Adds a chunk of logits and leaves their exponentials in `values`.
    #[inline(always)]
    fn add(&mut self, logits: &[R], inverse: R, largest: R, values: &mut [R]) {
        // A loop of its own, because exponentials need no order and vectorise then.
        for (value, logit) in values.iter_mut().zip(logits) {
            *value = (*logit * inverse - largest).exp();
        }
        let (logits, logits_rest) = logits.as_chunks::<LANES>();
        let (values, values_rest) = values.as_chunks::<LANES>();
        for (logits, e) in logits.iter().zip(values) {
            self.plain = std::array::from_fn(|l| self.plain[l] + e[l]);
            self.weighted =
                std::array::from_fn(|l| self.weighted[l] + e[l] * (logits[l] * inverse - largest));
        }
        for (lane, (logit, e)) in logits_rest.iter().zip(values_rest).enumerate() {
            self.plain[lane] += *e;
            self.weighted[lane] += *e * (*logit * inverse - largest);
        }
    }

    #[inline(always)]
    fn totals(&self) -> (R, R) {
        let (mut sum, mut weighted) = (self.plain[0], self.weighted[0]);
        for lane in 1..LANES {
            sum += self.plain[lane];
            weighted += self.weighted[lane];
        }
        (sum, weighted)
    }
}

/// The largest scaled logit, the sum of exponentials around it, and the sum of exponentials times exponents.
#[inline(always)]
fn largest_and_sum<R: Real>(logits: &[R], inverse: R) -> (R, R, R) {
    let largest = largest(logits, inverse);
    let mut sums = Sums::new();
    let mut values = [R::ZERO; CHUNK];
    for chunk in logits.chunks(CHUNK) {
        sums.add(chunk, inverse, largest, &mut values[..chunk.len()]);
    }
    let (sum, weighted) = sums.totals();
    (largest, sum, weighted)
}

/// What a row of logits at a temperature is normalised with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread<R> {
    /// The largest logit over the temperature.
    largest: R,
    /// The sum of exponentials around it.
    sum: R,
}

/// The log-prob of `token` and the entropy of the row at `temperature` > 0.
pub fn token_logprob<R: Real>(logits: &[R], token: usize, temperature: f64) -> TokenLogprob<R> {
    token_logprob_and_spread(logits, token, temperature).0
}

vectorized! {
    /// [`token_logprob`], with what [`token_logprob_backward_part`] needs.
    pub fn token_logprob_and_spread<R: Real>(
        logits: &[R],
        token: usize,
        temperature: f64,
    ) -> (TokenLogprob<R>, Spread<R>) {
        let inverse = R::from_f64(1.0 / temperature);
        let (largest, sum, weighted) = largest_and_sum(logits, inverse);
        let log_sum = sum.ln();
        let said = TokenLogprob {
            logprob: logits[token] * inverse - largest - log_sum,
            entropy: log_sum - weighted / sum,
        };
        (said, Spread { largest, sum })
    }
}

/// Exponentials whose sums [`Exponentials`] keeps.
pub const CHUNK: usize = 64;

/// A row of logits at a temperature, as a sampler wants it.
#[derive(Clone, Debug, Default)]
pub struct Exponentials<R> {
    /// exp(logit / temperature − largest) of every token.
    pub values: Vec<R>,
    /// The sum of every [`CHUNK`] of them.
    pub sums: Vec<R>,
    shift: R,
    inverse: R,
    log_sum: R,
    entropy: R,
}

impl<R: Real> Exponentials<R> {
    /// Fills it from a row of logits, in one pass of exponentials.
    pub fn fill(&mut self, logits: &[R], temperature: f64) {
        self.values.resize(logits.len(), R::ZERO);
        self.sums.resize(logits.len().div_ceil(CHUNK), R::ZERO);
        self.inverse = R::from_f64(1.0 / temperature);
        let (largest, sum, weighted) =
            exponentials(logits, self.inverse, &mut self.values, &mut self.sums);
        self.shift = largest;
        self.log_sum = sum.ln();
        self.entropy = self.log_sum - weighted / sum;
    }

    /// The log-prob of `token` and the entropy of the row that was filled in, bit for bit as [`token_logprob`] gives
    /// them.
    pub fn said(&self, logits: &[R], token: usize) -> TokenLogprob<R> {
        let logprob = logits[token] * self.inverse - self.shift - self.log_sum;
        TokenLogprob { logprob, entropy: self.entropy }
    }
}

vectorized! {
    fn exponentials<R: Real>(
        logits: &[R],
        inverse: R,
        values: &mut [R],
        chunk_sums: &mut [R],
    ) -> (R, R, R) {
        let largest = largest(logits, inverse);
        let mut total_sum = Sums::new();
        let chunks = logits.chunks(CHUNK).zip(values.chunks_mut(CHUNK)).zip(chunk_sums);
        for ((logits, values), chunk_sum) in chunks {
            total_sum.add(logits, inverse, largest, values);
            *chunk_sum = super::sum(values);
        }
        let (sum, weighted) = total_sum.totals();
        (largest, sum, weighted)
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
    /// Turns a row of logits into the gradient of `weight · logprob(token)` with respect to the logits.
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

/// [`token_logprob_backward`] for some of the logits of a row, whose first is that of the token of number `first`.
pub fn token_logprob_backward_part<R: Real>(
    logits: &mut [R],
    first: usize,
    (token, spread): (usize, Spread<R>),
    temperature: f64,
    weight: R,
) {
    let inverse = R::from_f64(1.0 / temperature);
    spread_backward(logits, spread, inverse, weight);
    if let Some(logit) = token.checked_sub(first).and_then(|at| logits.get_mut(at)) {
        *logit += weight * inverse;
    }
}

vectorized! {
    fn spread_backward<R: Real>(logits: &mut [R], spread: Spread<R>, inverse: R, weight: R) {
        let Spread { largest, sum } = spread;
        let scale = -weight * inverse / sum;
        for logit in logits.iter_mut() {
            *logit = (*logit * inverse - largest).exp() * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_in_parts_has_the_bits_of_the_whole() {
        for len in [1usize, 31, 64, 65, 1000] {
            let logits: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1009) as f32 / 97.0).collect();
            for token in [0, len / 2, len - 1] {
                let (said, spread) = token_logprob_and_spread(&logits, token, 0.7);
                assert_eq!(said, token_logprob(&logits, token, 0.7));
                let mut whole = logits.clone();
                token_logprob_backward(&mut whole, token, 0.7, -0.3);
                for width in [1, 32, 48, 1000] {
                    let mut parts = logits.clone();
                    for (index, part) in parts.chunks_mut(width).enumerate() {
                        let of = (token, spread);
                        token_logprob_backward_part(part, index * width, of, 0.7, -0.3);
                    }
                    assert_eq!(parts, whole, "{len} in parts of {width}, token {token}");
                }
            }
        }
    }

    #[test]
    fn sampler_and_trainer_say_the_same_bits() {
        let mut row = Exponentials::default();
        for len in [1usize, 15, 16, 63, 64, 65, 512, 1000] {
            let logits: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1009) as f32 / 97.0).collect();
            row.fill(&logits, 0.7);
            for token in [0, len / 2, len - 1] {
                assert_eq!(row.said(&logits, token), token_logprob(&logits, token, 0.7));
            }
            let sum: f32 = row.values.iter().sum();
            let chunks: f32 = row.sums.iter().sum();
            assert!((sum - chunks).abs() < 1e-3 * sum);
        }
    }
}
