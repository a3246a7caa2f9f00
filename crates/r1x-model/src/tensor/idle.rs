//! Which parameters take no part in a pass, so that they may be without a gradient.

use crate::layout::{FeedForward, Layout};

/// Offsets of the parameters of experts that no row chose, and of all modules of multi-token prediction behind the ones
/// that were computed.
pub(super) fn idle_parameters(layout: &Layout, loads: &[Vec<u64>], modules: usize) -> Vec<usize> {
    let first = layout.mtp.get(modules).map_or(usize::MAX, |module| module.embedding_norm.offset);
    let offsets = layout.base.parameters.iter().map(|parameter| parameter.offset);
    let mut idle: Vec<usize> = offsets.filter(|offset| *offset >= first).collect();
    let computed = layout.mtp.iter().take(modules).map(|module| &module.layer);
    for layer in layout.layers.iter().chain(computed) {
        let FeedForward::Moe { sparse, experts, .. } = &layer.feed_forward else { continue };
        for (expert, load) in experts.iter().zip(&loads[*sparse]) {
            if *load == 0 {
                let down_proj = expert.down_proj.block();
                idle.extend(
                    [expert.gate_proj, expert.up_proj, down_proj].map(|block| block.offset),
                );
                let matrices = [expert.gate_up_proj, expert.down_proj];
                for places in layout.adapter_places.iter().filter(|places| {
                    matrices.iter().any(|matrix| matrix.block().holds(places.beside.offset))
                }) {
                    idle.extend([places.down.offset, places.up.offset]);
                }
            }
        }
    }
    idle
}
