//! Feed-forward layers out of candle ops: one SwiGLU, or a mixture of experts.
//!
//! Affinities visit the host once per layer, where experts are chosen; everything with a gradient stays on the
//! device.

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use candle_nn::ops::{sigmoid, softmax};
use r1x_core::plan::{GroupScore, MoePlan, Scoring};
use r1x_ops::op::swiglu;

use super::Composed;
use crate::error::ModelError;
use crate::layout::{FeedForward, Swiglu};

/// What one router decided about the rows of a pass.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Affinity of every row to every routed expert, `[rows, experts]`.
    pub affinities: Tensor,
    /// Chosen experts, ascending in each row, `rows · experts_per_token`.
    pub chosen: Vec<u32>,
    /// The experts of largest affinity, without bias and groups: as many; none without a balance loss, which
    /// counts them.
    favourites: Vec<u32>,
    plan: MoePlan,
}

impl Routing {
    /// How many rows chose each expert.
    pub fn loads(&self) -> Vec<u64> {
        let mut loads = vec![0; self.plan.routed_experts];
        self.chosen.iter().for_each(|expert| loads[*expert as usize] += 1);
        loads
    }

    pub(super) fn has_balance_loss(&self) -> bool {
        self.plan.balance_loss > 0.0
    }

    /// α · Σ fᵢ·Pᵢ over the rows of one sequence: fᵢ is how often expert i is a favourite relative to an even
    /// spread, a constant; Pᵢ is its mean share of a row's affinities (DeepSeek-V3 Technical Report, arXiv
    /// 2412.19437, equations 17 to 20).
    pub(super) fn balance(&self, rows: Range<usize>) -> Result<Tensor, ModelError> {
        let (experts, chosen) = (self.plan.routed_experts, self.plan.experts_per_token);
        let even = (chosen * rows.len()) as f64 / experts as f64;
        let mut loads = vec![0f64; experts];
        for expert in &self.favourites[rows.start * chosen..rows.end * chosen] {
            loads[*expert as usize] += 1.0 / even;
        }
        let affinities = self.affinities.narrow(0, rows.start, rows.len())?;
        let loads = Tensor::new(loads, affinities.device())?.to_dtype(affinities.dtype())?;
        let sums = (affinities.sum_keepdim(D::Minus1)? + TINY)?;
        let shares = affinities.broadcast_div(&sums)?.mean(0)?;
        Ok(((shares * loads)?.sum_all()? * self.plan.balance_loss)?)
    }
}

/// Keeps sums of affinities away from zero.
const TINY: f64 = 1e-20;

/// The experts of one row, ascending: the best by affinity plus bias, where there is one, out of the groups that score
/// best. Ties go to the lower index.
fn choose(plan: &MoePlan, affinities: &[f64], bias: &[f64]) -> Vec<u32> {
    let mut scores = affinities.to_vec();
    scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
    let counted = match plan.group_score {
        GroupScore::TopTwo => 2,
        GroupScore::Largest => 1,
    };
    let size = plan.routed_experts / plan.groups;
    let strengths: Vec<f64> = scores
        .chunks(size)
        .map(|group| {
            ranked(group, 0..group.len()).iter().take(counted).map(|best| group[*best]).sum()
        })
        .collect();
    let open = ranked(&strengths, 0..plan.groups);
    let open = &open[..plan.groups_per_token];
    let eligible = (0..plan.routed_experts).filter(|expert| open.contains(&(expert / size)));
    let best = ranked(&scores, eligible);
    let mut chosen: Vec<u32> =
        best.iter().take(plan.experts_per_token).map(|expert| *expert as u32).collect();
    chosen.sort_unstable();
    chosen
}

/// The experts of one row by affinity alone. Ties go to the lower index.
fn favourites(plan: &MoePlan, affinities: &[f64]) -> impl Iterator<Item = u32> {
    let best = ranked(affinities, 0..plan.routed_experts);
    best.into_iter().take(plan.experts_per_token).map(|expert| expert as u32)
}

/// Indices by falling value, equal values in rising order.
fn ranked(values: &[f64], indices: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut indices: Vec<usize> = indices.collect();
    indices.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    indices
}

impl Composed {
    /// Output `[rows, hidden]` for normed input of the same shape, and the routing of a layer with experts.
    pub(super) fn feed_forward(
        &self,
        block: &FeedForward,
        normed: &Tensor,
    ) -> Result<(Tensor, Option<Routing>), ModelError> {
        let (router, sparse, experts, shared, shared_gate, plan) = match block {
            FeedForward::Dense(dense) => return Ok((self.swiglu(dense, normed)?, None)),
            FeedForward::Moe { router, sparse, experts, shared, shared_gate, plan } => {
                (router, sparse, experts, shared, shared_gate, plan)
            }
        };
        let bias = self.biases.get(*sparse).map_or(&[][..], Vec::as_slice);
        let logits = self.parameters.linear(*router, normed)?;
        let affinities = match plan.scoring {
            Scoring::Sigmoid => sigmoid(&logits)?,
            Scoring::Softmax => softmax(&logits, D::Minus1)?,
        };
        let on_host = affinities.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let chosen = on_host.iter().flat_map(|row| choose(plan, row, bias)).collect();
        let balanced = on_host.iter().filter(|_| plan.balance_loss > 0.0);
        let favourites = balanced.flat_map(|row| favourites(plan, row)).collect();
        let routing = Routing { affinities, chosen, favourites, plan: plan.clone() };
        let routed = self.routed(experts, &routing, normed)?;
        let output = match shared {
            None => routed,
            Some(shared) => {
                let mut shared = self.swiglu(shared, normed)?;
                if let Some(gate) = shared_gate {
                    let gate = normed.matmul(&self.parameters.at(gate.offset)?.t()?)?;
                    shared = shared.broadcast_mul(&sigmoid(&gate)?)?;
                }
                (shared + routed)?
            }
        };
        Ok((output, Some(routing)))
    }

    fn swiglu(&self, block: &Swiglu, x: &Tensor) -> Result<Tensor, ModelError> {
        let gate_proj = self.parameters.linear(block.gate_proj, x)?;
        let up_proj = self.parameters.linear(block.up_proj, x)?;
        self.parameters.linear(block.down_proj, &swiglu(&gate_proj, &up_proj)?)
    }

    /// Σ coefficient · expert over the chosen experts of every row. Each expert computes the rows that chose it, and
    /// every row then sums its own: no two rows are added into one place, so no order is left to chance.
    fn routed(
        &self,
        experts: &[Swiglu],
        routing: &Routing,
        normed: &Tensor,
    ) -> Result<Tensor, ModelError> {
        let per_row = routing.plan.experts_per_token;
        let mut results = Vec::new();
        let mut place_of_slot = vec![0u32; routing.chosen.len()];
        let mut placed = 0;
        for (expert, block) in experts.iter().enumerate() {
            let mine = |(slot, chosen): (usize, &u32)| (*chosen as usize == expert).then_some(slot);
            let slots: Vec<usize> = routing.chosen.iter().enumerate().filter_map(mine).collect();
            if slots.is_empty() {
                continue;
            }
            let rows: Vec<u32> = slots.iter().map(|slot| (slot / per_row) as u32).collect();
            let rows = Tensor::new(rows, normed.device())?;
            results.push(self.swiglu(block, &normed.index_select(&rows, 0)?)?);
            for slot in slots {
                place_of_slot[slot] = placed;
                placed += 1;
            }
        }
        let place_of_slot = Tensor::new(place_of_slot, normed.device())?;
        let by_slot = Tensor::cat(&results, 0)?.index_select(&place_of_slot, 0)?;
        let (rows, hidden) = normed.dims2()?;
        let weighted = by_slot.broadcast_mul(&coefficients(routing)?.unsqueeze(1)?)?;
        Ok(weighted.reshape((rows, per_row, hidden))?.sum(1)?)
    }
}

/// The coefficient of every choice, `[rows · experts_per_token]`: the chosen affinities, divided by their sum in
/// the row if the plan says so, times the scaling.
fn coefficients(routing: &Routing) -> Result<Tensor, ModelError> {
    let (affinities, plan) = (&routing.affinities, &routing.plan);
    let shape = (affinities.dim(0)?, plan.experts_per_token);
    let chosen = Tensor::from_slice(&routing.chosen, shape, affinities.device())?;
    let mut coefficients = affinities.gather(&chosen, 1)?;
    if plan.normalize_affinities {
        coefficients = coefficients.broadcast_div(&(coefficients.sum_keepdim(1)? + TINY)?)?;
    }
    Ok((coefficients * plan.routed_scaling)?.flatten_all()?)
}
