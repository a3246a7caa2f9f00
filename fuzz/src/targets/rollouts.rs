//! Rollouts that another system has written, as JSON lines and as Parquet, read as an import reads them.

use std::path::Path;

use r1x::untrusted::{SYSTEMS, rollouts};

use super::{Read, Target, said};

/// The target.
pub const TARGET: Target = Target {
    name: "rollouts",
    reads: "rollouts of TRL, verl and verifiers",
    files: &[],
    words: &[
        "{",
        "}",
        "[",
        "]",
        "\n",
        "\"step\": ",
        "\"prompt\": ",
        "\"completion\": ",
        "\"advantage\": ",
        "\"reward\": ",
        "\"nodes\": ",
        "\"parent\": ",
        "\"messages\": ",
        "\"rewards\": ",
        "\"weight\": ",
        "\"example_id\": ",
        "\"tool_calls\": ",
        "1e999",
        "null",
    ],
    make,
};

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let folder = folder.to_owned();
    let read = move |input: &[u8]| {
        let name = if input.starts_with(b"PAR1") { "rollouts.parquet" } else { "rollouts.jsonl" };
        let path = folder.join(name);
        if let Err(error) = std::fs::write(&path, input) {
            return error.to_string();
        }
        // A file is of one system; what the others say of it tells inputs apart all the more.
        let answers: Vec<String> =
            SYSTEMS.iter().map(|system| said(rollouts(&path, system))).collect();
        match answers.iter().any(|answer| answer == "ok") {
            true => "ok".to_owned(),
            false => answers.join(" "),
        }
    };
    Ok((Box::new(read), Vec::new()))
}
