//! Every answer equals itself, whether or not it can be read, and no two of a zoo of different ones are taken for
//! equal.

use math::{Answer, Math, same};
use r1x_plugin::{Map, Reward, Value};

/// Answers that all differ, one a line.
const ZOO: &str = include_str!("zoo.txt");

#[test]
fn answers_equal_themselves_and_nothing_else() {
    let strictness = Math::configure(&Map::new()).unwrap().strictness();
    let answers: Vec<(&str, Answer)> = ZOO.lines().map(|line| (line, Answer::new(line))).collect();
    assert!(answers.len() > 200);
    let mut wrong = Vec::new();
    for (text, answer) in &answers {
        for (other, given) in &answers {
            if same(answer, given, strictness) != (text == other) {
                wrong.push(format!("{text}  {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "needs math_extra/math_train_rllm.json"]
fn every_answer_of_the_training_set_equals_itself() {
    let folder = std::env::var_os("R1X_SHARED").expect("R1X_SHARED names a folder with data sets");
    let path = std::path::Path::new(&folder).join("data/math_extra/math_train_rllm.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let strictness = Math::configure(&Map::new()).unwrap().strictness();
    let Value::Array(problems) = text.parse().unwrap() else { panic!("a list of problems") };
    for problem in &problems {
        let answer = problem["answer"].as_str().unwrap_or_default();
        let read = Answer::new(answer);
        assert!(answer.is_empty() || same(&read, &read, strictness), "{answer}");
    }
    println!("{} answers equal themselves", problems.len());
}
