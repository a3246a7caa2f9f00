//! How fast each pair of a rotary position turns: the frequencies of a plan, scaled as it says.
//!
//! Sources: RoFormer (arXiv 2104.09864) for the frequencies; the Llama 3 Herd of Models (arXiv 2407.21783) and the
//! configuration published with Llama 3.1 for its scaling; YaRN (arXiv 2309.00071), sections 3.2 to 3.4, with the two
//! factors that DeepSeek-V2 (arXiv 2405.04434, section 3.1.4) adds.

use std::f64::consts::TAU;

use crate::plan::{RopePlan, RopeScaling, YarnPlan};

/// The angle that each of the `width / 2` pairs of a vector turns by from one position to the next, in radians.
pub fn frequencies(plan: &RopePlan, width: usize) -> Vec<f64> {
    let plain = (0..width / 2).map(|pair| plan.theta.powf(-2.0 * pair as f64 / width as f64));
    match &plan.scaling {
        RopeScaling::None => plain.collect(),
        RopeScaling::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            let (low, high) = (*low_freq_factor, *high_freq_factor);
            let context = *original_context as f64;
            plain.map(|frequency| llama3(frequency, *factor, (low, high), context)).collect()
        }
        RopeScaling::Yarn(yarn) => {
            let ramp = Ramp::new(yarn, plan.theta, width);
            let scaled = |(pair, frequency): (usize, f64)| {
                let divided = ramp.at(pair);
                frequency / yarn.factor * divided + frequency * (1.0 - divided)
            };
            plain.enumerate().map(scaled).collect()
        }
    }
}

/// The factor on cosines and sines.
pub fn rotation_factor(plan: &RopePlan) -> f64 {
    match &plan.scaling {
        RopeScaling::Yarn(yarn) => yarn.rotation_factor,
        _ => 1.0,
    }
}

/// The factor on the scores of attention.
pub fn score_factor(plan: &RopePlan) -> f64 {
    match &plan.scaling {
        RopeScaling::Yarn(yarn) => yarn.score_factor,
        _ => 1.0,
    }
}

/// YaRN's recommended temperature for a context that is `factor` times as long, `0.1 · scale · ln(factor) + 1`.
pub fn yarn_temperature(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

/// What is said about the two factors of YaRN, by the names that published configurations have for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Temperatures {
    /// The factor on cosines and sines itself.
    pub attention_factor: Option<f64>,
    /// The scale of the temperature of cosines and sines; 0 says nothing.
    pub mscale: Option<f64>,
    /// The scale of the temperature of scores, which the one of cosines and sines is divided by; 0 says nothing.
    pub mscale_all_dim: Option<f64>,
    /// Whether `mscale_all_dim` is a factor on the scores of attention (DeepSeek).
    pub corrects_scores: bool,
}

/// The factor on cosines and sines, and the one on scores, of a context that becomes `factor` times as long.
pub fn yarn_factors(factor: f64, said: Temperatures) -> (f64, f64) {
    let written = |number: Option<f64>| number.filter(|number| *number != 0.0);
    let all = written(said.mscale_all_dim);
    let rotation = match (said.attention_factor, written(said.mscale), all) {
        (Some(factor), _, _) => factor,
        (None, Some(scale), Some(all)) => {
            yarn_temperature(factor, scale) / yarn_temperature(factor, all)
        }
        (None, _, _) => yarn_temperature(factor, 1.0),
    };
    let score = match all.filter(|_| said.corrects_scores) {
        Some(all) => yarn_temperature(factor, all).powi(2),
        None => 1.0,
    };
    (rotation, score)
}

fn llama3(frequency: f64, factor: f64, (low, high): (f64, f64), context: f64) -> f64 {
    let wave = TAU / frequency;
    if wave < context / high {
        frequency
    } else if wave > context / low {
        frequency / factor
    } else {
        let kept = (context / wave - low) / (high - low);
        (1.0 - kept) * frequency / factor + kept * frequency
    }
}

/// Between pairs that turn fast enough to be kept and pairs that are divided by the whole factor.
struct Ramp {
    low: f64,
    high: f64,
}

impl Ramp {
    fn new(yarn: &YarnPlan, theta: f64, width: usize) -> Self {
        let width = width as f64;
        // The pair that makes so many turns within the original context.
        let pair = |turns: f64| {
            let context = yarn.original_context as f64;
            width * (context / (turns * TAU)).ln() / (2.0 * theta.ln())
        };
        let (low, high) = (pair(yarn.beta_fast), pair(yarn.beta_slow));
        let (low, high) = if yarn.truncate { (low.floor(), high.ceil()) } else { (low, high) };
        Self { low: low.max(0.0), high: high.min(width - 1.0) }
    }

    /// The share of a pair that is divided, from 0 to 1.
    fn at(&self, pair: usize) -> f64 {
        let length = if self.high == self.low { 0.001 } else { self.high - self.low };
        ((pair as f64 - self.low) / length).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::RopePairs;

    fn plan(theta: f64, scaling: RopeScaling) -> RopePlan {
        RopePlan { theta, pairs: RopePairs::Halves, scaling }
    }

    fn yarn(factor: f64, original_context: usize) -> YarnPlan {
        YarnPlan {
            factor,
            original_context,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate: true,
            rotation_factor: 1.0,
            score_factor: yarn_temperature(factor, 1.0).powi(2),
        }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-7 * expected.abs(), "{found} against {expected}");
    }

    #[test]
    fn plain_frequencies_are_a_geometric_row() {
        let found = frequencies(&plan(100.0, RopeScaling::None), 8);
        for (found, expected) in found.into_iter().zip([1.0, 0.316_227_766, 0.1, 0.031_622_776_6]) {
            close(found, expected);
        }
        let halved = frequencies(&plan(100.0, RopeScaling::Linear { factor: 2.0 }), 4);
        assert_eq!(halved, [0.5, 0.05]);
    }

    /// The numbers published with DeepSeek-V3: theta 10 000, width 64, factor 40 over 4 096 positions.
    #[test]
    fn yarn_has_the_ramp_and_the_scale_of_deepseek_v3() {
        let numbers = yarn(40.0, 4096);
        let ramp = Ramp::new(&numbers, 1e4, 64);
        assert_eq!((ramp.low, ramp.high), (10.0, 23.0));
        close(yarn_temperature(40.0, 1.0), 1.368_887_945);
        close(192f64.powf(-0.5) * numbers.score_factor, 0.135_233_77);
        let scaled = plan(1e4, RopeScaling::Yarn(numbers));
        let (plain, found) = (plan(1e4, RopeScaling::None), frequencies(&scaled, 64));
        let plain = frequencies(&plain, 64);
        assert_eq!(found[..=10], plain[..=10]);
        for pair in 23..32 {
            close(found[pair], plain[pair] / 40.0);
        }
        close(found[16], plain[16] * (6.0 / 13.0 / 40.0 + 7.0 / 13.0));
    }

    /// DeepSeek-V3 divides one temperature by an equal one; without a scale both factors are those of the paper.
    #[test]
    fn the_factors_of_yarn_follow_from_what_configurations_say() {
        let both = |scale, corrects_scores| {
            let (mscale, mscale_all_dim) = (Some(scale), Some(1.0));
            Temperatures { mscale, mscale_all_dim, corrects_scores, ..Temperatures::default() }
        };
        let (rotation, score) = yarn_factors(40.0, both(1.0, true));
        assert_eq!(rotation, 1.0);
        close(score, 1.873_854_2);
        assert_eq!(yarn_factors(40.0, both(1.0, false)), (1.0, 1.0));
        let (rotation, _) = yarn_factors(40.0, both(0.0, true));
        close(rotation, 1.368_887_945);
        let said = Temperatures { attention_factor: Some(1.5), ..both(1.0, true) };
        assert_eq!(yarn_factors(40.0, said).0, 1.5);
        assert_eq!(yarn_factors(1.0, Temperatures::default()), (1.0, 1.0));
    }

    /// Llama 3.1: theta 500 000, width 128, factor 8, bounds 1 and 4 over 8 192 positions.
    #[test]
    fn llama_3_keeps_short_waves_divides_long_ones_and_mixes_between() {
        let numbers = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192,
        };
        let plain = frequencies(&plan(5e5, RopeScaling::None), 128);
        let found = frequencies(&plan(5e5, numbers), 128);
        let (mut kept, mut divided, mut mixed) = (0, 0, 0);
        for (found, plain) in found.iter().zip(&plain) {
            let wave = TAU / plain;
            if wave < 2048.0 {
                assert_eq!(found, plain);
                kept += 1;
            } else if wave > 8192.0 {
                close(*found, plain / 8.0);
                divided += 1;
            } else {
                let share = (8192.0 / wave - 1.0) / 3.0;
                close(*found, plain * (share + (1.0 - share) / 8.0));
                mixed += 1;
            }
        }
        assert_eq!((kept, mixed, divided), (29, 6, 29));
    }
}
