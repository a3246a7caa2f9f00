//! Feed-forward layers: one SwiGLU, or DeepSeek-V3's mixture of experts.
//!
//! Tokens are sorted by expert, so each expert is one product over the rows that chose it; contributions
//! reach a token in ascending order of expert. Must not know attention or sequences, except where the
//! balance loss asks for sequence boundaries.

use r1x_ops::Real;
use r1x_ops::kernel::router::Router;
use r1x_ops::kernel::swiglu::{swiglu, swiglu_backward};
use r1x_ops::kernel::{add_scaled, dot};
use r1x_ops::simd::vectorize;

use super::linear::{self, Gradient, reserve};
use crate::layout::{FeedForward, Matrix, Swiglu};
use crate::weights::Weights;
use r1x_core::plan::MoePlan;

/// Activations of one SwiGLU over some rows.
#[derive(Clone, Debug, Default)]
struct SwigluStash<R> {
    gate: Vec<R>,
    up: Vec<R>,
    act: Vec<R>,
    d_act: Vec<R>,
    d_gate: Vec<R>,
    d_up: Vec<R>,
}

/// What the forward pass leaves for the backward pass, and scratch of both.
#[derive(Clone, Debug, Default)]
pub struct Stash<R> {
    dense: SwigluStash<R>,
    routed: SwigluStash<R>,
    affinities: Vec<R>,
    chosen: Vec<u32>,
    gates: Vec<R>,
    /// Slots (token · experts_per_token + rank) sorted by expert.
    order: Vec<u32>,
    /// Where each expert starts in `order`; one more entry for the end.
    starts: Vec<usize>,
    gathered: Vec<R>,
    outputs: Vec<R>,
    d_gathered: Vec<R>,
    d_outputs: Vec<R>,
    d_gates: Vec<R>,
    d_affinities: Vec<R>,
    d_logits: Vec<R>,
    scratch: Vec<R>,
}

impl<R: Real> Stash<R> {
    /// How many rows of the last pass chose each expert; empty after a dense layer.
    pub fn loads(&self) -> impl Iterator<Item = usize> {
        self.starts.windows(2).map(|pair| pair[1] - pair[0])
    }
}

fn swiglu_forward<R: Real>(
    weights: &Weights<R>,
    block: &Swiglu,
    x: &[R],
    (y, accumulate): (&mut [R], bool),
    (gate, up, act): (&mut [R], &mut [R], &mut [R]),
    rows: usize,
) {
    linear::forward(weights, block.gate, x, gate, rows, false);
    linear::forward(weights, block.up, x, up, rows, false);
    swiglu(gate, up, act);
    linear::forward(weights, block.down, act, y, rows, accumulate);
}

impl<R: Real> SwigluStash<R> {
    fn reserve(&mut self, len: usize, backward: bool) {
        for buffer in [&mut self.gate, &mut self.up, &mut self.act] {
            reserve(buffer, len);
        }
        if backward {
            for buffer in [&mut self.d_act, &mut self.d_gate, &mut self.d_up] {
                reserve(buffer, len);
            }
        }
    }

    /// `range` are the rows of this block inside the stash; x, dy and dx are already those rows.
    fn backward(
        &mut self,
        weights: &Weights<R>,
        block: &Swiglu,
        (x, dy): (&[R], &[R]),
        (dx, accumulate): (&mut [R], bool),
        gradient: &mut Gradient<'_, R>,
        range: std::ops::Range<usize>,
    ) {
        let (rows, inner) = (range.len(), block.gate.rows);
        let part = range.start * inner..range.end * inner;
        let act = &self.act[part.clone()];
        let d_act = &mut self.d_act[part.clone()];
        linear::backward(weights, block.down, act, dy, (d_act, false), gradient, rows);
        let (gate, up) = (&self.gate[part.clone()], &self.up[part.clone()]);
        let (d_gate, d_up) = (&mut self.d_gate[part.clone()], &mut self.d_up[part]);
        swiglu_backward(gate, up, d_act, d_gate, d_up);
        linear::backward(weights, block.gate, x, d_gate, (&mut *dx, accumulate), gradient, rows);
        linear::backward(weights, block.up, x, d_up, (dx, true), gradient, rows);
    }
}

/// x[rows × hidden] += feed_forward(normed[rows × hidden]).
pub fn forward<R: Real>(
    block: &FeedForward,
    weights: &Weights<R>,
    normed: &[R],
    x: &mut [R],
    rows: usize,
    stash: &mut Stash<R>,
) {
    match block {
        FeedForward::Dense(dense) => {
            stash.starts.clear();
            shared_forward(dense, weights, normed, x, rows, &mut stash.dense);
        }
        FeedForward::Moe { router, bias, experts, shared, plan } => {
            if let Some(shared) = shared {
                shared_forward(shared, weights, normed, x, rows, &mut stash.dense);
            }
            route(plan, *router, &weights.biases()[*bias], weights, normed, rows, stash);
            experts_forward(experts, plan, weights, normed, x, stash);
        }
    }
}

fn shared_forward<R: Real>(
    block: &Swiglu,
    weights: &Weights<R>,
    normed: &[R],
    x: &mut [R],
    rows: usize,
    stash: &mut SwigluStash<R>,
) {
    let len = rows * block.gate.rows;
    stash.reserve(len, false);
    let buffers = (&mut stash.gate[..len], &mut stash.up[..len], &mut stash.act[..len]);
    swiglu_forward(weights, block, normed, (x, true), buffers, rows);
}

fn kernel(plan: &MoePlan) -> Router {
    Router {
        experts: plan.routed_experts,
        chosen: plan.experts_per_token,
        groups: plan.groups,
        groups_chosen: plan.groups_per_token,
        normalize: plan.normalize_gate,
        scale: plan.routed_scaling,
    }
}

/// Chooses experts for every row and sorts the choices by expert.
fn route<R: Real>(
    plan: &MoePlan,
    router: Matrix,
    bias: &[R],
    weights: &Weights<R>,
    normed: &[R],
    rows: usize,
    stash: &mut Stash<R>,
) {
    let (experts, chosen) = (plan.routed_experts, plan.experts_per_token);
    stash.affinities.resize(rows * experts, R::ZERO);
    linear::forward(weights, router, normed, &mut stash.affinities, rows, false);
    stash.chosen.resize(rows * chosen, 0);
    stash.gates.resize(rows * chosen, R::ZERO);
    let kernel = kernel(plan);
    for row in 0..rows {
        kernel.choose(
            &mut stash.affinities[row * experts..(row + 1) * experts],
            bias,
            &mut stash.chosen[row * chosen..(row + 1) * chosen],
            &mut stash.gates[row * chosen..(row + 1) * chosen],
            &mut stash.scratch,
        );
    }
    stash.starts.clear();
    stash.starts.resize(experts + 1, 0);
    for expert in &stash.chosen {
        stash.starts[*expert as usize + 1] += 1;
    }
    for expert in 0..experts {
        stash.starts[expert + 1] += stash.starts[expert];
    }
    let mut next = stash.starts.clone();
    stash.order.resize(rows * chosen, 0);
    for (slot, expert) in stash.chosen.iter().enumerate() {
        stash.order[next[*expert as usize]] = slot as u32;
        next[*expert as usize] += 1;
    }
}

fn experts_forward<R: Real>(
    experts: &[Swiglu],
    plan: &MoePlan,
    weights: &Weights<R>,
    normed: &[R],
    x: &mut [R],
    stash: &mut Stash<R>,
) {
    let slots = stash.order.len();
    let (hidden, inner) = (experts[0].gate.columns, plan.expert_intermediate_size);
    let gathered = reserve(&mut stash.gathered, slots * hidden);
    for (row, slot) in gathered.chunks_mut(hidden).zip(&stash.order) {
        let token = *slot as usize / plan.experts_per_token;
        row.copy_from_slice(&normed[token * hidden..(token + 1) * hidden]);
    }
    let outputs = reserve(&mut stash.outputs, slots * hidden);
    stash.routed.reserve(slots * inner, false);
    for (expert, block) in experts.iter().enumerate() {
        let (start, end) = (stash.starts[expert], stash.starts[expert + 1]);
        let part = start * inner..end * inner;
        let routed = &mut stash.routed;
        let buffers =
            (&mut routed.gate[part.clone()], &mut routed.up[part.clone()], &mut routed.act[part]);
        let input = &gathered[start * hidden..end * hidden];
        let output = &mut outputs[start * hidden..end * hidden];
        swiglu_forward(weights, block, input, (output, false), buffers, end - start);
    }
    vectorize(|| {
        for (row, slot) in outputs.chunks(hidden).zip(&stash.order) {
            let token = *slot as usize / plan.experts_per_token;
            add_scaled(
                &mut x[token * hidden..(token + 1) * hidden],
                stash.gates[*slot as usize],
                row,
            );
        }
    });
}

/// The balance loss of the rows' sequences: where each begins and ends, and the factor per sequence.
#[derive(Clone, Copy, Debug)]
pub struct Balance<'a> {
    /// First row of every sequence, and the number of rows at the end.
    pub boundaries: &'a [usize],
    /// One over the number of sequences in the whole update.
    pub weight: f64,
}

/// Adds to the gradient and overwrites `d_normed`, for upstream `dx`. Returns the balance loss.
pub fn backward<R: Real>(
    block: &FeedForward,
    weights: &Weights<R>,
    normed: &[R],
    dx: &[R],
    d_normed: &mut [R],
    gradient: &mut Gradient<'_, R>,
    balance: Balance<'_>,
    stash: &mut Stash<R>,
) -> f64 {
    let hidden = match block {
        FeedForward::Dense(dense) => dense.gate.columns,
        FeedForward::Moe { router, .. } => router.columns,
    };
    let rows = dx.len() / hidden;
    let mut whole = |block: &Swiglu, d_normed: &mut [R], gradient: &mut Gradient<'_, R>| {
        stash.dense.reserve(rows * block.gate.rows, true);
        let into = (d_normed, false);
        stash.dense.backward(weights, block, (normed, dx), into, gradient, 0..rows);
    };
    match block {
        FeedForward::Dense(dense) => {
            whole(dense, d_normed, gradient);
            0.0
        }
        FeedForward::Moe { router, experts, shared, plan, .. } => {
            match shared {
                Some(shared) => whole(shared, d_normed, gradient),
                None => d_normed.fill(R::ZERO),
            }
            experts_backward(experts, plan, weights, dx, d_normed, gradient, stash);
            let loss = router_backward(plan, balance, rows, stash);
            let into = (d_normed, true);
            linear::backward(weights, *router, normed, &stash.d_logits, into, gradient, rows);
            loss
        }
    }
}

fn experts_backward<R: Real>(
    experts: &[Swiglu],
    plan: &MoePlan,
    weights: &Weights<R>,
    dx: &[R],
    d_normed: &mut [R],
    gradient: &mut Gradient<'_, R>,
    stash: &mut Stash<R>,
) {
    let slots = stash.order.len();
    let (hidden, inner) = (experts[0].gate.columns, plan.expert_intermediate_size);
    let token_of = |slot: u32| slot as usize / plan.experts_per_token;
    stash.d_gates.resize(slots, R::ZERO);
    let d_outputs = reserve(&mut stash.d_outputs, slots * hidden);
    let (gates, d_gates, order) = (&stash.gates, &mut stash.d_gates, &stash.order);
    let outputs = &stash.outputs;
    vectorize(|| {
        for (index, slot) in order.iter().enumerate() {
            let token = token_of(*slot);
            let dy = &dx[token * hidden..(token + 1) * hidden];
            let row = index * hidden..(index + 1) * hidden;
            d_gates[*slot as usize] = dot(dy, &outputs[row.clone()]);
            for (d_output, dy) in d_outputs[row].iter_mut().zip(dy) {
                *d_output = gates[*slot as usize] * *dy;
            }
        }
    });
    let d_gathered = reserve(&mut stash.d_gathered, slots * hidden);
    stash.routed.reserve(slots * inner, true);
    for (expert, block) in experts.iter().enumerate() {
        let range = stash.starts[expert]..stash.starts[expert + 1];
        let part = range.start * hidden..range.end * hidden;
        let inputs = (&stash.gathered[part.clone()], &d_outputs[part.clone()]);
        let into = (&mut d_gathered[part], false);
        stash.routed.backward(weights, block, inputs, into, gradient, range);
    }
    vectorize(|| {
        for (row, slot) in d_gathered.chunks(hidden).zip(order) {
            let token = token_of(*slot);
            add_scaled(&mut d_normed[token * hidden..(token + 1) * hidden], R::ONE, row);
        }
    });
}

fn router_backward<R: Real>(
    plan: &MoePlan,
    balance: Balance<'_>,
    rows: usize,
    stash: &mut Stash<R>,
) -> f64 {
    let (experts, chosen) = (plan.routed_experts, plan.experts_per_token);
    let kernel = kernel(plan);
    stash.d_affinities.clear();
    stash.d_affinities.resize(rows * experts, R::ZERO);
    let mut loss = 0.0;
    if plan.balance_loss > 0.0 {
        let alpha = R::from_f64(plan.balance_loss * balance.weight);
        for pair in balance.boundaries.windows(2) {
            let part = pair[0] * experts..pair[1] * experts;
            let affinities = &stash.affinities[part.clone()];
            let picks = &stash.chosen[pair[0] * chosen..pair[1] * chosen];
            let d_affinities = &mut stash.d_affinities[part];
            loss += kernel.balance(affinities, picks, alpha, d_affinities).to_f64();
        }
    }
    stash.d_logits.clear();
    stash.d_logits.resize(rows * experts, R::ZERO);
    for row in 0..rows {
        let (wide, narrow) = (row * experts..(row + 1) * experts, row * chosen..(row + 1) * chosen);
        kernel.backward(
            &stash.affinities[wide.clone()],
            &stash.chosen[narrow.clone()],
            &stash.d_gates[narrow],
            &stash.d_affinities[wide.clone()],
            &mut stash.d_logits[wide],
        );
    }
    loss
}
