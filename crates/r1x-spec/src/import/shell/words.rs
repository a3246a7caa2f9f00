//! Commands of a shell script as words, and words as pieces: text, variables and arithmetic.

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// `$NAME`, `${NAME}`, `${NAME:-default}`, or `${NAME[@]}`.
    Variable {
        name: String,
        default: Option<Vec<Piece>>,
        meant: Meant,
        /// How it is written.
        written: String,
    },
    /// What stands inside `$((` and `))`.
    Sum(String),
    /// What only a shell knows.
    Unknown(String),
}

/// What of a variable is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// Its text, which is the first word of an array.
    Text,
    /// All words of an array.
    AllWords,
}

/// A word of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub pieces: Vec<Piece>,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The words of an array, where it assigns one.
    array: Option<Vec<Word>>,
}

/// What an assignment gives.
pub(super) enum Assigned {
    One(Vec<Piece>),
    Many(Vec<Word>),
}

impl Word {
    /// The text of a word without variables.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The name and value of a word that assigns.
    pub fn assignment(&self) -> Option<(String, Assigned)> {
        let Some(Piece::Text(first)) = self.pieces.first() else { return None };
        let (name, rest) = first.split_once('=')?;
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return None;
        }
        let value = match &self.array {
            Some(words) => Assigned::Many(words.clone()),
            None => {
                let text = Piece::Text(rest.to_owned());
                Assigned::One(
                    std::iter::once(text).chain(self.pieces[1..].iter().cloned()).collect(),
                )
            }
        };
        Some((name.to_owned(), value))
    }
}

struct Reader<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
    /// How many arrays and defaults of variables stand inside each other.
    depth: usize,
}

/// Arrays inside arrays, and variables inside the defaults of variables, at most.
const DEEPEST: usize = 16;

/// The commands of a script, each as its words.
pub(super) fn commands(text: &str) -> Vec<Vec<Word>> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1, depth: 0 };
    let (mut all, mut command) = (Vec::new(), Vec::new());
    loop {
        let ended = reader.blanks();
        if ended && !command.is_empty() {
            all.push(std::mem::take(&mut command));
        }
        if reader.rest.peek().is_none() {
            return all;
        }
        if !ended {
            let word = reader.word();
            // A character that begins no word and ends no command, such as a bracket, stands alone.
            if word.pieces.is_empty() && word.array.is_none() {
                reader.next();
            } else {
                command.push(word);
            }
        }
    }
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let is = self.rest.peek() == Some(&wanted);
        if is {
            self.next();
        }
        is
    }

    /// Passes over blanks, continued lines and comments; whether a command ended on the way.
    fn blanks(&mut self) -> bool {
        let mut ended = false;
        while let Some(c) = self.rest.peek().copied() {
            match c {
                '\n' | ';' | '&' | '|' => {
                    ended = true;
                    self.next();
                }
                '#' => self.comment(),
                '\\' => {
                    let mut ahead = self.rest.clone();
                    ahead.next();
                    match ahead.next() {
                        Some('\n' | '\r') => {
                            self.next();
                            self.next();
                        }
                        _ => return ended,
                    }
                }
                c if c.is_whitespace() => {
                    self.next();
                }
                _ => return ended,
            }
        }
        true
    }

    fn comment(&mut self) {
        while self.rest.peek().is_some_and(|c| *c != '\n') {
            self.next();
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word { line: self.line, ..Word::default() };
        while let Some(c) = self.rest.peek().copied() {
            match c {
                '\'' => {
                    self.next();
                    let text = self.until('\'');
                    push(&mut word.pieces, text);
                }
                '"' => {
                    self.next();
                    self.quoted(&mut word.pieces);
                }
                '$' => self.variable(&mut word.pieces),
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) => push(&mut word.pieces, c.to_string()),
                    }
                }
                '(' if begins_array(&word) && self.depth < DEEPEST => {
                    self.next();
                    self.depth += 1;
                    word.array = Some(self.array());
                    self.depth -= 1;
                }
                c if c.is_whitespace() || ";&|()".contains(c) => break,
                c => {
                    self.next();
                    push(&mut word.pieces, c.to_string());
                }
            }
        }
        word
    }

    /// The words up to a closing bracket.
    fn array(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            self.blanks();
            if self.next_if(')') || self.rest.peek().is_none() {
                return words;
            }
            let word = self.word();
            if word.pieces.is_empty() {
                self.next();
            } else {
                words.push(word);
            }
        }
    }

    fn until(&mut self, mark: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.next() {
            if c == mark {
                break;
            }
            text.push(c);
        }
        text
    }

    fn quoted(&mut self, pieces: &mut Vec<Piece>) {
        // Empty quotes are a word as well.
        push(pieces, String::new());
        while let Some(c) = self.rest.peek().copied() {
            match c {
                '"' => {
                    self.next();
                    return;
                }
                '$' => self.variable(pieces),
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) if "\"\\$`".contains(c) => push(pieces, c.to_string()),
                        Some(c) => push(pieces, format!("\\{c}")),
                    }
                }
                c => {
                    self.next();
                    push(pieces, c.to_string());
                }
            }
        }
    }

    /// What begins with a dollar sign.
    fn variable(&mut self, pieces: &mut Vec<Piece>) {
        self.next();
        match self.rest.peek().copied() {
            Some('{') => {
                self.next();
                let inside = self.balanced('{', '}');
                pieces.push(self.braced(&inside));
            }
            Some('(') => {
                self.next();
                let inside = self.balanced('(', ')');
                let sum = inside.strip_prefix('(').and_then(|inside| inside.strip_suffix(')'));
                pieces.push(match sum {
                    Some(sum) => Piece::Sum(sum.to_owned()),
                    None => Piece::Unknown(format!("$({inside})")),
                });
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while let Some(c) = self.rest.peek().copied() {
                    if !(c.is_ascii_alphanumeric() || c == '_') {
                        break;
                    }
                    name.push(c);
                    self.next();
                }
                let written = format!("${name}");
                pieces.push(Piece::Variable { name, default: None, meant: Meant::Text, written });
            }
            Some(c @ ('@' | '*' | '#' | '?' | '0'..='9')) => {
                self.next();
                pieces.push(Piece::Unknown(format!("${c}")));
            }
            _ => push(pieces, "$".to_owned()),
        }
    }

    /// The text up to the bracket that closes an open one.
    fn balanced(&mut self, open: char, close: char) -> String {
        let (mut text, mut depth) = (String::new(), 1);
        while let Some(c) = self.next() {
            depth += usize::from(c == open);
            if c == close {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            text.push(c);
        }
        text
    }

    /// What stands inside `${` and `}`.
    fn braced(&mut self, inside: &str) -> Piece {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let (name, rest) = inside.split_at(inside.find(ends).unwrap_or(inside.len()));
        let written = format!("${{{inside}}}");
        let variable = |default, meant| Piece::Variable {
            name: name.to_owned(),
            default,
            meant,
            written: written.clone(),
        };
        if name.is_empty() || self.depth >= DEEPEST {
            return Piece::Unknown(written);
        }
        match rest {
            "" => variable(None, Meant::Text),
            "[@]" | "[*]" => variable(None, Meant::AllWords),
            _ => match rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-')) {
                Some(default) => {
                    let mut inner = Reader {
                        rest: default.chars().peekable(),
                        line: self.line,
                        depth: self.depth + 1,
                    };
                    let mut pieces = Vec::new();
                    while inner.rest.peek().is_some() {
                        let word = inner.word();
                        if word.pieces.is_empty() {
                            push(&mut pieces, inner.next().map(String::from).unwrap_or_default());
                        } else {
                            pieces.extend(word.pieces);
                        }
                    }
                    variable(Some(pieces), Meant::Text)
                }
                None => Piece::Unknown(written),
            },
        }
    }
}

/// Whether an opening bracket behind this begins an array: `NAME=(` or `NAME+=(`.
fn begins_array(word: &Word) -> bool {
    word.literal().is_some_and(|text| text.ends_with('=') && text.len() > 1)
}

fn push(pieces: &mut Vec<Piece>, text: String) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(&text),
        _ => pieces.push(Piece::Text(text)),
    }
}

/// The value of whole numbers, names, `+ - * / %` and brackets; `None` where it has none.
pub(super) fn sum(source: &str, value: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
    let text: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    let mut sum = Sum { rest: text.as_bytes(), value, depth: 0 };
    let total = sum.terms()?;
    sum.rest.is_empty().then_some(total)
}

struct Sum<'t> {
    rest: &'t [u8],
    value: &'t dyn Fn(&str) -> Option<i64>,
    depth: usize,
}

impl Sum<'_> {
    fn sign(&mut self, signs: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        signs.contains(first).then(|| {
            self.rest = rest;
            *first
        })
    }

    fn terms(&mut self) -> Option<i64> {
        let mut total = self.factors()?;
        while let Some(sign) = self.sign(b"+-") {
            let next = self.factors()?;
            total =
                if sign == b'+' { total.checked_add(next)? } else { total.checked_sub(next)? };
        }
        Some(total)
    }

    fn factors(&mut self) -> Option<i64> {
        let mut total = self.atom()?;
        while let Some(sign) = self.sign(b"*/%") {
            let next = self.atom()?;
            total = match sign {
                b'*' => total.checked_mul(next)?,
                b'/' => total.checked_div(next)?,
                _ => total.checked_rem(next)?,
            };
        }
        Some(total)
    }

    fn atom(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > 64 {
            return None;
        }
        let value = if self.sign(b"(").is_some() {
            let inside = self.terms()?;
            self.sign(b")").map(|_| inside)
        } else if self.sign(b"-").is_some() {
            self.atom()?.checked_neg()
        } else {
            self.name_or_number()
        };
        self.depth -= 1;
        value
    }

    fn name_or_number(&mut self) -> Option<i64> {
        while self.sign(b"${").is_some() {}
        let ends = |byte: &u8| !(byte.is_ascii_alphanumeric() || *byte == b'_');
        let at = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(at);
        self.rest = rest;
        self.sign(b"}");
        let word = std::str::from_utf8(word).ok()?;
        word.parse().ok().or_else(|| (self.value)(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_what_a_shell_makes_of_them() {
        let value = |name: &str| (name == "n").then_some(3);
        for (source, expected) in [
            ("1024 * 2", Some(2048)),
            ("(n + 1) * 2", Some(8)),
            ("$n + ${n}", Some(6)),
            ("7 / 2 - -1", Some(4)),
            ("1 / 0", None),
            ("m", None),
            ("9223372036854775807 + 1", None),
            ("(((", None),
        ] {
            assert_eq!(sum(source, &value), expected, "{source}");
        }
        assert_eq!(sum(&"(".repeat(100_000), &value), None);
    }

    #[test]
    fn a_command_goes_on_behind_a_backslash_and_ends_at_a_comment() {
        let script = "a=1 # b=2\nrun x='y z' \\\n  \"q=$a\"w; next\n# run again\n";
        let all = commands(script);
        assert_eq!(all.len(), 3);
        let second: Vec<usize> = all[1].iter().map(|word| word.line).collect();
        assert_eq!(second, [2, 2, 3]);
        assert_eq!(all[1][1].literal(), Some("x=y z"));
        assert_eq!(all[1][2].pieces.len(), 3);
    }

    #[test]
    fn hostile_scripts_end() {
        for text in ["${".repeat(50_000), "\"".repeat(9), "$((".repeat(9_000), "a=(".repeat(9_000)]
        {
            commands(&text);
        }
        commands(&"${a:-".repeat(2_000));
    }
}
