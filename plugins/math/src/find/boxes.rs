//! Boxes: the last one, and those that make up a list with it.
//!
//! A model may write an answer of several parts into several boxes, one after the other.

use r1x_plugin::text::last_boxed;

use crate::clean::normal;

/// Most boxes of one answer.
const MAX_BOXES: usize = 16;

/// What the boxes at the end of a text say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boxed<'a> {
    /// The contents of the last box.
    pub last: &'a str,
    /// All of a row of boxes, where the last one has others before it.
    pub row: Option<Row>,
}

/// Boxes that stand in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Their contents as a list.
    pub text: String,
    /// Whether commas and words join them, so that no single one is the answer.
    pub joined: bool,
}

/// How two boxes stand to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// A comma, "and", "or".
    Joined,
    /// Nothing but space.
    Space,
    /// Words.
    Apart,
}

/// The boxes at the end of a text.
pub fn boxed(text: &str) -> Option<Boxed<'_>> {
    let last = last_boxed(text)?;
    let mut contents = vec![labelled(text, last)];
    let mut gaps = Vec::new();
    let mut current = last;
    while contents.len() < MAX_BOXES {
        let start = command_start(text, current);
        let Some(before) = last_boxed(&text[..start]) else { break };
        let end = offset(text, before) + before.len();
        let gap = gap(&text[end..start]);
        if gap == Gap::Apart {
            break;
        }
        gaps.push(gap);
        contents.push(labelled(text, before));
        current = before;
    }
    contents.reverse();
    let first = normal(last);
    let repeated = contents.iter().all(|(_, content)| normal(content) == first);
    if contents.len() < 2 || repeated {
        return Some(Boxed { last, row: None });
    }
    let labels = contents.iter().all(|(label, _)| label.is_some());
    let items: Vec<String> = contents
        .iter()
        .map(|(label, content)| match label.filter(|_| labels) {
            Some(label) => format!("{label} = {content}"),
            None => (*content).to_owned(),
        })
        .collect();
    let joined = gaps.contains(&Gap::Joined);
    Some(Boxed { last, row: Some(Row { text: items.join(", "), joined }) })
}

fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// Where the command of a box begins.
fn command_start(text: &str, content: &str) -> usize {
    text[..offset(text, content)].rfind('\\').unwrap_or(0)
}

/// A box's content with the variable before it: `x = \boxed{3}`.
fn labelled<'a>(text: &'a str, content: &'a str) -> (Option<&'a str>, &'a str) {
    let before = text[..command_start(text, content)].trim_end();
    let label = before.strip_suffix('=').map(str::trim_end).and_then(|before| {
        let start =
            before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
        let name = before.get(start..)?;
        let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
        (letter && (name.len() == 1 || name.as_bytes().get(1) == Some(&b'_'))).then_some(name)
    });
    (label, content)
}

/// What stands between two boxes, the closing brace of the first included.
fn gap(text: &str) -> Gap {
    let mut text = text.trim_start_matches('}').to_owned();
    for mark in ["\\quad", "\\qquad", "\\text", "\\(", "\\)", "\\[", "\\]", "\\,", "\\;", "\\ "] {
        text = text.replace(mark, " ");
    }
    let plain = text.replace(['$', '{', '}', '~', '*'], " ");
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    // A variable that gets its value in the next box.
    if words.last() == Some(&"=") {
        words.pop();
        words.pop();
    } else if words.last().is_some_and(|word| word.ends_with('=') && word.len() < 5) {
        words.pop();
    }
    match &words[..] {
        [] => Gap::Space,
        ["," | ";" | "&" | "and" | "or"] | ["," | ";", "and" | "or"] => Gap::Joined,
        _ => Gap::Apart,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Option<(String, bool)> {
        boxed(text).unwrap().row.map(|row| (row.text, row.joined))
    }

    #[test]
    fn rows() {
        let joined = |text: &str| Some((text.to_owned(), true));
        assert_eq!(row(r"$\boxed{1}$ and $\boxed{-2}$."), joined("1, -2"));
        assert_eq!(row(r"$\boxed{1}, \boxed{2}\text{ and }\boxed{3}$"), joined("1, 2, 3"));
        assert_eq!(row(r"$x = \boxed{3}$, $y = \boxed{4}$"), joined("x = 3, y = 4"));
        assert_eq!(row("$$\\boxed{1}$$\n$$\\boxed{2}$$"), Some(("1, 2".to_owned(), false)));
        for text in [
            r"\boxed{35 cm} ++++++ \boxed{4}",
            r"So \boxed{004} is right. **Final Answer** \boxed{004}",
            r"$\boxed{5}$, $\boxed{5}$",
            r"first $\boxed{5}$, and then $\boxed{6}$",
        ] {
            assert_eq!(row(text), None, "{text}");
        }
        assert_eq!(boxed("none"), None);
        assert_eq!(boxed(r"\boxed{a} and \boxed{b}").unwrap().last, "b");
    }
}
