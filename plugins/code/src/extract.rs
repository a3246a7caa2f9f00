//! Where the program stands in a completion.

use std::borrow::Cow;

use r1x_plugin::text::last_between;

use crate::fence::{Block, blocks};

/// Places by their word.
pub const PLACES: &[&str] = &["fence", "answer_tag", "whole"];

/// Somewhere to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The last fenced block that is a program.
    Fence,
    /// The last answer tag, or the last fenced program in it.
    AnswerTag,
    /// All of it.
    Whole,
}

impl Place {
    /// The place of a word.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "fence" => Some(Place::Fence),
            "answer_tag" => Some(Place::AnswerTag),
            "whole" => Some(Place::Whole),
            _ => None,
        }
    }
}

/// The program, from the first place that has one. Programs in the thought are drafts.
pub fn program<'a>(completion: &'a str, places: &[Place]) -> Option<Cow<'a, str>> {
    let text = match completion.rsplit_once("</think>") {
        Some((_, answer)) => answer,
        // A thought that never ends has no answer after it.
        None if completion.trim_start().starts_with("<think>") => return None,
        None => completion,
    };
    places.iter().find_map(|place| match place {
        Place::Fence => last_program(text),
        Place::AnswerTag => {
            let answer = last_between(text, "<answer>", "</answer>")?;
            last_program(answer).or_else(|| some_text(answer))
        }
        Place::Whole => some_text(text),
    })
}

fn some_text(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_matches(['\r', '\n']);
    (!text.trim().is_empty()).then_some(Cow::Borrowed(text))
}

/// What a block is, by the word after its fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tongue {
    Python,
    /// Nothing is said.
    Unsaid,
    Other,
}

fn tongue(info: &str) -> Tongue {
    let word = info.trim().trim_start_matches(['{', '.']).to_ascii_lowercase();
    let first = word.split(|c: char| !(c.is_alphanumeric() || c == '.')).next().unwrap_or_default();
    match first {
        "" | "code" => Tongue::Unsaid,
        "py" | "py3" | "python" | "python2" | "python3" | "ipython" | "ipython3" | "pypy"
        | "pypy3" | "cpython" | "sage" => Tongue::Python,
        name if name.ends_with(".py") || name.starts_with("python3.") => Tongue::Python,
        _ => Tongue::Other,
    }
}

/// The last block that says it is Python; where none does, the last one that says nothing and reads like a
/// program, or at least says nothing. Blocks of other languages, of output and of summaries are no programs.
fn last_program(text: &str) -> Option<Cow<'_, str>> {
    let mut blocks = blocks(text);
    blocks.retain(|block| !block.content.trim().is_empty() && !is_session(&block.content));
    let last = |fits: &dyn Fn(&Block<'_>) -> bool| blocks.iter().rposition(fits);
    let unsaid = |block: &Block<'_>| tongue(block.info) == Tongue::Unsaid;
    let found = last(&|block| tongue(block.info) == Tongue::Python)
        .or_else(|| last(&|block| unsaid(block) && reads_like_python(&block.content)))
        .or_else(|| last(&unsaid))?;
    Some(blocks.swap_remove(found).content)
}

/// What an interactive interpreter shows is an example.
fn is_session(content: &str) -> bool {
    content.trim_start().starts_with(">>>")
}

/// Whether a line of the text is a statement of Python rather than a word of output.
fn reads_like_python(content: &str) -> bool {
    content.lines().any(|line| {
        let line = line.trim();
        let code = line.split(" #").next().unwrap_or_default().trim_end();
        let begins = |words: &[&str]| words.iter().any(|word| code.starts_with(word));
        let compound =
            begins(&["def ", "class ", "for ", "while ", "if ", "with ", "try:", "async "]);
        let called =
            code.split_once('(').is_some_and(|(name, _)| is_path(name)) && code.ends_with(')');
        let assigned = code.split_once('=').is_some_and(|(left, right)| {
            let left = left.trim_end_matches(['+', '-', '*', '/', '%', '|', '&', '^']);
            !right.is_empty() && !right.starts_with('=') && is_target(left)
        });
        begins(&["import "])
            || (begins(&["from "]) && code.contains(" import "))
            || (compound && (code.ends_with(':') || code.contains(": ")))
            || called
            || assigned
    })
}

/// `name` or `name.name`.
fn is_path(text: &str) -> bool {
    let name = |part: &str| {
        part.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    text.split('.').all(|part| !part.is_empty() && name(part))
}

/// `name`, `a, b`, `a[i]`: what can be assigned to.
fn is_target(text: &str) -> bool {
    let plain = text.trim().split('[').next().unwrap_or_default();
    !plain.is_empty() && plain.split(',').all(|part| is_path(part.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_block_counts() {
        let both = [Place::Fence, Place::AnswerTag];
        for (text, expected) in [
            ("```python\na\n```\ntext\n```py\nb\nc\n```\n", Some("b\nc\n")),
            ("```\na\n```\n```python\nunclosed", Some("a\n")),
            ("```python\nunclosed", None),
            ("<think>```\ndraft\n```</think> no code", None),
            ("<think>\n```python\ndraft\n```\nand on", None),
            ("<answer>\nprint(1)\n</answer>", Some("print(1)")),
            ("<answer>```python\nprint(2)\n```</answer>", Some("print(2)\n")),
            ("<answer>\n```python\nprint(2)\n```</answer>", Some("print(2)\n")),
            ("<answer>  </answer>", None),
            ("plain", None),
            ("", None),
            // What says Python is preferred to what says nothing or something else.
            ("```python\na\n```\n```text\nb\n```", Some("a\n")),
            ("```Python3\na\n```\n```\nb\n```", Some("a\n")),
            ("```python\na\n```\n```output\nb\n```\n```json\n{}\n```", Some("a\n")),
            ("```{.python .numberLines}\na\n```\n```bash\npython a.py\n```", Some("a\n")),
            ("```python title=\"a.py\"\na\n```", Some("a\n")),
            ("```solution.py\na\n```", Some("a\n")),
            ("```python:solution.py\na\n```", Some("a\n")),
            ("```cpp\nint a;\n```", None),
            ("```text\n6\n```", None),
            // Among those that say nothing, a program is preferred to output.
            (
                "```\nn = int(input())\nprint(n)\n```\nOutput:\n```\n6\n```",
                Some("n = int(input())\nprint(n)\n"),
            ),
            ("```\nprint(6)\n```\n```\nIt prints six.\n```", Some("print(6)\n")),
            ("```\nmain()\n```\n```\n1 2 3\nYES\n```", Some("main()\n")),
            ("```\na[0], b = 1, 2\n```\n```\nx == y\n```", Some("a[0], b = 1, 2\n")),
            ("```\nx\n```\n```\ny\n```", Some("y\n")),
            // An interactive session and an empty block are no programs.
            ("```python\na\n```\n```python\n>>> f(1)\n2\n```", Some("a\n")),
            ("```python\na\n```\n```python\n\n```", Some("a\n")),
        ] {
            assert_eq!(program(text, &both).as_deref(), expected, "{text:?}");
        }
        assert_eq!(program("</think>\n  x = 1\n", &[Place::Whole]).as_deref(), Some("  x = 1"));
    }
}
