//! The grammar of answers: sums, products, fractions, roots, functions, and what encloses them.
//!
//! Reading is by recursive descent, with limits on length, depth and size, because the text comes from a model that
//! is rewarded for finding holes.

mod environment;
mod name;
mod number;
mod primary;
mod unit;

use crate::clean::{clean, words_of};
use crate::node::{Node, Relation, Sign};

/// Longest answer, bytes after cleaning.
const MAX_LENGTH: usize = 2000;
/// Deepest nesting.
const MAX_DEPTH: usize = 40;
/// Most nodes.
const MAX_NODES: usize = 600;

/// Reads a whole answer; `None` when it is not mathematics as understood here.
pub fn read(text: &str) -> Option<Node> {
    read_cleaned(&clean(text))
}

/// [`read`] of a cleaned answer.
pub fn read_cleaned(cleaned: &str) -> Option<Node> {
    if cleaned.len() > MAX_LENGTH {
        return None;
    }
    if cleaned.contains("real") && ALL_REALS.contains(&&*words_of(cleaned)) {
        return Some(Node::reals());
    }
    let mut reader = Reader {
        chars: cleaned.chars().collect(),
        at: 0,
        depth: 0,
        nodes: 0,
        brackets: 0,
        bars: 0,
    };
    let node = reader.list()?;
    reader.skip_spaces();
    (reader.at == reader.chars.len()).then_some(node)
}

/// Words for all real numbers.
const ALL_REALS: &[&str] = &[
    "all real numbers",
    "all reals",
    "all real x",
    "all real values",
    "real numbers",
    "the real numbers",
    "any real number",
    "the set of all real numbers",
    "set of all real numbers",
    "all real numbers x",
];

struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
    nodes: usize,
    /// Brackets open here: inside them a comma separates, outside it may group thousands.
    brackets: usize,
    /// Bars open here, which the next bar closes.
    bars: usize,
}

const RELATIONS: &[(&str, Relation)] = &[
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("!=", Relation::Unequal),
    ("==", Relation::Equal),
    ("=", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::Greater),
    ("\\le ", Relation::AtMost),
    ("\\ge ", Relation::AtLeast),
    ("\\ne ", Relation::Unequal),
    ("\\in ", Relation::In),
    ("\\equiv ", Relation::Equal),
    ("\\approx ", Relation::About),
];

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, c)| self.chars.get(self.at + offset) == Some(&c))
    }

    /// Steps over a text, if it is next after spaces.
    fn eat(&mut self, text: &str) -> bool {
        self.skip_spaces();
        let found = self.starts_with(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    /// Counts a node; `None` when there are too many.
    fn count(&mut self) -> Option<()> {
        self.nodes += 1;
        (self.nodes <= MAX_NODES).then_some(())
    }

    /// Reads something one level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let result = if self.depth > MAX_DEPTH { None } else { read(self) };
        self.depth -= 1;
        result
    }

    /// Items between commas, semicolons, "and", "or".
    fn list(&mut self) -> Option<Node> {
        let mut items = vec![self.item()?];
        let mut either = true;
        while let Some(word) = self.separator() {
            either &= word == "or";
            items.push(self.item()?);
        }
        let bounds = |item: &Node| matches!(item, Node::Chain(_, relations) if !relations.contains(&Relation::Equal));
        match items.len() {
            1 => items.pop(),
            // "x < 2 or x > 3" is one answer in two parts.
            _ if either && items.iter().all(bounds) => Some(Node::Union(items)),
            _ => Some(Node::List(items)),
        }
    }

    /// Steps over what separates two answers: a comma, a semicolon, a word, or a mark and a word.
    fn separator(&mut self) -> Option<&'static str> {
        let mark = self.eat(",") || self.eat(";");
        self.conjunction().or(mark.then_some(","))
    }

    /// Steps over "and" or "or", bare or as text.
    fn conjunction(&mut self) -> Option<&'static str> {
        self.skip_spaces();
        for word in ["and", "or"] {
            let next = self.chars.get(self.at + word.len());
            if self.starts_with(word) && !next.is_some_and(char::is_ascii_alphabetic) {
                self.at += word.len();
                return Some(word);
            }
        }
        let start = self.at;
        let word = self.text().and_then(|text| match text.trim_start_matches(',').trim() {
            "and" => Some("and"),
            "or" => Some("or"),
            _ => None,
        });
        if word.is_none() {
            self.at = start;
        }
        word
    }

    /// One answer: a relation with its unit, or words.
    fn item(&mut self) -> Option<Node> {
        self.count()?;
        if let Some(words) = self.whole_words() {
            return Some(Node::Text(words));
        }
        // "= 5" and "≈ 5" go on from what was asked.
        let _ = self.eat("=") || self.eat("\\approx ");
        let money = self.money();
        let node = self.relation()?;
        let written = self.unit();
        // "$5 dollars" says it twice, "$5 per hour" does not.
        let unit = match (money, written) {
            (Some(money), Some(unit)) if unit.starts_with('/') => Some(format!("{money} {unit}")),
            (Some(money), _) => Some(money.to_owned()),
            (None, unit) => unit,
        };
        Some(match unit {
            Some(unit) => Node::Unit(Box::new(node), unit),
            None => node,
        })
    }

    fn relation(&mut self) -> Option<Node> {
        let first = match self.label() {
            Some(label) => label,
            None => self.union()?,
        };
        let (mut items, mut relations) = (vec![first], Vec::new());
        loop {
            self.skip_spaces();
            let Some((mark, relation)) = RELATIONS.iter().find(|(mark, _)| self.starts_with(mark))
            else {
                break;
            };
            self.at += mark.chars().count();
            relations.push(*relation);
            // Money in the middle of an equation: "cost = $5".
            let money = self.money();
            let value = self.union()?;
            items.push(match money {
                Some(money) => Node::Unit(Box::new(value), money.to_owned()),
                None => value,
            });
        }
        match items.len() {
            1 => items.pop(),
            _ => Some(Node::Chain(items, relations)),
        }
    }

    /// Parts of a union, what is taken from them, parts to one another.
    fn union(&mut self) -> Option<Node> {
        let mut parts = vec![self.infix()?];
        while self.eat("\\cup ")
            || (matches!(parts.last(), Some(Node::Bracket(..) | Node::Without(..)))
                && self.eat("U"))
        {
            parts.push(self.infix()?);
        }
        let mut node = match parts.len() {
            1 => parts.pop()?,
            _ => Node::Union(parts),
        };
        while self.eat("\\setminus ") {
            node = Node::Without(Box::new(node), Box::new(self.infix()?));
        }
        if self.bars == 0 && self.starts_ratio() {
            let mut parts = vec![node];
            while self.starts_ratio() {
                self.eat(":");
                parts.push(self.sum()?);
            }
            node = Node::Ratio(parts);
        }
        Some(node)
    }

    fn starts_ratio(&mut self) -> bool {
        self.skip_spaces();
        self.starts_with(":") && !self.starts_with(":=")
    }

    /// A sum, or two with `\over`, `\choose` or `\bmod` between them.
    fn infix(&mut self) -> Option<Node> {
        let left = self.sum()?;
        if self.eat("\\over ") {
            return Some(Node::Quotient(Box::new(left), Box::new(self.sum()?)));
        }
        if self.eat("\\choose ") {
            return Some(Node::Function("binom", vec![left, self.sum()?]));
        }
        if self.eat("\\bmod ") {
            return Some(Node::Function("mod", vec![left, self.sum()?]));
        }
        Some(left)
    }

    fn sign(&mut self) -> Option<Sign> {
        // "+-" is how "±" is typed, before the single signs.
        let signs = [
            ("\\pm ", Sign::PlusMinus),
            ("\\mp ", Sign::MinusPlus),
            ("+/-", Sign::PlusMinus),
            ("+", Sign::Plus),
            ("-", Sign::Minus),
        ];
        signs.into_iter().find(|(mark, _)| self.eat(mark)).map(|(_, sign)| sign)
    }

    /// Terms with signs.
    fn sum(&mut self) -> Option<Node> {
        self.deeper(|reader| {
            let first = reader.sign();
            let mut terms = vec![(first.unwrap_or(Sign::Plus), reader.term()?)];
            while let Some(sign) = reader.sign() {
                reader.count()?;
                terms.push((sign, reader.term()?));
            }
            match (terms.len(), first) {
                (1, None | Some(Sign::Plus)) => terms.pop().map(|(_, term)| term),
                _ => Some(Node::Sum(terms)),
            }
        })
    }

    /// A product, which may have a sign of its own: "3 + -2".
    fn term(&mut self) -> Option<Node> {
        let negative = self.eat("-");
        let product = self.product()?;
        Some(if negative { negated(product) } else { product })
    }

    /// Factors, written with signs or side by side.
    fn product(&mut self) -> Option<Node> {
        let mut value = self.factor()?;
        loop {
            self.count()?;
            let cross = self.eat("×");
            if cross || self.eat("*") || self.eats_letter_times(&value) {
                let sign = self.eat("-");
                let factor = self.factor()?;
                if cross && is_vector(&factor) {
                    value = Node::Function("cross", vec![value, factor]);
                    continue;
                }
                value = times(value, if sign { negated(factor) } else { factor });
            } else if !self.starts_with("//") && self.eat("/") {
                let sign = self.eat("-");
                let below = self.factor()?;
                let below = if sign { negated(below) } else { below };
                value = Node::Quotient(Box::new(value), Box::new(below));
            } else if self.starts_factor() {
                let factor = self.factor()?;
                value = match mixed(&value, &factor) {
                    Some(mixed) => mixed,
                    None => self.side_by_side(value, factor)?,
                };
            } else {
                return Some(value);
            }
        }
    }

    /// Two factors without a sign between them. Two numbers are one only as in "1 4/5".
    fn side_by_side(&mut self, left: Node, right: Node) -> Option<Node> {
        match (&left, &right) {
            (Node::Number(whole, false), Node::Number(above, false)) => {
                let below = if self.eat("/") { self.factor()? } else { return None };
                let fraction = Node::Quotient(Box::new(right.clone()), Box::new(below));
                let is_mixed = whole.whole().is_some() && above.whole().is_some();
                is_mixed.then(|| mixed(&left, &fraction)).flatten()
            }
            (_, Node::Number(..)) if !matches!(left, Node::Symbol(_)) => None,
            _ => Some(times(left, right)),
        }
    }

    /// Whether the next thing can be multiplied with what stands before it.
    fn starts_factor(&mut self) -> bool {
        self.skip_spaces();
        match self.peek() {
            None => false,
            Some('\\') => self.starts_command(),
            Some(c) if c.is_ascii_alphabetic() => !self.is_unit_word() && !self.is_conjunction(),
            Some('|') => self.bars == 0,
            Some(c) => c.is_ascii_digit() || matches!(c, '(' | '{' | '.' | '⌊' | '⌈'),
        }
    }

    /// Steps over an `x` that stands for a times sign: "1.5 x 10^3", "3 x 4".
    fn eats_letter_times(&mut self, value: &Node) -> bool {
        self.skip_spaces();
        let spaced = self.at > 0 && self.chars[self.at - 1] == ' ';
        let mut after = self.at + 1;
        while self.chars.get(after) == Some(&' ') {
            after += 1;
        }
        let digit = self.chars.get(after).is_some_and(char::is_ascii_digit);
        let power = self.chars[after.min(self.chars.len())..].starts_with(&['1', '0', '^']);
        let found = matches!(value, Node::Number(..))
            && matches!(self.peek(), Some('x' | 'X'))
            && (power || digit && spaced && after > self.at + 1);
        if found {
            self.at = after;
        }
        found
    }

    fn is_conjunction(&mut self) -> bool {
        let start = self.at;
        let found = self.conjunction().is_some();
        self.at = start;
        found
    }

    /// A primary with its powers and factorials.
    fn factor(&mut self) -> Option<Node> {
        self.deeper(|reader| {
            reader.count()?;
            let mut value = reader.primary()?;
            loop {
                reader.skip_spaces();
                if reader.starts_with("^") && !reader.is_degree() {
                    if let Some(primed) = reader.raised_prime(&value) {
                        value = primed;
                        continue;
                    }
                    reader.at += 1;
                    let exponent = reader.script()?;
                    value = Node::Power(Box::new(value), Box::new(exponent));
                } else if reader.starts_with("!!") && !reader.starts_with("!!=") {
                    reader.at += 2;
                    value = Node::Function("double factorial", vec![value]);
                } else if reader.starts_with("!") && !reader.starts_with("!=") {
                    reader.at += 1;
                    value = Node::Function("factorial", vec![value]);
                } else {
                    return Some(value);
                }
                reader.count()?;
            }
        })
    }

    /// What follows `^` or `_`: a group, or one thing with its sign.
    fn script(&mut self) -> Option<Node> {
        self.skip_spaces();
        if self.starts_with("{") {
            return self.group();
        }
        if self.eat("-") {
            return Some(negated(self.script_value()?));
        }
        self.script_value()
    }

    /// `x^2y` is a square times y: only a number takes more than one character.
    fn script_value(&mut self) -> Option<Node> {
        match self.peek()? {
            c if c.is_ascii_digit() => self.plain_number(),
            c if c.is_ascii_alphabetic() => {
                self.at += 1;
                Some(Self::letter(c))
            }
            _ => self.deeper(Self::primary),
        }
    }

    /// The contents of braces.
    fn group(&mut self) -> Option<Node> {
        if !self.eat("{") {
            return None;
        }
        let bars = std::mem::take(&mut self.bars);
        let inside = self.deeper(Self::list)?;
        self.bars = bars;
        self.eat("}").then_some(inside)
    }
}

/// Whether a factor is a vector, of which there are two products.
fn is_vector(node: &Node) -> bool {
    node.symbol().is_some_and(|name| name.starts_with("vec ") || name.starts_with("unit "))
}

fn times(left: Node, right: Node) -> Node {
    match left {
        Node::Product(mut factors) => {
            factors.push(right);
            Node::Product(factors)
        }
        left => Node::Product(vec![left, right]),
    }
}

fn negated(node: Node) -> Node {
    Node::Sum(vec![(Sign::Minus, node)])
}

/// A whole number and a proper fraction side by side are their sum.
fn mixed(whole: &Node, fraction: &Node) -> Option<Node> {
    let (Node::Number(whole, false), Node::Quotient(above, below)) = (whole, fraction) else {
        return None;
    };
    let (Node::Number(above, false), Node::Number(below, false)) = (&**above, &**below) else {
        return None;
    };
    let fits = whole.whole().is_some() && above.whole().is_some() && above < below;
    let value = whole.plus(&above.over(below)?)?;
    fits.then_some(Node::Number(value, false))
}

#[cfg(test)]
mod tests;
