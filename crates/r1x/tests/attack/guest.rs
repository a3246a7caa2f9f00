//! What a guest hands to the host: more than it may, forged lines, numbers beyond all sums, and nothing ever.

use super::super::Bench;
use super::{Guest, HEAP, TEXT, spec};

/// The most memory that any process started by this one has had, MiB.
#[cfg(target_os = "linux")]
fn peak_mebibytes() -> i64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() >> 10
}

/// Whether this process does nothing but the one test. Where it does more, the test is run in a process of its own, and
/// has to pass there: the system knows the peak of all children of a process together, and other tests have children
/// too.
#[cfg(target_os = "linux")]
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "R1X_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let test = format!("attack::guest::{test}");
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", &test]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Thirty megabytes, and pages that hold them.
const LONG: usize = 30_000_000;
const PAGES: usize = 480;

fn repeated(times: usize, call: &str) -> String {
    format!(
        "(loop $again {call}
           (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {times}))))"
    )
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_that_a_guest_hands_over_costs_the_host_much_memory() {
    if !is_alone("nothing_that_a_guest_hands_over_costs_the_host_much_memory") {
        return;
    }
    let long = format!("(i32.const {HEAP}) (i32.const {LONG})");
    let text = |each: String| Guest { pages: PAGES, each, ..Guest::new() };
    let log = Guest {
        pages: PAGES,
        first: repeated(150, &format!("(call $log (i32.const 1) {long})")),
        ..Guest::new()
    };
    // A score's text, parts of one letter, an error, and scores of which nobody knows whose they are.
    let info = text(format!(
        "(i32.store offset=24 (local.get $score) (i32.const 1))
         (i32.store offset=28 (local.get $score) (i32.const {HEAP}))
         (i32.store offset=32 (local.get $score) (i32.const 1800000))"
    ));
    let parts = text(format!(
        "(i32.store offset=16 (local.get $score) (i32.const {HEAP}))
         (i32.store offset=20 (local.get $score) (i32.const 60000))"
    ));
    let error = |kind: usize| Guest {
        pages: PAGES,
        first: format!(
            "(local.set $at (call $take (i32.const 32)))
             (i32.store (local.get $at) (i32.const 1))
             (i32.store offset=4 (local.get $at) (i32.const {kind}))
             (i32.store offset=8 (local.get $at) (i32.const {HEAP}))
             (i32.store offset=12 (local.get $at) (i32.const {LONG}))
             (return (local.get $at))"
        ),
        ..Guest::new()
    };
    let scores = |many: usize| Guest {
        pages: PAGES,
        first: format!("(local.set $n (i32.const {many}))"),
        ..Guest::new()
    };
    for (what, guest) in [
        ("log", log),
        ("info", info),
        ("parts", parts),
        ("error", error(2)),
        ("scores", scores(500_000)),
        ("too many scores", scores(5_000_000)),
    ] {
        let bench = Bench::new();
        let plugin = guest.write(&bench);
        let more = ", on_failure: mask, max_failed_share: 1";
        for arguments in [
            ["plugin", "test", plugin.as_str()].as_slice(),
            ["run", spec(&bench, &plugin, more).as_str()].as_slice(),
        ] {
            let output = bench.r1x(arguments);
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 5 | 6)), "{what}: {code:?} {output:?}");
            let peak = peak_mebibytes();
            assert!(peak < 600, "{what}: {peak} MiB for {arguments:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_plugin_says_about_itself_is_bounded() {
    if !is_alone("what_a_plugin_says_about_itself_is_bounded") {
        return;
    }
    for (guest, told) in [
        (
            Guest { pages: PAGES, about: (HEAP, LONG), ..Guest::new() },
            "its description is longer than",
        ),
        (
            Guest { pages: PAGES, columns: (HEAP, 1_000_000), ..Guest::new() },
            "it lists 1000000 columns, and 100 are the most",
        ),
    ] {
        let bench = Bench::new();
        let plugin = guest.write(&bench);
        let said = bench.fails(4, &["plugin", "inspect", &plugin]);
        assert!(said.contains(told), "{said}");
    }
    assert!(peak_mebibytes() < 600);
}

#[test]
fn no_line_of_a_plugin_looks_like_one_of_r1x() {
    let forged = "toy 1 message\nerror: forged\r\u{1b}[2K\u{202e}\nok  forged\n";
    let (start, length) = (TEXT, forged.len());
    let say = format!("(call $log (i32.const 2) (i32.const {start}) (i32.const {length}))");
    let info = format!(
        "(i32.store offset=24 (local.get $score) (i32.const 1))
         (i32.store offset=28 (local.get $score) (i32.const {start}))
         (i32.store offset=32 (local.get $score) (i32.const {length}))
         (f64.store offset=8 (local.get $score) (f64.const nan))"
    );
    let guest = |first: &str, each: &str| Guest {
        text: forged.to_owned(),
        about: (TEXT, length),
        first: first.to_owned(),
        each: each.to_owned(),
        ..Guest::new()
    };
    let bench = Bench::new();
    let case = bench.write("cases.jsonl", "{\"completion\":\"x\",\"reward\":0.5}\n");
    let mut told = 0;
    for guest in [guest(&say, ""), guest("", &info), guest(&format!("{say} unreachable"), "")] {
        let plugin = guest.write(&bench);
        for arguments in [
            vec!["plugin", "inspect", &plugin],
            vec!["plugin", "test", &plugin, "--cases", &case],
            vec!["run", &spec(&bench, &plugin, ", on_failure: mask, max_failed_share: 1")],
            vec!["run", &spec(&bench, &plugin, ", on_failure: fail")],
            vec!["-v", "run", &spec(&bench, &plugin, "")],
            vec!["show", "latest"],
        ] {
            let output = bench.r1x(&arguments);
            let said = super::super::text(&output.stdout) + &super::super::text(&output.stderr);
            let hidden = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!said.contains(hidden), "{arguments:?}: {said:?}");
            told += said.matches("forged").count();
            for line in said.lines() {
                assert!(!line.starts_with("ok  forged"), "{arguments:?}: {said}");
                assert!(!line.starts_with("error: forged"), "{arguments:?}: {said}");
            }
        }
    }
    assert!(told > 20, "the plugin's words are shown, {told} times");
}

/// A guest that never answers once something is written: the length of the first completion is the sixth word.
fn hangs_on_text() -> Guest {
    let first = "(if (i32.load offset=28 (local.get $batch)) (then (loop $ever (br $ever))))";
    Guest { first: first.to_owned(), ..Guest::new() }
}

const HASTY: &str = ", limits: {time_ms: 200, time_per_rollout_ms: 0}";

#[test]
fn a_reward_that_always_hangs_stops_a_run_at_the_failure_that_is_too_many() {
    let bench = Bench::new();
    let plugin = hangs_on_text().write(&bench);
    let told = bench.fails(6, &["run", &spec(&bench, &plugin, HASTY)]);
    assert!(told.contains("2 of 16 rollouts failed so far, more than the share"), "{told}");
    let more = format!("{HASTY}, on_failure: fail");
    let told = bench.fails(6, &["run", &spec(&bench, &plugin, &more)]);
    assert!(told.contains("reward `toy`, rollout 0.0, timeout: no answer in 400 ms"), "{told}");
}

#[test]
fn a_reward_that_hangs_before_a_run_is_asked_about_one_row() {
    let bench = Bench::new();
    let ever = "(loop $ever (br $ever))".to_owned();
    let plugin = Guest { first: ever, ..Guest::new() }.write(&bench);
    let told = bench.fails(6, &["run", &spec(&bench, &plugin, HASTY)]);
    assert!(told.contains("before stage `rl`: "), "{told}");
    assert!(told.contains("timeout: no answer in 400 ms"), "{told}");
    assert!(!told.contains("rows tried fail too"), "{told}");
}

#[test]
fn a_reward_beyond_all_sums_is_a_failure_and_no_loss() {
    for number in ["0x1.fffffffffffffp+1023", "-0x1p+1000", "1e10"] {
        let each = format!(
            "(if (i32.load offset=28 (local.get $batch))
               (then (f64.store offset=8 (local.get $score) (f64.const {number}))))"
        );
        let bench = Bench::new();
        let plugin = Guest { each, ..Guest::new() }.write(&bench);
        let told = bench.fails(6, &["run", &spec(&bench, &plugin, "")]);
        assert!(told.contains("16 of 16 rollouts failed"), "{told}");
        assert!(told.contains("it must lie between -1e9 and 1e9"), "{told}");
        let more = ", on_failure: mask, max_failed_share: 1";
        bench.ok(&["run", &spec(&bench, &plugin, more)]);
    }
    // The largest that is allowed goes through a whole run, with everything finite.
    let each = "(if (i32.and (local.get $score) (i32.const 8))
                  (then (f64.store offset=8 (local.get $score) (f64.const 1e9)))
                  (else (f64.store offset=8 (local.get $score) (f64.const -1e9))))";
    let bench = Bench::new();
    let plugin = Guest { each: each.to_owned(), ..Guest::new() }.write(&bench);
    bench.ok(&["run", &spec(&bench, &plugin, "")]);
}
