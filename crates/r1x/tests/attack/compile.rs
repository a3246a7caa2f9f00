//! Components that take a compiler long: measured before they are compiled, and compiled within limits.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::super::{Bench, COUNTDOWN, root, text};
use super::Guest;

fn nested(word: &str, depth: usize) -> Guest {
    let more = format!("(func {}{})", format!("({word} ").repeat(depth), ")".repeat(depth));
    Guest { more, ..Guest::new() }
}

fn functions(many: usize) -> Guest {
    Guest { more: "(func (result i32) i32.const 1)".repeat(many), ..Guest::new() }
}

#[test]
fn what_takes_a_compiler_too_long_is_refused_by_name() {
    for (guest, told) in [
        (nested("loop", 5_000), "5000 loops inside of each other, and 200 are the most"),
        (functions(150_000), "functions, and 100000 are the most"),
    ] {
        let bench = Bench::new();
        let plugin = guest.write(&bench);
        let said = bench.fails(6, &["plugin", "inspect", &plugin]);
        assert!(said.contains("is too large: it has ") && said.contains(told), "{said}");
        assert!(said.contains("R1X_COMPILE_SCALE=2 allows twice as much"), "{said}");
    }
}

/// One function within every limit on its shape, in which a thousand variables go round a hundred thousand loops.
fn tangled() -> Vec<u8> {
    let mut state = 1u32;
    let mut drawn = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("{}", (state >> 16) % 1_000)
    };
    let mut body = String::new();
    for _ in 0..100_000 {
        let (from, to) = (drawn(), drawn());
        body += &format!("loop local.get {from} local.set {to} i32.const 0 br_if 0 end ");
    }
    let variables = "i32 ".repeat(1_000);
    wat::parse_str(format!("(component (core module (func (local {variables}) {body})))")).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn code_that_hides_what_it_costs_is_ended_by_its_limits() {
    let bench = Bench::new();
    let path = bench.folder.path().join("tangled.wasm");
    std::fs::write(&path, tangled()).unwrap();
    let said = bench.fails(6, &["plugin", "inspect", path.to_str().unwrap()]);
    assert!(said.contains("cannot be compiled: compiling it took more than"), "{said}");
    assert!(said.contains("R1X_COMPILE_SCALE=2 allows twice as much"), "{said}");
}

/// What the process that compiles makes of a component, with these limits.
fn compiled(component: &[u8], seconds: u64, memory_bytes: u64) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_r1x"))
        .args(["r1x-compiles", "timed", &seconds.to_string(), &memory_bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&(component.len() as u64).to_le_bytes()).unwrap();
    input.write_all(component).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    output
}

#[cfg(target_os = "linux")]
#[test]
fn a_compiler_that_takes_more_than_it_may_is_ended() {
    use std::os::unix::process::ExitStatusExt;
    let heavy = functions(90_000).component();
    let output = compiled(&heavy, 1, 8 << 30);
    assert_eq!(output.status.signal(), Some(24), "SIGXCPU: {output:?}");
    let output = compiled(&heavy, 600, 128 << 20);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("memory allocation of"), "{}", text(&output.stderr));
    let light = std::fs::read(root().join(COUNTDOWN)).unwrap();
    assert!(compiled(&light, 20, 512 << 20).status.success());
}

#[test]
fn the_compiler_ends_with_the_one_that_started_it() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_r1x"))
        .args(["r1x-compiles", "timed", "600", "8000000000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let heavy = functions(90_000).component();
    input.write_all(&(heavy.len() as u64).to_le_bytes()).unwrap();
    input.write_all(&heavy).unwrap();
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_another_process_compiled_is_found_again() {
    let bench = Bench::new();
    let first = bench.r1x(&["plugin", "inspect", COUNTDOWN]);
    assert!(text(&first.stderr).contains("compiled countdown in"), "{first:?}");
    let second = bench.r1x(&["plugin", "inspect", COUNTDOWN]);
    assert_eq!(text(&second.stderr), "");
    assert_eq!(first.stdout, second.stdout);
}
