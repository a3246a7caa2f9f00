//! Where the program stands in a completion.
//!
//! Must not know what becomes of it.

use r1x_plugin::text::last_between;

/// Places by their word.
pub const PLACES: &[&str] = &["fence", "answer_tag", "whole"];

/// Somewhere to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The last fenced block.
    Fence,
    /// The last answer tag, or the last fenced block in it.
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
pub fn program<'a>(completion: &'a str, places: &[Place]) -> Option<&'a str> {
    let text = completion.rsplit_once("</think>").map_or(completion, |(_, answer)| answer);
    places.iter().find_map(|place| match place {
        Place::Fence => last_fence(text),
        Place::AnswerTag => {
            let answer = last_between(text, "<answer>", "</answer>")?;
            last_fence(answer).or_else(|| some_text(answer))
        }
        Place::Whole => some_text(text),
    })
}

fn some_text(text: &str) -> Option<&str> {
    let text = text.trim_matches(['\r', '\n']);
    (!text.trim().is_empty()).then_some(text)
}

/// The content of the last block between two lines that begin with three backticks.
fn last_fence(text: &str) -> Option<&str> {
    let (mut opened, mut found, mut at) = (None, None, 0);
    for line in text.split_inclusive('\n') {
        let (start, end) = (at, at + line.len());
        at = end;
        if !line.trim_start().starts_with("```") {
            continue;
        }
        opened = match opened {
            None => Some(end),
            Some(begin) => {
                found = text.get(begin..start);
                None
            }
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_block_counts() {
        let both = [Place::Fence, Place::AnswerTag];
        for (text, expected) in [
            ("```python\na\n```\ntext\n```py\nb\nc\n```\n", Some("b\nc\n")),
            ("```\na\n```\n```python\nunclosed", Some("a\n")),
            ("```python\nunclosed", None),
            ("<think>```\ndraft\n```</think> no code", None),
            ("<answer>\nprint(1)\n</answer>", Some("print(1)")),
            ("<answer>```python\nprint(2)\n```</answer>", Some("print(2)\n")),
            ("<answer>  </answer>", None),
            ("plain", None),
            ("", None),
        ] {
            assert_eq!(program(text, &both), expected, "{text:?}");
        }
        assert_eq!(program("</think>\n  x = 1\n", &[Place::Whole]), Some("  x = 1"));
    }
}
