//! Words: functions, constants, variables, units, and answers that are nothing but words.
//!
//! A run of letters may be any of these, or several of them written together, and is taken apart here.

use super::Reader;
use crate::clean::words;
use crate::node::{Constant, Node};

/// Functions by the names they go under.
const FUNCTIONS: &[(&str, &str)] = &[
    ("sin", "sin"),
    ("cos", "cos"),
    ("tan", "tan"),
    ("tg", "tan"),
    ("cot", "cot"),
    ("sec", "sec"),
    ("csc", "csc"),
    ("arcsin", "arcsin"),
    ("asin", "arcsin"),
    ("arccos", "arccos"),
    ("acos", "arccos"),
    ("arctan", "arctan"),
    ("atan", "arctan"),
    ("sinh", "sinh"),
    ("cosh", "cosh"),
    ("tanh", "tanh"),
    ("ln", "ln"),
    ("log", "log"),
    ("lg", "log"),
    ("exp", "exp"),
    ("abs", "abs"),
    ("arcsinh", "arsinh"),
    ("arsinh", "arsinh"),
    ("asinh", "arsinh"),
    ("arccosh", "arcosh"),
    ("arcosh", "arcosh"),
    ("acosh", "arcosh"),
    ("arctanh", "artanh"),
    ("artanh", "artanh"),
    ("atanh", "artanh"),
    ("arccot", "arccot"),
    ("arctg", "arctan"),
    ("ctg", "cot"),
    ("cosec", "csc"),
    ("sgn", "sgn"),
];

/// Functions of several arguments, written before a bracket.
const OF_SEVERAL: &[&str] = &["max", "min", "gcd", "lcm", "det"];

impl Reader {
    /// The run of letters that starts here, not consumed.
    pub(super) fn word(&self) -> String {
        self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect()
    }

    pub(super) fn letter(c: char) -> Node {
        match c {
            'e' => Node::Constant(Constant::E),
            'i' => Node::Constant(Constant::I),
            _ => Node::Symbol(c.to_string()),
        }
    }

    /// The function of that name.
    pub(super) fn function_name(name: &str) -> Option<&'static str> {
        FUNCTIONS.iter().find(|(word, _)| *word == name).map(|(_, function)| *function)
    }

    /// The function of several arguments of that name.
    pub(super) fn several_name(name: &str) -> Option<&'static str> {
        OF_SEVERAL.iter().find(|function| **function == name).copied()
    }

    /// Whether a word is the name of a function or a constant with a variable or such a name after it: "sinx"
    /// is, "seconds" is not.
    pub(super) fn starts_with_name(lower: &str) -> bool {
        (2..=lower.len()).any(|length| {
            let (known, rest) = lower.split_at(length);
            let name = matches!(known, "pi" | "sqrt" | "inf" | "infinity" | "infty")
                || Self::function_name(known).is_some();
            name && (rest.len() <= 1 || Self::starts_with_name(rest))
        })
    }

    /// What a value is called before "=": words, or a word.
    pub(super) fn label(&mut self) -> Option<Node> {
        let start = self.at;
        self.skip_spaces();
        let name = match self.text() {
            Some(text) => words(&text),
            None => {
                let word = self.word();
                self.at += word.len();
                let lower = word.to_lowercase();
                if lower.len() > 3 && !Self::starts_with_name(&lower) {
                    lower
                } else {
                    String::new()
                }
            }
        };
        let colon = self.eat(":") && !self.starts_with("=");
        if !name.is_empty()
            && (colon || {
                self.skip_spaces();
                self.starts_with("=")
            })
        {
            if colon {
                // "Area: 5" is an equation as well; the colon is written once more as one.
                self.at -= 1;
                self.chars[self.at] = '=';
            }
            return Some(Node::Symbol(name));
        }
        self.at = start;
        None
    }

    /// A bare word inside an expression: a function, a constant, or a few variables side by side.
    pub(super) fn named(&mut self) -> Option<Node> {
        let word = self.word();
        let lower = word.to_lowercase();
        if word.len() > 1 {
            // The longest known name that the word starts with: "sinx" is the sine of x.
            for length in (2..=lower.len()).rev() {
                let known = &lower[..length];
                let constant = match known {
                    "pi" => Some(Constant::Pi),
                    "infinity" | "infty" | "inf" | "oo" => Some(Constant::Infinity),
                    _ => None,
                };
                if let Some(constant) = constant {
                    self.at += length;
                    return Some(Node::Constant(constant));
                }
                if known == "sqrt" {
                    self.at += length;
                    return self.root();
                }
                if let Some(function) = Self::function_name(known) {
                    self.at += length;
                    return self.function(function);
                }
            }
        }
        if let Some(function) = Self::several_name(&lower)
            && self.chars.get(self.at + word.len()) == Some(&'(')
        {
            self.at += word.len();
            return self.function(function);
        }
        if word.len() > 3 {
            return None;
        }
        let letter = word.chars().next()?;
        self.at += 1;
        Some(self.subscripted(Self::letter(letter)))
    }

    /// A variable with its index and its primes, such as `x_1` and `f'`.
    pub(super) fn subscripted(&mut self, variable: Node) -> Node {
        let indexed = self.peek() == Some('_');
        let mut name = match variable {
            Node::Symbol(name) => name,
            // An index makes a variable of a constant's letter.
            Node::Constant(Constant::E) if indexed => "e".to_owned(),
            Node::Constant(Constant::I) if indexed => "i".to_owned(),
            constant => return constant,
        };
        loop {
            let start = self.at;
            if self.eat("_") && self.script().is_some() {
                let written = self.chars[start + 1..self.at].iter();
                let index: String =
                    written.filter(|c| !c.is_whitespace() && !matches!(c, '{' | '}')).collect();
                name = format!("{name}_{index}");
            } else if self.peek() == Some('\'') {
                self.at += 1;
                name.push('\'');
            } else {
                self.at = start;
                return Node::Symbol(name);
            }
        }
    }

    /// `^{\prime}` after a variable.
    pub(super) fn raised_prime(&mut self, variable: &Node) -> Option<Node> {
        let mut name = variable.symbol()?.to_owned();
        let start = self.at;
        self.eat("^");
        let braced = self.eat("{");
        let mut found = false;
        while self.eat("\\prime ") {
            name.push('\'');
            found = true;
        }
        if found && (!braced || self.eat("}")) {
            return Some(Node::Symbol(name));
        }
        self.at = start;
        None
    }

    /// The text of a `\text{...}` that starts here.
    pub(super) fn text(&mut self) -> Option<String> {
        let start = self.at;
        if !(self.eat("\\text ") && self.eat("{")) {
            self.at = start;
            return None;
        }
        let mut text = String::new();
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => return Some(text),
                '}' => depth -= 1,
                _ => {}
            }
            text.push(c);
        }
        self.at = start;
        None
    }

    /// Words that are all there is up to the next separator or bracket: an answer that is no mathematics.
    pub(super) fn whole_words(&mut self) -> Option<String> {
        let start = self.at;
        self.skip_spaces();
        if let Some(text) = self.text() {
            self.skip_spaces();
            if self.ends_item() && !text.trim().is_empty() {
                return Some(words(&text));
            }
        } else {
            let word = self.word();
            self.at += word.len();
            let lower = word.to_lowercase();
            let known = matches!(&*lower, "pi" | "infinity" | "infty" | "inf" | "sqrt")
                || Self::function_name(&lower).is_some();
            // Two letters are more often a product than a word.
            if word.len() > 2 && !known && self.ends_item() {
                return Some(lower);
            }
        }
        self.at = start;
        None
    }

    pub(super) fn ends_item(&mut self) -> bool {
        self.skip_spaces();
        matches!(
            self.peek(),
            None | Some(',' | ';' | ')' | ']' | '}' | '&' | crate::clean::SET_CLOSE)
        ) || self.starts_with("\\\\")
            || self.starts_with("\\end ")
            || self.is_conjunction()
    }
}
