//! Reward `format`: 1 when the completion is thinking, then one answer, then nothing.
//!
//! Must not know what a good answer is.

use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const ANSWER: &str = "<answer>";
const ANSWER_END: &str = "</answer>";

/// The configured reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The prompt already ends with `<think>`, so the completion must not open it again.
    pub prefilled: bool,
}

/// What is right about a completion, and the first thing that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Thinking is opened and closed exactly once, and stands first.
    pub think: bool,
    /// There is exactly one answer, not empty, and nothing after it.
    pub answer: bool,
    /// The whole form is kept.
    pub whole: bool,
    /// A few words on why.
    pub reason: &'static str,
}

/// Checks a completion against the form `[<think>] ... </think> <answer> ... </answer>`.
pub fn judge(text: &str, prefilled: bool) -> Verdict {
    let thinking = check_thinking(text, prefilled);
    let answering = check_answer(text);
    let order = match (text.find(THINK_END), text.find(ANSWER)) {
        (Some(end), Some(start)) if start < end => Err("the answer starts before </think>"),
        (Some(end), Some(start)) if !text[end + THINK_END.len()..start].trim().is_empty() => {
            Err("text between </think> and <answer>")
        }
        _ => Ok(()),
    };
    let first_wrong = thinking.and(order).and(answering);
    Verdict {
        think: thinking.is_ok(),
        answer: answering.is_ok(),
        whole: first_wrong.is_ok(),
        reason: first_wrong.err().unwrap_or("well formed"),
    }
}

fn check_thinking(text: &str, prefilled: bool) -> Result<(), &'static str> {
    match (text.matches(THINK).count(), prefilled) {
        (0, true) => {}
        (_, true) => return Err("<think> again, though the prompt opened it"),
        (0, false) => return Err("no <think>"),
        (1, false) if text.trim_start().starts_with(THINK) => {}
        (1, false) => return Err("text before <think>"),
        (_, false) => return Err("more than one <think>"),
    }
    match text.matches(THINK_END).count() {
        0 => Err("no </think>"),
        1 => Ok(()),
        _ => Err("more than one </think>"),
    }
}

fn check_answer(text: &str) -> Result<(), &'static str> {
    match text.matches(ANSWER).count() {
        0 => return Err("no <answer>"),
        1 => {}
        _ => return Err("more than one <answer>"),
    }
    match text.matches(ANSWER_END).count() {
        0 => return Err("no </answer>"),
        1 => {}
        _ => return Err("more than one </answer>"),
    }
    let Some((_, rest)) = text.split_once(ANSWER) else {
        return Err("no <answer>");
    };
    let Some((answer, after)) = rest.split_once(ANSWER_END) else {
        return Err("</answer> before <answer>");
    };
    if answer.trim().is_empty() {
        return Err("the answer is empty");
    }
    if !after.trim().is_empty() {
        return Err("text after </answer>");
    }
    Ok(())
}

impl Reward for Format {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "format".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: "1 when the completion is `... </think> <answer> ... </answer>`, else 0"
                .to_owned(),
            needs: Needs::empty(),
            columns: Vec::new(),
            optional_columns: Vec::new(),
            parts: vec!["think".to_owned(), "answer".to_owned()],
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(
                r#"{"type":"object","additionalProperties":false,"properties":{"prefilled":{"type":"boolean","default":true,"description":"The prompt already ends with <think>."}}}"#
                    .to_owned(),
            ),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        r1x_plugin::refuse_unknown_keys(config, &["prefilled"])?;
        match config.get("prefilled") {
            None => Ok(Self { prefilled: true }),
            Some(Value::Bool(prefilled)) => Ok(Self { prefilled: *prefilled }),
            Some(other) => {
                Err(format!("`prefilled` must be true or false, not {}", r1x_plugin::kind(other)))
            }
        }
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let verdict = judge(&rollout.completion, self.prefilled);
        let reason = match (verdict.whole, rollout.truncated) {
            (false, true) => format!("{} (cut at the token limit)", verdict.reason),
            _ => verdict.reason.to_owned(),
        };
        Ok(Score::new(f64::from(verdict.whole), reason)
            .part("think", verdict.think)
            .part("answer", verdict.answer))
    }
}

r1x_plugin::export_reward!(Format);

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases are shared with the tests of the host, which run them through the component.
    const CASES: &str = include_str!("../cases.jsonl");

    #[test]
    fn every_case_of_the_table() {
        for line in CASES.lines() {
            let case: Value = line.parse().unwrap();
            let config = case["config"].as_object().cloned().unwrap_or_default();
            let reward = Format::configure(&config).unwrap();
            let completion = case["completion"].as_str().unwrap();
            let score = reward.score(&r1x_plugin::test_rollout(completion, "{}")).unwrap();
            assert_eq!(score.reward, case["reward"].as_f64(), "{line}");
            assert_eq!(score.info.as_deref(), case["info"].as_str(), "{line}");
            for part in &score.parts {
                assert_eq!(Some(part.value), case["parts"][&part.name].as_f64(), "{line}");
            }
        }
    }

    #[test]
    fn truncation_is_told() {
        let mut rollout = r1x_plugin::test_rollout("1 + 2", "{}");
        rollout.truncated = true;
        let score = Format { prefilled: true }.score(&rollout).unwrap();
        assert_eq!(score.info.as_deref(), Some("no </think> (cut at the token limit)"));
    }

    #[test]
    fn configuration_is_strict() {
        let read = |text: &str| Format::configure(&r1x_plugin::parse_config(text).unwrap());
        assert_eq!(read("{}"), Ok(Format { prefilled: true }));
        assert_eq!(read(r#"{"prefilled":false}"#), Ok(Format { prefilled: false }));
        assert!(read(r#"{"prefilled":1}"#).unwrap_err().contains("a number"));
        assert!(read(r#"{"prefiled":true}"#).unwrap_err().contains("`prefiled`"));
    }
}
