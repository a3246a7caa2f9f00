//! Whole numbers that count: factorials, binomials, divisors, remainders.

use r1x_plugin::integer::Integer;
use r1x_plugin::rational::Rational;

use super::{Point, Value, rounded};

/// Largest factorial, and most steps to a binomial.
const MAX_FACTORIAL: u64 = 4000;

fn natural(value: &Value) -> Option<u64> {
    value.exact()?.whole()?.to_u64()
}

impl Point<'_> {
    /// The product of `from` to `to`, divided by that of 1 to `below`.
    fn run(&self, from: u64, to: u64, below: u64) -> Option<Value> {
        self.spend((to + 1).saturating_sub(from))?;
        let mut product = Value::whole(1);
        for (step, factor) in (from..=to).enumerate() {
            product = self.times(&product, &Value::whole(i128::from(factor)))?;
            let divisor = step as u64 + 1;
            if divisor <= below {
                product = self.over(&product, &Value::whole(i128::from(divisor)))?;
            }
        }
        Some(product)
    }

    pub(super) fn factorial(&self, value: &Value) -> Option<Value> {
        self.run(1, natural(value).filter(|value| *value <= MAX_FACTORIAL)?, 0)
    }

    /// The number of ways to choose; of any number by the product that it is for a whole one.
    pub(super) fn binomial(&self, above: &Value, below: &Value) -> Option<Value> {
        let below = natural(below)?;
        if let Some(above) = natural(above) {
            if below > above {
                return Some(Value::whole(0));
            }
            let below = below.min(above - below);
            return if below > MAX_FACTORIAL {
                None
            } else {
                self.run(above - below + 1, above, below)
            };
        }
        let mut value = Value::whole(1);
        for step in 0..Some(below).filter(|below| *below <= 64)? {
            let factor = self.plus(above, &Value::whole(-i128::from(step)))?;
            value = self.times(&value, &factor)?;
            value = self.over(&value, &Value::whole(i128::from(step) + 1))?;
        }
        Some(value)
    }

    /// What is left of a division, at least 0.
    pub(super) fn remainder(&self, value: &Value, divisor: &Value) -> Option<Value> {
        if divisor.is_zero()? {
            return None;
        }
        let quotient = rounded(self.over(value, divisor)?.exact()?, false)?;
        self.plus(value, &self.times(&quotient, divisor)?.negated())
    }
}

/// The greatest common divisor or the least common multiple of whole numbers.
pub(super) fn divisors(name: &str, arguments: &[Value]) -> Option<Value> {
    let mut numbers = arguments.iter().map(|value| Some(value.exact()?.whole()?.magnitude()));
    let first: Integer = numbers.next()??;
    let value = numbers.try_fold(first, |one, other| {
        let other = other?;
        let divisor = one.common_divisor(&other);
        if name == "gcd" {
            return Some(divisor);
        }
        Some(one.times(&other).divided(&divisor)?.0)
    })?;
    Rational::new(value, Integer::from(1)).map(Value::Exact)
}
