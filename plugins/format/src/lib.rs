//! Reward `format`: 1 when the completion is thinking, then one answer, then nothing.
//!
//! With `compat` it scores as a public recipe does.

use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::{count, find, split_at_mark};
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const ANSWER: &str = "<answer>";
const ANSWER_END: &str = "</answer>";

const KEYS: &[Key] = &[
    Key {
        name: "prefilled",
        kind: Kind::Flag,
        default: "true",
        about: "The prompt already ends with <think>.",
    },
    Key {
        name: "compat",
        kind: Kind::Choice(&["none", "mini-r1"]),
        default: "\"none\"",
        about: "Score as this public recipe does (it takes the prompt to end with <think>).",
    },
];

/// The configured reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The prompt already ends with `<think>`, so the completion must not open it again.
    pub prefilled: bool,
    /// Score as Mini-R1 does.
    pub mini_r1: bool,
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
    let order = match (find(text, THINK_END), find(text, ANSWER)) {
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

/// Mini-R1's form: `</think>`, one line break, `<answer>`, and `</answer>` at the end or before a last line
/// break. What stands between the answer's tags is free, more tags included.
pub fn judge_mini_r1(text: &str) -> Verdict {
    let (thought, rest) = text.split_once(THINK_END).unwrap_or((text, ""));
    let think = thought.len() < text.len() && !thought.contains(THINK);
    let answer = rest
        .strip_prefix("\n<answer>")
        .is_some_and(|rest| rest.strip_suffix('\n').unwrap_or(rest).ends_with(ANSWER_END));
    let reason = match (think, answer) {
        (false, _) => "the thought is not closed once",
        (true, false) => "not one line break and one answer after </think>",
        (true, true) => "well formed",
    };
    Verdict { think, answer, whole: think && answer, reason }
}

fn check_thinking(text: &str, prefilled: bool) -> Result<(), &'static str> {
    match (count(text, THINK), prefilled) {
        (0, true) => {}
        (_, true) => return Err("<think> again, though the prompt opened it"),
        (0, false) => return Err("no <think>"),
        (1, false) if text.trim_start().starts_with(THINK) => {}
        (1, false) => return Err("text before <think>"),
        (_, false) => return Err("more than one <think>"),
    }
    match count(text, THINK_END) {
        0 => Err("no </think>"),
        1 => Ok(()),
        _ => Err("more than one </think>"),
    }
}

fn check_answer(text: &str) -> Result<(), &'static str> {
    match count(text, ANSWER) {
        0 => return Err("no <answer>"),
        1 => {}
        _ => return Err("more than one <answer>"),
    }
    match count(text, ANSWER_END) {
        0 => return Err("no </answer>"),
        1 => {}
        _ => return Err("more than one </answer>"),
    }
    let Some((_, rest)) = split_at_mark(text, ANSWER) else {
        return Err("no <answer>");
    };
    let Some((answer, after)) = split_at_mark(rest, ANSWER_END) else {
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
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        let settings = Settings::read(config, KEYS)?;
        let mini_r1 = settings.text("compat") == "mini-r1";
        if mini_r1 && !settings.flag("prefilled") {
            return Err("`prefilled` must be true with `compat: mini-r1`".to_owned());
        }
        Ok(Self { prefilled: settings.flag("prefilled"), mini_r1 })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let verdict = if self.mini_r1 {
            judge_mini_r1(&rollout.completion)
        } else {
            judge(&rollout.completion, self.prefilled)
        };
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
    use r1x_plugin::testing::{check_adversarial, check_cases, check_holes};

    /// The cases are shared with the tests of the host, which run them through the component.
    const CASES: &str = include_str!("../cases.jsonl");

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Format>(CASES);
        check_adversarial::<Format>("{}", "{}");
        check_adversarial::<Format>(r#"{"compat":"mini-r1"}"#, "{}");
    }

    #[test]
    fn the_recipe_is_met_row_by_row_and_its_holes_can_be_closed() {
        let table = include_str!("../compat/table.jsonl");
        assert!(table.lines().count() >= 200);
        check_cases::<Format>(table);
        check_holes::<Format>(table, "{}");
    }

    #[test]
    fn truncation_is_told() {
        let mut rollout = r1x_plugin::test_rollout("1 + 2", "{}");
        rollout.truncated = true;
        let score = Format { prefilled: true, mini_r1: false }.score(&rollout).unwrap();
        assert_eq!(score.info.as_deref(), Some("no </think> (cut at the token limit)"));
    }

    #[test]
    fn configuration_is_strict() {
        let read = |text: &str| Format::configure(&r1x_plugin::parse_config(text).unwrap());
        assert_eq!(read("{}"), Ok(Format { prefilled: true, mini_r1: false }));
        assert!(!read(r#"{"prefilled":false}"#).unwrap().prefilled);
        assert!(read(r#"{"compat":"mini-r1"}"#).unwrap().mini_r1);
        assert!(read(r#"{"compat":"mini-r1","prefilled":false}"#).is_err());
        assert!(read(r#"{"prefilled":1}"#).unwrap_err().contains("true or false"));
        assert!(read(r#"{"prefiled":true}"#).unwrap_err().contains("`prefiled`"));
    }
}
