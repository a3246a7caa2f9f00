//! Pages of the documentation that need no tool of a language: followed as they stand, and held to the format.
//!
//! Must not test what a crate can test alone.

mod page;

use std::path::Path;
use std::process::Command;

use page::{Reader, blocks, page};
use serde_json::Value;

/// The page is read at the top of a clone, where the components lie.
fn at_the_top_of_a_clone() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").canonicalize();
    std::os::unix::fs::symlink(plugins.unwrap(), folder.path().join("plugins")).unwrap();
    folder
}

#[test]
fn the_page_about_data_runs_as_it_stands() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &[] };
    reader.follow(&page("data.md"), &["A file", "An experiment"]);
}

/// With fewer steps, since nothing is said about what is learnt.
#[test]
fn the_page_about_sweeps_runs_as_it_stands() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let edits = [("gate: {pass@1: 0.5}", "gate: {pass@1: 0}"), ("steps: 60", "steps: 12")];
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &edits };
    reader.follow(&page("data.md"), &["A file", "An experiment"]);
    let sections = ["Seeds", "Values", "Comparing", "Stopping and going on"];
    reader.follow(&page("sweeps.md"), &sections);
    // Three runs of the first section, and six of the second, which were there when it was started again.
    let store = folder.path().join("runs/r1x.sqlite");
    let output = Command::new(env!("CARGO_BIN_EXE_r1x"))
        .args(["sql", "SELECT count(*) AS n, count(run_id) AS begun FROM v_sweeps"])
        .args(["--format", "json", "--store"])
        .arg(store)
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found, serde_json::json!([{"n": 9, "begun": 9}]));
}

/// The commands of the page about exports, on the run of the page about data.
#[test]
fn the_page_about_exports_runs_as_it_stands() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &[] };
    reader.follow(&page("data.md"), &["A file", "An experiment"]);
    let sections = [
        "Finding words",
        "Files",
        "For a hub",
        "Scalars",
        "Problems and how well they were solved",
    ];
    reader.follow(&page("export.md"), &sections);
    let rows = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let found: Value = rows("found.json").remove(0);
    assert!(found["matching"].as_u64().unwrap() > 1, "{found}");
    assert_eq!(found["hits"].as_array().unwrap().len(), 1);
    // The columns that the page names are those that there are.
    let text = page("export.md");
    let files =
        [("rollouts", "rollouts.jsonl"), ("evals", "evals.jsonl"), ("problems", "middling.jsonl")];
    for (what, name) in files {
        let path = folder.path().join("evals.jsonl");
        if !path.exists() {
            let store = folder.path().join("runs/r1x.sqlite");
            let status = Command::new(env!("CARGO_BIN_EXE_r1x"))
                .args(["export", "latest", "--what", "evals", "-o"])
                .args([path.as_os_str(), "--store".as_ref(), store.as_os_str()])
                .status()
                .unwrap();
            assert!(status.success());
        }
        let line = text.lines().find(|line| line.starts_with(&format!("| `{what}` |"))).unwrap();
        let cell = line.trim_end_matches('|').rsplit('|').next().unwrap();
        let cell = cell.split(';').next().unwrap();
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let row = rows(name).remove(0);
        let columns: Vec<&String> = row.as_object().unwrap().keys().collect();
        // Behind the columns that every problem has are its own.
        let own: &[&str] = if what == "problems" { &["answer", "which", "words"] } else { &[] };
        assert_eq!(columns, [named, own.to_vec()].concat(), "{what}");
    }
}

/// The other template of the page writes prompts that the model can read as well.
#[test]
fn templates_of_the_page_about_data_are_templates() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let text = page("data.md");
    let other = blocks(&text, &["The prompt"]);
    let inline = "    prompt: \"{{ words | join(' ') }} {{ which }} =\"\n";
    let edits = [(inline, other[0].text.as_str())];
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &edits };
    reader.follow(&text, &["A file"]);
    let spec = blocks(&text, &["An experiment"]).remove(0);
    assert!(spec.text.contains(inline), "{}", spec.text);
    std::fs::write(folder.path().join("colours.yaml"), spec.text.replace(inline, &other[0].text))
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_r1x"))
        .args(["check", "colours.yaml"])
        .current_dir(folder.path())
        .env("XDG_CACHE_HOME", &cache)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the schema says about a key such as `stages.ID.grpo.lr`.
fn described<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |schema, step| match step {
        "ID" => [&schema["items"], &schema["additionalProperties"]]
            .into_iter()
            .find(|inner| inner.is_object()),
        key => schema["properties"].get(key),
    })
}

/// A default as a page writes it: `token_mean`, `0.2`, `true`.
fn written(default: &Value) -> String {
    match default {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        other => other.to_string(),
    }
}

/// Every key that the page from TRL names exists, and has the default that stands behind it.
#[test]
fn keys_and_defaults_of_the_page_from_trl_are_those_of_the_format() {
    let schema: Value = {
        let output = Command::new(env!("CARGO_BIN_EXE_r1x")).arg("schema").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let text = page("from-trl.md");
    let (mut keys, mut defaults, mut wrong) = (0, 0, Vec::new());
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| TRL")) {
        let ours = line.split(" | ").nth(1).unwrap_or_default();
        let pieces: Vec<&str> = ours.split('`').collect();
        // Texts between backticks stand at odd places; what follows one begins with its default.
        for (at, key) in pieces.iter().enumerate().filter(|(at, _)| at % 2 == 1) {
            let top = key.split('.').next().unwrap_or_default();
            let is_path = key.chars().all(|c| c.is_alphanumeric() || ".@_".contains(c))
                && (schema["properties"].get(top).is_some());
            if !is_path {
                continue;
            }
            keys += 1;
            let Some(found) = described(&schema, key) else {
                wrong.push(format!("there is no key `{key}`"));
                continue;
            };
            let behind = pieces.get(at + 1).and_then(|text| text.strip_prefix(" ("));
            let Some((told, _)) = behind.and_then(|text| text.split_once(')')) else { continue };
            defaults += 1;
            if written(&found["default"]) != told {
                wrong.push(format!("`{key}` is said to be {told}, and is {}", found["default"]));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(keys > 50 && defaults > 20, "{keys} keys and {defaults} defaults found");
}

#[test]
fn the_spec_beside_trl_is_right_without_python_too() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let edits = [("plugin: ./reward.py", "plugin: plugins/match.wasm, with: {part: whole}")];
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &edits };
    let text = page("from-trl.md").replace("r1x run", "r1x check");
    reader.follow(&text, &["The experiment"]);
}

#[test]
fn the_recipe_of_the_page_from_trl_is_imported_as_it_says() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &[] };
    reader.follow(&page("from-trl.md"), &["Importing a recipe"]);
}

/// The rollouts of the page stand in it, so nothing has to run before.
#[test]
fn the_page_about_imports_runs_as_it_stands() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &[] };
    reader.follow(&page("import.md"), &["A first import"]);
}

/// The run of the page takes minutes, so it is checked instead.
#[test]
fn the_commands_of_the_page_about_locks_work() {
    let folder = at_the_top_of_a_clone();
    let cache = folder.path().join("cache");
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/countdown.yaml");
    std::fs::create_dir(folder.path().join("experiments")).unwrap();
    std::fs::copy(spec, folder.path().join("experiments/countdown.yaml")).unwrap();
    let reader = Reader { folder: folder.path(), cache: &cache, edits: &[] };
    reader.follow(&page("lock.md").replace("r1x run", "r1x check"), &["Use"]);
    assert!(folder.path().join("experiments/countdown.yaml.lock").is_file());
}
