//! Which token ends a text of a published model, as its files say.

use std::path::Path;

use serde_json::Value;

/// More than any of these files takes, bytes.
const MOST_BYTES: u64 = 64 << 20;

/// The token that ends a text, as `tokenizer.json` writes it: the `eos_token` of `tokenizer_config.json`, or else the first
/// `eos_token_id` of `generation_config.json` or `config.json`. `None` where no file says one.
pub fn eos_token(folder: &Path) -> Option<String> {
    let json = |name: &str| -> Option<Value> {
        let text = r1x_files::read(folder.join(name), MOST_BYTES).ok()?;
        serde_json::from_slice(&text).ok()
    };
    let written = json("tokenizer_config.json").and_then(|config| {
        let token = config.get("eos_token")?;
        let text = token.as_str().or_else(|| token.get("content")?.as_str());
        text.map(str::to_owned)
    });
    written.or_else(|| {
        let id = ["generation_config.json", "config.json"].into_iter().find_map(|name| {
            let config = json(name)?;
            let id = config.get("eos_token_id")?;
            id.as_u64().or_else(|| id.as_array()?.first()?.as_u64())
        })?;
        text_of(&json("tokenizer.json")?, id)
    })
}

/// The text of a token that `tokenizer.json` adds to its vocabulary.
fn text_of(tokenizer: &Value, id: u64) -> Option<String> {
    let added = tokenizer.get("added_tokens")?.as_array()?;
    let found = added.iter().find(|token| token.get("id").and_then(Value::as_u64) == Some(id))?;
    found.get("content")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_is_what_the_files_say() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        assert_eq!(eos_token(folder.path()), None);
        write("config.json", r#"{"eos_token_id": 7}"#);
        assert_eq!(eos_token(folder.path()), None);
        let tokens =
            r#"{"added_tokens": [{"id": 7, "content": "<e>"}, {"id": 9, "content": "<n>"}]}"#;
        write("tokenizer.json", tokens);
        assert_eq!(eos_token(folder.path()).as_deref(), Some("<e>"));
        write("generation_config.json", r#"{"eos_token_id": [9, 7]}"#);
        assert_eq!(eos_token(folder.path()).as_deref(), Some("<n>"));
        write("tokenizer_config.json", r#"{"eos_token": {"content": "<|im_end|>"}}"#);
        assert_eq!(eos_token(folder.path()).as_deref(), Some("<|im_end|>"));
    }
}
