//! The model: its shapes must fit together.

use r1x_core::plan::{InitialWeights, ModelPlan, MtpPlan, RopePlan, RopeScaling};

use super::Resolver;
use super::layers::Around;
use super::tokenizer::TokenizerRead;
use crate::codes;
use crate::diagnostic::quoted;
use crate::read::At;
use crate::spec::{ModelSpec, TokenizerSpec};

/// A model of the spec.
pub(crate) struct ModelRead {
    pub plan: ModelPlan,
    /// Its tokenizer, which is in the plan as well.
    pub tokenizer: TokenizerRead,
}

/// What a model is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The model runs, so it has a tokenizer.
    Run,
    /// Only its shape is looked at, and a tokenizer may be missing where the size of its vocabulary is written.
    Shape,
}

/// Multi-token prediction as it is written.
fn mtp(spec: &ModelSpec) -> Option<MtpPlan> {
    let written = spec.mtp.as_ref()?;
    Some(MtpPlan { depth: *written.depth, weight: *written.weight })
}

impl Resolver<'_, '_> {
    /// The model.
    pub(super) fn model(&mut self, spec: &At<ModelSpec>, purpose: Purpose) -> Option<ModelRead> {
        let read = match &spec.from {
            Some(from) => self.published(spec, from, purpose),
            None => self.described(spec, purpose),
        }?;
        let plan = self.with_checkpoint(spec, read.plan)?;
        Some(ModelRead { plan, ..read })
    }

    /// A model whose shape is written in the spec.
    fn described(&mut self, spec: &At<ModelSpec>, purpose: Purpose) -> Option<ModelRead> {
        let vocabulary = self.vocabulary(spec, purpose);
        let attention = self.needed(spec, "attention", spec.attention.as_ref());
        let layers = self.needed(spec, "layers", spec.layers.as_ref()).map(|layers| **layers);
        // A count that is missing was reported; no layer is beyond it.
        let depth = layers.unwrap_or(usize::MAX);
        let around = Around { layers: depth, latent_norm_eps: *spec.norm_eps };
        let attention = attention.map(|one| self.attention(one, around));
        let feed_forward = self.needed(spec, "feed_forward", spec.feed_forward.as_ref());
        let feed_forward = feed_forward.map(|one| self.feed_forward(one, depth));
        let hidden_size = self.needed(spec, "hidden_size", spec.hidden_size.as_ref());
        let context = self.needed(spec, "context_length", spec.context_length.as_ref());
        let attention = attention?;
        let pairs = spec.rope_pairs.as_deref().copied();
        let scaling = match &spec.rope_scaling {
            Some(scaling) => self.rope_scaling(scaling, *spec.rope_theta, &attention),
            None => RopeScaling::None,
        };
        let pairs = pairs.unwrap_or_else(|| attention.usual_pairs());
        let (tokenizer, vocabulary_size) = vocabulary?;
        let plan = ModelPlan {
            initial: InitialWeights::Random,
            tokenizer: tokenizer.plan.clone(),
            vocabulary_size,
            hidden_size: **hidden_size?,
            layers: layers?,
            context_length: **context?,
            rope: RopePlan { theta: *spec.rope_theta, pairs, scaling },
            attention,
            feed_forward: feed_forward?,
            head: spec.head.as_deref().copied().unwrap_or_default(),
            tie_embeddings: *spec.tie_embeddings,
            norm_eps: *spec.norm_eps,
            init_std: *spec.init_std,
            precision: *spec.precision,
            recompute_activations: *spec.recompute_activations,
            mtp: mtp(spec),
            lora: None,
        };
        Some(ModelRead { plan: self.with_adapters(spec, plan)?, tokenizer })
    }

    /// The modules of multi-token prediction that are read beside a published model: no more than it has.
    fn published_mtp(
        &mut self,
        spec: &At<ModelSpec>,
        from: &At<String>,
        found: usize,
    ) -> Option<MtpPlan> {
        let written = spec.mtp.as_ref()?;
        if *written.depth > found {
            let (depth, from) = (*written.depth, quoted(from));
            let message = format!("`mtp.depth` is {depth}, but the weights of {from} have {found}");
            let help = "modules of a published model come with its weights; take the key out, or \
                        write that number";
            self.error(codes::SHAPE, written.depth.span, message).help(help);
        }
        mtp(spec)
    }

    /// The tokenizer of a model that is described, and the rows of its embedding.
    fn vocabulary(
        &mut self,
        spec: &At<ModelSpec>,
        purpose: Purpose,
    ) -> Option<(TokenizerRead, usize)> {
        let written = spec.vocabulary_size.as_ref();
        let tokenizer = match (&spec.tokenizer, written) {
            (Some(tokenizer), _) => self.tokenizer(tokenizer, None)?,
            (None, Some(written)) if purpose == Purpose::Shape => TokenizerRead::missing(**written),
            (None, Some(_)) => {
                let message = format!("`{}` needs the key `tokenizer`", spec.path);
                let help = "`vocabulary_size` alone is enough for `r1x plan` of a shape; a run needs the tokens \
                            themselves: model: {tokenizer: {file: PATH, eos: TOKEN}}";
                self.error(codes::MISSING_KEY, spec.span, message).help(help);
                return None;
            }
            (None, None) if purpose == Purpose::Shape => {
                let message =
                    format!("`{}` needs the key `tokenizer` or `vocabulary_size`", spec.path);
                let help = "write how many tokens there are, or name a tokenizer";
                self.error(codes::MISSING_KEY, spec.span, message).help(help);
                return None;
            }
            (None, None) => {
                self.needed::<TokenizerSpec>(spec, "tokenizer", None);
                return None;
            }
        };
        let tokens = tokenizer.tokens;
        if let Some(written) = written.filter(|written| ***written < tokens) {
            let rows = **written;
            let message = format!("the tokenizer has {tokens} tokens, `vocabulary_size` is {rows}");
            let help = "each token needs a row; take `vocabulary_size` out, and there are as many rows as tokens";
            self.error(codes::SHAPE, written.span, message).help(help);
        }
        Some((tokenizer, written.map_or(tokens, |written| **written)))
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
    fn published(
        &mut self,
        spec: &At<ModelSpec>,
        from: &At<String>,
        purpose: Purpose,
    ) -> Option<ModelRead> {
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
        let mut plan = self.overridden(spec, from, facts.plan);
        plan.mtp = self.published_mtp(spec, from, facts.mtp_depth);
        let tokenizer = match (&spec.tokenizer, facts.tokenizer, facts.eos) {
            (Some(written), _, _) => self.tokenizer(written, Some(&folder))?,
            (None, Some(path), eos) if !eos.is_empty() => {
                self.tokenizer_of(&path, from, eos, &folder)?
            }
            (None, _, _) if purpose == Purpose::Shape => {
                TokenizerRead::missing(plan.vocabulary_size)
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
        plan.tokenizer = tokenizer.plan.clone();
        Some(ModelRead { plan: self.with_adapters(spec, plan)?, tokenizer })
    }
}
