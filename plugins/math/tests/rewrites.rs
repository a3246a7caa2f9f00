//! How well answers are told apart: rewrites of the answers of MATH-500, and each of them against itself.
//!
//! `docs/rewards.md` publishes the share that this test measures. A row that comes out wrong is marked
//! `"missed": true` in the table, and stays there until it comes out right.

use std::path::Path;

use math::{Answer, Math, same};
use r1x_plugin::testing::give;
use r1x_plugin::{Map, Reward, Value};

const TABLE: &str = include_str!("../rewrites.jsonl");

fn is_same(gold: &str, answer: &str) -> bool {
    let settings = Math::configure(&Map::new()).unwrap();
    same(&Answer::new(gold), &Answer::new(answer), settings.strictness())
}

#[test]
fn rewrites_are_told_apart() {
    let (mut rows, mut right, mut surprises) = (0, 0, Vec::new());
    for line in TABLE.lines() {
        let row: Value = line.parse().unwrap();
        let (gold, answer) = (row["gold"].as_str().unwrap(), row["answer"].as_str().unwrap());
        let verdict = is_same(gold, answer) == row["equal"].as_bool().unwrap();
        rows += 1;
        right += usize::from(verdict);
        if verdict == (row["missed"] == true) {
            surprises.push(line);
        }
    }
    println!("{right} of {rows} rewrites are judged right");
    assert!(rows >= 200);
    assert!(surprises.is_empty(), "not as marked:\n{}", surprises.join("\n"));
    let docs = include_str!("../../../docs/rewards.md");
    assert!(
        docs.contains(&format!("{right} of {rows} rewrites")),
        "docs/rewards.md must say {right} of {rows} rewrites"
    );
}

#[test]
#[ignore = "needs math500/math500_test_full.json"]
fn every_answer_of_math_500_equals_itself() {
    let folder = std::env::var_os("R1X_SHARED").expect("R1X_SHARED names a folder with data sets");
    let path = Path::new(&folder).join("data/math500/math500_test_full.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let Value::Array(problems) = text.parse().unwrap() else { panic!("a list of problems") };
    let mut understood = 0;
    for problem in &problems {
        let gold = problem["answer"].as_str().unwrap();
        let columns = Value::from(Map::from_iter([("answer".to_owned(), gold.into())])).to_string();
        let score = give::<Math>("{}", &format!("Thus it is $\\boxed{{{gold}}}$."), &columns);
        assert_eq!(score.reward, Some(1.0), "{gold}");
        // The worked solution boxes the same answer, in the words of its author.
        let solution = problem["solution"].as_str().unwrap();
        let reward = give::<Math>("{}", solution, &columns).reward;
        if reward != Some(1.0) {
            println!(
                "solution boxed differently: {gold} {:?}",
                r1x_plugin::text::last_boxed(solution)
            );
        }
        understood += usize::from(Answer::new(gold).is_mathematics());
        if !Answer::new(gold).is_mathematics() {
            println!("words: {gold}");
        }
    }
    println!("{understood} of {} answers are understood as mathematics", problems.len());
    assert_eq!((problems.len(), understood), (500, 492));
}
