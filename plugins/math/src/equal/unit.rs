//! Values with units: when one may be missing, and what one is worth in another.

use r1x_plugin::rational::Rational;

use super::{Comparison, radians};
use crate::node::Node;
use crate::value::Value;

/// What units measure and what they are worth, in the first of their kind.
const WORTH: &[(&str, &str, i64, i64)] = &[
    ("second", "time", 1, 1),
    ("minute", "time", 60, 1),
    ("hour", "time", 3600, 1),
    ("day", "time", 86_400, 1),
    ("week", "time", 604_800, 1),
    ("millimeter", "length", 1, 1),
    ("centimeter", "length", 10, 1),
    ("meter", "length", 1000, 1),
    ("kilometer", "length", 1_000_000, 1),
    ("inch", "length", 254, 10),
    ("foot", "length", 3048, 10),
    ("yard", "length", 9144, 10),
    ("mile", "length", 1_609_344, 1),
    ("milligram", "mass", 1, 1),
    ("gram", "mass", 1000, 1),
    ("kilogram", "mass", 1_000_000, 1),
    ("ounce", "weight", 1, 1),
    ("pound", "weight", 16, 1),
    ("milliliter", "volume", 1, 1),
    ("liter", "volume", 1000, 1),
    ("cent", "dollars", 1, 1),
    ("dollar", "dollars", 100, 1),
];

/// A unit's worth: what it measures, and how much of the smallest unit it is.
fn worth(unit: &str) -> Option<(Vec<String>, Rational)> {
    let (mut kind, mut value) = (Vec::new(), Rational::from(1));
    let (mut below, mut last) = (false, None);
    for word in unit.split(' ') {
        if word == "/" {
            (below, last) = (true, None);
            kind.push("/".to_owned());
            continue;
        }
        let (factor, name) = match word.strip_prefix('^') {
            // A power says how often more the unit before it stands there.
            Some(power) => {
                let (factor, name): (Rational, &str) = last.clone()?;
                let more = power.parse::<i64>().ok().filter(|power| (1..=6).contains(power))? - 1;
                kind.push(format!("^{power}"));
                (factor.power(more)?, name)
            }
            None => {
                let (_, name, above, under) = WORTH.iter().find(|(unit, ..)| *unit == word)?;
                kind.push((*name).to_owned());
                (Rational::new(i128::from(*above).into(), i128::from(*under).into())?, *name)
            }
        };
        value = if below { value.over(&factor)? } else { value.times(&factor)? };
        last = Some((factor, name));
    }
    Some((kind, value))
}

impl Comparison {
    /// Values with units, of which one may be missing.
    pub(super) fn units(&self, gold: &Node, answer: &Node) -> bool {
        let (value, unit) = split(gold);
        let (other, other_unit) = split(answer);
        if (unit == other_unit || self.may_lack(unit, other_unit)) && self.nodes(value, other) {
            return true;
        }
        if let (Some(unit), Some(other_unit)) = (unit, other_unit) {
            if unit == other_unit {
                return unit
                    .strip_prefix("mod ")
                    .is_some_and(|modulus| self.congruent(value, other, modulus));
            }
            if let (Some((kind, factor)), Some((other_kind, other_factor))) =
                (worth(unit), worth(other_unit))
            {
                return kind == other_kind
                    && self.nodes(&times(value, factor), &times(other, other_factor));
            }
        }
        // 50 % is 50 or 0.5 where the other side has no sign.
        let hundredth =
            |node: &Node| Node::Quotient(Box::new(node.clone()), Box::new(Node::whole(100)));
        match (unit, other_unit) {
            (Some("percent"), None) => self.nodes(&hundredth(value), other),
            (None, Some("percent")) => self.nodes(value, &hundredth(other)),
            (Some("degree"), None | Some("radian")) => self.nodes(&radians(value), other),
            (None | Some("radian"), Some("degree")) => self.nodes(value, &radians(other)),
            _ => false,
        }
    }

    fn may_lack(&self, unit: Option<&str>, other: Option<&str>) -> bool {
        !self.strictness.units && (unit.is_none() || other.is_none())
    }

    /// Whether the difference of two whole numbers is a multiple of a third.
    fn congruent(&self, value: &Node, other: &Node, modulus: &str) -> bool {
        let (Some(Value::Exact(a)), Some(Value::Exact(b))) =
            (self.constant(value), self.constant(other))
        else {
            return false;
        };
        let modulus = Rational::parse(modulus).filter(|modulus| !modulus.is_zero());
        let whole = a.whole().is_some() && b.whole().is_some();
        let steps = modulus.and_then(|modulus| a.minus(&b)?.over(&modulus));
        whole && steps.is_some_and(|steps| steps.whole().is_some())
    }
}

fn times(value: &Node, factor: Rational) -> Node {
    Node::Product(vec![value.clone(), Node::Number(factor, false)])
}

fn split(node: &Node) -> (&Node, Option<&str>) {
    match node {
        Node::Unit(value, unit) => (value, Some(unit)),
        _ => (node, None),
    }
}
