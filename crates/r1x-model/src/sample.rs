//! Drawing one token from a row of logits.
//!
//! The random number comes in, so a draw is a pure function.

use r1x_core::plan::SamplingPlan;
use r1x_ops::kernel::softmax::{CHUNK, Exponentials, TokenLogprob};

/// The softmax temperature that log-probs are taken at: the plan's, or 1 when decoding is greedy.
pub fn temperature(plan: &SamplingPlan) -> f32 {
    if plan.temperature == 0.0 { 1.0 } else { plan.temperature as f32 }
}

/// The token that `uniform` in [0, 1) selects. Filters apply in the order top-k, top-p, min-p to the
/// distribution at the plan's temperature; ties are broken towards the lower token.
pub fn draw(logits: &[f32], plan: &SamplingPlan, uniform: f64, scratch: &mut Scratch) -> u32 {
    draw_and_say(logits, plan, uniform, scratch).0
}

/// The token and what the row says about it at the plan's temperature.
pub fn draw_and_say(
    logits: &[f32],
    plan: &SamplingPlan,
    uniform: f64,
    scratch: &mut Scratch,
) -> (u32, TokenLogprob<f32>) {
    scratch.row.fill(logits, f64::from(temperature(plan)));
    let filtered = plan.top_k > 0 || plan.top_p < 1.0 || plan.min_p > 0.0;
    let token = if plan.temperature == 0.0 {
        likeliest(logits)
    } else if filtered {
        draw_filtered(plan, uniform, scratch)
    } else {
        draw_plain(uniform, &scratch.row)
    };
    (token, scratch.row.said(logits, token as usize))
}

/// Buffers reused between draws.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    row: Exponentials<f32>,
    order: Vec<u32>,
}

fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// Finds the chunk first, by the sums of chunks, and the token in it afterwards.
fn draw_plain(uniform: f64, row: &Exponentials<f32>) -> u32 {
    let total: f64 = row.sums.iter().map(|sum| f64::from(*sum)).sum();
    let mut left = uniform * total;
    let mut chunk = 0;
    for (index, sum) in row.sums.iter().enumerate().filter(|(_, sum)| **sum > 0.0) {
        chunk = index;
        if left < f64::from(*sum) {
            break;
        }
        left -= f64::from(*sum);
    }
    let first = chunk * CHUNK;
    let mut last = first;
    let end = (first + CHUNK).min(row.values.len());
    for (token, p) in row.values[first..end].iter().enumerate().filter(|(_, p)| **p > 0.0) {
        last = first + token;
        left -= f64::from(*p);
        if left < 0.0 {
            break;
        }
    }
    last as u32
}

fn draw_filtered(plan: &SamplingPlan, uniform: f64, scratch: &mut Scratch) -> u32 {
    let Scratch { row, order } = scratch;
    let probabilities = &row.values;
    order.clear();
    order.extend(0..probabilities.len() as u32);
    order.sort_by(|a, b| {
        probabilities[*b as usize].total_cmp(&probabilities[*a as usize]).then(a.cmp(b))
    });
    if plan.top_k > 0 {
        order.truncate(plan.top_k);
    }
    let mass: f64 = order.iter().map(|token| f64::from(probabilities[*token as usize])).sum();
    let floor = plan.min_p * f64::from(probabilities[order[0] as usize]);
    let (mut kept, mut before) = (0, 0.0);
    for token in order.iter() {
        let p = f64::from(probabilities[*token as usize]);
        // The likeliest token always stays.
        if kept > 0 && (before >= plan.top_p * mass || p < floor) {
            break;
        }
        before += p;
        kept += 1;
    }
    let mut left = uniform * before;
    for token in &order[..kept] {
        left -= f64::from(probabilities[*token as usize]);
        if left < 0.0 {
            return *token;
        }
    }
    order[kept - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_core::Rng;

    fn plan(temperature: f64, top_k: usize, top_p: f64, min_p: f64) -> SamplingPlan {
        SamplingPlan { temperature, top_k, top_p, min_p, max_tokens: 8 }
    }

    fn frequencies(plan: &SamplingPlan) -> Vec<f64> {
        // Probabilities at temperature 1 are 0.5, 0.25, 0.15, 0.1, out of order on purpose.
        let logits = [0.15f32.ln(), 0.5f32.ln(), 0.1f32.ln(), 0.25f32.ln()];
        let mut draws = Rng::new(1).stream("draws").at(&[]);
        let mut scratch = Scratch::default();
        let mut counts = vec![0.0; 4];
        for _ in 0..40_000 {
            counts[draw(&logits, plan, draws.uniform(), &mut scratch) as usize] += 1.0 / 40_000.0;
        }
        counts
    }

    fn assert_near(found: &[f64], expected: &[f64]) {
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.012),
            "{found:?} against {expected:?}"
        );
    }

    #[test]
    fn frequencies_follow_the_filtered_distribution() {
        assert_near(&frequencies(&plan(1.0, 0, 1.0, 0.0)), &[0.15, 0.5, 0.1, 0.25]);
        assert_near(&frequencies(&plan(1.0, 2, 1.0, 0.0)), &[0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_near(&frequencies(&plan(1.0, 0, 0.8, 0.0)), &[1.0 / 6.0, 5.0 / 9.0, 0.0, 2.5 / 9.0]);
        assert_near(&frequencies(&plan(1.0, 0, 1.0, 0.45)), &[0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_near(&frequencies(&plan(0.0, 0, 1.0, 0.0)), &[0.0, 1.0, 0.0, 0.0]);
        // At temperature 1/2 probabilities are squared and renormalised.
        let sum = 0.25 + 0.0625 + 0.0225 + 0.01;
        let squared = [0.0225 / sum, 0.25 / sum, 0.01 / sum, 0.0625 / sum];
        assert_near(&frequencies(&plan(0.5, 0, 1.0, 0.0)), &squared);
    }

    #[test]
    fn the_last_token_is_reached_and_zero_probability_is_not() {
        let mut scratch = Scratch::default();
        let logits = [0.0, f32::NEG_INFINITY];
        assert_eq!(draw(&logits, &plan(1.0, 0, 1.0, 0.0), 0.999_999_999, &mut scratch), 0);
        assert_eq!(draw(&[0.0, 0.0], &plan(1.0, 0, 1.0, 0.0), 0.999_999_999, &mut scratch), 1);
    }
}
