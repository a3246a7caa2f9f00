//! The reward beside Math-Verify 0.9: what both say of the answers of MATH-500 and their rewrites.
//!
//! `compat/table.jsonl` has the pairs with what is right and what Math-Verify says on CPython, made by
//! `compat/make.py`; `compat/differences.jsonl` names the pairs on which the two differ, who is right and why.

use std::collections::BTreeMap;

use math::Math;
use r1x_plugin::testing::give;
use r1x_plugin::{Map, Value};

const TABLE: &str = include_str!("../compat/table.jsonl");
const DIFFERENCES: &str = include_str!("../compat/differences.jsonl");

fn rows(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| line.parse().unwrap_or_else(|error| panic!("{line}: {error}")))
}

#[test]
fn the_reward_differs_from_math_verify_where_the_list_says_so() {
    let mut differences: BTreeMap<String, Value> =
        rows(DIFFERENCES).map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect();
    let listed = differences.len();
    let (mut count, mut right) = (0, 0);
    for row in rows(TABLE) {
        let answer = row["answer"].as_str().unwrap();
        let columns =
            Value::from(Map::from_iter([("answer".to_owned(), answer.into())])).to_string();
        let score = give::<Math>("{}", row["completion"].as_str().unwrap(), &columns);
        let ours = score.reward == Some(1.0);
        let theirs = row["math_verify"].as_bool().unwrap();
        let truth = row["equal"].as_bool().unwrap();
        count += 1;
        right += usize::from(ours == truth);
        let listed = differences.remove(row["name"].as_str().unwrap());
        match &listed {
            Some(difference) => {
                assert_ne!(ours, theirs, "listed as a difference: {row}");
                let who = if ours == truth { "math" } else { "math_verify" };
                assert_eq!(difference["right"], who, "{row}");
                assert_eq!(difference["math_verify"], theirs, "{row}");
            }
            None => assert_eq!(ours, theirs, "not listed as a difference: {row}"),
        }
    }
    assert!(differences.is_empty(), "no row of the table: {differences:?}");
    println!("{listed} of {count} verdicts differ, math is right on {right}");
    let docs = include_str!("../../../docs/rewards.md");
    let sentence = format!("differ on {listed} of the {count} pairs");
    assert!(docs.contains(&sentence), "docs/rewards.md must say: {sentence}");
}
