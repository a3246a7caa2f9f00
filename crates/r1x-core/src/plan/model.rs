//! The models of a run: the policy that learns, and frozen models that rewards may ask.
//!
//! Shapes, and where first weights come from. What numbers a shape has, and how they are computed, is the business of the crate that runs models.

use serde::{Deserialize, Serialize};

use super::LoraPlan;

/// The policy: a decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPlan {
    /// The weights that it begins with.
    pub initial: InitialWeights,
    /// How text becomes tokens.
    pub tokenizer: TokenizerPlan,
    /// Rows of the embedding matrix and of the output head: one for each token of the tokenizer, and perhaps further
    /// ones that published models are padded with. Those behind the last token are never drawn.
    pub vocabulary_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Longest prompt plus completion, tokens.
    pub context_length: usize,
    /// Attention of every layer.
    pub attention: AttentionPlan,
    /// Feed-forward of every layer.
    pub feed_forward: FeedForwardPlan,
    /// What the model says at a position.
    pub head: HeadPlan,
    /// Whether a head over the vocabulary shares the embedding matrix. A value head has a vector of its own, and the
    /// embedding is an embedding only.
    pub tie_embeddings: bool,
    /// How positions enter.
    pub rope: RopePlan,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Standard deviation of the initial weights.
    pub init_std: f64,
    /// What the factors of matrix products are; sums, master weights and moments are `f32` in both.
    pub precision: Precision,
    /// Compute a layer's activations again in the backward pass instead of keeping them. Changes memory and time,
    /// not results.
    pub recompute_activations: bool,
    /// What is trained instead of the weights, where something is.
    pub lora: Option<LoraPlan>,
    /// Modules that learn to predict tokens behind the next one; `None` where there are none.
    pub mtp: Option<MtpPlan>,
}

impl ModelPlan {
    /// Whether a number in the weights of another model means what it means in its own. That model may begin with other
    /// weights, compute in another precision, compute activations again, and read more or less of a sequence. Adapters stand
    /// beside the weights that a model begins with, so where there are any, those are equal too.
    pub fn is_alike(&self, other: &ModelPlan) -> bool {
        let initial = match (&self.lora, &other.lora) {
            (None, None) => &self.initial,
            _ => &other.initial,
        };
        let other = ModelPlan {
            initial: initial.clone(),
            context_length: self.context_length,
            precision: self.precision,
            recompute_activations: self.recompute_activations,
            ..other.clone()
        };
        *self == other
    }

    /// Whether the weights of another model may be a part of an average that becomes its own: that one is alike, or alike
    /// once its adapters are merged into the weights that it begins with.
    pub fn averages_with(&self, other: &ModelPlan) -> bool {
        self.is_alike(&ModelPlan { lora: None, ..other.clone() })
    }

    /// Whether it can begin with the weights of another model: that one is alike, or alike but for the head where this one
    /// has a value head, which is drawn then.
    pub fn takes_weights_of(&self, other: &ModelPlan) -> bool {
        let with_head = |head| ModelPlan { head, ..other.clone() };
        let has_values = self.head == HeadPlan::Value;
        self.is_alike(other) || (has_values && self.is_alike(&with_head(HeadPlan::Value)))
    }

    /// The key that stands beside a value head and cannot; `None` where everything fits. Modules of multi-token prediction
    /// predict tokens, which needs a head over the vocabulary, and adapters leave every other weight as it is, the head
    /// included, which no published model has learnt yet.
    pub fn beside_value_head(&self) -> Option<&'static str> {
        match (self.head, &self.mtp, &self.lora) {
            (HeadPlan::Vocabulary, ..) | (HeadPlan::Value, None, None) => None,
            (HeadPlan::Value, Some(_), _) => Some("mtp"),
            (HeadPlan::Value, None, Some(_)) => Some("lora"),
        }
    }
}

/// What a model says at a position, behind its last norm.
///
/// Wherever a model says one number of each target (when it scores, in what a loss is given, and where the backward pass
/// begins), a target is said something of at its **predicting row**, the row of the token before it: under a head over the
/// vocabulary the log-prob of the target, under a value head the value of everything up to and including that row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadPlan {
    /// A logit for each token of the vocabulary: a model that writes.
    #[default]
    Vocabulary,
    /// One number, w · norm(x) without a bias: a model that judges. A model with a value head cannot be sampled from.
    Value,
}

impl HeadPlan {
    /// The word used in specs and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vocabulary => "vocabulary",
            Self::Value => "value",
        }
    }
}

/// Multi-token prediction (DeepSeek-V3 Technical Report, arXiv 2412.19437, section 2.2): modules in a chain, the k-th of
/// which predicts the token k places behind the next one. Supervised stages train them together with the model, and
/// nothing else computes them: what is sampled and scored does not depend on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MtpPlan {
    /// How many modules there are, at least one.
    pub depth: usize,
    /// Factor λ of the mean of the modules' losses; 0 turns their training off.
    pub weight: f64,
}

/// The weights that a model begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialWeights {
    /// Draws from the seed of the run.
    Random,
    /// The ones of a published model.
    Published {
        /// Its folder, with `config.json` and weights.
        folder: String,
        /// sha256 over the hashes of its files, hex.
        sha256: String,
    },
    /// The ones that a checkpoint of r1x holds.
    Checkpoint {
        /// Its folder.
        folder: String,
        /// sha256 of its weights, hex.
        sha256: String,
    },
}

/// What the factors of matrix products are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Nothing is rounded.
    F32,
    /// The 8 leading bits: twice the speed where the processor multiplies pairs of them.
    Bf16,
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerPlan {
    /// A vocabulary with a token for each listed piece of text (longest match first). Blanks between pieces are
    /// kept only if they are listed.
    Vocabulary {
        /// The pieces, in token order after `<eos>` (0).
        pieces: Vec<String>,
    },
    /// A `tokenizer.json`.
    File {
        /// Where it is.
        path: String,
        /// sha256 of its bytes, hex.
        sha256: String,
        /// Its tokens that end a sequence, at least one. Sampling stops at any of them; the first is the one that
        /// supervised stages teach.
        eos: Vec<String>,
        /// Its token that stands before every prompt that is a text, where there is one.
        bos: Option<String>,
        /// How messages become a prompt, where the model was trained on conversations.
        chat: Option<ChatPlan>,
    },
}

/// How messages become a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatPlan {
    /// The source of the chat template.
    pub template: String,
    /// What the template knows as `bos_token`, where there is one.
    pub bos: Option<String>,
    /// What the template knows as `eos_token`, where there is one.
    pub eos: Option<String>,
}

impl TokenizerPlan {
    /// How messages become a prompt; `None` where the model has no chat template.
    pub fn chat(&self) -> Option<&ChatPlan> {
        match self {
            Self::Vocabulary { .. } => None,
            Self::File { chat, .. } => chat.as_ref(),
        }
    }

    /// How many tokens a vocabulary of these pieces has: one each, and the end of a sequence.
    pub fn listed_size(pieces: &[String]) -> usize {
        pieces.len() + 1
    }
}

/// How positions enter: queries and keys are turned by an angle that grows with the position (RoFormer: Enhanced
/// Transformer with Rotary Position Embedding, arXiv 2104.09864).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RopePlan {
    /// Base of the frequencies: pair i of d/2 turns by theta^(−2i/d) a position, before scaling.
    pub theta: f64,
    /// Which elements of a vector form a pair.
    pub pairs: RopePairs,
    /// How frequencies are changed for contexts longer than those of the first training.
    pub scaling: RopeScaling,
}

impl RopePlan {
    /// Frequencies as they are.
    pub fn unscaled(theta: f64, pairs: RopePairs) -> Self {
        Self { theta, pairs, scaling: RopeScaling::None }
    }
}

/// Which elements of a vector of width d form a pair that turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopePairs {
    /// Element i and element i + d/2, as in Llama and Qwen.
    Halves,
    /// Elements 2i and 2i + 1, as in DeepSeek.
    Neighbours,
}

/// How the frequencies of rotary positions are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    /// They are not.
    None,
    /// All are divided.
    Linear {
        /// By this number.
        factor: f64,
    },
    /// As in Llama 3.1: waves that are long beside the original context are divided, short ones are kept, and those
    /// between are mixed.
    Llama3 {
        /// What long waves are divided by.
        factor: f64,
        /// Waves longer than the original context over this number are divided.
        low_freq_factor: f64,
        /// Waves shorter than the original context over this number are kept.
        high_freq_factor: f64,
        /// Longest sequence before the extension, tokens.
        original_context: usize,
    },
    /// YaRN: Efficient Context Window Extension of Large Language Models, arXiv 2309.00071.
    Yarn(YarnPlan),
}

/// The numbers of YaRN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct YarnPlan {
    /// What the slowest frequencies are divided by.
    pub factor: f64,
    /// Longest sequence before the extension, tokens.
    pub original_context: usize,
    /// Frequencies that turn more often than this within the original context are kept.
    pub beta_fast: f64,
    /// Frequencies that turn less often than this within it are divided by the whole factor.
    pub beta_slow: f64,
    /// Whether the ends of the ramp between those two are rounded outwards to whole pairs.
    pub truncate: bool,
    /// Factor on cosines and sines.
    pub rotation_factor: f64,
    /// Factor on the scores of attention, beside one over the root of the key's width.
    pub score_factor: f64,
}

/// Attention shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionPlan {
    /// Grouped-query attention.
    Gqa(GqaPlan),
    /// Multi-head latent attention (DeepSeek-V2, section 2.1).
    Mla(MlaPlan),
}

impl AttentionPlan {
    /// The pairs that turn where nothing else is said: halves in grouped-query attention, as Llama and Qwen have them,
    /// and neighbours in latent attention, as DeepSeek has them.
    pub fn usual_pairs(&self) -> RopePairs {
        match self {
            Self::Gqa(_) => RopePairs::Halves,
            Self::Mla(_) => RopePairs::Neighbours,
        }
    }
}

/// Grouped-query attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GqaPlan {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// How many elements of a head, from the first on, turn with the position; even.
    pub rotary_dim: usize,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
    /// Norms of queries and keys before they turn.
    pub qk_norm: QkNorm,
    /// Bound on the size of every number of queries, keys and values before they turn; `None` where there is none.
    pub clip_qkv: Option<f64>,
    /// Layers in which a token sees its neighbours only; `None` where it sees everything before it in all layers.
    pub window: Option<WindowPlan>,
}

impl GqaPlan {
    /// Llama's attention: heads turn whole, and there are no biases, norms, bounds and windows.
    pub fn llama(heads: usize, kv_heads: usize, head_dim: usize) -> Self {
        Self {
            heads,
            kv_heads,
            head_dim,
            rotary_dim: head_dim,
            qkv_bias: false,
            output_bias: false,
            qk_norm: QkNorm::None,
            clip_qkv: None,
            window: None,
        }
    }
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// There are none.
    None,
    /// RMSNorm of every head, with one gain of a head's width for all heads (Qwen3).
    Head,
    /// RMSNorm of all heads of a token together, before they are split (OLMoE).
    Whole,
}

/// Attention to neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowPlan {
    /// Positions that a token sees, its own included.
    pub size: usize,
    /// The layers that are windowed, in ascending order.
    pub layers: Vec<usize>,
}

/// Multi-head latent attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MlaPlan {
    /// Heads.
    pub heads: usize,
    /// Rank of the query compression; `None` projects queries directly.
    pub q_lora_rank: Option<usize>,
    /// Width of the cached latent.
    pub kv_lora_rank: usize,
    /// Width of a head's part without position.
    pub qk_nope_head_dim: usize,
    /// Width of the rotary part, shared by all heads on the key side.
    pub qk_rope_head_dim: usize,
    /// Width of a head's value.
    pub v_head_dim: usize,
    /// Added to the mean square in the norms of the latents.
    pub latent_norm_eps: f64,
    /// Whether the first projections, except one straight to queries, and the output projection have a bias.
    pub bias: bool,
}

/// Feed-forward shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedForwardPlan {
    /// A SwiGLU feed-forward that every token goes through.
    Dense {
        /// Its inner width.
        intermediate_size: usize,
        /// Whether its projections have biases.
        bias: bool,
    },
    /// A mixture of experts.
    Moe(MoePlan),
}

impl FeedForwardPlan {
    /// A SwiGLU without biases in every layer.
    pub fn swiglu(intermediate_size: usize) -> Self {
        Self::Dense { intermediate_size, bias: false }
    }
}

/// A mixture of experts: the top k of the routed ones, and what every token goes through beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoePlan {
    /// Routed experts.
    pub routed_experts: usize,
    /// Inner width of all shared experts together, which are computed as one SwiGLU; 0 where there are none.
    pub shared_intermediate_size: usize,
    /// Whether the output of the shared experts is multiplied by the sigmoid of a projection of its own (Qwen2-MoE).
    pub shared_gated: bool,
    /// Routed experts per token.
    pub experts_per_token: usize,
    /// Inner width of one expert.
    pub expert_intermediate_size: usize,
    /// How logits of the router become affinities.
    pub scoring: Scoring,
    /// Whether a bias steers the selection (DeepSeek-V3, loss-free balancing).
    pub selection_bias: bool,
    /// Groups the routed experts are split into.
    pub groups: usize,
    /// Groups a token may choose experts from.
    pub groups_per_token: usize,
    /// What decides between groups.
    pub group_score: GroupScore,
    /// Whether the affinities of the chosen experts are divided by their sum (`norm_topk_prob` in published files).
    pub normalize_affinities: bool,
    /// Factor on the routed experts' output.
    pub routed_scaling: f64,
    /// Step γ of the loss-free bias update, per optimizer update; 0 turns it off.
    pub bias_update_speed: f64,
    /// Factor α of the sequence-wise balance loss; 0 turns it off.
    pub balance_loss: f64,
    /// The layers that are dense instead, in ascending order.
    pub dense_layers: Vec<usize>,
    /// Inner width of those.
    pub dense_intermediate_size: usize,
}

/// How logits of a router become affinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// The sigmoid of each (DeepSeek-V3).
    Sigmoid,
    /// The softmax over all experts.
    Softmax,
}

/// What a group of experts is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupScore {
    /// The sum of its two largest scores (DeepSeek-V3).
    TopTwo,
    /// Its largest score (DeepSeek-V2).
    Largest,
}

impl MoePlan {
    /// Whether a layer has experts.
    pub fn is_sparse(&self, layer: usize) -> bool {
        !self.dense_layers.contains(&layer)
    }
}

/// A frozen model that rewards may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgePlan {
    /// Its checkpoint, a folder.
    pub checkpoint: String,
    /// sha256 of its weights, hex.
    pub sha256: String,
    /// Its shape and its tokenizer.
    pub model: ModelPlan,
}

impl JudgePlan {
    /// The file of a checkpoint that holds the weights.
    pub const WEIGHTS: &str = "model.safetensors";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn models_that_compute_otherwise_may_have_each_others_weights() {
        let model = testing::run(Vec::new()).model;
        let other = match model.precision {
            Precision::F32 => Precision::Bf16,
            Precision::Bf16 => Precision::F32,
        };
        let alike = ModelPlan {
            context_length: model.context_length + 1,
            precision: other,
            recompute_activations: !model.recompute_activations,
            ..model.clone()
        };
        assert!(model.is_alike(&alike) && alike.takes_weights_of(&model));
        let value = ModelPlan { head: HeadPlan::Value, ..alike };
        assert!(value.takes_weights_of(&model) && !model.takes_weights_of(&value));
        let wider = ModelPlan { hidden_size: model.hidden_size + 1, ..model.clone() };
        assert!(!model.is_alike(&wider) && !wider.takes_weights_of(&model));
    }
}
