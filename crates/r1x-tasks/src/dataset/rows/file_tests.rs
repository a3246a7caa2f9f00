//! Parquet files and folders of files, in the layouts that hubs have: written here, and read as JSON lines would be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use r1x_core::plan::{ChatPlan, MessagesPlan, PromptPlan};

use super::*;

fn open(plan: &DataPlan, most_bytes: u64) -> Result<Opened, TaskError> {
    super::open(plan, &Markup::default(), most_bytes)
}

/// The numbers of a column with the levels that say where lists begin and what is missing.
enum Column<'c> {
    Texts(&'c [&'c str], &'c [i16], &'c [i16]),
    Longs(&'c [i64], &'c [i16], &'c [i16]),
    Doubles(&'c [f64], &'c [i16], &'c [i16]),
}

/// A file with one group of rows.
fn file_of(schema: &str, columns: &[Column<'_>], compression: Compression) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in columns {
        let mut out = group.next_column().unwrap().unwrap();
        let given = |levels: &[i16]| (!levels.is_empty()).then(|| levels.to_vec());
        match column {
            Column::Texts(values, defined, repeated) => {
                let values: Vec<ByteArray> = values.iter().map(|text| (*text).into()).collect();
                let (defined, repeated) = (given(defined), given(repeated));
                out.typed::<ByteArrayType>()
                    .write_batch(&values, defined.as_deref(), repeated.as_deref())
                    .unwrap();
            }
            Column::Longs(values, defined, repeated) => {
                let (defined, repeated) = (given(defined), given(repeated));
                out.typed::<Int64Type>()
                    .write_batch(values, defined.as_deref(), repeated.as_deref())
                    .unwrap();
            }
            Column::Doubles(values, defined, repeated) => {
                let (defined, repeated) = (given(defined), given(repeated));
                out.typed::<DoubleType>()
                    .write_batch(values, defined.as_deref(), repeated.as_deref())
                    .unwrap();
            }
        }
        out.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn plan(path: &Path, format: RowFormat, prompt: &str) -> DataPlan {
    DataPlan {
        source: SourcePlan::Rows {
            path: path.display().to_string(),
            format,
            sha256: String::new(),
            heldout: 0.0,
            columns: None,
            renamed: BTreeMap::new(),
            solution: None,
            rejected: None,
            answer: None,
            answer_after: None,
        },
        prompt: PromptPlan::text(prompt),
    }
}

fn written(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

const COUNTDOWN: &str = "message schema {
    OPTIONAL INT64 target;
    OPTIONAL GROUP nums (LIST) { REPEATED GROUP list { OPTIONAL INT64 element; } }
}";

/// Two problems in the layout of Jiayi-Pan/Countdown-Tasks-3to4: a target, and a list of numbers.
fn countdown(compression: Compression) -> Vec<u8> {
    let target = Column::Longs(&[98, 64], &[1, 1], &[]);
    let nums = Column::Longs(&[44, 19, 35, 63, 95, 96, 1], &[3; 7], &[0, 1, 1, 0, 1, 1, 1]);
    file_of(COUNTDOWN, &[target, nums], compression)
}

#[test]
fn the_published_layout_of_countdown_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3).unwrap());
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd] {
        let path = written(&folder, "train.parquet", &countdown(compression));
        let prompt = "{{ nums | join(' ') }} -> {{ target }}";
        let set = open(&plan(&path, RowFormat::Parquet, prompt), MOST_BYTES).unwrap().set;
        assert_eq!(set.train[0].prompt, "44 19 35 -> 98");
        assert_eq!(set.train[1].columns["nums"], "[63,95,96,1]");
        assert_eq!(set.train[1].columns["target"], "64");
        let place = set.line_of(&set.train[1]).unwrap();
        assert!(place.ends_with("train.parquet:2"), "{place}");
        // As JSON lines, these rows are equal problems.
        let lines = "{\"target\": 98, \"nums\": [44, 19, 35]}\n{\"target\": 64, \"nums\": [63, 95, 96, 1]}\n";
        let path = written(&folder, "train.jsonl", lines.as_bytes());
        let lines = open(&plan(&path, RowFormat::JsonLines, prompt), MOST_BYTES).unwrap().set;
        assert_eq!(set.sha256, lines.sha256);
    }
}

#[test]
fn lists_of_structs_and_missing_values_are_what_json_has() {
    let schema = "message schema {
        OPTIONAL GROUP messages (LIST) { REPEATED GROUP list { OPTIONAL GROUP element {
            OPTIONAL BYTE_ARRAY role (STRING); OPTIONAL BYTE_ARRAY content (STRING);
        } } }
        OPTIONAL DOUBLE score;
        OPTIONAL GROUP of { REQUIRED INT64 a; }
    }";
    // Two messages, an empty list, and no list; the second message has no content.
    let role = Column::Texts(&["user", "assistant"], &[4, 4, 1, 0], &[0, 1, 0, 0]);
    let content = Column::Texts(&["Hé \"you\""], &[4, 3, 1, 0], &[0, 1, 0, 0]);
    let score = Column::Doubles(&[0.5, 3.0], &[1, 0, 1], &[]);
    let of = Column::Longs(&[i64::MAX], &[1, 0, 0], &[]);
    let folder = tempfile::tempdir().unwrap();
    let bytes = file_of(schema, &[role, content, score, of], Compression::SNAPPY);
    let path = written(&folder, "rows.parquet", &bytes);
    let set = open(&plan(&path, RowFormat::Parquet, "{{ score }}"), MOST_BYTES).unwrap().set;
    let column = |row: usize, name: &str| set.train[row].columns[name].as_str();
    assert_eq!(
        column(0, "messages"),
        "[{\"role\":\"user\",\"content\":\"Hé \\\"you\\\"\"},{\"role\":\"assistant\",\"content\":null}]"
    );
    assert_eq!([column(1, "messages"), column(2, "messages")], ["[]", "null"]);
    assert_eq!(
        [column(0, "score"), column(1, "score"), column(2, "score")],
        ["0.5", "null", "3.0"]
    );
    assert_eq!([column(0, "of"), column(1, "of")], ["{\"a\":9223372036854775807}", "null"]);
}

const GSM8K: &str = "message schema {
    OPTIONAL BYTE_ARRAY question (STRING); OPTIONAL BYTE_ARRAY answer (STRING);
}";

fn gsm8k(rows: &[(&str, &str)]) -> Vec<u8> {
    let (questions, answers): (Vec<&str>, Vec<&str>) = rows.iter().copied().unzip();
    let levels = vec![1; rows.len()];
    let columns = [&questions, &answers].map(|texts| Column::Texts(texts, &levels, &[]));
    file_of(GSM8K, &columns, Compression::SNAPPY)
}

/// The plan of a folder in GSM8K's layout, whose answers stand behind a mark.
fn marked(path: &Path, format: RowFormat) -> DataPlan {
    let mut plan = plan(path, format, "{{ question }}");
    let SourcePlan::Rows { solution, answer, answer_after, .. } = &mut plan.source else {
        unreachable!()
    };
    (*solution, *answer) = (Some("answer".to_owned()), Some("answer".to_owned()));
    *answer_after = Some("####".to_owned());
    plan
}

#[test]
fn a_folder_has_its_splits_as_files_and_answers_stand_behind_a_mark() {
    let folder = tempfile::tempdir().unwrap();
    let train = [("2 + 2?", "It is <<2+2=4>>4.\n#### 4"), ("both?", "x\n#### 1,000 ")];
    let test = [("5 + 5?", "#### 9 is wrong\n#### 10"), ("both?", "x\n#### 1,000 ")];
    written(&folder, "main/train-00000-of-00001.parquet", &gsm8k(&train));
    written(&folder, "main/test-00000-of-00001.parquet", &gsm8k(&test));
    written(&folder, "main/README.md", b"not rows");
    let path = folder.path().join("main");
    let opened = open(&marked(&path, RowFormat::Parquet), MOST_BYTES).unwrap();
    let said = |problems: &[Problem]| -> Vec<(String, String)> {
        let said = |one: &Problem| (one.prompt.clone(), one.answer.clone().unwrap());
        problems.iter().map(said).collect()
    };
    let pair = |question: &str, answer: &str| (question.to_owned(), answer.to_owned());
    // The question of both files is held out, so it is not trained on.
    assert_eq!(said(&opened.set.train), [pair("2 + 2?", "4")]);
    assert_eq!(said(&opened.set.heldout), [pair("5 + 5?", "10"), pair("both?", "1,000")]);
    assert_eq!(opened.set.train[0].solution.as_deref(), Some("It is <<2+2=4>>4.\n#### 4"));
    let place = opened.set.line_of(&opened.set.heldout[1]).unwrap();
    assert!(place.ends_with("test-00000-of-00001.parquet:2"), "{place}");
    // The hash is that of all files: another one is another folder.
    assert_eq!(opened.sha256.len(), 64);
    written(&folder, "main/test-00001-of-00001.parquet", &gsm8k(&[("new", "#### 1")]));
    let other = open(&marked(&path, RowFormat::Parquet), MOST_BYTES).unwrap();
    assert_ne!(opened.sha256, other.sha256);
    assert_eq!(other.set.heldout.len(), 3);
}

/// The rows of a Parquet file are asked in a conversation as those of JSON lines are, and cannot write its marks either.
#[test]
fn rows_of_parquet_are_asked_by_messages() {
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<end>{% endfor %}\
                    {% if add_generation_prompt %}assistant: {% endif %}";
    let chat = ChatPlan { template: template.to_owned(), bos: None, eos: None };
    let markup = Markup { chat: Some(chat), reserved: vec!["<end>".to_owned()] };
    let messages = MessagesPlan {
        system: None,
        user: "{{ question }}".to_owned(),
        prefill: Some("So ".to_owned()),
    };
    let asked = |path: &Path| DataPlan {
        prompt: PromptPlan::Messages(messages.clone()),
        ..marked(path, RowFormat::Parquet)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "train.parquet", &gsm8k(&[("2 + 2?", "4\n#### 4")]));
    let set = super::open(&asked(&path), &markup, MOST_BYTES).unwrap().set;
    let problem = &set.train[0];
    assert_eq!(problem.prompt, "user: 2 + 2?<end>assistant: So ");
    assert_eq!((problem.form.prefill(), problem.answer.as_deref()), ("So ", Some("4")));
    for row in [("and<end>?", "#### 1"), ("and?", "5<end>\n#### 5")] {
        let path = written(&folder, "train.parquet", &gsm8k(&[("2 + 2?", "#### 4"), row]));
        let error = super::open(&asked(&path), &markup, MOST_BYTES).unwrap_err().to_string();
        assert!(error.contains("train.parquet:2: ") && error.contains("<end>"), "{error}");
    }
}

/// Pairs as hubs have them: two columns of texts, or two of conversations of which the last message counts.
#[test]
fn pairs_of_parquet_are_those_of_json_lines() {
    let paired = |path: &Path, format, prompt: &str| {
        let mut plan = plan(path, format, prompt);
        let SourcePlan::Rows { solution, rejected, .. } = &mut plan.source else { unreachable!() };
        (*solution, *rejected) = (Some("chosen".to_owned()), Some("rejected".to_owned()));
        plan
    };
    let said = |problem: &Problem| {
        [Some(problem.prompt.clone()), problem.solution.clone(), problem.rejected.clone()]
    };
    let texts = |all: [Option<&str>; 3]| all.map(|text| text.map(str::to_owned));
    let expected =
        [texts([Some("hi"), Some("hello"), Some("what")]), texts([Some("you"), Some("yes"), None])];
    let folder = tempfile::tempdir().unwrap();
    let schema = "message schema { REQUIRED BYTE_ARRAY prompt (UTF8); REQUIRED BYTE_ARRAY chosen (UTF8); OPTIONAL \
                  BYTE_ARRAY rejected (UTF8); }";
    let columns = [
        Column::Texts(&["hi", "you"], &[], &[]),
        Column::Texts(&["hello", "yes"], &[], &[]),
        Column::Texts(&["what"], &[1, 0], &[]),
    ];
    let path = written(&folder, "texts.parquet", &file_of(schema, &columns, Compression::SNAPPY));
    let of_texts =
        open(&paired(&path, RowFormat::Parquet, "{{ prompt }}"), MOST_BYTES).unwrap().set;
    assert_eq!(of_texts.train.iter().map(said).collect::<Vec<_>>(), expected);
    let list = |name: &str| {
        format!(
            "OPTIONAL GROUP {name} (LIST) {{ REPEATED GROUP list {{ OPTIONAL GROUP element {{ OPTIONAL BYTE_ARRAY content (UTF8); \
             OPTIONAL BYTE_ARRAY role (UTF8); }} }} }}"
        )
    };
    let schema = format!("message schema {{ {} {} }}", list("chosen"), list("rejected"));
    let roles = ["user", "assistant", "user", "assistant"];
    let (whole, again) = ([4; 4], [0, 1, 0, 1]);
    // The second row has no worse conversation.
    let (half, once) = ([4, 4, 0], [0, 1, 0]);
    let columns = [
        Column::Texts(&["hi", "hello", "you", "yes"], &whole, &again),
        Column::Texts(&roles, &whole, &again),
        Column::Texts(&["hi", "what"], &half, &once),
        Column::Texts(&roles[..2], &half, &once),
    ];
    let path = written(&folder, "lists.parquet", &file_of(&schema, &columns, Compression::SNAPPY));
    let prompt = "{{ chosen[0].content }}";
    let of_lists = open(&paired(&path, RowFormat::Parquet, prompt), MOST_BYTES).unwrap().set;
    assert_eq!(of_lists.train.iter().map(said).collect::<Vec<_>>(), expected);
    let lines = [
        r#"{"chosen": [{"content": "hi", "role": "user"}, {"content": "hello", "role": "assistant"}], "rejected": [{"content": "hi", "role": "user"}, {"content": "what", "role": "assistant"}]}"#,
        r#"{"chosen": [{"content": "you", "role": "user"}, {"content": "yes", "role": "assistant"}], "rejected": null}"#,
    ];
    let path = written(&folder, "lists.jsonl", lines.join("\n").as_bytes());
    let of_lines = open(&paired(&path, RowFormat::JsonLines, prompt), MOST_BYTES).unwrap().set;
    assert_eq!(of_lists.train, of_lines.train);
}

#[test]
fn a_folder_of_lines_may_leave_the_split_to_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..200).map(|n| format!("{{\"question\": \"q{n}\"}}\n")).collect();
    written(&folder, "train.jsonl", lines.as_bytes());
    let mut by_hash = plan(folder.path(), RowFormat::JsonLines, "{{ question }}");
    if let SourcePlan::Rows { heldout, .. } = &mut by_hash.source {
        *heldout = 0.5;
    }
    let set = open(&by_hash, MOST_BYTES).unwrap().set;
    assert!((60..140).contains(&set.heldout.len()), "{}", set.heldout.len());
    // A validation file is what is held out where there is no test.
    written(&folder, "validation.jsonl", b"{\"question\": \"v\"}\n");
    let set = open(&by_hash, MOST_BYTES).unwrap().set;
    assert_eq!((set.train.len(), set.heldout.len()), (200, 1));
    written(&folder, "test.jsonl", b"{\"question\": \"t\"}\n{\"question\": \"u\"}\n");
    assert_eq!(open(&by_hash, MOST_BYTES).unwrap().set.heldout.len(), 2);
}

/// What is wrong with a plan, and how to mend it.
fn refused(plan: &DataPlan) -> (String, String) {
    let error = open(plan, MOST_BYTES).unwrap_err();
    (error.to_string(), error.hint())
}

#[test]
fn what_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (told, _) = refused(&plan(folder.path(), RowFormat::Parquet, "{{ q }}"));
    assert!(told.ends_with("has no file train*.parquet"), "{told}");
    let unmarked = written(&folder, "train.jsonl", b"{\"question\": \"q\", \"answer\": \"4\"}\n");
    let (told, hint) = refused(&marked(&unmarked, RowFormat::JsonLines));
    assert!(
        told.ends_with("train.jsonl:1: the column `answer` has no `####` before an answer"),
        "{told}"
    );
    assert!(hint.contains("leave `answer_after` out"), "{hint}");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n";
    for (bytes, expected) in [
        (&b""[..], "it has 0 bytes"),
        (pointer, "it does not end as such files do"),
        (b"PAR1....\xff\xff\xff\x7fPAR1", "it says that its footer has 2147483647 bytes"),
        (b"PAR1........\x08\0\0\0PAR1", "cannot be read as Parquet"),
    ] {
        let path = written(&folder, "bad.parquet", bytes);
        let (told, hint) = refused(&plan(&path, RowFormat::Parquet, "{{ q }}"));
        assert!(told.contains(expected), "{told}");
        assert!(hint.contains("download it again"), "{hint}");
    }
    let schema = "message schema { REQUIRED DOUBLE x; }";
    let bytes =
        file_of(schema, &[Column::Doubles(&[1.0, f64::NAN], &[], &[])], Compression::SNAPPY);
    let path = written(&folder, "nan.parquet", &bytes);
    let (told, _) = refused(&plan(&path, RowFormat::Parquet, "{{ x }}"));
    assert!(
        told.ends_with("nan.parquet:2: the column `x` holds a number that is not finite"),
        "{told}"
    );
    let schema = "message schema { REQUIRED BYTE_ARRAY x; }";
    let image = [ByteArray::from(vec![0xff, 0xd8, 0xff])];
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&image, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let path = written(&folder, "image.parquet", &bytes);
    let (told, hint) = refused(&plan(&path, RowFormat::Parquet, "{{ x }}"));
    assert!(told.ends_with("the column `x` holds bytes that are no text"), "{told}");
    assert!(hint.contains("leave the column out"), "{hint}");
}

/// Every byte of a small file set to some others: an error or rows, and never a panic or a hang.
#[test]
fn a_damaged_file_is_an_error_or_other_rows() {
    let folder = tempfile::tempdir().unwrap();
    let whole = countdown(Compression::SNAPPY);
    let (mut refusals, mut read) = (0, 0);
    for at in 0..whole.len() {
        for byte in [0x00, 0xff, whole[at] ^ 0x10, whole[at].wrapping_add(1)] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let path = written(&folder, "damaged.parquet", &bytes);
            match open(&plan(&path, RowFormat::Parquet, "{{ target }}"), 1 << 20) {
                Ok(_) => read += 1,
                Err(_) => refusals += 1,
            }
        }
    }
    assert!(refusals > 100 && read > 10, "{refusals} refused, {read} read");
}

/// GSM8K as its authors publish it: a folder with both splits, and an answer behind each mark.
#[test]
#[ignore = "needs gsm8k/test.jsonl"]
fn gsm8k_is_read_as_it_is_published() {
    let folder = std::env::var_os("R1X_SHARED").expect("R1X_SHARED names a folder with data sets");
    let folder = Path::new(&folder).join("data/gsm8k");
    let set = open(&marked(&folder, RowFormat::JsonLines), MOST_BYTES).unwrap().set;
    assert_eq!((set.train.len(), set.heldout.len()), (7473, 1319));
    for problem in set.train.iter().chain(&set.heldout) {
        let answer = problem.answer.as_deref().unwrap().replace(',', "");
        assert!(answer.parse::<i64>().is_ok(), "{answer} answers {}", problem.prompt);
    }
    assert_eq!(set.heldout[0].answer.as_deref(), Some("18"));
}

/// The rows of a file as JSON, by their numbers, and the hash of the file.
fn visited(path: &Path, format: RowFormat) -> (Vec<(usize, String)>, String) {
    let mut rows = Vec::new();
    let hash = each_row(&path.display().to_string(), format, |row| {
        let columns = row
            .columns()
            .map(|(name, value)| format!("{name}={} {:?}", row.json(value), row.as_number(value)));
        rows.push((row.number(), columns.collect::<Vec<_>>().join(", ")));
        Ok::<(), TaskError>(())
    });
    (rows, hash.unwrap())
}

#[test]
fn rows_are_visited_one_after_the_other_with_the_hash_of_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let lines =
        "{\"x\": 1e-05}\n\n{\"x\": 123456789012345678901234567890}\n{\"x\": 1e999, \"y\": \"5\"}";
    let path = written(&folder, "rows.jsonl", lines.as_bytes());
    let (rows, hash) = visited(&path, RowFormat::JsonLines);
    let expected = [
        (1, "x=0.00001 Some(1e-5)"),
        (3, "x=123456789012345678901234567890 Some(1.2345678901234568e29)"),
        (4, "x=1e999 None, y=\"5\" None"),
    ];
    assert_eq!(rows, expected.map(|(number, text)| (number, text.to_owned())));
    assert_eq!(hash, r1x_core::digest::sha256(lines.as_bytes()));

    // A number that is not finite marks what is missing in a table.
    let schema = "message schema { OPTIONAL DOUBLE x; }";
    let x = Column::Doubles(&[0.5, f64::NAN, f64::INFINITY], &[1, 1, 1, 0], &[]);
    let bytes = file_of(schema, &[x], Compression::SNAPPY);
    let path = written(&folder, "rows.parquet", &bytes);
    let (rows, hash) = visited(&path, RowFormat::Parquet);
    let expected =
        [(1, "x=0.5 Some(0.5)"), (2, "x=null None"), (3, "x=null None"), (4, "x=null None")];
    assert_eq!(rows, expected.map(|(number, text)| (number, text.to_owned())));
    assert_eq!(hash, r1x_core::digest::sha256(&bytes));
}

#[test]
fn what_a_visitor_says_ends_the_visit() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "rows.jsonl", b"{\"x\": 1}\n{\"x\": 2}\n{\"x\": 3}\n");
    let mut seen = 0;
    let told = each_row(&path.display().to_string(), RowFormat::JsonLines, |row| {
        seen = row.number();
        match row.number() {
            2 => Err(TaskError::NoChat),
            _ => Ok(()),
        }
    });
    assert!(matches!(told, Err(TaskError::NoChat)) && seen == 2);
}
