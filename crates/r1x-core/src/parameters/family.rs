//! The decoder family as tables: one row for each kind of tensor.
//!
//! The decoder family covers Llama, Qwen and DeepSeek shapes: grouped-query or latent attention, a dense
//! feed-forward or a mixture of experts. The order of the rows is the order in memory, and checkpoints are read by the names: neither may
//! change for a model that exists.

use super::{
    Initial, Layers, Module, ModuleKind, Neighbour, ParameterList, Role, Tensor, TensorKind as T,
};
use crate::plan::{AttentionPlan, FeedForwardPlan, ModelPlan, MoePlan};

/// The list of a planned decoder.
pub(super) fn decoder(plan: &ModelPlan) -> ParameterList {
    let rows = Rows { hidden: plan.hidden_size, std: plan.init_std };
    let (hidden, matrix) = (plan.hidden_size, [plan.vocabulary_size, plan.hidden_size]);
    let embedding = rows.factor(T::Embedding, "model.embed_tokens.weight", matrix);
    let front = [Tensor { role: Role::Embedding, ..embedding }];
    let mut back = vec![gain(T::FinalNorm, "model.norm.weight", hidden)];
    if !plan.tie_embeddings {
        back.push(rows.factor(T::Head, "lm_head.weight", matrix));
    }
    ParameterList {
        front: once(ModuleKind::Front, front),
        layers: rows.layers(plan),
        back: once(ModuleKind::Back, back),
    }
}

/// Tensors that a model or a layer has once.
fn once(kind: ModuleKind, tensors: impl Into<Vec<Tensor>>) -> Module {
    Module { kind, copies: 1, active: 1, tensors: tensors.into() }
}

/// A vector that rows are multiplied with, or that is added to them.
fn vector(kind: T, name: &str, length: usize, initial: Initial) -> Tensor {
    Tensor {
        kind,
        role: Role::Vector,
        name: name.to_owned(),
        shape: vec![length],
        initial,
        neighbour: Neighbour::Apart,
    }
}

/// The gain of a norm.
fn gain(kind: T, name: &str, length: usize) -> Tensor {
    vector(kind, name, length, Initial::Ones)
}

/// The row as one whose tensor is multiplied together with the tensor of the row before.
fn joined(tensor: Tensor) -> Tensor {
    Tensor { neighbour: Neighbour::Joined, ..tensor }
}

/// What the rows of a model have in common.
struct Rows {
    hidden: usize,
    std: f64,
}

impl Rows {
    fn factor(&self, kind: T, name: &str, [out, input]: [usize; 2]) -> Tensor {
        Tensor {
            kind,
            role: Role::Factor,
            name: name.to_owned(),
            shape: vec![out, input],
            initial: Initial::Normal { std: self.std },
            neighbour: Neighbour::Apart,
        }
    }

    /// The layers, those that are alike together.
    fn layers(&self, plan: &ModelPlan) -> Vec<Layers> {
        let dense = |range, inner| Layers {
            range,
            modules: vec![self.attention(&plan.attention), self.dense(inner)],
        };
        match &plan.feed_forward {
            FeedForwardPlan::Dense { intermediate_size } => {
                vec![dense(0..plan.layers, *intermediate_size)]
            }
            FeedForwardPlan::Moe(moe) => {
                let first = moe.dense_layers.min(plan.layers);
                let mut modules = vec![self.attention(&plan.attention)];
                modules.extend(self.mixture(moe));
                let sparse = Layers { range: first..plan.layers, modules };
                let all = [dense(0..first, moe.dense_intermediate_size), sparse];
                all.into_iter().filter(|layers| !layers.range.is_empty()).collect()
            }
        }
    }

    fn attention(&self, plan: &AttentionPlan) -> Module {
        let mut tensors = vec![gain(
            T::AttentionNorm,
            "model.layers.{layer}.input_layernorm.weight",
            self.hidden,
        )];
        tensors.extend(match *plan {
            AttentionPlan::Gqa { heads, kv_heads, head_dim } => {
                self.grouped_queries(heads * head_dim, kv_heads * head_dim)
            }
            AttentionPlan::Mla { .. } => self.latent(plan),
        });
        once(ModuleKind::Attention, tensors)
    }

    /// Grouped-query attention whose heads together have queries and keys of these widths.
    fn grouped_queries(&self, queries: usize, keys: usize) -> Vec<Tensor> {
        let hidden = self.hidden;
        let row = |kind, name: &str, shape| {
            self.factor(kind, &format!("model.layers.{{layer}}.self_attn.{name}"), shape)
        };
        vec![
            row(T::Query, "q_proj.weight", [queries, hidden]),
            joined(row(T::Key, "k_proj.weight", [keys, hidden])),
            joined(row(T::Value, "v_proj.weight", [keys, hidden])),
            row(T::Output, "o_proj.weight", [hidden, queries]),
        ]
    }

    fn latent(&self, plan: &AttentionPlan) -> Vec<Tensor> {
        let AttentionPlan::Mla {
            heads,
            q_lora_rank,
            kv_lora_rank: latent,
            qk_nope_head_dim: nope,
            qk_rope_head_dim: rope,
            v_head_dim: value,
        } = *plan
        else {
            unreachable!("the caller matched latent attention");
        };
        let (hidden, queries, expanded) = (self.hidden, heads * (nope + rope), nope + value);
        let named = |name: &str| format!("model.layers.{{layer}}.self_attn.{name}");
        let row = |kind, name: &str, shape| self.factor(kind, &named(name), shape);
        let down =
            joined(row(T::ContextDown, "kv_a_proj_with_mqa.weight", [latent + rope, hidden]));
        let mut tensors = match q_lora_rank {
            None => vec![row(T::Query, "q_proj.weight", [queries, hidden]), down],
            Some(rank) => vec![
                row(T::QueryDown, "q_a_proj.weight", [rank, hidden]),
                down,
                gain(T::QueryNorm, &named("q_a_layernorm.weight"), rank),
                row(T::QueryUp, "q_b_proj.weight", [queries, rank]),
            ],
        };
        tensors.extend([
            gain(T::ContextNorm, &named("kv_a_layernorm.weight"), latent),
            row(T::ContextUp, "kv_b_proj.weight", [heads * expanded, latent]),
            row(T::Output, "o_proj.weight", [hidden, heads * value]),
        ]);
        tensors
    }

    fn feed_forward_norm(&self) -> Tensor {
        let name = "model.layers.{layer}.post_attention_layernorm.weight";
        gain(T::FeedForwardNorm, name, self.hidden)
    }

    fn dense(&self, inner: usize) -> Module {
        let mut tensors = vec![self.feed_forward_norm()];
        tensors.extend(self.swiglu("mlp", inner));
        once(ModuleKind::FeedForward, tensors)
    }

    fn mixture(&self, moe: &MoePlan) -> Vec<Module> {
        let (experts, inner) = (moe.routed_experts, moe.expert_intermediate_size);
        let router =
            self.factor(T::Router, "model.layers.{layer}.mlp.gate.weight", [experts, self.hidden]);
        let router = Tensor { role: Role::ExactFactor, ..router };
        let name = "model.layers.{layer}.mlp.gate.e_score_correction_bias";
        let bias = vector(T::SelectionBias, name, experts, Initial::Zeros);
        let bias = Tensor { role: Role::SelectionBias, ..bias };
        let mut modules = vec![
            once(ModuleKind::FeedForward, [self.feed_forward_norm(), router, bias]),
            Module {
                kind: ModuleKind::Expert,
                copies: experts,
                active: moe.experts_per_token,
                tensors: self.swiglu("mlp.experts.{expert}", inner).into(),
            },
        ];
        if moe.shared_experts > 0 {
            let rows = self.swiglu("mlp.shared_experts", inner * moe.shared_experts);
            modules.push(once(ModuleKind::SharedExperts, rows));
        }
        modules
    }

    fn swiglu(&self, prefix: &str, inner: usize) -> [Tensor; 3] {
        let row = |kind, name: &str, shape| {
            self.factor(kind, &format!("model.layers.{{layer}}.{prefix}.{name}"), shape)
        };
        [
            row(T::GateProjection, "gate_proj.weight", [inner, self.hidden]),
            joined(row(T::UpProjection, "up_proj.weight", [inner, self.hidden])),
            row(T::DownProjection, "down_proj.weight", [self.hidden, inner]),
        ]
    }
}
