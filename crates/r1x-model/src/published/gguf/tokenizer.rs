//! The tokenizer of a GGUF file as the files of a published folder: its pieces and merges are there, and how a text is
//! split before is named by a word.
//!
//! The word must be known. Whoever takes another splitting gets other tokens in silence, which a model answers worse:
//! "a  5" in SmolLM2 is three tokens by its own splitting, and four by GPT-2's.

use std::collections::{BTreeMap, HashSet};

use r1x_weights::Value as Entry;
use serde_json::{Map, Value, json};

use crate::published::texts::{
    CHAT_TEMPLATE, GENERATION, SpecialIds, TOKENIZER, TOKENIZER_CONFIG, Texts, pretty,
};

/// The kind of model of byte-pair encoding over bytes.
const BYTE_PAIRS: &str = "gpt2";

/// GPT-2's expression is what `ByteLevel` splits by.
fn gpt2() -> Vec<Value> {
    vec![byte_level(true)]
}

/// Every digit alone, then as GPT-2.
fn smollm() -> Vec<Value> {
    vec![json!({"type": "Digits", "individual_digits": true}), byte_level(true)]
}

/// Qwen2's expression: digits alone, and line breaks apart from other blanks.
fn qwen2() -> Vec<Value> {
    split(r"\p{N}")
}

/// Llama 3's expression: up to three digits together.
fn llama3() -> Vec<Value> {
    split(r"\p{N}{1,3}")
}

/// The expression that Llama 3 and Qwen2 share but for how they take digits.
fn split(digits: &str) -> Vec<Value> {
    let expression = format!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    let split = json!({
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": false,
    });
    vec![split, byte_level(false)]
}

fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}

/// A way to split texts before pieces are looked for.
struct Splitting {
    /// The word for it in a file.
    word: &'static str,
    /// What it does, as components of a `tokenizer.json`.
    parts: fn() -> Vec<Value>,
    /// Whether texts are first put into the composed normal form of Unicode.
    composes: bool,
    /// Whether a text that is a piece is that piece, whatever the merges say.
    ignores_merges: bool,
    /// Whether a text begins with the token for that where the file does not say.
    adds_bos: bool,
}

const PLAIN: Splitting =
    Splitting { word: "", parts: gpt2, composes: false, ignores_merges: false, adds_bos: false };

const SPLITTINGS: &[Splitting] = &[
    Splitting { word: "gpt-2", ..PLAIN },
    Splitting { word: "llama-bpe", parts: llama3, ignores_merges: true, adds_bos: true, ..PLAIN },
    Splitting { word: "qwen2", parts: qwen2, composes: true, ..PLAIN },
    Splitting { word: "smollm", parts: smollm, ..PLAIN },
];

/// Kinds of pieces that matter here, by the numbers of the format.
mod kind {
    /// A piece with a meaning of its own.
    pub const CONTROL: i64 = 3;
    /// A piece that a user added: it is found in texts before they are split.
    pub const USER_DEFINED: i64 = 4;
    /// A piece that only fills a place.
    pub const UNUSED: i64 = 5;
}

/// The tokenizer of a file with what belongs to it, as files of a published folder; no files where there is none.
///
/// # Errors
/// Why the tokenizer cannot be said as a `tokenizer.json`: it is of another kind, its splitting is not known, or its
/// lists contradict each other.
pub fn texts(metadata: &BTreeMap<String, Entry>) -> Result<Texts, String> {
    let about = About { metadata };
    let Some(model) = about.text("model").filter(|word| !["none", "no_vocab"].contains(word))
    else {
        return Ok(Texts::default());
    };
    if model != BYTE_PAIRS {
        return Err(format!("`tokenizer.ggml.model` is `{}`; what is known: gpt2", shown(model)));
    }
    let splitting = about.splitting()?;
    let pieces = about.pieces()?;
    let ids = about.ids(pieces.len())?;
    let adds_bos = about.flag("add_bos_token").unwrap_or(splitting.adds_bos);
    let begin = ids.bos.filter(|_| adds_bos);
    let tokenizer = tokenizer(splitting, &pieces, about.merges()?, begin);
    let name = |id: u32| pieces[id as usize].text;
    let mut config = Map::new();
    let named = [
        ("bos_token", ids.bos),
        ("eos_token", ids.eos.first().copied()),
        ("pad_token", ids.pad),
        ("unk_token", about.id("unknown_token_id", pieces.len())?),
    ];
    for (key, id) in named {
        if let Some(id) = id {
            config.insert(key.to_owned(), json!(name(id)));
        }
    }
    config.insert("add_bos_token".to_owned(), json!(adds_bos));
    config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
    config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
    let template = metadata.get("tokenizer.chat_template").and_then(Entry::as_text);
    let files = [
        (CHAT_TEMPLATE, template.map(|template| template.as_bytes().to_vec())),
        (GENERATION, Some(pretty(&ids.keys()))),
        (TOKENIZER, Some(tokenizer.to_string().into_bytes())),
        (TOKENIZER_CONFIG, Some(pretty(&config))),
    ];
    let files = files.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), bytes?)));
    Ok(Texts { files: files.collect(), ids })
}

/// The `tokenizer.json`. Every piece is in the vocabulary, the added ones too, so that ids are those of the file.
fn tokenizer(
    splitting: &Splitting,
    pieces: &[Piece<'_>],
    merges: Vec<[&str; 2]>,
    begin: Option<u32>,
) -> Value {
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for (id, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.kind != kind::UNUSED) {
        vocabulary.insert(piece.text.to_owned(), json!(id));
        if [kind::CONTROL, kind::USER_DEFINED].contains(&piece.kind) {
            added.push(json!({
                "id": id,
                "content": piece.text,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": piece.kind == kind::CONTROL,
            }));
        }
    }
    let normalizer = if splitting.composes { json!({"type": "NFC"}) } else { Value::Null };
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": (splitting.parts)()},
        "post_processor": begin.map(|id| beginning(pieces[id as usize].text, id)),
        "decoder": byte_level(true),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": splitting.ignores_merges,
            "vocab": vocabulary,
            "merges": merges,
        },
    })
}

/// What puts a token before every text. r1x does not ask for it, and others do.
fn beginning(token: &str, id: u32) -> Value {
    let special = |type_id: u32| json!({"SpecialToken": {"id": token, "type_id": type_id}});
    let text = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    json!({
        "type": "TemplateProcessing",
        "single": [special(0), text("A", 0)],
        "pair": [special(0), text("A", 0), special(1), text("B", 1)],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}

/// A piece of the vocabulary.
struct Piece<'m> {
    text: &'m str,
    kind: i64,
}

/// What a file says about its tokenizer.
struct About<'m> {
    metadata: &'m BTreeMap<String, Entry>,
}

impl<'m> About<'m> {
    fn get(&self, key: &str) -> Option<&'m Entry> {
        self.metadata.get(&format!("tokenizer.ggml.{key}"))
    }

    fn text(&self, key: &str) -> Option<&'m str> {
        self.get(key)?.as_text()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    fn splitting(&self) -> Result<&'static Splitting, String> {
        let known: Vec<&str> = SPLITTINGS.iter().map(|one| one.word).collect();
        let known = known.join(", ");
        let Some(word) = self.text("pre") else {
            return Err(format!(
                "`tokenizer.ggml.pre` is missing, so nobody knows how texts are split; what is known: {known}"
            ));
        };
        SPLITTINGS.iter().find(|one| one.word == word).ok_or_else(|| {
            let unsure = match word {
                "default" => ", which is what converters write that did not know",
                _ => "",
            };
            format!("`tokenizer.ggml.pre` is `{}`{unsure}; what is known: {known}", shown(word))
        })
    }

    fn pieces(&self) -> Result<Vec<Piece<'m>>, String> {
        let texts = self.get("tokens").and_then(Entry::as_texts);
        let texts = texts.ok_or("`tokenizer.ggml.tokens` is no list of texts")?;
        let kinds = self.get("token_type").and_then(Entry::as_i64s);
        let kinds = kinds.ok_or("`tokenizer.ggml.token_type` is no list of whole numbers")?;
        if kinds.len() != texts.len() {
            let (tokens, kinds) = (texts.len(), kinds.len());
            return Err(format!("it has {tokens} tokens, and {kinds} kinds of tokens"));
        }
        let mut known = HashSet::new();
        let pieces = texts.iter().zip(kinds).map(|(text, kind)| Piece { text, kind });
        let pieces: Vec<Piece<'m>> = pieces.collect();
        let twice =
            pieces.iter().find(|piece| piece.kind != kind::UNUSED && !known.insert(piece.text));
        match twice {
            Some(piece) => Err(format!("the token `{}` is there twice", shown(piece.text))),
            None => Ok(pieces),
        }
    }

    /// Pairs of pieces that are joined, the first ones first.
    fn merges(&self) -> Result<Vec<[&'m str; 2]>, String> {
        let lines = self.get("merges").and_then(Entry::as_texts);
        let lines = lines.ok_or("`tokenizer.ggml.merges` is no list of texts")?;
        let pair = |line: &'m String| {
            // The first character may be a blank that belongs to a piece.
            let after = line.char_indices().skip(1).find(|(_, one)| *one == ' ');
            let at = after.ok_or_else(|| format!("the merge `{}` is no pair", shown(line)))?.0;
            Ok([&line[..at], &line[at + 1..]])
        };
        lines.iter().map(pair).collect()
    }

    /// A token that a key names.
    fn id(&self, key: &str, count: usize) -> Result<Option<u32>, String> {
        let Some(entry) = self.get(key) else { return Ok(None) };
        let id = entry.as_u64().and_then(|id| u32::try_from(id).ok());
        match id.filter(|id| (*id as usize) < count) {
            None => Err(format!("`tokenizer.ggml.{key}` is none of the {count} tokens")),
            id => Ok(id),
        }
    }

    fn ids(&self, count: usize) -> Result<SpecialIds, String> {
        let mut eos = Vec::new();
        // The end of a text, of a turn, and of a message that calls a tool.
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            eos.extend(self.id(key, count)?.filter(|id| !eos.contains(id)));
        }
        let [bos, pad] = ["bos_token_id", "padding_token_id"].map(|key| self.id(key, count));
        Ok(SpecialIds { bos: bos?, eos, pad: pad? })
    }
}

/// The beginning of a text of the file.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
