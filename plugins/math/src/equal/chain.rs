//! Equations, inequalities and chains of them.
//!
//! A chain is reduced to what it says in the end before it is compared with the expected answer.

use super::{Comparison, whole};
use crate::node::{Node, Relation};

impl Comparison {
    /// What a chain says in the end: `x = 10/2 = 5` is `x = 5`, `4/2 = 2` is 2, and `√2 ≈ 1.41` is either.
    /// `None` for what is read as it stands.
    pub(super) fn readings(&self, node: &Node) -> Option<Vec<Node>> {
        let Node::Chain(sides, relations) = node else { return None };
        if relations.contains(&Relation::About) {
            return self.rounded(sides, relations);
        }
        if relations.iter().any(|relation| *relation != Relation::Equal) {
            return None;
        }
        let (first, rest) = sides.split_first()?;
        let last = rest.last()?.clone();
        let named = first.symbol().is_some() || is_call(node);
        if !named && !sides.iter().any(Node::has_symbols) {
            // Nothing but numbers: all of them are the answer, if they are one.
            return self.all_same(sides).then(|| vec![last]);
        }
        if sides.len() > 2 && rest.iter().all(|side| side.symbol().is_none()) && self.all_same(rest)
        {
            return Some(vec![Node::Chain(vec![first.clone(), last], vec![Relation::Equal])]);
        }
        None
    }

    /// A value and what it is about. The second may only be the first rounded.
    fn rounded(&self, sides: &[Node], relations: &[Relation]) -> Option<Vec<Node>> {
        const SHARE: f64 = 0.005;
        let chain = |side: &Node, before: &[Node]| {
            let mut sides = before.to_vec();
            sides.push(side.clone());
            if sides.len() == 1 {
                return side.clone();
            }
            let relations = vec![Relation::Equal; sides.len() - 1];
            Node::Chain(sides, relations)
        };
        let at = relations.iter().position(|relation| *relation == Relation::About)?;
        let before = &sides[..at];
        if sides.len() != at + 2 || relations[..at].iter().any(|other| *other != Relation::Equal) {
            return None;
        }
        let (exact, about) = (&sides[at], &sides[at + 1]);
        if exact.symbol().is_some() {
            return Some(vec![chain(about, &sides[..=at])]);
        }
        let written = |node: &Node| matches!(node, Node::Number(..));
        let bare = |node: &Node| match node {
            Node::Unit(value, _) => (**value).clone(),
            other => other.clone(),
        };
        let close = match (self.constant(&bare(exact)), self.constant(&bare(about))) {
            (Some(exact), Some(about)) => about.close(&exact, SHARE),
            _ => false,
        };
        let hedged = written(&bare(exact)) && !bare(exact).has_decimal();
        (close && !hedged).then(|| vec![chain(exact, before), chain(about, before)])
    }

    /// Equations and inequalities, of which one side may lack "x =".
    pub(super) fn chains(&self, gold: &Node, answer: &Node) -> bool {
        let (Node::Chain(sides, relations), Node::Chain(others, other_relations)) = (gold, answer)
        else {
            let (gold, answer) = (
                without_variable(gold).unwrap_or(gold),
                without_variable(answer).unwrap_or(answer),
            );
            let bare = !matches!(gold, Node::Chain(..)) && !matches!(answer, Node::Chain(..));
            return bare && self.nodes(gold, answer);
        };
        if relations == other_relations && self.in_order(sides, others) {
            return true;
        }
        let equations =
            |relations: &[Relation]| relations.iter().all(|relation| *relation == Relation::Equal);
        if sides.len() > 2 && equations(relations) && equations(other_relations) {
            return self.unordered(&whole(sides), &whole(others));
        }
        if is_call(gold) || is_call(answer) {
            // The function's name does not matter.
            return matches!((without_variable(gold), without_variable(answer)),
                (Some(gold), Some(answer)) if self.nodes(gold, answer));
        }
        let ([left, right], [other_left, other_right]) = (&sides[..], &others[..]) else {
            return false;
        };
        if relations[0] == Relation::In || other_relations[0] == Relation::In {
            return false;
        }
        let factor = self.proportional((left, right), (other_left, other_right));
        match (relations[0], other_relations[0]) {
            (Relation::Equal, Relation::Equal) | (Relation::Unequal, Relation::Unequal) => {
                factor.is_some()
            }
            (relation, other) => factor.is_some_and(|positive| {
                other == if positive { relation } else { flipped(relation) }
            }),
        }
    }
}

/// What a variable is said to be: `x = 5`, `y = 2x + 3`, `x ∈ [0, 1]`.
pub(super) fn without_variable(node: &Node) -> Option<&Node> {
    let Node::Chain(sides, relations) = node else { return None };
    let free = |name: &str, value: &Node| !value.any(&|node| node.symbol() == Some(name));
    match (&sides[..], &relations[..]) {
        ([Node::Symbol(name), value], [Relation::Equal | Relation::In]) => {
            free(name, value).then_some(value)
        }
        ([value, Node::Symbol(name)], [Relation::Equal]) => free(name, value).then_some(value),
        ([_, value], [Relation::Equal]) if is_call(node) => Some(value),
        _ => None,
    }
}

/// `f(x) = ...`
pub(super) fn is_call(node: &Node) -> bool {
    let Node::Chain(sides, _) = node else { return false };
    match sides.first() {
        Some(Node::Product(call)) => matches!(
            &call[..],
            [Node::Symbol(name), Node::Symbol(_)] if matches!(&**name, "f" | "g" | "h" | "p" | "P")
        ),
        _ => false,
    }
}

pub(super) fn flipped(relation: Relation) -> Relation {
    match relation {
        Relation::Less => Relation::Greater,
        Relation::AtMost => Relation::AtLeast,
        Relation::Greater => Relation::Less,
        Relation::AtLeast => Relation::AtMost,
        other => other,
    }
}
