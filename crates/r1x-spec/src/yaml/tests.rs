//! Whatever the text, it is read without a panic, and every place lies inside it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What YAML is made of, and what it trips over.
const SCRAPS: [&str; 40] = [
    "a", "key", "- ", "? ", ": ", ":", ", ", "{", "}", "[", "]", "'", "\"", "|\n", ">-\n", "#",
    " #x", "&a ", "*a", "!!str ", "%", "---\n", "...\n", "\n", "\r\n", "\r", "\n  ", "\n    ",
    "\t", "  ", "~", "null", "1", "-0.5", "1e9", "\u{feff}", "\u{85}", "\u{2028}", "é", "🦀",
];

fn text() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        8 => select(&SCRAPS[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from)
    ];
    vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

/// Whether a place begins on a line of the text and ends on it, one behind its last character at most.
fn is_inside(sources: &Sources, span: Span) -> bool {
    let text = &sources.get(span.source).text;
    let lines = text.split_inclusive(['\n', '\r']).count().max(1) + 1;
    let characters = sources.line(span.source, span.line).chars().count();
    let end = (span.col + span.len).saturating_sub(1);
    (1..=lines).contains(&span.line) && end <= characters
}

fn places(node: &Node, found: &mut Vec<Span>) {
    found.push(node.span);
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| places(item, found)),
        Value::Map(entries) => {
            for entry in entries {
                found.push(entry.key_span);
                places(&entry.node, found);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_text_is_read_and_its_places_are_inside_it(text in text()) {
        let mut sources = Sources::default();
        let source = sources.add_file("spec.yaml".as_ref(), text);
        let mut diagnostics = Vec::new();
        let mut spans = Vec::new();
        if let Some(node) = parse(&sources, source, 0, &mut diagnostics) {
            places(&node, &mut spans);
        } else {
            prop_assert!(!diagnostics.is_empty(), "nothing is wrong, and there is no tree");
        }
        for at in diagnostics.iter().filter_map(|diagnostic| diagnostic.at.as_ref()) {
            spans.push(Span { source, line: at.line, col: at.col - 1, len: at.len });
        }
        for span in spans {
            prop_assert!(is_inside(&sources, span), "{:?} is not in the text", span);
        }
    }
}
