//! What is listed, shown, drawn and estimated says what it is.
//!
//! Must not test the layout of tables.

use super::bench::Bench;

#[test]
fn a_drawn_curve_shows_what_was_recorded_and_says_what_is_smoothed() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml", "--json", "--set", "stages.rl.grpo.steps=60"]);
    let draw = |extra: &[&str]| {
        bench.ok(&[&["plot", "-o", "curve.svg"], extra].concat());
        std::fs::read_to_string(bench.path("curve.svg")).unwrap()
    };
    let svg = draw(&["--window", "9"]);
    assert!(svg.contains("mean of 9 steps (faint: each step)"), "{svg}");
    assert!(svg.contains("step of stage rl"), "{svg}");
    let lines = |svg: &str, opacity: &str| {
        svg.lines().filter(|l| l.starts_with("<polyline") && l.contains(opacity)).count()
    };
    assert!(lines(&svg, "opacity=\"0.4\"") >= 1, "the recorded values are faint: {svg}");
    let plain = draw(&["--window", "1"]);
    assert!(!plain.contains("mean of") && lines(&plain, "opacity=\"0.4\"") == 0);
    // 60 steps have windows of one step, so nothing is smoothed unless it is asked for.
    assert!(!draw(&[]).contains("mean of"));
    let both = draw(&["--metric", "loss"]);
    assert!(both.contains("step of the stages cold-start, rl, one after the other"), "{both}");
    let one = draw(&["--metric", "loss", "--stage", "cold-start"]);
    assert!(one.contains("step of stage cold-start"), "{one}");
    let told = bench.fails(4, &["plot", "--metric", "loss", "--stage", "nowhere"]);
    assert!(told.contains("in stage `nowhere`"), "{told}");
    // A picture takes the place of a picture, and of nothing else.
    for kept in ["runs/r1x.sqlite", "small.yaml", "plugins"] {
        let told = bench.fails(4, &["plot", "-o", kept]);
        assert!(told.contains(&format!("{kept} is there already, and is no SVG")), "{told}");
    }
    assert_eq!(bench.json(&["ls", "--json"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_list_of_runs_says_how_each_differs_and_where_it_is() {
    let bench = Bench::new();
    let run = ["run", "small.yaml", "--json", "--set", "stages.rl.grpo.steps=3", "--seed", "7"];
    bench.ok(&run);
    let listed = &bench.json(&["ls", "--json"])[0];
    assert_eq!(listed["tags"], serde_json::json!(["tiny", "test"]));
    assert_eq!(listed["overrides"], serde_json::json!(["stages.rl.grpo.steps=3", "seed=7"]));
    assert_eq!(listed["last_metric"]["name"], "reward.mean");
    assert_eq!(listed["last_eval"]["name"], "pass@1");
    let table = bench.ok(&["ls"]);
    for word in ["tiny, test", "stages.rl.grpo.steps=3 seed=7", "reward.mean ", "pass@1 "] {
        assert!(table.contains(word), "{word}\n{table}");
    }
    let shown = bench.ok(&["show"]);
    for word in ["stages.rl.grpo.steps=3", "tiny, test", "done"] {
        assert!(shown.contains(word), "{word}\n{shown}");
    }
    let step = bench.ok(&["show", "latest@1", "--stage", "rl"]);
    let value = |name: &str| {
        let line = step.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("{name}: {step}"))
            .split_whitespace()
            .last()
            .unwrap()
            .to_owned()
    };
    assert_eq!(value("logprob_diff_max"), "0", "whole numbers are whole");
    assert_eq!(value("lr"), "0.0003");
    bench.ok(&[
        "run",
        "small.yaml",
        "--json",
        "--set",
        "stages.rl.grpo.steps=3",
        "--set",
        "stages.rl.grpo.lr=1e-7",
    ]);
    let step = bench.ok(&["show", "latest@1", "--stage", "rl"]);
    assert!(step.lines().any(|line| line.starts_with("lr ") && line.ends_with(" 1e-7")), "{step}");
}

/// Work that suffices for short completions, so that a reward fails now and then.
const LITTLE_FUEL: &str = "rewards.equation.limits={fuel: 15000}";

#[test]
fn a_run_that_fails_leaves_no_stage_running() {
    let bench = Bench::new();
    let quiet = ["evals.heldout.when.at=[]", "evals.heldout.when.every=1000"];
    let sets = ["stages.cold-start.sft.lr=1e30", quiet[0], quiet[1]];
    let mut arguments = vec!["run", "small.yaml"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    let told = bench.fails(10, &arguments);
    assert!(told.contains("stage `cold-start`, step 1, update 1: the gradient of `"), "{told}");
    assert!(told.contains("` is NaN; the step is not recorded"), "{told}");
    let card = bench.latest();
    let stages: Vec<_> = card["stages"].as_array().unwrap().iter().map(|s| &s["status"]).collect();
    assert_eq!(card["status"], "diverged");
    assert_eq!(stages, ["diverged"]);
    let running = "SELECT count(*) AS n FROM stage WHERE status = 'running'";
    assert_eq!(bench.sql(running)[0]["n"], 0);
}

/// What fails in an evaluation is counted, kept as rows with reasons, and its calls lie beside the store.
#[test]
fn failures_in_evaluations_are_recorded() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("elsewhere")).unwrap();
    let store = bench.path("stores/r1x.sqlite");
    let arguments = [
        "run",
        "../small.yaml",
        "--json",
        "--store",
        store.to_str().unwrap(),
        "--set",
        "stages.rl.grpo.steps=2",
        "--set",
        "rewards.equation.max_failed_share=1.0",
        "--set",
        LITTLE_FUEL,
    ];
    let output = bench.command("elsewhere", &arguments).output().unwrap();
    let told = super::bench::text(&output.stderr);
    assert!(output.status.success() && told.contains("  reward failures "), "{told}");
    let ask = |query: &str| {
        bench.json(&["sql", query, "--format", "json", "--store", store.to_str().unwrap()])
    };
    let rows = ask(
        "SELECT count(*) AS n, max(info) AS why FROM v_eval_rewards WHERE status NOT IN ('ok', 'abstain')",
    );
    assert!(rows[0]["n"].as_u64() > Some(0));
    assert!(rows[0]["why"].as_str().unwrap().contains("limits.fuel"), "{rows}");
    let example =
        bench.ok(&["sql", "--example", "plugin-failures", "--store", store.to_str().unwrap()]);
    assert!(example.contains("heldout"), "{example}");
    assert_eq!(std::fs::read_dir(bench.path("elsewhere")).unwrap().count(), 0);
    let run = ask("SELECT run FROM v_runs")[0]["run"].as_str().unwrap().to_owned();
    let kept = bench.path("stores").join(run).join("failures/equation-1.json");
    assert!(kept.is_file(), "{}", kept.display());
    let again = ["plugin", "test", "--replay", kept.to_str().unwrap()];
    let told = bench.command("elsewhere", &again).output().unwrap();
    let said = super::bench::text(&told.stdout);
    assert!(said.contains("recorded  "), "{said}{}", super::bench::text(&told.stderr));
}

/// Fast machines and slow ones differ; what the estimate rests on is said, and JSONL suites cost what they cost.
#[test]
fn an_estimate_says_what_it_rests_on_and_counts_suites_over_files() {
    let bench = Bench::new();
    let plan = bench.ok(&["plan", "small.yaml"]);
    for word in
        ["completions as long as worked solutions", "the speed of this CPU, measured", "r1x doctor"]
    {
        assert!(plan.contains(word), "{word}\n{plan}");
    }
    assert!(bench.path("cache/r1x/speed.json").is_file());
    let plan = bench.json(&["plan", "small.yaml", "--json"]);
    let (likely, most) = (&plan["seconds"]["likely"], &plan["seconds"]["most"]);
    assert!(likely.as_f64() > Some(0.0) && likely.as_f64() < most.as_f64(), "{likely} {most}");
    let rows: String = (0..50)
        .map(|n| format!("{{\"question\": \"{n}\", \"nums\": [1], \"target\": {n}}}\n"))
        .collect();
    std::fs::write(bench.path("rows.jsonl"), rows).unwrap();
    let data = "data.file={jsonl: {path: rows.jsonl, heldout: 0.6}, prompt: '{{ question }}'}";
    let arguments =
        ["plan", "small.yaml", "--json", "--set", data, "--set", "evals.heldout.data=file.heldout"];
    let output = bench.output(&arguments);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", super::bench::text(&output.stderr)));
    let suite = &plan["estimate"]["stages"][2];
    // Thirty-three of the fifty rows, as their hash has it, and two samples, at the start, at two ends and once in
    // between.
    assert_eq!((&suite["id"], &suite["completions"]), (&"heldout".into(), &264.into()), "{suite}");
}

#[test]
fn a_rollout_is_shown_down_to_its_tokens() {
    let bench = Bench::new();
    bench.ok(&["run", "small.yaml"]);
    let card = bench.json(&["show", "latest@2.1.0", "--json"]);
    let tokens = card["tokens"].as_array().unwrap();
    let shown = bench.ok(&["show", "latest@2.1.0", "--tokens"]);
    let table = shown.split("position").nth(1).unwrap();
    // The names of the columns, a rule, and a row for each token.
    let rows: Vec<&str> = table.lines().skip(2).filter(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), tokens.len(), "{shown}");
    let last = rows.last().unwrap();
    assert!(last.contains(&tokens.last().unwrap().to_string()), "{shown}");
    let logprob = card["logprobs"][0].as_f64().unwrap();
    let first: Vec<&str> = rows[0].split_whitespace().collect();
    let told: f64 = first[first.len() - 4].parse().unwrap();
    assert!((told - logprob).abs() < 1e-3 * logprob.abs().max(1e-3), "{shown}");
    assert!(!shown.contains("1 to 0.9"), "colours are for terminals: {shown}");
    let colored = bench.ok(&["show", "latest@2.1.0", "--color", "always"]);
    assert!(colored.contains("1 to 0.9") && colored.contains("\u{1b}[2m"), "{colored:?}");
    let told = bench.fails(4, &["show", "latest", "--stage", "rl"]);
    assert!(told.contains("`latest` is a run, and no step of its stage `rl`"), "{told}");
    let told = bench.fails(4, &["show", "latest@2.1", "--tokens"]);
    assert!(told.contains("is not one rollout"), "{told}");
    let rows = bench.sql("SELECT position, token_id FROM v_tokens WHERE run = :run AND step = 2 AND grp = 1 AND sample = 0 ORDER BY position");
    let listed: Vec<&serde_json::Value> = rows.iter().map(|row| &row["token_id"]).collect();
    assert_eq!(listed, tokens.iter().collect::<Vec<_>>());
}
