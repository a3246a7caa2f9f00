//! Reading what a model wrote: tags, thoughts, boxed answers, numbers, words.
//!
//! Every function is linear in the length of the text.

/// Where a mark first occurs. It looks for the first byte and then at the rest: far faster than the standard
/// search where that byte is rare, as `<` is in what models write.
pub fn find(text: &str, mark: &str) -> Option<usize> {
    let (bytes, mark) = (text.as_bytes(), mark.as_bytes());
    let Some(first) = mark.first() else { return Some(0) };
    let mut from = 0;
    loop {
        let at = from + find_byte(&bytes[from..], *first)?;
        if bytes[at..].starts_with(mark) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Where a mark last occurs.
pub fn find_last(text: &str, mark: &str) -> Option<usize> {
    let Some(first) = mark.chars().next() else { return Some(text.len()) };
    let mut end = text.len();
    loop {
        let at = text[..end].rfind(first)?;
        if text.as_bytes()[at..].starts_with(mark.as_bytes()) {
            return Some(at);
        }
        end = at;
    }
}

/// Where a byte first occurs, looking at eight at a time: what WebAssembly has registers for.
fn find_byte(bytes: &[u8], wanted: u8) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let pattern = u64::from_ne_bytes([wanted; 8]);
    // Bit 7 of a byte is set where the byte is the wanted one, or such a byte stands below it in the word.
    let hits = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word) ^ pattern;
        word.wrapping_sub(LOW) & !word & HIGH
    };
    let (words, _) = bytes.as_chunks::<8>();
    let (fours, _) = words.as_chunks::<4>();
    let clean = fours.iter().take_while(|four| {
        (hits(&four[0]) | hits(&four[1]) | hits(&four[2]) | hits(&four[3])) == 0
    });
    let start = clean.count() * 32;
    bytes[start..].iter().position(|byte| *byte == wanted).map(|at| start + at)
}

/// The texts before and after the first occurrence of a mark.
pub fn split_at_mark<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    find(text, mark).map(|at| (&text[..at], &text[at + mark.len()..]))
}

/// How often a mark occurs, without overlaps.
pub fn count(text: &str, mark: &str) -> usize {
    let (mut count, mut rest) = (0, text);
    while let Some((_, after)) = split_at_mark(rest, mark).filter(|_| !mark.is_empty()) {
        (count, rest) = (count + 1, after);
    }
    count
}

/// The text between the last `open` and the first `close` after it; without `close`, `None`.
pub fn last_between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let rest = &text[find_last(text, open)? + open.len()..];
    split_at_mark(rest, close).map(|(inside, _)| inside)
}

/// The text between the only `open` and the only `close`; the error says what is wrong, in a few words.
pub fn only_between<'a>(text: &'a str, open: &str, close: &str) -> Result<&'a str, String> {
    let (before, rest) = split_at_mark(text, open).ok_or_else(|| format!("no {open}"))?;
    if find(rest, open).is_some() {
        return Err(format!("more than one {open}"));
    }
    match split_at_mark(rest, close) {
        None => Err(format!("no {close}")),
        Some((_, after)) if find(after, close).or(find(before, close)).is_some() => {
            Err(format!("more than one {close}"))
        }
        Some((inside, _)) => Ok(inside),
    }
}

/// A completion cut in two: the thought, and what follows it. Without `</think>` there is no thought, or,
/// where thinking was opened, nothing but thought. `prefilled` says that the prompt opened it.
pub fn split_thought(text: &str, prefilled: bool) -> (&str, &str) {
    const OPEN: &str = "<think>";
    let opened = find(text, OPEN).map(|at| at + OPEN.len());
    let start = opened.unwrap_or(0);
    match split_at_mark(&text[start..], "</think>") {
        Some((thought, rest)) => (thought, rest),
        None if opened.is_some() || prefilled => (&text[start..], ""),
        None => ("", text),
    }
}

/// The contents of the last `\boxed{...}` or `\fbox{...}` whose braces close.
pub fn last_boxed(text: &str) -> Option<&str> {
    // Candidates from the end. A box around one that never closes would have to close before it, so no text
    // is walked twice.
    let (mut end, mut limit) = (text.len(), text.len());
    while let Some(at) = text[..end].rfind('\\') {
        let name = ["\\boxed", "\\fbox"].into_iter().find(|name| text[at..].starts_with(name));
        if let Some(name) = name {
            let rest = text[at + name.len()..].trim_start();
            match rest.strip_prefix('{') {
                Some(inside) => {
                    let start = text.len() - inside.len();
                    let inside = &text.as_bytes()[start..limit.max(start)];
                    if let Some(length) = closing_brace(inside) {
                        return Some(&text[start..start + length]);
                    }
                    limit = at;
                }
                // `\boxed 5` is how some models write it.
                None => {
                    let word = rest.split(['$', ' ', '\n', ',']).next().unwrap_or_default();
                    if !word.is_empty() {
                        return Some(word);
                    }
                }
            }
        }
        end = at;
    }
    None
}

/// Length of a text that starts inside braces, up to the brace that closes them.
fn closing_brace(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The last number in a text: digits with an optional sign, commas between thousands, one decimal point,
/// and `/digits` where a fraction is written.
pub fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let inside = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b',');
    let mut start = end;
    let mut slashed = false;
    while start > 0 {
        let byte = bytes[start - 1];
        if byte == b'/' && !slashed && start < end && start > 1 && bytes[start - 2].is_ascii_digit()
        {
            slashed = true;
        } else if !inside(byte) {
            break;
        }
        start -= 1;
    }
    // A comma or a second point belongs to the sentence before.
    while bytes[start] == b',' || (bytes[start] == b'.' && !bytes[start + 1].is_ascii_digit()) {
        start += 1;
    }
    let signed = start > 0
        && bytes[start - 1] == b'-'
        && (start < 2 || !bytes[start - 2].is_ascii_alphanumeric());
    Some(&text[start - usize::from(signed)..end])
}

/// Words: runs of letters, digits, and apostrophes between letters.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’')))
        .map(|word| word.trim_matches(['\'', '’']))
        .filter(|word| !word.is_empty())
}

/// The first characters of a text, with `...` where something is left out: for messages.
pub fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_as_the_standard_library_finds_them() {
        let texts = ["", "<", "<<a>>", "x<a><a>y<a", "aaaa", "<a<a>", "é<é>é<é>", "</a></a>"];
        for (text, mark) in texts.iter().flat_map(|text| {
            ["<a>", "<", "aa", "é", "<é>", "</a>", "y<a"].map(|mark| (*text, mark))
        }) {
            assert_eq!(find(text, mark), text.find(mark), "{mark} in {text}");
            assert_eq!(find_last(text, mark), text.rfind(mark), "{mark} in {text}");
            assert_eq!(split_at_mark(text, mark), text.split_once(mark), "{mark} in {text}");
            assert_eq!(count(text, mark), text.matches(mark).count(), "{mark} in {text}");
        }
        for length in 0..100 {
            for at in 0..length {
                let mut bytes = vec![0xff_u8; length];
                bytes[at] = b'<';
                bytes[length - 1] = b'<';
                assert_eq!(find_byte(&bytes, b'<'), Some(at), "{at} of {length}");
            }
            assert_eq!(find_byte(&vec![b'='; length], b'<'), None);
        }
        assert_eq!((find("a", ""), find_last("a", ""), count("a", "")), (Some(0), Some(1), 0));
    }

    #[test]
    fn tags() {
        assert_eq!(last_between("<a>1</a><a>2</a>", "<a>", "</a>"), Some("2"));
        assert_eq!(last_between("<a>1</a><a>2", "<a>", "</a>"), None);
        assert_eq!(only_between("x<a>1</a>y", "<a>", "</a>"), Ok("1"));
        assert!(only_between("</a><a>1</a>", "<a>", "</a>").is_err());
        assert_eq!(
            only_between("<a>1</a></a>", "<a>", "</a>"),
            Err("more than one </a>".to_owned())
        );
    }

    #[test]
    fn thoughts() {
        assert_eq!(split_thought("<think>a</think>b", false), ("a", "b"));
        assert_eq!(split_thought("a</think>b", true), ("a", "b"));
        assert_eq!(split_thought("a", true), ("a", ""));
        assert_eq!(split_thought("a", false), ("", "a"));
        assert_eq!(split_thought("<think>a", false), ("a", ""));
    }

    #[test]
    fn boxes() {
        for (text, expected) in [
            (r"so \boxed{1} or \boxed{\frac{1}{2}}.", Some(r"\frac{1}{2}")),
            (r"\boxed{1} then \boxed{2", Some("1")),
            (r"\boxed{\{1,2\}}", Some(r"\{1,2\}")),
            (r"\fbox{7}", Some("7")),
            (r"$\boxed 5$", Some("5")),
            (r"boxed{5}", None),
            (r"\boxed", None),
            ("", None),
        ] {
            assert_eq!(last_boxed(text), expected, "{text}");
        }
        assert_eq!(last_boxed(&r"\boxed{".repeat(20_000)), None);
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("it is 42.", Some("42")),
            ("about $1,234.50 in all", Some("1,234.50")),
            ("x = -3", Some("-3")),
            ("5-3", Some("3")),
            ("half is 1/2!", Some("1/2")),
            ("1 ... 2", Some("2")),
            ("so .5 of it", Some(".5")),
            ("12, 13, and 14, then", Some("14")),
            ("none", None),
        ] {
            assert_eq!(last_number(text), expected, "{text}");
        }
    }

    #[test]
    fn words_and_messages() {
        let found: Vec<&str> = words("Don't 'quote' me: naïve, x2 — 你好").collect();
        assert_eq!(found, ["Don't", "quote", "me", "naïve", "x2", "你好"]);
        assert_eq!(shorten("héllo", 2), "hé...");
        assert_eq!(shorten("hé", 2), "hé");
    }
}
