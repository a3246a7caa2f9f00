//! From the list of parameters to their places: the tensors of the list one after the other, then what is multiplied.
//!
//! The list says which tensors there are; only the names of fields, and which of them a plan has, are said here.

use r1x_core::parameters::{
    Module, ModuleKind, Neighbour, ParameterList, Role, Tensor, TensorKind,
};
use r1x_core::plan::{AttentionPlan, FeedForwardPlan, ModelPlan};

use super::{
    Attention, Block, Exact, FeedForward, Gqa, LatentHead, LatentQuery, Layer, Layout, Matrix, Mla,
    Parameter, Swiglu, Vector, panels_len,
};

/// Elements of a cache line: tensors that lie apart start on a line of their own.
const LINE: usize = 16;

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
    let head = back.find(TensorKind::Head).unwrap_or(embedding);
    let starts = [0].into_iter().chain(ends.iter().copied());
    let parts = starts.zip(ends.iter().copied().chain([build.len])).map(|(a, b)| a..b);
    Layout {
        head: build.packed.push(head),
        len: build.len,
        panels: build.packed.len,
        exact_panels: build.exact.len,
        parts: parts.collect(),
        parameters: build.parameters,
        matrices: build.packed.matrices,
        exact: build.exact.matrices,
        vocabulary: embedding.rows,
        embedding,
        layers,
        final_norm: back.vector(TensorKind::FinalNorm),
        biases: build.biases,
    }
}

/// Matrices with their packed forms one after the other.
#[derive(Default)]
struct Panels {
    matrices: Vec<Matrix>,
    len: usize,
}

impl Panels {
    /// Room for the packed forms of a block.
    fn push(&mut self, block: Block) -> Matrix {
        let forward_panels = self.len;
        let backward_panels = forward_panels + panels_len(block.columns, block.rows);
        let matrix = Matrix { block, forward_panels, backward_panels };
        self.len = matrix.panels_end();
        self.matrices.push(matrix);
        matrix
    }

    /// Neighbouring blocks as one matrix.
    fn joined<const N: usize>(&mut self, blocks: [Block; N]) -> Matrix {
        let rows = blocks.iter().map(|block| block.rows).sum();
        self.push(Block { rows, ..blocks[0] })
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

    fn layer(&mut self, plan: &ModelPlan, layer: usize, modules: &[Module]) -> Layer {
        let mut placed = Placed(Vec::new());
        for module in modules {
            let copies = (0..module.copies).map(|copy| self.place(module, layer, copy));
            placed.0.extend(copies.map(|places| (module.kind, places)));
        }
        let (attention, feed_forward) =
            (placed.module(ModuleKind::Attention), placed.module(ModuleKind::FeedForward));
        Layer {
            attention_norm: attention.vector(TensorKind::AttentionNorm),
            attention: self.attention(attention, &plan.attention),
            feed_forward_norm: feed_forward.vector(TensorKind::FeedForwardNorm),
            feed_forward: self.feed_forward(&placed, &plan.feed_forward),
        }
    }

    fn attention(&mut self, places: &Places, plan: &AttentionPlan) -> Attention {
        match *plan {
            AttentionPlan::Gqa { heads, kv_heads, head_dim: width } => {
                let [q, k, v] = [TensorKind::Query, TensorKind::Key, TensorKind::Value]
                    .map(|kind| places.block(kind));
                let qkv = self.packed.joined([q, k, v]);
                let o = self.packed.push(places.block(TensorKind::Output));
                Attention::Gqa(Gqa { q, k, v, qkv, o, heads, kv_heads, width })
            }
            AttentionPlan::Mla {
                heads,
                q_lora_rank: _,
                kv_lora_rank: latent,
                qk_nope_head_dim: nope,
                qk_rope_head_dim: rope,
                v_head_dim: value,
            } => {
                let kv_down = places.block(TensorKind::ContextDown);
                let (q, down) = self.latent_query(places, kv_down);
                let kv_up = places.block(TensorKind::ContextUp);
                let expansions = (0..heads).map(|head| LatentHead {
                    key: self.packed.push(kv_up.part(head * (nope + value), nope)),
                    value: self.packed.push(kv_up.part(head * (nope + value) + nope, value)),
                });
                Attention::Mla(Mla {
                    q,
                    kv_down,
                    down,
                    kv_norm: places.vector(TensorKind::ContextNorm),
                    kv_up,
                    expansions: expansions.collect(),
                    o: self.packed.push(places.block(TensorKind::Output)),
                    heads,
                    latent,
                    nope,
                    rope,
                    value,
                })
            }
        }
    }

    /// The query side of latent attention, and its first projection joined with that of the context.
    fn latent_query(&mut self, places: &Places, kv_down: Block) -> (LatentQuery, Matrix) {
        match places.find(TensorKind::QueryDown) {
            None => {
                let first = places.block(TensorKind::Query);
                (LatentQuery::Direct(first), self.packed.joined([first, kv_down]))
            }
            Some(first) => {
                let down = self.packed.joined([first, kv_down]);
                let norm = places.vector(TensorKind::QueryNorm);
                let up = self.packed.push(places.block(TensorKind::QueryUp));
                (LatentQuery::LowRank { down: first, norm, up }, down)
            }
        }
    }

    fn feed_forward(&mut self, placed: &Placed, plan: &FeedForwardPlan) -> FeedForward {
        let module = placed.module(ModuleKind::FeedForward);
        match (module.find(TensorKind::Router), plan) {
            (Some(router), FeedForwardPlan::Moe(moe)) => FeedForward::Moe {
                router: Exact(self.exact.push(router)),
                bias: self.biases.len() - 1,
                experts: placed.all(ModuleKind::Expert).map(|places| self.swiglu(places)).collect(),
                shared: placed.all(ModuleKind::SharedExperts).next().map(|all| self.swiglu(all)),
                plan: moe.clone(),
            },
            _ => FeedForward::Dense(self.swiglu(module)),
        }
    }

    fn swiglu(&mut self, places: &Places) -> Swiglu {
        let [gate_proj, up_proj] =
            [TensorKind::GateProjection, TensorKind::UpProjection].map(|kind| places.block(kind));
        let gate_up_proj = self.packed.joined([gate_proj, up_proj]);
        let down_proj = self.packed.push(places.block(TensorKind::DownProjection));
        Swiglu { gate_proj, up_proj, gate_up_proj, down_proj }
    }
}
