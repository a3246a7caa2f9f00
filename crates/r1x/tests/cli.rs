//! The command line as a user meets it: small runs of the shipped experiments, and mistakes.
//!
//! Must not test what a crate can test alone. Every run is the real binary on a temporary store.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A model and stages small enough for a second.
const SMALL: [&str; 12] = [
    "model.hidden_size=32",
    "model.layers=1",
    "data.countdown.countdown.train=300",
    "data.countdown.countdown.heldout=20",
    "stages.cold-start.sft.limit=100",
    "stages.cold-start.sft.steps=25",
    "stages.rl.grpo.skip=100",
    "stages.rl.grpo.steps=12",
    "stages.rl.grpo.prompts_per_step=6",
    "stages.rl.grpo.group_size=4",
    "evals.heldout.limit=20",
    "checkpoints.every=5",
];

struct Bench {
    folder: tempfile::TempDir,
}

fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments")
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_r1x"));
        command
            .args(arguments)
            .env("R1X_STORE", self.folder.path().join("runs/r1x.sqlite"))
            .env("XDG_CACHE_HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG");
        command
    }

    fn r1x(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of a command that must fail with this code.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(!message.contains("has a bug"), "{message}");
        message
    }

    fn run(&self, extra: &[&str]) -> Value {
        self.run_experiment("countdown.yaml", extra)
    }

    fn run_experiment(&self, name: &str, extra: &[&str]) -> Value {
        let spec = experiments().join(name);
        let mut arguments = vec!["run", spec.to_str().unwrap(), "--no-reuse", "--json"];
        SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
        arguments.extend(extra);
        serde_json::from_str(&self.ok(&arguments)).unwrap()
    }

    fn write(&self, name: &str, contents: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn one_seed_has_one_digest_whatever_the_threads_and_another_seed_another() {
    let bench = Bench::new();
    let one = bench.run(&["--threads", "1"]);
    let two = bench.run(&["--threads", "2"]);
    let other = bench.run(&["--set", "seed=2"]);
    assert_eq!(one["status"], "done");
    assert_eq!(one["digest"].as_str().unwrap().len(), 64);
    assert_eq!(one["digest"], two["digest"]);
    assert_ne!(one["digest"], other["digest"]);
    let stages: Vec<&str> = one["evals"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|eval| eval["metric"] == "pass@8")
        .map(|eval| eval["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["start", "cold-start", "rl"]);
    let worst = "SELECT max(value) AS worst, count(*) AS steps FROM v_metrics \
                 WHERE metric = 'logprob_diff_max'";
    let answer: Value =
        serde_json::from_str(&bench.ok(&["sql", worst, "--format", "json"])).unwrap();
    assert_eq!(answer[0]["worst"], 0.0, "the sampler's log-probs are not the trainer's");
    assert_eq!(answer[0]["steps"], 36);
}

#[test]
fn a_run_can_be_listed_shown_queried_and_sampled_from() {
    let bench = Bench::new();
    let run = bench.run(&[]);
    let name = run["run"].as_str().unwrap();
    assert!(bench.ok(&["ls"]).contains(name));
    assert!(bench.ok(&["show", name]).contains(run["digest"].as_str().unwrap()));
    assert!(bench.ok(&["show", "latest@3"]).contains("reward.mean"));
    assert!(bench.ok(&["show", "latest@3.1"]).contains("advantage"));
    let rollout: Value =
        serde_json::from_str(&bench.ok(&["show", "latest@3.1.2", "--json"])).unwrap();
    assert_eq!(rollout["tokens"].as_array().unwrap().len() as i64, rollout["n_tokens"]);
    for example in 1..=6 {
        bench.ok(&["sql", "--example", &example.to_string()]);
    }
    assert!(bench.ok(&["generate", "-n", "2"]).contains("<think>"));
    let svg = bench.folder.path().join("curve.svg");
    bench.ok(&["plot", "--output", svg.to_str().unwrap()]);
    assert!(std::fs::read_to_string(svg).unwrap().contains("</svg>"));
    bench.fails(4, &["sql", "DELETE FROM run"]);
    bench.fails(4, &["sql", "SELECT nonsense"]);
    bench.fails(4, &["show", "latest@99999"]);
    bench.fails(4, &["show", "no-such-run"]);
    bench.fails(4, &["generate", "--prompt", "what is this"]);
    bench.fails(4, &["resume", name]);
}

/// The shaped experiment leaves every number between a plugin's value and the advantage, and they add up.
#[test]
fn shaped_rewards_can_be_followed_in_the_store() {
    let bench = Bench::new();
    let run = |threads: &str| {
        let short = "rewards.length.schedule.warmup_steps=4";
        bench.run_experiment("countdown-shaped.yaml", &["--set", short, "--threads", threads])
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!((&one["status"], &one["digest"]), (&"done".into(), &two["digest"]));
    let ask = |sql: &str| -> Value {
        let answer = bench.ok(&["sql", sql, "--format", "json", "--run", "latest"]);
        serde_json::from_str::<Value>(&answer).unwrap()[0].clone()
    };
    let sums = ask("WITH said AS (SELECT rollout_id, sum(contribution) AS total FROM v_rewards
                        WHERE run = :run GROUP BY rollout_id)
         SELECT count(*) AS rollouts, max(abs(total - unclipped)) AS off
           FROM v_rollouts JOIN said USING (rollout_id)");
    assert_eq!(sums["rollouts"], 12 * 6 * 4);
    assert!(sums["off"].as_f64().unwrap() < 1e-12, "{sums}");
    let conditions = ask(
        "SELECT sum(e.gate = 'closed' AND e.counted <> 0) + sum((e.gate = 'open') <> (f.value >= 1)) AS wrong,
                sum(e.gate = 'closed') AS closed, min(f.weight) AS last, max(f.weight) AS first
           FROM v_rewards e JOIN v_rewards f USING (rollout_id)
          WHERE e.run = :run AND e.reward = 'equation' AND f.reward = 'format'",
    );
    assert_eq!(conditions["wrong"], 0);
    assert!(conditions["closed"].as_i64().unwrap() > 0);
    let last = conditions["last"].as_f64().unwrap();
    assert!((last - (0.3 - 0.2 * 11.0 / 300.0)).abs() < 1e-12 && conditions["first"] == 0.3);
    let shown = bench.ok(&["show", "latest@3.1.2"]);
    for word in ["only_if", "counted", "normalized", "length", "data        countdown"] {
        assert!(shown.contains(word), "{word} is not in\n{shown}");
    }
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/length.wasm");
    let told = bench.ok(&["plugin", "run", plugin.to_str().unwrap(), "--replay", "latest"]);
    assert!(told.contains("0 of 288 rollouts change"), "what is compared is not clipped: {told}");
}

#[test]
fn interrupted_and_resumed_has_the_digest_of_uninterrupted() {
    let bench = Bench::new();
    let long = ["--set", "stages.rl.grpo.steps=60"];
    let whole = bench.run(&long);
    let spec = experiments().join("countdown.yaml");
    let mut arguments = vec!["run", spec.to_str().unwrap(), "--no-reuse"];
    SMALL.iter().for_each(|set| arguments.extend(["--set", set]));
    arguments.extend(long);
    let mut child =
        bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("stage rl") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the run ended before its RL stage");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("r1x resume"), "{rest}");
    let resumed: Value = serde_json::from_str(&bench.ok(&["resume", "--json"])).unwrap();
    assert_eq!(resumed["digest"], whole["digest"]);
}

/// The published model that an experiment begins with, where it or the one that it extends does.
fn published_model(spec: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(spec).unwrap();
    let after = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    match (after("  from: "), after("extends: ")) {
        (Some(from), _) => Some(experiments().join(from)),
        (None, Some(parent)) => published_model(&experiments().join(parent)),
        (None, None) => None,
    }
}

#[test]
fn every_experiment_checks_and_plans() {
    let bench = Bench::new();
    let mut count = 0;
    for entry in std::fs::read_dir(experiments()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let model = published_model(&path);
            let path = path.to_str().unwrap();
            if let Some(model) = model.filter(|model| !model.exists()) {
                // What the repository does not hold is named, and how it is brought stands in the experiment.
                let told = bench.fails(4, &["check", path]);
                assert!(told.contains("the model `") && told.contains("cannot be used"), "{told}");
                eprintln!("skipped {path}: there is no {}", model.display());
                continue;
            }
            assert!(bench.ok(&["check", path]).starts_with("ok "));
            assert!(bench.ok(&["plan", path]).contains("active per token"));
            let plan: Value = serde_json::from_str(&bench.ok(&["plan", path, "--json"])).unwrap();
            assert!(plan["estimate"]["parameters"]["total"].as_u64().unwrap() > 0);
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} experiments found");
}

/// What `r1x doctor` checks, and how far each may be off.
const CHECKS: &str = "\
matmul                          1e-5  ok
matmul_bf16                     5e-3  ok
rms_norm                        1e-5  ok
rope                            1e-5  ok
swiglu                          1e-5  ok
token_logprob                   1e-5  ok
adamw                           1e-5  ok
gqa dense: samples that differ  1e-1  ok
gqa dense: log-probs            1e-3  ok
gqa dense: gradient norm        1e-3  ok
gqa dense: updated weights      1e-3  ok
mla moe: samples that differ    1e-1  ok
mla moe: log-probs              1e-3  ok
mla moe: gradient norm          1e-3  ok
mla moe: updated weights        1e-3  ok
";

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::new();
    let spec = experiments().join("countdown.yaml");
    let plan = ["plan", spec.to_str().unwrap()];
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = bench.command(&plan).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let bench = Bench::new();
    let spec = experiments().join("countdown.yaml");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = bench.command(&["plan", spec.to_str().unwrap()]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(text(&output.stderr).contains("cannot write the output"), "{output:?}");
}

/// The table of a doctor without its measurements.
fn verdicts(report: &str) -> String {
    let rows = report.lines().skip_while(|line| !line.starts_with('─')).skip(1);
    let rows = rows.take_while(|line| !line.is_empty()).map(|line| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let verdict = words.pop().unwrap();
        let allowed = words.pop().unwrap();
        words.pop().unwrap().parse::<f64>().unwrap();
        format!("{:30}  {allowed}  {verdict}\n", words.join(" "))
    });
    rows.collect()
}

#[test]
fn the_doctor_measures_and_checks_the_cpu() {
    let bench = Bench::new();
    let report = bench.ok(&["doctor", "--threads", "1"]);
    for line in ["machine  ", "cpu      ", "memory   ", "kernels  ", "threads  1\n"] {
        assert!(report.contains(line), "{report}");
    }
    assert!(report.contains("GFLOP/s on one thread"), "{report}");
    assert_eq!(verdicts(&report), CHECKS);
    assert!(report.ends_with("\nall 15 self-tests passed on cpu\n"), "{report}");
    assert!(!bench.folder.path().join("runs").exists(), "the doctor left something behind");
    bench.fails(2, &["doctor", "--gpu", "0", "--threads", "2"]);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn without_the_feature_everything_that_wants_a_card_says_so() {
    let bench = Bench::new();
    let reason = "this r1x was built without the `cuda` feature";
    assert_eq!(
        bench.fails(7, &["doctor", "--gpu"]),
        format!(
            "error: cannot open `cuda:0`: {reason}\n  help: a card needs a build with \
             `--features cuda` and NVIDIA's driver; `r1x doctor` alone checks the CPU\n"
        )
    );
    assert!(bench.fails(7, &["doctor", "--gpu", "3"]).contains("cannot open `cuda:3`"));
    let spec = experiments().join("countdown.yaml");
    assert_eq!(
        bench.fails(7, &["run", spec.to_str().unwrap(), "--device", "cuda:1"]),
        format!(
            "error: cannot open `cuda:1`: {reason}\n  help: leave `--device` out to use the CPU\n"
        )
    );
}

#[test]
#[ignore = "needs a card"]
fn a_run_on_a_card_goes_on_and_is_sampled_from_on_the_cpu() {
    let bench = Bench::new();
    assert_eq!(verdicts(&bench.ok(&["doctor", "--gpu"])), CHECKS);
    let run = bench.run(&["--device", "cuda:0"]);
    assert_eq!(run["status"], "done");
    assert!(bench.ok(&["generate", "-n", "2"]).contains("<think>"));
    assert!(bench.ok(&["generate", "-n", "2", "--device", "cuda:0"]).contains("<think>"));
}

#[test]
fn mistakes_are_explained_and_have_their_exit_code() {
    let bench = Bench::new();
    let spec = experiments().join("countdown.yaml");
    let spec = spec.to_str().unwrap();
    let with = |set: &'static str| ["check", spec, "--set", set].map(str::to_owned);
    let fails = |code: i32, set: &'static str| {
        let arguments = with(set);
        bench.fails(code, &arguments.each_ref().map(String::as_str))
    };
    assert!(fails(3, "stages.rl.grpo.group_szie=8").contains("did you mean"));
    assert!(fails(3, "evals.heldout.report=[pass@16]").contains("pass@16"));
    assert!(fails(3, "stages.rl.grpo.steps=many").contains("steps"));
    assert!(fails(4, "rewards.format.plugin=nowhere.wasm").contains("nowhere.wasm"));
    assert!(fails(4, "data.countdown.countdown.train=900000").contains("distinct problems"));
    let junk = bench.write("junk.wasm", "no component");
    let set = format!("rewards.format.plugin={junk}");
    let message = bench.fails(4, &["check", spec, "--set", &set]);
    assert!(message.contains("junk.wasm"), "{message}");
    // A built-in reward is a file as well.
    let set = format!("rewards.format.plugin={}", experiments().join("format").display());
    let message = bench.fails(4, &["check", spec, "--set", &set]);
    assert!(
        message.contains("help: did you mean ") && message.contains("plugins/format.wasm?"),
        "{message}"
    );
    let message = fails(4, "rewards.format.plugin=nowhere/form");
    assert!(message.contains("in the folder `plugins` of its repository"), "{message}");
    bench.fails(4, &["check", "no-such-file.yaml"]);
    bench.fails(2, &["run"]);
    bench.fails(4, &["ls"]);
    bench.fails(7, &["run", spec, "--device", "abacus"]);
    let other = bench.write("other.sqlite", "not a database, but long enough to look like a file");
    bench.fails(8, &["ls", "--store", &other]);
    bench.fails(4, &["explain", "R1X9999"]);
    assert!(bench.ok(&["explain", "R1X0103"]).contains("R1X0103"));
    assert!(bench.ok(&["schema"]).contains("$schema"));
    assert!(bench.ok(&["version"]).contains("r1x "));
    assert!(bench.ok(&["completions", "bash"]).contains("r1x"));
}
