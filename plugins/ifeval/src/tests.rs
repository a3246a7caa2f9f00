//! Every checker passes and fails as its rows in the table say; the public data set can be read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use r1x_plugin::testing::{check_adversarial, check_cases};

const CASES: &str = include_str!("../cases.jsonl");

#[test]
fn every_case_of_the_table() {
    check_cases::<IfEval>(CASES);
    let columns = r#"{"instruction_id_list":["keywords:letter_frequency","length_constraints:number_sentences",
        "language:response_language","detectable_format:number_highlighted_sections"],
        "kwargs":[{"letter":"a","let_relation":"at least","let_frequency":2},
        {"relation":"less than","num_sentences":3},{"language":"hi"},{"num_highlights":1}]}"#;
    check_adversarial::<IfEval>(r#"{"mode":"loose"}"#, columns);
}

#[test]
fn every_checker_has_a_row_that_passes_and_one_that_fails() {
    let (mut passed, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for line in CASES.lines() {
        let case: Value = line.parse().unwrap();
        let ids = case["columns"]["instruction_id_list"].as_array().unwrap();
        if let [id] = &ids[..] {
            let rows = if case["parts"]["prompt_strict"] == 1 { &mut passed } else { &mut failed };
            rows.insert(id.as_str().unwrap().to_owned());
        }
    }
    assert_eq!((passed.len(), failed.len()), (25, 25));
    assert_eq!(passed, failed);
}

#[test]
fn mistakes_are_named() {
    let reward = IfEval::configure(&Map::new()).unwrap();
    let score =
        |columns: String| reward.score(&r1x_plugin::test_rollout("x", &columns)).unwrap_err();
    let one = |id: &str, kwargs: &str| {
        format!(r#"{{"instruction_id_list":["{id}"],"kwargs":[{kwargs}]}}"#)
    };
    assert!(score("{}".to_owned()).contains("`instruction_id_list` is missing"));
    assert!(score(r#"{"instruction_id_list":["a"],"kwargs":[]}"#.to_owned()).contains("one each"));
    assert!(score(one("keywords:none", "{}")).contains("none of IFEval's 25"));
    assert!(score(one("keywords:existence", "{}")).contains("lacks its argument `keywords`"));
    assert!(
        score(one("length_constraints:number_words", r#"{"relation":"about","num_words":3}"#))
            .contains("\"about\"")
    );
    assert!(
        score(one("detectable_format:number_bullet_lists", r#"{"num_bullets":"3"}"#))
            .contains("a whole number")
    );
}

#[test]
#[ignore = "needs ifeval/input_data.jsonl"]
fn every_prompt_of_the_data_set_can_be_read() {
    let folder = std::env::var_os("R1X_SHARED").expect("R1X_SHARED names a folder with data sets");
    let path = PathBuf::from(folder).join("data/ifeval/input_data.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut ids = BTreeSet::new();
    for line in text.lines() {
        let row: Map<String, Value> = line.parse::<Value>().unwrap().as_object().unwrap().clone();
        let instructions =
            instruction::read(&row).unwrap_or_else(|error| panic!("{error}: {line}"));
        for (id, instruction) in instructions {
            assert!(!matches!(instruction, Instruction::Language(None)), "{line}");
            ids.insert(id);
        }
    }
    assert_eq!((text.lines().count(), ids.len()), (541, 25));
}
