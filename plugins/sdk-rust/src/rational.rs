//! Exact fractions of bounded size.
//!
//! An operation whose result has more than [`MAX_BITS`] bits above or below the line
//! answers `None`.

use std::cmp::Ordering;
use std::fmt;

use crate::integer::Integer;

/// Largest numerator and denominator, bits.
pub const MAX_BITS: u64 = 4096;

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rational {
    numerator: Integer,
    denominator: Integer,
}

impl Rational {
    /// `numerator / denominator` in lowest terms; `None` for a denominator of 0, and beyond the size.
    pub fn new(numerator: Integer, denominator: Integer) -> Option<Self> {
        if denominator.is_zero() {
            return None;
        }
        let machine = (numerator.to_i64(), denominator.to_i64());
        if let (Some(above), Some(below)) = machine
            && let Some(small) = Self::small(above.into(), below.into())
        {
            return Some(small);
        }
        Self::large(numerator, denominator)
    }

    /// The same for numbers of any size and a denominator other than 0.
    fn large(numerator: Integer, denominator: Integer) -> Option<Self> {
        let divisor = numerator.common_divisor(&denominator);
        let (mut numerator, _) = numerator.divided(&divisor)?;
        let (mut denominator, _) = denominator.divided(&divisor)?;
        if denominator.is_negative() {
            (numerator, denominator) = (numerator.negated(), denominator.negated());
        }
        let fits = numerator.bits() <= MAX_BITS && denominator.bits() <= MAX_BITS;
        fits.then_some(Self { numerator, denominator })
    }

    /// The same for numbers of a machine's size, which most are: without memory for every step of the division.
    /// `None` where the result is none, or is too large for this way.
    fn small(above: i128, below: i128) -> Option<Self> {
        if let (Ok(above), Ok(below)) = (i64::try_from(above), i64::try_from(below)) {
            let (mut divisor, mut rest) = (above.unsigned_abs(), below.unsigned_abs());
            while rest != 0 {
                (divisor, rest) = (rest, divisor % rest);
            }
            // Only the least of all numbers has no such divisor or quotient; the other way has room for it.
            if let Ok(divisor) = i64::try_from(divisor)
                && let (Some(above), Some(below)) = (
                    above.checked_div(divisor * below.signum()),
                    below.checked_div(divisor * below.signum()),
                )
            {
                let (numerator, denominator) = (Integer::machine(above), Integer::machine(below));
                return Some(Self { numerator, denominator });
            }
        }
        let (mut divisor, mut rest) = (above.unsigned_abs(), below.unsigned_abs());
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        let divisor = i128::try_from(divisor).ok()?.checked_mul(below.signum())?;
        let above = above.checked_div(divisor)?;
        Some(Self { numerator: above.into(), denominator: (below / divisor).into() })
    }

    /// Numerator and denominator, where both are of a machine's size.
    fn machine(&self) -> Option<(i128, i128)> {
        Some((self.numerator.to_i64()?.into(), self.denominator.to_i64()?.into()))
    }

    /// The exact value of a finite double.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let field = ((bits >> 52) & 0x7ff) as i64;
        let fraction = i128::from(bits & ((1 << 52) - 1));
        let mantissa = if field == 0 { fraction } else { fraction | 1 << 52 };
        let power = field.max(1) - 1075;
        let mantissa = Integer::from(if value < 0.0 { -mantissa } else { mantissa });
        if power >= 0 {
            Self::new(mantissa.shifted_up(power.unsigned_abs()), Integer::from(1))
        } else {
            Self::new(mantissa, Integer::from(1).shifted_up(power.unsigned_abs()))
        }
    }

    /// Reads `12`, `1.50` or `.5`; digits may follow a sign.
    pub fn parse(text: &str) -> Option<Self> {
        const MAX_DIGITS: usize = 1000;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let joined = [whole, fraction].concat();
        let numerator = Integer::parse(&joined, MAX_DIGITS)?;
        let ten = Integer::from(10);
        let power = Integer::from(i128::try_from(fraction.len()).ok()?);
        let numerator = if negative { numerator.negated() } else { numerator };
        Self::new(numerator, ten.power(&power, MAX_BITS)?)
    }

    /// The number above the line.
    pub fn numerator(&self) -> &Integer {
        &self.numerator
    }

    /// The number below the line.
    pub fn denominator(&self) -> &Integer {
        &self.denominator
    }

    /// The value as a whole number, where it is one.
    pub fn whole(&self) -> Option<&Integer> {
        (self.denominator == Integer::from(1)).then_some(&self.numerator)
    }

    /// Whether the value is 0.
    pub fn is_zero(&self) -> bool {
        self.numerator.is_zero()
    }

    /// Whether the value is below 0.
    pub fn is_negative(&self) -> bool {
        self.numerator.is_negative()
    }

    /// Bits of the longer of its two numbers.
    pub fn bits(&self) -> u64 {
        self.numerator.bits().max(self.denominator.bits())
    }

    /// `-self`.
    pub fn negated(&self) -> Self {
        Self { numerator: self.numerator.negated(), denominator: self.denominator.clone() }
    }

    /// `self + other`.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        if let (Some((a, b)), Some((c, d))) = (self.machine(), other.machine())
            && let Some(sum) =
                (a * d).checked_add(c * b).and_then(|above| Self::small(above, b * d))
        {
            return Some(sum);
        }
        let left = self.numerator.times(&other.denominator);
        let right = other.numerator.times(&self.denominator);
        Self::new(left.plus(&right), self.denominator.times(&other.denominator))
    }

    /// `self - other`.
    pub fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(&other.negated())
    }

    /// `self * other`.
    pub fn times(&self, other: &Self) -> Option<Self> {
        if let (Some((a, b)), Some((c, d))) = (self.machine(), other.machine())
            && let Some(product) = Self::small(a * c, b * d)
        {
            return Some(product);
        }
        Self::new(
            self.numerator.times(&other.numerator),
            self.denominator.times(&other.denominator),
        )
    }

    /// `self / other`; `None` also when `other` is 0.
    pub fn over(&self, other: &Self) -> Option<Self> {
        if let (Some((a, b)), Some((c, d))) = (self.machine(), other.machine())
            && let Some(quotient) = Self::small(a * d, b * c)
        {
            return Some(quotient);
        }
        Self::new(
            self.numerator.times(&other.denominator),
            self.denominator.times(&other.numerator),
        )
    }

    /// `self` to a whole power; `None` for 0 to a negative one.
    pub fn power(&self, exponent: i64) -> Option<Self> {
        let size = Integer::from(i128::from(exponent.unsigned_abs() as i64));
        let above = self.numerator.power(&size, MAX_BITS)?;
        let below = self.denominator.power(&size, MAX_BITS)?;
        if exponent < 0 { Self::new(below, above) } else { Self::new(above, below) }
    }

    /// The exact root of that degree, where there is a rational one; even degrees give the positive root.
    pub fn root(&self, degree: u32) -> Option<Self> {
        if self.is_negative() && degree.is_multiple_of(2) {
            return None;
        }
        let exact = |value: &Integer| {
            let root = value.magnitude().root(degree)?;
            let back = root.power(&Integer::from(i128::from(degree)), MAX_BITS + 64)?;
            (back == value.magnitude()).then_some(root)
        };
        let above = exact(&self.numerator)?;
        let above = if self.is_negative() { above.negated() } else { above };
        Self::new(above, exact(&self.denominator)?)
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        self.numerator.ratio(&self.denominator).unwrap_or(f64::NAN)
    }
}

impl From<i128> for Rational {
    fn from(value: i128) -> Self {
        Self { numerator: Integer::from(value), denominator: Integer::from(1) }
    }
}

impl PartialOrd for Rational {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rational {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = self.numerator.times(&other.denominator);
        left.cmp(&other.numerator.times(&self.denominator))
    }
}

impl fmt::Display for Rational {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whole() {
            Some(whole) => write!(out, "{whole}"),
            None => write!(out, "{}/{}", self.numerator, self.denominator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(text: &str) -> Rational {
        let (above, below) = text.split_once('/').unwrap_or((text, "1"));
        Rational::parse(above).unwrap().over(&Rational::parse(below).unwrap()).unwrap()
    }

    #[test]
    fn arithmetic_is_exact() {
        let third = fraction("1/3");
        let whole = third.plus(&third).unwrap().plus(&third).unwrap();
        assert_eq!(whole, Rational::from(1));
        assert!(third.minus(&third).unwrap().is_zero());
        assert_eq!(fraction("6/-4").to_string(), "-3/2");
        assert_eq!(third.over(&fraction("1/2")).unwrap().to_string(), "2/3");
        assert_eq!(third.times(&fraction("1/2")).unwrap().to_string(), "1/6");
        assert_eq!(fraction("2/3").power(-3).unwrap().to_string(), "27/8");
        assert!(fraction("-1/2") < fraction("1/3"));
    }

    #[test]
    fn small_numbers_give_what_large_ones_do() {
        let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
        let numbers = [0, 1, -1, 2, 6, -15, 64, 1 << 40, -(3 << 41), most - 1, most, least];
        let mut fractions = Vec::new();
        for (above, below) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
            let new = Rational::new(above.into(), below.into());
            let large = (below != 0).then(|| Rational::large(above.into(), below.into())).flatten();
            assert_eq!(new, large, "{above}/{below}");
            fractions.extend(new);
        }
        for (one, other) in fractions.iter().flat_map(|a| fractions.iter().map(move |b| (a, b))) {
            let ((a, b), (c, d)) =
                ((&one.numerator, &one.denominator), (&other.numerator, &other.denominator));
            let sum = Rational::large(a.times(d).plus(&c.times(b)), b.times(d));
            assert_eq!(one.plus(other), sum, "{one} + {other}");
            let product = Rational::large(a.times(c), b.times(d));
            assert_eq!(one.times(other), product, "{one} * {other}");
            let divisor = b.times(c);
            let quotient = (!other.is_zero()).then(|| Rational::large(a.times(d), divisor));
            assert_eq!(one.over(other), quotient.flatten(), "{one} / {other}");
        }
    }

    #[test]
    fn decimals_roots_and_doubles() {
        assert_eq!(Rational::parse("-1.250").unwrap().to_string(), "-5/4");
        assert_eq!(Rational::parse(".5").unwrap().to_string(), "1/2");
        assert_eq!(Rational::parse("1."), Some(Rational::from(1)));
        for wrong in ["", ".", "1.2.3", "1e5", "--1", "1 2"] {
            assert_eq!(Rational::parse(wrong), None, "{wrong}");
        }
        assert_eq!(fraction("-8/27").root(3).unwrap().to_string(), "-2/3");
        assert_eq!(fraction("9/4").root(2).unwrap().to_string(), "3/2");
        assert_eq!(fraction("2").root(2), None);
        assert_eq!(Rational::from_f64(-0.375).unwrap().to_string(), "-3/8");
        assert_eq!(Rational::from_f64(3e10).unwrap().to_string(), "30000000000");
        assert_eq!(fraction("1/3").to_f64(), 1.0 / 3.0);
    }

    #[test]
    fn size_and_zero_are_none() {
        let large = Rational::from(2).power(4000).unwrap();
        assert_eq!(large.times(&large), None);
        assert_eq!(Rational::from(2).power(5000), None);
        assert_eq!(Rational::from(1).over(&Rational::from(0)), None);
        assert_eq!(Rational::from(0).power(-1), None);
    }
}
