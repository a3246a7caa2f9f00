//! Answers of several parts: vectors, cases, ratios, values by the names of variables.
//!
//! Each part is compared as a single expression would be, once it is known which parts belong together.

use std::collections::BTreeMap;

use super::{Comparison, Item, whole};
use crate::node::{Node, Relation};

/// The unit vectors.
const UNITS: [&str; 3] = ["unit i", "unit j", "unit k"];

/// Whether an expression is made of unit vectors.
pub(super) fn has_units(node: &Node) -> bool {
    node.any(&|node| node.symbol().is_some_and(|name| UNITS.contains(&name)))
}

/// An expression with numbers for the unit vectors.
fn with_units(node: &Node, values: [i128; 3]) -> Node {
    let inside = |node: &Node| with_units(node, values);
    let boxed = |node: &Node| Box::new(inside(node));
    match node {
        Node::Symbol(name) => match UNITS.iter().position(|unit| unit == name) {
            Some(at) => Node::whole(values[at]),
            None => node.clone(),
        },
        Node::Sum(terms) => {
            Node::Sum(terms.iter().map(|(sign, term)| (*sign, inside(term))).collect())
        }
        Node::Product(factors) => Node::Product(factors.iter().map(inside).collect()),
        Node::Quotient(above, below) => Node::Quotient(boxed(above), boxed(below)),
        _ => node.clone(),
    }
}

impl Comparison {
    pub(super) fn vector(&self, rows: &[Vec<Node>], items: &[Node]) -> bool {
        let cells: Vec<Node> = rows.iter().flatten().cloned().collect();
        (rows.len() == 1 || rows.iter().all(|row| row.len() == 1)) && self.in_order(&cells, items)
    }

    /// A sum of unit vectors against its components.
    pub(super) fn components(&self, vector: &Node, items: &[Node]) -> bool {
        if !(2..=3).contains(&items.len()) {
            return false;
        }
        let at = |values| with_units(vector, values);
        let units = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
        let zero = Node::whole(0);
        let same = units
            .iter()
            .enumerate()
            .all(|(axis, values)| self.nodes(items.get(axis).unwrap_or(&zero), &at(*values)));
        // A sum of multiples is nothing where all units are, and three times its sum at three times all.
        let sum =
            Node::Sum(items.iter().map(|item| (crate::node::Sign::Plus, item.clone())).collect());
        let triple = Node::Product(vec![Node::whole(3), sum]);
        same && self.nodes(&zero, &at([0, 0, 0])) && self.nodes(&triple, &at([3, 3, 3]))
    }

    /// Values with the cases in which they hold, in any order.
    pub(super) fn cases(&self, gold: &[Vec<Node>], answer: &[Vec<Node>]) -> bool {
        if gold.len() != answer.len() {
            return false;
        }
        let mut free: Vec<&Vec<Node>> = answer.iter().collect();
        gold.iter().all(|row| {
            let found = free.iter().position(|other| self.in_order(row, other));
            found.map(|at| free.remove(at)).is_some()
        })
    }

    /// Parts to one another: the same, or all the same multiple.
    pub(super) fn ratios(&self, gold: &[Node], answer: &[Node]) -> bool {
        if self.in_order(gold, answer) {
            return true;
        }
        if gold.len() != answer.len() {
            return false;
        }
        let quotient = |parts: &[Node], at: usize| {
            Node::Quotient(Box::new(parts[at].clone()), Box::new(parts[0].clone()))
        };
        (1..gold.len()).all(|at| {
            let nothing = self.nodes(&Node::whole(0), &gold[at]);
            !nothing && self.nodes(&quotient(gold, at), &quotient(answer, at))
        })
    }

    /// Values by the names of their variables, against the same or against coordinates; `None` where neither
    /// side says names.
    pub(super) fn assignments(&self, gold: &Node, answer: &Node) -> Option<bool> {
        match (named(gold), named(answer)) {
            (Some(gold), Some(answer)) => Some(
                gold.len() == answer.len()
                    && gold.iter().zip(&answer).all(|((name, value), (other, given))| {
                        name == other && self.nodes(value, given)
                    }),
            ),
            (Some(named), None) => self.in_order_of_names(&named, answer),
            (None, Some(named)) => self.in_order_of_names(&named, gold),
            (None, None) => None,
        }
    }

    fn in_order_of_names(&self, named: &BTreeMap<&str, &Node>, other: &Node) -> Option<bool> {
        let values: Vec<Node> = named.values().map(|value| (*value).clone()).collect();
        let stem = |name: &str| name.split('_').next().map(str::to_owned);
        let stems: std::collections::BTreeSet<_> = named.keys().map(|name| stem(name)).collect();
        match other {
            Node::Bracket('(', ')', items) => Some(self.in_order(&values, items)),
            // x_1 and x_2 are in no order.
            Node::List(items) | Node::Set(items) if stems.len() == 1 => {
                Some(self.unordered(&whole(&values), &whole(items)))
            }
            Node::List(items) if !items.iter().any(|item| matches!(item, Node::Chain(..))) => {
                Some(self.in_order(&values, items))
            }
            _ => None,
        }
    }

    /// Whether all sides of a chain of equations have the same value.
    pub(super) fn all_same(&self, sides: &[Node]) -> bool {
        let item = |node| Item { node, upper: true };
        sides.windows(2).all(|pair| match (&pair[0], &pair[1]) {
            (Node::Chain(..) | Node::List(_) | Node::Set(_), _)
            | (_, Node::Chain(..) | Node::List(_) | Node::Set(_)) => false,
            (Node::Unit(..), _)
            | (_, Node::Unit(..))
            | (Node::Bracket(..), _)
            | (Node::Matrix(_), _) => self.nodes(&pair[0], &pair[1]),
            (left, right) => self.scalars(item(left), item(right)),
        })
    }
}

/// `x = 1, y = 2` or `x = y = 2` as values by name.
fn named(node: &Node) -> Option<BTreeMap<&str, &Node>> {
    let mut values = BTreeMap::new();
    let items: Vec<&Node> = match node {
        Node::List(items) => items.iter().collect(),
        Node::Chain(sides, _) if sides.len() > 2 => vec![node],
        _ => return None,
    };
    for item in items {
        let Node::Chain(sides, relations) = item else { return None };
        if relations.iter().any(|relation| *relation != Relation::Equal) {
            return None;
        }
        let (value, names) = sides.split_last()?;
        if names.len() > 1 && value.symbol().is_some() {
            return None;
        }
        for name in names {
            let name = name.symbol()?;
            let itself = |node: &Node| node.symbol() == Some(name);
            if value.any(&itself) || values.insert(name, value).is_some() {
                return None;
            }
        }
    }
    (values.len() > 1).then_some(values)
}
