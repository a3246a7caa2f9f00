//! The model: its shapes must fit together and its tokenizer must exist.

use std::path::Path;

use r1x_core::plan::{InitialWeights, ModelPlan, RopePlan, RopeScaling, TokenizerPlan};

use super::layers::Around;
use super::{MAX_INPUT_BYTES, Resolver};
use crate::codes;
use crate::diagnostic::quoted;
use crate::lists::{OneOrMore, Texts};
use crate::read::At;
use crate::spec::{ModelSpec, TokenizerKind, TokenizerSpec};
use crate::value_types::Name;

/// How the end of the sequence is shown; it is token 0 of every vocabulary.
const EOS: &str = "<eos>";

/// What a model is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It runs, so it has a tokenizer.
    Run,
    /// Only its shape is looked at, and a tokenizer may be missing where the size of its vocabulary is written.
    Shape,
}

/// Stands for a tokenizer that nobody named.
fn no_tokenizer() -> TokenizerPlan {
    TokenizerPlan::Vocabulary { pieces: Vec::new() }
}

impl Resolver<'_, '_> {
    /// The model.
    pub(super) fn model(&mut self, spec: &At<ModelSpec>, purpose: Purpose) -> Option<ModelPlan> {
        match &spec.from {
            Some(from) => self.published(spec, from, purpose),
            None => self.described(spec, purpose),
        }
    }

    /// A model whose shape is written in the spec.
    fn described(&mut self, spec: &At<ModelSpec>, purpose: Purpose) -> Option<ModelPlan> {
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
        Some(ModelPlan {
            initial: InitialWeights::Random,
            tokenizer,
            vocabulary_size,
            hidden_size: **hidden_size?,
            layers: layers?,
            context_length: **context?,
            rope: RopePlan { theta: *spec.rope_theta, pairs, scaling },
            attention,
            feed_forward: feed_forward?,
            tie_embeddings: *spec.tie_embeddings,
            norm_eps: *spec.norm_eps,
            init_std: *spec.init_std,
            precision: *spec.precision,
            recompute_activations: *spec.recompute_activations,
        })
    }

    /// The tokenizer of a model that is described, and the rows of its embedding.
    fn vocabulary(
        &mut self,
        spec: &At<ModelSpec>,
        purpose: Purpose,
    ) -> Option<(TokenizerPlan, usize)> {
        let written = spec.vocabulary_size.as_ref();
        let (tokenizer, tokens) = match (&spec.tokenizer, written) {
            (Some(tokenizer), _) => self.tokenizer(tokenizer)?,
            (None, Some(written)) if purpose == Purpose::Shape => (no_tokenizer(), **written),
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
    ) -> Option<ModelPlan> {
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
        let (tokenizer, tokens) = match (&spec.tokenizer, facts.tokenizer, facts.eos) {
            (Some(written), _, _) => self.tokenizer(written)?,
            (None, Some(path), eos) if !eos.is_empty() => self.tokenizer_of(&path, from, eos)?,
            (None, _, _) if purpose == Purpose::Shape => (no_tokenizer(), plan.vocabulary_size),
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
        if tokens > plan.vocabulary_size {
            let rows = plan.vocabulary_size;
            let message = format!("the tokenizer has {tokens} tokens, the model knows {rows}");
            self.error(codes::TOKENIZER, from.span, message).input();
        }
        plan.tokenizer = tokenizer;
        Some(plan)
    }

    /// The tokenizer of a published model.
    fn tokenizer_of(
        &mut self,
        path: &Path,
        from: &At<String>,
        eos: Vec<String>,
    ) -> Option<(TokenizerPlan, usize)> {
        let (shown, bytes) = self.read_path(path, from.span, MAX_INPUT_BYTES)?;
        match self.inputs.tokenizer(&bytes, &eos) {
            Ok(size) => {
                let sha256 = self.inputs.sha256(&bytes);
                Some((TokenizerPlan::File { path: shown, sha256, eos }, size))
            }
            Err(error) => {
                let message = format!("{shown} cannot be used as a tokenizer: {error}");
                self.error(codes::TOKENIZER, from.span, message).input();
                None
            }
        }
    }

    fn tokenizer(&mut self, spec: &TokenizerSpec) -> Option<(TokenizerPlan, usize)> {
        if let (Some(eos), false) = (&spec.eos, matches!(spec.kind, TokenizerKind::File(_))) {
            let message = "`eos` goes only with a tokenizer `file`".to_owned();
            let help = "a vocabulary always has an end of its own; take `eos` out";
            self.error(codes::ONE_OF, eos.span, message).help(help);
        }
        match &spec.kind {
            TokenizerKind::Data(id) => self.data_vocabulary(id),
            TokenizerKind::Vocabulary(pieces) => self.written_vocabulary(pieces),
            TokenizerKind::File(path) => self.tokenizer_file(path, spec.eos.as_ref()),
        }
    }

    fn data_vocabulary(&mut self, id: &At<Name>) -> Option<(TokenizerPlan, usize)> {
        let Some(facts) = self.data.iter().find(|facts| facts.id == id.0) else {
            let known: Vec<String> = self.data.iter().map(|facts| facts.id.clone()).collect();
            self.unknown("data set", &id.0, id.span, &known);
            return None;
        };
        // Data that cannot be read has been reported where it is declared.
        facts.facts.as_ref()?;
        match self.inputs.vocabulary(&id.0, facts.plan.as_ref()?) {
            Ok(pieces) => {
                let size = TokenizerPlan::listed_size(&pieces);
                Some((TokenizerPlan::Vocabulary { pieces }, size))
            }
            Err(error) => {
                let message = format!("the data {} builds no vocabulary: {error}", quoted(&id.0));
                let diagnostic = self.error(codes::TOKENIZER, id.span, message);
                diagnostic.input().help("list the pieces: tokenizer: {vocabulary: [...]}");
                None
            }
        }
    }

    fn written_vocabulary(&mut self, pieces: &At<Texts>) -> Option<(TokenizerPlan, usize)> {
        if pieces.0.is_empty() {
            self.error(codes::TOKENIZER, pieces.span, "the vocabulary is empty".to_owned());
        }
        let mut seen = std::collections::HashSet::new();
        for piece in &pieces.0 {
            let message = if piece.is_empty() {
                "a piece of the vocabulary is empty".to_owned()
            } else if piece.contains(char::is_whitespace) {
                format!("the piece {} of the vocabulary holds a blank", quoted(piece))
            } else if piece.value == EOS {
                format!("`{EOS}` is in every vocabulary already")
            } else if !seen.insert(piece.value.as_str()) {
                format!("the vocabulary has {} twice", quoted(piece))
            } else {
                continue;
            };
            self.error(codes::TOKENIZER, piece.span, message);
        }
        let pieces = pieces.texts();
        let size = TokenizerPlan::listed_size(&pieces);
        Some((TokenizerPlan::Vocabulary { pieces }, size))
    }

    fn tokenizer_file(
        &mut self,
        path: &At<String>,
        eos: Option<&At<OneOrMore>>,
    ) -> Option<(TokenizerPlan, usize)> {
        let file = self.read_file(path, MAX_INPUT_BYTES);
        let Some(eos) = eos else {
            let message = "a tokenizer `file` needs the key `eos`".to_owned();
            let help = "name the token that ends a completion, for example eos: \"<|endoftext|>\"";
            self.error(codes::MISSING_KEY, path.span, message).help(help);
            return None;
        };
        let (shown, bytes) = file?;
        let eos = eos.0.texts();
        match self.inputs.tokenizer(&bytes, &eos) {
            Ok(size) => {
                let sha256 = self.inputs.sha256(&bytes);
                Some((TokenizerPlan::File { path: shown, sha256, eos }, size))
            }
            Err(error) => {
                let message = format!("{shown} cannot be used as a tokenizer: {error}");
                self.error(codes::TOKENIZER, path.span, message).input();
                None
            }
        }
    }
}
