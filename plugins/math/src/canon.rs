//! One way of writing an expression: terms and factors in an order of their own, numbers worked out.
//!
//! Two expressions that are written so alike are the same, whether or not they have a value. Variables stay
//! variables: what they are worth plays no part here.

use r1x_plugin::rational::Rational;

use crate::node::{Node, Sign};

/// Largest power of a number that is worked out.
const MAX_POWER: i64 = 64;
/// Longest number that is worked out, bits.
const MAX_BITS: u64 = 512;

/// A piece: its writing, and its value where it is a number.
struct Piece {
    text: String,
    value: Option<Rational>,
}

impl Piece {
    fn number(value: Rational) -> Self {
        Self { text: value.to_string(), value: Some(value) }
    }

    fn text(text: String) -> Self {
        Self { text, value: None }
    }
}

/// The writing of an expression.
pub fn canon(node: &Node) -> String {
    piece(node).text
}

fn joined(items: &[Node]) -> String {
    items.iter().map(canon).collect::<Vec<_>>().join(",")
}

fn sorted(items: &[Node]) -> String {
    let mut texts: Vec<String> = items.iter().map(canon).collect();
    texts.sort();
    texts.join(",")
}

fn piece(node: &Node) -> Piece {
    let text = match node {
        Node::Number(value, _) => return Piece::number(value.clone()),
        Node::Sum(terms) => return sum(terms),
        Node::Product(_) | Node::Quotient(..) => return product(node),
        Node::Power(base, exponent) => return power(base, exponent),
        Node::Based(digits, base, _) => format!("{digits}_{base}"),
        Node::Constant(constant) => format!("{constant:?}"),
        // A vector may do without its arrow.
        Node::Symbol(name) => format!("`{}`", name.strip_prefix("vec ").unwrap_or(name)),
        Node::Root(degree, inside) => format!("root({},{})", canon(degree), canon(inside)),
        Node::Function(name, arguments) => format!("{name}({})", joined(arguments)),
        Node::List(items) => format!("list({})", sorted(items)),
        Node::Set(items) => format!("set({})", sorted(items)),
        Node::Such(items) => format!("such({})", sorted(items)),
        Node::Union(items) => format!("union({})", sorted(items)),
        Node::Bracket(open, close, items) => format!("{open}{}{close}", joined(items)),
        Node::Without(all, but) => format!("without({},{})", canon(all), canon(but)),
        Node::Ratio(parts) => {
            format!("ratio({})", parts.iter().map(canon).collect::<Vec<_>>().join(":"))
        }
        Node::Matrix(rows) => format!("matrix({})", table(rows)),
        Node::Cases(rows) => format!("cases({})", table(rows)),
        Node::Chain(sides, relations) => format!("chain({},{relations:?})", joined(sides)),
        Node::Unit(value, unit) => format!("unit({},{unit})", canon(value)),
        Node::Text(words) => format!("\"{words}\""),
    };
    Piece::text(text)
}

fn table(rows: &[Vec<Node>]) -> String {
    rows.iter().map(|row| joined(row)).collect::<Vec<_>>().join(";")
}

fn within(value: Option<Rational>) -> Option<Rational> {
    value.filter(|value| value.bits() <= MAX_BITS)
}

fn sum(terms: &[(Sign, Node)]) -> Piece {
    let mut constant = Rational::from(0);
    let mut texts = Vec::new();
    for (sign, term) in terms {
        let piece = piece(term);
        let turned = match sign {
            Sign::Minus => piece.value.as_ref().map(Rational::negated),
            Sign::Plus => piece.value.clone(),
            _ => None,
        };
        match turned.and_then(|value| within(constant.plus(&value))) {
            Some(value) => constant = value,
            None => {
                let sign = match sign {
                    Sign::Plus => '+',
                    Sign::Minus => '-',
                    Sign::PlusMinus => '±',
                    Sign::MinusPlus => '∓',
                };
                texts.push(format!("{sign}{}", piece.text));
            }
        }
    }
    if texts.is_empty() {
        return Piece::number(constant);
    }
    texts.sort();
    if !constant.is_zero() {
        texts.push(format!("+{constant}"));
    }
    match &texts[..] {
        [text] if text.starts_with('+') => Piece::text(text[1..].to_owned()),
        _ => Piece::text(format!("({})", texts.concat())),
    }
}

/// Factors above and below the line, and the number before them.
#[derive(Default)]
struct Factors {
    above: Vec<String>,
    below: Vec<String>,
    number: Option<Rational>,
}

impl Factors {
    fn add(&mut self, node: &Node, below: bool) {
        match node {
            Node::Product(factors) => factors.iter().for_each(|factor| self.add(factor, below)),
            Node::Quotient(above, under) => {
                self.add(above, below);
                self.add(under, !below);
            }
            _ => {
                let piece = piece(node);
                let number = self.number.take().unwrap_or_else(|| Rational::from(1));
                let worked = piece.value.as_ref().and_then(|value| {
                    within(if below { number.over(value) } else { number.times(value) })
                });
                if worked.is_none() {
                    if below { &mut self.below } else { &mut self.above }.push(piece.text);
                }
                self.number = Some(worked.unwrap_or(number));
            }
        }
    }
}

fn product(node: &Node) -> Piece {
    let mut factors = Factors::default();
    factors.add(node, false);
    let number = factors.number.unwrap_or_else(|| Rational::from(1));
    if factors.above.is_empty() && factors.below.is_empty() {
        return Piece::number(number);
    }
    factors.above.sort();
    factors.below.sort();
    if number != Rational::from(1) {
        factors.above.insert(0, number.to_string());
    }
    let mut text = factors.above.join("*");
    if !factors.below.is_empty() {
        text = format!("{text}/({})", factors.below.join("*"));
    }
    Piece::text(text)
}

fn power(base: &Node, exponent: &Node) -> Piece {
    let (base, exponent) = (piece(base), piece(exponent));
    let whole = exponent.value.as_ref().and_then(|value| value.whole()?.to_i64());
    let worked = base.value.as_ref().zip(whole).and_then(|(base, power)| {
        let small = power.abs() <= MAX_POWER && !(base.is_zero() && power <= 0);
        within(small.then(|| base.power(power)).flatten())
    });
    match worked {
        Some(value) => Piece::number(value),
        None => Piece::text(format!("({})^({})", base.text, exponent.text)),
    }
}
