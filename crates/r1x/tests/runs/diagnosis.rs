//! What runs say about themselves when they have ended.

use serde_json::json;

use super::bench::{Bench, text};

/// What a run of the small experiment with these changes said: the checks that found something.
fn found(bench: &Bench, sets: &[&str]) -> Vec<String> {
    let mut arguments = vec!["run", "small.yaml"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    let output = bench.output(&arguments);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    let events = bench.sql(
        "SELECT e.target, e.level, e.message FROM event e WHERE run_id = (SELECT max(run_id) FROM run) ORDER BY event_id",
    );
    let word = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
    for row in events.iter().filter(|row| row["level"] == "warn" && row["target"] != "check") {
        let message = word(row, "message");
        let beginning = message.split(';').next().unwrap();
        assert!(told.contains(beginning) || told.contains(&beginning[..40]), "{message}: {told}");
    }
    events.iter().map(|row| word(row, "target")).collect()
}

fn has(found: &[String], check: &str) -> bool {
    found.iter().any(|known| known == check)
}

/// Long enough for the form of an answer to be learnt.
const LONGER: [&str; 3] = [
    "stages.cold-start.sft.steps=200",
    "stages.cold-start.sft.lr=1e-2",
    "stages.rl.grpo.sampling.max_tokens=24",
];

#[test]
fn a_run_says_what_is_wrong_with_it_and_nothing_else() {
    let bench = Bench::new();
    let learnt = found(&bench, &LONGER);
    // The policy is the one that sampled, so its loss is near 0, and the run says that this is right, to whoever asks; the
    // task is too hard, so most groups earn the same.
    assert_eq!(learnt, ["no-signal", "loss-near-zero"]);
    let shown = bench.ok(&["show"]);
    assert!(shown.contains("and that is right") && shown.contains("are never solved"), "{shown}");
    // A reward that takes a thought to be closed, where prompts end with the mark that opens it, gives 0 for ever.
    let closed = [&LONGER[..], &["rewards.format.with={prefilled: false}"]].concat();
    assert!(has(&found(&bench, &closed), "reward-never"));
    let shown = bench.ok(&["show"]);
    assert!(shown.contains("`format` gave 0 to every completion"), "{shown}");
    let short = [&LONGER[..], &["stages.rl.grpo.sampling.max_tokens=4"]].concat();
    let short = found(&bench, &short);
    assert!(has(&short, "truncated"), "{short:?}");
    // Of a run that has ended everything is written down, and nothing is said twice.
    assert_eq!(bench.latest()["events"].as_array().unwrap().len(), short.len());
    // Of a run that was stopped, here because it was to be made again up to a step, it is said to whoever asks.
    bench.ok(&["reproduce", "latest", "--to", "20", "--stage", "rl"]);
    assert_eq!(bench.latest()["status"], "interrupted");
    let shown = bench.ok(&["show", "--wide"]);
    assert!(shown.contains("warn truncated: stage `rl`"), "{shown}");
    let recorded =
        "SELECT count(*) AS n FROM event WHERE run_id = :run_id AND target = 'truncated'";
    assert_eq!(bench.sql(recorded)[0]["n"], 0);
}

/// The small experiment with a suite of its own, whose problems are in a file with those of a stage.
const OVERLAPPING: &str = r#"
extends: small.yaml
data:
  more:
    jsonl: {path: more.jsonl, heldout: 0, columns: [question, nums, target, solution], solution: solution}
    prompt: "{{ question }} <think>"
  asked:
    jsonl: {path: asked.jsonl, heldout: 0, columns: [question, nums, target, solution], solution: solution}
    prompt: "{{ question }} <think>"
stages:
  - id: cold-start
    sft: {data: more.train, limit: null}
evals:
  - id: heldout
    data: asked.train
"#;

#[test]
fn problems_that_are_trained_on_and_evaluated_are_told_beforehand() {
    let bench = Bench::new();
    let row = |number: u32| {
        let (first, second) = (number / 9 + 1, number % 9 + 1);
        let target = first + second + 1;
        let question = format!("{first} {second} 1 -> {target}");
        let solution = format!("{first} + {second}");
        let row = json!({"question": question, "nums": [first, second, 1], "target": target, "solution": solution});
        format!("{row}\n")
    };
    let rows = |numbers: std::ops::Range<u32>| numbers.map(row).collect::<String>();
    std::fs::write(bench.path("overlapping.yaml"), OVERLAPPING).unwrap();
    std::fs::write(bench.path("more.jsonl"), rows(0..30)).unwrap();
    std::fs::write(bench.path("asked.jsonl"), rows(28..33)).unwrap();
    let said = |sets: &[&str]| {
        let output = bench.output(&[&["check", "overlapping.yaml"], sets].concat());
        let told = text(&output.stderr);
        assert!(output.status.success(), "{told}");
        told.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let told = said(&[]);
    let expected = "eval `heldout`: 2 of its 5 problems are trained on as well, by stage `cold-start` from `more`";
    assert!(
        told.contains(expected) && told.contains("the first is `4 2 1 -> 7 <think>`"),
        "{told}"
    );
    // What is left out of one of the two is in common no more.
    let rest = said(&["--set", "evals.heldout.skip=2"]);
    assert!(!rest.contains("from `more`"), "{rest}");
}
