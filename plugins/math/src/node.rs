//! What an answer is made of, once it is read.

use std::collections::BTreeSet;

use r1x_plugin::rational::Rational;

/// A sign in a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `±`
    PlusMinus,
    /// `∓`
    MinusPlus,
}

/// Constants with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// π
    Pi,
    /// e
    E,
    /// The square root of -1.
    I,
    /// ∞
    Infinity,
}

/// A relation between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Equal,
    /// `≠`
    Unequal,
    /// `<`
    Less,
    /// `≤`
    AtMost,
    /// `>`
    Greater,
    /// `≥`
    AtLeast,
    /// `∈`
    In,
    /// `≈`
    About,
}

/// An answer or a piece of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A rational number; whether it was written with a decimal point.
    Number(Rational, bool),
    /// Digits in a base, as written, and their value.
    Based(String, u32, Rational),
    /// A constant.
    Constant(Constant),
    /// A variable.
    Symbol(String),
    /// Terms with their signs.
    Sum(Vec<(Sign, Node)>),
    /// Factors.
    Product(Vec<Node>),
    /// Above and below the line.
    Quotient(Box<Node>, Box<Node>),
    /// Base and exponent.
    Power(Box<Node>, Box<Node>),
    /// The degree and what is under the root.
    Root(Box<Node>, Box<Node>),
    /// A function by name, its arguments.
    Function(&'static str, Vec<Node>),
    /// Several answers, in no order.
    List(Vec<Node>),
    /// A set, in no order.
    Set(Vec<Node>),
    /// Coordinates or an interval: what opens it, what closes it, what stands in it.
    Bracket(char, char, Vec<Node>),
    /// Parts of a union.
    Union(Vec<Node>),
    /// What of the first is not in the second.
    Without(Box<Node>, Box<Node>),
    /// Those that meet all conditions.
    Such(Vec<Node>),
    /// Parts to one another.
    Ratio(Vec<Node>),
    /// Rows.
    Matrix(Vec<Vec<Node>>),
    /// Values, each with the case in which it holds.
    Cases(Vec<Vec<Node>>),
    /// Expressions and the relations between neighbours.
    Chain(Vec<Node>, Vec<Relation>),
    /// A value with a unit, spelled in one way.
    Unit(Box<Node>, String),
    /// Words.
    Text(String),
}

impl Node {
    /// A whole number.
    pub fn whole(value: i128) -> Self {
        Self::Number(Rational::from(value), false)
    }

    /// All real numbers.
    pub fn reals() -> Self {
        let infinity = Self::Constant(Constant::Infinity);
        let below = Self::Sum(vec![(Sign::Minus, infinity.clone())]);
        Self::Bracket('(', ')', vec![below, infinity])
    }

    /// The variable that this is.
    pub fn symbol(&self) -> Option<&str> {
        match self {
            Self::Symbol(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it can be read as a time of day: `9:24` is 9 to 24, or twenty-four past nine.
    pub fn may_be_time(&self) -> bool {
        let number = |node: &Node| match node {
            Self::Number(value, false) => value.whole()?.to_u64(),
            _ => None,
        };
        match self {
            Self::Ratio(parts) => match &parts[..] {
                [hour, minute] => {
                    number(hour).is_some_and(|hour| hour <= 24)
                        && number(minute)
                            .is_some_and(|minute| minute == 0 || (10..60).contains(&minute))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether a variable occurs in it.
    pub fn has_symbols(&self) -> bool {
        self.any(&|node| node.symbol().is_some())
    }

    /// The nodes directly inside.
    pub fn children(&self) -> Vec<&Node> {
        match self {
            Self::Number(..)
            | Self::Based(..)
            | Self::Constant(_)
            | Self::Symbol(_)
            | Self::Text(_) => Vec::new(),
            Self::Sum(terms) => terms.iter().map(|(_, term)| term).collect(),
            Self::Product(items)
            | Self::Function(_, items)
            | Self::List(items)
            | Self::Set(items)
            | Self::Bracket(_, _, items)
            | Self::Union(items)
            | Self::Such(items)
            | Self::Ratio(items)
            | Self::Chain(items, _) => items.iter().collect(),
            Self::Quotient(a, b) | Self::Power(a, b) | Self::Root(a, b) | Self::Without(a, b) => {
                vec![a, b]
            }
            Self::Matrix(rows) | Self::Cases(rows) => rows.iter().flatten().collect(),
            Self::Unit(value, _) => vec![value],
        }
    }

    /// Whether some node inside, or this one, is like that.
    pub fn any(&self, is: &dyn Fn(&Node) -> bool) -> bool {
        is(self) || self.children().into_iter().any(|child| child.any(is))
    }

    /// Whether a `±` stands somewhere in it.
    pub fn has_two_signs(&self) -> bool {
        self.any(&|node| match node {
            Self::Sum(terms) => {
                terms.iter().any(|(sign, _)| matches!(sign, Sign::PlusMinus | Sign::MinusPlus))
            }
            _ => false,
        })
    }

    /// Whether a number in it was written with a decimal point.
    pub fn has_decimal(&self) -> bool {
        self.any(&|node| matches!(node, Self::Number(_, true)))
    }

    /// Adds the names of the variables in it.
    pub fn add_symbols(&self, names: &mut BTreeSet<String>) {
        if let Self::Symbol(name) = self {
            names.insert(name.clone());
        }
        for child in self.children() {
            child.add_symbols(names);
        }
    }
}
