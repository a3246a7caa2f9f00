//! The router of a mixture computes in reals whatever the operands are.

use half::bf16;
use r1x_core::Rng;
use r1x_ops::Operand;

use super::*;
use crate::layout::{Block, Layout};
use crate::tests::{gqa, moe, plan};

const ROWS: usize = 40;

/// What a router decided about some rows, and the gradient of its weights by the balance loss alone.
#[derive(Debug, PartialEq)]
struct Routed {
    affinities: Vec<f32>,
    chosen: Vec<u32>,
    loss: f64,
    gradient: Vec<f32>,
}

fn layout() -> Layout {
    let flat = MoePlan { groups: 1, ..moe() };
    Layout::new(&plan(gqa(), r1x_core::plan::FeedForwardPlan::Moe(flat), true))
}

/// Normed rows, not one of whose elements fits a narrow operand.
fn rows(hidden: usize) -> Vec<f32> {
    let mut draws = Rng::new(3).stream("rows").at(&[]);
    (0..ROWS * hidden).map(|_| draws.normal() as f32).collect()
}

fn routed<E: Operand<Real = f32>>() -> Routed {
    let layout = layout();
    let weights = Weights::<E>::random(&layout, &Rng::new(7));
    let block = &layout.layers[0].feed_forward;
    let FeedForward::Moe { router, .. } = block else { unreachable!("a mixture") };
    let hidden = router.columns();
    let (exact, mut buffer) = (rows(hidden), Vec::new());
    let normed = Normed { exact: &exact, operands: E::rounded(&exact, &mut buffer) };
    let (mut x, mut stash) = (vec![0.0; ROWS * hidden], Stash::<E>::default());
    forward(block, &weights, normed, &mut x, ROWS, &mut stash);

    let part = &layout.parts[1];
    let (mut sums, mut panels) = (vec![0.0; part.len()], Vec::new());
    let gradient = &mut Gradient {
        front: &mut [],
        part: &mut sums,
        start: part.start,
        trained: 0,
        ignored: &mut Vec::new(),
        panels: &mut panels,
    };
    let sequences = [[0..0, 0..15], [0..0, 15..ROWS]];
    let balance = Balance { sequences: &sequences, weight: 0.5 };
    let (dx, mut d_normed) = (vec![0.0; ROWS * hidden], vec![0.0; ROWS * hidden]);
    let (mut back, mut buffer) = (BackwardScratch::default(), Vec::new());
    let dx = (&dx[..], E::rounded(&dx, &mut buffer));
    let loss =
        backward(block, &weights, normed, dx, &mut d_normed, gradient, balance, &stash, &mut back);
    let place = Block::from(*router);
    let first = place.offset - part.start;
    Routed {
        affinities: stash.affinities,
        chosen: stash.chosen,
        loss,
        gradient: sums[first..first + place.len()].to_vec(),
    }
}

/// Affinities, choices, balance loss and gradient have the bits of f32: no factor is rounded, forward or backward.
#[test]
fn a_router_between_narrow_operands_is_the_router_in_f32() {
    let (narrow, wide) = (routed::<bf16>(), routed::<f32>());
    assert!(wide.loss > 0.0 && wide.gradient.iter().all(|g| *g != 0.0), "{wide:?}");
    assert_eq!(narrow, wide);
}

/// What rounding the factors would do to these rows: the test above would see it.
#[test]
fn rounded_factors_would_give_other_affinities() {
    let layout = layout();
    let weights = Weights::<f32>::random(&layout, &Rng::new(7));
    let FeedForward::Moe { router, .. } = &layout.layers[0].feed_forward else {
        unreachable!("a mixture")
    };
    let round = |value: &f32| bf16::from_f32(*value).to_f32();
    let block = Block::from(*router);
    let factors = &weights.trained()[block.offset..block.offset + block.len()];
    let logit = |row: &[f32], expert: &[f32]| -> f32 {
        row.iter().zip(expert).map(|(x, w)| round(x) * round(w)).sum()
    };
    let hidden = router.columns();
    let rounded: Vec<f32> = rows(hidden)
        .chunks(hidden)
        .flat_map(|row| factors.chunks(hidden).map(|expert| logit(row, expert)).collect::<Vec<_>>())
        .map(|logit| 1.0 / (1.0 + (-logit).exp()))
        .collect();
    let exact = routed::<f32>().affinities;
    let largest = rounded.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 1e-3 && largest < 0.1, "{largest}");
}
