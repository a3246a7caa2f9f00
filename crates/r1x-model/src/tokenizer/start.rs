//! The token that a `tokenizer.json` puts before texts, by its post-processor.
//!
//! The post-processor itself is never run: what it adds behind a text would end it, and prompts of conversations have all
//! their tokens from the chat template.

use serde_json::Value;

/// Deepest post-processor that is looked into.
const MOST_DEPTH: usize = 8;

/// All that is read of a file here.
#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    post_processor: Value,
}

/// The token that the bytes of a `tokenizer.json` put before every text; `None` where there is none, or the bytes are no
/// such file.
pub fn start(bytes: &[u8]) -> Option<String> {
    let file: File = serde_json::from_slice(bytes).ok()?;
    of_processor(&file.post_processor, MOST_DEPTH)
}

fn of_processor(processor: &Value, depth: usize) -> Option<String> {
    match processor["type"].as_str()? {
        "Sequence" if depth > 0 => {
            let inner = processor["processors"].as_array()?.iter();
            inner.filter_map(|one| of_processor(one, depth - 1)).next()
        }
        "TemplateProcessing" => {
            let first = processor["single"].as_array()?.first()?;
            Some(first["SpecialToken"]["id"].as_str()?.to_owned())
        }
        "BertProcessing" | "RobertaProcessing" => Some(processor["cls"][0].as_str()?.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(processor: &str, expected: Option<&str>) {
        let file = format!(r#"{{"model": {{}}, "post_processor": {processor}}}"#);
        assert_eq!(start(file.as_bytes()).as_deref(), expected, "{processor}");
    }

    #[test]
    fn what_stands_before_a_text_is_what_the_processor_puts_there() {
        let text = r#"{"Sequence": {"id": "A", "type_id": 0}}"#;
        let begin = r#"{"SpecialToken": {"id": "<s>", "type_id": 0}}"#;
        let template =
            |single: &str| format!(r#"{{"type": "TemplateProcessing", "single": [{single}]}}"#);
        check(&template(&format!("{begin}, {text}")), Some("<s>"));
        check(&template(&format!("{text}, {begin}")), None);
        check(&template(""), None);
        let bytes = r#"{"type": "ByteLevel"}"#;
        check(bytes, None);
        let template = template(&format!("{begin}, {text}"));
        let two = format!(r#"{{"type": "Sequence", "processors": [{bytes}, {template}]}}"#);
        check(&two, Some("<s>"));
        let roberta = r#"{"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}"#;
        check(roberta, Some("<s>"));
        check("null", None);
        check("3", None);
        check(r#"{"type": 3}"#, None);
        assert_eq!(start(b"{}"), None);
        assert_eq!(start(b"no file"), None);
        let deep = r#"{"type": "Sequence", "processors": ["#;
        check(&format!("{}{template}{}", deep.repeat(20), "]}".repeat(20)), None);
    }
}
