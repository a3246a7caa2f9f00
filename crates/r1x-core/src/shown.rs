//! Text of models, data and plugins, made fit to be looked at: what would move the cursor, turn the direction
//! of reading or hide itself becomes visible.
//!
//! A terminal obeys the characters it is sent. A completion may hold any of them, and so may a row of data, a
//! plugin's message or the name of a file; what is shown of them must look like what it is and stay where it is put.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Marks over one letter that are shown; languages need three, and a pile of them covers the lines above.
const MARKS: usize = 4;

/// What stands for a line break where a text has to stay on one line.
const LINE_BREAK: char = '↵';

/// Whether a character on its own does something other than to appear: controls of C0 and C1, marks of
/// direction, characters without a width, separators of lines, and code points that are no characters.
pub fn is_hidden(c: char) -> bool {
    if c.is_control() {
        return true;
    }
    // Default_Ignorable_Code_Point of Unicode 16, the two separators, annotations and the noncharacters.
    matches!(u32::from(c),
        0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfdd0..=0xfdef
        | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
        || u32::from(c) & 0xfffe == 0xfffe
}

/// The text on one line: a line break is `↵`, a tab a blank, an escape `␛`, a mark of direction `<U+202E>`.
pub fn line(text: &str) -> Cow<'_, str> {
    visible(text, " ", true)
}

/// The text line by line: its own breaks stay breaks, and nothing else of it leaves its line.
pub fn lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.lines().map(|line| visible(line, "    ", false))
}

/// JSON that means the same and has no hidden character in it: inside of texts, where alone they can stand,
/// JSON has escapes for them.
pub fn json(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c != '\n' && is_hidden(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut units = [0; 2];
    for c in text.chars() {
        if hidden(c) {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn visible<'a>(text: &'a str, tab: &str, one_line: bool) -> Cow<'a, str> {
    if !text.chars().any(|c| is_hidden(c) || is_mark(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut before = None;
    let mut marks = 0;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let after = rest.peek().copied();
        marks = if is_mark(c) { marks + 1 } else { 0 };
        match c {
            '\r' if one_line && after == Some('\n') => {}
            '\n' if one_line => out.push(LINE_BREAK),
            '\t' => out.push_str(tab),
            c if marks > MARKS || (is_hidden(c) && !belongs(c, before, after)) => name(&mut out, c),
            c => out.push(c),
        }
        before = Some(c);
    }
    Cow::Owned(out)
}

/// Writes the name of a character instead of it.
fn name(out: &mut String, c: char) {
    let code = u32::from(c);
    // Unicode has pictures for the controls of ASCII.
    let picture = match code {
        0..=0x1f => char::from_u32(0x2400 + code),
        0x7f => Some('␡'),
        _ => None,
    };
    match picture {
        Some(picture) => out.push(picture),
        None => {
            let _ = write!(out, "<U+{code:04X}>");
        }
    }
}

/// Whether a character without a width does between its neighbours what it is for: joins the parts of one
/// emoji, chooses its form, or joins and parts letters of scripts that are written so.
fn belongs(c: char, before: Option<char>, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    match c {
        '\u{fe0e}' | '\u{fe0f}' => {
            !before.is_alphabetic() && !before.is_whitespace() && !is_hidden(before)
        }
        '\u{200d}' if is_pictograph(before) || matches!(before, '\u{fe0f}') => {
            after.is_some_and(is_pictograph)
        }
        '\u{200c}' | '\u{200d}' => joins(before) && after.is_some_and(joins),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => matches!(before, '\u{1820}'..='\u{18aa}'),
        _ => false,
    }
}

fn is_pictograph(c: char) -> bool {
    matches!(u32::from(c), 0x2190..=0x21ff | 0x2300..=0x23ff | 0x2600..=0x27bf | 0x2b00..=0x2bff
        | 0x1f000..=0x1faff)
}

/// Letters and signs of scripts in which the joiners are part of spelling: Arabic, Syriac, those of India,
/// Sinhala, Myanmar, Khmer, Mongolian.
fn joins(c: char) -> bool {
    matches!(u32::from(c), 0x600..=0x8ff | 0x900..=0xdff | 0x1000..=0x109f | 0x1780..=0x17ff
        | 0x1800..=0x18af)
}

/// Combining marks of all scripts: they sit on the letter before them, any number of them.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x483..=0x489 | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff
        | 0x20d0..=0x20ff | 0xfe20..=0xfe2f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        for (text, expected) in [
            ("plain, größer, 数学, العربية", "plain, größer, 数学, العربية"),
            ("\u{1b}[2Jgone\u{1b}]0;title\u{7}", "␛[2Jgone␛]0;title␇"),
            ("12\u{8}3", "12␈3"),
            ("first\rlast", "first␍last"),
            ("one\ntwo\r\nthree", "one↵two↵three"),
            ("a\tb", "a b"),
            ("a\u{7f}b\0", "a␡b␀"),
            ("\u{9b}31mred\u{85}", "<U+009B>31mred<U+0085>"),
            ("\u{202e}txt.exe\u{2066}\u{200e}", "<U+202E>txt.exe<U+2066><U+200E>"),
            ("pass\u{200b}word\u{feff}\u{ad}", "pass<U+200B>word<U+FEFF><U+00AD>"),
            ("a\u{2028}b\u{2029}", "a<U+2028>b<U+2029>"),
            ("hi\u{e0068}\u{e0069}", "hi<U+E0068><U+E0069>"),
            ("a\u{fe01}\u{e0101}", "a<U+FE01><U+E0101>"),
            ("\u{fdd0}\u{ffff}\u{10fffe}", "<U+FDD0><U+FFFF><U+10FFFE>"),
        ] {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_languages_and_emoji_are_written_with_stays() {
        // A family, a heart, a keycap, Persian with its half-space, Devanagari, Mongolian, Vietnamese.
        for text in [
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "\u{182a}\u{180b}",
            "e\u{302}\u{301}",
        ] {
            assert_eq!(line(text), text);
        }
        // And nowhere else.
        assert_eq!(line("a\u{200d}b"), "a<U+200D>b");
        assert_eq!(line("x\u{fe0f}"), "x<U+FE0F>");
        assert_eq!(line("\u{200c}"), "<U+200C>");
    }

    #[test]
    fn marks_do_not_pile_up() {
        let pile = format!("e{}", "\u{301}".repeat(6));
        assert_eq!(line(&pile), "e\u{301}\u{301}\u{301}\u{301}<U+0301><U+0301>");
    }

    #[test]
    fn a_text_of_several_lines_keeps_them_and_nothing_else() {
        let shown: Vec<_> = lines("def f():\n\treturn 1\r\n\u{1b}[1A\rerror: x").collect();
        assert_eq!(shown, ["def f():", "    return 1", "␛[1A␍error: x"]);
    }

    #[test]
    fn json_says_the_same_without_them() {
        let value = serde_json::json!({"t": "a\u{1b}\u{9b}\u{202e}\u{e0041}\n", "ä": "数"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&text);
        assert!(!shown.chars().any(|c| c != '\n' && is_hidden(c)), "{shown}");
        assert!(shown.contains("\\u202e\\udb40\\udc41") && shown.contains("数"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn nothing_hidden_is_left_of_any_character() {
        for c in (0..=0x10ffff).filter_map(char::from_u32) {
            let text = format!("{c}");
            assert!(!line(&text).chars().any(is_hidden), "{c:?}");
        }
    }
}
