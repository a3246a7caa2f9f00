//! Rust source without its comments and without the contents of its literals, line by line as it was.
//!
//! Enough of a lexer to search for words and count braces.

/// Blanks out comments and the contents of strings and characters; line breaks stay where they are.
pub fn code_only(source: &str) -> String {
    let mut lexer = Lexer { rest: source, out: String::with_capacity(source.len()) };
    while !lexer.rest.is_empty() {
        lexer.token();
    }
    lexer.out
}

struct Lexer<'a> {
    rest: &'a str,
    out: String,
}

impl Lexer<'_> {
    fn token(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.blank(end);
        } else if self.rest.starts_with("/*") {
            let end = block_comment(self.rest);
            self.blank(end);
        } else if let Some(end) = raw_string(self.rest) {
            self.blank(end);
        } else if self.rest.starts_with('"') {
            let end = quoted(self.rest, '"');
            self.blank(end);
        } else if let Some(end) = character(self.rest) {
            self.blank(end);
        } else {
            // A whole word at a time, so that the `r` that ends an identifier starts no raw string.
            let word = self
                .rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(self.rest.len());
            let end = word.max(self.rest.chars().next().map_or(0, char::len_utf8));
            self.out.push_str(&self.rest[..end]);
            self.rest = &self.rest[end..];
        }
    }

    fn blank(&mut self, end: usize) {
        let breaks = self.rest[..end].chars().filter(|&c| c == '\n');
        // A blank in its place keeps words on both sides apart.
        self.out.push(' ');
        self.out.extend(breaks);
        self.rest = &self.rest[end..];
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a raw string (`r"…"`, `br#"…"#`) at the start of the text.
fn raw_string(text: &str) -> Option<usize> {
    let after = ["br", "cr", "r"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(text.len() - body.len() + end)
}

/// The length of a literal in quotes, with escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = true; // The opening quote closes nothing.
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of a character literal; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.strip_prefix('\'')?.chars();
    let first = chars.next()?;
    (first == '\\' || chars.next() == Some('\'')).then(|| quoted(text, '\''))
}

#[track_caller]
fn check(source: &str, expected: &str) {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let code = code_only(source);
    assert_eq!(words(&code), words(expected));
    assert_eq!(code.lines().count(), source.lines().count(), "lines of `{source}`");
}

#[test]
fn comments_and_literals_are_blanked() {
    check("a // b {\nc", "a c");
    check("a /* b /* c\n */ d */ e", "a e");
    check(r#"f("{ \" }", g)"#, "f( , g)");
    check("x = r#\"{ \" } \n\"# ; y", "x = ; y");
    check("for r in b\"{\" {}", "for r in b {}");
    check(
        "fn f<'a>(c: &'a str) { '{' ; '\\'' ; '\\u{7d}' ; b'}' }",
        "fn f<'a>(c: &'a str) { ; ; ; b }",
    );
}
