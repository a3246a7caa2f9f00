//! The store under a run and under those who look at it: taken away, locked, and things that are no files.
//!
//! Must not test the store alone.

use super::bench::{Bench, text};

#[test]
fn a_store_that_is_deleted_under_a_run_is_noticed_and_saved() {
    let whole = Bench::new().json(&["run", "small.yaml", "--json"])["digest"].clone();
    let bench = Bench::new();
    let mut started = bench.start(&["run", "small.yaml"]);
    started.wait_for("stage rl");
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(bench.path(&format!("runs/r1x.sqlite{suffix}"))).unwrap();
    }
    let told = started.end(8);
    assert!(told.contains("was deleted or moved while it was being written"), "{told}");
    assert!(told.contains("everything recorded so far is in runs/r1x.sqlite.saved-1"), "{told}");
    assert!(!told.contains("recorded steps are safe"), "{told}");
    let saved = "runs/r1x.sqlite.saved-1";
    let resumed = bench.json(&["resume", "--redo-steps", "--json", "--store", saved]);
    assert_eq!(resumed["digest"], whole);
}

#[test]
fn a_store_that_is_replaced_under_a_run_is_noticed() {
    let other = Bench::new();
    other.ok(&["run", "small.yaml"]);
    let bench = Bench::new();
    let mut started = bench.start(&["run", "small.yaml"]);
    started.wait_for("stage rl");
    std::fs::copy(other.path("runs/r1x.sqlite"), bench.path("new")).unwrap();
    std::fs::rename(bench.path("new"), bench.path("runs/r1x.sqlite")).unwrap();
    let told = started.end(8);
    assert!(told.contains("was replaced by another file"), "{told}");
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_store_and_nobody_waits_for_it() {
    let bench = Bench::new();
    let pipe = bench.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for arguments in [
        &["ls", "--store", "pipe"][..],
        &["show", "--store", "pipe"],
        &["sql", "SELECT 1", "--store", "pipe"],
        &["resume", "--store", "pipe"],
        &["generate", "--store", "pipe"],
        &["plot", "--store", "pipe"],
        &["run", "small.yaml", "--store", "pipe"],
    ] {
        let told = bench.fails(8, arguments);
        assert!(told.contains("it is a pipe, a socket or a device"), "{arguments:?}: {told}");
    }
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_input_and_nobody_waits_for_it() {
    let bench = Bench::new();
    let pipe = bench.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(bench.path("plugin")).unwrap();
    for name in ["pipe.wasm", "pipe.py", "pipe.js", "pipe.c", "plugin/plugin.toml", "pipe.jsonl"] {
        let made = std::process::Command::new("mkfifo").arg(bench.path(name)).status().unwrap();
        assert!(made.success());
    }
    let data = "data.sums={jsonl: {path: pipe.jsonl, columns: [q]}, prompt: \"{{ q }}\"}";
    let wasm = "rewards.format.plugin=pipe.wasm";
    let python = "rewards.format.plugin=pipe.py";
    let tokenizer = "model.tokenizer={file: pipe, eos: x}";
    for arguments in [
        &["check", "pipe"][..],
        &["run", "pipe"],
        &["plan", "pipe"],
        &["check", "small.yaml", "--set", data],
        &["check", "small.yaml", "--set", wasm],
        &["check", "small.yaml", "--set", python],
        &["check", "small.yaml", "--set", tokenizer],
        &["plugin", "inspect", "pipe.wasm"],
        &["plugin", "test", "plugin"],
        &["plugin", "test", "pipe.py"],
        &["plugin", "test", "pipe.js"],
        &["plugin", "test", "pipe.c"],
        &["plugin", "test", "plugins/format.wasm", "--cases", "pipe"],
        &["plugin", "test", "plugins/format.wasm", "--replay", "pipe"],
    ] {
        let output = bench.output(arguments);
        let told = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(told.contains("not a regular file"), "{arguments:?}: {told}");
    }
}

#[test]
fn answers_are_printed_as_they_come_and_end_where_they_are_told_to() {
    let bench = Bench::new();
    bench.interrupted(&[]);
    let count = |text: &str| text.lines().count();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let three = bench.output(&["sql", many, "--limit", "3", "--format", "csv"]);
    assert_eq!(text(&three.stdout), "i\n1\n2\n3\n");
    assert!(text(&three.stderr).contains("there are more than 3 rows"), "{}", text(&three.stderr));
    assert_eq!(bench.json(&["sql", many, "--limit", "2", "--format", "json"])[1]["i"], 2);
    assert_eq!(bench.sql("SELECT 1 AS a WHERE 0").len(), 0);
    let exact = format!("SELECT * FROM ({many} LIMIT 2500)");
    let output = bench.output(&["sql", &exact, "--limit", "2500"]);
    let table = text(&output.stdout);
    assert_eq!(count(&table), 2500 + 3 * 2, "three tables of at most a thousand rows");
    assert!(!text(&output.stderr).contains("there are more"));
    assert_eq!(count(&bench.ok(&["sql", "SELECT 1 AS a WHERE 0"])), 2, "a header without rows");
    // What comes out before the time is over is printed; the end is an error, and JSON is not closed.
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let told = bench.fails(4, &["sql", endless, "--timeout", "1"]);
    assert!(told.contains("the query was stopped after 1000 ms"), "{told}");
    assert_eq!(bench.output(&["sql", "SELECT 1", "--timeout", "0"]).status.code(), Some(2));
    let bytes = bench.sql("SELECT cast(x'61ff' AS TEXT) AS t");
    assert_eq!(bytes[0]["t"], "a\u{fffd}");
}

/// Two hundred megabytes of rows, in less memory than that.
#[test]
#[cfg(target_os = "linux")]
fn an_answer_is_not_held_in_memory() {
    let bench = Bench::new();
    bench.interrupted(&[]);
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) \
                SELECT i, printf('%01000d', i) AS text FROM n";
    for format in ["csv", "json", "table"] {
        let mut command = bench.command("", &[]);
        let program = command.get_program().to_owned();
        let script = "ulimit -v 400000 && exec \"$0\" sql \"$1\" --format \"$2\" | wc -c";
        command = {
            let mut shell = std::process::Command::new("bash");
            shell.args(["-c", script]).arg(program).args([rows, format]);
            shell.current_dir(bench.path("")).env("XDG_CACHE_HOME", bench.path("cache"));
            shell
        };
        let output = command.output().unwrap();
        let bytes: u64 = text(&output.stdout).trim().parse().unwrap();
        assert!(bytes > 200_000_000, "{format}: {bytes} bytes; {}", text(&output.stderr));
    }
}
