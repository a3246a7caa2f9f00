//! A published model with what a spec says otherwise: the weights of its folder must still fit.
//!
//! What decides which tensors there are, or what they were trained to mean, is compared and may not differ. How far
//! positions reach, what an epsilon is and how load is balanced is the spec's to say.

use r1x_core::plan::{AttentionPlan, FeedForwardPlan, HeadPlan, ModelPlan, RopeScaling};
use serde_json::{Map, Value as Json};

use super::Resolver;
use super::layers::Around;
use crate::codes;
use crate::diagnostic::quoted;
use crate::read::At;
use crate::source::Span;
use crate::spec::ModelSpec;

/// Keys of an attention that may differ from those of the folder.
const FREE_IN_ATTENTION: [&str; 3] = ["window", "clip_qkv", "latent_norm_eps"];
/// Keys of a feed-forward that may differ from those of the folder.
const FREE_IN_FEED_FORWARD: [&str; 2] = ["bias_update_speed", "balance_loss"];
/// What the plan calls keys of the spec that have another name there.
const OTHER_NAMES: [(&str, &str); 2] =
    [("shared_gated", "shared_gate"), ("normalize_affinities", "norm_topk_prob")];
/// Keys whose default says nothing where a folder says it.
const SAID_BY_THE_FOLDER: [&str; 4] = ["tie_embeddings", "rope_theta", "norm_eps", "init_std"];

impl Resolver<'_, '_> {
    /// The plan of a folder with the keys that are written beside `from`.
    pub(super) fn overridden(
        &mut self,
        spec: &At<ModelSpec>,
        from: &At<String>,
        found: ModelPlan,
    ) -> ModelPlan {
        let mut plan = found;
        self.same(from, spec.hidden_size.as_ref(), "hidden_size", plan.hidden_size);
        self.same(from, spec.layers.as_ref(), "layers", plan.layers);
        let rows = plan.vocabulary_size;
        self.same(from, spec.vocabulary_size.as_ref(), "vocabulary_size", rows);
        let tied = Some(&spec.tie_embeddings).filter(|tied| self.is_written(tied));
        self.same(from, tied, "tie_embeddings", plan.tie_embeddings);
        if let Some(pairs) = spec.rope_pairs.as_ref().filter(|pairs| ***pairs != plan.rope.pairs) {
            let message =
                format!("the weights of {} have other pairs than `rope_pairs` says", quoted(from));
            self.error(codes::SHAPE, pairs.span, message).help("take the key out");
        }
        self.override_head(spec, from, &mut plan);
        self.override_numbers(spec, &mut plan);
        self.override_layers(spec, from, &mut plan);
        self.override_positions(spec, &mut plan);
        plan.precision = *spec.precision;
        plan.recompute_activations = *spec.recompute_activations;
        for key in SAID_BY_THE_FOLDER {
            self.forget_default_at(&format!("{}.{key}", spec.path));
        }
        plan
    }

    /// Reports a written value that is not the one of the folder.
    fn same<T: PartialEq + std::fmt::Display>(
        &mut self,
        from: &At<String>,
        written: Option<&At<T>>,
        key: &str,
        found: T,
    ) {
        if let Some(written) = written.filter(|written| written.value != found) {
            let value = &written.value;
            let message =
                format!("`{key}` is {value}, but the weights of {} have {found}", quoted(from));
            let help = "the shape of a published model is in its config.json; take the key out";
            self.error(codes::SHAPE, written.span, message).help(help);
        }
    }

    /// A body that was made to write may judge; one that judges has lost what it would write with.
    fn override_head(&mut self, spec: &At<ModelSpec>, from: &At<String>, plan: &mut ModelPlan) {
        let Some(written) = &spec.head else { return };
        if (plan.head, **written) == (HeadPlan::Value, HeadPlan::Vocabulary) {
            let message = format!(
                "`head` is vocabulary, but the weights of {} have a value head",
                quoted(from)
            );
            let help = "take the key out, or take the weights of a model that writes";
            self.error(codes::SHAPE, written.span, message).help(help);
        }
        plan.head = **written;
    }

    fn override_numbers(&mut self, spec: &At<ModelSpec>, plan: &mut ModelPlan) {
        for (written, value) in [
            (&spec.norm_eps, &mut plan.norm_eps),
            (&spec.init_std, &mut plan.init_std),
            (&spec.rope_theta, &mut plan.rope.theta),
        ] {
            if self.is_written(written) {
                *value = **written;
            }
        }
    }

    fn override_layers(&mut self, spec: &At<ModelSpec>, from: &At<String>, plan: &mut ModelPlan) {
        if let Some(written) = &spec.attention {
            let latent_norm_eps = match &plan.attention {
                AttentionPlan::Mla(mla) => mla.latent_norm_eps,
                AttentionPlan::Gqa(_) => plan.norm_eps,
            };
            let around = Around { layers: plan.layers, latent_norm_eps };
            let attention = self.attention(written, around);
            let both = [json_of(&attention), json_of(&plan.attention)];
            self.compare(from, (written.span, "attention"), both, &FREE_IN_ATTENTION);
            plan.attention = attention;
        }
        if let Some(written) = &spec.feed_forward {
            let feed_forward: FeedForwardPlan = self.feed_forward(written, plan.layers);
            let both = [json_of(&feed_forward), json_of(&plan.feed_forward)];
            self.compare(from, (written.span, "feed_forward"), both, &FREE_IN_FEED_FORWARD);
            plan.feed_forward = feed_forward;
        }
    }

    /// Reports what of a written part differs from the part of the folder, but for keys that may.
    fn compare(
        &mut self,
        from: &At<String>,
        (span, part): (Span, &str),
        [written, found]: [Json; 2],
        free: &[&str],
    ) {
        let differences = match (only_kind(&written), only_kind(&found)) {
            (Some((kind, written)), Some((other, found))) if kind == other => {
                let differs = |key: &&String| {
                    !free.contains(&key.as_str()) && written.get(*key) != found.get(*key)
                };
                let keys = written.keys().filter(differs);
                let said = keys.map(|key| {
                    let value = |map: &Map<String, Json>| map.get(key).map(Json::to_string);
                    let [here, there] = [written, found].map(|map| value(map).unwrap_or_default());
                    format!("{} {here} instead of {there}", quoted(name_in_spec(key)))
                });
                said.collect::<Vec<_>>()
            }
            (Some((kind, _)), Some((other, _))) => vec![format!("`{kind}` instead of `{other}`")],
            _ => Vec::new(),
        };
        if !differences.is_empty() {
            let (from, said) = (quoted(from), differences.join(", "));
            let message = format!("`{part}` is not that of the weights of {from}: {said}");
            let help = "the shape of a published model is in its config.json; take the key out, or write what is there";
            self.error(codes::SHAPE, span, message).help(help);
        }
    }

    fn override_positions(&mut self, spec: &At<ModelSpec>, plan: &mut ModelPlan) {
        if let Some(scaling) = &spec.rope_scaling {
            let scaling: RopeScaling = self.rope_scaling(scaling, plan.rope.theta, &plan.attention);
            plan.rope.scaling = scaling;
        }
        let Some(written) = &spec.context_length else { return };
        if **written > plan.context_length && spec.rope_scaling.is_none() {
            let longest = plan.context_length;
            let message = format!("the model takes {longest} tokens, not {}", **written);
            let help = "a longer context needs a `rope_scaling` beside it";
            self.error(codes::SHAPE, written.span, message).help(help);
        }
        plan.context_length = **written;
    }
}

fn json_of(part: &impl serde::Serialize) -> Json {
    serde_json::to_value(part).unwrap_or_default()
}

/// The one key of an alternative, and what is below it.
fn only_kind(part: &Json) -> Option<(&String, &Map<String, Json>)> {
    let (kind, below) = part.as_object()?.iter().next()?;
    Some((kind, below.as_object()?))
}

fn name_in_spec(key: &str) -> &str {
    OTHER_NAMES.iter().find(|(plan, _)| *plan == key).map_or(key, |(_, spec)| spec)
}
