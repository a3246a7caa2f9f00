//! When two answers are the same.
//!
//! Expressions are compared by value at a few fixed points, exactly where they are rational; what encloses
//! them by shape. Must not know how answers are found or read.

use std::collections::BTreeSet;

use r1x_plugin::rational::Rational;

use crate::node::{Constant, Node, Relation, Sign};
use crate::value::{Point, Value};

/// How strict a comparison is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strictness {
    /// A unit, a base or a percent sign that only one side has counts.
    pub units: bool,
    /// Where a side is written in decimals, this relative difference does not count.
    pub tolerance: f64,
}

/// Points at which expressions with variables are compared.
const POINTS: u64 = 6;
/// Largest exact number with and without variables, bits.
const MAX_BITS: (u64, u64) = (512, 2048);

/// Whether an answer is the same as the expected one.
pub fn equal(gold: &Node, answer: &Node, strictness: Strictness) -> bool {
    Comparison { strictness }.nodes(gold, answer)
}

struct Comparison {
    strictness: Strictness,
}

/// A node, and the sign that `±` has in it.
#[derive(Clone, Copy)]
struct Item<'a> {
    node: &'a Node,
    upper: bool,
}

impl Comparison {
    fn nodes(&self, gold: &Node, answer: &Node) -> bool {
        if let Some(gold) = multiplied(gold) {
            return self.nodes(&gold, answer);
        }
        if let Some(answer) = multiplied(answer) {
            return self.nodes(gold, &answer);
        }
        if matches!(gold, Node::Unit(..)) || matches!(answer, Node::Unit(..)) {
            return self.units(gold, answer);
        }
        if let Some((gold, answer)) = self.intervals(gold, answer) {
            return self.nodes(&gold, &answer);
        }
        match (gold, answer) {
            (Node::Text(gold), Node::Text(answer)) => gold == answer,
            (Node::Matrix(gold), Node::Matrix(answer)) => {
                gold.len() == answer.len()
                    && gold.iter().zip(answer).all(|(gold, answer)| self.in_order(gold, answer))
            }
            // A vector is written as a column or as coordinates.
            (Node::Matrix(rows), Node::Bracket('(', ')', items))
            | (Node::Bracket('(', ')', items), Node::Matrix(rows)) => self.vector(rows, items),
            (Node::Bracket(open, close, gold), Node::Bracket(other, end, answer)) => {
                open == other && close == end && self.in_order(gold, answer)
            }
            (Node::Union(gold), Node::Union(answer)) => {
                self.unordered(&whole(gold), &whole(answer))
            }
            (Node::Chain(..), _) | (_, Node::Chain(..)) => self.chains(gold, answer),
            _ => {
                let (gold, answer) = (items(gold), items(answer));
                match (&gold[..], &answer[..]) {
                    ([gold], [answer]) => self.scalars(*gold, *answer),
                    _ => self.unordered(&gold, &answer),
                }
            }
        }
    }

    fn in_order(&self, gold: &[Node], answer: &[Node]) -> bool {
        gold.len() == answer.len()
            && gold.iter().zip(answer).all(|(gold, answer)| self.nodes(gold, answer))
    }

    fn vector(&self, rows: &[Vec<Node>], items: &[Node]) -> bool {
        let cells: Vec<Node> = rows.iter().flatten().cloned().collect();
        (rows.len() == 1 || rows.iter().all(|row| row.len() == 1)) && self.in_order(&cells, items)
    }

    /// Whether each of one side has its own equal on the other.
    fn unordered(&self, gold: &[Item], answer: &[Item]) -> bool {
        const MAX_ITEMS: usize = 40;
        if gold.len() != answer.len() || gold.len() > MAX_ITEMS {
            return false;
        }
        let mut free: Vec<Item> = answer.to_vec();
        gold.iter().all(|gold| {
            let found = free.iter().position(|answer| self.items(*gold, *answer));
            found.map(|at| free.swap_remove(at)).is_some()
        })
    }

    fn items(&self, gold: Item, answer: Item) -> bool {
        if gold.node.has_two_signs() || answer.node.has_two_signs() {
            return self.scalars(gold, answer);
        }
        self.nodes(gold.node, answer.node)
    }

    /// Values with units, of which one may be missing.
    fn units(&self, gold: &Node, answer: &Node) -> bool {
        let (value, unit) = split_unit(gold);
        let (other, other_unit) = split_unit(answer);
        if self.nodes(value, other) && (unit == other_unit || self.may_lack(unit, other_unit)) {
            return true;
        }
        // 50 % is 50 or 0.5 where the other side has no sign.
        let hundredth =
            |node: &Node| Node::Quotient(Box::new(node.clone()), Box::new(Node::whole(100)));
        match (unit, other_unit) {
            (Some("percent"), None) => self.nodes(&hundredth(value), other),
            (None, Some("percent")) => self.nodes(value, &hundredth(other)),
            (Some("degree"), None) => self.nodes(&radians(value), other),
            (None, Some("degree")) => self.nodes(value, &radians(other)),
            (Some("dollar"), Some("cent")) => self.nodes(value, &hundredth(other)),
            (Some("cent"), Some("dollar")) => self.nodes(&hundredth(value), other),
            _ => false,
        }
    }

    fn may_lack(&self, unit: Option<&str>, other: Option<&str>) -> bool {
        !self.strictness.units && (unit.is_none() || other.is_none())
    }

    /// Both as intervals, where one is written as inequalities.
    fn intervals(&self, gold: &Node, answer: &Node) -> Option<(Node, Node)> {
        let (of_gold, of_answer) = (interval(gold), interval(answer));
        let is_interval = |node: &Node| {
            let node = without_variable(node).unwrap_or(node);
            matches!(node, Node::Bracket(..) | Node::Union(_))
        };
        match (of_gold, of_answer) {
            (Some(gold), Some(answer)) => Some((gold, answer)),
            (Some(gold), None) if is_interval(answer) => {
                Some((gold, without_variable(answer).unwrap_or(answer).clone()))
            }
            (None, Some(answer)) if is_interval(gold) => {
                Some((without_variable(gold).unwrap_or(gold).clone(), answer))
            }
            _ => None,
        }
    }

    /// Equations and inequalities, of which one side may lack "x =".
    fn chains(&self, gold: &Node, answer: &Node) -> bool {
        let (Node::Chain(sides, relations), Node::Chain(others, other_relations)) = (gold, answer)
        else {
            let (gold, answer) = (
                without_variable(gold).unwrap_or(gold),
                without_variable(answer).unwrap_or(answer),
            );
            let bare = !matches!(gold, Node::Chain(..)) && !matches!(answer, Node::Chain(..));
            return bare && self.nodes(gold, answer);
        };
        if self.in_order(sides, others) && relations == other_relations {
            return true;
        }
        if is_call(gold) || is_call(answer) {
            // The function's name does not matter.
            return matches!((without_variable(gold), without_variable(answer)),
                (Some(gold), Some(answer)) if self.nodes(gold, answer));
        }
        let ([left, right], [other_left, other_right]) = (&sides[..], &others[..]) else {
            return false;
        };
        match (relations[0], other_relations[0]) {
            (Relation::Equal, Relation::Equal) => {
                proportional(left, right, other_left, other_right).is_some()
            }
            (relation, other) => {
                let factor = proportional(left, right, other_left, other_right);
                factor.is_some_and(|positive| {
                    other == if positive { relation } else { flipped(relation) }
                })
            }
        }
    }

    fn scalars(&self, gold: Item, answer: Item) -> bool {
        if let (Node::Based(digits, base, _), Node::Based(others, other_base, _)) =
            (gold.node, answer.node)
        {
            return base == other_base && digits == others;
        }
        // A base that only one side names is forgiven like a unit.
        if let (Node::Based(digits, _, _), Node::Number(other, false))
        | (Node::Number(other, false), Node::Based(digits, _, _)) = (gold.node, answer.node)
        {
            return !self.strictness.units && *digits == other.to_string();
        }
        let mut names = BTreeSet::new();
        gold.node.add_symbols(&mut names);
        answer.node.add_symbols(&mut names);
        let decimal = gold.node.has_decimal() || answer.node.has_decimal();
        let tolerance = if decimal { self.strictness.tolerance } else { 0.0 };
        let same = |gold: &Value, answer: &Value| {
            gold.same(answer) || (tolerance > 0.0 && answer.close(gold, tolerance))
        };
        let points = if names.is_empty() { 1 } else { POINTS };
        let mut compared = 0;
        for number in 0..points {
            match (value_at(gold, number, points), value_at(answer, number, points)) {
                (Some(gold), Some(answer)) if same(&gold, &answer) => compared += 1,
                // Outside the domain of both.
                (None, None) => {}
                _ => return false,
            }
        }
        // Half of the points decide; fewer say too little.
        compared * 2 >= points
    }
}

fn radians(degrees: &Node) -> Node {
    let turn = Node::Quotient(Box::new(Node::Constant(Constant::Pi)), Box::new(Node::whole(180)));
    Node::Product(vec![degrees.clone(), turn])
}

/// A matrix with a factor or a sign before it, as a matrix.
fn multiplied(node: &Node) -> Option<Node> {
    let (rows, factor) = match node {
        Node::Sum(terms) => match &terms[..] {
            [(Sign::Minus, Node::Matrix(rows))] => (rows, Node::whole(-1)),
            _ => return None,
        },
        Node::Product(factors) => {
            let (Node::Matrix(rows), factors) = factors.split_last()? else { return None };
            (rows, Node::Product(factors.to_vec()))
        }
        _ => return None,
    };
    let cell = |cell: &Node| Node::Product(vec![factor.clone(), cell.clone()]);
    Some(Node::Matrix(rows.iter().map(|row| row.iter().map(cell).collect()).collect()))
}

fn whole(nodes: &[Node]) -> Vec<Item<'_>> {
    nodes.iter().map(|node| Item { node, upper: true }).collect()
}

/// The answers in a node: those of a list or a set, and both of a `±`.
fn items(node: &Node) -> Vec<Item<'_>> {
    match node {
        Node::List(nodes) | Node::Set(nodes) => nodes.iter().flat_map(items).collect(),
        _ if node.has_two_signs() => [true, false].map(|upper| Item { node, upper }).to_vec(),
        _ => vec![Item { node, upper: true }],
    }
}

fn split_unit(node: &Node) -> (&Node, Option<&str>) {
    match node {
        Node::Unit(value, unit) => (value, Some(unit)),
        _ => (node, None),
    }
}

/// What a variable is said to be: `x = 5`, `y = 2x + 3`, `x ∈ [0, 1]`.
fn without_variable(node: &Node) -> Option<&Node> {
    match node {
        Node::Chain(sides, relations) => match (&sides[..], &relations[..]) {
            ([Node::Symbol(name), value], [Relation::Equal | Relation::In]) => {
                let itself = |node: &Node| matches!(node, Node::Symbol(other) if other == name);
                (!value.any(&itself)).then_some(value)
            }
            ([value, Node::Symbol(name)], [Relation::Equal]) => {
                let itself = |node: &Node| matches!(node, Node::Symbol(other) if other == name);
                (!value.any(&itself)).then_some(value)
            }
            ([_, value], [Relation::Equal]) if is_call(node) => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// `f(x) = ...`
fn is_call(node: &Node) -> bool {
    match node {
        Node::Chain(sides, _) => match sides.first() {
            Some(Node::Product(call)) => matches!(
                &call[..],
                [Node::Symbol(name), Node::Symbol(_)] if matches!(&**name, "f" | "g" | "h" | "p" | "P")
            ),
            _ => false,
        },
        _ => false,
    }
}

/// Inequalities for one variable as an interval.
fn interval(node: &Node) -> Option<Node> {
    let Node::Chain(sides, relations) = node else { return None };
    let infinity = Node::Constant(Constant::Infinity);
    let bounded = |low: Node, low_open: bool, high: Node, high_open: bool| {
        let open = if low_open { '(' } else { '[' };
        let close = if high_open { ')' } else { ']' };
        Node::Bracket(open, close, vec![low, high])
    };
    let strict = |relation: &Relation| matches!(relation, Relation::Less | Relation::Greater);
    let minus_infinity = Node::Sum(vec![(Sign::Minus, infinity.clone())]);
    let up = |relation: &Relation| matches!(relation, Relation::Less | Relation::AtMost);
    let down = |relation: &Relation| matches!(relation, Relation::Greater | Relation::AtLeast);
    match (&sides[..], &relations[..]) {
        ([Node::Function("abs", inside), bound], [relation])
            if up(relation) && matches!(&inside[..], [Node::Symbol(_)]) =>
        {
            let low = Node::Sum(vec![(Sign::Minus, bound.clone())]);
            Some(bounded(low, strict(relation), bound.clone(), strict(relation)))
        }
        ([Node::Symbol(_), bound], [relation]) if up(relation) => {
            Some(bounded(minus_infinity, true, bound.clone(), strict(relation)))
        }
        ([Node::Symbol(_), bound], [relation]) if down(relation) => {
            Some(bounded(bound.clone(), strict(relation), infinity, true))
        }
        ([bound, Node::Symbol(_)], [relation]) if up(relation) => {
            Some(bounded(bound.clone(), strict(relation), infinity, true))
        }
        ([bound, Node::Symbol(_)], [relation]) if down(relation) => {
            Some(bounded(minus_infinity, true, bound.clone(), strict(relation)))
        }
        ([low, Node::Symbol(_), high], [first, second]) if up(first) && up(second) => {
            Some(bounded(low.clone(), strict(first), high.clone(), strict(second)))
        }
        ([high, Node::Symbol(_), low], [first, second]) if down(first) && down(second) => {
            Some(bounded(low.clone(), strict(second), high.clone(), strict(first)))
        }
        _ => None,
    }
}

fn flipped(relation: Relation) -> Relation {
    match relation {
        Relation::Less => Relation::Greater,
        Relation::AtMost => Relation::AtLeast,
        Relation::Greater => Relation::Less,
        Relation::AtLeast => Relation::AtMost,
        other => other,
    }
}

/// Whether `left - right` is a constant multiple of `other_left - other_right`, and that constant positive.
fn proportional(left: &Node, right: &Node, other_left: &Node, other_right: &Node) -> Option<bool> {
    let difference = |left: &Node, right: &Node| {
        Node::Sum(vec![(Sign::Plus, left.clone()), (Sign::Minus, right.clone())])
    };
    let ratio = Node::Quotient(
        Box::new(difference(other_left, other_right)),
        Box::new(difference(left, right)),
    );
    let values: Vec<Value> = (0..POINTS)
        .filter_map(|number| value_at(Item { node: &ratio, upper: true }, number, POINTS))
        .collect();
    let (first, rest) = values.split_first()?;
    let constant = rest.len() as u64 * 2 >= POINTS && rest.iter().all(|value| value.same(first));
    let size = first.complex()?;
    let sign = size.re.to_f64();
    (constant && size.is_real() && sign != 0.0).then_some(sign > 0.0)
}

/// The value of an item at one of the points.
fn value_at(item: Item, number: u64, points: u64) -> Option<Value> {
    let variable = |name: &str| coordinate(name, number);
    let max_bits = if points == 1 { MAX_BITS.1 } else { MAX_BITS.0 };
    Point { upper: item.upper, variable: &variable, max_bits }.value(item.node)
}

/// What a variable is worth at a point: a fraction between 1/3 and 3, far from round numbers, made of its name.
/// At odd points some variables are negative.
fn coordinate(name: &str, number: u64) -> Rational {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^= hash >> 32;
    let below = 1009 + (hash & 0x3ff);
    let above = below / 3 + (hash >> 10) % (below * 8 / 3);
    let negative = number % 2 == 1 && (hash >> 50) & 1 == 1;
    let value = Rational::new(i128::from(above).into(), i128::from(below).into())
        .unwrap_or_else(|| Rational::from(2));
    if negative { value.negated() } else { value }
}
