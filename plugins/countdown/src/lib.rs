//! Reward `countdown`: 1 when the answer is an expression that uses every given number once and hits the
//! target exactly, else 0. With `compat` it scores as a public recipe does, holes included.
//!
//! Only the text between the tags of the answer counts; what stands before them is thinking, and is not judged.

pub mod compat;
pub mod expression;
pub mod python;

use expression::Expression;
use r1x_plugin::rational::Rational;
use r1x_plugin::settings::{Key, Kind, Settings, schema};
use r1x_plugin::text::only_between;
use r1x_plugin::{Map, Needs, PluginInfo, Reward, Rollout, Score, Value};

const KEYS: &[Key] = &[Key {
    name: "compat",
    kind: Kind::Choice(&["none", "mini-r1", "tinyzero"]),
    default: "\"none\"",
    about: "Score as this public recipe does, its holes included.",
}];

/// The configured reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Countdown {
    /// Exact, and closed to tricks.
    Strict,
    /// As Mini-R1 scores its equations.
    MiniR1,
    /// As TinyZero scores.
    TinyZero,
}

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

impl Verdict {
    /// Nothing is right.
    fn unparsed(reason: impl Into<String>) -> Self {
        Self { parsed: false, numbers: false, value_correct: false, reason: reason.into() }
    }

    /// Everything is right.
    pub fn right(&self) -> bool {
        self.parsed && self.numbers && self.value_correct
    }
}

/// Judges a completion strictly.
pub fn judge(completion: &str, problem: &Problem) -> Verdict {
    let answer = only_between(completion, "<answer>", "</answer>");
    let expression = match answer.and_then(expression::parse) {
        Ok(expression) => expression,
        Err(reason) => return Verdict::unparsed(reason),
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
        Ok(ref value) if *value == Rational::from(target) => Ok(()),
        Ok(ref value) => Err(format!("gives {value}, not {target}")),
        Err(reason) => Err(reason.to_owned()),
    }
}

fn check_numbers(expression: &Expression, given: &[i128]) -> Result<(), String> {
    let count = |numbers: &[i128], wanted: i128| numbers.iter().filter(|&&n| n == wanted).count();
    let used = &expression.numbers;
    let first = |numbers: &[i128], at: usize| !numbers[..at].contains(&numbers[at]);
    let ours = (0..used.len()).filter(|&at| first(used, at)).map(|at| used[at]);
    let missing = (0..given.len()).filter(|&at| first(given, at)).map(|at| given[at]);
    let missing = missing.filter(|number| !used.contains(number));
    let mut wrong: Vec<String> = Vec::new();
    for number in ours.chain(missing) {
        match (count(used, number), count(given, number)) {
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
        let value = r1x_plugin::text::shorten(&value.to_string(), 40);
        format!("column `{column}`: {value} is not a whole number")
    })
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
            config_schema: Some(schema(KEYS)),
        }
    }

    fn configure(config: &Map<String, Value>) -> Result<Self, String> {
        Ok(match Settings::read(config, KEYS)?.text("compat") {
            "mini-r1" => Self::MiniR1,
            "tinyzero" => Self::TinyZero,
            _ => Self::Strict,
        })
    }

    fn score(&self, rollout: &Rollout) -> Result<Score, String> {
        let problem = read_problem(rollout)?;
        let whole = |verdict: Verdict| (f64::from(verdict.right()), verdict);
        let (reward, mut verdict) = match self {
            Self::Strict => whole(judge(&rollout.completion, &problem)),
            Self::MiniR1 => whole(compat::mini_r1(&rollout.completion, &problem)),
            Self::TinyZero => compat::tiny_zero(&rollout.completion, &problem),
        };
        if !verdict.parsed && rollout.truncated {
            verdict.reason.push_str(" (cut at the token limit)");
        }
        Ok(Score::new(reward, verdict.reason)
            .part("parsed", verdict.parsed)
            .part("numbers", verdict.numbers)
            .part("value_correct", verdict.value_correct))
    }
}

r1x_plugin::export_reward!(Countdown);

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_plugin::testing::{check_adversarial, check_cases, check_holes};

    /// The cases are shared with the tests of the host, which run them through the component.
    const CASES: &str = include_str!("../cases.jsonl");

    #[test]
    fn every_case_of_the_table() {
        check_cases::<Countdown>(CASES);
        for compat in ["none", "mini-r1", "tinyzero"] {
            let config = format!(r#"{{"compat":"{compat}"}}"#);
            check_adversarial::<Countdown>(&config, r#"{"nums":[1,9],"target":9}"#);
        }
    }

    #[test]
    fn the_recipe_is_met_row_by_row_and_its_holes_can_be_closed() {
        let table = include_str!("../compat/table.jsonl");
        assert!(table.lines().count() >= 200);
        check_cases::<Countdown>(table);
        check_holes::<Countdown>(table, "{}");
    }

    #[test]
    fn columns_of_another_type_cannot_be_judged() {
        let score = |columns: &str| {
            Countdown::Strict
                .score(&r1x_plugin::test_rollout("<answer>1</answer>", columns))
                .unwrap_err()
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
        let score = Countdown::Strict.score(&rollout).unwrap();
        assert_eq!(score.info.as_deref(), Some("no </answer> (cut at the token limit)"));
    }

    #[test]
    fn configuration_is_strict() {
        let read = |text: &str| Countdown::configure(&r1x_plugin::parse_config(text).unwrap());
        assert!(read(r#"{"weight":2}"#).unwrap_err().contains("`weight`"));
        assert!(read(r#"{"compat":"mini"}"#).unwrap_err().contains("mini-r1"));
        assert_eq!(read("{}"), Ok(Countdown::Strict));
        assert_eq!(read(r#"{"compat":"tinyzero"}"#), Ok(Countdown::TinyZero));
    }
}
