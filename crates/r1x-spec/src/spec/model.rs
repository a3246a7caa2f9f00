//! The model of a spec: its shape as far as a plan can say one, or the folder it comes from.

use r1x_core::plan::{
    GroupScore, HeadPlan, LoraScaling, LoraTarget, Precision, QkNorm, RopePairs, Scoring,
};

use super::ranges::*;
use crate::lists::{OneOrMore, Texts};
use crate::model_values::LayerChoice;
use crate::read::{At, one_of, record};
use crate::schema_tree::Range;

record! {
    /// A decoder-only transformer.
    pub struct ModelSpec {
        /// The folder of a published model, relative to this file: `config.json`, weights and `tokenizer.json`, as
        /// transformers writes them. Shape, weights and tokenizer come from there. Written where an inherited `model`
        /// has no `from`, it takes the place of that whole map. A key beside it overrides what the folder says, as far
        /// as the weights allow. Left out, the shape is written here and the weights are random.
        from: String => origin;
        /// The checkpoint of an earlier run whose weights the model begins with: its folder, relative to this file, or
        /// `RUN:CHECKPOINT` in the store, where RUN is what commands take for a run, and CHECKPOINT a name such as
        /// `rl/final`, or the id of a stage, whose last one is meant. The model of that run has the shape and the tokenizer
        /// of this one, and its adapters where it has any. Left out, the weights are those of `from`, or random.
        checkpoint: String => optional;
        /// How text becomes tokens. Left out, it is the `tokenizer.json` of `from`; without `from` it is needed by
        /// everything but `r1x plan` of a shape.
        tokenizer: TokenizerSpec => optional;
        /// The number of rows of the embedding and the output head: one for each token, and perhaps further ones,
        /// which are never drawn. Left out, it is the one of `from`, or as many as the tokenizer has tokens.
        vocabulary_size: usize => optional, SIZE;
        /// The width of the residual stream, numbers per token. Left out, it is the one of `from`, from which it may not
        /// differ; without `from` it is needed.
        hidden_size: usize => optional, SIZE;
        /// The number of decoder layers. Left out, it is the one of `from`, from which it may not differ; without
        /// `from` it is needed.
        layers: usize => optional, PARTS;
        /// The longest prompt plus completion, in tokens. Left out, it is the one of `from`, and beside `from` it is no
        /// longer than that one unless `rope_scaling` is written; without `from` it is needed.
        context_length: usize => optional, SIZE;
        /// The attention of every layer, which is one of two kinds. Left out, it is the one of `from`, from which it may
        /// differ in window, bounds and the epsilon of latents; without `from` it is needed.
        attention: AttentionSpec => optional;
        /// The feed-forward part of every layer, which is one of two kinds. Left out, it is the one of `from`, from
        /// which it may differ in how load is balanced; without `from` it is needed.
        feed_forward: FeedForwardSpec => optional;
        /// What the model says at a position. Left out, it is what `from` says, or `vocabulary`. With `value` beside a `from`
        /// that writes, the body comes from there and the head is random.
        head: HeadPlan => optional;
        /// Whether the output head shares the matrix of the embeddings, where it is one over the vocabulary. `from` says it itself, and this may not differ.
        tie_embeddings: bool => default(true);
        /// The base of the rotary frequencies: a larger one turns more slowly. `from` says it itself.
        rope_theta: f64 => default(10_000.0), Range::from(1.0).to(1e12);
        /// Which elements of a vector of queries or keys form a pair that turns. Left out, it is `halves` in `gqa` and
        /// `neighbours` in `mla`. `from` says it itself, and this may not differ.
        rope_pairs: RopePairs => optional;
        /// How the rotary frequencies are changed for contexts longer than those of the first training, which is one of
        /// three kinds. Left out, they are those of `from`, or they are not changed.
        rope_scaling: RopeScalingSpec => optional;
        /// The number added to the mean square in RMSNorm, so that nothing is divided by 0. `from` says it itself.
        norm_eps: f64 => default(1e-6), EPSILON;
        /// The standard deviation of random weights.
        init_std: f64 => default(0.02), Range::from(1e-6).to(10.0);
        /// What the factors of matrix products are. Sums, the router of a mixture of experts, master weights and
        /// moments are f32 in both.
        precision: Precision => default(Precision::Bf16);
        /// Whether activations are computed again in the backward pass instead of being kept. It takes less memory
        /// and more time, and gives the same results.
        recompute_activations: bool => default(false);
        /// Adapters that are trained in place of the weights, which stay as they are (LoRA). Left out, all weights are
        /// trained.
        lora: LoraSpec => optional;
        /// Multi-token prediction: modules behind the layers that learn to predict tokens further on. Supervised stages
        /// train them together with the model; what is sampled and scored does not depend on them. Left out, there are
        /// none, and those of `from` are not read.
        mtp: MtpSpec => optional;
    }
}

record! {
    /// Low-rank adapters (LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685): a projection `W` adds
    /// `s (x Aᵀ) Bᵀ` to what it gives, and only `A` and `B` are trained. They have no dropout, because a token would have
    /// another log-prob when it is learnt from than when it was drawn.
    pub struct LoraSpec {
        /// The folder of adapters as PEFT writes them, relative to this file: `adapter_config.json` and
        /// `adapter_model.safetensors`. It says everything else, so no other key stands beside it. Left out, `A` is
        /// random and `B` is 0, so that the adapters begin by adding nothing.
        from: String => optional;
        /// The inner width of an adapter. Left out, it is the one of `from`; without `from` it is needed.
        rank: usize => optional, Range::from(1.0).to(65_536.0);
        /// The numerator of the factor `s`. Left out, it is the one of `from`, or twice the rank.
        alpha: f64 => optional, Range::above(0.0).to(1e6);
        /// What `alpha` is divided by to give the factor `s`. `from` says it itself.
        scaling: LoraScaling => default(LoraScaling::Rank);
        /// The projections that have adapters, in every layer that has one of the name. Left out, they are those of `from`,
        /// or all that the model has; `kv_b_proj` of `mla` can have none.
        targets: Vec<At<LoraTarget>> => optional;
    }
}

record! {
    /// Multi-token prediction (DeepSeek-V3, 2024, arXiv 2412.19437, section 2.2).
    pub struct MtpSpec {
        /// The number of modules. Each is a layer, with experts where the model has them, and predicts one token further
        /// than the module before it, the first one the token behind the next. Beside `from` there are at most as many
        /// as its weights have.
        depth: usize => default(1), Range::from(1.0).to(16.0);
        /// The factor of the mean of their losses, which is added to the loss of a supervised stage. DeepSeek-V3 had 0.3,
        /// and 0.1 towards the end of its pre-training. 0 turns their training off.
        weight: f64 => default(0.1), FACTOR;
    }
}

record! {
    /// How text becomes tokens.
    pub struct TokenizerSpec {
        /// Where the vocabulary comes from.
        kind: TokenizerKind => flat;
        /// The token of a tokenizer `file` that ends a completion, as it is written there, or a list of such tokens:
        /// sampling stops at any of them, and supervised stages teach the first. It is needed beside `file` and nowhere
        /// else. Left out, the vocabulary has an end of its own.
        eos: OneOrMore => optional;
        /// The path of a chat template as hubs publish it with a model, relative to this file: it makes a prompt of
        /// `messages`. It stands only beside `file`. Left out, it is the one in the folder of `from`, where there is one.
        chat_template: String => optional;
    }
}

one_of! {
    /// Where the vocabulary comes from.
    pub enum TokenizerKind {
        /// The id of a data set whose words become the vocabulary, or a list of such ids: one token for each word, words
        /// being separated by white space. Of a file these are the words of all prompts and solutions, in both splits; of
        /// generated data they are the words that problems and solutions may have, and those of the template. At most
        /// 65 536 words of each data set.
        "data" => Data(OneOrMore),
        /// The words that are tokens, besides the end of the sequence, which is always token 0. A prompt or a
        /// solution with another word is an error.
        "vocabulary" => Vocabulary(Texts),
        /// The path of a `tokenizer.json` as Hugging Face's `tokenizers` writes it, relative to this file.
        "file" => File(String),
    }
}

one_of! {
    /// How rotary frequencies are changed for longer contexts.
    pub enum RopeScalingSpec {
        /// All of them are divided by one number.
        "linear" => Linear(LinearScalingSpec),
        /// As in Llama 3.1: slow ones are divided, fast ones are kept, and those between are mixed (arXiv 2407.21783).
        "llama3" => Llama3(Llama3ScalingSpec),
        /// YaRN (Peng et al., 2023, arXiv 2309.00071).
        "yarn" => Yarn(YarnSpec),
    }
}

record! {
    /// Rotary frequencies divided by one number.
    pub struct LinearScalingSpec {
        /// The number that every frequency is divided by.
        factor: f64 => required, STRETCH;
    }
}

record! {
    /// The rotary frequencies of Llama 3.1.
    pub struct Llama3ScalingSpec {
        /// The number that slow frequencies are divided by.
        factor: f64 => required, STRETCH;
        /// The longest sequence before the extension, in tokens.
        original_context: usize => required, SIZE;
        /// Waves longer than `original_context` over this number are divided.
        low_freq_factor: f64 => default(1.0), TURNS;
        /// Waves shorter than `original_context` over this number are kept. It is larger than `low_freq_factor`.
        high_freq_factor: f64 => default(4.0), TURNS;
    }
}

record! {
    /// The numbers of YaRN, by the names that published configurations have for them.
    pub struct YarnSpec {
        /// The number that the slowest frequencies are divided by.
        factor: f64 => required, STRETCH;
        /// The longest sequence before the extension, in tokens.
        original_context: usize => required, SIZE;
        /// Frequencies that turn more often than this within `original_context` are kept.
        beta_fast: f64 => default(32.0), TURNS;
        /// Frequencies that turn less often than this within it are divided by the whole factor. It is smaller than
        /// `beta_fast`.
        beta_slow: f64 => default(1.0), TURNS;
        /// Whether the ends of the ramp between those two are rounded outwards to whole pairs.
        truncate: bool => default(true);
        /// The factor on cosines and sines. Left out, it follows from `mscale` and `mscale_all_dim` where both are
        /// written, and is 0.1 ln(factor) + 1 otherwise.
        attention_factor: f64 => optional, TURNS;
        /// The scale of cosines and sines, beside `mscale_all_dim`. Left out, or 0, it says nothing.
        mscale: f64 => optional, SCALE;
        /// The scale of scores in `mla`, as in DeepSeek: they are multiplied by (0.1 mscale_all_dim ln(factor) + 1)
        /// squared. In `gqa` it only divides `mscale`. Left out, or 0, scores are as they are.
        mscale_all_dim: f64 => optional, SCALE;
    }
}

one_of! {
    /// Attention of every layer.
    pub enum AttentionSpec {
        /// Grouped-query attention (Ainslie et al., 2023, arXiv 2305.13245).
        "gqa" => Gqa(GqaSpec),
        /// Multi-head latent attention (DeepSeek-V2, 2024, arXiv 2405.04434).
        "mla" => Mla(MlaSpec),
    }
}

record! {
    /// Grouped-query attention.
    pub struct GqaSpec {
        /// The number of query heads.
        heads: usize => required, PARTS;
        /// The number of key and value heads. It divides `heads`, and equal to it makes multi-head attention.
        kv_heads: usize => required, PARTS;
        /// The width of a head, numbers per token.
        head_dim: usize => required, SIZE;
        /// How many elements of a head, from the first on, turn with the position. It is even, because rotary positions
        /// turn pairs. Left out, the whole head turns.
        rotary_dim: usize => optional, SIZE;
        /// Whether queries, keys and values have a bias, as in Qwen2.
        qkv_bias: bool => default(false);
        /// Whether the output projection has a bias.
        output_bias: bool => default(false);
        /// The norms of queries and keys before they turn.
        qk_norm: QkNorm => default(QkNorm::None);
        /// The bound on the size of every number of queries, keys and values before they turn, as in OLMoE. Left out,
        /// there is none.
        clip_qkv: f64 => optional, Range::above(0.0).to(1e6);
        /// The layers in which a token sees its neighbours only. Left out, a token sees everything before it in all
        /// layers.
        window: WindowSpec => optional;
    }
}

record! {
    /// Attention to neighbours.
    pub struct WindowSpec {
        /// The number of positions that a token sees, its own included.
        size: usize => required, SIZE;
        /// The layers that are windowed: a number for so many from the first on, or a list of their numbers, which
        /// begin at 0. Left out, all of them are.
        layers: LayerChoice => optional, LAYERS;
    }
}

record! {
    /// Multi-head latent attention (DeepSeek-V2).
    pub struct MlaSpec {
        /// The number of heads.
        heads: usize => required, PARTS;
        /// The width that queries are compressed to, numbers per token. Left out, queries are projected directly.
        q_lora_rank: usize => optional, SIZE;
        /// The width of the latent that keys and values are made from, numbers per token. It is what the cache
        /// keeps.
        kv_lora_rank: usize => required, SIZE;
        /// The width of the part of a head that has no position, numbers per token.
        qk_nope_head_dim: usize => required, SIZE;
        /// The width of the rotary part of a head, numbers per token, which all heads share on the side of the
        /// keys. It is even.
        qk_rope_head_dim: usize => required, SIZE;
        /// The width of a head's value, numbers per token.
        v_head_dim: usize => required, SIZE;
        /// The number added to the mean square in the norms of the latents. Left out, it is `norm_eps` of the model.
        latent_norm_eps: f64 => optional, EPSILON;
        /// Whether the projections to the latents and the output projection have a bias.
        bias: bool => default(false);
    }
}

one_of! {
    /// Feed-forward of every layer.
    pub enum FeedForwardSpec {
        /// A single SwiGLU for every token (Shazeer, 2020, arXiv 2002.05202).
        "dense" => Dense(DenseSpec),
        /// A mixture of experts (DeepSeek-V3, 2024, arXiv 2412.19437).
        "moe" => Moe(MoeSpec),
    }
}

record! {
    /// A SwiGLU that every token goes through.
    pub struct DenseSpec {
        /// The inner width, numbers per token.
        intermediate_size: usize => required, SIZE;
        /// Whether its projections have biases.
        bias: bool => default(false);
    }
}

record! {
    /// A mixture of experts: shared ones, plus a choice among routed ones. What is left out is as in DeepSeek-V3.
    pub struct MoeSpec {
        /// The number of routed experts in a layer.
        routed_experts: usize => required, PARTS;
        /// The number of shared experts in a layer, which see every token and are each as wide as a routed one.
        shared_experts: usize => default(1), Range::from(0.0).to(4_096.0);
        /// The inner width of all shared experts together, in place of `shared_experts`, numbers per token. Left out,
        /// it follows from `shared_experts`.
        shared_intermediate_size: usize => optional, SIZE;
        /// Whether the output of the shared experts is multiplied by a gate of its own, as in Qwen2-MoE.
        shared_gate: bool => default(false);
        /// The number of routed experts that a token is sent to.
        experts_per_token: usize => required, PARTS;
        /// The inner width of one expert, numbers per token.
        expert_intermediate_size: usize => required, SIZE;
        /// How the logits of the router become affinities.
        scoring: Scoring => default(Scoring::Sigmoid);
        /// Whether a bias steers which experts are chosen, without weighing what they say.
        selection_bias: bool => default(true);
        /// The number of equal groups that the routed experts are split into, one for each node in node-limited routing.
        /// It divides `routed_experts`.
        groups: usize => default(1), PARTS;
        /// The number of groups that a token may choose its experts from: how many nodes it may reach in node-limited
        /// routing.
        groups_per_token: usize => default(1), PARTS;
        /// What decides between groups.
        group_score: GroupScore => default(GroupScore::TopTwo);
        /// Whether the affinities of the chosen experts are divided by their sum.
        norm_topk_prob: bool => default(true);
        /// The factor on the output of the routed experts.
        routed_scaling: f64 => default(1.0), Range::from(1e-3).to(1e3);
        /// The step by which the bias of an expert moves after every optimizer update, up when it had too few
        /// tokens and down when it had too many. 0 turns it off, and so does `selection_bias: false`.
        bias_update_speed: f64 => default(0.001), SHARE;
        /// The factor of the balance loss, which is taken over each sequence. 0 turns it off.
        balance_loss: f64 => default(0.0001), FACTOR;
        /// The layers that are dense instead: a number for so many from the first on, or a list of their numbers, which
        /// begin at 0.
        dense_layers: LayerChoice => default(LayerChoice::Leading(0)), LAYERS;
        /// The inner width of the dense layers, numbers per token. It is needed when there are any. Left out,
        /// `dense_layers` must be 0.
        dense_intermediate_size: usize => optional, SIZE;
    }
}
