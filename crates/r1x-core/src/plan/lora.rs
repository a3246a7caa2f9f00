//! Adapters: what is trained instead of the weights of a model.

use serde::{Deserialize, Serialize};

use super::InitialWeights;

/// Low-rank adapters (LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685). A projection W `[out, in]`
/// is kept as it is, and x·Wᵀ becomes x·Wᵀ + s · (x·Aᵀ)·Bᵀ with A `[rank, in]` and B `[out, rank]`, which are all that
/// the optimizer changes.
///
/// There is no dropout: the log-prob of a token would be another one when the token is learnt from than when it was
/// drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraPlan {
    /// The inner width of an adapter.
    pub rank: usize,
    /// The numerator of the factor s.
    pub alpha: f64,
    /// What the factor s divides by.
    pub scaling: LoraScaling,
    /// The projections that have adapters, each once, in the order of [`LoraTarget::ALL`].
    pub targets: Vec<LoraTarget>,
    /// The numbers that the adapters begin with. Random ones draw A uniformly between ±1/√in, as PEFT does, and let B be
    /// 0, so that a model begins as the one without adapters.
    pub initial: InitialWeights,
}

impl LoraPlan {
    /// Random adapters of every projection that may have one, with a factor of 2 where they are divided by their rank.
    pub fn everywhere(rank: usize) -> Self {
        Self {
            rank,
            alpha: 2.0 * rank as f64,
            scaling: LoraScaling::Rank,
            targets: LoraTarget::ALL.to_vec(),
            initial: InitialWeights::Random,
        }
    }

    /// The factor s on what an adapter adds.
    pub fn factor(&self) -> f64 {
        let rank = self.rank as f64;
        match self.scaling {
            LoraScaling::Rank => self.alpha / rank,
            LoraScaling::RootOfRank => self.alpha / rank.sqrt(),
        }
    }
}

/// What alpha is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraScaling {
    /// The rank.
    Rank,
    /// The root of the rank (A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA, arXiv 2312.03732).
    RootOfRank,
}

/// A kind of projection that may have an adapter, in every layer that has one of the kind.
///
/// Routed experts are kinds of their own: a library that keeps them in one tensor has no adapters there.
///
/// The expansion of the latent of keys and values (`kv_b_proj`) is none: latent attention is computed in absorbed form,
/// in which it is part of two other products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LoraTarget {
    /// To queries.
    #[serde(rename = "q_proj")]
    Query,
    /// To keys.
    #[serde(rename = "k_proj")]
    Key,
    /// To values.
    #[serde(rename = "v_proj")]
    Value,
    /// To the latent of the queries (MLA).
    #[serde(rename = "q_a_proj")]
    QueryDown,
    /// From the latent of the queries (MLA).
    #[serde(rename = "q_b_proj")]
    QueryUp,
    /// To the latent of keys and values (MLA).
    #[serde(rename = "kv_a_proj_with_mqa")]
    ContextDown,
    /// From what the heads attended to.
    #[serde(rename = "o_proj")]
    Output,
    /// The gate of a dense feed-forward or of the shared experts.
    #[serde(rename = "gate_proj")]
    Gate,
    /// What the gate multiplies.
    #[serde(rename = "up_proj")]
    Up,
    /// Back from the inner width of a dense feed-forward or of the shared experts.
    #[serde(rename = "down_proj")]
    Down,
    /// The gate of every routed expert.
    #[serde(rename = "experts.gate_proj")]
    ExpertGate,
    /// What that gate multiplies.
    #[serde(rename = "experts.up_proj")]
    ExpertUp,
    /// Back from the inner width of every routed expert.
    #[serde(rename = "experts.down_proj")]
    ExpertDown,
}

impl LoraTarget {
    /// Every one, in the order of a layer.
    pub const ALL: [Self; 13] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::QueryDown,
        Self::QueryUp,
        Self::ContextDown,
        Self::Output,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::ExpertGate,
        Self::ExpertUp,
        Self::ExpertDown,
    ];

    /// The name of the projection in checkpoints, as Hugging Face gives it, with `experts` before it in a routed expert.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::QueryDown => "q_a_proj",
            Self::QueryUp => "q_b_proj",
            Self::ContextDown => "kv_a_proj_with_mqa",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
            Self::ExpertGate => "experts.gate_proj",
            Self::ExpertUp => "experts.up_proj",
            Self::ExpertDown => "experts.down_proj",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_written_by_the_name_of_its_projection() {
        for (index, target) in LoraTarget::ALL.into_iter().enumerate() {
            let written = serde_json::to_value(target).unwrap();
            assert_eq!(written, serde_json::json!(target.name()));
            assert!(LoraTarget::ALL[..index].iter().all(|earlier| *earlier < target));
        }
    }

    #[test]
    fn the_factor_divides_by_the_rank_or_by_its_root() {
        let plan = |scaling| LoraPlan { scaling, ..LoraPlan::everywhere(16) };
        assert_eq!(plan(LoraScaling::Rank).factor(), 2.0);
        assert_eq!(plan(LoraScaling::RootOfRank).factor(), 8.0);
    }
}
