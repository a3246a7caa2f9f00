//! `check` refuses what `run` would refuse before its first step, and nothing else, with the same words.
//!
//! Every shipped experiment and its data are changed in many small ways; both commands are asked about each. Must
//! not test what training does: a run that begins has one step.

#[path = "agreement/small.rs"]
mod small;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use small::{SMALL_GAME, small};

/// Every shipped experiment on Countdown.
const EXPERIMENTS: [&str; 6] = [
    "countdown.yaml",
    "countdown-dense.yaml",
    "countdown-distillation.yaml",
    "countdown-rejection.yaml",
    "countdown-shaped.yaml",
    "countdown-sft-control.yaml",
];

/// One change of an experiment.
struct Case {
    /// What it is, for a person.
    name: String,
    /// The spec file and every `--set`.
    spec: PathBuf,
    set: Vec<String>,
    /// What the refusal says; `None` when nothing is wrong.
    reasons: Option<Vec<String>>,
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn r1x(&self, command: &str, case: &Case, store: &Path) -> Output {
        let mut process = Command::new(env!("CARGO_BIN_EXE_r1x"));
        process
            .arg(command)
            .arg(&case.spec)
            .env("R1X_STORE", store)
            .env("XDG_CACHE_HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .current_dir(self.folder.path());
        case.set.iter().for_each(|set| {
            process.args(["--set", set]);
        });
        if command == "run" {
            process.args(["--threads", "1", "--json"]);
        }
        process.output().unwrap()
    }

    /// What the two commands disagree about, if they do.
    fn disagreement(&self, case: &Case, number: usize) -> Option<String> {
        let store = self.folder.path().join(format!("{number}/r1x.sqlite"));
        let check = self.r1x("check", case, &store);
        let run = self.r1x("run", case, &store);
        let (said, told) = (errors(&check), errors(&run));
        let codes = (check.status.code(), run.status.code());
        let wrong = |what: &str| {
            Some(format!(
                "{}: {what}\n  check {:?}: {said}\n  run {:?}: {told}",
                case.name, codes.0, codes.1
            ))
        };
        if said.contains("has a bug") || told.contains("has a bug") {
            return wrong("a bug");
        }
        let Some(reasons) = &case.reasons else {
            return if codes == (Some(0), Some(0)) {
                None
            } else {
                wrong("nothing is wrong with it")
            };
        };
        if codes.0 != codes.1 || codes.0 == Some(0) {
            return wrong("the exit codes");
        }
        if said != told {
            return wrong("the words");
        }
        if let Some(missing) = reasons.iter().find(|reason| !said.contains(*reason)) {
            return wrong(&format!("`{missing}` is not said"));
        }
        if store.exists() {
            return wrong("the run left something in the store");
        }
        None
    }
}

/// Standard error from the first error on.
fn errors(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text.lines().skip_while(|line| !line.starts_with("error"));
    lines.collect::<Vec<_>>().join("\n")
}

fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments")
}

/// A change by `--set` of every shipped experiment. `sft` and `grpo` say for which last stage it makes sense.
fn of_specs() -> Vec<Case> {
    let context = "more than the model's context of";
    let everywhere: [(&str, Option<&[&str]>); 14] = [
        ("seed=4", None),
        ("seed=18446744073709551615", None),
        ("data.countdown.prompt=\"{{ nums | join(' ') }} -> {{ target }} <think>\\n\"", None),
        ("model.context_length=34", Some(&["eval `heldout`: the problem `", "with 32", context])),
        ("model.context_length=14", Some(&["max_tokens", "context of 14"])),
        (
            "evals.heldout.sampling.max_tokens=60",
            Some(&["eval `heldout`: the problem `", "60", context]),
        ),
        ("evals.heldout.limit=7", Some(&["the limit is 7", "`countdown.heldout` has 6"])),
        ("stages.cold-start.sft.batch_size=21", Some(&["batch_size is 21", "has 20 problems"])),
        (
            "model.tokenizer={vocabulary: [\"1\", \"2\"]}",
            Some(&["stage `cold-start`: the problem `", "is not in the vocabulary"]),
        ),
        (
            "model.tokenizer={vocabulary: [\"a b\"]}",
            Some(&["`a b` of the vocabulary holds a blank"]),
        ),
        ("model.tokenizer={file: none.json, eos: \"<e>\"}", Some(&["cannot read", "none.json"])),
        (
            "data.countdown.prompt=\"{{ nums }} {{ goal }}\"",
            Some(&["it uses `goal`, which the data does not have"]),
        ),
        (
            "rewards.format.with={order: [nothing]}",
            Some(&["format.wasm cannot be used as a reward"]),
        ),
        ("model={hidden_size: 1048576, layers: 4096}", Some(&["parameters", "this machine has"])),
    ];
    let reinforced: [(&str, Option<&[&str]>); 6] = [
        ("stages.rl.grpo.skip=80", Some(&["skipping 80 leaves nothing of the 80 problems"])),
        (
            "stages.rl.grpo.prompts_per_step=61",
            Some(&["prompts_per_step is 61", "has 60 problems"]),
        ),
        (
            "stages.rl.grpo.sampling.max_tokens=59",
            Some(&["stage `rl`: the problem `", "with 59", context]),
        ),
        ("stages.rl.grpo.rewards=[nobody]", Some(&["there is no reward `nobody`"])),
        (
            "rewards.format.for={column: target, values: [\"999\"]}",
            Some(&["the reward `format` judges none of the problems"]),
        ),
        ("rewards.equation.limits.memory_bytes=65536", Some(&["wanted more memory than 65536"])),
    ];
    let mut cases = Vec::new();
    for experiment in EXPERIMENTS {
        let of_grpo = experiment != "countdown-sft-control.yaml";
        let reinforced = reinforced.iter().filter(|_| of_grpo);
        for (set, reasons) in everywhere.iter().chain(reinforced) {
            let mut all = small(experiment);
            all.extend(SMALL_GAME.map(str::to_owned));
            all.push((*set).to_owned());
            cases.push(Case {
                name: format!("{experiment} with {set}"),
                spec: experiments().join(experiment),
                set: all,
                reasons: reasons.map(|reasons| reasons.iter().map(|r| (*r).to_owned()).collect()),
            });
        }
    }
    cases
}

/// A row of the file, as JSON.
type Row = serde_json::Map<String, serde_json::Value>;

fn row(number: u64) -> Row {
    let (a, b, c) = (number % 9 + 1, number % 7 + 1, number % 5 + 1);
    let (sum, target) = (a + b, a + b + c);
    let text = format!(
        "{a} + {b} = {sum} ; {sum} + {c} = {target} </think> <answer> ( {a} + {b} ) + {c} </answer>"
    );
    let row = serde_json::json!({
        "nums": [a, b, c], "target": target, "worked": text, "number": number, "kind": "sum",
    });
    row.as_object().unwrap().clone()
}

/// The lines of a file of problems.
fn lines() -> Vec<String> {
    (0..120).map(|number| serde_json::Value::Object(row(number)).to_string()).collect()
}

/// The keys of the data set, and the text of its file.
struct FileCase {
    name: &'static str,
    jsonl: &'static str,
    prompt: &'static str,
    set: Vec<&'static str>,
    text: Vec<u8>,
    /// Where `FILE` stands for the path.
    reasons: Option<&'static [&'static str]>,
}

const JSONL: &str = "heldout: 0.3, solution: worked, answer: target";
const PROMPT: &str = "{{ nums | join(' ') }} -> {{ target }} <think>";

fn case(
    name: &'static str,
    text: impl Into<Vec<u8>>,
    reasons: Option<&'static [&'static str]>,
) -> FileCase {
    FileCase { name, jsonl: JSONL, prompt: PROMPT, set: Vec::new(), text: text.into(), reasons }
}

/// The file with its line 10 written in another way. Line 10 is a training problem that both stages meet.
fn with_line(line: &str) -> String {
    let mut all = lines();
    all[9] = line.to_owned();
    all.join("\n")
}

/// The file with some columns of line 10 changed; `null` as a text takes a column away.
fn with_columns(change: impl Fn(&mut Row)) -> String {
    let mut changed = row(9);
    change(&mut changed);
    with_line(&serde_json::Value::Object(changed).to_string())
}

fn with(key: &'static str, value: serde_json::Value) -> String {
    with_columns(|row| {
        row.insert(key.to_owned(), value.clone());
    })
}

/// Every kind of file.
fn files() -> Vec<FileCase> {
    let good = lines().join("\n");
    let duplicate =
        with_line(r#"{"nums": [1, 2, 3], "nums": [1, 2, 4], "target": 6, "worked": "x"}"#);
    let unreadable = {
        let mut bytes = good.clone().into_bytes();
        let at = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(8).unwrap().0;
        bytes[at + 5] = 0xff;
        bytes
    };
    vec![
        case("rows as they should be", good.clone(), None),
        case("a byte-order mark", format!("\u{feff}{good}"), None),
        case("CRLF", good.replace('\n', "\r\n"), None),
        case("blank lines", good.replace('\n', "\n \n\n"), None),
        case("an optional column that one row has", with("unit", "m".into()), None),
        FileCase {
            jsonl: "heldout: 0.3, columns: [nums, target], solution: worked",
            ..case("columns that are listed", good.clone(), None)
        },
        case("an empty file", "", Some(&["FILE has no rows"])),
        case("only blank lines", "\n \r\n\t\n", Some(&["FILE has no rows"])),
        case("a key twice", duplicate, Some(&["FILE:10: the key `nums` is written twice"])),
        case("broken JSON", with_line("{\"nums\": [1,"), Some(&["FILE:10: not JSON"])),
        case("NaN", with_line("{\"nums\": [NaN]}"), Some(&["FILE:10: not JSON", "write null"])),
        case(
            "a list",
            with_line("[1, 2]"),
            Some(&["FILE:10: a row is an object, but this is a list"]),
        ),
        case(
            "a text",
            with_line("\"x\""),
            Some(&["FILE:10: a row is an object, but this is text"]),
        ),
        case("no UTF-8", unreadable, Some(&["FILE:10: not UTF-8 from byte 5"])),
        case(
            "a number beyond 64 bits",
            with("number", serde_json::json!(1))
                .replace("\"number\":1,", "\"number\":123456789012345678901234567890,"),
            None,
        ),
    ]
}

/// Files with one row that is wrong.
fn wrong_rows() -> Vec<FileCase> {
    let without = |key: &'static str| {
        with_columns(move |row| {
            row.remove(key);
        })
    };
    let long: Vec<u64> = vec![1; 70];
    vec![
        case(
            "no target",
            without("target"),
            Some(&["FILE:10:", "it uses `target`, which this row does not have"]),
        ),
        case(
            "no numbers",
            without("nums"),
            Some(&["FILE:10:", "it uses `nums`, which this row does not have"]),
        ),
        case(
            "a target that is null",
            with("target", ().into()),
            Some(&["before stage `rl`: FILE:10:", "`target`"]),
        ),
        case(
            "a target in words",
            with("target", "six".into()),
            Some(&["before stage `rl`: FILE:10:", "is not a whole number"]),
        ),
        case(
            "a target that is a list",
            with("target", vec![6].into()),
            Some(&["FILE:10: the column `target` must be text"]),
        ),
        case(
            "numbers in words",
            with("nums", vec!["one", "two", "three"].into()),
            Some(&["before stage `rl`: FILE:10:", "is not a whole number"]),
        ),
        case("numbers that are none", with("nums", 5.into()), Some(&["FILE:10:", "cannot join"])),
        case(
            "no worked solution",
            with("worked", ().into()),
            Some(&["stage `cold-start`: FILE:10: there is no worked solution"]),
        ),
        case(
            "a long solution",
            with("worked", "1 ".repeat(80).into()),
            Some(&["stage `cold-start`: FILE:10: prompt, solution and end have"]),
        ),
        case(
            "a long prompt",
            with("nums", long.into()),
            Some(&["stage `rl`: FILE:10: the prompt has 73 tokens", "context of 64"]),
        ),
    ]
}

/// What `columns` and its like say about a good file.
fn other_columns() -> Vec<FileCase> {
    let good = lines().join("\n");
    vec![
        FileCase {
            jsonl: "heldout: 0.3, columns: {nums: nums, target: target}, solution: worked",
            ..case("columns by their own names", good.clone(), None)
        },
        FileCase {
            jsonl: "heldout: 0.3, columns: {nums: numbers, target: goal}, solution: worked",
            ..case(
                "columns by other names",
                good.replace("\"nums\"", "\"numbers\"").replace("\"target\"", "\"goal\""),
                None,
            )
        },
        FileCase {
            jsonl: "heldout: 0.3, columns: [nums], solution: worked",
            ..case(
                "a template with an unlisted column",
                good.clone(),
                Some(&["it uses `target`, which `columns` does not list"]),
            )
        },
        FileCase {
            jsonl: "heldout: 0.3, columns: [nums], solution: worked",
            prompt: "{{ nums | join(' ') }} <think>",
            ..case(
                "a reward with an unlisted column",
                good.clone(),
                Some(&[
                    "the reward `equation` needs the column `target`, which `columns` of the data `countdown` does not list",
                ]),
            )
        },
        FileCase {
            jsonl: "heldout: 0.3, columns: [nums, target, goal], solution: worked",
            ..case(
                "a listed column that no row has",
                good.clone(),
                Some(&["FILE:1: the column `goal` is missing"]),
            )
        },
        FileCase {
            jsonl: "heldout: 0.3, columns: [nums, nums, target], solution: worked",
            ..case("a column twice", good.clone(), Some(&["the column `nums` is named twice"]))
        },
        FileCase {
            jsonl: "heldout: 0.3, solution: steps",
            ..case(
                "a solution that no row has",
                good.clone(),
                Some(&["FILE:1: the column `steps` is missing"]),
            )
        },
        FileCase {
            jsonl: "heldout: 0.3",
            ..case(
                "no solution at all",
                good.clone(),
                Some(&["has no worked solutions to learn from"]),
            )
        },
        FileCase {
            jsonl: "heldout: 0, solution: worked",
            ..case("nothing held out", good.clone(), Some(&["holds out no problems"]))
        },
    ]
}

/// What the rest of the spec wants of a file.
fn other_settings() -> Vec<FileCase> {
    let good = lines().join("\n");
    vec![
        FileCase {
            set: vec!["stages.rl.grpo.skip=500"],
            ..case(
                "a skip beyond the rows",
                good.clone(),
                Some(&["skipping 500 leaves nothing of the"]),
            )
        },
        FileCase {
            set: vec!["stages.rl.grpo.prompts_per_step=500"],
            ..case(
                "a step beyond the rows",
                good.clone(),
                Some(&["prompts_per_step is 500, but `countdown.train` has"]),
            )
        },
        FileCase {
            set: vec!["stages.cold-start.sft.batch_size=21"],
            ..case(
                "a batch beyond the limit",
                good.clone(),
                Some(&["batch_size is 21, but `countdown.train` has 20 problems"]),
            )
        },
        FileCase {
            set: vec!["model.tokenizer={vocabulary: [\"->\", \"1\"]}"],
            ..case(
                "a vocabulary without the rows' words",
                good.clone(),
                Some(&["stage `cold-start`: FILE:", "is not in the vocabulary"]),
            )
        },
        FileCase {
            set: vec!["rewards.format.for={column: kind, values: [product]}"],
            ..case(
                "a reward for a value that no row has",
                good.clone(),
                Some(&["the reward `format` judges none of the problems"]),
            )
        },
        FileCase {
            set: vec!["rewards.equation.for={column: kind, values: [sum]}"],
            ..case("a reward for a value that every row has", good.clone(), None)
        },
        FileCase {
            set: vec!["rewards.equation.max_failed_share=0.5", "stages.rl.grpo.prompts_per_step=4"],
            ..case("a failing row that the policy allows", with("target", "six".into()), None)
        },
        FileCase {
            set: vec!["rewards.equation.on_failure=fail", "rewards.equation.max_failed_share=0.5"],
            ..case(
                "a failing row that stops",
                with("target", "six".into()),
                Some(&["before stage `rl`: FILE:10:"]),
            )
        },
        FileCase {
            set: vec!["judges={critic: {checkpoint: nowhere}}"],
            ..case("a judge that is not there", good.clone(), Some(&["cannot read", "nowhere"]))
        },
    ]
}

/// The experiment of a file: the shipped one with its data replaced.
fn written(file: FileCase, number: usize, folder: &Path) -> Case {
    let data = format!("rows-{number}.jsonl");
    std::fs::write(folder.join(&data), &file.text).unwrap();
    let parent = experiments().canonicalize().unwrap().join("countdown.yaml");
    let plugins = parent.parent().unwrap().with_file_name("plugins");
    let spec = folder.join(format!("spec-{number}.yaml"));
    let prompt = serde_json::Value::from(file.prompt);
    let text = format!(
        "r1x: 1\nextends: {}\nname: rows\ndata:\n  countdown:\n    jsonl: {{path: {data}, {}}}\n    prompt: {prompt}\n",
        parent.display(),
        file.jsonl
    );
    std::fs::write(&spec, text).unwrap();
    assert!(plugins.is_dir());
    let path = folder.join(&data).display().to_string();
    let reasons =
        file.reasons.map(|reasons| reasons.iter().map(|r| r.replace("FILE", &path)).collect());
    let mut set = small("countdown.yaml");
    // So that the changed line is met whatever is drawn.
    set.push("stages.cold-start.sft.batch_size=20".to_owned());
    set.push("stages.rl.grpo.skip=1".to_owned());
    set.push("stages.rl.grpo.prompts_per_step=60".to_owned());
    set.push("stages.rl.grpo.steps=2".to_owned());
    set.extend(file.set.into_iter().map(str::to_owned));
    Case { name: file.name.to_owned(), spec, set, reasons }
}

#[test]
fn check_and_run_refuse_the_same_specs_with_the_same_words() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let folder = bench.folder.path().canonicalize().unwrap();
    let rows = [files(), wrong_rows(), other_columns(), other_settings()]
        .into_iter()
        .flatten()
        .enumerate();
    let mut cases: Vec<Case> = rows.map(|(n, file)| written(file, n, &folder)).collect();
    cases.extend(of_specs());
    let refused = cases.iter().filter(|case| case.reasons.is_some()).count();
    assert!(refused >= 80, "{refused} changes are refused");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { return found };
            found.extend(bench.disagreement(case, number));
        }
    };
    let found: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.is_empty(), "{} of {} cases:\n{}", found.len(), cases.len(), found.join("\n\n"));
}
