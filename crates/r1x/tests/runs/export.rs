//! What is exported is what the store has, whole, and nothing that was there before is lost.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

use super::bench::{Bench, HARVEST};

const RECORD: &str = "record={text: true, tokens: true, logprobs: true}";

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(path: &Path) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let row = |row: parquet::errors::Result<parquet::record::Row>| {
        let row = row.unwrap();
        row.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
    };
    reader.get_row_iter(None).unwrap().map(row).collect()
}

fn names(bench: &Bench, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// Bytes of a blob as SQL's `hex` writes them, four at a time.
fn words(hex: &Value) -> Vec<u32> {
    let digits = hex.as_str().unwrap().as_bytes();
    let byte = |at: usize| {
        u8::from_str_radix(std::str::from_utf8(&digits[at..at + 2]).unwrap(), 16).unwrap()
    };
    let word = |at: usize| u32::from_le_bytes([0, 2, 4, 6].map(|offset| byte(at + offset)));
    (0..digits.len()).step_by(8).map(word).collect()
}

/// Holds completions to their rows in the store, whose values of rewards are beside them.
fn same_rows(exported: &[Value], recorded: &[Value], values: &[Value]) {
    let values: BTreeMap<(u64, &str), &Value> = values
        .iter()
        .map(|row| {
            let id = row["rollout_id"].as_u64().unwrap();
            ((id, row["reward"].as_str().unwrap()), &row["value"])
        })
        .collect();
    for (row, fact) in exported.iter().zip(recorded) {
        for name in
            ["run", "stage", "step", "sample", "data", "prompt_key", "prompt", "gold", "finish"]
        {
            assert_eq!(row[name], fact[name], "{name}");
        }
        for name in ["completion", "n_tokens", "reward", "advantage"] {
            assert_eq!(row[name], fact[name], "{name}");
        }
        assert_eq!(row["group"], fact["grp"]);
        let id = fact["rollout_id"].as_u64().unwrap();
        let rewards: BTreeMap<&str, &Value> =
            row["rewards"].as_object().unwrap().iter().map(|(id, v)| (id.as_str(), v)).collect();
        assert_eq!(rewards.len(), 2);
        for (reward, value) in rewards {
            assert_eq!(&value, &values[&(id, reward)], "{reward}");
        }
        assert_eq!(row["tokens"], json!(words(&fact["ids"])));
        assert_eq!(row["prompt_tokens"], json!(words(&fact["asked"])));
        let bits: Vec<u32> = floats(&row["logprobs"]).into_iter().map(f32::to_bits).collect();
        assert_eq!(bits, words(&fact["logp"]));
    }
}

#[test]
fn completions_are_exported_as_they_are_recorded() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", RECORD]);
    let told = bench.json(&["export", "latest", "-o", "out/all.jsonl", "--tokens", "--json"]);
    assert_eq!(told["rows"], json!(40 * 6 * 4));
    let exported = lines(&bench.path("out/all.jsonl"));
    let recorded = bench.sql(
        "SELECT o.*, hex(x.token_ids) AS ids, hex(x.logp) AS logp, hex(g.prompt_ids) AS asked
           FROM v_rollouts o JOIN rollout_payload x USING (rollout_id) JOIN stage st ON st.name = o.stage
           JOIN rollout_group g ON g.stage_id = st.stage_id AND g.step = o.step AND g.grp = o.grp
          ORDER BY o.step, o.grp, o.sample",
    );
    assert_eq!(exported.len(), recorded.len());
    let values = bench.sql("SELECT rollout_id, reward, value FROM v_rewards");
    same_rows(&exported, &recorded, &values);

    // The table has as many rows with the values that the lines have.
    bench.ok(&["export", "latest", "-o", "all.parquet", "--tokens"]);
    let table = rows(&bench.path("all.parquet"));
    assert_eq!(table.len(), exported.len());
    for (row, line) in table.iter().zip(&exported) {
        let Field::Double(reward) = row["rewards.equation"] else { panic!("{row:?}") };
        assert_eq!(json!(reward), line["rewards"]["equation"]);
        let Field::ListInternal(tokens) = &row["tokens"] else { panic!("{row:?}") };
        let tokens: Vec<Value> =
            tokens.elements().iter().map(|token| token.to_string().parse().unwrap()).collect();
        assert_eq!(json!(tokens), line["tokens"]);
        assert_eq!(row["completion"], Field::Str(line["completion"].as_str().unwrap().to_owned()));
    }
}

#[test]
fn a_condition_chooses_rows_and_trl_has_its_own_columns() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    bench.ok(&["export", "latest", "-o", "all.jsonl"]);
    let exported = lines(&bench.path("all.jsonl"));
    bench.ok(&["export", "latest", "-o", "trl.parquet", "--to", "trl"]);
    let trl = rows(&bench.path("trl.parquet"));
    let columns: Vec<&String> = trl[0].keys().collect();
    assert_eq!(columns, ["advantage", "completion", "equation", "format", "prompt", "step"]);
    // The steps of the stage before are counted too, as in curves.
    assert_eq!((&trl[0]["step"], trl.len()), (&Field::Long(12), exported.len()));

    // A condition chooses rows and cannot reach beyond them.
    let part = ["export", "latest", "-o", "part.jsonl", "--stage", "rl", "--where"];
    bench.ok(&[&part[..], &["step >= 38 AND reward < 0.05 OR step = 0) OR (0"]].concat());
    let step = |row: &Value| row["step"].as_u64().unwrap();
    let chosen = |row: &&Value| {
        step(row) == 0 || (step(row) >= 38 && row["reward"].as_f64().unwrap() < 0.05)
    };
    let expected: Vec<Value> = exported.iter().filter(chosen).cloned().collect();
    assert!(expected.len() > 24 && expected.len() < exported.len());
    assert_eq!(lines(&bench.path("part.jsonl")), expected);
}

#[test]
fn evaluations_and_metrics_are_exported_in_the_order_of_the_run() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    bench.ok(&["export", "latest", "-o", "evals.jsonl", "--what", "evals"]);
    let exported = lines(&bench.path("evals.jsonl"));
    let recorded = bench.sql("SELECT * FROM v_eval_samples ORDER BY eval_id, item, sample");
    assert_eq!(exported.len(), recorded.len());
    for (row, fact) in exported.iter().zip(&recorded) {
        for name in ["run", "stage", "step", "suite", "item", "sample", "completion", "value"] {
            assert_eq!(row[name], fact[name], "{name}");
        }
        assert_eq!(row["correct"], json!(fact["correct"] == json!(1)));
        assert!(row["rewards"]["equation"].is_number(), "{row}");
    }

    bench.ok(&["export", "latest", "-o", "metrics.jsonl", "--what", "metrics"]);
    let metrics = lines(&bench.path("metrics.jsonl"));
    let places: Vec<String> = metrics
        .iter()
        .filter(|row| row.get("eval/heldout/pass@1").is_some())
        .map(|row| format!("{} {} {}", row["step"], row["stage"], row["stage_step"]))
        .collect();
    let expected = ["0 \"start\" 0", "12 \"cold-start\" 12", "32 \"rl\" 20", "52 \"rl\" 40"]
        .map(str::to_owned);
    assert_eq!(places, expected);
    assert!(metrics.is_sorted_by_key(|row| row["step"].as_u64()));
    let series: Vec<Value> = metrics
        .iter()
        .filter_map(|row| Some(json!([row["step"], row.get("reward.mean")?])))
        .collect();
    let facts = bench.sql(
        "SELECT step + 12 AS step, value FROM v_metrics WHERE metric = 'reward.mean' ORDER BY step",
    );
    let facts: Vec<Value> = facts.iter().map(|row| json!([row["step"], row["value"]])).collect();
    assert_eq!(series, facts);

    // As many messages as lines, and one in front.
    bench.ok(&["export", "latest", "-o", "logs/run", "--to", "tensorboard"]);
    let files = names(&bench, "logs/run");
    assert!(files.len() == 1 && files[0].starts_with("events.out.tfevents."), "{files:?}");
    let bytes = std::fs::read(bench.path("logs/run").join(&files[0])).unwrap();
    let (mut at, mut messages) = (0, 0);
    while at < bytes.len() {
        at += 16 + u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        messages += 1;
    }
    assert_eq!((at, messages), (bytes.len(), metrics.len() + 1));
    let has = |tag: &[u8]| bytes.windows(tag.len()).any(|window| window == tag);
    assert!(has(b"rl/reward.mean") && has(b"cold-start/loss") && has(b"eval/heldout/pass@1"));

    bench.ok(&["export", "latest", "-o", "hub", "--to", "hf", "--what", "evals"]);
    assert_eq!(names(&bench, "hub"), ["README.md", "data"]);
    let hub = rows(&bench.path("hub/data/train-00000-of-00001.parquet"));
    assert_eq!(hub.len(), recorded.len());
    let card = std::fs::read_to_string(bench.path("hub/README.md")).unwrap();
    assert!(card.contains(&format!("num_examples: {}", hub.len())), "{card}");
}

#[test]
fn what_is_there_is_replaced_only_when_that_is_asked_for() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let all: &[&str] = &["export", "latest", "-o", "all.jsonl"];
    std::fs::write(bench.path("all.jsonl"), "mine").unwrap();
    let told = bench.fails(4, all);
    assert!(told.contains("all.jsonl is there already") && told.contains("--force"), "{told}");
    assert_eq!(std::fs::read_to_string(bench.path("all.jsonl")).unwrap(), "mine");
    bench.ok(&[all, &["--force"]].concat());
    assert_eq!(lines(&bench.path("all.jsonl")).len(), 960);
    let before = names(&bench, "");

    // What goes wrong leaves nothing behind.
    let to = |output: &str, more: &[&str]| {
        let ask = [&["export", "latest", "-o", output], more].concat();
        ask.into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let mistakes = [
        (2, to("a.txt", &[]), "does not say who is to read it"),
        (2, to("a.parquet", &["--to", "trl", "--what", "evals"]), "TRL's table has rollouts only"),
        (2, to("a.jsonl", &["--what", "metrics", "--where", "1"]), "metrics have none"),
        (2, to("a.jsonl", &["--what", "data", "--tokens"]), "has no place for"),
        (4, to("a.jsonl", &["--where", "rewrad > 1"]), "did you mean `reward`"),
        (4, to("a.jsonl", &["--where", "1; DROP TABLE run"]), "one statement at a time"),
        (4, to("a.jsonl", &["--stage", "rll"]), "its stages are `cold-start`, `rl`"),
        (4, to("a.jsonl", &["--stage", "cold-start"]), "sampled no completions"),
        (4, to("a.jsonl", &["--what", "data"]), "stages of the kind `reject` make data"),
        (4, to("hub", &["--to", "hf", "--stage", "cold-start"]), "sampled no completions"),
        (4, to("small.yaml", &["--to", "hf"]), "is there and no folder"),
        (4, to("plugins", &["--to", "jsonl"]), "is a folder, and a file is to be written"),
        (4, to("plugins", &["--to", "hf", "--force"]), "no such export has written"),
        (4, to("small.yaml/a.jsonl", &[]), "small.yaml is a file, and no folder"),
    ];
    for (code, ask, words) in mistakes {
        let told = bench.fails(code, &to_refs(&ask));
        assert!(told.contains(words), "{ask:?}: {told}");
        assert_eq!(names(&bench, ""), before, "{ask:?}");
    }
    let told = bench.fails(4, &to_refs(&to("runs/r1x.sqlite", &["--to", "jsonl", "--force"])));
    assert!(told.contains("is a database, which no export takes the place of"), "{told}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("all.jsonl", bench.path("link.jsonl")).unwrap();
        let told = bench.fails(4, &to_refs(&to("link.jsonl", &["--force"])));
        assert!(told.contains("a link or a device stays as it is"), "{told}");
        assert!(bench.path("link.jsonl").is_symlink());
        std::fs::remove_file(bench.path("link.jsonl")).unwrap();
    }
    let none = bench.json(&["export", "latest", "-o", "none.jsonl", "--where", "0", "--json"]);
    assert_eq!((&none["rows"], &none["bytes"]), (&json!(0), &json!(0)));

    let hub: &[&str] = &["export", "latest", "-o", "hub", "--to", "hf"];
    bench.ok(hub);
    bench.fails(4, hub);
    bench.ok(&[hub, &["--force", "--what", "metrics"]].concat());
    assert_eq!(rows(&bench.path("hub/data/train-00000-of-00001.parquet")).len(), 52 + 4);
}

fn to_refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The rows that a stage has kept, and a run that learns from each form of them.
#[test]
fn made_data_is_read_back_by_another_run() {
    let bench = Bench::with_harvest();
    bench.ok(&["run", HARVEST]);
    let kept = bench.sql(
        "SELECT prompt, completion, gold, reward FROM v_selections WHERE kept ORDER BY step, grp, sample",
    );
    for (file, source) in [("kept.jsonl", "jsonl"), ("kept.parquet", "parquet")] {
        bench.ok(&["export", "harvest", "-o", file, "--what", "data", "--stage", "harvest"]);
        let spec = format!(
            "extends: small.yaml
name: {source}
data:
  kept:
    {source}: {{path: {file}, heldout: 0, columns: [prompt, nums, target], solution: completion, answer: gold}}
    prompt: \"{{{{ prompt }}}}\"
stages:
  - id: cold-start
    sft: {{data: kept.train, limit: null, steps: 1, batch_size: {}, micro_batch_size: 8}}
  - id: rl
    grpo: {{data: kept.train, skip: null, steps: 1}}
",
            kept.len()
        );
        std::fs::write(bench.path("again.yaml"), spec).unwrap();
        bench.ok(&["run", "again.yaml"]);
        // One batch was every row once: as many, and none of them held out or left out.
        let epoch = bench.sql(
            "SELECT value FROM v_metrics WHERE run = :run AND metric = 'epoch' AND stage = 'cold-start'",
        );
        assert_eq!(epoch.last().unwrap()["value"], json!(1.0), "{source}");
        // The prompts are those that were asked, word by word, with the columns that the reward reads.
        let asked = bench.sql("SELECT DISTINCT prompt FROM v_rollouts WHERE run = :run");
        assert!(!asked.is_empty());
        for row in &asked {
            assert!(kept.iter().any(|kept| kept["prompt"] == row["prompt"]), "{row}");
        }
        let scored = bench.sql("SELECT DISTINCT status FROM v_rewards WHERE run = :run");
        assert_eq!(scored, [json!({"status": "ok"})]);
    }
    let exported = lines(&bench.path("kept.jsonl"));
    assert_eq!(exported.len(), kept.len());
    for (row, fact) in exported.iter().zip(&kept) {
        for name in ["prompt", "completion", "gold", "reward"] {
            assert_eq!(row[name], fact[name]);
        }
        assert!(row["nums"].is_array() && row["target"].is_number(), "{row}");
    }
    let table = rows(&bench.path("kept.parquet"));
    assert!(matches!(&table[0]["nums"], Field::ListInternal(nums) if nums.len() == 3));
    assert!(matches!(table[0]["target"], Field::Long(_)), "{:?}", table[0]);
}

/// What every problem came to is what its rollouts have in the store.
#[test]
fn problems_are_exported_with_their_pass_rates() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "stages.cold-start.sft.steps=120"]);
    let counted = bench.sql(
        "SELECT prompt_key, max(prompt) AS prompt, max(gold) AS gold, count(DISTINCT rollout_id) AS rollouts,
                avg(value) FILTER (WHERE w.reward = 'equation') AS equation,
                avg(value) FILTER (WHERE w.reward = 'format') AS format
           FROM v_rollouts JOIN v_rewards w USING (rollout_id) GROUP BY prompt_key",
    );
    let counted: BTreeMap<&str, &Value> =
        counted.iter().map(|row| (row["prompt_key"].as_str().unwrap(), row)).collect();
    bench.ok(&["export", "latest", "--what", "problems", "-o", "all.jsonl"]);
    let all = lines(&bench.path("all.jsonl"));
    assert_eq!(all.len(), counted.len());
    let number = |value: &Value| value.as_f64().unwrap();
    for row in &all {
        let fact = counted[row["prompt_key"].as_str().unwrap()];
        for name in ["prompt", "gold", "rollouts"] {
            assert_eq!(row[name], fact[name]);
        }
        let rewards = &row["rewards"];
        for name in ["equation", "format"] {
            assert!((number(&rewards[name]) - number(&fact[name])).abs() < 1e-12, "{row} {fact}");
        }
        let total = number(&rewards["equation"]) + 0.1 * number(&rewards["format"]);
        assert!((number(&row["reward"]) - total).abs() < 1e-6, "{row}");
        assert_eq!((&row["stage"], &row["data"]), (&json!("rl"), &json!("sums")));
        assert!(row["solution"].is_string() && row["nums"].is_array(), "{row}");
    }
    let is_rate = |row: &Value| (0.1..0.9).contains(&number(&row["rewards"]["format"]));
    assert!(all.iter().any(is_rate), "a mean that is neither 0 nor 1 has to be among them");
    // The first problem is the one that the stage met first.
    let first = bench.sql("SELECT prompt_key FROM v_rollouts ORDER BY step, grp LIMIT 1");
    assert_eq!(all[0]["prompt_key"], first[0]["prompt_key"]);
    let of_nothing: &[&str] =
        &["export", "latest", "-o", "a.jsonl", "--what", "problems", "--stage", "cold-start"];
    assert!(bench.fails(4, of_nothing).contains("tried no problems"));
    bench.ok(&["export", "latest", "-o", "hub", "--to", "hf", "--what", "problems"]);
}

/// A problem of which one reward meets a condition is there once, and another run learns from such problems.
#[test]
fn problems_of_a_chosen_difficulty_are_data() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--set", "stages.cold-start.sft.steps=120"]);
    let problems: &[&str] = &["export", "small", "--what", "problems", "-o"];
    bench.ok(&[problems, &["all.jsonl"]].concat());
    let all = lines(&bench.path("all.jsonl"));
    let is_chosen = |row: &&Value| row["rewards"]["format"].as_f64().unwrap() < 1.0;
    let expected: Vec<&Value> = all.iter().filter(is_chosen).collect();
    assert!(!expected.is_empty() && expected.len() < all.len(), "{}", expected.len());
    for (file, source) in [("some.jsonl", "jsonl"), ("some.parquet", "parquet")] {
        bench.ok(&[problems, &[file, "--where", "reward = 'format' AND mean < 1"]].concat());
        let spec = format!(
            "extends: small.yaml
name: from-{source}
data:
  some:
    {source}: {{path: {file}, heldout: 0, columns: [nums, target], answer: gold, solution: solution}}
    prompt: \"{{{{ nums | join(' ') }}}} -> {{{{ target }}}} <think>\"
stages:
  - {{id: cold-start, sft: {{data: some.train, limit: null, steps: 1, batch_size: 4, micro_batch_size: 4}}}}
  - {{id: rl, grpo: {{data: some.train, skip: null, steps: 2, prompts_per_step: 4}}}}
"
        );
        std::fs::write(bench.path("again.yaml"), spec).unwrap();
        bench.ok(&["run", "again.yaml"]);
        let asked = bench.sql("SELECT DISTINCT prompt FROM v_rollouts WHERE run = :run");
        assert!(!asked.is_empty());
        for row in &asked {
            assert!(expected.iter().any(|problem| problem["prompt"] == row["prompt"]), "{row}");
        }
    }
    let some = lines(&bench.path("some.jsonl"));
    assert_eq!(some.iter().collect::<Vec<&Value>>(), expected);
    let table = rows(&bench.path("some.parquet"));
    assert_eq!(table.len(), expected.len());
    assert!(matches!(table[0]["rewards.equation"], Field::Double(_)), "{:?}", table[0]);
}
