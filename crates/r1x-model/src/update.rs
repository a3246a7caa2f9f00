//! One optimizer update: gradient norm, clipping, AdamW over the layout, and loss-free expert balancing.

use std::ops::Range;

use r1x_core::plan::{FeedForwardPlan, ModelPlan, OptimizerPlan};
use r1x_ops::kernel::adamw::AdamW;
use r1x_ops::parallel;

use crate::layout::{Layout, Parameter, Region};

/// Numbers that one thread takes at a time.
const PART: usize = 1 << 16;

/// AdamW's state.
#[derive(Clone, Debug)]
pub struct Optimizer {
    /// First moments, in the order of what is trained.
    pub first: Vec<f32>,
    /// Second moments.
    pub second: Vec<f32>,
    /// Updates done.
    pub updates: u64,
}

impl Optimizer {
    /// Zero moments.
    pub fn new(layout: &Layout) -> Self {
        let len = layout.trained().len();
        Self { first: vec![0.0; len], second: vec![0.0; len], updates: 0 }
    }

    /// Updates some parameters of a region by AdamW, for a gradient whose global L2 norm is `norm`. They are given in the
    /// order of the region. Values and gradient are those of the region. Parts of the parameters go to `threads` threads; every number is
    /// changed by itself, so results cannot tell how many there were. Returns the position of the first parameter that is
    /// not finite after the step.
    pub fn step(
        &mut self,
        (region, parameters): (&Region, &[Parameter]),
        plan: &OptimizerPlan,
        lr: f64,
        norm: f64,
        (values, gradient): (&mut [f32], &[f32]),
        threads: usize,
    ) -> Option<usize> {
        self.updates += 1;
        let numbers = numbers(plan, lr, norm, self.updates);
        let (mut values, mut first, mut second) =
            (values, &mut self.first[..], &mut self.second[..]);
        let (mut jobs, mut done) = (Vec::new(), 0);
        for (index, parameter) in parameters.iter().enumerate() {
            let Range { start, end } = region.place(parameter);
            let step = AdamW { weight_decay: decay(plan, parameter), ..numbers };
            for from in (start..end).step_by(PART) {
                let range = from..(from + PART).min(end);
                let parts = [&mut values, &mut first, &mut second].map(|rest| {
                    let skipped = &mut std::mem::take(rest)[range.start - done..];
                    let (part, behind) = skipped.split_at_mut(range.len());
                    *rest = behind;
                    part
                });
                done = range.end;
                jobs.push((index, step, parts, &gradient[range]));
            }
        }
        let left =
            parallel::map(jobs, threads, |(index, step, [values, first, second], gradient)| {
                step.step(values, gradient, first, second);
                // The part is in cache still.
                (!all_finite(values)).then_some(index)
            });
        left.into_iter().flatten().min()
    }
}

/// Whether all numbers are finite: a sum of products with 0 is 0 or NaN, and needs no branch.
pub fn all_finite(values: &[f32]) -> bool {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += *value * 0.0;
        }
    }
    sums.iter().chain(rest).all(|value| value.is_finite())
}

/// The first number of a region of a layout, or of its selection biases, that is not finite, with the name of its tensor.
pub fn first_not_finite<'a>(
    (layout, region): (&'a Layout, &'a Region),
    values: &'a [f32],
    biases: &'a [Vec<f32>],
) -> Option<(&'a str, f32)> {
    let named = region.split(values).map(|(parameter, values)| (parameter.name.as_str(), values));
    let biases = layout.biases.iter().zip(biases);
    let biases = biases.map(|((name, _), values)| (name.as_str(), &values[..]));
    named.chain(biases).find_map(|(name, values)| Some((name, not_finite_in(values)?)))
}

/// The first of some numbers that is not finite.
pub fn not_finite_in(values: &[f32]) -> Option<f32> {
    if all_finite(values) {
        return None;
    }
    values.iter().copied().find(|value| !value.is_finite())
}

/// The numbers of the update that is the `updates`th, for a gradient of this norm; without decay, which
/// differs by parameter.
pub fn numbers(plan: &OptimizerPlan, lr: f64, norm: f64, updates: u64) -> AdamW {
    let clip = plan.grad_clip > 0.0 && norm > plan.grad_clip;
    let power = updates as f64;
    AdamW {
        lr: lr as f32,
        beta1: plan.beta1 as f32,
        beta2: plan.beta2 as f32,
        eps: plan.eps as f32,
        weight_decay: 0.0,
        correction1: (1.0 - plan.beta1.powf(power)) as f32,
        correction2: (1.0 - plan.beta2.powf(power)) as f32,
        gradient_scale: if clip { (plan.grad_clip / norm) as f32 } else { 1.0 },
    }
}

/// Only matrices decay.
pub fn decay(plan: &OptimizerPlan, parameter: &Parameter) -> f32 {
    if parameter.shape.len() == 2 { plan.weight_decay as f32 } else { 0.0 }
}

/// The global L2 norm, summed in f64: parts of a fixed size in order, whatever the number of threads.
pub fn norm(gradient: &[f32], threads: usize) -> f64 {
    let sums = parallel::map(gradient.chunks(PART).collect(), threads, |part| {
        let mut lanes = [0.0f64; 8];
        for chunk in part.chunks(8) {
            for (lane, g) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*g) * f64::from(*g);
            }
        }
        lanes.iter().sum::<f64>()
    });
    sums.iter().sum::<f64>().sqrt()
}

/// How far the bias of an expert moves at every update. Where adapters are trained, nothing of the model itself changes.
pub fn bias_speed(plan: &ModelPlan) -> f32 {
    match &plan.feed_forward {
        FeedForwardPlan::Moe(moe) if plan.lora.is_none() => moe.bias_update_speed as f32,
        FeedForwardPlan::Moe(_) | FeedForwardPlan::Dense { .. } => 0.0,
    }
}

/// Loss-free balancing (Wang et al., 2024): an expert below the mean load becomes `speed` easier to choose,
/// one above it harder.
pub fn balance(biases: &mut [Vec<f32>], loads: &[Vec<u64>], speed: f32) {
    for (biases, loads) in biases.iter_mut().zip(loads) {
        let (sum, experts) = (loads.iter().sum::<u64>(), loads.len() as u64);
        for (bias, load) in biases.iter_mut().zip(loads) {
            match (load * experts).cmp(&sum) {
                std::cmp::Ordering::Less => *bias += speed,
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => *bias -= speed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balancing_moves_every_bias_by_its_sign() {
        let mut biases = vec![vec![0.0, 0.5, 0.0]];
        balance(&mut biases, &[vec![10, 1, 4]], 0.25);
        assert_eq!(biases, [vec![-0.25, 0.75, 0.25]]);
        balance(&mut biases, &[vec![3, 3, 3]], 0.25);
        assert_eq!(biases, [vec![-0.25, 0.75, 0.25]]);
    }

    #[test]
    fn one_number_that_is_not_finite_is_seen_wherever_it_is() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..37 {
                let mut values = vec![f32::MAX; 37];
                assert!(all_finite(&values) && all_finite(&[]));
                values[at] = value;
                assert!(!all_finite(&values), "{value} at {at}");
            }
        }
    }

    #[test]
    fn norm_is_euclidean() {
        assert!((norm(&[3.0; 11], 2) - (99.0f64).sqrt()).abs() < 1e-12);
        assert!(norm(&[f32::NAN, 1.0], 1).is_nan());
    }
}
