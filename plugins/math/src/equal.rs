//! When two answers are the same.
//!
//! Expressions are compared by value at a few fixed points, exactly where they are rational; what encloses them by
//! shape.

mod chain;
mod point;
mod region;
mod several;
mod unit;

use std::cell::Cell;

use crate::canon::canon;
use crate::node::{Constant, Node, Sign};
use crate::value::near::Likeness;
use crate::value::{Point, Value};
use point::{Domain, POINTS};

/// How strict a comparison is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strictness {
    /// A unit, a base or a percent sign that only one side has counts.
    pub units: bool,
    /// Where a side is written in decimals, this relative difference does not count.
    pub tolerance: f64,
}

/// Steps that one comparison may take.
const WORK: u64 = 400_000;
/// Deepest chain of readings of one answer as another.
const MAX_DEPTH: u32 = 60;

/// Whether an answer is the same as the expected one.
pub fn equal(gold: &Node, answer: &Node, strictness: Strictness) -> bool {
    let comparison = Comparison { strictness, work: Cell::new(WORK), depth: Cell::new(0) };
    comparison.nodes(gold, answer)
}

struct Comparison {
    strictness: Strictness,
    work: Cell<u64>,
    depth: Cell<u32>,
}

/// A node, and the sign that `±` has in it.
#[derive(Clone, Copy)]
struct Item<'a> {
    node: &'a Node,
    upper: bool,
}

impl Comparison {
    fn nodes(&self, gold: &Node, answer: &Node) -> bool {
        if self.depth.get() >= MAX_DEPTH || self.work.get() == 0 {
            return false;
        }
        self.depth.set(self.depth.get() + 1);
        let same = self.read_otherwise(gold, answer);
        self.depth.set(self.depth.get() - 1);
        same
    }

    /// Compares what one of the two can be read as, else both as they are.
    fn read_otherwise(&self, gold: &Node, answer: &Node) -> bool {
        if let Some(readings) = self.readings(gold) {
            return readings.iter().any(|gold| self.nodes(gold, answer));
        }
        if let Some(readings) = self.readings(answer) {
            return readings.iter().any(|answer| self.nodes(gold, answer));
        }
        if let Some(gold) = multiplied(gold) {
            return self.nodes(&gold, answer);
        }
        if let Some(answer) = multiplied(answer) {
            return self.nodes(gold, &answer);
        }
        if matches!(gold, Node::Unit(..)) || matches!(answer, Node::Unit(..)) {
            return self.units(gold, answer);
        }
        if let Some(same) = self.regions(gold, answer) {
            return same;
        }
        if let Some((gold, answer)) = self.intervals(gold, answer) {
            return self.nodes(&gold, &answer);
        }
        if let Some(same) = self.assignments(gold, answer) {
            return same;
        }
        self.shapes(gold, answer)
    }

    /// Compares two answers by what encloses them.
    fn shapes(&self, gold: &Node, answer: &Node) -> bool {
        match (gold, answer) {
            (Node::Text(gold), Node::Text(answer)) => gold == answer,
            (Node::Matrix(gold), Node::Matrix(answer)) => {
                gold.len() == answer.len()
                    && gold.iter().zip(answer).all(|(gold, answer)| self.in_order(gold, answer))
            }
            (Node::Cases(gold), Node::Cases(answer)) => self.cases(gold, answer),
            // A vector is written as a column or as coordinates.
            (Node::Matrix(rows), Node::Bracket('(', ')', items))
            | (Node::Bracket('(', ')', items), Node::Matrix(rows)) => self.vector(rows, items),
            (Node::Bracket('(', ')', items), other) | (other, Node::Bracket('(', ')', items))
                if several::has_units(other) =>
            {
                self.components(other, items)
            }
            (Node::Matrix(rows), other) | (other, Node::Matrix(rows))
                if several::has_units(other) =>
            {
                let cells: Vec<Node> = rows.iter().flatten().cloned().collect();
                rows.iter().all(|row| row.len() == 1) && self.components(other, &cells)
            }
            (Node::Bracket(open, close, gold), Node::Bracket(other, end, answer)) => {
                open == other && close == end && self.in_order(gold, answer)
            }
            (Node::Union(gold), Node::Union(answer)) => {
                self.unordered(&whole(gold), &whole(answer))
            }
            (Node::Such(gold), Node::Such(answer)) => self.unordered(&whole(gold), &whole(answer)),
            (Node::Without(all, but), Node::Without(other, less)) => {
                self.nodes(all, other) && self.nodes(but, less)
            }
            (Node::Ratio(parts), Node::Ratio(others)) => {
                // `4:20` may be a time, which `2:10` is not.
                let times = gold.may_be_time() || answer.may_be_time();
                if times { self.in_order(parts, others) } else { self.ratios(parts, others) }
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

    /// Whether each of one side has its own equal on the other.
    fn unordered(&self, gold: &[Item], answer: &[Item]) -> bool {
        const MAX_ITEMS: usize = 40;
        if gold.len() != answer.len() || gold.len() > MAX_ITEMS {
            return false;
        }
        let mut free: Vec<Item> = answer.to_vec();
        gold.iter().all(|gold| {
            let found = free.iter().position(|answer| self.items(*gold, *answer));
            found.map(|at| free.remove(at)).is_some()
        })
    }

    fn items(&self, gold: Item, answer: Item) -> bool {
        if gold.node.has_two_signs() || answer.node.has_two_signs() {
            return self.scalars(gold, answer);
        }
        self.nodes(gold.node, answer.node)
    }

    /// Compares two expressions at a few points; where their values do not decide, by their writing.
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
        let domain = Domain::of(&[gold.node, answer.node]);
        let decimal = gold.node.has_decimal() || answer.node.has_decimal();
        let tolerance = if decimal { self.strictness.tolerance } else { 0.0 };
        let points = domain.points();
        let (mut same, mut doubtful) = (0, false);
        for number in 0..points {
            let at = |item: Item| self.value_at(item, &domain, number);
            match (at(gold), at(answer)) {
                (Some(gold), Some(answer)) => match gold.likeness(&answer) {
                    Likeness::Same => same += 1,
                    _ if tolerance > 0.0 && answer.close(&gold, tolerance) => same += 1,
                    Likeness::Unknown => {}
                    Likeness::Different => return false,
                },
                // Outside the domain of both.
                (None, None) => {}
                _ => doubtful = true,
            }
        }
        // Half of the points decide; fewer say too little.
        if same * 2 >= points && !doubtful {
            return true;
        }
        let same_sign = gold.upper == answer.upper || !gold.node.has_two_signs();
        same_sign && canon(gold.node) == canon(answer.node)
    }

    /// The value of an item at one of the points.
    fn value_at(&self, item: Item, domain: &Domain, number: u64) -> Option<Value> {
        let variable = |name: &str| domain.coordinate(name, number);
        let max_bits = domain.max_bits();
        Point { upper: item.upper, variable: &variable, max_bits, work: &self.work }
            .value(item.node)
    }

    /// The value of an expression without variables.
    fn constant(&self, node: &Node) -> Option<Value> {
        if node.has_symbols() || node.has_two_signs() {
            return None;
        }
        self.value_at(Item { node, upper: true }, &Domain::default(), 0)
    }

    /// Whether `left - right` is a constant multiple of `other_left - other_right`, and that constant positive.
    fn proportional(
        &self,
        (left, right): (&Node, &Node),
        (other_left, other_right): (&Node, &Node),
    ) -> Option<bool> {
        let difference = |left: &Node, right: &Node| {
            Node::Sum(vec![(Sign::Plus, left.clone()), (Sign::Minus, right.clone())])
        };
        let ratio = Node::Quotient(
            Box::new(difference(other_left, other_right)),
            Box::new(difference(left, right)),
        );
        let domain = Domain::of(&[&ratio]);
        let values: Vec<Value> = (0..POINTS)
            .filter_map(|number| self.value_at(Item { node: &ratio, upper: true }, &domain, number))
            .collect();
        let (first, rest) = values.split_first()?;
        let same = |value: &Value| value.likeness(first) == Likeness::Same;
        let constant = rest.len() as u64 * 2 >= POINTS && rest.iter().all(same);
        first.sign().filter(|sign| constant && *sign != 0).map(|sign| sign > 0)
    }
}

/// A matrix with a factor or a sign before it, or turned, as a matrix.
fn multiplied(node: &Node) -> Option<Node> {
    let (rows, factor) = match node {
        Node::Sum(terms) => match &terms[..] {
            [(Sign::Minus, Node::Matrix(rows))] => (rows, Node::whole(-1)),
            _ => return None,
        },
        Node::Power(base, exponent) => return turned(base, exponent),
        Node::Quotient(above, below) => {
            let Node::Matrix(rows) = &**above else { return None };
            (rows, Node::Quotient(Box::new(Node::whole(1)), below.clone()))
        }
        Node::Product(factors) => {
            let at = factors.iter().position(|factor| matches!(factor, Node::Matrix(_)))?;
            let Node::Matrix(rows) = &factors[at] else { return None };
            let rest = factors.iter().enumerate().filter(|(other, _)| *other != at);
            let rest: Vec<Node> = rest.map(|(_, factor)| factor.clone()).collect();
            let matrix = |node: &Node| node.any(&|node| matches!(node, Node::Matrix(_)));
            if rest.iter().any(matrix) {
                return None;
            }
            (rows, Node::Product(rest))
        }
        _ => return None,
    };
    let cell = |cell: &Node| Node::Product(vec![factor.clone(), cell.clone()]);
    Some(Node::Matrix(rows.iter().map(|row| row.iter().map(cell).collect()).collect()))
}

/// A matrix with rows for columns: to the power of T.
fn turned(base: &Node, exponent: &Node) -> Option<Node> {
    if !matches!(exponent.symbol(), Some("T" | "t")) {
        return None;
    }
    let rows: Vec<Vec<Node>> = match base {
        Node::Matrix(rows) => rows.clone(),
        Node::Bracket('(', ')', items) => return Some(Node::Bracket('(', ')', items.clone())),
        _ => return None,
    };
    let width = rows.first()?.len();
    if rows.iter().any(|row| row.len() != width) {
        return None;
    }
    let column = |at: usize| rows.iter().map(|row| row[at].clone()).collect();
    Some(Node::Matrix((0..width).map(column).collect()))
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

fn radians(degrees: &Node) -> Node {
    let turn = Node::Quotient(Box::new(Node::Constant(Constant::Pi)), Box::new(Node::whole(180)));
    Node::Product(vec![degrees.clone(), turn])
}
