//! Whether a response follows an instruction, by the rules of IFEval's checkers.
//!
//! Where those use a language model's tools, rules stand in: words are runs of letters, digits and `_`; sentences
//! end at `.`, `!` or `?` before a space, abbreviations aside; the language is told as in the `language` reward.
//! Keywords are texts here, not patterns.

use r1x_plugin::Value;
use r1x_plugin::language::detect;

use crate::instruction::Instruction;

/// As much of a response as its language is told from, bytes.
const MAX_DETECTED: usize = 20_000;

/// Abbreviations whose point ends no sentence.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "jr", "sr", "inc", "ltd", "co",
    "no", "fig", "approx", "mt", "gen", "rep", "sen", "gov", "capt", "lt", "col", "rev", "u.s",
    "p.s",
];

/// Checks a response. An empty one follows nothing.
pub fn follows(instruction: &Instruction, text: &str) -> bool {
    if text.trim().is_empty() {
        return false;
    }
    let lower = || text.to_lowercase();
    match instruction {
        Instruction::Keywords(keywords) => {
            let text = lower();
            keywords.iter().all(|keyword| text.contains(&keyword.to_lowercase()))
        }
        Instruction::KeywordFrequency(keyword, bound) => {
            bound.holds(lower().matches(&keyword.trim().to_lowercase()).count())
        }
        Instruction::ForbiddenWords(words) => {
            let text = lower();
            !words.iter().any(|word| has_word(&text, &word.to_lowercase()))
        }
        Instruction::LetterFrequency(letter, bound) => {
            bound.holds(lower().chars().filter(|c| c == letter).count())
        }
        Instruction::Language(wanted) => {
            let (Some(wanted), Some(found)) = (wanted, detect(beginning(text))) else {
                return true;
            };
            wanted.code == found.code
        }
        Instruction::Sentences(bound) => bound.holds(sentences(text)),
        Instruction::Paragraphs(number) => paragraphs(text) == Some(*number),
        Instruction::Words(bound) => bound.holds(words(text)),
        Instruction::FirstWord(number, nth, word) => first_word(text, *number, *nth, word),
        Instruction::Placeholders(number) => placeholders(text) >= *number,
        Instruction::Postscript(marker) => postscript(&lower(), marker),
        Instruction::Bullets(number) => bullets(text) == *number,
        Instruction::ConstrainedResponse => {
            ["My answer is yes.", "My answer is no.", "My answer is maybe."]
                .iter()
                .any(|option| text.contains(option))
        }
        Instruction::Highlights(number) => highlights(text) >= *number,
        Instruction::Sections(word, number) => sections(text, word) >= *number,
        Instruction::Json => json(text),
        Instruction::Title => title(text),
        Instruction::TwoResponses => two_responses(text),
        Instruction::RepeatPrompt(prompt) => {
            text.trim().to_lowercase().starts_with(&prompt.trim().to_lowercase())
        }
        Instruction::Ending(phrase) => {
            let text = lower();
            text.trim().trim_matches('"').ends_with(&phrase.trim().to_lowercase())
        }
        Instruction::CapitalWords(bound) => bound.holds(capital_words(text)),
        Instruction::Capitals => {
            has_case(text, char::is_uppercase, char::is_lowercase) && is_english(text)
        }
        Instruction::Lowercase => {
            has_case(text, char::is_lowercase, char::is_uppercase) && is_english(text)
        }
        Instruction::NoComma => !text.contains(','),
        Instruction::Quotation => {
            let text = text.trim();
            text.len() > 1 && text.starts_with('"') && text.ends_with('"')
        }
    }
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(MAX_DETECTED);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// English, or too little to tell.
fn is_english(text: &str) -> bool {
    detect(beginning(text)).is_none_or(|language| language.code == "en")
}

/// Some letter is like that, and none is the other way.
fn has_case(text: &str, is: fn(char) -> bool, is_not: fn(char) -> bool) -> bool {
    text.chars().any(is) && !text.chars().any(is_not)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(text: &str) -> usize {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count()
}

/// Whether a word occurs with no letter, digit or `_` next to it.
fn has_word(text: &str, word: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    text.match_indices(word).any(|(at, found)| {
        let border = |inner: Option<char>, outer: Option<char>| {
            // A border lies between a word's character and another, as in patterns.
            inner.is_some_and(is_word) != outer.is_some_and(is_word)
        };
        let after = &text[at + found.len()..];
        border(found.chars().next(), text[..at].chars().next_back())
            && border(found.chars().next_back(), after.chars().next())
    })
}

fn sentences(text: &str) -> usize {
    let (mut count, mut open) = (0, false);
    for word in text.split_whitespace() {
        let starts = !open;
        open |= word.chars().any(char::is_alphanumeric);
        let bare = word.trim_end_matches(['"', '\'', ')', ']', '”', '’', '*', '_']);
        let stem = bare.trim_end_matches(['.', '!', '?', '…']);
        let plain = stem.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let initial =
            plain.chars().count() == 1 && plain != "i" && plain.chars().all(char::is_alphabetic);
        let abbreviated = ABBREVIATIONS.contains(&&*plain) || initial;
        // "1." at a start numbers a line of a list.
        let numbered = starts && !plain.is_empty() && plain.bytes().all(|c| c.is_ascii_digit());
        let point = bare.ends_with('.') && (abbreviated || numbered);
        if open && stem.len() < bare.len() && !point {
            count += 1;
            open = false;
        }
    }
    count + usize::from(open)
}

/// Paragraphs between `***`; `None` when one in the middle is empty.
fn paragraphs(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split("***").collect();
    let mut count = parts.len() as u64;
    for (at, part) in parts.iter().enumerate() {
        if part.trim().is_empty() {
            if at != 0 && at != parts.len() - 1 {
                return None;
            }
            count -= 1;
        }
    }
    Some(count)
}

fn first_word(text: &str, number: u64, nth: u64, expected: &str) -> bool {
    let parts: Vec<&str> = text.split("\n\n").collect();
    let count = parts.iter().filter(|part| !part.trim().is_empty()).count() as u64;
    let at = usize::try_from(nth).ok().and_then(|nth| nth.checked_sub(1));
    let paragraph = at.filter(|_| nth <= count).and_then(|at| parts.get(at));
    let Some(word) = paragraph.and_then(|paragraph| paragraph.split_whitespace().next()) else {
        return false;
    };
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let word = word.split(['.', ',', '?', '!', '\'', '"']).next().unwrap_or_default();
    count == number && word.to_lowercase() == expected
}

/// `[...]` within a line.
fn placeholders(text: &str) -> u64 {
    let mut count = 0;
    for line in text.split('\n') {
        let mut rest = line;
        while let Some((_, opened)) = rest.split_once('[') {
            let Some((_, after)) = opened.split_once(']') else { break };
            count += 1;
            rest = after;
        }
    }
    count
}

fn postscript(lower: &str, marker: &str) -> bool {
    let spaced = |letters: &[&str]| {
        // A point may be followed by one space.
        lower.match_indices(letters[0]).any(|(at, first)| {
            let mut rest = &lower[at + first.len()..];
            letters[1..].iter().all(|letter| {
                let spaced = rest.strip_prefix(char::is_whitespace).unwrap_or(rest);
                match rest.strip_prefix(letter).or_else(|| spaced.strip_prefix(letter)) {
                    Some(after) => {
                        rest = after;
                        true
                    }
                    None => false,
                }
            })
        })
    };
    match marker {
        "P.P.S" => spaced(&["p.", "p.", "s"]),
        "P.S." => spaced(&["p.", "s."]),
        other => lower.contains(&other.to_lowercase()),
    }
}

/// Lines that start with `*` (not `**`) or `-`.
fn bullets(text: &str) -> u64 {
    let mut count = 0;
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        if line.starts_with('-') {
            count += 1;
        } else if let Some(rest) = line.strip_prefix('*') {
            if rest.is_empty() {
                // The checkers' pattern takes the next line along with a star that stands alone.
                count += u64::from(lines.next().is_some());
            } else {
                count += u64::from(!rest.starts_with('*'));
            }
        }
    }
    count
}

/// `*text*` and `**text**` within a line: the checkers count both ways of looking.
fn highlights(text: &str) -> u64 {
    let single = |line: &str| {
        let mut count = 0;
        let mut rest = line;
        while let Some((_, opened)) = rest.split_once('*') {
            let Some((inside, after)) = opened.split_once('*') else { break };
            count += u64::from(!inside.trim().is_empty());
            rest = after;
        }
        count
    };
    let double = |line: &str| {
        let mut count = 0;
        let mut rest = line;
        while let Some((_, opened)) = rest.split_once("**") {
            let Some((inside, after)) = opened.split_once('*') else { break };
            match after.strip_prefix('*') {
                Some(after) => {
                    count += u64::from(!inside.trim().is_empty());
                    rest = after;
                }
                // A star alone: the search goes on one place later.
                None => rest = &rest[rest.len() - opened.len() - 1..],
            }
        }
        count
    };
    text.split('\n').map(|line| single(line) + double(line)).sum()
}

/// How often the word is followed by a number.
fn sections(text: &str, word: &str) -> u64 {
    let numbered = |(at, found): (usize, &str)| {
        let after = &text[at + found.len()..];
        let after = after.strip_prefix(char::is_whitespace).unwrap_or(after);
        after.starts_with(|c: char| c.is_ascii_digit())
    };
    text.match_indices(word).filter(|found| numbered(*found)).count() as u64
}

fn json(text: &str) -> bool {
    let mut text = text.trim();
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    let text = text.strip_suffix("```").unwrap_or(text).trim();
    text.parse::<Value>().is_ok()
}

/// `<<title>>` within a line, with something in it.
fn title(text: &str) -> bool {
    text.split('\n').any(|line| {
        let (Some(start), Some(end)) = (line.find("<<"), line.rfind(">>")) else { return false };
        start + 2 < end
            && !line[start..end].trim_start_matches('<').trim_end_matches('>').trim().is_empty()
    })
}

fn two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").collect();
    let last = parts.len() - 1;
    let middle_empty =
        parts.iter().enumerate().any(|(at, part)| part.trim().is_empty() && at != 0 && at != last);
    let valid: Vec<&str> =
        parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    !middle_empty && valid.len() == 2 && valid[0] != valid[1]
}

/// Words in capitals alone; a hyphen keeps a word together, an apostrophe does not.
fn capital_words(text: &str) -> usize {
    text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'))
        .filter(|word| has_case(word, char::is_uppercase, char::is_lowercase))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        for (text, expected) in [
            ("One. Two! Three?", 3),
            ("Mr. Smith went home. He slept.", 2),
            ("No end", 1),
            ("It costs 3.50 dollars.", 1),
            ("She said \"Go.\" Then she left.", 2),
            ("J. R. Tolkien wrote it. I did.", 2),
            ("1. First thing.\n2. Second thing.", 2),
            ("It was 1984. Then 1985.", 2),
            ("Wait... what?", 2),
            ("", 0),
        ] {
            assert_eq!(sentences(text), expected, "{text}");
        }
        assert_eq!(words("don't stop_me now-1"), 5);
        assert_eq!(paragraphs("a *** b\n***\nc ***"), Some(3));
        assert_eq!(paragraphs("a *** *** c"), None);
        assert_eq!(bullets("* a\n - b\n** c\n*\nd\ne * f"), 3);
        assert_eq!(highlights("*a* and **b** and * * and **"), 2);
        assert_eq!(capital_words("I am HERE, WELL-KNOWN and ALL1 OK'd"), 5);
    }
}
