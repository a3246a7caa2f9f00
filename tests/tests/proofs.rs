//! The tables of the documents that say what proves each row: files that there are, with the tests that are named.

use std::fs;

use crate::root;

/// Pages with such tables.
const PAGES: [&str; 2] = ["docs/algorithms.md", "docs/pairs.md"];

#[test]
fn what_proves_a_row_is_there() {
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let mut rows = 0;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if !line.ends_with("| source | proven by |") {
                continue;
            }
            let below = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
            for row in below {
                assert_proven(page, row);
                rows += 1;
            }
        }
        assert!(rows >= 5, "{page} has {rows} rows");
    }
}

/// A row has a source, and in its last cell a link to another table or files, each followed by the tests in it.
fn assert_proven(page: &str, row: &str) {
    let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
    let [key, .., source, proof] = cells[..] else { panic!("{page}: {row}") };
    assert!(!source.is_empty(), "{page}, {key}: no source");
    let is_link = proof.contains("](");
    // Outside of the backticks is what separates; a name without a slash is a test in the file before it.
    let mut file = None;
    for word in proof.split('`').skip(1).step_by(2) {
        if word.contains('/') {
            let read = fs::read_to_string(root().join(word));
            file = Some(read.unwrap_or_else(|error| panic!("{page}, {key}: {word}: {error}")));
            continue;
        }
        let file = file.as_ref().unwrap_or_else(|| panic!("{page}, {key}: `{word}` is in no file"));
        assert!(file.contains(&format!("fn {word}(")), "{page}, {key}: no test `{word}`");
    }
    assert!(file.is_some() || is_link, "{page}, {key}: nothing proves it");
}
