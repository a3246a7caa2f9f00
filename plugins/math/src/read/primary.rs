//! What stands by itself: numbers, names, brackets, commands and their arguments.
//!
//! Must not know sums and products beyond asking for them.

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
        let inside = self.sum()?;
        self.eat(close).then(|| Node::Function(function, vec![inside]))
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

    fn set(&mut self) -> Option<Node> {
        self.at += 1;
        let (items, _) = self.items_until(&[SET_CLOSE])?;
        Some(Node::Set(items))
    }

    /// Grouping, coordinates, or an interval.
    fn bracket(&mut self) -> Option<Node> {
        let open = self.peek()?;
        self.at += 1;
        let (mut items, close) = self.items_until(&[')', ']'])?;
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
        ) || GREEK.contains(&&*name)
            || Self::function_name(&name).is_some()
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
            "operatorname" => {
                self.eat("{").then_some(())?;
                let name: String =
                    self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
                self.at += name.len();
                self.eat("}").then_some(())?;
                self.function(Self::function_name(&name)?)
            }
            _ if GREEK.contains(&&*name) => Some(self.subscripted(Node::Symbol(name))),
            _ => self.function(Self::function_name(&name)?),
        }
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
            let mut arguments = vec![reader.function_argument()?];
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

    /// A matrix: rows between `\\`, cells between `&`.
    fn environment(&mut self) -> Option<Node> {
        let kind = self.environment_name("\\begin ")?;
        if !kind.ends_with("matrix") && kind != "array" {
            return None;
        }
        if kind == "array" && self.eat("{") {
            while self.peek()? != '}' {
                self.at += 1;
            }
            self.at += 1;
        }
        self.brackets += 1;
        let mut rows = vec![vec![self.deeper(Self::sum)?]];
        loop {
            if self.eat("\\\\") {
                // A line break may end the last row.
                if self.eat("\\end ") {
                    break;
                }
                rows.push(vec![self.deeper(Self::sum)?]);
            } else if self.eat("&") {
                let cell = self.deeper(Self::sum)?;
                rows.last_mut()?.push(cell);
            } else {
                self.eat("\\end ").then_some(())?;
                break;
            }
        }
        self.brackets -= 1;
        (self.environment_name("")? == kind).then_some(Node::Matrix(rows))
    }

    fn environment_name(&mut self, before: &str) -> Option<String> {
        (self.eat(before) && self.eat("{")).then_some(())?;
        let name: String =
            self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        self.at += name.len();
        self.eat("}").then_some(name)
    }
}

fn is_minus_one(node: &Node) -> bool {
    *node == super::negated(Node::whole(1))
}
