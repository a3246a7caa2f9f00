//! What r1x prints, as a terminal and a shell meet it: texts that would take the terminal over, readers that go
//! away, SQL typed and piped.
//!
//! Must not test layout, which has its own tests. Every command is the real binary on a temporary store.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Words of a data set that a terminal would obey. The model's vocabulary is made of them, so its completions are.
const HOSTILE: [&str; 8] = [
    "\u{1b}[2J\u{1b}[31mred",
    "\u{1b}]0;title\u{7}",
    "back\u{8}\u{8}\u{8}space",
    "\u{9b}1A",
    "\u{202e}gnp.exe",
    "zero\u{200b}width\u{feff}",
    "tags\u{e0068}\u{e0069}",
    "del\u{7f}nul\u{0}",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("what is printed is UTF-8")
}

/// A folder with a run whose prompts, completions and answers are hostile.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let rows = (0..40).map(|number| {
            let word = |at: usize| HOSTILE[(number + at) % HOSTILE.len()];
            let row = serde_json::json!({
                "question": format!("{} {number}\nerror: forged\r{}", word(0), word(1)),
                "worked": format!("{} {} {}", word(2), word(3), word(4)),
            });
            format!("{row}\n")
        });
        bench.write("rows.jsonl", &rows.collect::<String>());
        let plugin = root().join("plugins/length.wasm");
        let spec = format!(
            "r1x: 1
name: hostile
seed: 1
model:
  tokenizer: {{data: rows}}
  hidden_size: 32
  layers: 1
  context_length: 32
  attention: {{gqa: {{heads: 2, kv_heads: 1, head_dim: 16}}}}
  feed_forward: {{dense: {{intermediate_size: 32}}}}
data:
  rows:
    jsonl: {{path: rows.jsonl, heldout: 0.2, columns: [question, worked], solution: worked, answer: worked}}
    prompt: \"{{{{ question }}}}\"
rewards:
  length: {{plugin: {}, with: {{shape: overlong, max: 6, buffer: 4}}}}
stages:
  - id: first
    sft: {{data: rows.train, steps: 2, batch_size: 4, lr: 1e-3}}
  - id: rl
    grpo:
      data: rows.train
      rewards: [length]
      steps: 2
      prompts_per_step: 2
      group_size: 4
      lr: 1e-3
      sampling: {{max_tokens: 8}}
",
            plugin.display()
        );
        bench.write("spec.yaml", &spec);
        bench
    }

    /// One with a finished run in its store, made once for all tests that only read.
    fn recorded() -> &'static Self {
        static RECORDED: OnceLock<Bench> = OnceLock::new();
        RECORDED.get_or_init(|| {
            let bench = Self::new();
            let output = bench.r1x(&["run", "spec.yaml"]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            bench
        })
    }

    fn write(&self, name: &str, contents: &str) {
        std::fs::write(self.folder.path().join(name), contents).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_r1x"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("R1X_STORE", self.folder.path().join("runs/r1x.sqlite"))
            .env("XDG_CACHE_HOME", self.folder.path())
            .env_remove("NO_COLOR")
            .env_remove("RUST_LOG");
        command
    }

    fn r1x(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the command with these lines on standard input.
    fn piped(&self, arguments: &[&str], lines: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs the command on a terminal of 80 columns, at which somebody types this: its exit code, and what is on the
    /// terminal then.
    fn typed(&self, arguments: &[&str], keys: &str) -> (Option<i32>, String) {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).unwrap();
        let end = || Stdio::from(terminal.slave.try_clone().unwrap());
        let mut command = self.command(arguments);
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        // Only the process itself keeps the terminal open, so that it closes when that ends.
        drop((command, terminal.slave));
        let mut terminal = std::fs::File::from(terminal.master);
        terminal.write_all(keys.as_bytes()).unwrap();
        let mut shown = Vec::new();
        // Linux says EIO at the end of a terminal.
        let _ = terminal.read_to_end(&mut shown);
        (child.wait().unwrap().code(), text(&shown).replace("\r\n", "\n"))
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.r1x(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

/// Fails when a text has a character that does something to a terminal.
#[track_caller]
fn harmless(what: &str, text: &str) {
    let found = text.chars().find(|c| *c != '\n' && r1x_core::shown::is_hidden(*c));
    assert!(found.is_none(), "{what} prints {found:?}:\n{}", text.escape_debug());
}

/// Every command that shows what is recorded, data or plugins.
const SHOWING: [&[&str]; 24] = [
    &["ls"],
    &["show"],
    &["show", "latest@0"],
    &["show", "latest@1.1"],
    &["show", "latest@1.1.2"],
    &["show", "latest@0", "--stage", "first"],
    &["sql", "SELECT prompt, completion, gold FROM v_rollouts"],
    &["sql", "SELECT completion AS \"\u{1b}[2Jname\u{202e}\" FROM v_rollouts LIMIT 1"],
    &["sql", "--example", "one-prompt"],
    &["grep", "latest", ".", "--regex"],
    &["grep", "latest", ".", "--regex", "--wide", "--in", "prompt"],
    &["grep", "latest", "(\u{1b}[2J\u{202e}", "--regex"],
    &["export", "latest", "-o", "no\u{1b}[2J\u{202e}/a.txt"],
    &["generate", "-n", "2"],
    &["plan", "spec.yaml"],
    &["check", "spec.yaml"],
    &["check", "spec.yaml", "--set", "stages.rl.grpo.\u{1b}[2J\u{202e}=1"],
    &["show", "no\u{1b}[2J\nerror: forged"],
    &["sql", "SELECT \u{9b}1A\u{202e}"],
    &["plugin", "test", "gone\u{1b}[2J\u{202e}.py"],
    &["ls", "--tree"],
    &["tag", "latest"],
    &["store", "verify"],
    &["plot", "--metric", "\u{1b}[31mred\u{202e}"],
];

#[test]
fn nothing_recorded_reaches_the_terminal_as_a_command() {
    let bench = Bench::recorded();
    for arguments in SHOWING {
        let output = bench.r1x(arguments);
        harmless(&format!("{arguments:?}"), &(text(&output.stdout) + &text(&output.stderr)));
    }
    let shown = bench.ok(&["sql", "SELECT completion FROM v_rollouts"]);
    assert!(shown.contains("␛[2J␛[31mred") || shown.contains("<U+202E>gnp.exe"), "{shown}");
    // Eight rollouts of two steps, a header and a rule: a line break of a prompt makes no row.
    let shown = bench.ok(&["sql", "SELECT prompt FROM v_rollouts"]);
    assert_eq!(shown.lines().count(), 18, "{shown}");
    assert!(!shown.lines().any(|line| line.starts_with("error:")), "{shown}");
    let shown = bench.ok(&["show", "latest@1.1.2"]);
    assert!(!shown.lines().any(|line| line.starts_with("error:")), "{shown}");
}

#[test]
fn programs_get_the_text_as_it_is() {
    let bench = Bench::recorded();
    let query = "SELECT prompt FROM v_rollouts ORDER BY rollout_id LIMIT 1";
    let csv = bench.ok(&["sql", query, "--format", "csv"]);
    assert!(csv.contains("\nerror: forged\r"), "{}", csv.escape_debug());
    let json = bench.ok(&["sql", query, "--format", "json"]);
    harmless("json", &json);
    let rows: Value = serde_json::from_str(&json).unwrap();
    let prompt = rows[0]["prompt"].as_str().unwrap();
    assert!(csv.contains(prompt), "{prompt:?}");
    let shown: Value = serde_json::from_str(&bench.ok(&["show", "@1.1.2", "--json"])).unwrap();
    assert!(shown["prompt"].as_str().unwrap().contains("\nerror: forged\r"), "{shown}");
    let found = bench.ok(&["grep", "latest", "forged", "--in", "prompt", "--json"]);
    harmless("grep --json", &found);
    bench.ok(&["export", "latest", "-o", "all.jsonl"]);
    let lines = std::fs::read_to_string(bench.folder.path().join("all.jsonl")).unwrap();
    harmless("export", &lines);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["prompt"], prompt);
    let lines = bench.ok(&["generate", "-n", "2", "--json"]);
    harmless("generate --json", &lines);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let said = first["completion"].as_str().unwrap();
    assert!(first["tokens"].is_array() && !said.contains('␛'), "{first}");
}

/// A plugin's words about itself, and its last ones.
#[test]
fn plugins_cannot_forge_lines() {
    let bench = Bench::recorded();
    let hostile = root().join("crates/r1x-reward/tests/fixtures/hostile.wasm");
    let hostile = hostile.to_str().unwrap();
    bench.write(
        "cases.jsonl",
        "{\"name\":\"\\u001b[2J\\nok  all\",\"completion\":\"panic 3\",\"columns\":{\"wanted\":1},\"reward\":1}\n",
    );
    let output = bench.r1x(&["plugin", "test", hostile, "--cases", "cases.jsonl"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    harmless("plugin test", &said);
    assert!(said.contains("␛[2J↵ok  all"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("ok  all")), "{said}");
}

/// Every command that prints something, with and without somebody to read it.
const PRINTING: [&[&str]; 29] = [
    &["ls"],
    &["ls", "--json"],
    &["show"],
    &["show", "latest@1"],
    &["show", "latest@1.1.2", "--json"],
    &["grep", "latest", "red"],
    &["grep", "latest", "red", "--json"],
    &["sql", "SELECT * FROM v_rollouts"],
    &["sql", "SELECT * FROM v_rollouts", "--format", "csv"],
    &["sql", "SELECT * FROM v_rollouts", "--format", "json"],
    &["sql", "--example", "1"],
    &["sql", "--example", "list"],
    &["generate", "-n", "2"],
    &["generate", "-n", "2", "--json"],
    &["plan", "spec.yaml"],
    &["plan", "spec.yaml", "--json"],
    &["check", "spec.yaml"],
    &["check", "gone.yaml"],
    &["show", "nobody"],
    &["plot"],
    &["schema"],
    &["explain"],
    &["explain", "R1X0103"],
    &["completions", "bash"],
    &["completions", "zsh"],
    &["version"],
    &["--help"],
    &["run", "--help"],
    &["no-such-command"],
];

fn nobody() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer
}

#[test]
fn a_reader_that_goes_away_changes_nothing() {
    let bench = Bench::recorded();
    for arguments in PRINTING {
        let read = bench.r1x(arguments);
        let unread = bench.command(arguments).stdout(nobody()).output().unwrap();
        let said = text(&unread.stderr);
        assert_eq!(unread.status.code(), read.status.code(), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("bug"), "{arguments:?}: {said}");
        assert!(!said.to_lowercase().contains("broken pipe"), "{arguments:?}: {said}");
        let mut both = bench.command(arguments);
        let status = both.stdout(nobody()).stderr(nobody()).status().unwrap();
        assert_eq!(status.code(), read.status.code(), "{arguments:?} without standard error");
    }
}

#[test]
fn a_run_that_nobody_watches_ends_well() {
    let bench = Bench::new();
    let mut run = bench.command(&["run", "spec.yaml", "-vv"]);
    let status = run.stdout(nobody()).stderr(nobody()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let runs: Value = serde_json::from_str(&bench.ok(&["ls", "--json"])).unwrap();
    assert_eq!(runs[0]["status"], "done", "{runs}");
    // And one whose reader leaves in the middle.
    let mut run = bench.command(&["run", "spec.yaml"]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child.stderr.take().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A closed terminal: the shell and the system each send a hang-up, and nothing can be printed any more.
#[test]
fn a_run_whose_terminal_is_closed_saves_and_can_go_on() {
    let bench = Bench::new();
    let mut run = bench.command(&["run", "spec.yaml", "--set", "stages.first.sft.steps=1000000"]);
    let mut child = run.stdout(nobody()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("stage first") {
        assert_ne!(errors.read_line(&mut said).unwrap(), 0, "the run ended: {said}");
    }
    drop(errors);
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(process, Signal::SIGHUP).unwrap();
    kill(process, Signal::SIGHUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let runs: Value = serde_json::from_str(&bench.ok(&["ls", "--json"])).unwrap();
    assert_eq!(runs[0]["status"], "interrupted", "{runs}");
    let checkpoints = bench.ok(&["sql", "SELECT count(*) AS n FROM checkpoint", "--format", "csv"]);
    assert_ne!(checkpoints, "n\n0\n");
}

/// Streams that take nothing: what a run found is in its store whole, and the status of the command says that its
/// result was not printed.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_cannot_print_is_recorded_whole() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let runs: [(&[&str], i32); 2] =
        [(&["run", "spec.yaml", "-vv"], 0), (&["run", "spec.yaml", "--json"], 7)];
    for (run, code) in runs {
        let bench = Bench::new();
        let mut run = bench.command(run);
        assert_eq!(run.stdout(full()).stderr(full()).status().unwrap().code(), Some(code));
        let runs: Value = serde_json::from_str(&bench.ok(&["ls", "--json"])).unwrap();
        assert_eq!(runs[0]["status"], "done", "{runs}");
    }
}

#[test]
fn a_person_is_asked_before_a_run_is_removed() {
    let bench = Bench::new();
    assert!(bench.r1x(&["run", "spec.yaml"]).status.success());
    let runs = || bench.ok(&["sql", "SELECT count(*) AS n FROM run", "--format", "csv"]);
    // The second one is Ctrl-D, and the last one the key Enter alone.
    for keys in ["n\n", "\u{4}", "yes please\n", "\n"] {
        let (code, shown) = bench.typed(&["rm", "latest"], keys);
        assert_eq!(code, Some(4), "{keys:?}: {shown}");
        assert!(
            shown.contains(": 4 steps, ") && shown.contains("Remove for good? [y/N]\n"),
            "{shown}"
        );
        let refusal = "error: nothing was removed\n  help: say y to remove\n";
        assert!(shown.ends_with(refusal), "{keys:?}: {shown}");
        assert_eq!(runs(), "n\n1\n");
    }
    let (code, shown) = bench.typed(&["rm", "latest"], "y\n");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("removed hostile-"), "{shown}");
    assert_eq!(runs(), "n\n0\n");
}

/// Errors of specs, of commands and of their arguments.
#[test]
fn what_is_wrong_is_told_within_a_terminal_and_no_word_is_torn() {
    let bench = Bench::new();
    let path = format!("{}spec.yaml", "folder/".repeat(8));
    let wrong = "data.rows.jsonl={path: rows.jsonl, heldout: 0.2, columns: [question, worked], solution: worked, answer: gold}";
    let size = "as-much-as-there-is-and-not-a-byte-less-than-that";
    let cases: [(&[&str], &str); 5] = [
        (&["plan", "spec.yaml", "--device-memory", size], "such as 500MiB or 2GiB"),
        (&["check", &path], "  = help: "),
        (&["check", "spec.yaml", "--set", "nothing.like.it=5"], "  = help: it has `r1x`, "),
        (&["check", "spec.yaml", "--set", wrong], "= help: name a column that every row has"),
        (&["rm", "latest", "--store", &path], "  help: "),
    ];
    for (arguments, hint) in cases {
        let (code, shown) = bench.typed(arguments, "");
        assert!(code.is_some_and(|code| code > 0), "{arguments:?}: {shown}");
        let piped = text(&bench.r1x(arguments).stderr);
        assert!(hint == "  = help: " || piped.contains(hint), "{piped}");
        for line in shown.lines() {
            let words = line.split_whitespace().count();
            assert!(line.chars().count() <= 80 || words == 1, "{arguments:?}: {line}");
        }
        // Without what stands before lines, the words are those of a pipe, unless a line of the source was cut.
        let words = |text: &str| {
            let words = text.split_whitespace().map(str::to_owned);
            words.filter(|word| word != "│").collect::<Vec<String>>()
        };
        if !shown.contains("...") {
            assert_eq!(words(&shown), words(&piped), "{arguments:?}: {shown}");
        }
    }
}

#[test]
fn the_prompt_takes_statements_and_commands_from_a_pipe() {
    let bench = Bench::recorded();
    let asked = "-- a comment\nSELECT 1 AS one,\n  ';' AS two; SELECT sqrt(16) AS root;\n.format csv\n\
                 SELECT 3 AS three,\n.5 AS half";
    let output = bench.piped(&["sql"], asked);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "one  two\n───  ───\n  1  ;\nroot\n────\n   4\nthree,half\n3,0.5\n"
    );
}

#[test]
fn an_unknown_command_swallows_nothing() {
    let bench = Bench::recorded();
    let output = bench.piped(&["sql"], "SELECT 1 AS one;\n.tabels\nSELECT 2 AS two;\n");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("there is no command `.tabels`") && said.contains(".help"), "{said}");
    assert!(text(&output.stdout).contains("one"), "what came before it is answered");
    for (line, told) in [
        (".run nobody", "no run `nobody`"),
        (".format pdf", "no format `pdf`"),
        (".schema", "`.schema` takes NAME"),
        (".schema nothing", "no view or table `nothing`"),
        (".example 99", "no built-in question `99`"),
        ("SELECT 1; DROP TABLE run;", "only reads"),
    ] {
        let output = bench.piped(&["sql"], line);
        assert_eq!(output.status.code(), Some(4), "{line}");
        assert!(text(&output.stderr).contains(told), "{line}: {}", text(&output.stderr));
    }
    let output = bench.piped(&["sql"], ".help\n.tables;\n.schema v_runs\n.examples\n.quit\n.x\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for word in [".format", "view v_rollouts(", "\n  digest", "format-first"] {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
}

#[test]
fn colour_is_asked_for_or_absent() {
    let bench = Bench::recorded();
    assert!(!bench.ok(&["ls"]).contains('\u{1b}'));
    assert!(bench.ok(&["ls", "--color", "always"]).contains("\u{1b}[32mdone\u{1b}[0m"));
    let shown = bench.ok(&["show", "--color", "never"]);
    assert!(!shown.contains('\u{1b}'));
    let failed = bench.r1x(&["show", "nobody", "--color", "always"]);
    assert!(text(&failed.stderr).starts_with("\u{1b}[1;31merror: \u{1b}[0m"));
}

/// The README shows a mistake in a shipped experiment: made in that file, it is told in those words.
#[test]
fn the_readmes_example_of_a_mistake_is_what_is_printed() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, after) = readme.split_once("```\nerror[").expect("README.md shows an error");
    let example = format!("error[{}", after.split_once("\n```").unwrap().0);
    let (_, place) = example.split_once("┌─ ").unwrap();
    let place: Vec<&str> = place.lines().next().unwrap().split(':').collect();
    let (path, number) = (place[0], place[1].parse::<usize>().unwrap());
    let wrong =
        example.lines().find_map(|line| line.strip_prefix(&format!("{number} │ "))).unwrap();
    let spec = std::fs::read_to_string(root().join(path)).unwrap();
    let lines = spec.lines().zip(1..).map(|(line, at)| if at == number { wrong } else { line });
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let copy = bench.folder.path().join(path);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::write(&copy, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let output = bench.r1x(&["check", path]);
    let said = text(&output.stderr);
    assert!(said.contains(&example), "README.md says\n{example}\nand r1x says\n{said}");
}

#[test]
fn explain_lists_every_code() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let listed = bench.ok(&["explain"]);
    assert_eq!(listed.lines().count(), r1x_spec::CODES.len() + 2);
    for info in r1x_spec::CODES {
        let line = listed.lines().find(|line| line.starts_with(info.code)).unwrap();
        assert!(line.ends_with(info.title), "{line}");
        assert!(bench.ok(&["explain", info.code]).contains(info.text));
    }
    assert!(text(&bench.r1x(&["explain", "R1X9999"]).stderr).contains("`r1x explain` lists"));
}
