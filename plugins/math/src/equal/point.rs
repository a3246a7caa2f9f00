//! Where expressions with variables are compared.

use std::collections::BTreeSet;

use r1x_plugin::rational::Rational;

use crate::node::Node;

/// Points at which expressions with variables are compared.
pub const POINTS: u64 = 6;
/// Largest exact number with and without variables, bits.
const MAX_BITS: (u64, u64) = (512, 2048);
/// Functions of whole numbers.
const COUNTING: &[&str] = &["factorial", "double factorial", "binom", "gcd", "lcm", "mod"];
/// Variables that count up to something rather than from it.
const LARGE: &[&str] = &["n", "N", "m", "M", "p", "q"];

/// What the variables of some expressions are.
#[derive(Default)]
pub struct Domain {
    names: BTreeSet<String>,
    /// Those that stand where only whole numbers do.
    whole: BTreeSet<String>,
    /// Those that are raised to a power that varies.
    positive: BTreeSet<String>,
}

impl Domain {
    /// The variables of some expressions.
    pub fn of(nodes: &[&Node]) -> Self {
        let mut domain = Self::default();
        for node in nodes {
            domain.add(node);
        }
        domain
    }

    fn add(&mut self, node: &Node) {
        match node {
            Node::Symbol(name) => {
                self.names.insert(name.clone());
            }
            Node::Function(name, arguments) if COUNTING.contains(name) => {
                arguments.iter().for_each(|argument| argument.add_symbols(&mut self.whole));
            }
            Node::Power(base, exponent) if exponent.has_symbols() => {
                base.add_symbols(&mut self.positive);
            }
            _ => {}
        }
        for child in node.children() {
            self.add(child);
        }
    }

    /// How many points there are.
    pub fn points(&self) -> u64 {
        if self.names.is_empty() { 1 } else { POINTS }
    }

    /// Largest exact number, bits.
    pub fn max_bits(&self) -> u64 {
        if self.names.is_empty() { MAX_BITS.1 } else { MAX_BITS.0 }
    }

    /// What a variable is worth at a point, made of its name: a fraction between 1/3 and 3, far from round
    /// numbers and at odd points perhaps negative; where only whole numbers can stand, one of those.
    pub fn coordinate(&self, name: &str, number: u64) -> Rational {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // A vector may do without its arrow.
        for byte in name.strip_prefix("vec ").unwrap_or(name).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash ^= hash >> 29;
        hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 32;
        if self.whole.contains(name) {
            let from = if LARGE.contains(&name) { 9 } else { 2 };
            return Rational::from(i128::from(from + (2 * number + hash % 4)));
        }
        let below = 1009 + (hash & 0x3ff);
        let above = below / 3 + (hash >> 10) % (below * 8 / 3);
        let negative = number % 2 == 1 && (hash >> 50) & 1 == 1 && !self.positive.contains(name);
        let value = Rational::new(i128::from(above).into(), i128::from(below).into())
            .unwrap_or_else(|| Rational::from(2));
        if negative { value.negated() } else { value }
    }
}
