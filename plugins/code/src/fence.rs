//! Fenced blocks of Markdown as models write them: longer fences around shorter ones, tildes, blocks in lists and
//! quotations, fences inside the text literals of a program.
//!
//! The program is the content of one of these blocks; `extract.rs` chooses which.

use std::borrow::Cow;

/// A block that is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What stands after the opening fence.
    pub info: &'a str,
    /// The lines between the fences, without the indentation of the opening one.
    pub content: Cow<'a, str>,
}

/// A line that begins with a fence.
#[derive(Clone, Copy, Debug)]
struct Fence<'a> {
    mark: u8,
    length: usize,
    /// Characters before the fence: blanks, marks of quotations and of a list.
    indent: usize,
    quoted: bool,
    info: &'a str,
}

/// The closed blocks of a text, in their order.
///
/// A fence with a word after it always opens a block, unless it stands in a text literal: it is no line of any
/// program, and a model that begins anew forgets to close. A block without an end is none, for its program was
/// cut.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // Looking for the end of a block beyond a literal that never ends is work for nothing; this bounds it.
    let mut budget = lines.len() * 4;
    let (mut found, mut at) = (Vec::new(), 0);
    while at < lines.len() {
        let Some(open) = fence(lines[at], Side::Opening) else {
            at += 1;
            continue;
        };
        match end(&lines, at + 1, open, &mut budget) {
            End::Closed(close) => {
                found
                    .push(Block { info: open.info, content: content(&lines[at + 1..close], open) });
                at = close + 1;
            }
            End::Reopened(next) => at = next,
            End::Never => at += 1,
        }
    }
    found
}

enum End {
    Closed(usize),
    Reopened(usize),
    Never,
}

/// Where a block ends: at a fence outside of text literals, or, where the literals of a broken program hide every
/// such fence, at the first one.
fn end(lines: &[&str], from: usize, open: Fence<'_>, budget: &mut usize) -> End {
    let mut literal = Literal::Outside;
    let mut first = End::Never;
    for (offset, line) in lines[from..].iter().enumerate() {
        if *budget == 0 {
            break;
        }
        *budget -= 1;
        let at = from + offset;
        let Some(fence) = fence(line, Side::Inside) else {
            literal = literal.after(line);
            continue;
        };
        let closes =
            fence.info.is_empty() && fence.mark == open.mark && fence.length >= open.length;
        let reopens = !fence.info.is_empty();
        let told = match (closes, reopens) {
            (true, _) => End::Closed(at),
            (_, true) => End::Reopened(at),
            _ => continue,
        };
        if literal == Literal::Outside {
            return told;
        }
        if matches!(first, End::Never) {
            first = told;
        }
    }
    first
}

/// Which fence a line is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// One that may stand after the marks of a list, or after a tag.
    Opening,
    /// One among the lines of a block.
    Inside,
}

fn fence(line: &str, side: Side) -> Option<Fence<'_>> {
    let line = line.trim_end();
    let mut rest = line.trim_start_matches([' ', '\t', '>']);
    let quoted = line[..line.len() - rest.len()].contains('>');
    if side == Side::Opening {
        rest = after_list_mark(rest).trim_start_matches("<answer>");
    }
    let mark = *rest.as_bytes().first().filter(|mark| matches!(mark, b'`' | b'~'))?;
    let info = rest.trim_start_matches(char::from(mark));
    let length = rest.len() - info.len();
    // Backticks after the fence make it code within a line.
    if length < 3 || (mark == b'`' && info.contains('`')) {
        return None;
    }
    // A tag or a token of the model's own format may follow the last fence.
    let info = if info.starts_with('<') { "" } else { info.trim() };
    Some(Fence { mark, length, indent: line.len() - rest.len(), quoted, info })
}

/// What stands after `- `, `* `, `+ ` or `1. `.
fn after_list_mark(text: &str) -> &str {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = digits.len() < text.len() && text.len() - digits.len() < 10;
    let marked =
        if number { digits.strip_prefix(['.', ')']) } else { text.strip_prefix(['-', '*', '+']) };
    match marked {
        Some(after) if after.starts_with([' ', '\t']) => after.trim_start_matches([' ', '\t']),
        _ => text,
    }
}

/// The lines of a block, without as much indentation as its opening fence has.
fn content<'a>(lines: &[&'a str], open: Fence<'_>) -> Cow<'a, str> {
    match lines {
        [] => Cow::Borrowed(""),
        _ if open.indent > 0 => {
            Cow::Owned(lines.iter().map(|line| outdented(line, open)).collect())
        }
        [only] => Cow::Borrowed(only),
        _ => Cow::Owned(lines.concat()),
    }
}

fn outdented<'a>(line: &'a str, open: Fence<'_>) -> &'a str {
    let fits = |byte: &u8| matches!(byte, b' ' | b'\t') || (open.quoted && *byte == b'>');
    let blank = line.bytes().take(open.indent).take_while(fits).count();
    &line[blank..]
}

/// Whether a line of a program begins inside a text literal of several lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Literal {
    Outside,
    Inside(&'static [u8; 3]),
}

impl Literal {
    /// After one more line: quotes in comments and in literals of one line do not count.
    fn after(self, line: &str) -> Self {
        let bytes = line.as_bytes();
        let (mut state, mut at) = (self, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            state = match state {
                Self::Inside(quotes) if rest.starts_with(quotes) => {
                    at += 3;
                    Self::Outside
                }
                Self::Inside(_) => {
                    at += if rest[0] == b'\\' { 2 } else { 1 };
                    state
                }
                Self::Outside if rest.starts_with(b"\"\"\"") => {
                    at += 3;
                    Self::Inside(b"\"\"\"")
                }
                Self::Outside if rest.starts_with(b"'''") => {
                    at += 3;
                    Self::Inside(b"'''")
                }
                Self::Outside => match rest[0] {
                    b'#' => return state,
                    quote @ (b'"' | b'\'') => {
                        at += 1 + short_literal(&rest[1..], quote);
                        state
                    }
                    _ => {
                        at += 1;
                        state
                    }
                },
            };
        }
        state
    }
}

/// The length of a literal of one line, its closing quote included.
fn short_literal(bytes: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, String)> {
        blocks(text).into_iter().map(|b| (b.info.to_owned(), b.content.into_owned())).collect()
    }

    #[test]
    fn blocks_end_where_a_reader_sees_them_end() {
        for (text, expected) in [
            ("```py\na\n```", vec![("py", "a\n")]),
            ("```\na\n```\n\n```b\nc\n```\n", vec![("", "a\n"), ("b", "c\n")]),
            ("~~~python\na\n```\n~~~", vec![("python", "a\n```\n")]),
            ("````md\n```\na\n````\n", vec![("md", "```\na\n")]),
            ("```py\na\n`````", vec![("py", "a\n")]),
            ("```py\r\na\r\n```\r\n", vec![("py", "a\r\n")]),
            ("1. x\n\n   ```py\n   if a:\n       b\n   ```\n", vec![("py", "if a:\n    b\n")]),
            ("\t```py\n\ta\n\t```", vec![("py", "a\n")]),
            ("- ```py\n  a\n  ```", vec![("py", "a\n")]),
            ("2) ```py\n   a\n```", vec![("py", "a\n")]),
            ("> ```py\n> a\n> ```", vec![("py", "a\n")]),
            ("  ```py\n  a\n b\n  ```", vec![("py", "a\nb\n")]),
            // Code within a line is no fence, and neither is a comment.
            ("```a``` b\n```\nc\n```", vec![("", "c\n")]),
            ("```py\n# ```\na\n```", vec![("py", "# ```\na\n")]),
            // Fences in text literals.
            ("```py\nx = '''\n```\n'''\n```", vec![("py", "x = '''\n```\n'''\n")]),
            (
                "```py\ndef f():\n    \"\"\"\n    ```py\n    f()\n    ```\n    \"\"\"\n```",
                vec![("py", "def f():\n    \"\"\"\n    ```py\n    f()\n    ```\n    \"\"\"\n")],
            ),
            ("```py\na = \"'''\" # '''\n```\nb\n", vec![("py", "a = \"'''\" # '''\n")]),
            ("```py\na = '\\'''' + \"\"\n```\nb\n", vec![("py", "a = '\\'''' + \"\"\n")]),
            // A literal that never ends hides no fence.
            ("```py\nx = '''\n```\nb\n```py\nc\n```", vec![("py", "x = '''\n"), ("py", "c\n")]),
            // A fence with a word begins anew; a block without an end is none.
            ("```py\na\nWait.\n```py\nb\n```", vec![("py", "b\n")]),
            ("```markdown\nx\n```py\nb\n```\n```", vec![("py", "b\n")]),
            ("```py\na", vec![]),
            ("```py\na\n```<|im_end|>", vec![("py", "a\n")]),
        ] {
            let expected: Vec<(String, String)> = expected
                .into_iter()
                .map(|(info, content)| (info.to_owned(), content.to_owned()))
                .collect();
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn hostile_texts_take_linear_time() {
        for text in ["```py\n'''\n", "```\n", "~~~a\n", "````\n```\n", "- > ```x\n"] {
            assert!(blocks(&text.repeat(50_000)).len() <= 50_000);
        }
    }
}
