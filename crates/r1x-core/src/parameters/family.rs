//! The decoder family as tables: one row for each kind of tensor.
//!
//! The decoder family covers Llama, Qwen and DeepSeek shapes: grouped-query or latent attention, a dense
//! feed-forward or a mixture of experts. The order of the rows is the order in memory, and checkpoints are read by the names: neither may
//! change for a model that exists.

use super::{
    Initial, Layers, Module, ModuleKind, Neighbour, ParameterList, Role, Tensor, TensorKind as T,
};
use crate::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, HeadPlan, MlaPlan, ModelPlan, MoePlan, QkNorm,
};

/// The name of a value head, as transformers' classes for sequence classification call it.
const VALUE_HEAD: &str = "score.weight";

/// The list of a planned decoder.
pub(super) fn decoder(plan: &ModelPlan) -> ParameterList {
    let rows = Rows { hidden: plan.hidden_size, std: plan.init_std };
    let (hidden, matrix) = (plan.hidden_size, [plan.vocabulary_size, plan.hidden_size]);
    let embedding = rows.factor(T::Embedding, "model.embed_tokens.weight", matrix);
    let front = [Tensor { role: Role::Embedding, ..embedding }];
    let mut back = vec![gain(T::FinalNorm, "model.norm.weight", hidden)];
    match plan.head {
        HeadPlan::Vocabulary if plan.tie_embeddings => {}
        HeadPlan::Vocabulary => back.push(rows.factor(T::Head, "lm_head.weight", matrix)),
        // Its products round nothing in any precision. Zeros would be a neutral beginning too, but then the body had no
        // gradient in the first update; transformers draws it as any other matrix.
        HeadPlan::Value => {
            let row = rows.factor(T::ValueHead, VALUE_HEAD, [1, hidden]);
            back.push(Tensor { role: Role::Vector, ..row });
        }
    }
    ParameterList {
        front: once(ModuleKind::Front, front),
        layers: rows.layers(plan),
        back: once(ModuleKind::Back, back),
        mtp: plan.mtp.iter().map(|mtp| rows.mtp(plan, mtp.depth)).collect(),
    }
}

/// Tensors that a model or a layer has once.
fn once(kind: ModuleKind, tensors: impl Into<Vec<Tensor>>) -> Module {
    Module { kind, copies: 1, active: 1, tensors: tensors.into(), adapters: Vec::new() }
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

/// Whether a layer has experts.
fn is_sparse(plan: &ModelPlan, layer: usize) -> bool {
    match &plan.feed_forward {
        FeedForwardPlan::Dense { .. } => false,
        FeedForwardPlan::Moe(moe) => moe.is_sparse(layer),
    }
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

    /// The layers, those that are alike and follow each other together.
    fn layers(&self, plan: &ModelPlan) -> Vec<Layers> {
        let mut layers: Vec<Layers> = Vec::new();
        for layer in 0..plan.layers {
            match layers.last_mut() {
                Some(last) if is_sparse(plan, last.range.start) == is_sparse(plan, layer) => {
                    last.range.end = layer + 1;
                }
                _ => {
                    layers
                        .push(Layers { range: layer..layer + 1, modules: self.layer(plan, layer) });
                }
            }
        }
        layers
    }

    fn layer(&self, plan: &ModelPlan, layer: usize) -> Vec<Module> {
        let mut modules = vec![self.attention(&plan.attention)];
        modules.extend(self.feed_forward(&plan.feed_forward, is_sparse(plan, layer)));
        modules
    }

    /// The modules of multi-token prediction: a layer each, which has experts as the layers before it have, and what puts
    /// an embedding beside what is handed over. Embedding and output head are those of the model.
    fn mtp(&self, plan: &ModelPlan, depth: usize) -> Layers {
        let named = |name: &str| format!("model.layers.{{layer}}.{name}");
        let norm = |kind, name: &str| gain(kind, &named(name), self.hidden);
        let shape = [self.hidden, 2 * self.hidden];
        let around = vec![
            norm(T::MtpEmbeddingNorm, "enorm.weight"),
            norm(T::MtpHiddenNorm, "hnorm.weight"),
            self.factor(T::MtpProjection, &named("eh_proj.weight"), shape),
            norm(T::MtpNorm, "shared_head.norm.weight"),
        ];
        let mut modules = vec![once(ModuleKind::Mtp, around)];
        modules.extend(self.layer(plan, plan.layers));
        modules.iter_mut().for_each(|module| module.active = 0);
        Layers { range: plan.layers..plan.layers + depth, modules }
    }

    fn attention(&self, plan: &AttentionPlan) -> Module {
        let mut tensors = vec![gain(
            T::AttentionNorm,
            "model.layers.{layer}.input_layernorm.weight",
            self.hidden,
        )];
        tensors.extend(match plan {
            AttentionPlan::Gqa(gqa) => self.grouped_queries(gqa),
            AttentionPlan::Mla(mla) => self.latent(mla),
        });
        once(ModuleKind::Attention, tensors)
    }

    fn grouped_queries(&self, plan: &GqaPlan) -> Vec<Tensor> {
        let (queries, keys) = (plan.heads * plan.head_dim, plan.kv_heads * plan.head_dim);
        let hidden = self.hidden;
        let named = |name: &str| format!("model.layers.{{layer}}.self_attn.{name}");
        let row = |kind, name: &str, shape| self.factor(kind, &named(name), shape);
        let bias = |kind, name: &str, length| vector(kind, &named(name), length, Initial::Zeros);
        let mut tensors = vec![
            row(T::Query, "q_proj.weight", [queries, hidden]),
            joined(row(T::Key, "k_proj.weight", [keys, hidden])),
            joined(row(T::Value, "v_proj.weight", [keys, hidden])),
            row(T::Output, "o_proj.weight", [hidden, queries]),
        ];
        if plan.qkv_bias {
            tensors.extend([
                bias(T::QueryBias, "q_proj.bias", queries),
                joined(bias(T::KeyBias, "k_proj.bias", keys)),
                joined(bias(T::ValueBias, "v_proj.bias", keys)),
            ]);
        }
        if plan.output_bias {
            tensors.push(bias(T::OutputBias, "o_proj.bias", hidden));
        }
        let widths = match plan.qk_norm {
            QkNorm::None => None,
            QkNorm::Head => Some((plan.head_dim, plan.head_dim)),
            QkNorm::Whole => Some((queries, keys)),
        };
        if let Some((query, key)) = widths {
            tensors.push(gain(T::QueryHeadNorm, &named("q_norm.weight"), query));
            tensors.push(gain(T::KeyHeadNorm, &named("k_norm.weight"), key));
        }
        tensors
    }

    fn latent(&self, plan: &MlaPlan) -> Vec<Tensor> {
        let MlaPlan {
            heads,
            q_lora_rank,
            kv_lora_rank: latent,
            qk_nope_head_dim: nope,
            qk_rope_head_dim: rope,
            v_head_dim: value,
            bias: has_bias,
            ..
        } = *plan;
        let (hidden, queries, expanded) = (self.hidden, heads * (nope + rope), nope + value);
        let named = |name: &str| format!("model.layers.{{layer}}.self_attn.{name}");
        let row = |kind, name: &str, shape| self.factor(kind, &named(name), shape);
        let bias = |kind, name: &str, length| vector(kind, &named(name), length, Initial::Zeros);
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
        if has_bias {
            // What the first products add lies as their matrices do: side by side.
            let context = bias(T::ContextDownBias, "kv_a_proj_with_mqa.bias", latent + rope);
            tensors.extend(match q_lora_rank {
                None => vec![context],
                Some(rank) => {
                    vec![bias(T::QueryDownBias, "q_a_proj.bias", rank), joined(context)]
                }
            });
            tensors.push(bias(T::OutputBias, "o_proj.bias", hidden));
        }
        tensors
    }

    fn feed_forward_norm(&self) -> Tensor {
        let name = "model.layers.{layer}.post_attention_layernorm.weight";
        gain(T::FeedForwardNorm, name, self.hidden)
    }

    /// The feed-forward of a layer with experts or without.
    fn feed_forward(&self, plan: &FeedForwardPlan, is_sparse: bool) -> Vec<Module> {
        match plan {
            FeedForwardPlan::Dense { intermediate_size, bias } => {
                let mut module = self.dense(*intermediate_size);
                if *bias {
                    module.tensors.extend(self.swiglu_biases(*intermediate_size));
                }
                vec![module]
            }
            FeedForwardPlan::Moe(moe) if is_sparse => self.mixture(moe),
            FeedForwardPlan::Moe(moe) => vec![self.dense(moe.dense_intermediate_size)],
        }
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
        let mut front =
            vec![self.feed_forward_norm(), Tensor { role: Role::ExactFactor, ..router }];
        if moe.selection_bias {
            let name = "model.layers.{layer}.mlp.gate.e_score_correction_bias";
            let bias = vector(T::SelectionBias, name, experts, Initial::Zeros);
            front.push(Tensor { role: Role::SelectionBias, ..bias });
        }
        if moe.shared_gated {
            let name = "model.layers.{layer}.mlp.shared_expert_gate.weight";
            let gate = self.factor(T::SharedGate, name, [1, self.hidden]);
            front.push(Tensor { role: Role::Vector, ..gate });
        }
        let mut modules = vec![
            once(ModuleKind::FeedForward, front),
            Module {
                kind: ModuleKind::Expert,
                copies: experts,
                active: moe.experts_per_token,
                tensors: self.swiglu("mlp.experts.{expert}", inner).into(),
                adapters: Vec::new(),
            },
        ];
        if moe.shared_intermediate_size > 0 {
            let rows = self.swiglu("mlp.shared_experts", moe.shared_intermediate_size);
            modules.push(once(ModuleKind::SharedExperts, rows));
        }
        modules
    }

    fn swiglu_biases(&self, inner: usize) -> [Tensor; 3] {
        let bias = |kind, name: &str, length| {
            let name = format!("model.layers.{{layer}}.mlp.{name}");
            vector(kind, &name, length, Initial::Zeros)
        };
        [
            bias(T::GateProjectionBias, "gate_proj.bias", inner),
            joined(bias(T::UpProjectionBias, "up_proj.bias", inner)),
            bias(T::DownProjectionBias, "down_proj.bias", self.hidden),
        ]
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
