//! Sets of real numbers: intervals, unions, inequalities, conditions, all of them as the same parts of a line.
//!
//! Two sets are the same when these parts are, whichever way each of them was written.

use std::cmp::Ordering;

use super::Comparison;
use super::chain::without_variable;
use crate::node::{Constant, Node, Relation, Sign};
use crate::value::Value;
use crate::value::near::Likeness;

/// An end of a part of the line.
#[derive(Clone, Debug)]
struct End {
    value: Value,
    /// Whether the end belongs to it.
    closed: bool,
}

/// From one end to the other.
#[derive(Clone, Debug)]
struct Part {
    low: End,
    high: End,
}

/// Most parts of a set.
const MAX_PARTS: usize = 24;

fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Exact(one), Value::Exact(other)) => Some(one.cmp(other)),
        (Value::Infinite(one), Value::Infinite(other)) => Some(other.cmp(one)),
        (Value::Infinite(negative), _) | (_, Value::Infinite(negative)) => {
            let first = matches!(one, Value::Infinite(_));
            Some(if *negative == first { Ordering::Less } else { Ordering::Greater })
        }
        _ if one.likeness(other) == Likeness::Same => Some(Ordering::Equal),
        _ => {
            let (one, other) = (one.near()?, other.near()?);
            let difference = Value::Near(one.minus(other)?);
            difference.sign().map(|sign| sign.cmp(&0))
        }
    }
}

/// Whether a variable is alone on one side.
fn is_variable(node: &Node) -> bool {
    node.symbol().is_some_and(|name| name != "…")
}

impl Comparison {
    /// Whether two sets of real numbers are the same; `None` where the two are not both such sets in numbers, or
    /// where they can be compared as they are written.
    pub(super) fn regions(&self, gold: &Node, answer: &Node) -> Option<bool> {
        let plain = |node: &Node| {
            !matches!(
                node,
                Node::Chain(..)
                    | Node::Union(_)
                    | Node::Without(..)
                    | Node::Such(_)
                    | Node::List(_)
            )
        };
        if plain(gold) && plain(answer) {
            return None;
        }
        let variable = |node: &Node| {
            let mut names = std::collections::BTreeSet::new();
            if matches!(node, Node::Chain(..) | Node::List(_)) {
                node.add_symbols(&mut names);
            }
            names.pop_first()
        };
        // "x > 2" is not "y > 2".
        if let (Some(one), Some(other)) = (variable(gold), variable(answer))
            && one != other
        {
            return None;
        }
        let (gold, answer) = (self.region(gold, 0)?, self.region(answer, 0)?);
        let same = |one: &End, other: &End| {
            one.closed == other.closed && compare(&one.value, &other.value) == Some(Ordering::Equal)
        };
        Some(
            gold.len() == answer.len()
                && gold
                    .iter()
                    .zip(&answer)
                    .all(|(one, other)| same(&one.low, &other.low) && same(&one.high, &other.high)),
        )
    }

    /// A set of real numbers as parts in order, none touching the next.
    fn region(&self, node: &Node, depth: u32) -> Option<Vec<Part>> {
        if depth > 8 {
            return None;
        }
        let parts = match node {
            Node::Bracket(open, close, items) => {
                let [low, high] = &items[..] else { return None };
                let (low, high) = (self.real(low)?, self.real(high)?);
                let order = compare(&low, &high)?;
                let closed = (*open == '[', *close == ']');
                if order == Ordering::Greater || order == Ordering::Equal && closed != (true, true)
                {
                    return None;
                }
                vec![Part {
                    low: End { value: low, closed: closed.0 },
                    high: End { value: high, closed: closed.1 },
                }]
            }
            Node::Union(items) => {
                let parts: Option<Vec<Vec<Part>>> =
                    items.iter().map(|item| self.region(item, depth + 1)).collect();
                merged(parts?.concat())?
            }
            Node::Set(items) => {
                merged(items.iter().map(|item| self.single(item)).collect::<Option<_>>()?)?
            }
            Node::Without(all, but) => {
                let outside = complement(&self.region(but, depth + 1)?);
                intersection(&self.region(all, depth + 1)?, &outside)?
            }
            Node::Such(conditions) | Node::List(conditions) => {
                let inequality = |node: &Node| match node {
                    Node::Chain(_, relations) => !relations.contains(&Relation::Equal),
                    _ => false,
                };
                if !conditions.iter().all(inequality) {
                    return None;
                }
                let mut parts = vec![everything()];
                for condition in conditions {
                    parts = intersection(&parts, &self.region(condition, depth + 1)?)?;
                }
                parts
            }
            Node::Chain(sides, relations) => self.solutions(sides, relations, depth)?,
            _ => return None,
        };
        (parts.len() <= MAX_PARTS).then_some(parts)
    }

    fn real(&self, node: &Node) -> Option<Value> {
        let value = self.constant(node)?;
        value
            .sign()
            .or_else(|| value.likeness(&Value::whole(0)).eq(&Likeness::Same).then_some(0))?;
        Some(value)
    }

    fn single(&self, node: &Node) -> Option<Part> {
        let value = self.real(node).filter(|value| !matches!(value, Value::Infinite(_)))?;
        let end = End { value, closed: true };
        Some(Part { low: end.clone(), high: end })
    }

    /// The numbers that meet an inequality in one variable.
    fn solutions(&self, sides: &[Node], relations: &[Relation], depth: u32) -> Option<Vec<Part>> {
        if let ([variable, set], [Relation::In]) = (sides, relations) {
            return if is_variable(variable) { self.region(set, depth + 1) } else { None };
        }
        if let ([Node::Function("abs", inside), bound], [relation]) = (sides, relations)
            && matches!(&inside[..], [variable] if is_variable(variable))
        {
            let bound = self.real(bound).filter(|bound| bound.sign() == Some(1))?;
            let (low, high) = (bound.negated(), bound);
            let closed = matches!(relation, Relation::AtMost | Relation::AtLeast);
            let end = |value: &Value, closed| End { value: value.clone(), closed };
            let inside = Part { low: end(&low, closed), high: end(&high, closed) };
            return match relation {
                Relation::Less | Relation::AtMost => Some(vec![inside]),
                Relation::Greater | Relation::AtLeast => {
                    let open = Part { low: end(&low, !closed), high: end(&high, !closed) };
                    Some(complement(&[open]))
                }
                _ => None,
            };
        }
        let mut parts = vec![everything()];
        for (pair, relation) in sides.windows(2).zip(relations) {
            let (bound, relation) = match (is_variable(&pair[0]), is_variable(&pair[1])) {
                (true, false) => (&pair[1], *relation),
                (false, true) => (&pair[0], super::chain::flipped(*relation)),
                _ => return None,
            };
            let value = self.real(bound)?;
            let infinite = matches!(value, Value::Infinite(_));
            let end = |closed: bool| End { value: value.clone(), closed: closed && !infinite };
            let all = everything();
            let part = match relation {
                Relation::Less => vec![Part { low: all.low, high: end(false) }],
                Relation::AtMost => vec![Part { low: all.low, high: end(true) }],
                Relation::Greater => vec![Part { low: end(false), high: all.high }],
                Relation::AtLeast => vec![Part { low: end(true), high: all.high }],
                Relation::Unequal => complement(&[Part { low: end(true), high: end(true) }]),
                _ => return None,
            };
            parts = intersection(&parts, &part)?;
        }
        Some(parts)
    }

    /// Both as intervals, where one is written as inequalities with ends that are not numbers.
    pub(super) fn intervals(&self, gold: &Node, answer: &Node) -> Option<(Node, Node)> {
        let (of_gold, of_answer) = (interval(gold), interval(answer));
        let is_interval = |node: &Node| {
            let node = without_variable(node).unwrap_or(node);
            matches!(node, Node::Bracket(..) | Node::Union(_))
        };
        match (of_gold, of_answer) {
            (Some((gold, one)), Some((answer, other))) if one == other => Some((gold, answer)),
            (Some((gold, _)), None) if is_interval(answer) => {
                Some((gold, without_variable(answer).unwrap_or(answer).clone()))
            }
            (None, Some((answer, _))) if is_interval(gold) => {
                Some((without_variable(gold).unwrap_or(gold).clone(), answer))
            }
            _ => None,
        }
    }
}

fn everything() -> Part {
    let end = |negative| End { value: Value::Infinite(negative), closed: false };
    Part { low: end(true), high: end(false) }
}

/// Whether a part begins before another.
fn starts_before(one: &End, other: &End) -> Option<Ordering> {
    Some(compare(&one.value, &other.value)?.then(other.closed.cmp(&one.closed)))
}

fn ends_before(one: &End, other: &End) -> Option<Ordering> {
    Some(compare(&one.value, &other.value)?.then(one.closed.cmp(&other.closed)))
}

/// Parts in order, those that touch as one.
fn merged(parts: Vec<Part>) -> Option<Vec<Part>> {
    let mut ordered: Vec<Part> = Vec::new();
    for part in parts {
        let mut at = 0;
        while at < ordered.len() && starts_before(&ordered[at].low, &part.low)? != Ordering::Greater
        {
            at += 1;
        }
        ordered.insert(at, part);
    }
    let mut merged: Vec<Part> = Vec::new();
    for part in ordered {
        if let Some(last) = merged.last_mut() {
            let gap = match compare(&last.high.value, &part.low.value)? {
                Ordering::Less => true,
                Ordering::Equal => !last.high.closed && !part.low.closed,
                Ordering::Greater => false,
            };
            if !gap {
                if ends_before(&last.high, &part.high)? == Ordering::Less {
                    last.high = part.high;
                }
                continue;
            }
        }
        merged.push(part);
    }
    Some(merged)
}

/// What no part covers; the parts are in order.
fn complement(parts: &[Part]) -> Vec<Part> {
    let turned = |end: &End| End { value: end.value.clone(), closed: !end.closed };
    let mut gaps = Vec::new();
    let mut low = everything().low;
    let infinite = |end: &End| matches!(end.value, Value::Infinite(_));
    for part in parts {
        if !infinite(&part.low) {
            gaps.push(Part { low, high: turned(&part.low) });
        }
        low = turned(&part.high);
        if infinite(&part.high) {
            return gaps;
        }
    }
    gaps.push(Part { low, high: everything().high });
    gaps
}

fn intersection(one: &[Part], other: &[Part]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for (one, other) in one.iter().flat_map(|one| other.iter().map(move |other| (one, other))) {
        let low = match starts_before(&one.low, &other.low)? {
            Ordering::Less => &other.low,
            _ => &one.low,
        };
        let high = match ends_before(&one.high, &other.high)? {
            Ordering::Greater => &other.high,
            _ => &one.high,
        };
        let there = match compare(&low.value, &high.value)? {
            Ordering::Less => true,
            Ordering::Equal => low.closed && high.closed,
            Ordering::Greater => false,
        };
        if there {
            parts.push(Part { low: low.clone(), high: high.clone() });
        }
        if parts.len() > MAX_PARTS {
            return None;
        }
    }
    merged(parts)
}

/// Inequalities for one variable as an interval, and the variable's name.
fn interval(node: &Node) -> Option<(Node, String)> {
    let Node::Chain(sides, relations) = node else { return None };
    let infinity = Node::Constant(Constant::Infinity);
    let bounded = |low: &Node, low_open: bool, high: &Node, high_open: bool| {
        let open = if low_open { '(' } else { '[' };
        let close = if high_open { ')' } else { ']' };
        Node::Bracket(open, close, vec![low.clone(), high.clone()])
    };
    let strict = |relation: &Relation| matches!(relation, Relation::Less | Relation::Greater);
    let minus_infinity = Node::Sum(vec![(Sign::Minus, infinity.clone())]);
    let up = |relation: &Relation| matches!(relation, Relation::Less | Relation::AtMost);
    let down = |relation: &Relation| matches!(relation, Relation::Greater | Relation::AtLeast);
    match (&sides[..], &relations[..]) {
        ([Node::Function("abs", inside), bound], [relation]) if up(relation) => {
            let [Node::Symbol(name)] = &inside[..] else { return None };
            let low = Node::Sum(vec![(Sign::Minus, bound.clone())]);
            Some((bounded(&low, strict(relation), bound, strict(relation)), name.clone()))
        }
        ([Node::Symbol(name), bound], [relation]) if up(relation) => {
            Some((bounded(&minus_infinity, true, bound, strict(relation)), name.clone()))
        }
        ([Node::Symbol(name), bound], [relation]) if down(relation) => {
            Some((bounded(bound, strict(relation), &infinity, true), name.clone()))
        }
        ([bound, Node::Symbol(name)], [relation]) if up(relation) => {
            Some((bounded(bound, strict(relation), &infinity, true), name.clone()))
        }
        ([bound, Node::Symbol(name)], [relation]) if down(relation) => {
            Some((bounded(&minus_infinity, true, bound, strict(relation)), name.clone()))
        }
        ([low, Node::Symbol(name), high], [first, second]) if up(first) && up(second) => {
            Some((bounded(low, strict(first), high, strict(second)), name.clone()))
        }
        ([high, Node::Symbol(name), low], [first, second]) if down(first) && down(second) => {
            Some((bounded(low, strict(second), high, strict(first)), name.clone()))
        }
        _ => None,
    }
}
