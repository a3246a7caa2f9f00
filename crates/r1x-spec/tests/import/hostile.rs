//! Recipes that are broken, wrong or out to do harm: each is refused with its place and what to do, and none takes long.

use std::path::Path;
use std::time::{Duration, Instant};

use r1x_core::rng::Rng;
use r1x_spec::import::{System, import};

use super::{beside, folder, imported};

/// The first line of what is said, the line that it is about, and whether it says how to mend it.
#[track_caller]
fn refused(system: System, text: &str) -> (String, Option<usize>) {
    let report = imported(system, text).expect_err(text);
    let first = &report.diagnostics[0];
    assert!(first.help.is_some(), "{report}");
    (first.message.clone(), first.at.as_ref().map(|at| at.line))
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    let begin = "reward_funcs: accuracy_reward\n";
    for (more, message) in [
        ("learning_rate: fast\n", "`learning_rate` takes a number, and this is text"),
        ("learning_rate: [1]\n", "`learning_rate` takes a number, and this is a list"),
        ("learning_rate: .nan\n", "`learning_rate` is no finite number"),
        (
            "num_generations: 1.5\n",
            "`num_generations` takes a whole number, and this is a number with a fraction",
        ),
        ("num_generations: 0\n", "`num_generations` is 0, and must be at least 1"),
        ("num_generations: -3\n", "`num_generations` is -3, and must be at least 1"),
        (
            "num_generations: 99999999999999\n",
            "`num_generations` is 99999999999999, which no count is",
        ),
        ("loss_type: dapoo\n", "`loss_type` has no word `dapoo`"),
        ("beta: yes please\n", "`beta` takes a number, and this is text"),
        ("bf16: 3\n", "`bf16` takes `true` or `false`, and this is a whole number"),
        (
            "reward_funcs2: {a: 1}\nreward_weights: [one]\n",
            "`reward_weights` takes numbers, and has something else",
        ),
        (
            "num_generations: 7\n",
            "a batch of 8 completions is no multiple of the 7 completions of a prompt",
        ),
    ] {
        let (found, line) = refused(System::Trl, &format!("{begin}{more}"));
        assert_eq!(found, message, "{more}");
        assert!(line.is_some_and(|line| line >= 2), "{more}: {line:?}");
    }
}

#[test]
fn recipes_of_verl_that_r1x_has_nothing_for_are_refused() {
    let (message, line) = refused(
        System::Verl,
        "actor_rollout_ref:\n  rollout:\n    n: 1\nalgorithm: {adv_estimator: grpo}\n",
    );
    assert!(message.contains("a group of one completion"), "{message}");
    assert_eq!(line, Some(3));
    let (message, _) = refused(System::Verl, "learning_rate: 1e-6\n");
    assert!(message.contains("no key of this file is one of verl"), "{message}");
    let script = |text: &str| {
        let report = import(System::Verl, Path::new("run.sh"), text.as_bytes(), &beside(None))
            .expect_err(text);
        let first = &report.diagnostics[0];
        assert!(first.help.is_some() && first.at.is_some(), "{report}");
        first.message.clone()
    };
    assert_eq!(script("set -x\nls\n"), "this starts no training of verl");
    let twice = "python3 -m verl.trainer.main_ppo a.b=1\n".repeat(2);
    assert_eq!(script(&twice), "the script starts a training here and in line 1");
    assert_eq!(script("python3 -m verl.trainer.main_ppo banana\n"), "`banana` is no `KEY=VALUE`");
    let unknown = "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo actor_rollout_ref.rollout.n=4 \\\n  \
                   data.train_batch_size=$(nproc)\n";
    assert!(script(unknown).contains("takes a whole number, and this is text"));
}

/// Whatever is in a file, reading it ends soon and without a panic.
#[test]
fn mutations_of_recipes_never_panic() {
    let stream = Rng::new(5).stream("recipes");
    let scraps = [
        "${", "$((", "}", "))", "\"", "'", "\\\n", "=(", "[", "{", ": ", "- ", "\n", "\t", "&a ",
        "*a", "-1", "1e999", "\u{0}", "é",
    ];
    let mut refusals = 0;
    for (at, (name, system)) in super::RECIPES.into_iter().enumerate() {
        let original = std::fs::read_to_string(folder().join(name)).expect("a recipe");
        for round in 0..150 {
            let mut draws = stream.at(&[at as u64, round]);
            let mut text: Vec<char> = original.chars().collect();
            for _ in 0..=draws.below(4) {
                let from = draws.below(text.len() as u64) as usize;
                let to = (from + draws.below(40) as usize).min(text.len());
                let scrap = scraps[draws.below(scraps.len() as u64) as usize];
                match draws.below(3) {
                    0 => drop(text.drain(from..to)),
                    1 => drop(text.splice(from..from, scrap.chars())),
                    _ => drop(text.splice(from..to, scrap.chars())),
                }
                if text.is_empty() {
                    text.push('a');
                }
            }
            let text: String = text.into_iter().collect();
            let start = Instant::now();
            let outcome = import(system, Path::new(name), text.as_bytes(), &beside(Some(100)));
            assert!(start.elapsed() < Duration::from_secs(5), "{name}, round {round}");
            if let Err(report) = outcome {
                assert!(!report.diagnostics.is_empty());
                refusals += 1;
            }
        }
    }
    assert!(refusals > 100, "only {refusals} of 1050 mutations were noticed");
}

#[test]
fn large_and_deep_files_are_refused_soon() {
    let start = Instant::now();
    for (name, text) in [
        ("a.yaml", "a: 1\n".repeat(400_000)),
        ("a.yaml", "[".repeat(900_000)),
        ("a.sh", "a=(".repeat(300_000)),
        ("a.sh", format!("a={}\npython -m verl.trainer.main_ppo b.c=$a\n", "$(".repeat(300_000))),
        ("a.sh", {
            let doubled: String = (0..60).map(|n| format!("v{}=$v{n}$v{n}\n", n + 1)).collect();
            format!("v0=xxxxxxxx\n{doubled}python -m verl.trainer.main_ppo a.b=$v60\n")
        }),
    ] {
        let outcome = import(System::Verl, Path::new(name), text.as_bytes(), &beside(None));
        assert!(outcome.is_err(), "{name}: {}", &text[..20]);
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let outcome = import(System::Trl, Path::new("a.yaml"), b"a: \xff", &beside(None));
    assert!(outcome.expect_err("no text").to_string().contains("not text in UTF-8"));
}
