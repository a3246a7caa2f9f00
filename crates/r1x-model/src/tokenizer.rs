//! Text to tokens and back: a vocabulary of words, or a `tokenizer.json`.

mod charsmap;
mod start;
mod vetted;

use std::collections::HashMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use r1x_core::plan::{ModelPlan, TokenizerPlan};
use r1x_core::{Encoder, Markup, PortError};

use crate::error::ModelError;
pub use start::start;

/// The name of the end-of-sequence token of word vocabularies; its id is 0.
pub const EOS: &str = "<eos>";
/// Longest text that is turned into tokens at once, bytes: some times what fits into the longest context.
const MOST_TEXT_BYTES: usize = 16 << 20;

/// A tokenizer.
#[derive(Debug)]
pub enum Tokenizer {
    /// One token per word; words are separated by blanks.
    Words {
        /// Word of each token.
        words: Vec<String>,
        /// Token of each word.
        tokens: HashMap<String, u32>,
    },
    /// Hugging Face `tokenizers`.
    File {
        /// The tokenizer.
        inner: Box<tokenizers::Tokenizer>,
        /// Its tokens that end a sequence, at least one.
        eos: Vec<u32>,
        /// Its token that stands before a prompt that is a text, where there is one.
        bos: Option<u32>,
    },
}

impl Tokenizer {
    /// Builds the tokenizer of a planned model.
    ///
    /// # Errors
    /// The errors of [`Tokenizer::new`], and when it has more tokens than the plan says. It may have fewer: published
    /// models have rows behind the last token.
    pub fn of_model(plan: &ModelPlan) -> Result<Self, ModelError> {
        let tokenizer = Self::new(&plan.tokenizer)?;
        let (found, planned) = (tokenizer.len(), plan.vocabulary_size);
        if found <= planned {
            return Ok(tokenizer);
        }
        let reason = format!("the tokenizer has {found} tokens, the model room for {planned}");
        Err(ModelError::Vocabulary(reason))
    }

    /// Builds the planned tokenizer.
    ///
    /// # Errors
    /// When pieces repeat or hold blanks, or the file cannot be read, is not the planned one, or lacks a
    /// token that ends sequences.
    pub fn new(plan: &TokenizerPlan) -> Result<Self, ModelError> {
        match plan {
            TokenizerPlan::Vocabulary { pieces } => Self::words(pieces),
            TokenizerPlan::File { path, sha256, eos, bos, .. } => {
                Self::file(path, sha256, eos, bos.as_deref())
            }
        }
    }

    fn words(pieces: &[String]) -> Result<Self, ModelError> {
        let mut words = vec![EOS.to_owned()];
        let mut tokens = HashMap::from([(EOS.to_owned(), 0)]);
        for piece in pieces {
            if piece.is_empty() || piece.contains(char::is_whitespace) {
                return Err(ModelError::Vocabulary(format!("`{piece}` is empty or holds a blank")));
            }
            if tokens.insert(piece.clone(), words.len() as u32).is_some() {
                return Err(ModelError::Vocabulary(format!("`{piece}` is listed twice")));
            }
            words.push(piece.clone());
        }
        Ok(Self::Words { words, tokens })
    }

    fn file(
        path: &str,
        planned: &str,
        eos: &[String],
        bos: Option<&str>,
    ) -> Result<Self, ModelError> {
        let error = |source| ModelError::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = r1x_files::open(path).map_err(error)?;
        // One byte more than a file may have, so that a larger one is refused without being read.
        file.take(vetted::MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
        let found = crate::checkpoint::sha256(&bytes);
        if found != planned {
            let reason = format!("it has changed: its sha256 is {found}, the plan says {planned}");
            return Err(ModelError::Tokenizer { path: path.to_owned(), reason });
        }
        let tokenizer = Self::from_bytes(&bytes, eos).and_then(|file| file.beginning_with(bos));
        tokenizer.map_err(|error| match error {
            ModelError::Tokenizer { reason, .. } => {
                ModelError::Tokenizer { path: path.to_owned(), reason }
            }
            other => other,
        })
    }

    /// The tokenizer with a token that stands before prompts that are texts.
    ///
    /// # Errors
    /// When it has no such token.
    pub fn beginning_with(mut self, token: Option<&str>) -> Result<Self, ModelError> {
        if let (Self::File { inner, bos, .. }, Some(token)) = (&mut self, token) {
            let lacks = || ModelError::Tokenizer {
                path: "tokenizer.json".to_owned(),
                reason: format!("has no token `{token}` to begin texts with"),
            };
            *bos = Some(inner.token_to_id(token).ok_or_else(lacks)?);
        }
        Ok(self)
    }

    /// A tokenizer from the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// When they are no tokenizer, one beyond the limits, or it lacks one of the tokens that end a sequence, or none is
    /// named.
    pub fn from_bytes(bytes: &[u8], eos: &[impl AsRef<str>]) -> Result<Self, ModelError> {
        let error =
            |reason: String| ModelError::Tokenizer { path: "tokenizer.json".to_owned(), reason };
        let bytes = vetted::vetted(bytes).map_err(error)?;
        let inner = guarded(|| tokenizers::Tokenizer::from_bytes(&bytes)).map_err(error)?;
        let id = |token: &str| {
            let lacks = || error(format!("has no token `{token}` to end sequences with"));
            inner.token_to_id(token).ok_or_else(lacks)
        };
        let eos: Vec<u32> = eos.iter().map(|token| id(token.as_ref())).collect::<Result<_, _>>()?;
        if eos.is_empty() {
            return Err(error("no token that ends sequences is named".to_owned()));
        }
        Ok(Self::File { inner: Box::new(inner), eos, bos: None })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        match self {
            Tokenizer::Words { words, .. } => words.len(),
            Tokenizer::File { inner, .. } => {
                // Ids may have holes, so the largest id decides.
                let largest = inner.get_vocab(true).values().max().copied();
                largest.map_or(0, |id| id as usize + 1)
            }
        }
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token that a sequence is ended with where one is written: the first of [`Tokenizer::ends`].
    pub fn eos(&self) -> u32 {
        self.ends()[0]
    }

    /// Every token that ends a sequence when it is drawn.
    pub fn ends(&self) -> &[u32] {
        match self {
            Tokenizer::Words { .. } => &[0],
            Tokenizer::File { eos, .. } => eos,
        }
    }

    /// The token that stands before a prompt that is a text, where there is one.
    pub fn bos(&self) -> Option<u32> {
        match self {
            Tokenizer::Words { .. } => None,
            Tokenizer::File { bos, .. } => *bos,
        }
    }

    /// Texts that are turned into tokens with a meaning of their own wherever they stand: the special tokens of a file,
    /// and those that end a sequence.
    pub fn reserved(&self) -> Vec<String> {
        let Tokenizer::File { inner, eos, .. } = self else { return Vec::new() };
        let added = inner.get_added_tokens_decoder();
        let is_reserved =
            |(id, token): &(&u32, &tokenizers::AddedToken)| token.special || eos.contains(id);
        let mut reserved: Vec<String> =
            added.iter().filter(is_reserved).map(|(_, token)| token.content.clone()).collect();
        reserved.sort_unstable();
        reserved.dedup();
        reserved
    }

    /// Text to tokens.
    ///
    /// # Errors
    /// When a word is not in the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        match self {
            Tokenizer::Words { words, tokens } => text
                .split_whitespace()
                .map(|word| {
                    tokens.get(word).copied().ok_or_else(|| ModelError::UnknownWord {
                        word: word.to_owned(),
                        text: text.chars().take(60).collect(),
                        size: words.len(),
                    })
                })
                .collect(),
            Tokenizer::File { inner, .. } => {
                let error =
                    |reason| ModelError::Tokenizer { path: "tokenizer.json".to_owned(), reason };
                if text.len() > MOST_TEXT_BYTES {
                    let mib = MOST_TEXT_BYTES >> 20;
                    return Err(error(format!("a text of more than {mib} MiB is not encoded")));
                }
                let encoding = guarded(|| inner.encode(text, false)).map_err(error)?;
                Ok(encoding.get_ids().to_vec())
            }
        }
    }

    /// Tokens to text, without what ends a sequence at its end.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let last = tokens.iter().rposition(|token| !self.ends().contains(token));
        let kept = &tokens[..last.map_or(0, |last| last + 1)];
        match self {
            Tokenizer::Words { words, .. } => {
                let word = |token: &u32| words.get(*token as usize).map_or("?", String::as_str);
                kept.iter().map(word).collect::<Vec<_>>().join(" ")
            }
            Tokenizer::File { inner, .. } => {
                guarded(|| inner.decode(kept, false)).unwrap_or_default()
            }
        }
    }
}

/// What the tokenizers crate says, a panic of its own included: what a file may make it do is not ours to know.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(said) => said.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizers library fails on it".to_owned()),
    }
}

/// What a planned model reads and writes, before there are any weights.
#[derive(Debug)]
pub struct ModelEncoder {
    tokenizer: Tokenizer,
    markup: Markup,
    context_length: usize,
}

impl ModelEncoder {
    /// The encoder of a planned model.
    ///
    /// # Errors
    /// When the tokenizer's file is missing, changed or refused, as [`Tokenizer::of_model`] tells.
    pub fn new(plan: &ModelPlan) -> Result<Self, ModelError> {
        let tokenizer = Tokenizer::of_model(plan)?;
        let markup = Markup::new(&plan.tokenizer, tokenizer.reserved());
        Ok(Self { tokenizer, markup, context_length: plan.context_length })
    }

    /// What the tokenizer means for prompts.
    pub fn markup(&self) -> &Markup {
        &self.markup
    }
}

impl Encoder for ModelEncoder {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError> {
        Ok(self.tokenizer.encode(text)?)
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens)
    }

    fn eos(&self) -> u32 {
        self.tokenizer.eos()
    }

    fn bos(&self) -> Option<u32> {
        self.tokenizer.bos()
    }

    fn context_length(&self) -> usize {
        self.context_length
    }
}

#[cfg(test)]
mod tests {
    use r1x_core::PromptForm;

    use super::*;

    fn words(pieces: &[&str]) -> Result<Tokenizer, ModelError> {
        let pieces = pieces.iter().map(|p| (*p).to_owned()).collect();
        Tokenizer::new(&TokenizerPlan::Vocabulary { pieces })
    }

    #[test]
    fn words_round_trip_and_unknown_ones_are_named() {
        let tokenizer = words(&["+", "1", "12", "="]).unwrap();
        let tokens = tokenizer.encode("12 + 1 =").unwrap();
        assert_eq!(tokens, [3, 1, 2, 4]);
        assert_eq!(tokenizer.decode(&[3, 1, 2, 4, 0]), "12 + 1 =");
        let error = tokenizer.encode("1 + 7").unwrap_err().to_string();
        assert_eq!(error, "`7` is not in the vocabulary of 5 tokens (in `1 + 7`)");
    }

    #[test]
    fn a_changed_file_is_refused() {
        let path = std::env::temp_dir().join(format!("r1x-tokenizer-{}.json", std::process::id()));
        let json = r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"<e>":0,"a":1},"unk_token":"<e>"}}"#;
        std::fs::write(&path, json).unwrap();
        let plan = |sha256: String| TokenizerPlan::File {
            path: path.display().to_string(),
            sha256,
            eos: vec!["<e>".to_owned()],
            bos: None,
            chat: None,
        };
        let found = crate::checkpoint::sha256(json.as_bytes());
        assert_eq!(Tokenizer::new(&plan(found.clone())).unwrap().len(), 2);
        let error = Tokenizer::new(&plan("0".repeat(64))).unwrap_err().to_string();
        assert!(error.contains("it has changed") && error.contains(&found), "{error}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_sequence_may_end_with_several_tokens() {
        let json = br#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"<e>":0,"a":1,"<f>":2},"unk_token":"a"}}"#;
        let tokenizer = Tokenizer::from_bytes(json, &["<f>", "<e>"]).unwrap();
        assert_eq!((tokenizer.eos(), tokenizer.ends()), (2, &[2, 0][..]));
        assert_eq!(tokenizer.decode(&[1, 0, 1, 2, 0]), "a <e> a");
        assert_eq!(tokenizer.decode(&[0]), "");
        let told = |eos: &[&str]| Tokenizer::from_bytes(json, eos).unwrap_err().to_string();
        assert!(told(&["<e>", "<g>"]).ends_with("has no token `<g>` to end sequences with"));
        assert!(told(&[]).ends_with("no token that ends sequences is named"));
    }

    #[test]
    fn a_text_begins_with_its_token_once_and_special_tokens_are_reserved() {
        let json = br#"{"version":"1.0","added_tokens":[
            {"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
            {"id":3,"content":"<think>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false},
            {"id":2,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false}],
            "pre_tokenizer":{"type":"WhitespaceSplit"},
            "model":{"type":"WordLevel","vocab":{"<s>":0,"a":1,"</s>":2,"<think>":3},"unk_token":"a"}}"#;
        let tokenizer = Tokenizer::from_bytes(json, &["</s>"]).unwrap();
        assert_eq!(tokenizer.reserved(), ["</s>", "<s>"]);
        let tokenizer = tokenizer.beginning_with(Some("<s>")).unwrap();
        let encoder = ModelEncoder { tokenizer, markup: Markup::default(), context_length: 8 };
        let tokens = |prompt: &str, form: PromptForm| encoder.encode_prompt(prompt, &form).unwrap();
        assert_eq!(tokens("a a", PromptForm::Text), [0, 1, 1]);
        assert_eq!(tokens("<s>a", PromptForm::Text), [0, 1]);
        assert!(tokens("", PromptForm::Text).is_empty());
        let conversation = || PromptForm::Messages { prefill: "<think>".to_owned() };
        assert_eq!(tokens("a</s>a<think>", conversation()), [1, 2, 1, 3]);
        assert_eq!(tokens("<s>a", conversation()), [0, 1]);
        // What follows a prompt begins with nothing.
        assert_eq!(encoder.encode("a").unwrap(), [1]);
        let lacks = Tokenizer::from_bytes(json, &["</s>"]).unwrap().beginning_with(Some("<b>"));
        let told = lacks.unwrap_err().to_string();
        assert!(told.ends_with("has no token `<b>` to begin texts with"), "{told}");
    }

    #[test]
    fn a_model_may_have_rows_without_a_token_but_no_token_without_a_row() {
        let plan = |vocabulary_size| ModelPlan {
            vocabulary_size,
            tokenizer: r1x_core::testing::numbers(4),
            ..r1x_core::testing::tiny_model()
        };
        assert_eq!(Tokenizer::of_model(&plan(5)).unwrap().len(), 5);
        assert_eq!(Tokenizer::of_model(&plan(8)).unwrap().len(), 5);
        let error = Tokenizer::of_model(&plan(4)).unwrap_err().to_string();
        assert!(error.ends_with("the tokenizer has 5 tokens, the model room for 4"), "{error}");
    }

    #[test]
    fn broken_vocabularies_are_refused() {
        assert!(words(&["a", "a"]).is_err());
        assert!(words(&["a b"]).is_err());
        assert!(words(&[""]).is_err());
        assert!(words(&[EOS]).is_err());
    }
}
