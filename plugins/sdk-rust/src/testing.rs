//! Tests of a plugin without a host: rollouts, and tables of cases.
//!
//! A case is a line of JSON: `completion`, and optionally `config`, `columns`, `prompt`, `truncated` and
//! `completion_tokens`, then what must come out: `reward`, `info`, `parts`. The tests of the host run the same
//! tables through the component.

pub mod adversarial;

use adversarial::adversarial;

use crate::{Map, Reward, Rollout, Score, Value};

/// A rollout with this completion, and the columns as JSON.
pub fn test_rollout(completion: &str, columns: &str) -> Rollout {
    Rollout {
        id: 0,
        group: 0,
        prompt: None,
        completion: completion.to_owned(),
        prompt_tokens: 1,
        completion_tokens: 1,
        truncated: false,
        stop_reason: Some("stop".to_owned()),
        columns: columns.to_owned(),
        metadata: None,
    }
}

/// What a reward with this configuration (JSON) gives to a completion.
///
/// # Panics
/// When the configuration or the rollout is refused.
pub fn give<R: Reward>(config: &str, completion: &str, columns: &str) -> Score {
    let config = crate::parse_config(config).unwrap_or_else(|error| panic!("{config}: {error}"));
    let reward = R::configure(&config).unwrap_or_else(|error| panic!("{config:?}: {error}"));
    let rollout = test_rollout(completion, columns);
    reward.score(&rollout).unwrap_or_else(|error| panic!("{completion}: {error}"))
}

/// Scores one case of a table.
fn score_case<R: Reward>(case: &Value, line: &str) -> Score {
    let config: Map<String, Value> = case["config"].as_object().cloned().unwrap_or_default();
    let reward = R::configure(&config).unwrap_or_else(|error| panic!("{line}: {error}"));
    let columns =
        if case["columns"].is_object() { case["columns"].to_string() } else { "{}".to_owned() };
    let mut rollout = test_rollout(case["completion"].as_str().unwrap_or_default(), &columns);
    rollout.prompt = case["prompt"].as_str().map(str::to_owned);
    rollout.truncated = case["truncated"] == true;
    rollout.completion_tokens = case["completion_tokens"]
        .as_u64()
        .map_or(1, |tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
    reward.score(&rollout).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Checks every case of a table, and that its rewards keep to the range and its parts to the names that the
/// plugin declares.
///
/// # Panics
/// At the first case that differs.
pub fn check_cases<R: Reward>(table: &str) {
    let info = R::info();
    let mut cases = 0;
    for line in table.lines() {
        let case: Value = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        let score = score_case::<R>(&case, line);
        assert_eq!(score.reward, case["reward"].as_f64(), "{line}");
        if case.get("info").is_some() {
            assert_eq!(score.info.as_deref(), case["info"].as_str(), "{line}");
        }
        let names: Vec<&str> = score.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, info.parts, "{line}");
        if let Some(parts) = case["parts"].as_object() {
            for part in &score.parts {
                assert_eq!(Some(part.value), parts[&part.name].as_f64(), "{}: {line}", part.name);
            }
        }
        if let Some(reward) = score.reward {
            assert!(reward >= info.min.unwrap_or(f64::NEG_INFINITY), "{line}");
            assert!(reward <= info.max.unwrap_or(f64::INFINITY), "{line}");
        }
        cases += 1;
    }
    assert!(cases > 0, "the table is empty");
}

/// Checks that the strict reading (`config`) pays less for each case of a recipe's table that is marked `hole`.
///
/// # Panics
/// When it does not, or when the table has no holes.
pub fn check_holes<R: Reward>(table: &str, config: &str) {
    let mut holes = 0;
    for line in table.lines() {
        let mut case: Value = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        if case["hole"] != true {
            continue;
        }
        case["config"] = config.parse().unwrap_or_else(|error| panic!("{config}: {error}"));
        let strict = score_case::<R>(&case, line).reward;
        assert!(strict < case["reward"].as_f64(), "{strict:?} for {line}");
        holes += 1;
    }
    assert!(holes > 0, "the table has no holes");
}

/// Runs [`adversarial`] completions through a reward.
///
/// # Panics
/// When one of them cannot be judged, or when a reward leaves the declared range.
pub fn check_adversarial<R: Reward>(config: &str, columns: &str) {
    let info = R::info();
    for text in adversarial() {
        let reward = give::<R>(config, &text, columns).reward.unwrap_or(0.0);
        assert!(reward.is_finite(), "{}", crate::text::shorten(&text, 40));
        assert!(reward >= info.min.unwrap_or(f64::NEG_INFINITY));
        assert!(reward <= info.max.unwrap_or(f64::INFINITY));
    }
}
