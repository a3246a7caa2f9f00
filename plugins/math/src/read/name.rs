//! Words: functions, constants, variables, units, and answers that are nothing but words.
//!
//! Must not know brackets.

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
];

/// Short words that are units after a number.
const UNITS: &[&str] = &[
    "cm", "mm", "km", "ft", "kg", "mg", "mph", "sq", "deg", "lb", "lbs", "oz", "hr", "hrs", "min",
    "sec", "yd",
];

/// Units that go under several names; the first is kept.
const SAME_UNITS: &[&[&str]] = &[
    &["degree", "deg", "°"],
    &["dollar", "$", "usd"],
    &["cent", "¢"],
    &["inch", "in"],
    &["foot", "feet", "ft"],
    &["centimeter", "cm", "centimetre"],
    &["millimeter", "mm", "millimetre"],
    &["kilometer", "km", "kilometre"],
    &["meter", "m", "metre"],
    &["mile", "mi"],
    &["kilogram", "kg"],
    &["gram", "g"],
    &["pound", "lb"],
    &["hour", "hr", "h"],
    &["minute", "min"],
    &["second", "sec", "s"],
    &["square", "sq"],
    &["percent", "%"],
];

impl Reader {
    /// The run of letters that starts here, not consumed.
    fn word(&self) -> String {
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
        if word.len() > 3 {
            return None;
        }
        let letter = word.chars().next()?;
        self.at += 1;
        Some(self.subscripted(Self::letter(letter)))
    }

    /// A variable with its index, such as `x_1`.
    pub(super) fn subscripted(&mut self, variable: Node) -> Node {
        let start = self.at;
        if let Node::Symbol(name) = &variable
            && self.eat("_")
            && self.script().is_some()
        {
            let index: String =
                self.chars[start..self.at].iter().filter(|c| c.is_ascii_alphanumeric()).collect();
            return Node::Symbol(format!("{name}_{index}"));
        }
        self.at = start;
        variable
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

    fn ends_item(&mut self) -> bool {
        self.skip_spaces();
        matches!(self.peek(), None | Some(',' | ';' | ')' | ']' | '}' | crate::clean::SET_CLOSE))
            || self.is_conjunction()
    }

    /// Whether the bare word here is a unit rather than variables.
    pub(super) fn is_unit_word(&self) -> bool {
        let word = self.word();
        let lower = word.to_lowercase();
        if UNITS.contains(&&*lower) {
            // "sec x" is a function.
            let next = self.chars.get(self.at + word.len() + 1);
            return lower != "sec" || !next.is_some_and(|c| c.is_ascii_alphanumeric() || *c == '(');
        }
        let function = (2..=lower.len()).any(|length| {
            let known = &lower[..length];
            matches!(known, "pi" | "sqrt" | "inf") || Self::function_name(known).is_some()
        });
        word.len() > 3 && !function || matches!(&*lower, "day" | "way" | "mile" | "inch")
    }

    /// Whether `^` here starts a degree sign.
    pub(super) fn is_degree(&mut self) -> bool {
        let start = self.at;
        let found = self.eat("^")
            && (self.eat("\\circ ") || self.eat("°") || (self.eat("{") && self.eat("\\circ ")));
        self.at = start;
        found
    }

    /// The unit after a value, spelled in one way.
    pub(super) fn unit(&mut self) -> Option<String> {
        let mut spelled: Vec<String> = Vec::new();
        loop {
            self.skip_spaces();
            if self.is_degree() {
                self.eat("^");
                let braced = self.eat("{");
                let _ = self.eat("\\circ ") || self.eat("°");
                if braced && !self.eat("}") {
                    return None;
                }
                spelled.push("degree".to_owned());
            } else if self.eat("°") || self.eat("\\circ ") {
                spelled.push("degree".to_owned());
            } else if self.eat("%") {
                spelled.push("percent".to_owned());
            } else if self.eat("$") {
                spelled.push("dollar".to_owned());
            } else if self.is_conjunction() {
                break;
            } else if let Some(text) = self.text() {
                spelled.extend(text.split_whitespace().map(one_unit));
            } else if !spelled.is_empty() && self.eat("^") {
                let start = self.at;
                self.script()?;
                let power: String =
                    self.chars[start..self.at].iter().filter(|c| c.is_ascii_digit()).collect();
                spelled.push(format!("^{power}"));
            } else if self.peek().is_some_and(|c| c.is_ascii_alphabetic())
                && (!spelled.is_empty() || self.is_unit_word())
            {
                let word = self.word();
                self.at += word.len();
                spelled.push(one_unit(&word));
            } else {
                break;
            }
        }
        spelled.retain(|word| !word.is_empty());
        power_last(&mut spelled);
        (!spelled.is_empty()).then(|| spelled.join(" "))
    }
}

/// "square inch" and "inch squared" are "inch ^2".
fn power_last(spelled: &mut Vec<String>) {
    for (word, power) in [("square", "^2"), ("squared", "^2"), ("cubic", "^3"), ("cubed", "^3")] {
        if let Some(at) = spelled.iter().position(|other| other == word) {
            spelled.remove(at);
            spelled.push(power.to_owned());
        }
    }
}

/// A unit under its first name, in the singular.
fn one_unit(word: &str) -> String {
    let lower = word.trim_matches(['.', ',', '(', ')']).to_lowercase();
    let singular =
        match lower.strip_suffix("es").filter(|stem| stem.ends_with("ch") || stem.ends_with('x')) {
            Some(stem) => stem,
            None => lower
                .strip_suffix('s')
                .filter(|stem| stem.len() > 1 && !stem.ends_with('s'))
                .unwrap_or(&lower),
        };
    let same = SAME_UNITS.iter().find(|names| names.contains(&singular));
    match same.map_or(singular, |names| names[0]) {
        // Words that name no unit.
        "unit" | "of" | "the" | "a" => String::new(),
        unit => unit.to_owned(),
    }
}
