//! A file of JSON lines, with and without a list of columns, and one of Parquet.

use std::path::Path;

use r1x_core::Markup;
use r1x_core::plan::{DataPlan, RowFormat, SourcePlan};
use r1x_tasks::dataset::MOST_BYTES;
use r1x_tasks::dataset::rows::{open, parse};

use super::{Read, Target, said, template};

/// The target.
pub const TARGET: Target = Target {
    name: "rows",
    reads: "problems in JSON lines and Parquet",
    files: &[],
    words: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\n",
        "\r\n",
        "\u{feff}",
        "\\u0000n:5\"",
        "\"which\":",
        "\"which\": 1,",
        "\\ud800",
    ],
    make,
};

/// The plan of a Parquet file with whatever columns.
fn columnar(file: &Path) -> DataPlan {
    let mut plan = template::plan("{{ target }}", None);
    if let SourcePlan::Rows { path, format, solution, .. } = &mut plan.source {
        (*path, *format, *solution) = (file.display().to_string(), RowFormat::Parquet, None);
    }
    plan
}

fn make(folder: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let file = folder.join("rows.parquet");
    let read = move |input: &[u8]| {
        if input.starts_with(b"PAR1") {
            return match std::fs::write(&file, input) {
                Ok(()) => said(open(&columnar(&file), &Markup::default(), MOST_BYTES)),
                Err(error) => error.to_string(),
            };
        }
        let prompt = "{{ which }} {{ words | default('') }}";
        let listed = Some(vec!["which".to_owned(), "words".to_owned()]);
        let of_the_row =
            parse(input, &template::plan(prompt, None), &Markup::default(), MOST_BYTES);
        if let Ok(set) = &of_the_row {
            let _ = r1x_tasks::words(set);
        }
        let listed = parse(input, &template::plan(prompt, listed), &Markup::default(), MOST_BYTES);
        format!(
            "{}{}",
            said(of_the_row),
            listed.err().map(|error| error.to_string()).unwrap_or_default()
        )
    };
    Ok((Box::new(read), Vec::new()))
}
