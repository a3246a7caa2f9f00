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
    /// The entropy of the row, nats.
    entropy: R,
}

impl<R: Real> Spread<R> {
    /// The log-prob of the token of a logit of the row at `temperature`, bit for bit as [`token_logprob`] gives it.
    pub fn logprob(&self, logit: R, temperature: f64) -> R {
        logit * R::from_f64(1.0 / temperature) - self.largest - self.sum.ln()
    }
}

/// What a row of logits is differentiated for: Σ weight · logprob(token) over some tokens, plus a multiple of the entropy.
#[derive(Clone, Copy, Debug)]
pub struct RowGradient<'a, R> {
    /// The first token and its weight.
    pub token: (u32, R),
    /// Further tokens.
    pub further: &'a [u32],
    /// Their weights, as many; or none of them, which is a weight of 0 each.
    pub weights: &'a [R],
    /// The factor of the entropy.
    pub entropy: R,
}

impl<R: Real> RowGradient<'_, R> {
    /// The sum of all weights.
    fn total(&self) -> R {
        self.weights.iter().fold(self.token.1, |sum, weight| sum + *weight)
    }
}

/// The log-prob of `token` and the entropy of the row at `temperature` > 0.
pub fn token_logprob<R: Real>(logits: &[R], token: usize, temperature: f64) -> TokenLogprob<R> {
    token_logprob_and_spread(logits, token, temperature).0
}

vectorized! {
    /// [`token_logprob`], with what [`row_backward_part`] needs.
    pub fn token_logprob_and_spread<R: Real>(
        logits: &[R],
        token: usize,
        temperature: f64,
    ) -> (TokenLogprob<R>, Spread<R>) {
        let inverse = R::from_f64(1.0 / temperature);
        let (largest, sum, weighted) = largest_and_sum(logits, inverse);
        let log_sum = sum.ln();
        let entropy = log_sum - weighted / sum;
        let said =
            TokenLogprob { logprob: logits[token] * inverse - largest - log_sum, entropy };
        (said, Spread { largest, sum, entropy })
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

/// Turns some of the logits of a row, whose first is that of the token of number `first`, into the gradient of what the row
/// is differentiated for. `spread` is that of the whole row at `temperature`.
pub fn row_backward_part<R: Real>(
    logits: &mut [R],
    first: usize,
    spread: Spread<R>,
    temperature: f64,
    of: &RowGradient<'_, R>,
) {
    let inverse = R::from_f64(1.0 / temperature);
    if of.entropy == R::ZERO {
        spread_backward(logits, spread, inverse, of.total());
    } else {
        spread_and_entropy_backward(logits, spread, inverse, of.total(), of.entropy);
    }
    let further = of.further.iter().copied().zip(of.weights.iter().copied());
    for (token, weight) in std::iter::once(of.token).chain(further) {
        if let Some(logit) = (token as usize).checked_sub(first).and_then(|at| logits.get_mut(at)) {
            *logit += weight * inverse;
        }
    }
}

vectorized! {
    fn spread_backward<R: Real>(logits: &mut [R], spread: Spread<R>, inverse: R, weight: R) {
        let Spread { largest, sum, .. } = spread;
        let scale = -weight * inverse / sum;
        for logit in logits.iter_mut() {
            *logit = (*logit * inverse - largest).exp() * scale;
        }
    }
}

vectorized! {
    /// The derivative of the entropy H by a logit is −p · (log p + H), over the temperature.
    fn spread_and_entropy_backward<R: Real>(
        logits: &mut [R],
        spread: Spread<R>,
        inverse: R,
        weight: R,
        factor: R,
    ) {
        let Spread { largest, sum, entropy } = spread;
        let (scale, log_sum) = (-inverse / sum, sum.ln());
        for logit in logits.iter_mut() {
            let shifted = *logit * inverse - largest;
            let raised = shifted - log_sum + entropy;
            *logit = shifted.exp() * scale * (weight + factor * raised);
        }
    }
}

/// The tokens of the `count` largest logits of a row, the largest first; of equal ones the lower token.
pub fn largest_tokens<R: Real>(logits: &[R], count: usize) -> Vec<u32> {
    let order = |one: &u32, other: &u32| {
        let [left, right] = [one, other].map(|token| logits[*token as usize].to_f64());
        // What is not a number stands behind all numbers.
        let by_size = right.partial_cmp(&left);
        by_size.unwrap_or_else(|| left.is_nan().cmp(&right.is_nan())).then(one.cmp(other))
    };
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    if count > 0 && count < tokens.len() {
        tokens.select_nth_unstable_by(count - 1, order);
    }
    tokens.truncate(count);
    tokens.sort_unstable_by(order);
    tokens
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
                        let of = &RowGradient {
                            token: (token as u32, -0.3),
                            further: &[],
                            weights: &[],
                            entropy: 0.0,
                        };
                        row_backward_part(part, index * width, spread, 0.7, of);
                    }
                    assert_eq!(parts, whole, "{len} in parts of {width}, token {token}");
                }
            }
        }
    }

    /// Σ weight · logprob + factor · entropy of a row, and its derivative by a difference.
    #[test]
    fn weights_of_several_tokens_and_of_the_entropy_have_the_derivative_of_their_sum() {
        let logits: Vec<f64> = (0..37).map(|i| f64::from(i * 7919 % 101) / 23.0).collect();
        let (further, weights) = ([3u32, 36, 0], [0.7, -0.2, 1.5]);
        for (entropy, weights) in [(0.0, &weights[..]), (-0.8, &weights), (0.3, &[])] {
            let value = |logits: &[f64]| {
                let (said, spread) = token_logprob_and_spread(logits, 5, 0.7);
                let pairs = further.iter().zip(weights);
                let sum: f64 =
                    pairs.map(|(t, w)| w * spread.logprob(logits[*t as usize], 0.7)).sum();
                -0.4 * said.logprob + sum + entropy * said.entropy
            };
            let spread = token_logprob_and_spread(&logits, 5, 0.7).1;
            let of = RowGradient { token: (5, -0.4), further: &further, weights, entropy };
            let mut gradient = logits.clone();
            row_backward_part(&mut gradient, 0, spread, 0.7, &of);
            for at in 0..logits.len() {
                let moved = |by: f64| {
                    let mut logits = logits.clone();
                    logits[at] += by;
                    value(&logits)
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((difference - gradient[at]).abs() < 1e-8, "{at}: {difference}");
            }
            for width in [1, 16, 30] {
                let mut parts = logits.clone();
                for (index, part) in parts.chunks_mut(width).enumerate() {
                    row_backward_part(part, index * width, spread, 0.7, &of);
                }
                assert_eq!(parts, gradient, "in parts of {width}");
            }
        }
    }

    #[test]
    fn the_largest_tokens_come_in_one_order_whatever_is_equal() {
        let logits = [1.0f32, 3.0, f32::NAN, 3.0, -2.0, 1.0];
        assert_eq!(largest_tokens(&logits, 3), [1, 3, 0]);
        assert_eq!(largest_tokens(&logits, 4), [1, 3, 0, 5]);
        assert_eq!(largest_tokens(&logits, 9), [1, 3, 0, 5, 4, 2]);
        assert!(largest_tokens(&logits, 0).is_empty());
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
