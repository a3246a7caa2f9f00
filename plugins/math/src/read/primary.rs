//! What stands by itself: numbers, names, brackets, commands and their arguments.
//!
//! Sums, products and powers are made of these, and stand inside of brackets again.

use super::Reader;
use crate::clean::{SET_CLOSE, SET_OPEN};
use crate::node::{Constant, Node};

/// Greek letters that serve as variables.
const GREEK: &[&str] = &[
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "rho",
    "sigma",
    "tau",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "ell",
    "Delta",
    "Gamma",
    "Omega",
    "Phi",
    "Psi",
    "Sigma",
    "Theta",
];

impl Reader {
    pub(super) fn primary(&mut self) -> Option<Node> {
        self.skip_spaces();
        match self.peek()? {
            c if c.is_ascii_digit() || c == '.' => self.number(),
            c if c.is_ascii_alphabetic() => self.named(),
            '\\' if self.starts_with("\\text ") => self.text_letter(),
            '\\' => self.command(),
            '{' => self.group(),
            SET_OPEN => self.set(),
            '(' | '[' => self.bracket(),
            '|' => self.between("|", "|", "abs"),
            '⌊' => self.between("⌊", "⌋", "floor"),
            '⌈' => self.between("⌈", "⌉", "ceil"),
            _ => None,
        }
    }

    /// A function of what stands between two marks.
    fn between(&mut self, open: &str, close: &str, function: &'static str) -> Option<Node> {
        if !self.eat(open) {
            return None;
        }
        // Inside bars the next bar closes them.
        let bars = std::mem::replace(&mut self.bars, usize::from(open == "|"));
        let inside = self.sum()?;
        self.bars = bars;
        self.eat(close).then(|| Node::Function(function, vec![inside]))
    }

    /// `\text{x}` where a variable can stand.
    fn text_letter(&mut self) -> Option<Node> {
        let text = self.text()?;
        let mut letters = text.trim().chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_alphabetic() => {
                Some(self.subscripted(Self::letter(letter)))
            }
            _ => None,
        }
    }

    fn items_until(&mut self, close: &[char]) -> Option<(Vec<Node>, char)> {
        self.brackets += 1;
        let mut items = Vec::new();
        loop {
            self.skip_spaces();
            if let Some(c) = self.peek().filter(|c| close.contains(c)) {
                self.at += 1;
                self.brackets -= 1;
                return Some((items, c));
            }
            if !items.is_empty() && self.separator().is_none() {
                return None;
            }
            items.push(self.deeper(Self::item)?);
        }
    }

    /// A set: its members, or a variable and the conditions that it meets.
    fn set(&mut self) -> Option<Node> {
        self.at += 1;
        let start = self.at;
        if let Some(conditions) = self.conditions() {
            return Some(conditions);
        }
        self.at = start;
        let bars = std::mem::take(&mut self.bars);
        let (items, _) = self.items_until(&[SET_CLOSE])?;
        self.bars = bars;
        Some(Node::Set(items))
    }

    /// `x | x > 2}` after the brace.
    fn conditions(&mut self) -> Option<Node> {
        let brackets = self.brackets;
        let bars = std::mem::replace(&mut self.bars, 1);
        let variable = self.deeper(Self::relation);
        self.bars = 0;
        let conditions = match variable {
            Some(variable) if self.eat("|") || self.eat(":") => {
                self.items_until(&[SET_CLOSE]).map(|(mut conditions, _)| {
                    // `x \in (0, 5)` before the mark is a condition as well.
                    if matches!(variable, Node::Chain(..)) {
                        conditions.push(variable);
                    }
                    Node::Such(conditions)
                })
            }
            _ => None,
        };
        (self.brackets, self.bars) = (brackets, bars);
        conditions
    }

    /// Grouping, coordinates, or an interval.
    fn bracket(&mut self) -> Option<Node> {
        let open = self.peek()?;
        self.at += 1;
        let bars = std::mem::take(&mut self.bars);
        let (mut items, close) = self.items_until(&[')', ']'])?;
        self.bars = bars;
        let matching = matches!((open, close), ('(', ')') | ('[', ']'));
        if items.len() == 1 && matching {
            return items.pop();
        }
        (items.len() > 1).then_some(Node::Bracket(open, close, items))
    }

    /// The name of the command that starts here, not consumed.
    fn command_name(&self) -> String {
        self.chars[self.at + 1..].iter().take_while(|c| c.is_ascii_alphabetic()).collect()
    }

    /// Whether the command here can be multiplied with what stands before it.
    pub(super) fn starts_command(&self) -> bool {
        let name = self.command_name();
        matches!(
            &*name,
            "begin"
                | "frac"
                | "sqrt"
                | "pi"
                | "binom"
                | "infty"
                | "lfloor"
                | "lceil"
                | "operatorname"
                | "hat"
                | "vec"
                | "bar"
                | "overline"
                | "tilde"
                | "mathbb"
                | "mathcal"
        ) || GREEK.contains(&&*name)
            || Self::function_name(&name).is_some()
            || Self::several_name(&name).is_some()
    }

    fn command(&mut self) -> Option<Node> {
        let name = self.command_name();
        if name == "begin" {
            return self.environment();
        }
        self.at += 1 + name.len();
        // The cleaner leaves one space after each command.
        self.at += usize::from(self.peek() == Some(' '));
        match &*name {
            "frac" => Some(Node::Quotient(Box::new(self.argument()?), Box::new(self.argument()?))),
            "binom" => Some(Node::Function("binom", vec![self.argument()?, self.argument()?])),
            "sqrt" => self.root(),
            "pi" => Some(Node::Constant(Constant::Pi)),
            "infty" => Some(Node::Constant(Constant::Infinity)),
            "emptyset" => Some(Node::Set(Vec::new())),
            "lfloor" => self.until_command("rfloor", "floor"),
            "lceil" => self.until_command("rceil", "ceil"),
            "ldots" => Some(Node::Symbol("…".to_owned())),
            "hat" | "vec" | "bar" | "overline" | "tilde" | "dot" | "ddot" | "mathbb"
            | "mathcal" | "mathscr" | "mathfrak" => self.accented(&name),
            "Re" => self.function("re"),
            "Im" => self.function("im"),
            "operatorname" => {
                self.eat("*");
                self.eat("{").then_some(())?;
                let name: String =
                    self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
                self.at += name.len();
                self.eat("}").then_some(())?;
                self.function(Self::function_name(&name).or_else(|| Self::several_name(&name))?)
            }
            _ if Self::several_name(&name).is_some() => self.function(Self::several_name(&name)?),
            _ if GREEK.contains(&&*name) => Some(self.subscripted(Node::Symbol(name))),
            _ => self.function(Self::function_name(&name)?),
        }
    }

    /// A letter with a mark, or in another alphabet: a variable of its own.
    fn accented(&mut self, mark: &str) -> Option<Node> {
        self.skip_spaces();
        let start = self.at;
        if self.peek()? == '{' {
            let mut depth = 0_usize;
            loop {
                match self.peek()? {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                self.at += 1;
                if depth == 0 {
                    break;
                }
            }
        } else if self.peek()?.is_ascii_alphabetic() {
            self.at += 1;
        } else {
            return None;
        }
        let written = self.chars[start..self.at].iter();
        let inside: String = written.filter(|c| !matches!(c, ' ' | '{' | '}')).collect();
        if inside.is_empty() {
            return None;
        }
        let node = match (mark, &*inside) {
            ("mathbb", "R") => return Some(Node::reals()),
            ("hat" | "vec", "i" | "j" | "k") => Node::Symbol(format!("unit {inside}")),
            _ => Node::Symbol(format!("{mark} {inside}")),
        };
        Some(self.subscripted(node))
    }

    fn until_command(&mut self, close: &str, function: &'static str) -> Option<Node> {
        let inside = self.sum()?;
        self.eat(&format!("\\{close} ")).then(|| Node::Function(function, vec![inside]))
    }

    /// An argument of a command: a group, else a single digit, letter or command.
    fn argument(&mut self) -> Option<Node> {
        self.skip_spaces();
        match self.peek()? {
            '{' => self.deeper(Self::group),
            c if c.is_ascii_digit() => self.single_digit(),
            c if c.is_ascii_alphabetic() => {
                self.at += 1;
                Some(Self::letter(c))
            }
            '\\' => self.deeper(Self::command),
            _ => None,
        }
    }

    /// What follows a root sign: its degree in brackets, then its argument. After a bare word a whole number
    /// or a parenthesis is taken.
    pub(super) fn root(&mut self) -> Option<Node> {
        let mut degree = Node::whole(2);
        if self.eat("[") {
            degree = self.deeper(Self::sum)?;
            self.eat("]").then_some(())?;
        }
        self.skip_spaces();
        let bare = self.at >= 4 && self.chars[self.at - 4..self.at] == ['s', 'q', 'r', 't'];
        let inside = match self.peek()? {
            '(' => self.deeper(Self::bracket)?,
            c if bare && c.is_ascii_digit() => self.plain_number()?,
            _ => self.argument()?,
        };
        Some(Node::Root(Box::new(degree), Box::new(inside)))
    }

    /// What follows a function's name: a base or a power, then its argument.
    pub(super) fn function(&mut self, name: &'static str) -> Option<Node> {
        self.deeper(|reader| {
            let (mut base, mut power) = (None, None);
            loop {
                if base.is_none() && reader.eat("_") {
                    base = Some(reader.script()?);
                } else if power.is_none() && reader.eat("^") {
                    power = Some(reader.script()?);
                } else {
                    break;
                }
            }
            let several = Self::several_name(name).is_some();
            let mut arguments = match reader.function_argument()? {
                Node::Bracket('(', ')', items) | Node::Set(items) if several => items,
                argument => vec![argument],
            };
            arguments.extend(base);
            let inverse = power.as_ref().is_some_and(is_minus_one);
            let name = match (name, inverse) {
                ("sin", true) => "arcsin",
                ("cos", true) => "arccos",
                ("tan", true) => "arctan",
                _ => name,
            };
            let value = Node::Function(name, arguments);
            Some(match power {
                Some(power) if !inverse => Node::Power(Box::new(value), Box::new(power)),
                _ => value,
            })
        })
    }

    fn function_argument(&mut self) -> Option<Node> {
        self.skip_spaces();
        if matches!(self.peek()?, '(' | '{' | '[' | '|') {
            return self.primary();
        }
        let negative = self.eat("-");
        let mut factors = vec![self.factor()?];
        while self.starts_factor() && self.peek() != Some('(') && !self.starts_function() {
            self.count()?;
            factors.push(self.factor()?);
        }
        if self.is_degree() {
            // The sine of 30 degrees is not that of 30.
            self.unit();
            factors.push(Node::Quotient(
                Box::new(Node::Constant(Constant::Pi)),
                Box::new(Node::whole(180)),
            ));
        }
        let value = if factors.len() == 1 { factors.pop()? } else { Node::Product(factors) };
        Some(if negative { super::negated(value) } else { value })
    }

    fn starts_function(&self) -> bool {
        let skip = usize::from(self.peek() == Some('\\'));
        let name: String =
            self.chars[self.at + skip..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        Self::function_name(&name).is_some()
    }
}

fn is_minus_one(node: &Node) -> bool {
    *node == super::negated(Node::whole(1))
}
