//! The tables of keys as Markdown, for the documentation.

use std::fmt::Write as _;

use super::System;
use super::rewards::RewardRow;
use super::row::{Becomes, Group, Method, Row, STAGE, Word};

/// What is known of a system's keys, as Markdown.
pub fn page(system: System) -> String {
    let table = system.table();
    let mut out = String::new();
    let _ = writeln!(out, "Defaults are those of {}.\n", table.version);
    if system == System::OpenR1 {
        let defaults = table.defaults.iter().map(|(key, default)| match *default {
            "" => format!("`{key}` (nothing)"),
            default => format!("`{key}` ({default})"),
        });
        let defaults = defaults.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            out,
            "Keys of TRL are as above, with other defaults of {defaults}. Beside them:\n"
        );
    }
    out.push_str("| key (default) | r1x | what differs |\n| --- | --- | --- |\n");
    let rows = || system.own_rows().iter().flat_map(|part| part.iter());
    rows().for_each(|row| line(&mut out, row, table.default_of(row)));
    out.push_str("\n| reward | r1x | what differs |\n| --- | --- | --- |\n");
    system.rewards().iter().for_each(|row| reward(&mut out, row));
    out.push_str("\nOf no matter in r1x:\n\n");
    for group in Group::ALL {
        let keys: Vec<String> = rows()
            .filter(|row| matches!(row.becomes, Becomes::NoMatter(of) if of == group))
            .map(|row| format!("`{}`", row.key))
            .collect();
        if !keys.is_empty() {
            let _ = writeln!(out, "- {}: {}", group.why(), keys.join(", "));
        }
    }
    out
}

fn line(out: &mut String, row: &Row, default: &str) {
    let method = row.method.unwrap_or(Method::Grpo);
    let path =
        |path: &str| format!("`{}`", path.replace(STAGE, &format!("stages.ID.{}", method.word())));
    let (ours, words) = match row.becomes {
        Becomes::NoMatter(_) => return,
        Becomes::Key(ours) => (path(ours), String::new()),
        Becomes::Part(ours) => {
            (ours.iter().map(|ours| path(ours)).collect::<Vec<_>>().join(", "), String::new())
        }
        Becomes::Words(words) | Becomes::Chosen(words) => (paths(words, &path), told(words)),
        Becomes::Nothing { .. } => ("none".to_owned(), String::new()),
    };
    let of = match row.method {
        Some(Method::Sft) => " of fine-tuning",
        Some(Method::Grpo) | None => "",
    };
    let default = if default.is_empty() { String::new() } else { format!(" ({default})") };
    let note = match (row.note, words.as_str()) {
        ("", words) => words.to_owned(),
        (note, "") => note.to_owned(),
        (note, words) => format!("{note}; {words}"),
    };
    let _ = writeln!(out, "| `{}`{default}{of} | {ours} | {note} |", row.key);
}

/// The paths that words set.
fn paths(words: &[Word], path: &dyn Fn(&str) -> String) -> String {
    let mut all: Vec<&str> =
        words.iter().flat_map(|word| word.ours.iter().map(|(path, _)| *path)).collect();
    let mut seen = Vec::new();
    all.retain(|path| {
        let new = !seen.contains(path);
        seen.push(*path);
        new
    });
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.iter().map(|one| path(one)).collect::<Vec<_>>().join(", ")
    }
}

/// What words become, and why some do not.
fn told(words: &[Word]) -> String {
    let one = |word: &Word| {
        let ours: Vec<String> = word.ours.iter().map(|(_, value)| format!("`{value}`")).collect();
        let ours = if ours.is_empty() { String::new() } else { format!(" is {}", ours.join(", ")) };
        match (word.lacks, word.differs) {
            ("", "") if word.ours.iter().all(|(_, value)| *value == word.theirs) => None,
            ("", "") => Some(format!("`{}`{ours}", word.theirs)),
            ("", differs) => Some(format!("`{}`{ours}: {differs}", word.theirs)),
            (lacks, _) => Some(format!("`{}`: {lacks}", word.theirs)),
        }
    };
    words.iter().filter_map(one).collect::<Vec<_>>().join("; ")
}

fn reward(out: &mut String, row: &RewardRow) {
    let mut plugins: Vec<&str> = row.makes.iter().map(|made| made.plugin).collect();
    plugins.dedup();
    let plugins: Vec<String> = plugins.iter().map(|name| format!("`{name}`")).collect();
    let ours = if plugins.is_empty() {
        format!("`./{}.py`, to be written", row.name)
    } else {
        plugins.join(", ")
    };
    let _ = writeln!(out, "| `{}` | {ours} | {} |", row.name, row.note);
}
