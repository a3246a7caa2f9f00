//! Exact fractions with checked 128-bit arithmetic.
//!
//! Must not know expressions. Every operation answers `None` instead of overflowing.

use std::fmt;

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rational {
    numerator: i128,
    denominator: i128,
}

impl Rational {
    /// A whole number.
    pub fn integer(value: i128) -> Self {
        Self { numerator: value, denominator: 1 }
    }

    /// `numerator / denominator` in lowest terms; `None` for a denominator of 0 and on overflow.
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let divisor = gcd(numerator.unsigned_abs(), denominator.unsigned_abs());
        let divisor = i128::try_from(divisor).ok()?;
        let sign = if denominator < 0 { -1 } else { 1 };
        Some(Self {
            numerator: numerator.checked_div(divisor)?.checked_mul(sign)?,
            denominator: denominator.checked_div(divisor)?.checked_mul(sign)?,
        })
    }

    /// Whether the value is 0.
    pub fn is_zero(self) -> bool {
        self.numerator == 0
    }

    /// `self + other`.
    pub fn plus(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Self::new(left.checked_add(right)?, self.denominator.checked_mul(other.denominator)?)
    }

    /// `self - other`.
    pub fn minus(self, other: Self) -> Option<Self> {
        let negated = Self { numerator: other.numerator.checked_neg()?, ..other };
        self.plus(negated)
    }

    /// `self * other`.
    pub fn times(self, other: Self) -> Option<Self> {
        Self::new(
            self.numerator.checked_mul(other.numerator)?,
            self.denominator.checked_mul(other.denominator)?,
        )
    }

    /// `self / other`; `None` also when `other` is 0.
    pub fn over(self, other: Self) -> Option<Self> {
        Self::new(
            self.numerator.checked_mul(other.denominator)?,
            self.denominator.checked_mul(other.numerator)?,
        )
    }
}

impl fmt::Display for Rational {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(out, "{}", self.numerator),
            denominator => write!(out, "{}/{denominator}", self.numerator),
        }
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_exact() {
        let third = Rational::new(1, 3).unwrap();
        let whole = third.plus(third).unwrap().plus(third).unwrap();
        assert_eq!(whole, Rational::integer(1));
        assert_eq!(third.minus(third).unwrap(), Rational::integer(0));
        assert_eq!(Rational::new(6, -4).unwrap().to_string(), "-3/2");
        let half = Rational::new(1, 2).unwrap();
        assert_eq!(third.over(half).unwrap(), Rational::new(2, 3).unwrap());
        assert_eq!(third.times(half).unwrap(), Rational::new(1, 6).unwrap());
    }

    #[test]
    fn overflow_and_zero_are_none() {
        let large = Rational::integer(i128::MAX);
        assert_eq!(large.plus(Rational::integer(1)), None);
        assert_eq!(large.times(large), None);
        assert_eq!(Rational::new(i128::MIN, i128::MIN), None);
        assert_eq!(Rational::integer(1).over(Rational::integer(0)), None);
        assert_eq!(Rational::new(1, 0), None);
    }
}
