//! The layers of a model that a spec describes: what they consist of must fit together.

use r1x_core::plan::{
    AttentionPlan, FeedForwardPlan, GqaPlan, MlaPlan, MoePlan, RopeScaling, WindowPlan, YarnPlan,
};
use r1x_core::rope::{Temperatures, yarn_factors};
use serde_json::json;

use super::Resolver;
use crate::codes;
use crate::model_values::LayerChoice;
use crate::read::At;
use crate::spec::{
    AttentionSpec, FeedForwardSpec, GqaSpec, Llama3ScalingSpec, MlaSpec, MoeSpec, RopeScalingSpec,
    WindowSpec, YarnSpec,
};

/// Most routed experts of all layers together; DeepSeek-V3 has 14 848. The list of a model's tensors has three for each.
const MOST_EXPERTS: usize = 1 << 18;

/// What the layers of a model have in common with the model.
#[derive(Clone, Copy)]
pub(super) struct Around {
    /// How many layers there are; the largest number where a mistake hides it.
    pub layers: usize,
    /// Added to the mean square in the norms of latents that say nothing of their own.
    pub latent_norm_eps: f64,
}

impl Resolver<'_, '_> {
    fn even(&mut self, key: &str, width: &At<usize>) {
        if !width.is_multiple_of(2) {
            let message = format!("`{key}` must be even, but is {}", **width);
            let help = "rotary positions turn dimensions in pairs";
            self.error(codes::SHAPE, width.span, message).help(help);
        }
    }

    /// The attention of every layer.
    pub(super) fn attention(&mut self, spec: &AttentionSpec, around: Around) -> AttentionPlan {
        match spec {
            AttentionSpec::Gqa(gqa) => AttentionPlan::Gqa(self.grouped_queries(gqa, around)),
            AttentionSpec::Mla(mla) => AttentionPlan::Mla(self.latent(mla, around)),
        }
    }

    fn grouped_queries(&mut self, gqa: &GqaSpec, around: Around) -> GqaPlan {
        self.even("head_dim", &gqa.head_dim);
        let (heads, kv_heads, head_dim) = (*gqa.heads, *gqa.kv_heads, *gqa.head_dim);
        if heads % kv_heads != 0 {
            let message = format!("{kv_heads} key/value heads do not divide {heads} heads");
            self.error(codes::SHAPE, gqa.kv_heads.span, message);
        }
        if let Some(rotary) = &gqa.rotary_dim {
            self.even("rotary_dim", rotary);
            if **rotary > head_dim {
                let message = format!("{} elements of a head of {head_dim} cannot turn", **rotary);
                self.error(codes::SHAPE, rotary.span, message);
            }
        }
        GqaPlan {
            heads,
            kv_heads,
            head_dim,
            rotary_dim: gqa.rotary_dim.as_deref().copied().unwrap_or(head_dim),
            qkv_bias: *gqa.qkv_bias,
            output_bias: *gqa.output_bias,
            qk_norm: *gqa.qk_norm,
            clip_qkv: gqa.clip_qkv.as_deref().copied(),
            window: gqa.window.as_ref().and_then(|window| self.window(window, around.layers)),
        }
    }

    fn window(&mut self, spec: &At<WindowSpec>, depth: usize) -> Option<WindowPlan> {
        let layers = match &spec.layers {
            Some(choice) => self.chosen_layers(choice, depth, "windowed"),
            // A count that is missing was reported.
            None if depth == usize::MAX => return None,
            None => (0..depth).collect(),
        };
        if layers.is_empty() {
            let message = "the window is that of no layer".to_owned();
            let span = spec.layers.as_ref().map_or(spec.span, |layers| layers.span);
            self.error(codes::SHAPE, span, message).help("name layers, or take `window` out");
        }
        Some(WindowPlan { size: *spec.size, layers })
    }

    /// The layers of a choice, all of which must be there.
    fn chosen_layers(&mut self, choice: &At<LayerChoice>, depth: usize, what: &str) -> Vec<usize> {
        match &choice.value {
            LayerChoice::Leading(count) if *count > depth => {
                let message = format!("{count} of {depth} layers cannot be {what}");
                self.error(codes::SHAPE, choice.span, message);
                return Vec::new();
            }
            LayerChoice::Leading(_) => {}
            LayerChoice::Listed(all) => {
                for layer in all.iter().filter(|layer| layer.value >= depth) {
                    let message = format!("there is no layer {} among {depth}", layer.value);
                    let help = "the first layer is 0, and the last is one less than `layers`";
                    self.error(codes::SHAPE, layer.span, message).help(help);
                }
            }
        }
        choice.layers()
    }

    fn latent(&mut self, mla: &MlaSpec, around: Around) -> MlaPlan {
        self.even("qk_rope_head_dim", &mla.qk_rope_head_dim);
        let written = mla.latent_norm_eps.as_deref().copied();
        MlaPlan {
            heads: *mla.heads,
            q_lora_rank: mla.q_lora_rank.as_deref().copied(),
            kv_lora_rank: *mla.kv_lora_rank,
            qk_nope_head_dim: *mla.qk_nope_head_dim,
            qk_rope_head_dim: *mla.qk_rope_head_dim,
            v_head_dim: *mla.v_head_dim,
            latent_norm_eps: written.unwrap_or(around.latent_norm_eps),
            bias: *mla.bias,
        }
    }

    /// How rotary frequencies of this base are changed.
    pub(super) fn rope_scaling(
        &mut self,
        spec: &At<RopeScalingSpec>,
        theta: f64,
        attention: &AttentionPlan,
    ) -> RopeScaling {
        match &spec.value {
            RopeScalingSpec::Linear(linear) => RopeScaling::Linear { factor: *linear.factor },
            RopeScalingSpec::Llama3(llama3) => self.llama3_scaling(llama3),
            RopeScalingSpec::Yarn(yarn) => {
                if theta <= 1.0 {
                    let message = "YaRN has no pairs to choose between where `rope_theta` is 1";
                    let help = "raise `rope_theta`, or leave `rope_scaling` out";
                    self.error(codes::SHAPE, spec.span, message.to_owned()).help(help);
                }
                RopeScaling::Yarn(self.yarn(yarn, attention))
            }
        }
    }

    fn llama3_scaling(&mut self, spec: &Llama3ScalingSpec) -> RopeScaling {
        let (low, high) = (*spec.low_freq_factor, *spec.high_freq_factor);
        if high <= low {
            let message = format!(
                "`high_freq_factor` must be larger than `low_freq_factor`, but {high} is not larger than {low}"
            );
            let help = "waves between the two are mixed, so there must be room between them";
            let span = [&spec.high_freq_factor, &spec.low_freq_factor];
            let span = span.into_iter().find(|one| self.is_written(one)).map(|one| one.span);
            self.error(codes::SHAPE, span.unwrap_or(spec.factor.span), message).help(help);
        }
        RopeScaling::Llama3 {
            factor: *spec.factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_context: *spec.original_context,
        }
    }

    fn yarn(&mut self, spec: &YarnSpec, attention: &AttentionPlan) -> YarnPlan {
        let (fast, slow) = (*spec.beta_fast, *spec.beta_slow);
        if fast <= slow {
            let message = format!(
                "`beta_fast` must be larger than `beta_slow`, but {fast} is not larger than {slow}"
            );
            let span = [&spec.beta_fast, &spec.beta_slow];
            let span = span.into_iter().find(|one| self.is_written(one)).map(|one| one.span);
            self.error(codes::SHAPE, span.unwrap_or(spec.factor.span), message);
        }
        match (&spec.attention_factor, &spec.mscale, &spec.mscale_all_dim) {
            (Some(_), Some(scale), _) => {
                let message = "`mscale` and `attention_factor` both say the factor on cosines";
                let help = "keep one of them";
                self.error(codes::ONE_OF, scale.span, message.to_owned()).help(help);
            }
            (None, Some(scale), None) => {
                let message = "`mscale` needs `mscale_all_dim`, whose temperature divides its own";
                let help = "write both, or the factor itself as `attention_factor`";
                self.error(codes::MISSING_KEY, scale.span, message.to_owned()).help(help);
            }
            _ => {}
        }
        let value = |written: &Option<At<f64>>| written.as_deref().copied();
        let temperatures = Temperatures {
            attention_factor: value(&spec.attention_factor),
            mscale: value(&spec.mscale),
            mscale_all_dim: value(&spec.mscale_all_dim),
            corrects_scores: matches!(attention, AttentionPlan::Mla(_)),
        };
        let (rotation_factor, score_factor) = yarn_factors(*spec.factor, temperatures);
        YarnPlan {
            factor: *spec.factor,
            original_context: *spec.original_context,
            beta_fast: fast,
            beta_slow: slow,
            truncate: *spec.truncate,
            rotation_factor,
            score_factor,
        }
    }

    /// The feed-forward of every layer.
    pub(super) fn feed_forward(&mut self, spec: &FeedForwardSpec, depth: usize) -> FeedForwardPlan {
        match spec {
            FeedForwardSpec::Dense(dense) => FeedForwardPlan::Dense {
                intermediate_size: *dense.intermediate_size,
                bias: *dense.bias,
            },
            FeedForwardSpec::Moe(moe) => FeedForwardPlan::Moe(self.mixture(moe, depth)),
        }
    }

    fn mixture(&mut self, moe: &MoeSpec, depth: usize) -> MoePlan {
        self.check_moe(moe);
        self.check_experts(moe, depth);
        let dense_layers = self.chosen_layers(&moe.dense_layers, depth, "dense");
        let has_dense = !moe.dense_layers.is_empty();
        if has_dense && moe.dense_intermediate_size.is_none() {
            let message = "dense layers need the key `dense_intermediate_size`".to_owned();
            self.error(codes::MISSING_KEY, moe.dense_layers.span, message);
        }
        MoePlan {
            routed_experts: *moe.routed_experts,
            shared_intermediate_size: self.shared_width(moe),
            shared_gated: *moe.shared_gate,
            scoring: *moe.scoring,
            selection_bias: *moe.selection_bias,
            group_score: *moe.group_score,
            experts_per_token: *moe.experts_per_token,
            expert_intermediate_size: *moe.expert_intermediate_size,
            groups: *moe.groups,
            groups_per_token: *moe.groups_per_token,
            normalize_affinities: *moe.norm_topk_prob,
            routed_scaling: *moe.routed_scaling,
            bias_update_speed: self.bias_update_speed(moe),
            balance_loss: *moe.balance_loss,
            dense_layers,
            dense_intermediate_size: moe.dense_intermediate_size.as_deref().copied().unwrap_or(0),
        }
    }

    /// The inner width of all shared experts together.
    fn shared_width(&mut self, moe: &MoeSpec) -> usize {
        let Some(width) = &moe.shared_intermediate_size else {
            let width = *moe.shared_experts * *moe.expert_intermediate_size;
            if *moe.shared_gate && width == 0 {
                let message = "there are no shared experts for `shared_gate` to gate".to_owned();
                let help = "give the mixture shared experts, or take the key out";
                self.error(codes::SHAPE, moe.shared_gate.span, message).help(help);
            }
            return width;
        };
        if self.is_written(&moe.shared_experts) {
            let message =
                "`shared_experts` and `shared_intermediate_size` say one thing".to_owned();
            let help = "keep one of them";
            self.error(codes::ONE_OF, width.span, message).help(help);
        } else {
            self.forget_default(&moe.shared_experts);
        }
        **width
    }

    /// The step of the selection bias, which is 0 where there is none.
    fn bias_update_speed(&mut self, moe: &MoeSpec) -> f64 {
        let speed = &moe.bias_update_speed;
        if *moe.selection_bias || **speed == 0.0 {
            return **speed;
        }
        if self.is_written(speed) {
            let message = "`bias_update_speed` moves a bias that `selection_bias: false` takes out";
            let help = "write 0, or keep the bias";
            self.error(codes::SHAPE, speed.span, message.to_owned()).help(help);
        } else {
            self.assume(speed, json!(0.0));
        }
        0.0
    }

    /// Whether the experts of all layers can be listed. A depth that a mistake hides is not known.
    fn check_experts(&mut self, moe: &MoeSpec, depth: usize) {
        let experts = &moe.routed_experts;
        let all = depth.saturating_mul(**experts);
        if depth != usize::MAX && all > MOST_EXPERTS {
            let message = format!(
                "{depth} layers of {} experts are {all}, more than {MOST_EXPERTS}",
                **experts
            );
            self.error(codes::SHAPE, experts.span, message);
        }
    }

    fn check_moe(&mut self, moe: &MoeSpec) {
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
    }
}
