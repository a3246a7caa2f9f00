//! The card of a folder as hubs have data sets: which file holds the rows, and what their columns are.

use super::row::{Column, Element, Kind};

/// Where the rows are in the folder.
pub const ROWS: &str = "data/train-00000-of-00001.parquet";

/// What a card says of its rows.
pub struct Contents<'a> {
    /// The run.
    pub run: &'a str,
    /// What a row is.
    pub row: &'a str,
    /// The columns.
    pub columns: &'a [Column],
    /// Number of rows.
    pub rows: u64,
    /// Size of the file of rows.
    pub bytes: u64,
}

/// The text of `README.md`.
pub fn card(contents: &Contents<'_>) -> String {
    let Contents { run, row, columns, rows, bytes } = contents;
    let mut out = String::from("---\ndataset_info:\n  features:\n");
    for column in *columns {
        // JSON's texts are texts of YAML.
        let name = serde_json::Value::from(column.flat_name());
        let kind = match column.kind {
            Kind::One(element) => format!("dtype: {}", word(element)),
            Kind::List(element) => format!("sequence: {}", word(element)),
        };
        out.push_str(&format!("  - name: {name}\n    {kind}\n"));
    }
    out.push_str(&format!(
        "  splits:\n  - name: train\n    num_bytes: {bytes}\n    num_examples: {rows}\n  \
         download_size: {bytes}\n  dataset_size: {bytes}\n\
         configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n\n"
    ));
    out.push_str(&format!(
        "# {run}\n\nA row is {row} of the run `{run}`, written by r1x {}. Nothing in it was checked for licences of \
         prompts, or for what a model may have written.\n",
        env!("CARGO_PKG_VERSION")
    ));
    out
}

/// The word that the library `datasets` has for a kind of value.
fn word(element: Element) -> &'static str {
    match element {
        Element::Text | Element::Json => "string",
        Element::Integer => "int64",
        Element::Number => "float64",
        Element::Flag => "bool",
        Element::Token => "uint32",
        Element::Single => "float32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_names_every_column_with_its_kind() {
        let columns = [
            Column::of("prompt: \"x\"", Kind::One(Element::Text)),
            Column::of("right", Kind::One(Element::Number)).inside("rewards"),
            Column::of("tokens", Kind::List(Element::Token)),
        ];
        let contents =
            Contents { run: "otter", row: "a rollout", columns: &columns, rows: 3, bytes: 500 };
        let text = card(&contents);
        let (head, prose) = text.strip_prefix("---\n").unwrap().split_once("---\n").unwrap();
        let expected = "dataset_info:
  features:
  - name: \"prompt: \\\"x\\\"\"
    dtype: string
  - name: \"rewards.right\"
    dtype: float64
  - name: \"tokens\"
    sequence: uint32
  splits:
  - name: train
    num_bytes: 500
    num_examples: 3
  download_size: 500
  dataset_size: 500
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
";
        assert_eq!(head, expected);
        assert!(prose.starts_with("\n# otter\n\nA row is a rollout of the run `otter`"), "{prose}");
    }
}
