//! Guests written by hand, each of which asks the system for one thing.
//!
//! Must not need a compiler for any language.

use wasmtime::component::{Instance, Linker};
use wasmtime::{Config, Store};

use super::*;

/// A component with these imports, whose core module exports `run`, which returns a number.
fn guest(imports: &str, lowered: &str, module: &str) -> (Instance, Store<System>) {
    let text = format!(
        "(component {imports}
           (core module $memory (memory (export \"memory\") 1))
           (core instance $memory (instantiate $memory))
           (alias core export $memory \"memory\" (core memory $mem))
           {lowered}
           (core module $code (import \"memory\" \"memory\" (memory 1)) {module})
           (core instance $code (instantiate $code
             (with \"memory\" (instance $memory))
             (with \"host\" (instance $host))))
           (func (export \"run\") (result u64) (canon lift (core func $code \"run\"))))"
    );
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let mut linker = Linker::new(&engine);
    link(&mut linker, &engine, &component).unwrap();
    let mut store = Store::new(&engine, System::default());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (instance, store)
}

fn run(instance: &Instance, store: &mut Store<System>) -> wasmtime::Result<u64> {
    let run = instance.get_typed_func::<(), (u64,)>(&mut *store, "run")?;
    run.call(store, ()).map(|(number,)| number)
}

/// A guest that calls one function without parameters that returns a number.
fn asking(interface: &str, function: &str) -> (Instance, Store<System>) {
    guest(
        &format!(
            "(import \"{interface}\" (instance $i (export \"{function}\" (func (result u64)))))"
        ),
        &format!(
            "(core func $f (canon lower (func $i \"{function}\")))
             (core instance $host (export \"f\" (func $f)))"
        ),
        "(import \"host\" \"f\" (func $f (result i64)))
         (func (export \"run\") (result i64) call $f)",
    )
}

#[test]
fn time_passes_by_being_looked_at() {
    let (instance, mut store) = asking("wasi:clocks/monotonic-clock@0.2.9", "now");
    let seen: Vec<u64> = (0..3).map(|_| run(&instance, &mut store).unwrap()).collect();
    assert_eq!(seen, [1_000_000, 2_000_000, 3_000_000]);
}

#[test]
fn chance_is_the_same_in_every_instance() {
    let (instance, mut store) = asking("wasi:random/random@0.2.0", "get-random-u64");
    let first = [run(&instance, &mut store).unwrap(), run(&instance, &mut store).unwrap()];
    let (instance, mut store) = asking("wasi:random/random@0.2.9", "get-random-u64");
    assert_eq!(first[0], run(&instance, &mut store).unwrap());
    assert_eq!(first[1], run(&instance, &mut store).unwrap());
    assert_ne!(first[0], first[1]);
}

#[test]
fn too_many_random_bytes_are_refused() {
    let imports = "(import \"wasi:random/random@0.2.9\" (instance $i
        (export \"get-random-bytes\" (func (param \"len\" u64) (result (list u8))))))";
    let lowered = "(core module $alloc (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) i32.const 64))
        (core instance $alloc (instantiate $alloc))
        (core func $f (canon lower (func $i \"get-random-bytes\") (memory $mem)
          (realloc (core func $alloc \"realloc\"))))
        (core instance $host (export \"f\" (func $f)))";
    let module = |length: u64| {
        format!(
            "(import \"host\" \"f\" (func $f (param i64 i32)))
             (func (export \"run\") (result i64)
               (call $f (i64.const {length}) (i32.const 0))
               (i64.load (i32.const 64)))"
        )
    };
    let (instance, mut store) = guest(imports, lowered, &module(8));
    assert_eq!(run(&instance, &mut store).unwrap(), 0xe220_a839_7b1d_cdaf);
    let (instance, mut store) = guest(imports, lowered, &module(1 << 40));
    let error = run(&instance, &mut store).unwrap_err().root_cause().to_string();
    assert!(error.contains("random bytes"), "{error}");
}

#[test]
fn exit_ends_the_call_and_says_so() {
    let (instance, mut store) = guest(
        "(import \"wasi:cli/exit@0.2.9\" (instance $i
           (export \"exit\" (func (param \"status\" (result))))))",
        "(core func $f (canon lower (func $i \"exit\")))
         (core instance $host (export \"f\" (func $f)))",
        "(import \"host\" \"f\" (func $f (param i32)))
         (func (export \"run\") (result i64) (call $f (i32.const 1)) i64.const 0)",
    );
    let error = run(&instance, &mut store).unwrap_err();
    assert_eq!(error.root_cause().to_string(), "it called exit with status 1");
}

/// Imports of a guest that writes to standard output.
const OUTPUT: &str = "
    (import \"wasi:io/error@0.2.9\" (instance $error (export \"error\" (type (sub resource)))))
    (alias export $error \"error\" (type $error-type))
    (import \"wasi:io/streams@0.2.9\" (instance $streams
      (export \"output-stream\" (type $stream (sub resource)))
      (alias outer 1 $error-type (type $outer-error))
      (export \"error\" (type $e (eq $outer-error)))
      (type $fault-type (variant (case \"last-operation-failed\" (own $e)) (case \"closed\")))
      (export \"stream-error\" (type $fault (eq $fault-type)))
      (export \"[method]output-stream.blocking-write-and-flush\"
        (func (param \"self\" (borrow $stream)) (param \"contents\" (list u8)) (result (result (error $fault)))))
      (export \"[method]output-stream.splice\"
        (func (param \"self\" (borrow $stream)) (result u64)))))
    (alias export $streams \"output-stream\" (type $stream-type))
    (import \"wasi:cli/stdout@0.2.9\" (instance $stdout
      (alias outer 1 $stream-type (type $outer-stream))
      (export \"output-stream\" (type $s (eq $outer-stream)))
      (export \"get-stdout\" (func (result (own $s))))))";
const OUTPUT_LOWERED: &str = "
    (core func $get (canon lower (func $stdout \"get-stdout\")))
    (core func $write (canon lower
      (func $streams \"[method]output-stream.blocking-write-and-flush\") (memory $mem)))
    (core func $splice (canon lower (func $streams \"[method]output-stream.splice\")))
    (core instance $host
      (export \"get\" (func $get)) (export \"write\" (func $write)) (export \"splice\" (func $splice)))";
const OUTPUT_IMPORTS: &str = "
    (import \"host\" \"get\" (func $get (result i32)))
    (import \"host\" \"write\" (func $write (param i32 i32 i32 i32)))
    (import \"host\" \"splice\" (func $splice (param i32) (result i64)))";

#[test]
fn output_goes_into_the_log() {
    let module = format!(
        "{OUTPUT_IMPORTS}
         (data (i32.const 100) \"hello\\nworld\")
         (func (export \"run\") (result i64)
           (call $write (call $get) (i32.const 100) (i32.const 11) (i32.const 0))
           (i64.load8_u (i32.const 0)))"
    );
    let (instance, mut store) = guest(OUTPUT, OUTPUT_LOWERED, &module);
    assert_eq!(run(&instance, &mut store).unwrap(), 0, "writing succeeds");
    let log = store.data_mut().take_log();
    let messages: Vec<&str> = log.lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(messages, ["hello", "world"]);
}

#[test]
fn handles_are_counted() {
    let module = format!(
        "{OUTPUT_IMPORTS}
         (func (export \"run\") (result i64) (loop $again (drop (call $get)) (br $again)) i64.const 0)"
    );
    let (instance, mut store) = guest(OUTPUT, OUTPUT_LOWERED, &module);
    let error = run(&instance, &mut store).unwrap_err().root_cause().to_string();
    assert_eq!(error, format!("it holds more than {MAX_HANDLES} handles"));
}

#[test]
fn what_no_row_defines_is_named_when_called() {
    let module = format!(
        "{OUTPUT_IMPORTS}
         (func (export \"run\") (result i64) (call $splice (call $get)))"
    );
    let (instance, mut store) = guest(OUTPUT, OUTPUT_LOWERED, &module);
    let error = run(&instance, &mut store).unwrap_err().root_cause().to_string();
    assert!(error.contains("wasi:io/streams@0.2.9 [method]output-stream.splice"), "{error}");
}

#[test]
fn versions_and_interfaces_outside_the_table_are_not_offered() {
    assert!(is_offered("wasi:io/poll@0.2.9"));
    assert!(is_offered("wasi:cli/stdout@0.2.0"));
    for import in [
        "wasi:io/poll",
        "wasi:io/poll@0.3.0",
        "wasi:io/poll@0.20.0",
        "wasi:http/types@0.2.0",
        "acme:io/poll@0.2.0",
    ] {
        assert!(!is_offered(import), "{import}");
    }
}

#[test]
fn output_becomes_lines() {
    let (mut line, mut log) = (Line::default(), CallLog::default());
    line.write(b"one\ntw", LogLevel::Info, &mut log);
    line.write(b"o\n\n\xff", LogLevel::Info, &mut log);
    line.end(LogLevel::Info, &mut log);
    line.end(LogLevel::Info, &mut log);
    let messages: Vec<&str> = log.lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(messages, ["one", "two", "", "\u{fffd}"]);
}

#[test]
fn a_flood_of_output_is_cut_and_counted() {
    let (mut line, mut log) = (Line::default(), CallLog::default());
    line.write(&vec![b'x'; 1 << 20], LogLevel::Info, &mut log);
    assert_eq!(line.0.len(), MAX_LOG_BYTES + 1);
    line.write(&[b'\n'; 1000], LogLevel::Info, &mut log);
    let kept = crate::limits::MAX_LOG_LINES;
    assert_eq!((log.lines.len(), log.dropped), (kept, 1000 - kept as u64));
    assert!(log.lines[0].message.ends_with("x…"));
}
