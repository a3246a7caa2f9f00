//! Where the answer stands in what a model wrote: boxes, tags, and the last number in all the ways of writing one.
//!
//! All of it takes time linear in the length of the text.

pub mod boxes;

use crate::clean::letters;
use crate::read;

/// Characters before the last digit in which its number may begin.
const REACH: usize = 160;

/// The last number of a text, as it is written: with its sign, thousands, decimals, power of ten, fraction.
/// In mathematics it is the whole expression after the last "=" or ",".
pub fn last_number(text: &str) -> Option<&str> {
    let digit = |c: char| {
        c.is_ascii_digit()
            || letters::fraction(c).is_some()
            || letters::raised(c).is_some_and(|c| c.is_ascii_digit())
    };
    let (at, last) = text.char_indices().rev().find(|(_, c)| digit(*c))?;
    let end = at + last.len_utf8();
    let mathematics = span(text, at).map(|(from, to)| segment(text, from, to, at));
    if let Some(found) = mathematics.filter(|found| read::read(found).is_some()) {
        return Some(found);
    }
    if let Some(found) = latex_word(text, at) {
        return Some(found);
    }
    let mut from = at.saturating_sub(REACH);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let starts = text[from..end].char_indices().map(|(offset, _)| from + offset);
    starts
        .filter(|start| begins_number(text, *start))
        .find_map(|start| {
            let reached = number(&text[start..])? + start;
            (reached >= end).then(|| &text[signed(text, start)..reached])
        })
        .or_else(|| {
            let start = end - digits_before(&text[..end]);
            (start < end).then(|| &text[signed(text, start)..end])
        })
}

/// The mathematics around a place: what stands between dollar signs or LaTeX's brackets.
fn span(text: &str, at: usize) -> Option<(usize, usize)> {
    for (open, close) in [("\\(", "\\)"), ("\\[", "\\]")] {
        let Some(start) = text[..at].rfind(open).map(|start| start + open.len()) else { continue };
        if !text[start..at].contains(close)
            && let Some(length) = text[at..].find(close)
        {
            return Some((start, at + length));
        }
    }
    let start = text[..at].rfind('$').filter(|start| !text[..*start].ends_with('\\'))? + 1;
    let length = text[at..].find('$')?;
    // A dollar sign may be money: mathematics stays on its line, unless two signs open it.
    let double = text[..start].ends_with("$$");
    let inside = &text[start..at + length];
    (double || !inside.contains('\n')).then_some((start, at + length))
}

/// Signs between which an expression stands.
const BETWEEN: &[&str] = &[
    "=",
    "<",
    ">",
    "≈",
    "≤",
    "≥",
    "≠",
    "→",
    ";",
    "\\approx",
    "\\le",
    "\\leq",
    "\\ge",
    "\\geq",
    "\\ne",
    "\\neq",
    "\\implies",
    "\\Rightarrow",
    "\\to",
    "\\quad",
    "\\qquad",
    "\\equiv",
    "\\sim",
    "\\iff",
    "\\therefore",
];

/// The part of some mathematics around a place that stands between signs of relation and commas.
fn segment(text: &str, from: usize, to: usize, at: usize) -> &str {
    let (mut start, mut end, mut depth) = (from, to, 0_i32);
    let mut offset = from;
    while offset < to {
        let rest = &text[offset..to];
        let c = rest.chars().next().unwrap_or(' ');
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        let mark = BETWEEN.iter().filter(|mark| rest.starts_with(**mark)).find(|mark| {
            let word = mark.starts_with('\\');
            !(word && rest[mark.len()..].starts_with(|c: char| c.is_ascii_alphabetic()))
        });
        let comma = (c == ',' && !groups(&rest[1..])).then_some(1);
        let length = mark.map(|mark| mark.len()).or(comma).filter(|_| depth <= 0);
        if let Some(length) = length {
            if offset > at {
                end = offset;
                break;
            }
            start = offset + length;
        }
        offset += length.unwrap_or_else(|| match c {
            // A backslash and what it escapes are one.
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        });
    }
    text[start..end].trim()
}

/// Whether what follows a comma goes on a number.
fn groups(rest: &str) -> bool {
    let digits = rest.trim_start_matches("\\!").trim_start();
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    rest.starts_with("\\!") || count == 3 && rest.starts_with(|c: char| c.is_ascii_digit())
}

/// A word with LaTeX in it around a place, outside of mathematics: `\frac{3}{4}`.
fn latex_word(text: &str, at: usize) -> Option<&str> {
    let space = |c: char| c.is_whitespace() || c == '$';
    let start = text[..at]
        .rfind(space)
        .map_or(0, |before| before + text[before..].chars().next().map_or(0, char::len_utf8));
    let end = at + text[at..].find(space).unwrap_or(text.len() - at);
    let word = text[start..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', ')']);
    let word = word.trim_start_matches(['(', '*']);
    let found = word.rsplit('=').next().unwrap_or(word);
    (end - start <= REACH && found.contains('\\') && read::read(found).is_some()).then_some(found)
}

/// Whether a number can begin here: not in the middle of one.
fn begins_number(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    // Nor in the middle of a date.
    let inside = before.is_some_and(|c| c.is_ascii_digit())
        || matches!(before, Some('.' | '/'))
            && text[..at - 1].ends_with(|c: char| c.is_ascii_digit());
    let mut here = text[at..].chars();
    match here.next() {
        Some(c) if c.is_ascii_digit() || letters::fraction(c).is_some() => !inside,
        Some('.') => !inside && here.next().is_some_and(|c| c.is_ascii_digit()),
        _ => false,
    }
}

/// Where the sign of a number begins, or the number itself.
fn signed(text: &str, at: usize) -> usize {
    let before = &text[..at];
    let Some(sign) =
        before.chars().next_back().filter(|c| matches!(c, '-' | '−' | '–' | '﹣' | '－'))
    else {
        return at;
    };
    let ahead = before[..before.len() - sign.len_utf8()].chars().next_back();
    // "5-3" is a difference, "-3" is not.
    if ahead.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | ']' | '}' | '%')) {
        return at;
    }
    at - sign.len_utf8()
}

/// How far the digits go that a text begins with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The length of a group of thousands with its mark; 0 where there is none.
fn thousands(text: &str, only: bool) -> usize {
    const MARKS: &[&str] = &[
        "{,}", ",\\!", "\\,", ",", "\u{202f}", "\u{2009}", "\u{a0}", "\u{2008}", "'", "’", "~", " ",
    ];
    for mark in MARKS {
        if let Some(rest) = text.strip_prefix(mark)
            && digits(rest) == 3
        {
            // A space is one between thousands where nothing else would be written so.
            let space = *mark == " "
                && !only
                && !rest.starts_with("000")
                && thousands(&rest[3..], true) == 0;
            let fraction = rest[3..].starts_with('/') && mark.trim().is_empty();
            return if space || fraction { 0 } else { mark.len() + 3 };
        }
    }
    0
}

/// The length of the number that a text begins with.
fn number(text: &str) -> Option<usize> {
    let mut at = digits(text);
    let mut whole = at > 0;
    if (1..=3).contains(&at) && !text.starts_with('0') {
        loop {
            let group = thousands(&text[at..], false);
            if group == 0 {
                break;
            }
            at += group;
        }
    }
    if let Some(rest) = text[at..].strip_prefix('.')
        && digits(rest) > 0
    {
        at += 1 + digits(rest);
        whole = false;
    }
    let mut letters_at = text[at..].trim_start_matches(' ').chars();
    let spaces = text[at..].len() - text[at..].trim_start_matches(' ').len();
    if let Some(letter) = letters_at.next().filter(|c| letters::fraction(*c).is_some())
        && (at == 0 || whole)
    {
        return Some(at + spaces + letter.len_utf8());
    }
    if at == 0 {
        return None;
    }
    if whole && let Some(length) = mixed(&text[at..]) {
        return Some(at + length);
    }
    at += exponent(&text[at..]);
    if whole && let Some(length) = fraction(&text[at..]) {
        at += length;
    } else if whole && let Some(length) = ratio(&text[at..]) {
        at += length;
    }
    for percent in ["%", "\\%", " %", " \\%"] {
        if text[at..].starts_with(percent) {
            return Some(at + percent.len());
        }
    }
    Some(at)
}

/// `/4` after a whole number.
fn fraction(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('/').or_else(|| text.strip_prefix('⁄'))?;
    let length = digits(rest);
    // Two strokes are a date.
    (length > 0 && !rest[length..].starts_with('/')).then(|| text.len() - rest.len() + length)
}

/// ` 1/4` after a whole number.
fn mixed(text: &str) -> Option<usize> {
    let rest = text.strip_prefix(' ')?;
    let above = digits(rest);
    if above == 0 {
        return None;
    }
    let length = fraction(&rest[above..])?;
    let below = &rest[above + length - digits_before(&rest[..above + length])..above + length];
    let (above_value, below_value): (u64, u64) = (rest[..above].parse().ok()?, below.parse().ok()?);
    (above_value < below_value).then_some(1 + above + length)
}

fn digits_before(text: &str) -> usize {
    text.bytes().rev().take_while(u8::is_ascii_digit).count()
}

/// `:2:3` after a whole number.
fn ratio(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(rest) = text[at..].strip_prefix(':').filter(|rest| digits(rest) > 0) {
        at += 1 + digits(rest);
    }
    (at > 0).then_some(at)
}

/// A power after a number: `e-3`, `× 10^{-3}`, `^10`, `⁶`; 0 where there is none.
fn exponent(text: &str) -> usize {
    let signed = |text: &str| {
        let sign =
            text.chars().next().filter(|c| matches!(c, '-' | '+' | '−')).map_or(0, char::len_utf8);
        let length = digits(&text[sign..]);
        if length == 0 { None } else { Some(sign + length) }
    };
    if let Some(rest) = text.strip_prefix(['e', 'E'])
        && let Some(length) = signed(rest)
    {
        return 1 + length;
    }
    let power = |text: &str| -> Option<usize> {
        let raised: usize =
            text.chars().take_while(|c| letters::raised(*c).is_some()).map(char::len_utf8).sum();
        if raised > 0 {
            return Some(raised);
        }
        let rest = text.strip_prefix('^').or_else(|| text.strip_prefix("**"))?;
        let mark = text.len() - rest.len();
        match rest.strip_prefix('{') {
            Some(inside) => {
                let length = signed(inside)?;
                inside[length..].starts_with('}').then_some(mark + length + 2)
            }
            None => Some(mark + signed(rest)?),
        }
    };
    if let Some(length) = power(text) {
        return length;
    }
    let rest = text.trim_start_matches(' ');
    for sign in ["×", "\\times", "\\cdot", "*", "x", "X", "·"] {
        if let Some(after) = rest.strip_prefix(sign)
            && let Some(after) = after.trim_start_matches(' ').strip_prefix("10")
            && let Some(length) = power(after)
        {
            return text.len() - after.len() + length;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        for (text, expected) in [
            ("it is 42.", "42"),
            ("about $1,234.50 in all", "1,234.50"),
            ("x = -3", "-3"),
            ("5-3", "3"),
            ("half is 1/2!", "1/2"),
            ("1 ... 2", "2"),
            ("so .5 of it", ".5"),
            ("12, 13, and 14, then", "14"),
            ("It is −3.", "−3"),
            ("The answer is 9{,}500", "9{,}500"),
            ("The answer is 9\u{202f}500.", "9\u{202f}500"),
            ("The answer is 50 000.", "50 000"),
            ("There are 3 200 of them", "200"),
            ("The rate is 1.5e-3", "1.5e-3"),
            ("The rate is 1.5 x 10^-3.", "1.5 x 10^-3"),
            ("The rate is 1.5×10⁻³.", "1.5×10⁻³"),
            ("The answer is 1 1/4.", "1 1/4"),
            ("In 2020 7/4", "7/4"),
            ("It takes 2½ hours", "2½"),
            ("2^{10} of them", "2^{10}"),
            ("a ratio of 3:2.", "3:2"),
            ("It grew by 50%.", "50%"),
            ("on 1/2/2024", "2024"),
            (r"The answer is \frac{3}{4}.", r"\frac{3}{4}"),
            ("The answer is 10⁶", "10⁶"),
            ("**Answer: 7**", "7"),
            ("1 250/1000", "1 250/1000"),
        ] {
            assert_eq!(last_number(text), Some(expected), "{text}");
        }
        assert_eq!(last_number("none"), None);
    }

    #[test]
    fn numbers_in_mathematics() {
        for (text, expected) in [
            (r"So it is $\frac{3}{4}$.", r"\frac{3}{4}"),
            (r"So $x = -\frac{3}{4}$.", r"-\frac{3}{4}"),
            (r"So it is $2^{10}$.", "2^{10}"),
            (r"So it is \(9{,}500\).", "9{,}500"),
            (r"The answer is $9,\!500$.", r"9,\!500"),
            (r"The answer is $9\,500$.", r"9\,500"),
            (r"$1\frac{1}{4}$ hours", r"1\frac{1}{4}"),
            (r"$a = 3, b = 5$", "5"),
            (r"\[ x = 2\sqrt{3} \]", r"2\sqrt{3}"),
            (r"the point $(3, 5)$", "(3, 5)"),
            (r"$x^2 + 3$", "x^2 + 3"),
            ("It costs $5 in all, not $6", "6"),
        ] {
            assert_eq!(last_number(text), Some(expected), "{text}");
        }
    }
}
