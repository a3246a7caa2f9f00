//! The template of a prompt, over the rows of a small file.

use std::collections::BTreeMap;
use std::path::Path;

use r1x_core::Markup;
use r1x_core::plan::{DataPlan, PromptPlan, RowFormat, SourcePlan};
use r1x_tasks::dataset::MOST_BYTES;
use r1x_tasks::dataset::rows::parse;

use super::{Read, Target, said};

/// The target.
pub const TARGET: Target = Target {
    name: "template",
    reads: "a prompt template",
    files: &[],
    words: &[
        "{{ ",
        " }}",
        "{% for x in ",
        " %}",
        "{% endfor %}",
        "{% set s = s ~ s %}",
        "{% if ",
        "{% else %}",
        "{% endif %}",
        "{% macro m() %}",
        "{% endmacro %}",
        "{{ m() }}",
        "{% raw %}",
        "{% endraw %}",
        "range(",
        ")",
        " | join",
        " | list",
        " | format(",
        " * 9999",
        " ~ ",
        "not ",
        "-",
        "(",
        "[",
        "'",
        "\"",
        "loop.index",
        "namespace(a=1)",
        " | tojson",
        " | indent(99)",
        " | batch(3)",
        "words",
        "which",
        "{#",
        "#}",
        " ** 9",
    ],
    make,
};

/// Rows with every kind of value.
pub const ROWS: &str = r#"{"words": ["red", "blue", "red"], "which": "first", "n": 12345678901234567890, "o": {"a": [1, 2.5, null]}}
{"words": [], "which": "", "n": -1, "o": {}}
"#;

/// The plan of a file of rows.
pub fn plan(prompt: &str, columns: Option<Vec<String>>) -> DataPlan {
    let source = SourcePlan::Rows {
        path: "rows.jsonl".to_owned(),
        format: RowFormat::JsonLines,
        sha256: String::new(),
        heldout: 0.5,
        columns,
        renamed: BTreeMap::new(),
        solution: Some("which".to_owned()),
        rejected: None,
        answer: None,
        answer_after: None,
    };
    DataPlan { source, prompt: PromptPlan::text(prompt) }
}

fn make(_: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let read = |input: &[u8]| {
        let prompt = String::from_utf8_lossy(input);
        said(parse(ROWS.as_bytes(), &plan(&prompt, None), &Markup::default(), MOST_BYTES))
    };
    Ok((Box::new(read), Vec::new()))
}
