//! A run that averages the weights of two stages: by value, from the files of their checkpoints.

use super::bench::{Bench, MERGED, text};

/// The numbers of a file of safetensors of f32, behind its header.
fn numbers(bytes: &[u8]) -> (&[u8], Vec<f32>) {
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (header, numbers) = bytes.split_at(header);
    let numbers = numbers.chunks(4).map(|number| f32::from_le_bytes(number.try_into().unwrap()));
    (header, numbers.collect())
}

#[test]
fn weights_are_averaged_and_gone_on_from() {
    let bench = Bench::with_merged();
    let plan = bench.ok(&["plan", MERGED]);
    assert!(plan.contains("both: 0.2500 of `rl` + 0.7500 of `other`"), "{plan}");
    let output = bench.output(&["run", MERGED]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = bench.latest()["name"].as_str().unwrap().to_owned();
    let read = |stage: &str| {
        std::fs::read(bench.path(&format!("runs/{run}/{stage}/final/model.safetensors"))).unwrap()
    };
    let files = ["rl", "other", "both"].map(read);
    let [(header, one), (of_other, other), (of_both, both)] =
        [0, 1, 2].map(|at| numbers(&files[at]));
    // The tensors of all three have equal names, shapes and places.
    assert!(header == of_other && header == of_both);
    let expected: Vec<f32> = one
        .iter()
        .zip(&other)
        .map(|(one, other)| {
            let first = (0.25 * f64::from(*one)) as f32;
            (f64::from(first) + 0.75 * f64::from(*other)) as f32
        })
        .collect();
    assert!(one != other && both.len() > 1000);
    assert_eq!(both, expected);
    // What comes of it is evaluated like what is learnt, and its file is what the store says.
    let evaluated = bench.sql("SELECT 1 FROM v_evals WHERE stage = 'both' AND metric = 'pass@1'");
    assert_eq!(evaluated.len(), 1);
    let steps = bench.sql("SELECT metric FROM v_metrics WHERE stage = 'on'");
    assert!(!steps.is_empty());
    let shown = bench.ok(&["show"]);
    assert!(shown.contains("both"), "{shown}");
    let said = bench.ok(&["generate", "--checkpoint", "both/final", "-n", "1", "--json"]);
    assert!(said.lines().count() > 0);
}

/// The adapters of a stage are merged into a model that is gone on from with all weights, and published as what it is.
#[test]
fn adapters_are_merged_and_gone_on_from() {
    let bench = Bench::with_merged();
    let trained = bench.json(&["run", "small.yaml", "--json"]);
    let run = trained["run"].as_str().unwrap();
    let checkpoint = format!("runs/{run}/cold-start/final");
    bench.ok(&["model", "export", &checkpoint, "published", "--dtype", "f32"]);
    std::fs::write(bench.path("adapted.yaml"), ADAPTED).unwrap();
    let plan = bench.ok(&["plan", "adapted.yaml"]);
    assert!(plan.contains("whole: 1.0000 of `adapters`"), "{plan}");
    let output = bench.output(&["run", "adapted.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = bench.latest()["name"].as_str().unwrap().to_owned();
    let folder = |stage: &str| format!("runs/{run}/{stage}/final");
    // What the stage has made is what an export of the adapters makes, number by number.
    for (stage, to) in [("adapters", "one"), ("whole", "other")] {
        bench.ok(&["model", "export", &folder(stage), to, "--dtype", "f32"]);
    }
    let read = |name: &str| std::fs::read(bench.path(name).join("model.safetensors")).unwrap();
    assert_eq!(read("one"), read("other"));
    assert_ne!(read("one"), read("published"), "the adapters have learnt");
    let evaluated = bench.sql(&format!(
        "SELECT value FROM v_evals WHERE run = '{run}' AND stage = 'whole' AND metric = 'pass@1'"
    ));
    assert_eq!(evaluated.len(), 1, "{evaluated:?}");
    bench.ok(&["reproduce", &run]);
}

const ADAPTED: &str = r#"
extends: small.yaml
name: adapted
model: {from: published, precision: f32}
models:
  light: {lora: {rank: 2}}
stages:
  - id: cold-start
    drop: true
  - id: rl
    grpo: null
    evaluate: {evals: [heldout]}
  - id: adapters
    model: light
    weights: base
    sft: {data: sums.train, steps: 6, batch_size: 16, micro_batch_size: 8, lr: 3e-3}
  - id: whole
    merge: {parts: {adapters: 1}}
  - id: on
    sft: {data: sums.train, steps: 4, batch_size: 16, micro_batch_size: 8, lr: 1e-3}
"#;
