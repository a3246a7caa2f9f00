//! From the list of parameters to their places: the tensors of the list one after the other, then what is multiplied.
//!
//! The list says which tensors there are; only the names of fields, and which of them a plan has, are said here.

use r1x_core::parameters::{
    Module, ModuleKind, Neighbour, ParameterList, Role, Tensor, TensorKind,
};
use r1x_core::plan::{AttentionPlan, FeedForwardPlan, GqaPlan, MlaPlan, ModelPlan};
use r1x_core::rope;

use super::{
    Attention, Bias, Block, Exact, Factor, FeedForward, Gqa, Head, HeadNorms, LatentHead,
    LatentQuery, Layer, Layout, Matrix, Mla, MtpModule, Parameter, Region, Swiglu, Vector,
    adapters,
};

/// Elements of a cache line: tensors that lie apart start on a line of their own.
pub(super) const LINE: usize = 16;

/// Lays out the list of a planned model.
pub(super) fn layout(plan: &ModelPlan, list: &ParameterList) -> Layout {
    let mut build = Builder::default();
    let front = build.place(&list.front, 0, 0);
    let embedding = front.block(TensorKind::Embedding);
    build.align();
    let mut ends = vec![build.len];
    let mut layers = Vec::with_capacity(plan.layers);
    for alike in &list.layers {
        for layer in alike.range.clone() {
            layers.push(build.layer(plan, layer, &alike.modules));
            build.align();
            ends.push(build.len);
        }
    }
    let back = build.place(&list.back, 0, 0);
    let head = match back.find(TensorKind::ValueHead) {
        Some(row) => Head::Value(Vector { offset: row.offset, len: row.columns }),
        None => {
            let matrix = back.find(TensorKind::Head).unwrap_or(embedding);
            Head::Vocabulary(build.packed.push(matrix))
        }
    };
    let without_mtp = build.parameters.len();
    let mut mtp = Vec::new();
    for alike in &list.mtp {
        mtp.extend(alike.range.clone().map(|layer| build.mtp(plan, layer, &alike.modules)));
    }
    let starts = [0].into_iter().chain(ends.iter().copied());
    let parts = starts.zip(ends.iter().copied().chain([build.len])).map(|(a, b)| a..b);
    let mut layout = Layout {
        head,
        mtp,
        without_mtp,
        parts: parts.collect(),
        base: Region { parameters: build.parameters, range: 0..build.len },
        adapters: None,
        adapter_places: Vec::new(),
        factors: build.packed.factors,
        adapter_factors: Vec::new(),
        exact: build.exact.factors,
        vocabulary: embedding.rows,
        embedding,
        layers,
        final_norm: back.vector(TensorKind::FinalNorm),
        biases: build.biases,
        experts: build.experts,
    };
    if let Some(lora) = &plan.lora {
        adapters::attach(&mut layout, list, lora.factor());
    }
    layout
}

/// Factors with their packed forms one after the other.
#[derive(Default)]
pub(super) struct Panels {
    pub(super) factors: Vec<Factor>,
}

impl Panels {
    /// Room for the packed forms of a block.
    pub(super) fn factor(&mut self, block: Block) -> Factor {
        let before = self.factors.last();
        let forward_panels = before.map_or(0, Factor::forward_end);
        let backward_panels = before.map_or(0, Factor::backward_end);
        let factor = Factor { block, forward_panels, backward_panels };
        self.factors.push(factor);
        factor
    }

    /// Room for the packed forms of a block to whose products nothing is added.
    fn push(&mut self, block: Block) -> Matrix {
        self.push_with(block, None)
    }

    /// Room for the packed forms of a block.
    fn push_with(&mut self, block: Block, bias: Option<Bias>) -> Matrix {
        Matrix { factor: self.factor(block), bias, adapter: None }
    }

    /// Neighbouring blocks as one matrix.
    fn joined<const N: usize>(&mut self, blocks: [Block; N], bias: Option<Bias>) -> Matrix {
        let rows = blocks.iter().map(|block| block.rows).sum();
        self.push_with(Block { rows, ..blocks[0] }, bias)
    }
}

/// Where the tensors of a module lie; a vector is a block of one column.
struct Places(Vec<(TensorKind, Block)>);

impl Places {
    fn find(&self, kind: TensorKind) -> Option<Block> {
        self.0.iter().find(|(found, _)| *found == kind).map(|(_, block)| *block)
    }

    fn block(&self, kind: TensorKind) -> Block {
        let found = self.find(kind);
        found.unwrap_or_else(|| unreachable!("the list of the plan has a tensor {kind:?}"))
    }

    fn vector(&self, kind: TensorKind) -> Vector {
        let block = self.block(kind);
        Vector { offset: block.offset, len: block.rows }
    }

    /// The biases of these kinds, which lie one after the other, from this output on; `None` where there are none.
    fn bias(&self, kinds: &[TensorKind], output: usize) -> Option<Bias> {
        let found: Vec<Block> = kinds.iter().filter_map(|kind| self.find(*kind)).collect();
        let len = found.iter().map(|block| block.rows).sum();
        let vector = Vector { offset: found.first()?.offset, len };
        Some(Bias { output, vector })
    }
}

/// The modules of a layer.
struct Placed(Vec<(ModuleKind, Places)>);

impl Placed {
    /// The modules of a kind, in order.
    fn all(&self, kind: ModuleKind) -> impl Iterator<Item = &Places> {
        self.0.iter().filter(move |(found, _)| *found == kind).map(|(_, places)| places)
    }

    /// The one module of a kind that every layer has.
    fn module(&self, kind: ModuleKind) -> &Places {
        let found = self.all(kind).next();
        found.unwrap_or_else(|| unreachable!("the list of the plan has a module {kind:?}"))
    }
}

#[derive(Default)]
struct Builder {
    parameters: Vec<Parameter>,
    biases: Vec<(String, usize)>,
    experts: Vec<usize>,
    packed: Panels,
    exact: Panels,
    len: usize,
}

impl Builder {
    /// What comes next starts on a cache line of its own.
    fn align(&mut self) {
        self.len = self.len.next_multiple_of(LINE);
    }

    /// Gives the tensors of a module of a layer their places. Selection biases have none: they are no part of the flat
    /// range, because the optimizer does not change them.
    fn place(&mut self, module: &Module, layer: usize, copy: usize) -> Places {
        let mut places = Vec::with_capacity(module.tensors.len());
        for tensor in &module.tensors {
            let name = tensor.name_in(layer, copy);
            match tensor.role {
                Role::SelectionBias => self.biases.push((name, tensor.shape[0])),
                Role::Embedding | Role::Factor | Role::ExactFactor | Role::Vector => {
                    places.push((tensor.kind, self.push(tensor, name)));
                }
            }
        }
        Places(places)
    }

    fn push(&mut self, tensor: &Tensor, name: String) -> Block {
        if tensor.neighbour == Neighbour::Apart {
            self.align();
        }
        let shape = tensor.shape.clone();
        let (offset, rows) = (self.len, shape[0]);
        let parameter = Parameter { name, shape, offset, initial: tensor.initial };
        self.len += parameter.len();
        self.parameters.push(parameter);
        Block { offset, rows, columns: tensor.shape.get(1).copied().unwrap_or(1) }
    }

    fn placed(&mut self, layer: usize, modules: &[Module]) -> Placed {
        let mut placed = Placed(Vec::new());
        for module in modules {
            let copies = (0..module.copies).map(|copy| self.place(module, layer, copy));
            placed.0.extend(copies.map(|places| (module.kind, places)));
        }
        placed
    }

    fn layer(&mut self, plan: &ModelPlan, layer: usize, modules: &[Module]) -> Layer {
        let placed = self.placed(layer, modules);
        self.layer_of(&placed, plan, layer)
    }

    fn mtp(&mut self, plan: &ModelPlan, layer: usize, modules: &[Module]) -> MtpModule {
        let placed = self.placed(layer, modules);
        let around = placed.module(ModuleKind::Mtp);
        MtpModule {
            embedding_norm: around.vector(TensorKind::MtpEmbeddingNorm),
            hidden_norm: around.vector(TensorKind::MtpHiddenNorm),
            projection: self.packed.push(around.block(TensorKind::MtpProjection)),
            layer: self.layer_of(&placed, plan, layer),
            norm: around.vector(TensorKind::MtpNorm),
        }
    }

    fn layer_of(&mut self, placed: &Placed, plan: &ModelPlan, layer: usize) -> Layer {
        let (attention, feed_forward) =
            (placed.module(ModuleKind::Attention), placed.module(ModuleKind::FeedForward));
        Layer {
            attention_norm: attention.vector(TensorKind::AttentionNorm),
            attention: self.attention(attention, plan, layer),
            feed_forward_norm: feed_forward.vector(TensorKind::FeedForwardNorm),
            feed_forward: self.feed_forward(placed, &plan.feed_forward),
        }
    }

    fn attention(&mut self, places: &Places, plan: &ModelPlan, layer: usize) -> Attention {
        match &plan.attention {
            AttentionPlan::Gqa(gqa) => Attention::Gqa(self.grouped_queries(places, gqa, layer)),
            AttentionPlan::Mla(mla) => {
                Attention::Mla(self.latent(places, mla, rope::score_factor(&plan.rope)))
            }
        }
    }

    fn grouped_queries(&mut self, places: &Places, plan: &GqaPlan, layer: usize) -> Gqa {
        let [q, k, v] =
            [TensorKind::Query, TensorKind::Key, TensorKind::Value].map(|kind| places.block(kind));
        let biases = [TensorKind::QueryBias, TensorKind::KeyBias, TensorKind::ValueBias];
        let qkv = self.packed.joined([q, k, v], places.bias(&biases, 0));
        let output = places.block(TensorKind::Output);
        let o = self.packed.push_with(output, places.bias(&[TensorKind::OutputBias], 0));
        let window = plan.window.as_ref().filter(|window| window.layers.contains(&layer));
        Gqa {
            q,
            k,
            v,
            qkv,
            o,
            heads: plan.heads,
            kv_heads: plan.kv_heads,
            width: plan.head_dim,
            rotary: plan.rotary_dim,
            norms: places.find(TensorKind::QueryHeadNorm).map(|_| HeadNorms {
                query: places.vector(TensorKind::QueryHeadNorm),
                key: places.vector(TensorKind::KeyHeadNorm),
            }),
            clip: plan.clip_qkv,
            window: window.map_or(usize::MAX, |window| window.size),
        }
    }

    fn latent(&mut self, places: &Places, plan: &MlaPlan, score_factor: f64) -> Mla {
        let MlaPlan { heads, qk_nope_head_dim: nope, v_head_dim: value, .. } = *plan;
        let kv_down = places.block(TensorKind::ContextDown);
        let (q, down) = self.latent_query(places, kv_down);
        let kv_up = places.block(TensorKind::ContextUp);
        let expansions = (0..heads).map(|head| LatentHead {
            key: self.packed.push(kv_up.part(head * (nope + value), nope)),
            value: self.packed.push(kv_up.part(head * (nope + value) + nope, value)),
        });
        let expansions = expansions.collect();
        let output = places.block(TensorKind::Output);
        Mla {
            q,
            kv_down,
            down,
            kv_norm: places.vector(TensorKind::ContextNorm),
            kv_up,
            expansions,
            o: self.packed.push_with(output, places.bias(&[TensorKind::OutputBias], 0)),
            heads,
            latent: plan.kv_lora_rank,
            nope,
            rope: plan.qk_rope_head_dim,
            value,
            norm_eps: plan.latent_norm_eps,
            score_factor,
        }
    }

    /// The query side of latent attention, and its first projection joined with that of the context.
    fn latent_query(&mut self, places: &Places, kv_down: Block) -> (LatentQuery, Matrix) {
        let biases = [TensorKind::QueryDownBias, TensorKind::ContextDownBias];
        match places.find(TensorKind::QueryDown) {
            None => {
                let first = places.block(TensorKind::Query);
                // Queries have no bias here, so what there is begins behind them.
                let bias = places.bias(&biases[1..], first.rows);
                (LatentQuery::Direct(first), self.packed.joined([first, kv_down], bias))
            }
            Some(first) => {
                let down = self.packed.joined([first, kv_down], places.bias(&biases, 0));
                let norm = places.vector(TensorKind::QueryNorm);
                let up = self.packed.push(places.block(TensorKind::QueryUp));
                (LatentQuery::LowRank { down: first, norm, up }, down)
            }
        }
    }

    fn feed_forward(&mut self, placed: &Placed, plan: &FeedForwardPlan) -> FeedForward {
        let module = placed.module(ModuleKind::FeedForward);
        match (module.find(TensorKind::Router), plan) {
            (Some(router), FeedForwardPlan::Moe(moe)) => {
                self.experts.push(moe.routed_experts);
                let shared_gate = module.find(TensorKind::SharedGate);
                FeedForward::Moe {
                    router: Exact(self.exact.factor(router)),
                    sparse: self.experts.len() - 1,
                    experts: placed
                        .all(ModuleKind::Expert)
                        .map(|places| self.swiglu(places))
                        .collect(),
                    shared: placed
                        .all(ModuleKind::SharedExperts)
                        .next()
                        .map(|all| self.swiglu(all)),
                    shared_gate: shared_gate
                        .map(|block| Vector { offset: block.offset, len: block.columns }),
                    plan: moe.clone(),
                }
            }
            _ => FeedForward::Dense(self.swiglu(module)),
        }
    }

    fn swiglu(&mut self, places: &Places) -> Swiglu {
        let [gate_proj, up_proj] =
            [TensorKind::GateProjection, TensorKind::UpProjection].map(|kind| places.block(kind));
        let biases = [TensorKind::GateProjectionBias, TensorKind::UpProjectionBias];
        let gate_up_proj = self.packed.joined([gate_proj, up_proj], places.bias(&biases, 0));
        let down = places.block(TensorKind::DownProjection);
        let down_bias = places.bias(&[TensorKind::DownProjectionBias], 0);
        let down_proj = self.packed.push_with(down, down_bias);
        Swiglu { gate_proj, up_proj, gate_up_proj, down_proj }
    }
}
