//! A language of one line, standing in for a real interpreter in the tests of the host.
//!
//! The program is ignored; its input says what to do.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({ path: "../../crates/r1x-reward/wit", world: "interpreter" });
}

/// Runs of this sandbox so far.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// What one run says: the word of the contract, a status, a text.
pub fn obey(input: &str) -> (String, i32, String) {
    let runs = RUNS.fetch_add(1, Ordering::Relaxed) + 1;
    let (order, rest) = input.split_once(' ').unwrap_or((input, ""));
    let number = rest.parse::<usize>().unwrap_or(0);
    let (word, status, text) = match order {
        "say" => ("ok", 0, rest.to_owned()),
        "count" => ("ok", 0, runs.to_string()),
        "fail" => ("failed", 0, rest.to_owned()),
        "leave" => ("exit", i32::try_from(number).unwrap_or(0), "so far".to_owned()),
        "import" => ("import", 0, rest.to_owned()),
        "lie" => ("perfect", 0, String::new()),
        "loop" => spin(),
        "bomb" => bomb(),
        "flood" => ("ok", 0, "x".repeat(number)),
        _ => panic!("asked for `{order}`"),
    };
    (word.to_owned(), status, text)
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns).wrapping_add(1);
    }
}

fn bomb() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

#[cfg(target_arch = "wasm32")]
mod exports {
    use super::bindings;

    struct Parrot;

    impl bindings::Guest for Parrot {
        fn run(_code: String, _function: Option<String>, input: String) -> (String, i32, String) {
            super::obey(&input)
        }
    }

    bindings::export!(Parrot with_types_in bindings);
}
