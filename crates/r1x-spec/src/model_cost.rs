//! What a model costs by itself, whatever it is trained on: bytes, arithmetic, and devices that hold it.
//!
//! These are sums on paper, over the numbers that a model has and not over the buffers of this program, which are the
//! business of `memory`.

use serde::Serialize;

use r1x_core::plan::{AttentionPlan, GqaPlan, MlaPlan, ModelPlan, Precision};

use crate::estimate::{Parameters, attended, forward_flops};
use crate::memory::{Kept, activations};

/// Bytes of a master weight, a gradient or a moment.
const F32: u64 = 4;

/// What a model takes and does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelCost {
    /// Longest sequence, tokens.
    pub context_length: u64,
    /// Bytes that a token takes in the caches of all layers, as factors of products. Layers with a window forget the
    /// tokens behind it.
    pub cache_token_bytes: u64,
    /// Bytes of the caches of one sequence that fills the context.
    pub cache_context_bytes: u64,
    /// Floating-point operations of a token that attends to nothing, forward.
    pub token_flops: f64,
    /// Floating-point operations of the last token of a sequence that fills the context, forward.
    pub last_token_flops: f64,
    /// Bytes of all weights as factors of products, in the precision of the plan.
    pub factor_bytes: u64,
    /// Bytes of the weights that are trained, in f32.
    pub master_bytes: u64,
    /// Bytes of their gradients.
    pub gradient_bytes: u64,
    /// Bytes of the two moments of the optimizer.
    pub moment_bytes: u64,
    /// Bytes that are kept of a token for the backward pass of supervised training, in all layers and modules.
    pub activation_token_bytes: u64,
    /// Bytes that are kept of a token where layers are computed again.
    pub recomputed_token_bytes: u64,
    /// Bytes that one sequence that fills the context keeps for the backward pass, as the plan says.
    pub activation_context_bytes: u64,
}

/// How many devices of a size a model needs, if nothing but what is counted here had to be on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Devices {
    /// Bytes of one device.
    pub memory_bytes: u64,
    /// Devices for the weights and the caches of one sequence that fills the context.
    pub sampling: u64,
    /// Devices for weights, gradients, moments and the activations of one such sequence.
    pub training: u64,
}

impl ModelCost {
    /// Counts a model.
    pub fn new(model: &ModelPlan, parameters: &Parameters) -> Self {
        let factor = match model.precision {
            Precision::F32 => F32,
            Precision::Bf16 => 2,
        };
        let size = |count: usize| count as u64;
        let (layers, context) = (size(model.layers), size(model.context_length));
        let (numbers, windows) = match &model.attention {
            AttentionPlan::Gqa(GqaPlan { kv_heads, head_dim, window, .. }) => {
                (2 * size(*kv_heads) * size(*head_dim), window.as_ref())
            }
            AttentionPlan::Mla(MlaPlan { kv_lora_rank, qk_rope_head_dim, .. }) => {
                (size(*kv_lora_rank) + size(*qk_rope_head_dim), None)
            }
        };
        // Positions that the last token of a full context sees, over all layers.
        let windowed = windows.map_or(0, |window| size(window.layers.len()).min(layers));
        let near = windows.map_or(0, |window| size(window.size).min(context));
        let seen = ((layers - windowed).saturating_mul(context))
            .saturating_add(windowed.saturating_mul(near));
        let token_flops = forward_flops(model, 1.0, 0.0);
        let kept = activations(model);
        let [activation_token_bytes, recomputed_token_bytes] =
            [Kept::InEveryLayer, Kept::InOneLayer]
                .map(|layers| kept.token_bytes(layers).saturating_add(kept.module_bytes()));
        let planned = match model.recompute_activations {
            true => recomputed_token_bytes,
            false => activation_token_bytes,
        };
        let all = parameters.total.saturating_add(parameters.untrained);
        let trained = |bytes: u64| parameters.trained().saturating_mul(bytes);
        let all = all.saturating_add(parameters.adapters);
        Self {
            context_length: context,
            cache_token_bytes: layers.saturating_mul(numbers).saturating_mul(factor),
            cache_context_bytes: seen.saturating_mul(numbers).saturating_mul(factor),
            token_flops,
            last_token_flops: token_flops + attended(model) as f64 * seen as f64,
            factor_bytes: all.saturating_mul(factor),
            master_bytes: parameters.total.saturating_add(parameters.adapters).saturating_mul(F32),
            gradient_bytes: trained(F32),
            moment_bytes: trained(2 * F32),
            activation_token_bytes,
            recomputed_token_bytes,
            activation_context_bytes: planned.saturating_mul(context),
        }
    }

    /// Bytes of the weights and of the caches of one sequence that fills the context.
    pub fn sampling_bytes(&self) -> u64 {
        self.factor_bytes.saturating_add(self.cache_context_bytes)
    }

    /// Bytes of everything that training one sequence that fills the context needs. Factors that are rounded lie
    /// beside the weights that they are rounded from.
    pub fn training_bytes(&self) -> u64 {
        let factors = if self.factor_bytes < self.master_bytes { self.factor_bytes } else { 0 };
        let parts = [
            self.master_bytes,
            self.gradient_bytes,
            self.moment_bytes,
            self.activation_context_bytes,
        ];
        parts.into_iter().fold(factors, u64::saturating_add)
    }

    /// How many devices of this many bytes hold it.
    pub fn devices(&self, memory_bytes: u64) -> Devices {
        let of = |bytes: u64| bytes.div_ceil(memory_bytes.max(1)).max(1);
        let (sampling, training) = (of(self.sampling_bytes()), of(self.training_bytes()));
        Devices { memory_bytes, sampling, training }
    }
}
