//! The tokenizer: it must exist, and with its file come the tokens around texts and the chat template.

use std::collections::HashSet;
use std::path::Path;

use r1x_core::plan::{ChatPlan, TokenizerPlan};

use super::{MAX_INPUT_BYTES, Resolver};
use crate::codes;
use crate::diagnostic::quoted;
use crate::inputs::{ChatFacts, Refusal};
use crate::lists::{OneOrMore, Texts};
use crate::read::At;
use crate::source::Span;
use crate::spec::{TokenizerKind, TokenizerSpec};

/// How the end of the sequence is shown; it is token 0 of every vocabulary.
const EOS: &str = "<eos>";
/// Largest chat template, bytes.
const MAX_TEMPLATE_BYTES: u64 = 1 << 20;

/// A tokenizer of the spec.
pub(crate) struct TokenizerRead {
    pub plan: TokenizerPlan,
    /// How many tokens it has.
    pub tokens: usize,
    /// Texts that it turns into tokens with a meaning of their own.
    pub reserved: Vec<String>,
    /// Why the chat template of a published model cannot be had, which matters to those who need it.
    pub no_chat: Option<Refusal>,
}

impl TokenizerRead {
    /// Stands for a tokenizer that nobody named, of which only the number of tokens is known.
    pub fn missing(tokens: usize) -> Self {
        let plan = TokenizerPlan::Vocabulary { pieces: Vec::new() };
        Self { plan, tokens, reserved: Vec::new(), no_chat: None }
    }

    fn of_words(pieces: Vec<String>) -> Self {
        let tokens = TokenizerPlan::listed_size(&pieces);
        let plan = TokenizerPlan::Vocabulary { pieces };
        Self { plan, tokens, reserved: Vec::new(), no_chat: None }
    }
}

/// A `tokenizer.json`, and what is said about it.
struct TokenizerFile<'s> {
    path: String,
    bytes: Vec<u8>,
    eos: Vec<String>,
    /// The folder whose other files are about it.
    folder: &'s Path,
    /// Its chat template, where the spec has one.
    template: Option<&'s At<String>>,
    /// Whether the chat template of the folder is meant where the spec has none.
    published: bool,
    /// Where the spec names it.
    span: Span,
}

impl Resolver<'_, '_> {
    /// The tokenizer of a published model.
    pub(super) fn tokenizer_of(
        &mut self,
        path: &Path,
        from: &At<String>,
        eos: Vec<String>,
        folder: &Path,
    ) -> Option<TokenizerRead> {
        let (path, bytes) = self.read_path(path, from.span, MAX_INPUT_BYTES)?;
        let (template, published, span) = (None, true, from.span);
        self.file(TokenizerFile { path, bytes, eos, folder, template, published, span })
    }

    /// A tokenizer that is written in the spec; `from` is the folder of the published model that it is for.
    pub(super) fn tokenizer(
        &mut self,
        spec: &TokenizerSpec,
        from: Option<&Path>,
    ) -> Option<TokenizerRead> {
        if !matches!(spec.kind, TokenizerKind::File(_)) {
            let beside = [
                spec.eos
                    .as_ref()
                    .map(|eos| (eos.span, "eos", "a vocabulary always has an end of its own")),
                spec.chat_template.as_ref().map(|chat| {
                    (chat.span, "chat_template", "a vocabulary of words knows no conversations")
                }),
            ];
            for (span, key, why) in beside.into_iter().flatten() {
                let message = format!("`{key}` goes only with a tokenizer `file`");
                let help = format!("{why}; take `{key}` out");
                self.error(codes::ONE_OF, span, message).help(help);
            }
        }
        match &spec.kind {
            TokenizerKind::Data(ids) => self.data_vocabulary(&ids.value.0.0),
            TokenizerKind::Vocabulary(pieces) => self.written_vocabulary(pieces),
            TokenizerKind::File(path) => self.tokenizer_file(path, spec, from),
        }
    }

    /// The words of data sets: those of the first, then those that others add, in their orders.
    fn data_vocabulary(&mut self, ids: &[At<String>]) -> Option<TokenizerRead> {
        // Mistakes of all data sets are reported before the first one counts.
        let read: Vec<Option<Vec<String>>> = ids.iter().map(|id| self.words_of(id)).collect();
        let read: Option<Vec<Vec<String>>> = read.into_iter().collect();
        let mut seen = HashSet::new();
        let pieces = read?.into_iter().flatten().filter(|piece| seen.insert(piece.clone()));
        Some(TokenizerRead::of_words(pieces.collect()))
    }

    fn words_of(&mut self, id: &At<String>) -> Option<Vec<String>> {
        let Some(facts) = self.data.iter().find(|facts| facts.id == id.value) else {
            let known: Vec<String> = self.data.iter().map(|facts| facts.id.clone()).collect();
            self.unknown("data set", id, id.span, &known);
            return None;
        };
        // Data that cannot be read has been reported where it is declared.
        facts.facts.as_ref()?;
        match self.inputs.vocabulary(id, facts.plan.as_ref()?) {
            Ok(pieces) => Some(pieces),
            Err(error) => {
                let message = format!("the data {} builds no vocabulary: {error}", quoted(id));
                let diagnostic = self.error(codes::TOKENIZER, id.span, message);
                diagnostic.input().help("list the pieces: tokenizer: {vocabulary: [...]}");
                None
            }
        }
    }

    fn written_vocabulary(&mut self, pieces: &At<Texts>) -> Option<TokenizerRead> {
        if pieces.0.is_empty() {
            self.error(codes::TOKENIZER, pieces.span, "the vocabulary is empty".to_owned());
        }
        let mut seen = HashSet::new();
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
        Some(TokenizerRead::of_words(pieces.texts()))
    }

    fn tokenizer_file(
        &mut self,
        written: &At<String>,
        spec: &TokenizerSpec,
        from: Option<&Path>,
    ) -> Option<TokenizerRead> {
        let file = self.read_file(written, MAX_INPUT_BYTES);
        let Some(eos) = spec.eos.as_ref() else {
            let message = "a tokenizer `file` needs the key `eos`".to_owned();
            let help = "name the token that ends a completion, for example eos: \"<|endoftext|>\"";
            self.error(codes::MISSING_KEY, written.span, message).help(help);
            return None;
        };
        let (path, bytes) = file?;
        let OneOrMore(eos) = &eos.value;
        let (eos, template, span) = (eos.texts(), spec.chat_template.as_ref(), written.span);
        let beside = Path::new(&path).parent().unwrap_or(Path::new("")).to_owned();
        let (folder, published) = (from.unwrap_or(&beside), from.is_some());
        self.file(TokenizerFile { path, bytes, eos, folder, template, published, span })
    }

    fn file(&mut self, file: TokenizerFile<'_>) -> Option<TokenizerRead> {
        let TokenizerFile { path, bytes, eos, .. } = &file;
        let found = self.inputs.tokenizer(bytes, eos).map_err(Refusal::from);
        let found = found.and_then(|facts| Ok((facts, self.inputs.chat(file.folder)?)));
        let (facts, beside) = match found {
            Ok(found) => found,
            Err(refusal) => {
                let message = format!("{path} cannot be used as a tokenizer: {}", refusal.message);
                let diagnostic = self.error(codes::TOKENIZER, file.span, message).input();
                if let Some(help) = refusal.help {
                    diagnostic.help(help);
                }
                return None;
            }
        };
        let bos = beside.before_texts(&facts);
        let (chat, no_chat) = self.chat(&file, beside)?;
        let sha256 = self.inputs.sha256(bytes);
        let plan = TokenizerPlan::File { path: path.clone(), sha256, eos: eos.clone(), bos, chat };
        Some(TokenizerRead { plan, tokens: facts.tokens, reserved: facts.reserved, no_chat })
    }

    /// How messages become prompts, or why that cannot be had; `None` after reporting a template of the spec.
    fn chat(
        &mut self,
        file: &TokenizerFile<'_>,
        beside: ChatFacts,
    ) -> Option<(Option<ChatPlan>, Option<Refusal>)> {
        let ChatFacts { bos, eos, template, .. } = beside;
        let template = match file.template {
            Some(path) => Some(Ok(self.chat_template(path)?)),
            None => template.filter(|_| file.published),
        };
        let eos = eos.or_else(|| file.eos.first().cloned());
        Some(match template {
            None => (None, None),
            Some(Err(refusal)) => (None, Some(refusal)),
            Some(Ok(template)) => (Some(ChatPlan { template, bos, eos }), None),
        })
    }

    fn chat_template(&mut self, path: &At<String>) -> Option<String> {
        let (shown, bytes) = self.read_file(path, MAX_TEMPLATE_BYTES)?;
        match String::from_utf8(bytes) {
            Ok(template) => Some(template),
            Err(_) => {
                let message = format!("{shown} is no chat template: it is not UTF-8");
                self.error(codes::TOKENIZER, path.span, message).input();
                None
            }
        }
    }
}
