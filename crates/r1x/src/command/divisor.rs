//! What `r1x plan` says about the denominators of a loss: what they count, and which rollouts they never see.
//!
//! Must not know how a loss is computed.

use std::fmt::Write as _;

use r1x_core::plan::{Aggregation, GrpoPlan, RunPlan, StageKind, Truncated, ZeroSignal};

/// A paragraph for every stage that learns from rollouts; nothing without one.
pub fn divisors(plan: &RunPlan) -> String {
    let mut text = String::new();
    for stage in &plan.stages {
        if let StageKind::Grpo(grpo) = &stage.kind {
            let _ = writeln!(text, "loss        {}: divided {}", stage.id, divided(grpo));
            let _ = writeln!(text, "            not trained on: {}", untrained(grpo));
        }
    }
    text
}

fn divided(plan: &GrpoPlan) -> String {
    let words = plan.aggregation.divisor();
    if plan.aggregation == Aggregation::FixedLength {
        return format!("{words} ({})", plan.fixed_length());
    }
    words.to_owned()
}

fn untrained(plan: &GrpoPlan) -> String {
    let mut kinds = vec!["rollouts without a total"];
    if plan.zero_signal == ZeroSignal::Drop {
        kinds.push("groups of equal totals");
    }
    if plan.truncated == Truncated::Mask {
        kinds.push("truncated completions");
    }
    kinds.join(", ")
}
