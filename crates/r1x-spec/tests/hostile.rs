//! Specs that are out to do harm, and specs that are merely broken: none may panic, hang or use up memory.
//!
//! Must not check what messages say beyond their codes.

mod common;

use std::time::{Duration, Instant};

use common::{SPEC, World, experiment};
use r1x_core::rng::Rng;

/// The codes of a spec's mistakes; the reading must be quick.
fn codes(text: &[u8]) -> Vec<&'static str> {
    let mut world = World::new();
    world.files.insert(SPEC.into(), text.to_vec());
    let start = Instant::now();
    let result = world.resolve(&[]);
    // Generous: a debug build on a busy machine.
    assert!(start.elapsed() < Duration::from_secs(20), "reading took {:?}", start.elapsed());
    result.map_or_else(|report| report.diagnostics.iter().map(|d| d.code).collect(), |_| Vec::new())
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["[", "{a: ", "- ", "? "] {
        let text = format!("r1x: 1\ntags:\n  {}", open.repeat(100_000));
        let codes = codes(text.as_bytes());
        assert!(!codes.is_empty(), "{open}");
        assert!(
            codes.iter().all(|code| ["R1X0101", "R1X0102", "R1X0117"].contains(code)),
            "{codes:?}"
        );
    }
    let mut block = String::new();
    for depth in 0..1_000 {
        block.push_str(&" ".repeat(depth));
        block.push_str("a:\n");
    }
    assert_eq!(codes(block.as_bytes()), ["R1X0102"]);
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (from, to) in ('a'..='h').zip('b'..='i') {
        text.push_str(&format!("{to}: &{to} [{}]\n", format!("*{from}, ").repeat(9)));
    }
    assert_eq!(codes(text.as_bytes()), ["R1X0117"]);
}

#[test]
fn huge_files_are_refused() {
    assert_eq!(codes(&vec![b'#'; 3 << 20]), ["R1X0102"]);
    let many = format!("tags: [{}]", "a, ".repeat(100_000));
    assert_eq!(codes(many.as_bytes()), ["R1X0102"]);
    let key = format!("{}: 1", "k".repeat(5_000));
    assert!(!codes(key.as_bytes()).is_empty());
}

#[test]
fn many_mistakes_stay_few_messages() {
    let unknown: String = (0..9_000).map(|n| format!("key{n}: 1\n")).collect();
    assert!((1..=600).contains(&codes(unknown.as_bytes()).len()));
    let one_line: String = (0..9_000).map(|n| format!("{}{n}: 1, ", "k".repeat(90))).collect();
    assert!((1..=600).contains(&codes(format!("{{{one_line}}}").as_bytes()).len()));
    let twice = "a: 1\n".repeat(9_000);
    assert!((1..=600).contains(&codes(twice.as_bytes()).len()));
    let stages: String = (0..4_000).map(|_| "  - {id: a, x: 1}\n").collect();
    assert!((1..=600).contains(&codes(format!("stages:\n{stages}").as_bytes()).len()));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    assert_eq!(codes(b"name: \xff\xfe"), ["R1X0101"]);
    assert_eq!(codes(b"name: a\0b"), ["R1X0101"]);
    assert!(!codes(b"\0").is_empty());
    assert!(!codes(b"").is_empty());
    assert!(!codes("\u{feff}".as_bytes()).is_empty());
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_fine() {
    let text = experiment("countdown").replace('\n', "\r\n");
    assert_eq!(codes(format!("\u{feff}{text}").as_bytes()), Vec::<&str>::new());
}

#[test]
fn long_chains_of_extends_are_refused() {
    let mut world = World::new().with(SPEC, "r1x: 1\nextends: s0.yaml\n");
    for n in 0..50 {
        let text = format!("r1x: 1\nextends: s{}.yaml\n", n + 1);
        world.add(&format!("experiments/s{n}.yaml"), &text);
    }
    let report = world.resolve(&[]).expect_err("a chain of 51");
    assert_eq!(report.diagnostics[0].code, "R1X0114");
}

/// Cuts, repeats, swaps and overwrites pieces of the shipped experiment.
#[test]
fn random_mutations_never_panic() {
    let original = experiment("countdown").into_bytes();
    let stream = Rng::new(11).stream("mutations");
    let scraps: [&[u8]; 20] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b": ",
        b"- ",
        b"\n",
        b"\t",
        b"'",
        b"\"",
        b"&a ",
        b"*a",
        b"|\n",
        b">\n",
        b"!!",
        b"---\n",
        b"#",
        b"\xc3",
        b"99999999999999999999999",
        b".nan",
    ];
    let mut refused = 0;
    for round in 0..1_500 {
        let mut draws = stream.at(&[round]);
        let mut text = original.clone();
        for _ in 0..=draws.below(4) {
            let at = draws.below(text.len() as u64) as usize;
            let end = (at + draws.below(30) as usize).min(text.len());
            match draws.below(4) {
                0 => drop(text.drain(at..end)),
                1 => {
                    let piece = text[at..end].to_vec();
                    text.splice(at..at, piece);
                }
                2 => text[at] = draws.next_u32() as u8,
                _ => {
                    let scrap = scraps[draws.below(scraps.len() as u64) as usize];
                    text.splice(at..at, scrap.iter().copied());
                }
            }
        }
        refused += usize::from(!codes(&text).is_empty());
    }
    assert!(refused > 700, "only {refused} of 1500 mutations were noticed");
}

/// What holds for a file holds for `--set`.
#[test]
fn random_overrides_never_panic() {
    let world = World::new();
    let stream = Rng::new(12).stream("overrides");
    let parts = [
        "stages",
        ".",
        "rl",
        "grpo",
        "lr",
        "=",
        "1",
        "{",
        "}",
        "[",
        "]",
        "model",
        "attention",
        "mla",
        "gqa",
        "data",
        "countdown",
        "id",
        "drop",
        "null",
        "ü",
        " ",
        "\n",
        "\"",
        ":",
        "evals",
        "with",
    ];
    for round in 0..1_500 {
        let mut draws = stream.at(&[round]);
        let count = 1 + draws.below(12);
        let text: String =
            (0..count).map(|_| parts[draws.below(parts.len() as u64) as usize]).collect();
        // Either outcome is right; a panic fails the test.
        if let Err(report) = world.resolve_file("experiments/countdown.yaml", &[&text]) {
            assert!(!report.diagnostics.is_empty(), "{text:?} fails without a message");
        }
    }
}
