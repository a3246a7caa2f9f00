//! What `docs/extending.md` shows is true: its code is that of the files it names, and the loss that it adds is right.

use std::fs;

use r1x_core::loss::{Loss, LossOutput, LossTotals, Said, UpdateCounts};
use r1x_core::{TrainingSequence, testing};

use crate::root;

/// GSPO: the ratio of a whole sequence, its tokens' geometric mean, is clipped instead of each token's (Zheng et al.
/// 2025, "Group Sequence Policy Optimization", arXiv 2507.18071, equations 5 to 7).
struct Gspo {
    low: f64,
    high: f64,
    /// One over the sequences of the update.
    scale: f64,
}

impl Gspo {
    fn new(low: f64, high: f64, counts: &UpdateCounts) -> Self {
        Self { low, high, scale: 1.0 / counts.sequences.max(1) as f64 }
    }
}

impl Loss for Gspo {
    fn evaluate(&self, sequence: &TrainingSequence, said: Said<'_>) -> LossOutput {
        let logprobs = said.targets;
        let mut output = LossOutput { gradient: vec![0.0; logprobs.len()], ..Default::default() };
        let trained = || (0..logprobs.len()).filter(|&target| sequence.mask[target]);
        let Some(first) = trained().next() else { return output };
        let count = trained().count() as f64;
        let difference =
            |t: usize| f64::from(logprobs[t]) - f64::from(sequence.sampled_logprobs[t]);
        let ratio = (trained().map(difference).sum::<f64>() / count).exp();
        // One advantage for the whole sequence, as rewards of outcomes give it.
        let advantage = sequence.advantages[first];
        let bounded = ratio.clamp(1.0 - self.low, 1.0 + self.high) * advantage;
        output.totals = LossTotals {
            loss: -self.scale * bounded.min(ratio * advantage),
            tokens: count as u64,
            // A figure is a sum over targets, of which the mean is recorded.
            figures: vec![ratio * count],
            ..Default::default()
        };
        if ratio * advantage <= bounded {
            let derivative = -self.scale * ratio * advantage / count;
            trained().for_each(|target| output.gradient[target] = derivative as f32);
        }
        output
    }

    fn figures(&self) -> &'static [&'static str] {
        &["ratio.mean"]
    }
}

fn sequence(mask: &[bool], sampled: &[f32], advantage: f64) -> TrainingSequence {
    TrainingSequence {
        mask: mask.to_vec(),
        sampled_logprobs: sampled.to_vec(),
        advantages: vec![advantage; mask.len()],
        ..TrainingSequence::new(&[1], &vec![1; mask.len()])
    }
}

/// Two targets whose log-ratios are ln 2 and 0, so the sequence's ratio is √2: 0.5 of the loss of an update of two.
#[test]
fn the_loss_of_the_guide_matches_values_computed_by_hand() {
    let sampled = [-1.0_f32, -2.0];
    let logprobs = [-1.0 + std::f32::consts::LN_2, -2.0];
    let root_2 = std::f64::consts::SQRT_2;
    for (advantage, loss, derivative) in
        [(3.0, -0.5 * 1.3 * 3.0, 0.0), (-3.0, 0.5 * root_2 * 3.0, 0.5 * root_2 * 3.0 / 2.0)]
    {
        let one = sequence(&[true, true], &sampled, advantage);
        let gspo = Gspo::new(0.2, 0.3, &UpdateCounts::of([&one, &one], 0.0));
        let output = gspo.evaluate(&one, Said::of(&logprobs));
        assert!((output.totals.loss - loss).abs() < 1e-6, "{output:?}");
        assert!(output.gradient.iter().all(|g| (f64::from(*g) - derivative).abs() < 1e-6));
        assert!((output.totals.figures[0] / 2.0 - root_2).abs() < 1e-6);
    }
    let masked = sequence(&[false; 2], &sampled, 1.0);
    let gspo = Gspo::new(0.2, 0.3, &UpdateCounts::of([&masked], 0.0));
    assert_eq!(gspo.evaluate(&masked, Said::of(&logprobs)).totals, LossTotals::default());
}

#[test]
fn the_derivative_of_the_guide_agrees_with_central_differences() {
    let logprobs = [-0.7_f32, -2.1, -9.0, -3.2];
    for advantage in [-1.3, 0.8] {
        let one = sequence(&[true, true, false, true], &[-0.9, -2.0, -0.5, -3.0], advantage);
        let gspo = Gspo::new(0.2, 0.3, &UpdateCounts::of([&one], 0.0));
        let gradient = gspo.evaluate(&one, Said::of(&logprobs)).gradient;
        for target in 0..logprobs.len() {
            let at = |shift: f32| {
                let mut moved = logprobs;
                moved[target] += shift;
                (f64::from(moved[target]), gspo.evaluate(&one, Said::of(&moved)).totals.loss)
            };
            let ((above, high), (below, low)) = (at(1e-3), at(-1e-3));
            let difference = (high - low) / (above - below);
            assert!((difference - f64::from(gradient[target])).abs() < 1e-3, "target {target}");
        }
    }
}

/// A stage's plan of the kind that the guide describes is known to whoever reads outlines.
#[test]
fn an_outline_says_what_the_guide_says_it_does() {
    let stage = testing::sft_stage(testing::sft(7));
    let outline = stage.kind.outline();
    assert_eq!((stage.kind.as_str(), outline.steps), ("sft", 7));
    assert!(outline.rollouts.is_none() && outline.rewards.is_empty());
    assert_eq!(outline.learning.map(|learning| learning.updates_per_step()), Some(1));
}

/// A block of code under a sentence that names a file is a piece of that file, indentation aside; a line of three dots
/// stands for any lines.
#[test]
fn the_code_of_the_guide_is_that_of_the_files_it_names() {
    let guide = fs::read_to_string(root().join("docs/extending.md")).unwrap();
    let (mut file, mut block, mut blocks) = (None, None::<Vec<String>>, 0);
    for line in guide.lines() {
        match &mut block {
            None if line == "```rust" => block = Some(Vec::new()),
            None => {
                let named = line
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .filter(|word| word.contains('/') && word.ends_with(".rs"));
                file = named.last().map(str::to_owned).or(file);
            }
            Some(lines) if line == "```" => {
                let path = file.clone().expect("a block is under a sentence that names a file");
                assert_part_of(&path, lines);
                (block, blocks) = (None, blocks + 1);
            }
            Some(lines) => lines.push(line.trim().to_owned()),
        }
    }
    assert!(blocks >= 5, "{blocks} blocks");
}

fn assert_part_of(path: &str, lines: &[String]) {
    let text =
        fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let text: Vec<&str> = text.lines().map(str::trim).collect();
    let mut from = 0;
    for piece in lines.split(|line| line == "...") {
        let found = text[from..].windows(piece.len().max(1)).position(|window| window == piece);
        let Some(at) = found else { panic!("{path} does not have:\n{}", piece.join("\n")) };
        from += at + piece.len();
    }
}
