//! The model: its shapes must fit together.

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, GroupScore, InitialWeights, MlaPlan, ModelPlan,
    MoePlan, RopePlan, Scoring,
};

use super::Resolver;
use super::tokenizer::TokenizerRead;
use crate::codes;
use crate::diagnostic::quoted;
use crate::read::At;
use crate::spec::{AttentionSpec, FeedForwardSpec, ModelSpec, MoeSpec};

/// A model of the spec.
pub(crate) struct ModelRead {
    pub plan: ModelPlan,
    /// Its tokenizer, which is in the plan as well.
    pub tokenizer: TokenizerRead,
}

impl Resolver<'_, '_> {
    /// The model.
    pub(super) fn model(&mut self, spec: &At<ModelSpec>) -> Option<ModelRead> {
        match &spec.from {
            Some(from) => self.published(spec, from),
            None => self.described(spec),
        }
    }

    /// A model whose shape is written in the spec.
    fn described(&mut self, spec: &At<ModelSpec>) -> Option<ModelRead> {
        let tokenizer = self.needed(spec, "tokenizer", spec.tokenizer.as_ref());
        let tokenizer = tokenizer.and_then(|tokenizer| self.tokenizer(tokenizer, None));
        let attention = self.needed(spec, "attention", spec.attention.as_ref());
        let attention = attention.map(|one| self.attention(one, *spec.norm_eps));
        let layers = self.needed(spec, "layers", spec.layers.as_ref()).map(|layers| **layers);
        let feed_forward = self.needed(spec, "feed_forward", spec.feed_forward.as_ref());
        // A count that is missing was reported; no layer is dense beyond it.
        let depth = layers.unwrap_or(usize::MAX);
        let feed_forward = feed_forward.map(|one| self.feed_forward(one, depth));
        let hidden_size = self.needed(spec, "hidden_size", spec.hidden_size.as_ref());
        let context = self.needed(spec, "context_length", spec.context_length.as_ref());
        let (tokenizer, attention) = (tokenizer?, attention?);
        let plan = ModelPlan {
            initial: InitialWeights::Random,
            tokenizer: tokenizer.plan.clone(),
            vocabulary_size: tokenizer.tokens,
            hidden_size: **hidden_size?,
            layers: layers?,
            context_length: **context?,
            rope: RopePlan::unscaled(*spec.rope_theta, attention.usual_pairs()),
            attention,
            feed_forward: feed_forward?,
            tie_embeddings: *spec.tie_embeddings,
            norm_eps: *spec.norm_eps,
            init_std: *spec.init_std,
            precision: *spec.precision,
            recompute_activations: *spec.recompute_activations,
        };
        Some(ModelRead { plan, tokenizer })
    }

    /// A key of a model that is needed where the model is not a published one.
    fn needed<'s, T>(
        &mut self,
        spec: &At<ModelSpec>,
        key: &str,
        written: Option<&'s At<T>>,
    ) -> Option<&'s At<T>> {
        if written.is_none() {
            let message = format!("`{}` needs the key `{key}`", spec.path);
            let help = "write it, or take the whole model from a folder: model: {from: PATH}";
            self.error(codes::MISSING_KEY, spec.span, message).help(help);
        }
        written
    }

    /// A published model, with what the spec says otherwise.
    fn published(&mut self, spec: &At<ModelSpec>, from: &At<String>) -> Option<ModelRead> {
        let shape = [
            spec.hidden_size.as_ref().map(|key| (key.span, "hidden_size")),
            spec.layers.as_ref().map(|key| (key.span, "layers")),
            spec.attention.as_ref().map(|key| (key.span, "attention")),
            spec.feed_forward.as_ref().map(|key| (key.span, "feed_forward")),
        ];
        for (span, key) in shape.into_iter().flatten() {
            let message = format!("`{key}` goes only without `from`");
            let help = "the shape of a published model is in its config.json; take the key out";
            self.error(codes::ONE_OF, span, message).help(help);
        }
        let folder = self.reader.sources.path(from.span.source, from);
        let facts = match self.inputs.published(&folder) {
            Ok(facts) => facts,
            Err(refusal) => {
                let message =
                    format!("the model {} cannot be used: {}", quoted(from), refusal.message);
                let diagnostic = self.error(codes::MISSING_FILE, from.span, message);
                diagnostic.input();
                if let Some(help) = refusal.help {
                    diagnostic.help(help);
                }
                return None;
            }
        };
        let mut plan = facts.plan;
        if let Some(written) = &spec.context_length {
            if **written > plan.context_length {
                let longest = plan.context_length;
                let message = format!("the model takes {longest} tokens, not {}", **written);
                self.error(codes::SHAPE, written.span, message);
            }
            plan.context_length = **written;
        }
        let tokenizer = match (&spec.tokenizer, facts.tokenizer, facts.eos) {
            (Some(written), _, _) => self.tokenizer(written, Some(&folder))?,
            (None, Some(path), eos) if !eos.is_empty() => {
                self.tokenizer_of(&path, from, eos, &folder)?
            }
            (None, None, _) => {
                let message = format!("{} has no tokenizer.json", quoted(from));
                let help = "name one: model.tokenizer: {file: PATH, eos: TOKEN}";
                self.error(codes::TOKENIZER, from.span, message).input().help(help);
                return None;
            }
            (None, Some(_), _) => {
                let message =
                    format!("the files of {} do not say which token ends a text", quoted(from));
                let help = "say it: model.tokenizer: {file: PATH, eos: TOKEN}";
                self.error(codes::TOKENIZER, from.span, message).input().help(help);
                return None;
            }
        };
        if tokenizer.tokens > plan.vocabulary_size {
            let (tokens, rows) = (tokenizer.tokens, plan.vocabulary_size);
            let message = format!("the tokenizer has {tokens} tokens, the model knows {rows}");
            self.error(codes::TOKENIZER, from.span, message).input();
        }
        (plan.tokenizer, plan.precision) = (tokenizer.plan.clone(), *spec.precision);
        plan.recompute_activations = *spec.recompute_activations;
        Some(ModelRead { plan, tokenizer })
    }

    fn even(&mut self, key: &str, width: &At<usize>) {
        if !width.is_multiple_of(2) {
            let message = format!("`{key}` must be even, but is {}", **width);
            let help = "rotary positions turn dimensions in pairs";
            self.error(codes::SHAPE, width.span, message).help(help);
        }
    }

    fn attention(&mut self, spec: &AttentionSpec, norm_eps: f64) -> AttentionPlan {
        match spec {
            AttentionSpec::Gqa(gqa) => {
                self.even("head_dim", &gqa.head_dim);
                let (heads, kv_heads) = (*gqa.heads, *gqa.kv_heads);
                if heads % kv_heads != 0 {
                    let message = format!("{kv_heads} key/value heads do not divide {heads} heads");
                    self.error(codes::SHAPE, gqa.kv_heads.span, message);
                }
                AttentionPlan::Gqa(GqaPlan::llama(heads, kv_heads, *gqa.head_dim))
            }
            AttentionSpec::Mla(mla) => {
                self.even("qk_rope_head_dim", &mla.qk_rope_head_dim);
                AttentionPlan::Mla(MlaPlan {
                    heads: *mla.heads,
                    q_lora_rank: mla.q_lora_rank.as_deref().copied(),
                    kv_lora_rank: *mla.kv_lora_rank,
                    qk_nope_head_dim: *mla.qk_nope_head_dim,
                    qk_rope_head_dim: *mla.qk_rope_head_dim,
                    v_head_dim: *mla.v_head_dim,
                    latent_norm_eps: norm_eps,
                    bias: false,
                })
            }
        }
    }

    fn feed_forward(&mut self, spec: &FeedForwardSpec, layers: usize) -> FeedForwardPlan {
        match spec {
            FeedForwardSpec::Dense(dense) => FeedForwardPlan::swiglu(*dense.intermediate_size),
            FeedForwardSpec::Moe(moe) => {
                self.check_moe(moe, layers);
                let dense_intermediate_size = moe.dense_intermediate_size.as_deref().copied();
                FeedForwardPlan::Moe(MoePlan {
                    routed_experts: *moe.routed_experts,
                    shared_intermediate_size: *moe.shared_experts * *moe.expert_intermediate_size,
                    shared_gated: false,
                    scoring: Scoring::Sigmoid,
                    selection_bias: true,
                    group_score: GroupScore::TopTwo,
                    experts_per_token: *moe.experts_per_token,
                    expert_intermediate_size: *moe.expert_intermediate_size,
                    groups: *moe.groups,
                    groups_per_token: *moe.groups_per_token,
                    normalize_affinities: *moe.norm_topk_prob,
                    routed_scaling: *moe.routed_scaling,
                    bias_update_speed: *moe.bias_update_speed,
                    balance_loss: *moe.balance_loss,
                    dense_layers: (0..*moe.dense_layers).collect(),
                    dense_intermediate_size: dense_intermediate_size.unwrap_or(0),
                })
            }
        }
    }

    fn check_moe(&mut self, moe: &MoeSpec, layers: usize) {
        let (routed, chosen) = (*moe.routed_experts, *moe.experts_per_token);
        let (groups, group_choice) = (*moe.groups, *moe.groups_per_token);
        if chosen > routed {
            let message = format!("a token cannot choose {chosen} of {routed} routed experts");
            self.error(codes::SHAPE, moe.experts_per_token.span, message);
        } else if routed % groups != 0 {
            let message = format!("{groups} groups do not divide {routed} routed experts");
            self.error(codes::SHAPE, moe.groups.span, message);
        } else if group_choice > groups {
            let message = format!("a token cannot choose {group_choice} of {groups} groups");
            self.error(codes::SHAPE, moe.groups_per_token.span, message);
        } else if chosen > group_choice * (routed / groups) {
            let held = group_choice * (routed / groups);
            let message = format!(
                "a token cannot choose {chosen} experts, because the groups it may choose from hold {held}"
            );
            self.error(codes::SHAPE, moe.experts_per_token.span, message)
                .help("raise groups_per_token, or lower experts_per_token");
        }
        if *moe.dense_layers > layers {
            let message = format!("{} of {layers} layers cannot be dense", *moe.dense_layers);
            self.error(codes::SHAPE, moe.dense_layers.span, message);
        }
        if *moe.dense_layers > 0 && moe.dense_intermediate_size.is_none() {
            let message = "dense layers need the key `dense_intermediate_size`".to_owned();
            self.error(codes::MISSING_KEY, moe.dense_layers.span, message);
        }
    }
}
