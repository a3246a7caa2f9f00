//! From LaTeX or plain text as models write it to one plain notation: spacing, sizes, fonts and dollar signs
//! go, letters of other alphabets and synonyms become commands.
//!
//! All of it takes time linear in the length of the text.

mod command;
pub mod letters;

use command::{Argument, Role, role};

/// `\{` and `\}` after cleaning; a bare brace only groups.
pub const SET_OPEN: char = '\u{e000}';
/// See [`SET_OPEN`].
pub const SET_CLOSE: char = '\u{e001}';

/// Deepest argument of a font that is cleaned by itself.
const MAX_DEPTH: usize = 20;

/// Cleans an answer.
pub fn clean(text: &str) -> String {
    let mut cleaner = Cleaner { out: String::with_capacity(text.len()), depth: 0, grouped: 0 };
    cleaner.run(after_phrase(unwrap(text)));
    // Every command keeps the space after its name: the reader looks for it.
    cleaner.out.trim_start().to_owned()
}

struct Cleaner {
    out: String,
    depth: usize,
    /// Where a group of thousands that has begun will end.
    grouped: usize,
}

impl Cleaner {
    fn run(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            rest = match c {
                '\\' => self.command(after),
                '{' if after.starts_with(",}") => self.marked(&after[2..]),
                '{' if after.starts_with(".}") => self.push(&after[2..], "."),
                '\'' if self.groups_thousands(after) => after,
                '~' | ' ' => self.space(after),
                '*' if after.starts_with('*') => self.push(&after[1..], "^"),
                '.' if after.starts_with("..") => self.push(&after[2..], "\\ldots "),
                '$' if starts_amount(after) => self.push(after, "$"),
                '$' => after,
                c if c.is_ascii() => {
                    self.out.push(c);
                    after
                }
                c if letters::raised(c).is_some() => self.script(rest, '^', letters::raised),
                c if letters::lowered(c).is_some() => self.script(rest, '_', letters::lowered),
                c if c.is_whitespace() => self.space(after),
                c => {
                    if !letters::write(c, &mut self.out) {
                        self.out.push(c);
                    }
                    after
                }
            };
        }
    }

    fn push<'a>(&mut self, rest: &'a str, text: &str) -> &'a str {
        self.out.push_str(text);
        rest
    }

    /// A run of letters above or below the line, as one script.
    fn script<'a>(
        &mut self,
        rest: &'a str,
        mark: char,
        plain: impl Fn(char) -> Option<char>,
    ) -> &'a str {
        let run: String = rest.chars().map_while(&plain).collect();
        self.out.push(mark);
        self.out.push('{');
        self.out.push_str(&run);
        self.out.push('}');
        let length: usize =
            rest.chars().take_while(|c| plain(*c).is_some()).map(char::len_utf8).sum();
        &rest[length..]
    }

    /// Takes note and answers `true` where exactly three digits follow that go on the number before them.
    fn groups_thousands(&mut self, after: &str) -> bool {
        let before = self.out.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (ahead, digits) = self.out.split_at(self.out.len() - before);
        let fits = match ahead.chars().next_back() {
            Some('_' | '^') => false,
            Some('.') => before > 0 && before % 3 == 0,
            _ if before > 3 => self.grouped == self.out.len(),
            _ => before > 0 && !digits.starts_with('0'),
        };
        let groups = fits && starts_group(after);
        if groups {
            self.grouped = self.out.len() + 3;
        }
        groups
    }

    /// A space: nothing between the thousands of a number.
    fn space<'a>(&mut self, after: &'a str) -> &'a str {
        // `1 250/1000` is a mixed number.
        let fraction = after.trim_start().get(3..).is_some_and(|rest| rest.starts_with('/'));
        if !fraction && self.groups_thousands(after) {
            return after;
        }
        self.push(after, " ")
    }

    /// `{,}`: between thousands, or a decimal comma.
    fn marked<'a>(&mut self, rest: &'a str) -> &'a str {
        let number = rest.trim_start().trim_start_matches("\\!").trim_start();
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        match digits {
            0 => self.push(rest, ","),
            _ if self.groups_thousands(number) => number,
            _ => self.push(number, "."),
        }
    }

    /// A comma with `\!` after it is between thousands.
    fn narrow<'a>(&mut self, after: &'a str) -> &'a str {
        let number = after.trim_start();
        if self.out.ends_with(',') && number.starts_with(|c: char| c.is_ascii_digit()) {
            self.out.pop();
            return number;
        }
        after
    }

    /// What follows a backslash.
    fn command<'a>(&mut self, rest: &'a str) -> &'a str {
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        if length == 0 {
            return self.mark(rest);
        }
        let (name, after) = rest.split_at(length);
        match role(name) {
            Role::Silent => {
                // `\left.` opens nothing.
                let sided = name == "left" || name == "right";
                let dot = if sided { after.trim_start().strip_prefix('.') } else { None };
                self.space(dot.unwrap_or(after))
            }
            Role::Synonym(plain) => self.push(after, plain),
            Role::Dropped => match Argument::of(after) {
                Some(argument) => argument.rest,
                None => after,
            },
            Role::Text => self.text(after),
            Role::Font => self.font(name, after),
            Role::Other => {
                self.out.push('\\');
                self.out.push_str(name);
                self.out.push(' ');
                after
            }
        }
    }

    /// A backslash and a sign.
    fn mark<'a>(&mut self, rest: &'a str) -> &'a str {
        let Some(c) = rest.chars().next() else { return rest };
        let after = &rest[c.len_utf8()..];
        match c {
            '!' => self.narrow(after),
            '{' => self.push(after, "\u{e000}"),
            '}' => self.push(after, "\u{e001}"),
            '$' | '%' | '&' | '#' => self.push(after, &c.to_string()),
            '|' => self.push(after, "|"),
            '\\' => self.push(after, "\\\\"),
            _ => self.space(after),
        }
    }

    /// Words in an answer. A number with words after it is written as if there were no `\text`, a phrase that
    /// leads up to the answer goes.
    fn text<'a>(&mut self, after: &'a str) -> &'a str {
        let Some(argument) = Argument::of(after) else { return self.push(after, "\\text ") };
        let inside = argument.inside.trim();
        let bare = inside.trim_start_matches(['-', '−', '\\', '$', '(', '.']);
        let number = bare.starts_with(|c: char| c.is_ascii_digit())
            && inside.len() - bare.len() <= 3
            && !self.out.trim_end().ends_with(['_', '^']);
        if number && self.enter() {
            self.run(argument.inside);
            self.depth -= 1;
            return argument.rest;
        }
        if self.out.trim().is_empty() && !inside.is_empty() && after_phrase(inside).is_empty() {
            return argument.rest;
        }
        self.push(after, "\\text ")
    }

    /// Mathematics in a font: letters and numbers are themselves, words are words.
    fn font<'a>(&mut self, name: &str, after: &'a str) -> &'a str {
        let Some(argument) = Argument::of(after) else { return after };
        let inside = argument.inside.trim();
        let upright = name == "mathrm";
        let mut letters = inside.chars();
        let single = letters.next().filter(|_| letters.next().is_none());
        let mathematics = match single {
            // Upright letters are units, but for the constants.
            Some(letter) if upright => !letter.is_alphabetic() || matches!(letter, 'e' | 'i' | 'd'),
            Some(_) => true,
            None => {
                !inside.contains(|c: char| c.is_alphabetic() || c == '\\')
                    || inside.starts_with('\\') && !upright
            }
        };
        if single.is_some_and(|letter| matches!(letter, 'i' | 'j' | 'k')) && !upright {
            self.out.push_str(&format!("\\hat {{{inside}}}"));
            return argument.rest;
        }
        let bold = matches!(name, "mathbf" | "boldsymbol" | "bm" | "pmb" | "symbf");
        if bold && single.is_some_and(|letter| letter.is_ascii_alphabetic()) {
            // A vector, as far as it matters.
            self.out.push_str(&format!("\\vec {{{inside}}}"));
            return argument.rest;
        }
        if !mathematics || !self.enter() {
            return self.push(after, "\\text ");
        }
        self.out.push('{');
        self.run(inside);
        self.out.push('}');
        self.depth -= 1;
        argument.rest
    }

    fn enter(&mut self) -> bool {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.depth -= 1;
            return false;
        }
        true
    }
}

/// Whether an amount of money follows a dollar sign.
fn starts_amount(after: &str) -> bool {
    after.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

/// Whether exactly three digits follow.
fn starts_group(after: &str) -> bool {
    after.trim_start_matches([' ', '~']).bytes().take_while(u8::is_ascii_digit).count() == 3
}

/// Takes off what encloses the whole: math mode, a sentence's end, emphasis.
fn unwrap(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let before = text.len();
        let dots = text.ends_with("...");
        let ends: &[char] = if dots { &[',', ';', ':'] } else { &['.', ',', ';', ':', '。'] };
        text = text.trim_end_matches(ends).trim();
        text = text.strip_suffix("\\\\").unwrap_or(text);
        for (open, close) in
            [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")]
        {
            let inside = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
            if let Some(inside) = inside.filter(|inside| !inside.ends_with('\\')) {
                text = inside.trim();
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

/// What follows "The answer is", where a text starts so.
fn after_phrase(text: &str) -> &str {
    let word = |text: &str, words: &[&str]| -> Option<usize> {
        let skipped = text.len() - text.trim_start().len();
        let start = &text[skipped..];
        let found = words.iter().find(|word| {
            start.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
                && !start[word.len()..].starts_with(|c: char| c.is_alphanumeric())
        })?;
        Some(skipped + found.len())
    };
    let mut at = 0;
    let mut subject = false;
    while let Some(length) =
        word(&text[at..], &["the", "so", "thus", "hence", "our", "my", "final"])
    {
        at += length;
    }
    if let Some(length) = word(&text[at..], &["answer", "result", "solution"]) {
        (at, subject) = (at + length, true);
    }
    if !subject {
        return text;
    }
    let verb = text[at..].trim_start().strip_prefix([':', '=']);
    match (word(&text[at..], &["is", "are", "equals", "would be"]), verb) {
        (Some(length), _) => {
            let rest = text[at + length..].trim_start();
            rest.strip_prefix(':').unwrap_or(rest).trim_start()
        }
        (None, Some(rest)) => rest.trim_start(),
        (None, None) => text,
    }
}

/// An answer as its letters: one writing for what differs in spaces, sizes, fonts and braces around one letter
/// only. Equal texts are equal answers, whether or not they can be read.
pub fn normal(text: &str) -> String {
    normal_of(&clean(text))
}

/// [`normal`] of a cleaned answer.
pub fn normal_of(cleaned: &str) -> String {
    let chars: Vec<char> = cleaned.chars().collect();
    let mut out = String::with_capacity(cleaned.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
        if c.is_whitespace() {
            let mut end = at + 1;
            while chars.get(end).is_some_and(|c| c.is_whitespace()) {
                end += 1;
            }
            let before = out.chars().next_back();
            // "58, 500" are two numbers.
            let listed = before == Some(',') && chars.get(end).is_some_and(char::is_ascii_digit);
            if (joins(before) || listed) && joins(chars.get(end).copied()) {
                out.push(' ');
            }
            at = end;
        } else if c == '{'
            && out.ends_with(['^', '_'])
            && joins(next)
            && chars.get(at + 2) == Some(&'}')
            && !joins(chars.get(at + 3).copied())
        {
            out.extend(next);
            at += 3;
        } else {
            out.push(c);
            at += 1;
        }
    }
    out
}

/// An answer as words: case, spacing, marks and LaTeX's wrappings do not count.
pub fn words(text: &str) -> String {
    words_of(&clean(text))
}

/// [`words`] of a cleaned answer.
pub fn words_of(cleaned: &str) -> String {
    let bare = cleaned.replace("\\text", " ");
    let kept = bare.chars().map(|c| if "{}$\\".contains(c) { ' ' } else { c });
    let text: String = kept.flat_map(char::to_lowercase).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let inside = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inside.unwrap_or(&text).trim_matches(['.', '"', '\'', ' ']).to_owned()
}

#[cfg(test)]
mod tests;
