//! Countdown as two public recipes score it, holes included: to compare with their numbers, not to train on.
//!
//! Both accept decimals made of the given digits, `//`, `**` and signs.

use r1x_plugin::integer::Integer;

use crate::python::{self, Number, Refusal};
use crate::{Problem, Verdict};

const TOLERANCE: f64 = 1e-5;

/// Mini-R1: the first `<answer>...</answer>` that is on one line.
pub fn mini_r1(completion: &str, problem: &Problem) -> Verdict {
    match first_on_one_line(completion) {
        None => Verdict::unparsed("no <answer> and </answer> on one line"),
        Some(answer) => judge(answer.trim_matches(is_space), problem),
    }
}

/// TinyZero: the last answer of the last line; anything in its tags earns 0.1.
pub fn tiny_zero(completion: &str, problem: &Problem) -> (f64, Verdict) {
    let line = completion.rsplit('\n').next().unwrap_or_default();
    match last_answer(line) {
        None => (0.0, Verdict::unparsed("no answer in the last line")),
        Some(answer) => {
            let verdict = judge(answer.trim_matches(is_space), problem);
            (if verdict.right() { 1.0 } else { 0.1 }, verdict)
        }
    }
}

/// The answer whose tags have no line break between them and which starts first. An opening tag that meets a
/// line break is passed over; one inside an answer belongs to it.
fn first_on_one_line(text: &str) -> Option<&str> {
    // Tags hold no line break, so each line can be read on its own.
    text.split('\n').find_map(|line| {
        let (_, rest) = line.split_once("<answer>")?;
        rest.split_once("</answer>").map(|(answer, _)| answer)
    })
}

/// The last of the answers found from left to right.
fn last_answer(line: &str) -> Option<&str> {
    let (mut rest, mut last) = (line, None);
    while let Some((_, opened)) = rest.split_once("<answer>") {
        let Some((answer, after)) = opened.split_once("</answer>") else { break };
        (last, rest) = (Some(answer), after);
    }
    last
}

/// White space as Python's `str.strip` and `\s` know it: four separators more than Unicode's.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn judge(equation: &str, problem: &Problem) -> Verdict {
    if !uses_numbers(equation, &problem.nums) {
        return Verdict {
            parsed: true,
            ..Verdict::unparsed("the numbers in it are not those given")
        };
    }
    let wrong = |reason: &str| Verdict { numbers: true, parsed: true, ..Verdict::unparsed(reason) };
    // Digits of other scripts pass the originals' pattern and fail in their `eval`; here they fail at once.
    let allowed = |c: char| c.is_ascii_digit() || "+-*/().".contains(c) || is_space(c);
    if equation.is_empty() || !equation.chars().all(allowed) {
        return wrong("a character is not allowed");
    }
    match python::eval(equation).and_then(|value| hits(&value, problem.target)) {
        Ok(true) => Verdict { value_correct: true, ..wrong("gives the target") },
        Ok(false) => wrong("gives another value"),
        Err(refusal) => wrong(refusal),
    }
}

fn hits(value: &Number, target: i128) -> Result<bool, Refusal> {
    Ok((value.to_double()? - target as f64).abs() < TOLERANCE)
}

/// Whether the runs of digits are the given numbers, in any order: `3.5` is a 3 and a 5.
fn uses_numbers(equation: &str, given: &[i128]) -> bool {
    let runs = equation.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    let mut used: Vec<Integer> = Vec::new();
    for run in runs {
        match Integer::parse(run, 4300) {
            Some(number) if used.len() < given.len() => used.push(number),
            _ => return false,
        }
    }
    let mut given: Vec<Integer> = given.iter().map(|&number| Integer::from(number)).collect();
    used.sort();
    given.sort();
    used == given
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBLEM: fn() -> Problem = || Problem { nums: vec![3, 5, 2], target: 7 };

    #[test]
    fn the_known_holes_are_open() {
        for equation in ["3.5*2", "3*2+5//5", "3.5*2.", "5+3//2*2"] {
            let problem = match equation {
                "3*2+5//5" => Problem { nums: vec![3, 2, 5, 5], target: 7 },
                "5+3//2*2" => Problem { nums: vec![5, 3, 2, 2], target: 7 },
                _ => PROBLEM(),
            };
            let verdict = mini_r1(&format!("<answer>{equation}</answer>"), &problem);
            assert!(verdict.right(), "{equation}: {verdict:?}");
        }
    }

    #[test]
    fn which_answer_counts() {
        let first = |text: &str| first_on_one_line(text).map(str::to_owned);
        assert_eq!(first("<answer>1</answer><answer>2</answer>").as_deref(), Some("1"));
        assert_eq!(first("<answer>1\n</answer><answer>2</answer>").as_deref(), Some("2"));
        assert_eq!(first("<answer><answer>1</answer>").as_deref(), Some("<answer>1"));
        assert_eq!(first("<answer>1"), None);
        assert_eq!(last_answer("<answer>1</answer> <answer>2</answer>"), Some("2"));
        assert_eq!(tiny_zero("<answer>3.5*2</answer>\n", &PROBLEM()).0, 0.0);
        assert_eq!(tiny_zero("<answer>x</answer>", &PROBLEM()).0, 0.1);
        assert_eq!(tiny_zero("no\n<answer>3.5*2</answer>.", &PROBLEM()).0, 1.0);
    }
}
