//! Tests of the reader of JSON lines.

use std::fs;
use std::path::PathBuf;

use r1x_core::plan::PromptPlan;

use super::*;

fn parse(reader: &[u8], plan: &DataPlan) -> Result<DataSet, TaskError> {
    super::parse(reader, plan, &Markup::default(), MOST_BYTES)
}

fn plan(columns: &[&str], solution: Option<&str>, heldout: f64) -> DataPlan {
    DataPlan {
        source: SourcePlan::Rows {
            path: "problems.jsonl".to_owned(),
            format: RowFormat::JsonLines,
            sha256: String::new(),
            heldout,
            columns: Some(columns.iter().map(|&name| name.to_owned()).collect()),
            renamed: BTreeMap::new(),
            solution: solution.map(str::to_owned),
            rejected: None,
            answer: columns.last().map(|&name| name.to_owned()),
            answer_after: None,
        },
        prompt: PromptPlan::Text(format!("{{{{ {} }}}} ?", columns[0])),
    }
}

fn countdown() -> DataPlan {
    let prompt = PromptPlan::text("{{ nums | join(' ') }} -> {{ target }}");
    DataPlan { prompt, ..plan(&["nums", "target"], None, 0.5) }
}

#[test]
fn a_row_becomes_a_problem() {
    let text = "\u{feff}{\"nums\": [3, 5, 7], \"target\": 22, \"more\": null}\r\n\n{\"nums\":[1,2],\"target\":3}";
    let set = parse(text.as_bytes(), &countdown()).unwrap();
    let mut all: Vec<&Problem> = set.train.iter().chain(&set.heldout).collect();
    all.sort_by_key(|problem| problem.prompt.len());
    let [small, large] = all[..] else { panic!("{all:?}") };
    assert_eq!(small.prompt, "1 2 -> 3");
    assert_eq!(large.prompt, "3 5 7 -> 22");
    assert_eq!(large.answer.as_deref(), Some("22"));
    assert_eq!(large.solution, None);
    let columns: Vec<_> = large.columns.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(columns, [("nums", "[3,5,7]"), ("target", "22")]);
}

#[test]
fn rows_that_ask_the_same_share_a_key_and_a_side() {
    let mut text = String::new();
    for i in 1..=200 {
        text.push_str(&format!("{{\"nums\": [{i}, 3, 500], \"target\": 7}}\n"));
        text.push_str(&format!("{{\"target\": 7.0, \"nums\": [500, {i}.0, 3], \"id\": {i}}}\n"));
    }
    let set = parse(text.as_bytes(), &countdown()).unwrap();
    assert_eq!(set.train.len() + set.heldout.len(), 400);
    assert!((60..140).contains(&(set.heldout.len() / 2)), "{}", set.heldout.len());
    for split in [&set.train, &set.heldout] {
        for pair in split.chunks(2) {
            assert_eq!(pair[0].key, pair[1].key);
        }
    }
    let keys: std::collections::BTreeSet<_> = set.train.iter().map(|p| &p.key).collect();
    assert!(set.heldout.iter().all(|problem| !keys.contains(&problem.key)));
    assert_eq!(keys.len(), set.train.len() / 2);
}

#[test]
fn other_solutions_of_one_question_are_one_problem() {
    let text = "{\"q\": \"a\", \"s\": \"one\"}\n{\"q\": \"a\", \"s\": \"two\"}\n{\"q\": \"b\", \"s\": null}";
    let set = parse(text.as_bytes(), &plan(&["q", "s"], Some("s"), 0.0)).unwrap();
    assert_eq!(set.heldout.len(), 0);
    let [a, b, c] = &set.train[..] else { panic!("{set:?}") };
    assert_eq!(a.key, b.key);
    assert_ne!(a.key, c.key);
    let solutions = [a, b, c].map(|problem| problem.solution.as_deref());
    assert_eq!(solutions, [Some("one"), Some("two"), None]);
}

#[test]
fn objects_inside_columns_are_compared_by_content() {
    let text = "{\"q\": {\"x\": 1, \"y\": [2.0]}}\n{\"q\": {\"y\": [2], \"x\": 1}}\n{\"q\": {\"y\": [2], \"x\": 0}}";
    let mut plan = plan(&["q"], None, 0.0);
    if let SourcePlan::Rows { answer, .. } = &mut plan.source {
        *answer = None;
    }
    let set = parse(text.as_bytes(), &plan).unwrap();
    assert_eq!(set.train[0].key, set.train[1].key);
    assert_ne!(set.train[0].key, set.train[2].key);
}

#[track_caller]
fn check_error(bytes: &[u8], expected: &str) {
    let error = parse(bytes, &countdown()).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert!(!error.hint().is_empty());
}

#[test]
fn errors_name_the_line() {
    let good = "{\"nums\": [1], \"target\": 1}\n";
    check_error(b"", "problems.jsonl has no rows");
    check_error(b"\n \r\n", "problems.jsonl has no rows");
    check_error(
        format!("{good}\n{{\"nums\": [1,\n").as_bytes(),
        "problems.jsonl:3: not JSON: EOF while parsing a value (column 12)",
    );
    check_error(
        format!("{good}{{\"nums\": [1], \"tgt\": 1}}").as_bytes(),
        "problems.jsonl:2: the column `target` is missing; the row has `nums`, `tgt`",
    );
    check_error(b"[1]", "problems.jsonl:1: a row is an object, but this is a list");
    check_error(
        b"{\"nums\": [1], \"target\": [2]}",
        "problems.jsonl:1: the column `target` must be text, but is a list",
    );
    check_error(
        b"{\"nums\": [1], \"target\": \"\xff\"}",
        "problems.jsonl:1: not UTF-8 from byte 26 of the line on",
    );
    check_error(
        b"{\"nums\": 5, \"target\": 1}",
        "problems.jsonl:1: the prompt template cannot be used (line 1 of it): invalid operation: \
         cannot join value of type number",
    );
    let deep = format!("{{\"nums\": {}1{}, \"target\": 1}}", "[".repeat(500), "]".repeat(500));
    let error = parse(deep.as_bytes(), &countdown()).unwrap_err().to_string();
    assert!(error.contains(":1: not JSON: recursion limit exceeded"), "{error}");
}

#[test]
fn a_missing_or_changed_file_is_named() {
    let folder = std::env::temp_dir().join(format!("r1x-tasks-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("rows.jsonl");
    let mut plan = countdown();
    let SourcePlan::Rows { path, sha256, .. } = &mut plan.source else { unreachable!() };
    *path = file.display().to_string();
    *sha256 = r1x_core::digest::sha256(b"{\"nums\": [1], \"target\": 1}");
    let missing = read(&plan, &Markup::default()).unwrap_err();
    assert!(matches!(missing, TaskError::Read { .. }), "{missing}");
    fs::write(&file, "{\"nums\": [1], \"target\": 2}").unwrap();
    let changed = read(&plan, &Markup::default()).unwrap_err();
    assert!(matches!(changed, TaskError::Changed { .. }), "{changed}");
    fs::write(&file, "{\"nums\": [1], \"target\": 1}").unwrap();
    let set = read(&plan, &Markup::default()).unwrap();
    assert_eq!(set.train.len() + set.heldout.len(), 1);
    fs::remove_dir_all(&folder).unwrap();
}

/// Real data: GSM8K's test file, 1 319 rows with the columns `question` and `answer`.
#[test]
#[ignore = "needs gsm8k/test.jsonl"]
fn a_real_file_is_read() {
    let folder = std::env::var_os("R1X_SHARED").expect("R1X_SHARED names a folder with data sets");
    let bytes = fs::read(PathBuf::from(folder).join("data/gsm8k/test.jsonl")).unwrap();
    let plan = plan(&["question", "answer"], Some("answer"), 0.1);
    let set = parse(bytes.as_slice(), &plan).unwrap();
    assert_eq!(set.train.len() + set.heldout.len(), 1_319);
    assert!((90..180).contains(&set.heldout.len()), "{}", set.heldout.len());
    assert!(set.train.iter().all(|p| p.solution.as_ref().is_some_and(|s| s.contains("####"))));
}

/// A plan that names no columns.
fn every_column(prompt: &str, solution: Option<&str>) -> DataPlan {
    let mut plan = DataPlan { prompt: PromptPlan::text(prompt), ..plan(&["q"], solution, 0.5) };
    if let SourcePlan::Rows { columns, answer, .. } = &mut plan.source {
        (*columns, *answer) = (None, None);
    }
    plan
}

#[test]
fn a_spec_without_columns_takes_every_column_of_each_row() {
    let text = "{\"q\": \"a\", \"n\": 1}\n{\"q\": \"b\", \"unit\": \"m\", \"s\": \"x\"}\n";
    let mut plan = every_column("{{ q }} ?", None);
    if let SourcePlan::Rows { heldout, .. } = &mut plan.source {
        *heldout = 0.0;
    }
    let set = parse(text.as_bytes(), &plan).unwrap();
    let names = |problem: &Problem| problem.columns.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&set.train[0]), ["n", "q"]);
    assert_eq!(names(&set.train[1]), ["q", "s", "unit"]);
    let columns: Vec<_> = set.columns.iter().map(|c| (c.name.as_str(), c.rows)).collect();
    assert_eq!(columns, [("q", 2), ("n", 1), ("unit", 1), ("s", 1)]);
    let train = [1, 2].map(|line| Place { file: 0, line }).to_vec();
    let lines = Lines { files: vec!["problems.jsonl".to_owned()], train, heldout: vec![] };
    assert_eq!(set.lines, lines);
    assert_eq!(set.line_of(&set.train[1]).as_deref(), Some("problems.jsonl:2"));
}

#[test]
fn without_columns_what_the_template_asks_decides_the_side() {
    let mut text = String::new();
    for i in 1..=200 {
        text.push_str(&format!("{{\"id\": {i}, \"q\": \"{i} ?\", \"s\": \"one\"}}\n"));
        text.push_str(&format!("{{\"id\": -{i}, \"q\": \"{i} ?\", \"s\": \"two\"}}\n"));
    }
    let set = parse(text.as_bytes(), &every_column("{{ q }}", Some("s"))).unwrap();
    assert!((60..140).contains(&(set.heldout.len() / 2)), "{}", set.heldout.len());
    for split in [&set.train, &set.heldout] {
        assert!(split.chunks(2).all(|pair| pair[0].key == pair[1].key));
    }
    // A template that asks every row alike leaves the whole row but its solution.
    let set = parse(text.as_bytes(), &every_column("go", Some("s"))).unwrap();
    let keys: std::collections::BTreeSet<_> =
        set.train.iter().chain(&set.heldout).map(|p| &p.key).collect();
    assert_eq!(keys.len(), 400);
}

#[test]
fn columns_can_have_another_name_than_in_the_file() {
    let mut plan = plan(&["question", "target"], None, 0.0);
    if let SourcePlan::Rows { renamed, answer, .. } = &mut plan.source {
        *renamed = BTreeMap::from([
            ("question".to_owned(), "q".to_owned()),
            ("target".to_owned(), "gold answer".to_owned()),
        ]);
        *answer = Some("gold answer".to_owned());
    }
    let set = parse(&b"{\"q\": \"a\", \"gold answer\": 5, \"more\": 1}"[..], &plan).unwrap();
    let [problem] = &set.train[..] else { panic!("{set:?}") };
    assert_eq!((problem.prompt.as_str(), problem.answer.as_deref()), ("a ?", Some("5")));
    let columns: Vec<_> = problem.columns.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(columns, [("question", "\"a\""), ("target", "5")]);
    let error = parse(&b"{\"question\": \"a\"}"[..], &plan).unwrap_err().to_string();
    assert_eq!(error, "problems.jsonl:1: the column `q` is missing; the row has `question`");
}

#[test]
fn long_numbers_stay_exact_wherever_they_are_read() {
    let long = "123456789012345678901234567890";
    let text = format!("{{\"q\": {long}, \"t\": [{long}, 5]}}");
    let set = parse(text.as_bytes(), &plan(&["q", "t", "q"], None, 0.0)).unwrap();
    let problem = &set.train[0];
    assert_eq!(problem.prompt, format!("{long} ?"));
    assert_eq!(problem.answer.as_deref(), Some(long));
    assert_eq!(problem.columns["q"], long);
    assert_eq!(problem.columns["t"], format!("[{long},5]"));
}

#[test]
fn slips_of_every_kind_name_the_line() {
    let good = "{\"nums\": [1], \"target\": 1}\n";
    for (line, reason) in [
        ("{\"nums\": [1], \"nums\": [2], \"target\": 1}", "the key `nums` is written twice"),
        ("{\"nums\": [NaN], \"target\": 1}", "not JSON: expected value (column 11)"),
        ("\"text\"", "a row is an object, but this is text"),
        ("null", "a row is an object, but this is null"),
        ("{\"nums\": [1], \"target\": 1} {}", "not JSON: trailing characters (column 28)"),
        ("\u{feff}{\"nums\": [1], \"target\": 1}", "not JSON: expected value (column 1)"),
    ] {
        let text = format!("\u{feff}{good}\r\n  \n{line}\r\n{good}");
        check_error(text.as_bytes(), &format!("problems.jsonl:4: {reason}"));
    }
}

#[test]
fn what_problems_take_of_memory_has_a_limit() {
    let row = r#"{"q": "aaaaaaaaaaaaaaaaaaaa", "s": "b"}"#;
    let text = format!("{row}\n").repeat(100);
    let plan = plan(&["q", "s"], Some("s"), 0.0);
    let error = super::parse(text.as_bytes(), &plan, &Markup::default(), 30_000).unwrap_err();
    let TaskError::TooMuch { line, limit: 30_000, .. } = &error else { panic!("{error}") };
    assert!((40..60).contains(line), "{error}");
    assert!(error.hint().contains("list only the `columns`"));
    assert!(super::parse(text.as_bytes(), &plan, &Markup::default(), 100_000).is_ok());
    // What the template makes of a row counts as well, and has a limit of its own.
    let mut long = plan.clone();
    long.prompt = PromptPlan::text("{{ q * 300000 }}");
    let error =
        super::parse(text.as_bytes(), &long, &Markup::default(), 1 << 30).unwrap_err().to_string();
    assert!(
        error.starts_with("problems.jsonl:1: ") && error.contains("more than 4194304"),
        "{error}"
    );
    long.prompt = PromptPlan::text("{{ q * 100000 }}");
    let error = super::parse(text.as_bytes(), &long, &Markup::default(), 100 << 20).unwrap_err();
    assert!(matches!(error, TaskError::TooMuch { .. }), "{error}");
    long.prompt = PromptPlan::text(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{{ q }}",
    );
    let error = super::parse(text.as_bytes(), &long, &Markup::default(), 1 << 30).unwrap_err();
    assert!(error.to_string().contains(":1: the prompt template is too much"), "{error}");
    assert!(error.hint().contains("shorter template"), "{}", error.hint());
}

/// The plan of pairs: `chosen` is better than `rejected`.
fn pairs(prompt: &str) -> DataPlan {
    let mut plan =
        DataPlan { prompt: PromptPlan::text(prompt), ..plan(&["prompt"], Some("chosen"), 0.0) };
    if let SourcePlan::Rows { rejected, columns, answer, .. } = &mut plan.source {
        (*rejected, *columns, *answer) = (Some("rejected".to_owned()), None, None);
    }
    plan
}

fn read_pairs(prompt: &str, rows: &str) -> Result<DataSet, TaskError> {
    parse(rows.as_bytes(), &pairs(prompt))
}

#[test]
fn pairs_are_texts_or_the_last_messages_of_conversations() {
    let texts = "{\"prompt\": \"hi\", \"chosen\": \"hello\", \"rejected\": \"what\"}\n\
                 {\"prompt\": \"you\", \"chosen\": \"yes\", \"rejected\": null}\n";
    let set = read_pairs("{{ prompt }}", texts).unwrap();
    let said = |problem: &Problem| (problem.solution.clone(), problem.rejected.clone());
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(said(&set.train[0]), (text("hello"), text("what")));
    assert_eq!(said(&set.train[1]), (text("yes"), None));
    let messages = "{\"chosen\": [{\"role\": \"user\", \"content\": \"hi\"}, \
                    {\"role\": \"assistant\", \"content\": \"hello\"}], \
                    \"rejected\": [{\"content\": \"what\", \"role\": \"assistant\"}]}\n";
    let of_messages = read_pairs("{{ chosen[0].content }}", messages).unwrap();
    assert_eq!(said(&of_messages.train[0]), (text("hello"), text("what")));
    assert_eq!(of_messages.train[0].prompt, "hi");
}

/// What is worse counts in memory and in the hash of the data, and is no part of what identifies a problem.
#[test]
fn a_worse_completion_is_data_and_no_identity() {
    let row = |rejected: &str| {
        let text = format!("{{\"prompt\": \"hi\", \"chosen\": \"a\", \"rejected\": {rejected}}}\n");
        read_pairs("{{ prompt }}", &text).unwrap()
    };
    let (without, short, long) = (row("null"), row("\"b\""), row("\"bbbb\""));
    assert_eq!(short.train[0].key, long.train[0].key);
    let hashes = [&without.sha256, &short.sha256, &long.sha256];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    // The column has the text as well, in quotes.
    let bytes = |set: &DataSet| crate::dataset::bytes_of(&set.train[0]);
    assert_eq!(bytes(&long) - bytes(&short), 6);
}

#[test]
fn lists_without_a_completion_are_refused_with_their_row() {
    let refused = |rejected: &str| {
        let text = format!("{{\"prompt\": \"hi\", \"chosen\": \"a\", \"rejected\": {rejected}}}\n");
        read_pairs("{{ prompt }}", &text).unwrap_err()
    };
    let error = refused("[{\"role\": \"user\", \"content\": \"x\"}]");
    assert!(error.hint().contains("end with one of the assistant"), "{}", error.hint());
    let none = "a list without a completion";
    for (rejected, why) in [
        ("[{\"role\": \"user\", \"content\": \"x\"}]", "the last one is by `user`"),
        ("[\"x\"]", "the last entry has no texts `role` and `content`"),
        ("[]", "there is none"),
    ] {
        let error = refused(rejected).to_string();
        let expected = format!("problems.jsonl:1: the column `rejected` is {none}: {why}");
        assert!(error.ends_with(&expected), "{error} is not {expected}");
    }
    let error = refused("true").to_string();
    assert!(error.ends_with("the column `rejected` must be text, but is true or false"), "{error}");
}
