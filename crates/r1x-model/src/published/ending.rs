//! Which tokens end a text of a published model, as its files say.

use std::path::Path;

use serde_json::Value;

/// More than any of these files takes, bytes.
const MOST_BYTES: u64 = 64 << 20;

/// The tokens any of which ends a text, as `tokenizer.json` writes them, each once: the `eos_token` of
/// `tokenizer_config.json`, then the `eos_token_id` of `generation_config.json` and of `config.json`.
pub fn eos_tokens(folder: &Path) -> Vec<String> {
    let json = |name: &str| -> Option<Value> {
        let text = r1x_files::read(folder.join(name), MOST_BYTES).ok()?;
        serde_json::from_slice(&text).ok()
    };
    let written = json("tokenizer_config.json").and_then(|config| {
        let token = config.get("eos_token")?;
        let text = token.as_str().or_else(|| token.get("content")?.as_str());
        text.map(str::to_owned)
    });
    let mut ends: Vec<String> = written.into_iter().collect();
    let tokenizer = json("tokenizer.json").unwrap_or_default();
    for config in ["generation_config.json", "config.json"].into_iter().filter_map(json) {
        let ids = match config.get("eos_token_id") {
            Some(Value::Array(ids)) => ids.clone(),
            Some(id) => vec![id.clone()],
            None => Vec::new(),
        };
        for end in ids.iter().filter_map(|id| text_of(&tokenizer, id.as_u64()?)) {
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
    }
    ends
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
        let ends = || eos_tokens(folder.path());
        assert!(ends().is_empty());
        write("config.json", r#"{"eos_token_id": 7}"#);
        assert!(ends().is_empty(), "an id without a tokenizer has no text");
        let tokens =
            r#"{"added_tokens": [{"id": 7, "content": "<e>"}, {"id": 9, "content": "<n>"}]}"#;
        write("tokenizer.json", tokens);
        assert_eq!(ends(), ["<e>"]);
        write("generation_config.json", r#"{"eos_token_id": [9, 7]}"#);
        assert_eq!(ends(), ["<n>", "<e>"]);
        write("tokenizer_config.json", r#"{"eos_token": {"content": "<|im_end|>"}}"#);
        assert_eq!(ends(), ["<|im_end|>", "<n>", "<e>"]);
    }
}
