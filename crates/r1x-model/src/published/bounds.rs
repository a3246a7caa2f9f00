//! How large a published model may say that it is, checked before anything is made in proportion.
//!
//! A configuration is a few kilobytes of a stranger's text that asks for lists of layers, experts and tensors. Models
//! that are known stay far below these bounds; what is above them is a mistake, or meant to exhaust the machine.

use r1x_core::parameters::ParameterList;
use r1x_core::plan::{AttentionPlan, FeedForwardPlan, ModelPlan, MoePlan};

/// Most decoder layers; DeepSeek-V3 has 61, Llama 3.1 405B 126.
pub const MOST_LAYERS: usize = 4096;
/// Most modules of multi-token prediction; DeepSeek-V3 has 1.
pub const MOST_MTP_LAYERS: usize = 16;
/// Most routed experts of a layer; DeepSeek-V3 has 256.
pub const MOST_EXPERTS: usize = 4096;
/// Largest width, vocabulary or context: a product of two is far inside 64 bits.
pub const MOST_COUNT: usize = 1 << 24;
/// Most entries of a list of layers.
pub const MOST_ENTRIES: usize = 1 << 16;
/// Most tensors, as many as weight files may have; DeepSeek-V3 has about 46 000 without scales.
const MOST_TENSORS: u64 = 1 << 20;
/// Most numbers of a model, more than ten times those of DeepSeek-V3.
const MOST_NUMBERS: u64 = 1 << 43;

/// What is wrong with a shape whose single keys are right, in no particular order.
pub fn problems(plan: &ModelPlan) -> Vec<String> {
    let mut problems = Vec::new();
    match &plan.attention {
        AttentionPlan::Gqa(gqa) => {
            if gqa.head_dim == 0 {
                problems.push("there are more heads than `hidden_size` has numbers".to_owned());
            }
            even(&mut problems, "what turns of a head", gqa.rotary_dim);
            if gqa.rotary_dim > gqa.head_dim {
                let (turning, width) = (gqa.rotary_dim, gqa.head_dim);
                problems.push(format!("{turning} elements of a head of {width} cannot turn"));
            }
        }
        AttentionPlan::Mla(mla) => {
            even(&mut problems, "`qk_rope_head_dim`", mla.qk_rope_head_dim);
        }
    }
    if let FeedForwardPlan::Moe(moe) = &plan.feed_forward {
        mixture(&mut problems, moe);
    }
    let list = ParameterList::new(plan);
    let tensors = list.counted().fold(0_u64, |sum, row| sum.saturating_add(row.count));
    if tensors > MOST_TENSORS {
        problems.push(format!("it has {tensors} tensors; {MOST_TENSORS} are read at most"));
    }
    let numbers = list.total();
    if numbers > MOST_NUMBERS {
        problems.push(format!("it has {numbers} parameters; {MOST_NUMBERS} are read at most"));
    }
    problems
}

fn even(problems: &mut Vec<String>, what: &str, width: usize) {
    if !width.is_multiple_of(2) {
        problems.push(format!("{what} must be even, because pairs turn, but is {width}"));
    }
}

fn mixture(problems: &mut Vec<String>, moe: &MoePlan) {
    let (routed, chosen) = (moe.routed_experts, moe.experts_per_token);
    let (groups, open) = (moe.groups, moe.groups_per_token);
    if !routed.is_multiple_of(groups.max(1)) {
        problems.push(format!("{groups} groups do not divide {routed} experts"));
    } else if open > groups {
        problems.push(format!("a token cannot choose {open} of {groups} groups"));
    } else if chosen > open * (routed / groups.max(1)) {
        let held = open * (routed / groups.max(1));
        problems.push(format!("a token cannot choose {chosen} of {held} experts"));
    }
}
