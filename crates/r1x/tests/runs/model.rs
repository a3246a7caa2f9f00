//! Published models from the command line, on a folder that transformers wrote.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::bench::text;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../r1x-model/tests/golden/families").join(name)
}

fn r1x(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_r1x"));
    command.args(arguments).env("NO_COLOR", "1").env_remove("RUST_LOG").output().unwrap()
}

/// A file with these lines.
fn file(lines: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    file
}

fn score(model: &Path, lines: &str, more: &[&str]) -> Output {
    let ids = file(lines);
    let (model, ids) = (model.to_str().unwrap(), ids.path().to_str().unwrap());
    let arguments = [&["model", "score", model, "--ids", ids], more].concat();
    r1x(&arguments)
}

#[test]
fn tokens_are_scored_a_json_object_a_line() {
    let output =
        score(&golden("qwen3"), "[1, 2, 3, 4]\n\n[5]\n[6, 7]\n", &["--json", "--grad-norms"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts: Vec<usize> =
        lines.iter().map(|line| line["logprobs"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [3, 0, 1]);
    assert!(lines[0]["logprobs"][0].as_f64().unwrap() < 0.0);
    let norms = lines[0]["grad_norms"].as_object().unwrap();
    assert!(norms["model.layers.0.self_attn.q_norm.weight"].as_f64().unwrap() > 0.0);
    assert!(lines[1].get("grad_norms").is_none());
    // A line says what it says whatever stands beside it, and rounded factors say nearly as much.
    let alone = score(&golden("qwen3"), "[6, 7]\n", &["--json"]);
    let alone: Value = serde_json::from_str(text(&alone.stdout).trim()).unwrap();
    assert_eq!(alone["logprobs"], lines[2]["logprobs"]);
    let rounded = score(&golden("qwen3"), "[6, 7]\n", &["--json", "--precision", "bf16"]);
    let rounded: Value = serde_json::from_str(text(&rounded.stdout).trim()).unwrap();
    let [exact, rounded] = [&alone, &rounded].map(|line| line["logprobs"][0].as_f64().unwrap());
    assert!(exact != rounded && (exact - rounded).abs() < 0.2, "{exact} and {rounded}");
    let table = text(&score(&golden("qwen3"), "[1, 2, 3]\n", &[]).stdout);
    assert!(table.contains("mean log-prob") && table.contains("perplexity"), "{table}");
}

#[test]
fn tokens_may_come_out_of_a_pipe() {
    let model = golden("qwen3");
    let mut command = Command::new(env!("CARGO_BIN_EXE_r1x"));
    command.args(["model", "score", model.to_str().unwrap(), "--ids", "/dev/stdin", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[1, 2, 3, 4]\n[6, 7]\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let of_file = score(&model, "[1, 2, 3, 4]\n[6, 7]\n", &["--json"]);
    assert_eq!((output.stdout.is_empty(), &output.stdout), (false, &of_file.stdout));
}

#[test]
fn what_cannot_be_scored_is_told_with_its_place() {
    let told = |model: &Path, lines: &str| {
        let output = score(model, lines, &[]);
        (output.status.code(), text(&output.stderr))
    };
    let (code, message) = told(&golden("llama"), "[1, 2]\n[1, -2]\n");
    assert!(code == Some(4) && message.contains(", line 2: "), "{message}");
    let (code, message) = told(&golden("llama"), "[1, 4000]\n");
    assert!(code == Some(4) && message.contains("token 4000 is outside"), "{message}");
    let long: Vec<u32> = vec![1; 65];
    let (code, message) = told(&golden("llama"), &format!("{long:?}\n"));
    assert!(code == Some(4) && message.contains("a sequence of 65 tokens"), "{message}");
    let empty = tempfile::tempdir().unwrap();
    let (code, message) = told(empty.path(), "[1, 2]\n");
    assert!(code == Some(4) && message.contains("holds no weights"), "{message}");
    std::fs::write(empty.path().join("config.json"), "{\"model_type\": \"gpt2\"}").unwrap();
    let (code, message) = told(empty.path(), "[1, 2]\n");
    assert!(code == Some(4) && message.contains("what is known: llama, qwen2"), "{message}");
    std::fs::copy(golden("llama").join("config.json"), empty.path().join("config.json")).unwrap();
    let (code, message) = told(empty.path(), "[1, 2]\n");
    assert!(code == Some(4) && message.contains("no weights"), "{message}");
}
