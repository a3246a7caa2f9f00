//! A short text as tokens: words, marks, Chinese characters and line ends, without Markdown and LaTeX around them.
//!
//! What the tokens mean together is read in `reading.rs`.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A run of letters and digits, apostrophes within it included.
    Word,
    /// One character of a script that writes no spaces, or of Hangul.
    Han(char),
    /// Punctuation.
    Mark(char),
    /// The end of a line.
    Break,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// A word in lower case; empty for the others.
    pub lower: String,
    /// The index of a word that is one Latin letter.
    pub letter: Option<usize>,
    /// Whether a word is written in capitals only.
    pub upper: bool,
    /// Whether space stands before it.
    pub gap: bool,
    /// Whether markup opens or closes right before it.
    pub opened: bool,
    /// Whether markup opens or closes right after it.
    pub closed: bool,
}

impl Token {
    /// The word in lower case, or nothing.
    pub fn word(&self) -> &str {
        &self.lower
    }

    /// Whether it is this mark.
    pub fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    /// Whether it is one of these marks.
    pub fn is_any(&self, marks: &str) -> bool {
        matches!(self.kind, Kind::Mark(mark) if marks.contains(mark))
    }

    /// Whether it is this character of a script without spaces.
    pub fn is_han(&self, characters: &str) -> bool {
        matches!(self.kind, Kind::Han(c) if characters.contains(c))
    }

    /// Whether both say the same, markup and space aside.
    pub fn equals(&self, other: &Self) -> bool {
        self.kind == other.kind && self.lower == other.lower
    }
}

/// LaTeX commands that change how a text looks and not what it says.
const LOOKS: &[&str] = &[
    "text",
    "textbf",
    "textit",
    "textrm",
    "textsf",
    "texttt",
    "textnormal",
    "mathrm",
    "mathbf",
    "mathit",
    "mathsf",
    "mathcal",
    "mathbb",
    "mathtt",
    "bf",
    "rm",
    "it",
    "boldsymbol",
    "bm",
    "emph",
    "underline",
    "boxed",
    "fbox",
    "mbox",
    "hbox",
    "left",
    "right",
    "displaystyle",
    "large",
    "Large",
    "huge",
    "Huge",
    "operatorname",
    "color",
    "bold",
];

/// LaTeX commands that are space.
const SPACES: &[&str] = &["quad", "qquad", "enspace", "space", "thinspace", "newline"];

/// The tokens of a text.
pub fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { tokens: Vec::new(), gap: false, marked: false };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = lexer.step(plain(c), rest, c.len_utf8());
    }
    lexer.tokens
}

/// The last tokens of a text that fit into so many bytes.
pub fn lex_end(text: &str, bytes: usize) -> Vec<Token> {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    // A word that is cut would be another word.
    if start > 0 {
        start += text[start..].find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len() - start);
    }
    lex(&text[start..])
}

/// The first tokens of a text that fit into so many bytes.
pub fn lex_start(text: &str, bytes: usize) -> Vec<Token> {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    lex(&text[..end])
}

struct Lexer {
    tokens: Vec<Token>,
    gap: bool,
    marked: bool,
}

impl Lexer {
    /// Takes one token, whose first character reads as `c`, and gives what is left.
    fn step<'a>(&mut self, c: char, rest: &'a str, width: usize) -> &'a str {
        let after = &rest[width..];
        match c {
            '\n' => {
                self.push(Kind::Break, String::new());
                after
            }
            '\\' => self.command(after),
            _ if c.is_whitespace() || c == '~' => {
                self.gap = true;
                after
            }
            '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}' => after,
            // Markup, and quotation marks: they surround what is meant.
            '*' | '_' | '`' | '$' | '{' | '}' | '"' | '\'' => {
                self.markup();
                after
            }
            _ if is_han(c) => {
                self.push(Kind::Han(c), String::new());
                after
            }
            _ if c.is_alphanumeric() => {
                let word = &rest[..word_length(rest)];
                self.push(Kind::Word, word.chars().map(plain).collect());
                &rest[word.len()..]
            }
            _ => {
                self.push(Kind::Mark(c), String::new());
                after
            }
        }
    }

    fn command<'a>(&mut self, after: &'a str) -> &'a str {
        let length = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, rest) = after.split_at(length);
        if LOOKS.contains(&name) {
            self.markup();
            rest
        } else if SPACES.contains(&name) {
            self.gap = true;
            rest
        } else if !name.is_empty() {
            self.push(Kind::Word, format!("\\{name}"));
            rest
        } else {
            // `\(`, `\[` and their ends open mathematics; `\,` and its like are space; `\{` is a brace.
            let mut characters = after.chars();
            match characters.next() {
                Some('(' | ')' | '[' | ']' | '{' | '}') => self.markup(),
                Some('\\') => self.push(Kind::Break, String::new()),
                Some(',' | ';' | ':' | '!' | ' ') => self.gap = true,
                _ => return after,
            }
            characters.as_str()
        }
    }

    fn markup(&mut self) {
        self.marked = true;
        if let Some(last) = self.tokens.last_mut().filter(|_| !self.gap) {
            last.closed = true;
        }
    }

    fn push(&mut self, kind: Kind, word: String) {
        let letter = match word.as_bytes() {
            [byte] if byte.is_ascii_alphabetic() => {
                Some(usize::from(byte.to_ascii_uppercase() - b'A'))
            }
            _ => None,
        };
        let upper = !word.is_empty() && word.chars().all(char::is_uppercase);
        let lower = word.to_lowercase();
        let (gap, opened) = (self.gap, self.marked);
        self.tokens.push(Token { kind, lower, letter, upper, gap, opened, closed: false });
        (self.gap, self.marked) = (false, false);
    }
}

/// The length of the word that a text starts with; an apostrophe between letters belongs to it.
fn word_length(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let inside = c.is_alphanumeric() && !is_han(c);
        let joined = matches!(c, '\'' | '’')
            && characters.peek().is_some_and(|(_, next)| next.is_alphabetic() && !is_han(*next));
        if !inside && !joined {
            return at;
        }
    }
    text.len()
}

/// The character as ASCII has it: full width, circled letters, Chinese punctuation, curly quotes, spaces.
fn plain(c: char) -> char {
    let shifted = |from: char, to: u8| {
        u32::from(c)
            .checked_sub(u32::from(from))
            .and_then(|offset| u8::try_from(offset).ok())
            .map_or(c, |offset| char::from(to + offset))
    };
    match c {
        '！'..='～' => shifted('！', b'!'),
        'Ⓐ'..='Ⓩ' => shifted('Ⓐ', b'A'),
        '。' => '.',
        '、' => ',',
        '【' | '〔' | '〖' => '[',
        '】' | '〕' | '〗' => ']',
        '“' | '”' | '„' | '‘' | '«' | '»' | '「' | '」' | '『' | '』' | '《' | '》' => {
            '"'
        }
        '’' => '\'',
        '–' | '−' | '‑' => '-',
        // A dash between clauses stands without spaces too, where a hyphen would make one word of both.
        '—' | '―' => ':',
        _ => c,
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3005}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
        && !matches!(c, '\u{3008}'..='\u{3020}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let show = |token: &Token| match token.kind {
            Kind::Word => token.lower.clone(),
            Kind::Han(c) | Kind::Mark(c) => c.to_string(),
            Kind::Break => "/".to_owned(),
        };
        lex(text).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn markup_is_no_token() {
        for (text, expected) in [
            ("**Answer:** (B)", "answer : ( b )"),
            (r"\textbf{(B)}\ 12", "( b ) 12"),
            (r"\(\mathrm{B}\)\\", "b /"),
            (r"\frac{1}{2}", r"\frac 1 2"),
            ("isn't ‘B’", "isn't b"),
            ("答案：Ｂ。", "答 案 : b ."),
            ("3.5\nb", "3 . 5 / b"),
            ("a—b–c", "a : b - c"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        let tokens = lex("**A** b");
        assert!(tokens[0].opened && tokens[0].closed && tokens[0].upper && tokens[1].gap);
        assert_eq!((tokens[0].letter, tokens[1].letter), (Some(0), Some(1)));
    }

    #[test]
    fn ends_are_cut_between_words() {
        let words = |tokens: Vec<Token>| tokens.into_iter().map(|t| t.lower).collect::<Vec<_>>();
        assert_eq!(words(lex_end("Answer: B", 9)), ["answer", "", "b"]);
        assert_eq!(words(lex_end("xAnswer: B", 9)), ["", "b"]);
        assert_eq!(words(lex_start("é b", 1)), Vec::<String>::new());
    }
}
