//! Reward `countdown`: 1 when the answer is an expression that uses every given number once and hits the
//! target exactly, else 0.
//!
//! Must not know how problems are made, nor the form of the completion outside the answer's tags.

pub mod expression;
pub mod rational;

use expression::Expression;
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};
use rational::Rational;

const ANSWER: &str = "<answer>";
const ANSWER_END: &str = "</answer>";

/// The reward; it takes no configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countdown;

/// What a problem asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The given numbers; a number given twice is there twice.
    pub nums: Vec<i128>,
    /// What the expression must be worth.
    pub target: i128,
}

/// What is right about a completion, and the first thing that is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// There is exactly one answer, and it is an expression.
    pub parsed: bool,
    /// It uses every given number exactly once and no other.
    pub numbers: bool,
    /// Its value is the target.
    pub value_correct: bool,
    /// A few words on why.
    pub reason: String,
}

/// The text of the only answer in a completion.
pub fn answer(completion: &str) -> Result<&str, &'static str> {
    let mut opened = completion.split(ANSWER).skip(1);
    let Some(rest) = opened.next() else {
        return Err("no <answer>");
    };
    if opened.next().is_some() {
        return Err("more than one <answer>");
    }
    match rest.split_once(ANSWER_END) {
        None => Err("no </answer>"),
        Some((_, after)) if after.contains(ANSWER_END) => Err("more than one </answer>"),
        Some((answer, _)) => Ok(answer),
    }
}

/// Judges a completion.
pub fn judge(completion: &str, problem: &Problem) -> Verdict {
    let parsed = answer(completion).map_err(str::to_owned).and_then(expression::parse);
    let expression = match parsed {
        Ok(expression) => expression,
        Err(reason) => {
            return Verdict { parsed: false, numbers: false, value_correct: false, reason };
        }
    };
    let numbers = check_numbers(&expression, &problem.nums);
    let value = check_value(&expression, problem.target);
    Verdict {
        parsed: true,
        numbers: numbers.is_ok(),
        value_correct: value.is_ok(),
        reason: numbers.and(value).err().unwrap_or_else(|| format!("gives {}", problem.target)),
    }
}

fn check_value(expression: &Expression, target: i128) -> Result<(), String> {
    match expression.value {
        Ok(value) if value == Rational::integer(target) => Ok(()),
        Ok(value) => Err(format!("gives {value}, not {target}")),
        Err(reason) => Err(reason.to_owned()),
    }
}

fn check_numbers(expression: &Expression, given: &[i128]) -> Result<(), String> {
    let count = |numbers: &[i128], wanted: i128| numbers.iter().filter(|&&n| n == wanted).count();
    let mut wrong: Vec<String> = Vec::new();
    let mut seen: Vec<i128> = Vec::new();
    for &number in expression.numbers.iter().chain(given) {
        if seen.contains(&number) {
            continue;
        }
        seen.push(number);
        match (count(&expression.numbers, number), count(given, number)) {
            (used, given) if used == given => {}
            (_, 0) => wrong.push(format!("{number} is not given")),
            (0, _) => wrong.push(format!("does not use {number}")),
            (used, _) => wrong.push(format!("uses {number} {}", times(used))),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(summary(&wrong)) }
}

/// The first few findings, and how many more there are.
fn summary(findings: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = findings[..findings.len().min(SHOWN)].join(", ");
    match findings.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

/// Reads the columns `nums` and `target`.
fn read_problem(rollout: &Rollout) -> Result<Problem, String> {
    let columns = r1x_plugin::parse_columns(rollout)?;
    let column = |name: &str| columns.get(name).ok_or(format!("column `{name}` is missing"));
    let Value::Array(items) = column("nums")? else {
        return Err("column `nums` must be a list of whole numbers".to_owned());
    };
    let nums = items.iter().map(|item| integer(item, "nums")).collect::<Result<_, _>>()?;
    Ok(Problem { nums, target: integer(column("target")?, "target")? })
}

fn integer(value: &Value, column: &str) -> Result<i128, String> {
    value.as_i64().map(i128::from).ok_or_else(|| {
        format!("column `{column}`: {} is not a whole number", shorten(&value.to_string()))
    })
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Reward for Countdown {
    fn info() -> PluginInfo {
        PluginInfo {
            name: "countdown".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description:
                "1 when the answer uses every given number once and hits the target, else 0"
                    .to_owned(),
            needs: Needs::empty(),
            columns: vec!["nums".to_owned(), "target".to_owned()],
            optional_columns: Vec::new(),
            parts: ["parsed", "numbers", "value_correct"].map(str::to_owned).to_vec(),
            min: Some(0.0),
            max: Some(1.0),
            config_schema: Some(r#"{"type":"object","additionalProperties":false}"#.to_owned()),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        r1x_plugin::refuse_unknown_keys(config, &[])?;
        Ok(Self)
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let problem = read_problem(rollout)?;
        let mut verdict = judge(&rollout.completion, &problem);
        if !verdict.parsed && rollout.truncated {
            verdict.reason.push_str(" (cut at the token limit)");
        }
        let right = verdict.parsed && verdict.numbers && verdict.value_correct;
        Ok(Score::new(f64::from(right), verdict.reason)
            .part("parsed", verdict.parsed)
            .part("numbers", verdict.numbers)
            .part("value_correct", verdict.value_correct))
    }
}

r1x_plugin::export_reward!(Countdown);

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases are shared with the tests of the host, which run them through the component.
    const CASES: &str = include_str!("../cases.jsonl");

    #[test]
    fn every_case_of_the_table() {
        for line in CASES.lines() {
            let case: Value = line.parse().unwrap();
            let completion = case["completion"].as_str().unwrap();
            let rollout = r1x_plugin::test_rollout(completion, &case["columns"].to_string());
            let score = Countdown.score(&rollout).unwrap();
            assert_eq!(score.reward, case["reward"].as_f64(), "{line}");
            assert_eq!(score.info.as_deref(), case["info"].as_str(), "{line}");
            for part in &score.parts {
                assert_eq!(Some(part.value), case["parts"][&part.name].as_f64(), "{line}");
            }
        }
    }

    #[test]
    fn columns_of_another_type_cannot_be_judged() {
        let score = |columns: &str| {
            Countdown.score(&r1x_plugin::test_rollout("<answer>1</answer>", columns)).unwrap_err()
        };
        assert!(score(r#"{"nums":[1]}"#).contains("`target` is missing"));
        assert!(score(r#"{"nums":1,"target":1}"#).contains("`nums` must be a list"));
        assert!(score(r#"{"nums":[1.5],"target":1}"#).contains("1.5 is not a whole number"));
        assert!(score(r#"{"nums":[1],"target":"1"}"#).contains("\"1\" is not a whole number"));
    }

    #[test]
    fn truncation_is_told() {
        let mut rollout = r1x_plugin::test_rollout("<answer> 1 +", r#"{"nums":[1,2],"target":3}"#);
        rollout.truncated = true;
        let score = Countdown.score(&rollout).unwrap();
        assert_eq!(score.info.as_deref(), Some("no </answer> (cut at the token limit)"));
    }

    #[test]
    fn configuration_is_empty() {
        let config = r1x_plugin::parse_config(r#"{"weight":2}"#).unwrap();
        assert!(Countdown::configure(&config).unwrap_err().contains("`weight`"));
        assert!(Countdown::configure(&Map::new()).is_ok());
    }
}
