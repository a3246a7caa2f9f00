//! The places of adapters: behind the model itself, layer by layer, and for each matrix first its A, then its B.
//!
//! A matrix may join projections, each of which has an adapter or none. Their A lie one after the other, so that one
//! product serves all of them, as it does for the projections.

use std::collections::BTreeMap;

use r1x_core::parameters::{Adapter as Listed, ParameterList, Tensor};

use super::build::{LINE, Panels};
use super::{
    Adapter, AdapterPlaces, AdapterUp, Attention, Block, FeedForward, LatentQuery, Layer, Layout,
    MOST_JOINED, Matrix, Parameter, Region,
};

/// Gives every matrix of the layers the adapters that the list has beside its projections, and lets them be what is
/// trained. `factor` is the factor on what they add.
pub(super) fn attach(layout: &mut Layout, list: &ParameterList, factor: f64) {
    let beside = by_name(list);
    let start = layout.base.range.end.next_multiple_of(LINE);
    let panels = Panels::default();
    let mut places = Places { parameters: Vec::new(), places: Vec::new(), panels, len: start };
    let mut parts = Vec::with_capacity(layout.layers.len() + 2);
    parts.push(start..start);
    let base = &layout.base.parameters;
    for layer in &mut layout.layers {
        let first = places.len;
        for matrix in matrices(layer) {
            matrix.adapter = places.adapter(matrix.block(), base, &beside, factor);
        }
        places.align();
        parts.push(first..places.len);
    }
    parts.push(places.len..places.len);
    layout.parts = parts;
    layout.adapter_factors = places.panels.factors;
    layout.adapter_places = places.places;
    let range = start..places.len;
    layout.adapters = Some(Region { parameters: places.parameters, range });
}

/// The adapters of every layer and expert, by the name of the tensor that they stand beside.
fn by_name(list: &ParameterList) -> BTreeMap<String, Named<'_>> {
    let mut named = BTreeMap::new();
    for layers in &list.layers {
        for layer in layers.range.clone() {
            for module in &layers.modules {
                for copy in 0..module.copies {
                    for listed in &module.adapters {
                        let of_layer = listed.beside.replace("{layer}", &layer.to_string());
                        let name = of_layer.replace("{expert}", &copy.to_string());
                        named.insert(name, Named { listed, layer, copy });
                    }
                }
            }
        }
    }
    named
}

/// An adapter of one layer and expert.
struct Named<'l> {
    listed: &'l Listed,
    layer: usize,
    copy: usize,
}

/// The matrices of a layer, in the order in which adapters lie.
fn matrices(layer: &mut Layer) -> Vec<&mut Matrix> {
    let mut all = Vec::new();
    match &mut layer.attention {
        Attention::Gqa(gqa) => all.extend([&mut gqa.qkv, &mut gqa.o]),
        Attention::Mla(mla) => {
            all.push(&mut mla.down);
            if let LatentQuery::LowRank { up, .. } = &mut mla.q {
                all.push(up);
            }
            all.push(&mut mla.o);
        }
    }
    match &mut layer.feed_forward {
        FeedForward::Dense(swiglu) => {
            all.extend([&mut swiglu.gate_up_proj, &mut swiglu.down_proj]);
        }
        FeedForward::Moe { experts, shared, .. } => {
            for swiglu in experts.iter_mut().chain(shared) {
                all.extend([&mut swiglu.gate_up_proj, &mut swiglu.down_proj]);
            }
        }
    }
    all
}

/// Places that have been given so far.
struct Places {
    parameters: Vec<Parameter>,
    places: Vec<AdapterPlaces>,
    panels: Panels,
    len: usize,
}

impl Places {
    /// What comes next starts on a cache line of its own.
    fn align(&mut self) {
        self.len = self.len.next_multiple_of(LINE);
    }

    fn push(&mut self, tensor: &Tensor, of: &Named<'_>) -> Block {
        let (shape, offset) = (tensor.shape.clone(), self.len);
        let name = tensor.name_in(of.layer, of.copy);
        let block = Block { offset, rows: shape[0], columns: shape[1] };
        self.len += block.len();
        self.parameters.push(Parameter { name, shape, offset, initial: tensor.initial });
        block
    }

    /// The adapter of the projections that a block consists of; `None` where none of them has one.
    fn adapter(
        &mut self,
        block: Block,
        base: &[Parameter],
        beside: &BTreeMap<String, Named<'_>>,
        factor: f64,
    ) -> Option<Adapter> {
        let first = base.partition_point(|parameter| parameter.offset < block.offset);
        let inside = base[first..]
            .iter()
            .take_while(|parameter| parameter.offset < block.offset + block.len());
        let found = inside.filter_map(|parameter| Some((parameter, beside.get(&parameter.name)?)));
        let found: Vec<(&Parameter, &Named<'_>)> = found.collect();
        debug_assert!(found.len() <= MOST_JOINED, "as many places as a matrix joins projections");
        self.align();
        let downs: Vec<Block> =
            found.iter().map(|(_, of)| self.push(&of.listed.down, of)).collect();
        let rows = downs.iter().map(|down| down.rows).sum();
        let down = self.panels.factor(Block { rows, ..*downs.first()? });
        let (mut ups, mut input) = ([None; MOST_JOINED], 0);
        for ((place, (parameter, of)), down) in ups.iter_mut().zip(&found).zip(downs) {
            self.align();
            let up = self.push(&of.listed.up, of);
            let output = (parameter.offset - block.offset) / block.columns;
            *place = Some(AdapterUp { input, output, factor: self.panels.factor(up) });
            input += up.columns;
            let beside = Block { offset: parameter.offset, rows: up.rows, ..block };
            self.places.push(AdapterPlaces { beside, down, up, factor });
        }
        Some(Adapter { down, ups, factor })
    }
}
