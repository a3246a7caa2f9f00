//! How evenly the experts of a mixture are used: figures of an update, by layer and over all layers.
//!
//! The load of an expert is how many tokens of the update were sent to it. Nothing is dropped, so all loads of a layer add
//! up to the tokens times the experts of a token, and every figure compares them with their mean. They are counts, so no
//! figure depends on how an update was split.

use crate::layout::{FeedForward, Layout};

/// A load below this share of the mean is that of a dead expert.
const DEAD: f64 = 0.1;

/// The loads of a layer in which something was sent to an expert.
struct Loads<'a> {
    loads: &'a [u64],
    /// Groups of equal size that the experts are split into.
    groups: usize,
}

/// A figure about a layer.
struct Figure {
    name: &'static str,
    /// Whether a larger one is less even.
    is_worse_above: bool,
    /// Its value; `None` where a layer has none.
    of: fn(&Loads<'_>) -> Option<f64>,
}

/// The figures, in the order in which they are recorded.
const FIGURES: [Figure; 7] = [
    // The violations of Loss-Free Balancing (Wang et al., 2024, arXiv 2408.15664).
    Figure { name: "max_vio", is_worse_above: true, of: |layer| Some(max_vio(layer.loads)) },
    Figure { name: "min_vio", is_worse_above: false, of: |layer| Some(min_vio(layer.loads)) },
    Figure { name: "cv", is_worse_above: true, of: |layer| Some(variation(layer.loads)) },
    Figure { name: "entropy", is_worse_above: false, of: |layer| entropy(layer.loads) },
    Figure { name: "dead", is_worse_above: true, of: |layer| Some(dead(layer.loads)) },
    Figure { name: "utilisation", is_worse_above: false, of: |layer| Some(used(layer.loads)) },
    Figure { name: "group_max_vio", is_worse_above: true, of: |layer| layer.group_max_vio() },
];

fn mean(loads: &[u64]) -> f64 {
    loads.iter().sum::<u64>() as f64 / loads.len() as f64
}

/// The largest load over the mean, less 1.
fn max_vio(loads: &[u64]) -> f64 {
    loads.iter().copied().max().unwrap_or(0) as f64 / mean(loads) - 1.0
}

/// The smallest load over the mean, less 1.
fn min_vio(loads: &[u64]) -> f64 {
    loads.iter().copied().min().unwrap_or(0) as f64 / mean(loads) - 1.0
}

/// The standard deviation of the loads over their mean.
fn variation(loads: &[u64]) -> f64 {
    let mean = mean(loads);
    let squares = loads.iter().map(|load| (*load as f64 - mean).powi(2));
    (squares.sum::<f64>() / loads.len() as f64).sqrt() / mean
}

/// The entropy of the shares of the loads, over the one of even shares; one expert has none.
fn entropy(loads: &[u64]) -> Option<f64> {
    if loads.len() < 2 {
        return None;
    }
    let all = loads.iter().sum::<u64>() as f64;
    let shares = loads.iter().filter(|load| **load > 0).map(|load| *load as f64 / all);
    Some(-shares.map(|share| share * share.ln()).sum::<f64>() / (loads.len() as f64).ln())
}

/// The share of dead experts.
fn dead(loads: &[u64]) -> f64 {
    let least = DEAD * mean(loads);
    share(loads, |load| (load as f64) < least)
}

/// The share of experts that something was sent to.
fn used(loads: &[u64]) -> f64 {
    share(loads, |load| load > 0)
}

fn share(loads: &[u64], holds: impl Fn(u64) -> bool) -> f64 {
    loads.iter().filter(|load| holds(**load)).count() as f64 / loads.len() as f64
}

impl Loads<'_> {
    /// [`max_vio`] of whole groups, where there are several.
    fn group_max_vio(&self) -> Option<f64> {
        let groups: Vec<u64> = self
            .loads
            .chunks(self.loads.len() / self.groups)
            .map(|group| group.iter().sum())
            .collect();
        (groups.len() > 1).then(|| max_vio(&groups))
    }
}

/// The figures of an update by name, for the loads of each layer with experts: over all layers the mean and the worst of
/// each figure, then the figures of each layer under its number. A layer to which nothing was sent has none.
pub fn metrics(layout: &Layout, loads: &[Vec<u64>]) -> Vec<(String, f64)> {
    let feed_forwards = layout.layers.iter().chain(layout.mtp.iter().map(|module| &module.layer));
    let groups = feed_forwards.enumerate().filter_map(|(layer, one)| match &one.feed_forward {
        FeedForward::Dense(_) => None,
        FeedForward::Moe { plan, .. } => Some((layer, plan.groups)),
    });
    let layers: Vec<(usize, Loads<'_>)> = groups
        .zip(loads)
        .filter(|(_, loads)| loads.iter().any(|load| *load > 0))
        .map(|((layer, groups), loads)| (layer, Loads { loads, groups }))
        .collect();
    let (mut whole, mut parts) = (Vec::new(), Vec::new());
    for Figure { name, is_worse_above, of } in &FIGURES {
        let found: Vec<(usize, f64)> =
            layers.iter().filter_map(|(layer, loads)| Some((*layer, of(loads)?))).collect();
        let values = || found.iter().map(|(_, value)| *value);
        if found.is_empty() {
            continue;
        }
        whole.push((format!("moe.{name}.mean"), values().sum::<f64>() / found.len() as f64));
        whole.push(match is_worse_above {
            true => (format!("moe.{name}.max"), values().fold(f64::NEG_INFINITY, f64::max)),
            false => (format!("moe.{name}.min"), values().fold(f64::INFINITY, f64::min)),
        });
        let named = |(layer, value)| (format!("moe.{name}.layer.{layer}"), value);
        parts.extend(found.iter().copied().map(named));
    }
    whole.extend(parts);
    whole
}

#[cfg(test)]
mod tests {
    use r1x_core::plan::{FeedForwardPlan, MoePlan, MtpPlan};
    use r1x_core::{plan::ModelPlan, testing};

    use super::*;

    fn layout(experts: usize, groups: usize) -> Layout {
        let mixture = MoePlan {
            routed_experts: experts,
            groups,
            dense_layers: vec![1],
            dense_intermediate_size: 8,
            ..testing::mixture()
        };
        Layout::new(&ModelPlan {
            layers: 3,
            feed_forward: FeedForwardPlan::Moe(mixture),
            mtp: Some(MtpPlan { depth: 1, weight: 0.1 }),
            ..testing::tiny_model()
        })
    }

    fn assert_metrics(found: &[(String, f64)], expected: &[(&str, f64)]) {
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for ((name, found), (_, expected)) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{name} is {found}, not {expected}");
        }
    }

    /// Layers 0 and 2 with 4 experts in 2 groups; layer 1 is dense, and the module behind them was not computed.
    #[test]
    fn every_figure_equals_the_one_worked_by_hand() {
        // Mean 5; the deviations 5, 4, 5, 4 have squares of 82, 20.5 in the mean. Groups have 11 and 9.
        let uneven = vec![10, 1, 0, 9];
        let even = vec![5, 5, 5, 5];
        let entropy = -(0.5 * 0.5f64.ln() + 0.05 * 0.05f64.ln() + 0.45 * 0.45f64.ln()) / 4f64.ln();
        let variation = 20.5f64.sqrt() / 5.0;
        let expected = [
            ("moe.max_vio.mean", 0.5),
            ("moe.max_vio.max", 1.0),
            ("moe.min_vio.mean", -0.5),
            ("moe.min_vio.min", -1.0),
            ("moe.cv.mean", variation / 2.0),
            ("moe.cv.max", variation),
            ("moe.entropy.mean", f64::midpoint(entropy, 1.0)),
            ("moe.entropy.min", entropy),
            // 1 is not below a tenth of 5; 0 is.
            ("moe.dead.mean", 0.125),
            ("moe.dead.max", 0.25),
            ("moe.utilisation.mean", 0.875),
            ("moe.utilisation.min", 0.75),
            ("moe.group_max_vio.mean", 0.05),
            ("moe.group_max_vio.max", 0.1),
            ("moe.max_vio.layer.0", 1.0),
            ("moe.max_vio.layer.2", 0.0),
            ("moe.min_vio.layer.0", -1.0),
            ("moe.min_vio.layer.2", 0.0),
            ("moe.cv.layer.0", variation),
            ("moe.cv.layer.2", 0.0),
            ("moe.entropy.layer.0", entropy),
            ("moe.entropy.layer.2", 1.0),
            ("moe.dead.layer.0", 0.25),
            ("moe.dead.layer.2", 0.0),
            ("moe.utilisation.layer.0", 0.75),
            ("moe.utilisation.layer.2", 1.0),
            ("moe.group_max_vio.layer.0", 0.1),
            ("moe.group_max_vio.layer.2", 0.0),
        ];
        assert_metrics(&metrics(&layout(4, 2), &[uneven, even, vec![0; 4]]), &expected);
    }

    #[test]
    fn what_a_layer_has_none_of_is_left_out() {
        // One group says nothing about groups, and one expert nothing about shares.
        let one = metrics(&layout(1, 1), &[vec![7], vec![0], vec![7]]);
        let names = ["max_vio", "min_vio", "cv", "dead", "utilisation"];
        let worst = ["max", "min", "max", "max", "min"];
        let values = [0.0, 0.0, 0.0, 0.0, 1.0];
        let all = names.iter().zip(worst).zip(values);
        let whole = all.flat_map(|((name, worst), value)| {
            [(format!("moe.{name}.mean"), value), (format!("moe.{name}.{worst}"), value)]
        });
        // The module behind three layers counts as the fourth.
        let layers = names.iter().zip(values).flat_map(|(name, value)| {
            [0, 3].map(|layer| (format!("moe.{name}.layer.{layer}"), value))
        });
        let expected: Vec<(String, f64)> = whole.chain(layers).collect();
        let expected: Vec<(&str, f64)> =
            expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_metrics(&one, &expected);
        assert!(metrics(&layout(4, 2), &[vec![0; 4], vec![0; 4], vec![0; 4]]).is_empty());
    }
}
