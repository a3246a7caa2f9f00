//! What runs say about themselves when they have ended.

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

#[test]
fn a_run_says_what_is_wrong_with_it_and_nothing_else() {
    let bench = Bench::new();
    // Rewards take a thought to be open that the completion has to open: format is 0 for ever, as prompts of the small
    // experiment end with the mark.
    let closed = "rewards.format.with={prefilled: false}";
    let found_closed = found(&bench, &[closed]);
    assert!(has(&found_closed, "reward-never"), "{found_closed:?}");
    let shown = bench.ok(&["show"]);
    assert!(shown.contains("gave 0 to every completion"), "{shown}");
    let open = found(&bench, &[]);
    assert!(!has(&open, "reward-never"), "{open:?}");
    // The policy is the one that sampled, so its loss is near 0, and the run says that this is right, to whoever asks.
    assert!(has(&open, "loss-near-zero"), "{open:?}");
    let short = found(&bench, &["stages.rl.grpo.sampling.max_tokens=2"]);
    assert!(has(&short, "truncated") && has(&short, "no-signal"), "{short:?}");
    assert!(!has(&open, "truncated"), "{open:?}");
    // Of a run that has ended everything is written down, and nothing is said twice.
    assert_eq!(bench.latest()["events"].as_array().unwrap().len(), short.len());
    let stopped =
        bench.interrupted(&["stages.rl.grpo.steps=4000", "stages.rl.grpo.sampling.max_tokens=2"]);
    assert!(!stopped.contains("were cut off"), "{stopped}");
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
    sft: {data: [sums.train, more.train]}
evals:
  - id: heldout
    data: asked.train
"#;

#[test]
fn problems_that_are_trained_on_and_evaluated_are_told_beforehand() {
    let bench = Bench::new();
    let row = |number: u32| {
        format!(
            "{{\"question\": \"{number} 1 1 -> {}\", \"nums\": [{number}, 1, 1], \"target\": {}, \"solution\": \"{number} + 1\"}}\n",
            number + 2,
            number + 2
        )
    };
    let rows = |numbers: std::ops::Range<u32>| numbers.map(row).collect::<String>();
    std::fs::write(bench.path("overlapping.yaml"), OVERLAPPING).unwrap();
    std::fs::write(bench.path("more.jsonl"), rows(1..6)).unwrap();
    std::fs::write(bench.path("asked.jsonl"), rows(4..9)).unwrap();
    let said = |sets: &[&str]| {
        let output = bench.output(&[&["check", "overlapping.yaml"], sets].concat());
        let told = text(&output.stderr);
        assert!(output.status.success(), "{told}");
        told.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let told = said(&[]);
    let expected = "eval `heldout`: 2 of its 5 problems are trained on as well, by stage `cold-start` from `more`";
    assert!(told.contains(expected), "{told}");
    // What is left out of one of the two is in common no more.
    let rest = said(&["--set", "evals.heldout.skip=2"]);
    assert!(!rest.contains("trained on as well"), "{rest}");
}
