//! What belongs to a published model beside its numbers: its tokenizer, its chat template, and which tokens end a text.

use std::collections::BTreeMap;
use std::path::Path;

use r1x_core::plan::TokenizerPlan;
use serde_json::{Map, Value, json};

use super::{CONFIG, MOST_CONFIG_BYTES};
use crate::error::ModelError;
use crate::tokenizer::{EOS, Tokenizer};

/// The file of a tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// The file of settings around a tokenizer.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// The file of a chat template.
pub const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// The file of settings for sampling.
pub const GENERATION: &str = "generation_config.json";

/// Files about texts that a published folder may hold, in the order of their names.
const FILES: &[&str] = &[
    "added_tokens.json",
    CHAT_TEMPLATE,
    "chat_template.json",
    GENERATION,
    "merges.txt",
    "special_tokens_map.json",
    TOKENIZER,
    "tokenizer.model",
    TOKENIZER_CONFIG,
    "vocab.json",
];

/// More than any of these files takes, bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Tokens with a meaning of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The tokens any of which ends a text; none where nothing is said.
    pub eos: Vec<u32>,
    /// The token that fills what is beside a text.
    pub pad: Option<u32>,
}

/// Every token of a tokenizer by its id, added ones too.
pub type Tokens = BTreeMap<u32, String>;

/// Files about texts, and the tokens that they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// Each file's name and bytes, in the order of names.
    pub files: Vec<(String, Vec<u8>)>,
    /// The special tokens.
    pub ids: SpecialIds,
}

impl Texts {
    /// The bytes of one file.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(known, _)| known == name).map(|(_, bytes)| &bytes[..])
    }

    /// The tokens of `tokenizer.json`, as it writes them; `None` where there is no such file, or it is no tokenizer.
    pub fn tokens(&self) -> Option<Tokens> {
        let file: Value = serde_json::from_slice(self.file(TOKENIZER)?).ok()?;
        let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut tokens: Tokens = match &file["model"]["vocab"] {
            Value::Object(vocabulary) => {
                vocabulary.iter().filter_map(|(token, at)| Some((id(at)?, token.clone()))).collect()
            }
            Value::Array(pieces) => {
                let pieces = pieces.iter().zip(0..);
                pieces.filter_map(|(piece, id)| Some((id, text(&piece[0])?))).collect()
            }
            _ => return None,
        };
        let added = file["added_tokens"].as_array().into_iter().flatten();
        tokens.extend(added.filter_map(|one| Some((id(&one["id"])?, text(&one["content"])?))));
        Some(tokens)
    }

    /// The files of a folder. Ids are those of `generation_config.json` and of `config.json`; the ends of a text are
    /// those of either.
    ///
    /// # Errors
    /// When a file cannot be read or is too large, or one with ids is no JSON.
    pub fn of_folder(folder: &Path) -> Result<Self, ModelError> {
        let mut files = Vec::new();
        for name in FILES {
            let path = folder.join(name);
            if path.exists() {
                files.push(((*name).to_owned(), read(&path, MOST_BYTES)?));
            }
        }
        let mut texts = Self { files, ids: SpecialIds::default() };
        let config = folder.join(CONFIG);
        let config = config.exists().then(|| read(&config, MOST_CONFIG_BYTES)).transpose()?;
        let sources = [(GENERATION, texts.file(GENERATION)), (CONFIG, config.as_deref())];
        let mut ids = SpecialIds::default();
        for (name, bytes) in sources.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))) {
            let map = serde_json::from_slice(bytes).map_err(|error| ModelError::Published {
                path: folder.join(name).display().to_string(),
                reason: error.to_string(),
            })?;
            ids.add(&map);
        }
        texts.ids = ids;
        Ok(texts)
    }
}

impl Texts {
    /// The files of a planned tokenizer: those beside its `tokenizer.json`, or a `tokenizer.json` of listed words, each of
    /// which is a token between blanks.
    ///
    /// # Errors
    /// When the tokenizer's file is missing, changed or refused, or files beside it cannot be read.
    pub fn of_plan(plan: &TokenizerPlan) -> Result<Self, ModelError> {
        let tokenizer = Tokenizer::new(plan)?;
        let (mut texts, eos) = match plan {
            TokenizerPlan::Vocabulary { pieces } => (Self::of_words(pieces), EOS),
            TokenizerPlan::File { path, eos, .. } => {
                let end = eos.first().map_or("", String::as_str);
                (Self::beside(Path::new(path))?, end)
            }
        };
        let end = tokenizer.eos();
        if !texts.ids.eos.contains(&end) {
            texts.ids.eos.insert(0, end);
            // What samples must end where this model learnt to end.
            texts.files.retain(|(name, _)| name != GENERATION);
        }
        if let Some(chat) = plan.chat() {
            // What a run was trained with, wherever a spec has it from.
            texts.files.retain(|(name, _)| name != CHAT_TEMPLATE);
            texts.files.push((CHAT_TEMPLATE.to_owned(), chat.template.clone().into_bytes()));
            texts.files.sort();
        }
        if texts.file(TOKENIZER_CONFIG).is_none() {
            let config = json!({
                "clean_up_tokenization_spaces": false,
                "eos_token": eos,
                "tokenizer_class": "PreTrainedTokenizerFast",
            });
            let config = config.as_object().map(pretty).unwrap_or_default();
            texts.files.push((TOKENIZER_CONFIG.to_owned(), config));
            texts.files.sort();
        }
        Ok(texts)
    }

    /// A tokenizer's file with the files around it, which are known by their names where its own is the usual one.
    fn beside(path: &Path) -> Result<Self, ModelError> {
        if path.file_name().is_some_and(|name| name == TOKENIZER) {
            return Self::of_folder(path.parent().unwrap_or(Path::new("")));
        }
        let files = vec![(TOKENIZER.to_owned(), read(path, MOST_BYTES)?)];
        Ok(Self { files, ids: SpecialIds::default() })
    }

    fn of_words(pieces: &[String]) -> Self {
        let words = std::iter::once(EOS).chain(pieces.iter().map(String::as_str));
        let vocabulary: Map<String, Value> =
            words.enumerate().map(|(id, word)| (word.to_owned(), json!(id))).collect();
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [{
                "id": 0,
                "content": EOS,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": true,
            }],
            "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": null,
            "decoder": null,
            // A word that is not listed is an error, here as in r1x: no piece stands for it.
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
        });
        let files = vec![(TOKENIZER.to_owned(), tokenizer.to_string().into_bytes())];
        Self { files, ids: SpecialIds::default() }
    }
}

impl SpecialIds {
    /// Adds what a map of JSON says: an id, or a list of them for the ends of a text. What is known already stays.
    fn add(&mut self, map: &Map<String, Value>) {
        let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let one = |key: &str| id(map.get(key)?);
        self.bos = self.bos.or_else(|| one("bos_token_id"));
        self.pad = self.pad.or_else(|| one("pad_token_id"));
        let eos = match map.get("eos_token_id") {
            Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
            Some(value) => Vec::from_iter(id(value)),
            None => Vec::new(),
        };
        for id in eos {
            if !self.eos.contains(&id) {
                self.eos.push(id);
            }
        }
    }

    /// The keys of a `config.json` or a `generation_config.json` that say the ids; a key is missing where nothing is
    /// said.
    pub fn keys(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        put("bos_token_id", self.bos.map(Value::from));
        put(
            "eos_token_id",
            match &self.eos[..] {
                [] => None,
                [one] => Some(Value::from(*one)),
                several => Some(Value::from(several)),
            },
        );
        put("pad_token_id", self.pad.map(Value::from));
        map
    }
}

fn read(path: &Path, most_bytes: u64) -> Result<Vec<u8>, ModelError> {
    r1x_files::read(path, most_bytes)
        .map_err(|source| ModelError::Io { path: path.display().to_string(), source })
}

/// JSON as hubs publish it: indented, with a line break at the end.
pub fn pretty(map: &Map<String, Value>) -> Vec<u8> {
    let mut text = format!("{:#}", Value::Object(map.clone()));
    text.push('\n');
    text.into_bytes()
}
