//! What verifiers and prime-rl write down: `results.jsonl` of evaluations and `traces.jsonl` of training, an object a rollout.
//!
//! There are two shapes. A *result* has `prompt`, `completion`, `reward`, `metrics`, `answer` and `example_id`; its reward
//! is the total, and its metrics are kept as rewards of weight 0. A *trace* has a graph of messages in `nodes`, its
//! `task`, and `rewards` with a weight each; the conversation is the path to the newest message, and what the model
//! was asked is what stands before the first message that was sampled.

use std::collections::BTreeMap;

use r1x_core::FinishReason;
use r1x_tasks::dataset::rows::FileRow;
use serde_json::{Map, Value};

use super::Format;
use super::row::{
    Found, Mistake, Score, cell, conversation, needed, plain, rest, short, step, text,
};

pub const FORMAT: Format =
    Format { word: "verifiers", about: "results and traces of verifiers", answer: "answer", read };

/// Tokens of a completion at most: more are no count of tokens.
const MOST_TOKENS: f64 = 16_777_216.0;
/// Keys of a result that are about its making.
const MAKING: [&str; 20] = [
    "step",
    "prompt",
    "completion",
    "reward",
    "metrics",
    "example_id",
    "advantage",
    "is_completed",
    "is_truncated",
    "stop_condition",
    "timing",
    "generation_ms",
    "scoring_ms",
    "total_ms",
    "token_usage",
    "tool_defs",
    "trajectory",
    "error",
    "error_chain",
    "long_error_chain",
];
/// What a trace was stopped by where the answer has no end.
const CUT_OFF: [&str; 4] =
    ["max_turns", "max_input_tokens", "max_output_tokens", "max_total_tokens"];
/// What to do about a trace whose parts do not fit together.
const WHOLE: &str = "take the file as verifiers has written it";

fn read(row: &FileRow, answer: &str) -> Result<Found, Mistake> {
    if row.get("nodes").is_some() { trace(row, answer) } else { result(row, answer) }
}

fn result(row: &FileRow, answer: &str) -> Result<Found, Mistake> {
    let total = needed(row, "reward")?;
    let mut scores = vec![Score { name: "reward".to_owned(), weight: 1.0, cell: cell(row, total) }];
    let mut columns = rest(row, &MAKING);
    match row.get("metrics") {
        Some(Value::Object(metrics)) => {
            metrics.keys().for_each(|name| drop(columns.remove(name)));
            measured(row, metrics, &mut scores);
        }
        // Earlier versions have the metrics beside everything else.
        _ => scores.extend(
            row.columns().filter(|(name, _)| !MAKING.contains(name) && *name != answer).map(
                |(name, value)| Score {
                    name: name.to_owned(),
                    weight: 0.0,
                    cell: cell(row, value),
                },
            ),
        ),
    }
    let truth = |name: &str| row.get(name).and_then(Value::as_bool);
    let finish = match (truth("is_truncated"), truth("is_completed")) {
        (Some(true), _) => FinishReason::Length,
        (Some(false), Some(true)) => FinishReason::Stop,
        _ => FinishReason::Unknown,
    };
    let counted = row.get("token_usage").and_then(|usage| usage.get("output_tokens"));
    Ok(Found {
        step: step(row, "step")?,
        prompt: text(row, "prompt")?,
        example: plain(row, row.get("example_id")),
        answer: plain(row, row.get(answer)),
        // A rollout that failed has none.
        completion: match row.get("completion") {
            Some(Value::Null) => String::new(),
            _ => text(row, "completion")?,
        },
        scores,
        advantage: row.get("advantage").and_then(|value| row.as_number(value)),
        tokens: counted.map(|value| tokens(row, value)).transpose()?,
        finish,
        columns,
    })
}

/// Metrics as rewards that change no total.
fn measured(row: &FileRow, metrics: &Map<String, Value>, scores: &mut Vec<Score>) {
    for (name, value) in metrics {
        let is_taken = scores.iter().any(|score| score.name == *name);
        let name = if is_taken { format!("metrics.{name}") } else { name.clone() };
        scores.push(Score { name, weight: 0.0, cell: cell(row, value) });
    }
}

fn tokens(row: &FileRow, value: &Value) -> Result<usize, Mistake> {
    let number = row.as_number(value).filter(|number| (0.0..=MOST_TOKENS).contains(number));
    number.map(|number| number as usize).ok_or_else(|| Mistake {
        reason: format!("`output_tokens` is no number of tokens: {}", short(&row.json(value))),
        hint: WHOLE,
    })
}

/// A message of a trace.
struct Node<'r> {
    value: &'r Value,
    message: &'r Value,
}

impl Node<'_> {
    /// Whether the model has written it.
    fn is_sampled(&self) -> bool {
        match self.value.get("sampled").and_then(Value::as_bool) {
            Some(sampled) => sampled,
            None => self.message.get("role").and_then(Value::as_str) == Some("assistant"),
        }
    }

    fn list(&self, name: &str) -> &[Value] {
        self.value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

fn trace(row: &FileRow, answer: &str) -> Result<Found, Mistake> {
    let path = path(row)?;
    let first = path.iter().position(Node::is_sampled).unwrap_or(path.len());
    let written = |nodes: &[Node<'_>]| {
        let messages: Vec<Value> =
            nodes.iter().map(|node| row.readable(node.message).into_owned()).collect();
        conversation(&messages).ok_or_else(|| Mistake {
            reason: "an entry of `nodes` has no message".to_owned(),
            hint: WHOLE,
        })
    };
    let task = row.get("task");
    let data = task.and_then(|task| task.get("data")).and_then(Value::as_object);
    let of_task = |name: &str| data.and_then(|data| data.get(name));
    let id = task.and_then(|task| ["key", "hash"].into_iter().find_map(|name| task.get(name)));
    let mut scores = Vec::new();
    rewarded(row, &mut scores);
    if let Some(Value::Object(metrics)) = row.get("metrics") {
        measured(row, metrics, &mut scores);
    }
    let columns: BTreeMap<String, String> = data
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "prompt")
        .map(|(name, value)| (name.clone(), row.json(value)))
        .collect();
    let sampled = path.iter().filter(|node| node.is_sampled());
    let masks = sampled.clone().flat_map(|node| node.list("mask"));
    let counted = masks.filter(|mask| mask.as_bool() == Some(true)).count();
    let mut advantages = sampled.flat_map(|node| node.list("advantages"));
    let advantage = advantages.next().and_then(|value| row.as_number(value));
    // One of each token has no place here, unless all are equal.
    let is_one = advantages.all(|value| row.as_number(value) == advantage);
    Ok(Found {
        step: step(row, "step")?,
        prompt: written(&path[..first])?,
        example: plain(row, id.or_else(|| of_task("idx"))),
        answer: plain(row, of_task(answer).or_else(|| row.get(answer))),
        completion: written(&path[first..])?,
        scores,
        advantage: advantage.filter(|_| is_one),
        tokens: (counted > 0).then_some(counted),
        finish: finish(row, &path),
        columns,
    })
}

/// The rewards of a trace, each with its weight.
fn rewarded(row: &FileRow, scores: &mut Vec<Score>) {
    for (name, value) in row.get("rewards").and_then(Value::as_object).into_iter().flatten() {
        let (score, weight) = match value {
            Value::Object(parts) => (parts.get("score"), parts.get("weight")),
            value => (Some(value), None),
        };
        scores.push(Score {
            name: name.clone(),
            weight: weight.and_then(|weight| row.as_number(weight)).unwrap_or(1.0),
            cell: cell(row, score.unwrap_or(&Value::Null)),
        });
    }
}

/// The messages from the first one to the newest. Each stands behind the one that it answers, so the path ends.
fn path(row: &FileRow) -> Result<Vec<Node<'_>>, Mistake> {
    let mistake = |reason: String| Mistake { reason, hint: WHOLE };
    let Some(Value::Array(nodes)) = row.get("nodes") else {
        return Err(mistake("`nodes` is no list of messages".to_owned()));
    };
    let mut path = Vec::new();
    let mut next = nodes.len().checked_sub(1);
    while let Some(at) = next {
        let value = &nodes[at];
        let Some(message) = value.get("message") else {
            return Err(mistake(format!("entry {at} of `nodes` has no message")));
        };
        path.push(Node { value, message });
        next = match value.get("parent") {
            None | Some(Value::Null) => None,
            Some(parent) => {
                let parent = parent.as_u64().and_then(|parent| usize::try_from(parent).ok());
                let before = parent.filter(|parent| *parent < at);
                Some(before.ok_or_else(|| {
                    mistake(format!("entry {at} of `nodes` follows none that stands before it"))
                })?)
            }
        };
    }
    path.reverse();
    Ok(path)
}

/// How the newest answer of a trace ended.
fn finish(row: &FileRow, path: &[Node<'_>]) -> FinishReason {
    let stopped = row.get("stop_condition").and_then(Value::as_str).unwrap_or_default();
    if CUT_OFF.contains(&stopped) {
        return FinishReason::Length;
    }
    let calls = row.get("calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of_calls = calls.iter().rev().find_map(|call| call.get("finish_reason")?.as_str());
    let of_node = || path.iter().rev().find_map(|node| node.value.get("finish_reason")?.as_str());
    match of_calls.or_else(of_node) {
        Some("length") => FinishReason::Length,
        Some("stop") => FinishReason::Stop,
        _ => FinishReason::Unknown,
    }
}
