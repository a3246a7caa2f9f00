//! What `r1x plan` says about the denominators of a loss: what they count, and which rollouts they never see.
//!
//! Must not know how a loss is computed.

use r1x_core::plan::{Aggregation, GrpoPlan, RunPlan, StageKind, Truncated, ZeroSignal};

use crate::display::Fields;

/// A paragraph for every stage that learns from rollouts; nothing without one.
pub fn divisors(fields: &mut Fields, plan: &RunPlan) {
    for stage in &plan.stages {
        if let StageKind::Grpo(grpo) = &stage.kind {
            let (divided, untrained) = (divided(grpo), untrained(grpo));
            let said = format!("{}: divided {divided}\nnot trained on: {untrained}", stage.id);
            fields.add("loss", said);
        }
    }
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
