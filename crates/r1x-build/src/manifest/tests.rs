//! What a manifest means, and what its mistakes are told.
//!
//! Must not build anything.

use super::*;

const WHOLE: &str = r#"
[plugin]
name = "countdown"
version = "0.1.0"
description = "Does the answer reach the target?"

[build]
language = "python"
entry = "reward.py:reward"

[capabilities]
judge = ["qwen"]
exec = true
assets = { "words.txt" = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }

[limits]
time_ms = 5000
memory_bytes = "64MiB"
fuel = 1000000

[[test]]
name = "right"
completion = "<answer>1+2</answer>"
columns = { target = 3, nums = [1, 2] }
reward = 1.1
parts = { format = 0.1 }

[[test]]
completion = ""
abstain = true
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Path::new("plugin.toml"), text)
}

#[test]
fn everything_arrives() {
    let manifest = parse(WHOLE).unwrap();
    assert_eq!(manifest.plugin.name, "countdown");
    assert_eq!(manifest.plugin.world, "r1x:reward@0.1.0");
    assert_eq!(manifest.build.language, Language::Python);
    assert_eq!(manifest.build.entry.as_deref(), Some("reward.py:reward"));
    assert_eq!(manifest.capabilities.names(), ["judge", "exec", "assets"]);
    assert_eq!(manifest.capabilities.assets[0].name, "words.txt");
    assert_eq!(manifest.limits.memory_bytes, Some(64 << 20));
    assert_eq!(manifest.limits.time_per_rollout_ms, None);
    assert_eq!(manifest.limits.fuel, Some(1_000_000));
    let [first, second] = manifest.tests.as_slice() else { panic!("{:?}", manifest.tests) };
    assert_eq!((first.line, second.line), (21, 28));
    assert_eq!(first.columns["nums"], serde_json::json!([1, 2]));
    assert_eq!(first.expected.reward, Some(1.1));
    assert_eq!(first.expected.parts["format"], 0.1);
    assert!(second.expected.abstain);
}

#[test]
fn columns_of_cases_keep_the_digits_of_long_numbers() {
    let columns = "{\"answer\":123456789012345678901234567890,\"list\":[18446744073709551616,0.5]}";
    let line = format!("{{\"completion\": \"x\", \"columns\": {columns}, \"reward\": 1}}");
    let cases = Case::parse_lines(Path::new("cases.jsonl"), &line).unwrap();
    assert_eq!(cases[0].columns_json(), columns);
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let head = "[plugin]\nname = \"a\"\nversion = \"1\"\n";
    let body = format!("{head}[build]\nlanguage = \"rust\"\n");
    let of = |text: &str| {
        let error = parse(text).unwrap_err();
        format!("{error} / {}", error.hint)
    };
    for (text, expected) in [
        (String::new(), "plugin.toml:1:1: missing key `plugin`"),
        ("[plugin\n".to_owned(), "plugin.toml:1:8: unclosed table"),
        ("[plugin]\nnam = 1".to_owned(), ":2:1: unknown key `nam`, expected one of"),
        ("[plugin]\nnam = 1".to_owned(), "did you mean `name`?"),
        ("[plugin]\nname = \"É\"\nversion = \"1\"\n[build]\n".to_owned(), ":2:8: `É` is no name"),
        (format!("{head}[build]\nlanguage = \"pyhton\""), ":5:12: `pyhton` is not a language"),
        (format!("{head}[build]\nlanguage = \"pyhton\""), "did you mean `python`?"),
        (format!("{head}[build]\n"), ":4:1: [build] has neither `language` nor `prebuilt`"),
        (format!("{body}prebuilt = \"a.wasm\""), ":4:1: [build] has both"),
        (format!("{body}entry = \"../x.py\""), ":6:9: `../x.py` is not a path inside"),
        (format!("{body}entry = \"/etc/passwd\""), "is not a path inside"),
        (format!("{body}[limits]\ntime_ms = 0"), ":7:11: `time_ms` is 0"),
        (format!("{body}[limits]\ntime_ms = -1"), ":7:11: invalid value"),
        (format!("{body}[limits]\nmemory_bytes = \"lots\""), ":7:16: `memory_bytes` is not a size"),
        (format!("{body}[limits]\nmemory_bytes = 1"), "less than one page"),
        (format!("{body}[capabilities]\nassets = {{\"w\" = \"ab\"}}"), "`w` is not pinned"),
        (
            format!("{body}[capabilities]\nassets = {{\"../w\" = \"ab\"}}"),
            "not inside the plugin's",
        ),
        (format!("{body}[[test]]\nreward = 1"), ":6:1: missing key `completion`"),
        (format!("{body}[[test]]\ncompletion = \"\""), ":6:1: the case expects nothing"),
        (
            format!("{body}[[test]]\ncompletion = \"\"\nreward = 1\nabstain = true"),
            "two things at once",
        ),
        (format!("{body}[[test]]\ncompletion = \"\"\nreward = nan"), "the reward NaN"),
        (body.replace("version = \"1\"", "version = \" \""), ":3:11: the version is empty"),
        (
            body.replace("version", "world = \"wasi:cli\"\nversion"),
            ":3:9: `wasi:cli` is not a version of the reward interface",
        ),
    ] {
        let told = of(&text);
        assert!(told.contains(expected), "{text}\n  told:     {told}\n  expected: {expected}");
    }
}

#[test]
fn columns_of_positions_are_characters() {
    assert_eq!(position("é = 1\nü x", 0), (1, 1));
    assert_eq!(position("é = 1\nü x", 10), (2, 3));
    assert_eq!(position("", 7), (1, 1));
}
