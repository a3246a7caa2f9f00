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
