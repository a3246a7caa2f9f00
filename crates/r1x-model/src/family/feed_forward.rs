//! Feed-forward layers: one SwiGLU, or a mixture of experts.
//!
//! Tokens are sorted by expert, so each expert is one product over the rows that chose it; contributions reach a
//! token in ascending order of expert.

use std::ops::Range;

use r1x_core::plan::{GroupScore as PlannedScore, MoePlan, Scoring};
use r1x_ops::kernel::router::{Affinity, GroupScore, Router};
use r1x_ops::kernel::swiglu::{sigmoid, swiglu_rows, swiglu_rows_backward};
use r1x_ops::kernel::{Write, add_scaled, dot};
use r1x_ops::operand::round_all;
use r1x_ops::simd::vectorize;
use r1x_ops::{Operand, Real};

use super::linear::{self, Gradient, Strided, reserve};
use crate::layout::{Exact, FeedForward, Swiglu, Vector};
use crate::weights::Weights;

/// Activations of one SwiGLU over some rows.
#[derive(Clone, Debug, Default)]
struct SwigluStash<E: Operand> {
    /// The gate and the up projection of every row, rounded, `[rows, 2 · inner]`.
    gate_up_proj: Vec<E>,
    /// silu(gate_proj) · up_proj of every row, `[rows, inner]`.
    act: Vec<E>,
    /// The gate and the up projection as they leave the product, `[ROWS, 2 · inner]`, of the rows that are being
    /// computed.
    fresh: Vec<E::Real>,
}

/// Rows whose gate and up projections stay in the second-level cache.
const ROWS: usize = 64;

/// What the forward pass leaves for the backward pass.
#[derive(Clone, Debug, Default)]
pub struct Stash<E: Operand> {
    /// Of a dense layer, or of the shared experts.
    dense: SwigluStash<E>,
    /// Of the routed experts, in the order of `order`.
    routed: SwigluStash<E>,
    /// The affinity of every row to every expert, `[rows, experts]`.
    affinities: Vec<E::Real>,
    /// The experts of every row, ascending, `[rows, experts_per_token]`; empty after a dense layer.
    chosen: Vec<u32>,
    /// The coefficient of every choice, laid out as `chosen`.
    coefficients: Vec<E::Real>,
    /// Slots (token · experts_per_token + rank) sorted by expert.
    order: Vec<u32>,
    /// Where each expert starts in `order`; one more entry for the end.
    starts: Vec<usize>,
    /// The normed row of every slot, `[slots, hidden]`, in the order of `order`.
    gathered: Vec<E>,
    /// What the slot's expert makes of it, `[slots, hidden]`, in the order of `order`.
    outputs: Vec<E::Real>,
    /// Memory of choosing: the scores of one row.
    scores: Vec<E::Real>,
    /// What the shared experts make of each row, `[rows, hidden]`, where a gate decides how much of it counts.
    shared: Vec<E::Real>,
    /// The gate of each row.
    shared_gates: Vec<E::Real>,
}

/// Memory of the backward pass, shared by all layers. What is in it is read in the layer that wrote it only.
#[derive(Clone, Debug, Default)]
pub struct BackwardScratch<E: Operand> {
    /// The gradient of the activations of one SwiGLU, `[rows, inner]`.
    d_act: Vec<E::Real>,
    /// The gradient of the gate and the up projection of one SwiGLU, `[rows, 2 · inner]`.
    d_gate_up_proj: Vec<E>,
    /// The gradient of the gathered rows, `[slots, hidden]`.
    d_gathered: Vec<E::Real>,
    /// The gradient of the routed experts' outputs as operands, `[slots, hidden]`.
    d_outputs: Vec<E>,
    /// The gradient of the coefficients, `[rows, experts_per_token]`.
    d_coefficients: Vec<E::Real>,
    /// The gradient of the affinities by the balance loss, `[rows, experts]`.
    d_affinities: Vec<E::Real>,
    /// The gradient of the router's logits, `[rows, experts]`.
    d_logits: Vec<E::Real>,
    /// The gradient of the shared experts' outputs as operands, `[rows, hidden]`, where they are gated.
    d_shared: Vec<E>,
    /// Memory of the router's weight gradient.
    panels: Vec<E::Real>,
    /// Every row's experts by affinity alone, and the scores they are found with.
    favourites: Vec<u32>,
    scores: Vec<E::Real>,
    sequence: Sequence<E::Real>,
}

/// One sequence's rows, gathered for the balance loss.
#[derive(Clone, Debug, Default)]
struct Sequence<R> {
    affinities: Vec<R>,
    d_affinities: Vec<R>,
    favourites: Vec<u32>,
}

impl<E: Operand> Stash<E> {
    /// Adds to `loads` how often each expert was chosen in the last pass, a row counting as many times as
    /// sequences share it; nothing after a dense layer.
    pub fn add_loads(&self, shares: &[u32], loads: &mut [u64]) {
        let per_row = self.chosen.len() / shares.len().max(1);
        for (chosen, share) in self.chosen.chunks(per_row.max(1)).zip(shares) {
            for expert in chosen {
                loads[*expert as usize] += u64::from(*share);
            }
        }
    }
}

/// y[rows × hidden] = swiglu(x[rows × hidden]), or added to y; what the backward pass needs goes into `range` of the
/// stash's rows.
fn swiglu_forward<E: Operand>(
    weights: &Weights<E>,
    block: &Swiglu,
    x: &[E],
    (y, write): (&mut [E::Real], Write),
    stash: &mut SwigluStash<E>,
    range: Range<usize>,
) {
    let (rows, inner, hidden) = (range.len(), block.gate_proj.rows, block.gate_proj.columns);
    let gate_up_proj = &mut stash.gate_up_proj[range.start * 2 * inner..range.end * 2 * inner];
    let act = &mut stash.act[range.start * inner..range.end * inner];
    let fresh = reserve(&mut stash.fresh, rows.min(ROWS) * 2 * inner);
    let chunks = gate_up_proj.chunks_mut(ROWS * 2 * inner).zip(act.chunks_mut(ROWS * inner));
    for ((gate_up_proj, act), x) in chunks.zip(x.chunks(ROWS * hidden)) {
        let (x, rows) = (Strided { data: x, stride: hidden }, act.len() / inner);
        // Activations come from what the product gave; the backward pass is content with what is rounded.
        let fresh = &mut fresh[..gate_up_proj.len()];
        linear::forward(weights, block.gate_up_proj, x, (fresh, 2 * inner), rows, Write::Overwrite);
        swiglu_rows(fresh, inner, act);
        round_all(fresh, gate_up_proj);
    }
    let act = Strided { data: &*act, stride: inner };
    linear::forward(weights, block.down_proj, act, (y, hidden), rows, write);
}

impl<E: Operand> SwigluStash<E> {
    fn reserve(&mut self, rows: usize, inner: usize) {
        reserve(&mut self.gate_up_proj, rows * 2 * inner);
        reserve(&mut self.act, rows * inner);
    }

    /// Overwrites dx and adds to the gradient. `range` are the rows of the block inside the stash; x, dy and dx hold
    /// the rows of the range alone.
    fn backward(
        &self,
        weights: &Weights<E>,
        block: &Swiglu,
        (x, dy): (&[E], &[E]),
        dx: &mut [E::Real],
        gradient: &mut Gradient<'_, E>,
        (d_act, d_gate_up_proj): (&mut Vec<E::Real>, &mut Vec<E>),
        range: Range<usize>,
    ) {
        let (rows, inner, hidden) = (range.len(), block.gate_proj.rows, block.gate_proj.columns);
        let (x, dy) = (Strided { data: x, stride: hidden }, Strided { data: dy, stride: hidden });
        let d_act = reserve(d_act, rows * inner);
        linear::backward(weights, block.down_proj, dy, (d_act, inner), rows, Write::Overwrite);
        let act = &self.act[range.start * inner..range.end * inner];
        linear::weight_gradient(
            weights,
            block.down_proj,
            Strided { data: act, stride: inner },
            dy,
            gradient,
            rows,
        );
        let gate_up_proj = &self.gate_up_proj[range.start * 2 * inner..range.end * 2 * inner];
        let d_gate_up_proj = reserve(d_gate_up_proj, rows * 2 * inner);
        swiglu_rows_backward(gate_up_proj, inner, d_act, d_gate_up_proj);
        let dy = Strided { data: &*d_gate_up_proj, stride: 2 * inner };
        linear::backward(weights, block.gate_up_proj, dy, (dx, hidden), rows, Write::Overwrite);
        linear::weight_gradient(weights, block.gate_up_proj, x, dy, gradient, rows);
    }
}

/// The normed input of a layer `[rows, hidden]`: as it is for the router, and as operands for the experts.
#[derive(Clone, Copy, Debug)]
pub struct Normed<'a, E: Operand> {
    /// As it is.
    pub exact: &'a [E::Real],
    /// As operands.
    pub operands: &'a [E],
}

/// x[rows × hidden] += feed_forward(normed[rows × hidden]).
pub fn forward<E: Operand>(
    block: &FeedForward,
    weights: &Weights<E>,
    Normed { exact, operands: normed }: Normed<'_, E>,
    x: &mut [E::Real],
    rows: usize,
    stash: &mut Stash<E>,
) {
    let mut whole = |block: &Swiglu, stash: &mut SwigluStash<E>| {
        stash.reserve(rows, block.gate_proj.rows);
        swiglu_forward(weights, block, normed, (&mut *x, Write::Add), stash, 0..rows);
    };
    match block {
        FeedForward::Dense(dense) => {
            stash.chosen.clear();
            whole(dense, &mut stash.dense);
        }
        FeedForward::Moe { router, sparse, experts, shared, shared_gate, plan } => {
            match (shared, shared_gate) {
                (Some(shared), Some(gate)) => {
                    gated_forward(weights, (shared, *gate), (exact, normed), x, rows, stash);
                }
                (Some(shared), None) => whole(shared, &mut stash.dense),
                (None, _) => {}
            }
            let bias = weights.biases().get(*sparse).map_or(&[][..], Vec::as_slice);
            route(plan, *router, bias, weights, exact, rows, stash);
            experts_forward(experts, plan, weights, normed, x, stash);
        }
    }
}

/// x[rows × hidden] += sigmoid(gate · row) · shared(row), row by row (Qwen2-MoE).
fn gated_forward<E: Operand>(
    weights: &Weights<E>,
    (block, gate): (&Swiglu, Vector),
    (exact, normed): (&[E::Real], &[E]),
    x: &mut [E::Real],
    rows: usize,
    stash: &mut Stash<E>,
) {
    let hidden = gate.len;
    stash.dense.reserve(rows, block.gate_proj.rows);
    let shared = reserve(&mut stash.shared, rows * hidden);
    let to = (&mut *shared, Write::Overwrite);
    swiglu_forward(weights, block, normed, to, &mut stash.dense, 0..rows);
    let (gates, weights) = (reserve(&mut stash.shared_gates, rows), weights.vector(gate));
    vectorize(|| {
        let rows = exact.chunks(hidden).zip(shared.chunks(hidden)).zip(x.chunks_mut(hidden));
        for (((exact, shared), x), gate) in rows.zip(gates) {
            *gate = sigmoid(dot(exact, weights));
            add_scaled(x, *gate, shared);
        }
    });
}

/// Overwrites `d_normed` and adds to the gradient, for the upstream gradient `dx` of the residual stream.
fn gated_backward<E: Operand>(
    weights: &Weights<E>,
    (block, gate): (&Swiglu, Vector),
    (exact, normed): (&[E::Real], &[E]),
    dx: &[E::Real],
    d_normed: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E>,
    back: &mut BackwardScratch<E>,
) {
    let hidden = gate.len;
    let d_shared = reserve(&mut back.d_shared, dx.len());
    for ((d_shared, dx), gate) in
        d_shared.chunks_mut(hidden).zip(dx.chunks(hidden)).zip(&stash.shared_gates)
    {
        for (d_shared, dx) in d_shared.iter_mut().zip(dx) {
            *d_shared = E::round(*gate * *dx);
        }
    }
    let buffers = (&mut back.d_act, &mut back.d_gate_up_proj);
    let (pair, rows) = ((normed, &*d_shared), 0..dx.len() / hidden);
    stash.dense.backward(weights, block, pair, d_normed, gradient, buffers, rows);
    let (d_gate, weights) = (gradient.at(gate.offset, hidden), weights.vector(gate));
    vectorize(|| {
        let rows = dx.chunks(hidden).zip(stash.shared.chunks(hidden)).zip(exact.chunks(hidden));
        let gates = d_normed.chunks_mut(hidden).zip(&stash.shared_gates);
        for (((dx, shared), exact), (d_normed, gate)) in rows.zip(gates) {
            let d_logit = dot(dx, shared) * *gate * (E::Real::ONE - *gate);
            add_scaled(d_gate, d_logit, exact);
            add_scaled(d_normed, d_logit, weights);
        }
    });
}

fn kernel(plan: &MoePlan) -> Router {
    Router {
        experts: plan.routed_experts,
        chosen: plan.experts_per_token,
        affinity: match plan.scoring {
            Scoring::Sigmoid => Affinity::Sigmoid,
            Scoring::Softmax => Affinity::Softmax,
        },
        groups: plan.groups,
        groups_chosen: plan.groups_per_token,
        group_score: match plan.group_score {
            PlannedScore::TopTwo => GroupScore::TopTwo,
            PlannedScore::Largest => GroupScore::Largest,
        },
        normalize: plan.normalize_affinities,
        scale: plan.routed_scaling,
    }
}

/// Chooses experts for every row and sorts the choices by expert.
fn route<E: Operand>(
    plan: &MoePlan,
    router: Exact,
    bias: &[E::Real],
    weights: &Weights<E>,
    normed: &[E::Real],
    rows: usize,
    stash: &mut Stash<E>,
) {
    let (experts, chosen) = (plan.routed_experts, plan.experts_per_token);
    let affinities = reserve(&mut stash.affinities, rows * experts);
    let x = Strided { data: normed, stride: router.columns() };
    linear::exact_forward(weights, router, x, (affinities, experts), rows, Write::Overwrite);
    stash.chosen.resize(rows * chosen, 0);
    stash.coefficients.resize(rows * chosen, E::Real::ZERO);
    let kernel = kernel(plan);
    let choices = stash.chosen.chunks_mut(chosen).zip(stash.coefficients.chunks_mut(chosen));
    for (affinities, (picks, coefficients)) in affinities.chunks_mut(experts).zip(choices) {
        kernel.choose(affinities, bias, picks, coefficients, &mut stash.scores);
    }
    // Slots are sorted by counting: how many each expert has, where each expert starts, then each slot to its place.
    stash.starts.clear();
    stash.starts.resize(experts + 2, 0);
    for expert in &stash.chosen {
        stash.starts[*expert as usize + 2] += 1;
    }
    for expert in 0..experts {
        stash.starts[expert + 2] += stash.starts[expert + 1];
    }
    stash.order.resize(rows * chosen, 0);
    // Each expert's start moves up to the next one's, so that the list ends up where it is wanted.
    for (slot, expert) in stash.chosen.iter().enumerate() {
        let next = &mut stash.starts[*expert as usize + 1];
        stash.order[*next] = slot as u32;
        *next += 1;
    }
    stash.starts.truncate(experts + 1);
}

fn experts_forward<E: Operand>(
    experts: &[Swiglu],
    plan: &MoePlan,
    weights: &Weights<E>,
    normed: &[E],
    x: &mut [E::Real],
    stash: &mut Stash<E>,
) {
    let slots = stash.order.len();
    let (hidden, inner) = (experts[0].gate_proj.columns, plan.expert_intermediate_size);
    // The rows of an expert side by side are the left factor of one product.
    let gathered = reserve(&mut stash.gathered, slots * hidden);
    for (row, slot) in gathered.chunks_mut(hidden).zip(&stash.order) {
        let token = *slot as usize / plan.experts_per_token;
        row.copy_from_slice(&normed[token * hidden..(token + 1) * hidden]);
    }
    let outputs = reserve(&mut stash.outputs, slots * hidden);
    stash.routed.reserve(slots, inner);
    for (expert, block) in experts.iter().enumerate() {
        let range = stash.starts[expert]..stash.starts[expert + 1];
        let part = range.start * hidden..range.end * hidden;
        let (input, output) = (&gathered[part.clone()], (&mut outputs[part], Write::Overwrite));
        swiglu_forward(weights, block, input, output, &mut stash.routed, range);
    }
    let (order, coefficients) = (&stash.order, &stash.coefficients);
    // One row after the other in the order of experts: a token's sum has one order, whatever stands beside it.
    vectorize(|| {
        for (row, slot) in outputs.chunks(hidden).zip(order) {
            let token = *slot as usize / plan.experts_per_token;
            let to = &mut x[token * hidden..(token + 1) * hidden];
            add_scaled(to, coefficients[*slot as usize], row);
        }
    });
}

/// The balance loss of the pass's sequences.
#[derive(Clone, Copy, Debug)]
pub struct Balance<'a> {
    /// The rows of each sequence.
    pub sequences: &'a [[Range<usize>; 2]],
    /// One over the number of sequences in the whole update.
    pub weight: f64,
}

/// Adds to the gradient and overwrites `d_normed`, for the upstream gradient `dx` of the residual stream, as it is and
/// as operands. Returns the balance loss.
pub fn backward<E: Operand>(
    block: &FeedForward,
    weights: &Weights<E>,
    Normed { exact, operands: normed }: Normed<'_, E>,
    (dx, dy): (&[E::Real], &[E]),
    d_normed: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    balance: Balance<'_>,
    stash: &Stash<E>,
    back: &mut BackwardScratch<E>,
) -> f64 {
    let hidden = match block {
        FeedForward::Dense(dense) => dense.gate_proj.columns,
        FeedForward::Moe { router, .. } => router.columns(),
    };
    let rows = dx.len() / hidden;
    match block {
        FeedForward::Dense(dense) => {
            let buffers = (&mut back.d_act, &mut back.d_gate_up_proj);
            let stash = &stash.dense;
            stash.backward(weights, dense, (normed, dy), d_normed, gradient, buffers, 0..rows);
            0.0
        }
        FeedForward::Moe { router, experts, shared, shared_gate, plan, .. } => {
            match (shared, shared_gate) {
                (Some(block), Some(gate)) => {
                    let rows = (exact, normed);
                    let block = (block, *gate);
                    gated_backward(weights, block, rows, dx, d_normed, gradient, stash, back);
                }
                (Some(block), None) => {
                    let buffers = (&mut back.d_act, &mut back.d_gate_up_proj);
                    let stash = &stash.dense;
                    let pair = (normed, dy);
                    stash.backward(weights, block, pair, d_normed, gradient, buffers, 0..rows);
                }
                (None, _) => d_normed.fill(E::Real::ZERO),
            }
            experts_backward(experts, plan, weights, dx, d_normed, gradient, stash, back);
            let loss = router_backward(plan, balance, rows, stash, back);
            let dy = Strided { data: &back.d_logits[..], stride: router.rows() };
            linear::exact_backward(weights, *router, dy, (d_normed, hidden), rows, Write::Add);
            let x = Strided { data: exact, stride: hidden };
            linear::exact_weight_gradient(
                *router,
                x,
                dy,
                &mut gradient.exact(&mut back.panels),
                rows,
            );
            loss
        }
    }
}

fn experts_backward<E: Operand>(
    experts: &[Swiglu],
    plan: &MoePlan,
    weights: &Weights<E>,
    dx: &[E::Real],
    d_normed: &mut [E::Real],
    gradient: &mut Gradient<'_, E>,
    stash: &Stash<E>,
    back: &mut BackwardScratch<E>,
) {
    let slots = stash.order.len();
    let hidden = experts[0].gate_proj.columns;
    let token_of = |slot: u32| slot as usize / plan.experts_per_token;
    let BackwardScratch { d_act, d_gate_up_proj, d_gathered, d_outputs, d_coefficients, .. } = back;
    d_coefficients.resize(slots, E::Real::ZERO);
    let d_outputs = reserve(d_outputs, slots * hidden);
    let (coefficients, order, outputs) = (&stash.coefficients, &stash.order, &stash.outputs);
    // A token's sum is Σ coefficient · output, so the gradient of each of the two is the upstream one times the other.
    vectorize(|| {
        for (index, slot) in order.iter().enumerate() {
            let token = token_of(*slot);
            let dy = &dx[token * hidden..(token + 1) * hidden];
            let row = index * hidden..(index + 1) * hidden;
            d_coefficients[*slot as usize] = dot(dy, &outputs[row.clone()]);
            let coefficient = coefficients[*slot as usize];
            for (d_output, dy) in d_outputs[row].iter_mut().zip(dy) {
                *d_output = E::round(coefficient * *dy);
            }
        }
    });
    let d_gathered = reserve(d_gathered, slots * hidden);
    for (expert, block) in experts.iter().enumerate() {
        let range = stash.starts[expert]..stash.starts[expert + 1];
        // An expert that nobody chose has no gradient.
        if range.is_empty() {
            continue;
        }
        let part = range.start * hidden..range.end * hidden;
        let inputs = (&stash.gathered[part.clone()], &d_outputs[part.clone()]);
        let (into, buffers) = (&mut d_gathered[part], (&mut *d_act, &mut *d_gate_up_proj));
        stash.routed.backward(weights, block, inputs, into, gradient, buffers, range);
    }
    vectorize(|| {
        for (row, slot) in d_gathered.chunks(hidden).zip(order) {
            let token = token_of(*slot);
            add_scaled(&mut d_normed[token * hidden..(token + 1) * hidden], E::Real::ONE, row);
        }
    });
}

fn router_backward<E: Operand>(
    plan: &MoePlan,
    balance: Balance<'_>,
    rows: usize,
    stash: &Stash<E>,
    back: &mut BackwardScratch<E>,
) -> f64 {
    let (experts, chosen) = (plan.routed_experts, plan.experts_per_token);
    let kernel = kernel(plan);
    let BackwardScratch {
        d_coefficients,
        d_affinities,
        d_logits,
        favourites,
        scores,
        sequence,
        ..
    } = back;
    d_affinities.clear();
    d_affinities.resize(rows * experts, E::Real::ZERO);
    let mut loss = 0.0;
    if plan.balance_loss > 0.0 {
        favourites.resize(rows * chosen, 0);
        let affinities = stash.affinities[..rows * experts].chunks(experts);
        for (affinities, experts) in affinities.zip(favourites.chunks_mut(chosen)) {
            kernel.favourites(affinities, experts, scores);
        }
        let alpha = E::Real::from_f64(plan.balance_loss * balance.weight);
        for ranges in balance.sequences {
            let rows = (&stash.affinities[..], &favourites[..]);
            loss += sequence.balance(&kernel, ranges, alpha, rows, d_affinities);
        }
    }
    d_logits.clear();
    d_logits.resize(rows * experts, E::Real::ZERO);
    for row in 0..rows {
        let (wide, narrow) = (row * experts..(row + 1) * experts, row * chosen..(row + 1) * chosen);
        kernel.backward(
            &stash.affinities[wide.clone()],
            &stash.chosen[narrow.clone()],
            &d_coefficients[narrow],
            &d_affinities[wide.clone()],
            &mut d_logits[wide],
        );
    }
    loss
}

impl<R: Real> Sequence<R> {
    /// The balance loss of one sequence; its gradient is added to the rows it consists of.
    fn balance(
        &mut self,
        kernel: &Router,
        ranges: &[Range<usize>; 2],
        alpha: R,
        (affinities, favourites): (&[R], &[u32]),
        d_affinities: &mut [R],
    ) -> f64 {
        let (experts, chosen) = (kernel.experts, kernel.chosen);
        self.affinities.clear();
        self.favourites.clear();
        for rows in ranges {
            let (wide, narrow) =
                (rows.start * experts..rows.end * experts, rows.start * chosen..rows.end * chosen);
            self.affinities.extend(&affinities[wide]);
            self.favourites.extend(&favourites[narrow]);
        }
        self.d_affinities.clear();
        self.d_affinities.resize(self.affinities.len(), R::ZERO);
        let loss =
            kernel.balance(&self.affinities, &self.favourites, alpha, &mut self.d_affinities);
        let mut from = &self.d_affinities[..];
        for rows in ranges {
            let to = &mut d_affinities[rows.start * experts..rows.end * experts];
            let (part, rest) = from.split_at(to.len());
            add_scaled(to, R::ONE, part);
            from = rest;
        }
        loss.to_f64()
    }
}

#[cfg(test)]
#[path = "feed_forward_tests.rs"]
mod tests;
