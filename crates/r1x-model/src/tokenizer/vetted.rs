//! A `tokenizer.json` read within limits, before the tokenizers crate sees it.
//!
//! The tokenizers crate takes what a file says at its word: an id of 4 294 967 295 becomes an allocation, a `Strip`
//! longer than a token an index outside of it, a merge longer than the vocabulary a write past a buffer. Here a file
//! is read into types of its own, in which every list and text has a limit; what passes is written again and handed
//! on, so nothing that was not looked at arrives there.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::charsmap;

/// Largest file, bytes: twice the largest vocabularies that are in use.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// Most tokens, and one more than the largest id.
const MOST_TOKENS: usize = 1 << 20;
/// Most merges of byte-pair encoding.
const MOST_MERGES: usize = 1 << 21;
/// Most tokens that are added to a vocabulary.
const MOST_ADDED: usize = 1 << 16;
/// Longest token, bytes; a vocabulary with scores keeps a tree this deep.
const MOST_TOKEN_BYTES: usize = 1024;
/// Longest text of a component but for a character map, bytes.
const MOST_TEXT_BYTES: usize = 256;
/// Longest regular expression, bytes.
const MOST_PATTERN_BYTES: usize = 8192;
/// Most components, those inside of sequences included.
const MOST_PARTS: usize = 64;
/// How often components that write more than they read may stand in a file.
const MOST_BYTE_LEVELS: usize = 3;
/// How much longer the replacements of all components together may make a text.
const MOST_GROWTH: usize = 64;
/// Largest score of a piece, either way.
const MOST_SCORE: f64 = 1e9;

/// The file as the tokenizers crate may see it, or why it may not. Truncation and padding are left out, because a
/// sequence is as long as it is, and so is the post-processor, because it adds special tokens that are not asked for.
pub(super) fn vetted(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.len() > MOST_BYTES {
        return Err(format!("it is larger than {} MiB", MOST_BYTES >> 20));
    }
    let mut file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    file.check()?;
    file.model.r#type = Some(file.model.kind()?.word().to_owned());
    serde_json::to_vec(&file).map_err(|error| error.to_string())
}

#[derive(serde::Deserialize, serde::Serialize)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    added_tokens: Option<Few<AddedToken, MOST_ADDED>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normalizer: Option<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pre_tokenizer: Option<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decoder: Option<Part>,
    model: Model,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

/// A normalizer, pre-tokenizer or decoder: every key that any of them has.
#[derive(Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
struct Part {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    normalizers: Option<Few<Part, MOST_PARTS>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pretokenizers: Option<Few<Part, MOST_PARTS>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoders: Option<Few<Part, MOST_PARTS>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precompiled_charsmap: Option<String>,
    #[serde(flatten)]
    texts: Texts,
    #[serde(flatten)]
    switches: Switches,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
}

/// Keys of components that hold text.
#[derive(Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
struct Texts {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prepend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prepend_scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behavior: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pad_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    word_delimiter_token: Option<String>,
}

/// Keys of components that are true or false.
#[derive(Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
struct Switches {
    #[serde(skip_serializing_if = "Option::is_none")]
    clean_text: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle_chinese_chars: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_accents: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lowercase: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_left: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_right: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_prefix_space: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trim_offsets: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_regex: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invert: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    individual_digits: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup: Option<bool>,
}

#[derive(serde::Deserialize, serde::Serialize)]
enum Pattern {
    String(String),
    Regex(String),
}

#[derive(Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
struct Model {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    vocab: Option<Vocabulary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merges: Option<Few<Merge, MOST_MERGES>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuing_subword_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_of_word_suffix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_input_chars_per_word: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuse_unk: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte_fallback: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_merges: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk_id: Option<u64>,
}

/// The kinds of model, as the tokenizers crate tells them apart where a file does not say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bpe,
    WordPiece,
    WordLevel,
    Unigram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Bpe => "BPE",
            Self::WordPiece => "WordPiece",
            Self::WordLevel => "WordLevel",
            Self::Unigram => "Unigram",
        }
    }
}

impl File {
    fn check(&self) -> Result<(), String> {
        for token in self.added_tokens.iter().flat_map(|tokens| &tokens.0) {
            within("an added token", &token.content, MOST_TOKEN_BYTES)?;
            id(&token.content, token.id)?;
        }
        let mut seen = Seen { parts: 0, byte_levels: 0, growth: 1 };
        let reading = [&self.normalizer, &self.pre_tokenizer];
        reading.into_iter().flatten().try_for_each(|part| part.check(&mut seen))?;
        seen.growth = 1;
        self.decoder.iter().try_for_each(|part| part.check(&mut seen))?;
        self.model.check()
    }
}

/// What the components together come to.
struct Seen {
    parts: usize,
    byte_levels: usize,
    growth: usize,
}

impl Part {
    fn check(&self, seen: &mut Seen) -> Result<(), String> {
        seen.parts += 1;
        if seen.parts > MOST_PARTS {
            return Err(format!("it has more than {MOST_PARTS} components"));
        }
        let Self { r#type: kind, texts, .. } = self;
        if kind.is_empty() || kind.len() > MOST_TEXT_BYTES {
            return Err("one of its components has no `type`".to_owned());
        }
        for text in texts.all().into_iter().flatten() {
            within(&format!("a text of `{kind}`"), text, MOST_TEXT_BYTES)?;
        }
        if self.stop.is_some_and(|stop| stop > 0) {
            return Err(format!(
                "`{kind}` strips ends of tokens, which may be shorter: set `stop` to 0"
            ));
        }
        if self.start.is_some_and(|start| start > MOST_TEXT_BYTES as u64) {
            return Err(format!("`{kind}` strips more than {MOST_TEXT_BYTES} characters"));
        }
        if self.length == Some(0) || self.length.is_some_and(|length| length > 1 << 20) {
            return Err(format!("`{kind}` has a `length` outside of 1 to {}", 1 << 20));
        }
        if let Some(charsmap) = &self.precompiled_charsmap {
            charsmap::check(charsmap).map_err(|why| format!("`precompiled_charsmap`: {why}"))?;
        }
        self.check_growth(seen)?;
        let inner = [&self.normalizers, &self.pretokenizers, &self.decoders];
        inner.into_iter().flatten().flat_map(|parts| &parts.0).try_for_each(|part| part.check(seen))
    }

    /// An error when the components so far could make a text many times longer.
    fn check_growth(&self, seen: &mut Seen) -> Result<(), String> {
        let kind = &self.r#type;
        let grows = self.precompiled_charsmap.is_some() || kind == "ByteLevel";
        seen.byte_levels += usize::from(grows);
        if seen.byte_levels > MOST_BYTE_LEVELS {
            return Err(format!("more than {MOST_BYTE_LEVELS} components are `{kind}` or alike"));
        }
        let Some(pattern) = &self.pattern else { return Ok(()) };
        let content = self.texts.content.as_deref().unwrap_or_default().len();
        seen.growth = seen.growth.saturating_mul(match pattern {
            Pattern::String(text) if text.is_empty() => {
                return Err(format!("`{kind}` looks for an empty text"));
            }
            Pattern::String(text) => {
                within("a pattern", text, MOST_PATTERN_BYTES)?;
                content.div_ceil(text.len()).max(1)
            }
            // An expression may match nothing, and so between any two characters.
            Pattern::Regex(expression) => {
                within("a pattern", expression, MOST_PATTERN_BYTES)?;
                1 + content
            }
        });
        if seen.growth > MOST_GROWTH {
            return Err(format!(
                "its replacements can make a text more than {MOST_GROWTH} times longer"
            ));
        }
        Ok(())
    }
}

impl Texts {
    fn all(&self) -> [Option<&String>; 10] {
        [
            self.content.as_ref(),
            self.prepend.as_ref(),
            self.replacement.as_ref(),
            self.prepend_scheme.as_ref(),
            self.delimiter.as_ref(),
            self.behavior.as_ref(),
            self.suffix.as_ref(),
            self.prefix.as_ref(),
            self.pad_token.as_ref(),
            self.word_delimiter_token.as_ref(),
        ]
    }
}

impl Model {
    fn kind(&self) -> Result<Kind, String> {
        const KINDS: [Kind; 4] = [Kind::Bpe, Kind::WordPiece, Kind::WordLevel, Kind::Unigram];
        if let Some(said) = &self.r#type {
            let known = KINDS.into_iter().find(|kind| kind.word() == said);
            return known.ok_or_else(|| {
                "its model is none of BPE, WordPiece, WordLevel and Unigram".to_owned()
            });
        }
        Ok(match () {
            () if self.merges.is_some() => Kind::Bpe,
            () if self.max_input_chars_per_word.is_some() => Kind::WordPiece,
            () if matches!(self.vocab, Some(Vocabulary::Scores(_))) => Kind::Unigram,
            () => Kind::WordLevel,
        })
    }

    fn check(&self) -> Result<(), String> {
        let fixes = [
            &self.r#type,
            &self.unk_token,
            &self.continuing_subword_prefix,
            &self.end_of_word_suffix,
        ];
        for text in fixes.into_iter().flatten() {
            within("a text of the model", text, MOST_TEXT_BYTES)?;
        }
        if self.max_input_chars_per_word.is_some_and(|most| most > 1 << 20) {
            return Err("`max_input_chars_per_word` is above a million".to_owned());
        }
        match (self.kind()?, &self.vocab) {
            (Kind::Unigram, Some(Vocabulary::Scores(pieces))) => self.check_pieces(pieces),
            (Kind::Unigram, Some(Vocabulary::Ids(_))) => {
                Err("the vocabulary of a Unigram model is a list of pieces and scores".to_owned())
            }
            (kind, Some(Vocabulary::Ids(tokens))) => {
                for (token, one) in tokens {
                    within("a token", token, MOST_TOKEN_BYTES)?;
                    id(token, *one)?;
                }
                if kind == Kind::Bpe { self.check_merges(tokens) } else { Ok(()) }
            }
            (_, Some(Vocabulary::Scores(_))) => {
                Err("its vocabulary is a list, but only that of a Unigram model is".to_owned())
            }
            (_, None) => Err("its model has no `vocab`".to_owned()),
        }
    }

    fn check_pieces(&self, pieces: &[(String, f64)]) -> Result<(), String> {
        let count = pieces.len() as u64;
        if let Some(unk) = self.unk_id.filter(|unk| *unk >= count) {
            return Err(format!("`unk_id` is {unk}, but the vocabulary has {count} pieces"));
        }
        for (piece, score) in pieces {
            within("a piece", piece, MOST_TOKEN_BYTES)?;
            if score.is_nan() || score.abs() > MOST_SCORE {
                return Err(format!("a piece has the score {score}"));
            }
        }
        Ok(())
    }

    /// Every merge joins two tokens to a third.
    fn check_merges(&self, tokens: &[(String, u32)]) -> Result<(), String> {
        if self.dropout.is_some_and(|share| share != 0.0) {
            return Err(
                "`dropout` draws merges at random, so no run could be repeated: set it to null"
                    .to_owned(),
            );
        }
        let known: HashSet<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
        let prefix = self.continuing_subword_prefix.as_deref().unwrap_or_default();
        let mut joined = String::new();
        for Merge(left, right) in self.merges.iter().flat_map(|merges| &merges.0) {
            let unknown = |token: &str| {
                Err(format!(
                    "a merge names the token `{}`, which the vocabulary lacks",
                    shown(token)
                ))
            };
            for token in [left, right] {
                if !known.contains(token.as_str()) {
                    return unknown(token);
                }
            }
            let Some(end) = right.strip_prefix(prefix) else {
                return Err(format!(
                    "a merge adds `{}`, which lacks the prefix of subwords",
                    shown(right)
                ));
            };
            joined.clear();
            joined.push_str(left);
            joined.push_str(end);
            if !known.contains(joined.as_str()) {
                return unknown(&joined);
            }
        }
        Ok(())
    }
}

fn within(what: &str, text: &str, most: usize) -> Result<(), String> {
    if text.len() <= most {
        return Ok(());
    }
    Err(format!("{what} has {} bytes, more than {most}", text.len()))
}

fn id(token: &str, id: u32) -> Result<(), String> {
    if (id as usize) < MOST_TOKENS {
        return Ok(());
    }
    Err(format!("the token `{}` has the id {id}, but ids end at {}", shown(token), MOST_TOKENS - 1))
}

/// The beginning of a text of the file.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A list of at most `MOST` entries; a longer one ends the reading.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Few<T, const MOST: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
            type Value = Few<T, MOST>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "a list of at most {MOST} entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    if list.len() == MOST {
                        return Err(A::Error::custom(format!(
                            "a list has more than {MOST} entries"
                        )));
                    }
                    list.push(entry);
                }
                Ok(Few(list))
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// Two tokens that become one: a list of both, or both with a blank between them.
#[derive(serde::Serialize)]
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Two;

        impl<'de> Visitor<'de> for Two {
            type Value = Merge;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("two tokens, in a list or with a blank between them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Merge, E> {
                let (left, right) =
                    text.split_once(' ').ok_or_else(|| E::custom("a merge without a blank"))?;
                if right.contains(' ') {
                    return Err(E::custom("a merge with more than one blank"));
                }
                Ok(Merge(left.to_owned(), right.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Merge, A::Error> {
                let two = (entries.next_element()?, entries.next_element()?);
                let more: Option<serde::de::IgnoredAny> = entries.next_element()?;
                match (two, more) {
                    ((Some(left), Some(right)), None) => Ok(Merge(left, right)),
                    _ => Err(A::Error::custom("a merge is of two tokens")),
                }
            }
        }

        deserializer.deserialize_any(Two)
    }
}

/// Tokens with their ids, or pieces with their scores.
enum Vocabulary {
    Ids(Vec<(String, u32)>),
    Scores(Vec<(String, f64)>),
}

impl Serialize for Vocabulary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scores(pieces) => serializer.collect_seq(pieces),
            Self::Ids(tokens) => {
                let mut map = serializer.serialize_map(Some(tokens.len()))?;
                tokens.iter().try_for_each(|(token, id)| map.serialize_entry(token, id))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Vocabulary;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of tokens to ids, or a list of pieces with scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Vocabulary, A::Error> {
                let (mut tokens, mut known) = (Vec::new(), HashSet::new());
                while let Some((token, id)) = entries.next_entry::<String, u32>()? {
                    if tokens.len() == MOST_TOKENS {
                        return Err(A::Error::custom(format!("more than {MOST_TOKENS} tokens")));
                    }
                    if !known.insert(token.clone()) {
                        return Err(A::Error::custom(format!(
                            "the token `{}` is listed twice",
                            shown(&token)
                        )));
                    }
                    tokens.push((token, id));
                }
                Ok(Vocabulary::Ids(tokens))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Vocabulary, A::Error> {
                let entries = serde::de::value::SeqAccessDeserializer::new(entries);
                Ok(Vocabulary::Scores(Few::<_, MOST_TOKENS>::deserialize(entries)?.0))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests;
