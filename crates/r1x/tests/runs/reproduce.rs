//! Runs that are made again: equal to the last bit, or told apart by the first thing that differs.

use serde_json::Value;

use super::bench::{Bench, HARVEST, JUDGED, TAUGHT, TURNS, text};

/// An experiment with pairs, which begins as the judged one does.
const PAIRS: &str = r"
extends: judged.yaml
name: pairs
stages:
  - id: judge
    reward_model: {steps: 2}
  - id: rl
    grpo: {steps: 2}
  - id: prefer
    dpo: {data: requests.train, steps: 4, batch_size: 8, micro_batch_size: 4, lr: 1e-3}
";

pub fn name(bench: &Bench) -> String {
    bench.latest()["name"].as_str().unwrap().to_owned()
}

/// Every step of a run, evaluation and end of a stage, as the store counts them.
fn facts(bench: &Bench, run: &str) -> [u64; 3] {
    let count = |what: &str| {
        let sql = format!("SELECT count(*) AS n FROM {what}");
        bench.sql(&sql)[0]["n"].as_u64().unwrap()
    };
    [
        count(&format!("v_steps WHERE run = '{run}'")),
        count(&format!("(SELECT DISTINCT stage, step, suite FROM v_evals WHERE run = '{run}')")),
        count(&format!("v_checkpoints WHERE run = '{run}'")),
    ]
}

/// Makes a run again that was made to its end, and returns what was said of it.
fn matches(bench: &Bench, run: &str, arguments: &[&str]) -> Value {
    let was = bench.json(&["show", run, "--json"]);
    let mut command = vec!["reproduce", run, "--json"];
    command.extend(arguments);
    let output = bench.output(&command);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &again["reproduction"];
    assert_eq!((&found["matches"], &found["complete"]), (&true.into(), &true.into()), "{found}");
    assert_eq!((&found["of"], &found["missing"]), (&was["name"], &0.into()));
    assert_eq!(again["digest"], was["digest"]);
    let [steps, evaluations, checkpoints] = facts(bench, run);
    assert_eq!((&found["steps"], &found["evaluations"]), (&steps.into(), &evaluations.into()));
    assert!(found["weights"].as_u64().unwrap() >= checkpoints, "{found}");
    let card = bench.json(&["show", again["run"].as_str().unwrap(), "--json"]);
    assert_eq!((&card["parent"], &card["relation"]), (&was["name"], &"reproduce".into()));
    assert_eq!(card["plan_sha256"], was["plan_sha256"]);
    again
}

#[test]
fn a_run_is_made_again_to_its_last_bit_from_another_folder_and_with_other_threads() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "rewards.format.weight=0.2", "--threads", "2"]);
    let run = name(&bench);
    let found = matches(&bench, &run, &["--threads", "1"]);
    let changed = found["reproduction"]["environment"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0], serde_json::json!({"name": "threads", "was": "2", "is": "1"}));

    // Without the spec, and from below; the verdict is for people now.
    std::fs::remove_file(bench.path("small.yaml")).unwrap();
    std::fs::create_dir(bench.path("below")).unwrap();
    let output = bench.command("below", &["reproduce", &run, "--threads", "2"]).output().unwrap();
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains(&format!("the environment is that of {run}")), "{told}");
    let verdict = format!("bitwise match through step 39 of stage `rl` of {run}");
    assert!(said.contains(&verdict), "{said}");
    assert!(said.contains("  52 steps, 4 evaluations and "), "{said}");
    let shown = bench.ok(&["show"]);
    assert!(shown.contains(&format!("reproduce of {run}")), "{shown}");
}

#[test]
fn stages_of_every_kind_are_made_again() {
    for (bench, spec) in [
        (Bench::with_harvest(), HARVEST),
        (Bench::with_turns(), TURNS),
        (Bench::with_taught(), TAUGHT),
        (Bench::with_judged(), JUDGED),
        (Bench::with_judged(), "pairs.yaml"),
    ] {
        std::fs::write(bench.path("pairs.yaml"), PAIRS).unwrap();
        bench.ok(&["run", spec]);
        matches(&bench, &name(&bench), &[]);
    }
}

#[test]
fn a_gate_that_was_missed_is_missed_again() {
    let bench = Bench::new();
    bench.fails(5, &["run", "small.yaml", "--set", "evals.heldout.gate={pass@1: 1.0}"]);
    let again = matches(&bench, &name(&bench), &[]);
    assert_eq!(again["status"], "gate missed");
}

#[test]
fn a_run_that_was_interrupted_is_made_again_as_far_as_it_came_and_then_to_its_end() {
    let bench = Bench::new();
    bench.interrupted(&["checkpoints.every=null"]);
    let run = name(&bench);
    let last = bench.sql("SELECT max(step) AS step FROM v_steps WHERE stage = 'rl'");
    let last = last[0]["step"].as_u64().unwrap();
    assert!(last < 39, "it was interrupted");
    let again = bench.json(&["reproduce", &run, "--json"]);
    let found = &again["reproduction"];
    assert_eq!((&again["status"], &found["complete"]), (&"interrupted".into(), &true.into()));
    assert_eq!(found["through"], serde_json::json!({"stage": "rl", "step": last}));
    bench.ok(&["resume", &run]);
    matches(&bench, &run, &[]);
}

#[test]
fn a_step_says_how_far() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let run = name(&bench);
    let said = bench.ok(&["reproduce", &run, "--to", "7"]);
    assert!(
        said.contains(&format!("bitwise match through step 7 of stage `rl` of {run}")),
        "{said}"
    );
    let said = bench.ok(&["reproduce", &run, "--to", "7", "--stage", "cold-start"]);
    assert!(said.contains("bitwise match through step 7 of stage `cold-start`"), "{said}");
    let card = bench.latest();
    assert_eq!((&card["status"], &card["steps"]), (&"interrupted".into(), &8.into()));
    let told = bench.fails(4, &["reproduce", &run, "--to", "40"]);
    assert!(told.contains("`rl` has steps 0 to 39"), "{told}");
    bench.fails(2, &["reproduce", &run, "--stage", "rl"]);
    bench.fails(4, &["reproduce", "nobody"]);
}

/// Changes every place in the store's file that has these bytes: rows that SQLite has moved leave their bytes behind.
/// What the log of a run that has ended has is in the file.
pub fn patch(bench: &Bench, was: &[u8], is: &[u8]) {
    let path = bench.path("runs/r1x.sqlite");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(bench.path(&format!("runs/r1x.sqlite{suffix}")));
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let found: Vec<usize> =
        (0..=bytes.len() - was.len()).filter(|&at| bytes[at..].starts_with(was)).collect();
    assert!(!found.is_empty(), "the bytes are not there");
    found.into_iter().for_each(|at| bytes[at..at + is.len()].copy_from_slice(is));
    std::fs::write(&path, bytes).unwrap();
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// One cell of the store, as bytes.
pub fn cell(bench: &Bench, sql: &str) -> Vec<u8> {
    unhex(bench.sql(sql)[0]["x"].as_str().unwrap())
}

#[test]
fn one_bit_that_is_changed_in_the_store_is_the_first_difference() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let run = name(&bench);
    let place = "v_rollouts JOIN rollout_payload USING (rollout_id) WHERE stage = 'rl' AND step = 3 AND grp = 2 \
                 AND sample = 1";
    let differs = |expected: Value, words: &str| {
        let output = bench.output(&["reproduce", &run, "--json"]);
        assert_eq!(output.status.code(), Some(9), "{words}: {}", text(&output.stderr));
        let again: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = &again["reproduction"]["difference"];
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&found[key], value, "{words}: {found}");
        }
        let card = bench.latest();
        assert_eq!((&card["status"], &card["exit_code"]), (&"differs".into(), &9.into()));
        let error = card["error"].as_str().unwrap();
        assert!(error.starts_with(&format!("first difference from {run}: ")), "{error}");
        assert!(error.contains(words), "{error}");
        again
    };
    // A log-prob, and with it no other number of the step.
    let logprobs = cell(&bench, &format!("SELECT hex(logp) AS x FROM {place}"));
    let mut changed = logprobs.clone();
    changed[4] ^= 1;
    patch(&bench, &logprobs, &changed);
    let value = |bytes: &[u8]| {
        format!("{:?}", f32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]))
    };
    let again = differs(
        serde_json::json!({
            "stage": "rl", "step": 3, "suite": null, "group": 2, "sample": 1, "token": 1,
            "quantity": "the log-prob", "was": value(&changed), "is": value(&logprobs),
        }),
        "step 3 of stage `rl`, rollout 2.1, token 1: the log-prob was ",
    );
    assert_eq!(
        again["reproduction"]["through"],
        serde_json::json!({"stage": "rl", "step": 2}),
        "the steps before it are equal"
    );
    // Steps after the difference are not made for nothing.
    let steps =
        bench.sql("SELECT max(step) AS step FROM v_steps WHERE run = :run AND stage = 'rl'");
    assert!(steps[0]["step"].as_u64().unwrap() <= 4, "{steps:?}");
}

#[test]
fn a_token_or_a_metric_that_is_changed_in_the_store_is_the_first_difference() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let run = name(&bench);
    let first = || {
        let told = bench.output(&["reproduce", &run]);
        assert_eq!(told.status.code(), Some(9), "{}", text(&told.stderr));
        text(&told.stdout).lines().find(|line| line.starts_with("first ")).unwrap().to_owned()
    };
    let sql =
        "SELECT value FROM v_metrics WHERE stage = 'cold-start' AND metric = 'loss' AND step = 5";
    let loss = bench.sql(sql)[0]["value"].as_f64().unwrap();
    let changed = f64::from_bits(loss.to_bits() ^ 1);
    patch(&bench, &loss.to_be_bytes(), &changed.to_be_bytes());
    let expected = format!(
        "first difference from {run}: step 5 of stage `cold-start`: the metric `loss` was {changed:?}, is {loss:?}"
    );
    assert_eq!(first(), expected);
    patch(&bench, &changed.to_be_bytes(), &loss.to_be_bytes());

    let place = format!(
        "v_rollouts JOIN rollout_payload USING (rollout_id) WHERE run = '{run}' AND stage = 'rl' AND n_tokens > 8 \
                 ORDER BY step DESC LIMIT 1"
    );
    let sql = format!("SELECT hex(token_ids) || hex(logp) AS x, step, grp, sample FROM {place}");
    let row = bench.sql(&sql).remove(0);
    // A row of the store has the log-probs behind the tokens, which makes the bytes those of one place.
    let both = unhex(row["x"].as_str().unwrap());
    let mut changed = both.clone();
    changed[4 * 5] ^= 1;
    patch(&bench, &both, &changed);
    let expected = format!(
        "first difference from {run}: step {} of stage `rl`, rollout {}.{}, token 5: the token was {}, is {}",
        row["step"],
        row["grp"],
        row["sample"],
        changed[4 * 5],
        both[4 * 5]
    );
    assert_eq!(first(), expected);
}

/// Other kernels add up in another order: that is said before the run, and the difference that follows is found.
#[test]
fn another_environment_is_told_first() {
    let bench = Bench::new();
    let with_kernels = |level: &str, arguments: &[&str]| {
        bench.command("", arguments).env("R1X_KERNELS", level).output().unwrap()
    };
    // In bf16 sums this short have few roundings, and may be equal by chance.
    bench.ok(&["run", "small.yaml", "--set", "model.precision=f32"]);
    let kernels = bench.latest()["environment"]["kernels"].as_str().unwrap().to_owned();
    if kernels == "portable" {
        return;
    }
    let run = name(&bench);
    let output = with_kernels("portable", &["reproduce", &run]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(9), "{told}");
    let (before, after) = told.split_once("stage cold-start").unwrap();
    assert!(before.contains(&format!("the environment is not that of {run}:")), "{before}");
    let line = before.lines().find(|line| line.starts_with("kernels ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["kernels", kernels.as_str(), "portable"]);
    assert!(!after.contains("is not that of"));
    assert!(text(&output.stdout).contains(&format!("first difference from {run}: ")));
}

#[test]
fn data_that_has_changed_or_is_gone_is_told_before_anything_is_run() {
    let bench = Bench::new();
    let rows: Vec<String> = (0..40)
        .map(|number| {
            format!("{{\"question\": \"{number} + 1\", \"worked\": \"{}\"}}\n", number + 1)
        })
        .collect();
    let spec = "extends: small.yaml
name: rows
data:
  sums: null
  rows:
    jsonl: {path: rows.jsonl, heldout: 0.2, columns: [question, worked], solution: worked, answer: worked}
    prompt: \"{{ question }}\"
model: {tokenizer: {data: rows}}
rewards: null
stages:
  - id: cold-start
    sft: {data: rows.train, limit: null, steps: 3, batch_size: 4, micro_batch_size: 4}
  - id: rl
    grpo: null
    sft: {data: rows.train, steps: 2, batch_size: 4, micro_batch_size: 4, lr: 1e-3}
evals: null
";
    std::fs::write(bench.path("rows.yaml"), spec).unwrap();
    std::fs::write(bench.path("rows.jsonl"), rows.concat()).unwrap();
    bench.ok(&["run", "rows.yaml"]);
    let run = name(&bench);
    matches(&bench, &run, &[]);
    let runs = || bench.json(&["ls", "--json"]).as_array().unwrap().len();
    let before = runs();
    std::fs::write(bench.path("rows.jsonl"), rows.concat().replace("7 + 1", "8 + 1")).unwrap();
    let told = bench.fails(4, &["reproduce", &run]);
    assert!(told.contains("rows.jsonl has changed"), "{told}");
    std::fs::remove_file(bench.path("rows.jsonl")).unwrap();
    let told = bench.fails(4, &["reproduce", &run]);
    assert!(told.contains("rows.jsonl"), "{told}");
    assert_eq!(runs(), before, "nothing was run");
    // Found again where it is now.
    std::fs::create_dir(bench.path("elsewhere")).unwrap();
    std::fs::write(bench.path("elsewhere/rows.jsonl"), rows.concat()).unwrap();
    let store = bench.path("runs/r1x.sqlite");
    let arguments = ["reproduce", &run, "--store", store.to_str().unwrap()];
    let output = bench.command("elsewhere", &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn plugins_come_from_the_store_where_their_files_are_gone_or_changed() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let run = name(&bench);
    let equation = bench.path("plugins/countdown.wasm");
    std::fs::copy(bench.path("plugins/format.wasm"), &equation).unwrap();
    std::fs::remove_file(bench.path("plugins/format.wasm")).unwrap();
    let output = bench.output(&["reproduce", &run]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let (before, _) = told.split_once("stage cold-start").unwrap();
    assert!(
        before.contains("reward `equation`: ") && before.contains("has changed since the run"),
        "{told}"
    );
    assert!(before.contains("reward `format`: ") && before.contains("is gone"), "{told}");
    let events = bench.sql("SELECT message FROM event JOIN run USING (run_id) WHERE name = :run AND message LIKE 'reward %'");
    assert_eq!(events.len(), 2, "{events:?}");
    // What the store has is compared with its hash as well.
    let sql = "SELECT hex(substr(wasm, 101, 64)) AS x FROM plugin WHERE name LIKE '%format%'";
    let bytes = cell(&bench, sql);
    let mut changed = bytes.clone();
    changed[3] ^= 1;
    patch(&bench, &bytes, &changed);
    let told = bench.fails(8, &["reproduce", &run]);
    assert!(told.contains("format"), "{told}");
}

#[test]
fn a_reproduction_that_is_interrupted_says_so_and_goes_on_comparing() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let run = name(&bench);
    let mut started = bench.start(&["reproduce", &run]);
    started.wait_for("stage rl");
    started.signal("INT");
    let told = started.end(130);
    assert!(told.contains("  go on: r1x resume "), "{told}");
    let card = bench.latest();
    assert_eq!((&card["status"], &card["relation"]), (&"interrupted".into(), &"reproduce".into()));
    let error = card["error"].as_str().unwrap();
    assert!(error.starts_with("bitwise match through step "), "{error}");
    let resumed = bench.json(&["resume", "--json"]);
    let found = &resumed["reproduction"];
    assert_eq!((&found["matches"], &found["complete"]), (&true.into(), &true.into()), "{found}");
    assert_eq!((&found["steps"], &found["evaluations"]), (&52.into(), &4.into()));
    assert_eq!(found["through"], serde_json::json!({"stage": "rl", "step": 39}));
    let told = bench.fails(4, &["resume"]);
    assert!(told.contains("is done"), "{told}");
}

#[test]
fn a_run_that_is_under_way_is_not_made_again() {
    let bench = Bench::new();
    let mut started = bench.start(&["run", "small.yaml", "--set", "stages.rl.grpo.steps=100000"]);
    started.wait_for("stage rl");
    let told = bench.fails(4, &["reproduce", "small"]);
    assert!(told.contains("is still running"), "{told}");
    started.signal("INT");
    started.end(130);
}
