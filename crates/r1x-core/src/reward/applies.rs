//! Whether a reward judges a problem: by its data set, by what a column holds.
//!
//! Columns are JSON text; only lists are looked into.

use crate::plan::{ColumnPlan, RewardPlan};
use crate::problem::Problem;

/// Whether the reward judges the problem. A problem without the column is not judged.
pub fn applies(reward: &RewardPlan, problem: &Problem) -> bool {
    let Some(applies) = &reward.shaping.applies else { return true };
    let from = applies.data.as_ref().is_none_or(|data| data.contains(&problem.data));
    from && applies.column.as_ref().is_none_or(|column| holds(column, problem))
}

fn holds(wanted: &ColumnPlan, problem: &Problem) -> bool {
    let Some(found) = problem.columns.get(&wanted.name) else { return false };
    let found = found.trim();
    let is_wanted = |text: &str| wanted.values.iter().any(|value| value == text);
    match found.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(entries) => entries_of(entries).into_iter().any(is_wanted),
        None => is_wanted(found),
    }
}

/// The entries of a JSON list without its brackets: commas inside texts and inside inner lists and objects
/// separate nothing.
fn entries_of(list: &str) -> Vec<&str> {
    let (mut entries, mut start) = (Vec::new(), 0);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                entries.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    entries.push(list[start..].trim());
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{AppliesPlan, ShapingPlan};
    use crate::problem::PromptForm;
    use crate::testing;

    fn problem(data: &str, kind: Option<&str>) -> Problem {
        Problem {
            data: data.to_owned(),
            key: String::new(),
            prompt: String::new(),
            form: PromptForm::Text,
            solution: None,
            solution_tokens: None,
            rejected: None,
            answer: None,
            columns: kind.map(|kind| ("kind".to_owned(), kind.to_owned())).into_iter().collect(),
        }
    }

    fn judges(data: Option<&[&str]>, values: Option<&[&str]>, problem: &Problem) -> bool {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let column = values.map(|values| ColumnPlan { name: "kind".into(), values: owned(values) });
        let applies = Some(AppliesPlan { data: data.map(owned), column });
        let reward = RewardPlan {
            shaping: ShapingPlan { applies, ..Default::default() },
            ..testing::reward("a")
        };
        super::applies(&reward, problem)
    }

    #[test]
    fn without_conditions_every_problem_is_judged() {
        assert!(applies(&testing::reward("a"), &problem("x", None)));
    }

    #[test]
    fn every_condition_must_hold() {
        let math = problem("algebra", Some(r#""math""#));
        let bare = problem("algebra", None);
        assert!(judges(Some(&["chat", "algebra"]), None, &math));
        assert!(!judges(Some(&["chat"]), None, &math));
        assert!(judges(None, Some(&[r#""math""#]), &math));
        assert!(judges(Some(&["algebra"]), Some(&[r#""math""#]), &math));
        assert!(!judges(Some(&["chat"]), Some(&[r#""math""#]), &math));
        assert!(!judges(Some(&["algebra"]), Some(&[r#""chat""#]), &math));
        assert!(!judges(None, Some(&[r#""math""#]), &bare), "no such column");
    }

    #[test]
    fn values_are_compared_whole_and_lists_by_entry() {
        let is =
            |found: &str, wanted: &str| judges(None, Some(&[wanted]), &problem("d", Some(found)));
        assert!(is("3", "3") && !is("30", "3") && !is(r#""3""#, "3"));
        assert!(!is(r#""mathematics""#, r#""math""#));
        assert!(is(r#"["hard", "math"]"#, r#""math""#));
        assert!(is(r#"["a,b",{"x":[1,"math"]},true]"#, "true"));
        assert!(!is(r#"["a,b",{"x":[1,"math"]}]"#, r#""math""#), "only entries of the list itself");
        assert!(!is(r#"["x\"math"]"#, r#""math""#));
        assert!(is(r#"["x\\","math"]"#, r#""math""#));
        assert!(!is("[]", r#""math""#));
    }
}
