//! Whole numbers of any size, for arithmetic on text that a model wrote.
//!
//! Products and powers are bounded by the caller, because their cost is what an attacker
//! would choose.

use std::cmp::Ordering;
use std::fmt;

/// A whole number: a sign and 32-bit digits, lowest first, without leading zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integer {
    negative: bool,
    limbs: Vec<u32>,
}

const LIMB_BITS: u64 = 32;

impl Integer {
    /// A number of a machine's size, without the work that longer ones are.
    pub(crate) fn machine(value: i64) -> Self {
        let magnitude = value.unsigned_abs();
        let limbs = match (magnitude as u32, (magnitude >> LIMB_BITS) as u32) {
            (0, 0) => Vec::new(),
            (low, 0) => vec![low],
            (low, high) => vec![low, high],
        };
        Self { negative: value < 0, limbs }
    }

    fn from_parts(negative: bool, mut limbs: Vec<u32>) -> Self {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self { negative: negative && !limbs.is_empty(), limbs }
    }

    /// Reads decimal digits; `None` when there are none, when something else is among them, or when there
    /// are more than `max_digits`.
    pub fn parse(digits: &str, max_digits: usize) -> Option<Self> {
        if digits.is_empty() || digits.len() > max_digits {
            return None;
        }
        let mut limbs: Vec<u32> = Vec::new();
        for digit in digits.bytes() {
            if !digit.is_ascii_digit() {
                return None;
            }
            multiply_add(&mut limbs, 10, u32::from(digit - b'0'));
        }
        Some(Self::from_parts(false, limbs))
    }

    /// Whether the value is 0.
    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// Whether the value is below 0.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether the value is odd.
    pub fn is_odd(&self) -> bool {
        self.limbs.first().is_some_and(|limb| limb & 1 == 1)
    }

    /// Bits of the magnitude.
    pub fn bits(&self) -> u64 {
        match self.limbs.last() {
            None => 0,
            Some(top) => self.limbs.len() as u64 * LIMB_BITS - u64::from(top.leading_zeros()),
        }
    }

    /// `-self`.
    pub fn negated(&self) -> Self {
        Self::from_parts(!self.negative, self.limbs.clone())
    }

    /// The magnitude.
    pub fn magnitude(&self) -> Self {
        Self::from_parts(false, self.limbs.clone())
    }

    /// `self + other`.
    pub fn plus(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return Self::from_parts(self.negative, add(&self.limbs, &other.limbs));
        }
        match compare(&self.limbs, &other.limbs) {
            Ordering::Less => Self::from_parts(other.negative, subtract(&other.limbs, &self.limbs)),
            _ => Self::from_parts(self.negative, subtract(&self.limbs, &other.limbs)),
        }
    }

    /// `self - other`.
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&other.negated())
    }

    /// `self * other`.
    pub fn times(&self, other: &Self) -> Self {
        let mut limbs = vec![0_u32; self.limbs.len() + other.limbs.len()];
        for (at, &left) in self.limbs.iter().enumerate() {
            let mut carry = 0_u64;
            for (offset, &right) in other.limbs.iter().enumerate() {
                let sum =
                    u64::from(limbs[at + offset]) + u64::from(left) * u64::from(right) + carry;
                limbs[at + offset] = sum as u32;
                carry = sum >> LIMB_BITS;
            }
            limbs[at + other.limbs.len()] = carry as u32;
        }
        Self::from_parts(self.negative != other.negative, limbs)
    }

    /// Quotient rounded towards 0 and the remainder, which has the sign of `self`; `None` for a divisor of 0.
    pub fn divided(&self, divisor: &Self) -> Option<(Self, Self)> {
        if divisor.is_zero() {
            return None;
        }
        let (quotient, rest) = divide(&self.limbs, &divisor.limbs);
        Some((
            Self::from_parts(self.negative != divisor.negative, quotient),
            Self::from_parts(self.negative, rest),
        ))
    }

    /// Quotient rounded down; `None` for a divisor of 0.
    pub fn divided_down(&self, divisor: &Self) -> Option<Self> {
        let (quotient, rest) = self.divided(divisor)?;
        let inexact = !rest.is_zero() && rest.negative != divisor.negative;
        Some(if inexact { quotient.minus(&Self::from(1)) } else { quotient })
    }

    /// `self` to a power; `None` when the result could have more than `max_bits`.
    pub fn power(&self, exponent: &Self, max_bits: u64) -> Option<Self> {
        if exponent.negative {
            return None;
        }
        if self.bits() <= 1 {
            // 0, 1 and -1 stay small for every exponent.
            let negative = self.negative && exponent.is_odd();
            let one = Self::from_parts(negative, vec![1]);
            return Some(if self.is_zero() && !exponent.is_zero() { Self::default() } else { one });
        }
        let mut rest = exponent.to_u64()?;
        if (self.bits() - 1).checked_mul(rest)? > max_bits {
            return None;
        }
        let (mut result, mut square) = (Self::from(1), self.clone());
        while rest > 0 {
            if rest & 1 == 1 {
                result = result.times(&square);
            }
            rest >>= 1;
            if rest > 0 {
                square = square.times(&square);
            }
        }
        Some(result)
    }

    /// Greatest common divisor of the magnitudes.
    pub fn common_divisor(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.magnitude(), other.magnitude());
        while !b.is_zero() {
            if a.limbs.len() <= 2 && b.limbs.len() <= 2 {
                return Self::from(small_divisor(low_u64(&a.limbs), low_u64(&b.limbs)));
            }
            let rest = divide(&a.limbs, &b.limbs).1;
            a = std::mem::replace(&mut b, Self::from_parts(false, rest));
        }
        a
    }

    /// The largest whole number whose `degree`-th power is at most `self`; `None` below 0 or for degree 0.
    pub fn root(&self, degree: u32) -> Option<Self> {
        if self.negative || degree == 0 {
            return None;
        }
        let exponent = Self::from(i128::from(degree));
        let (mut low, mut high) =
            (Self::default(), Self::from(1).shifted_up(self.bits() / u64::from(degree) + 1));
        // Bisection: low^degree <= self < high^degree.
        loop {
            let middle = low.plus(&high).shifted_down(1);
            if middle == low {
                return Some(low);
            }
            let power = middle.power(&exponent, self.bits() + u64::from(degree) + 1)?;
            if power > *self { high = middle } else { low = middle }
        }
    }

    /// `self * 2^bits`.
    pub fn shifted_up(&self, bits: u64) -> Self {
        let (whole, part) = ((bits / LIMB_BITS) as usize, bits % LIMB_BITS);
        let mut limbs = vec![0_u32; whole];
        let mut carry = 0_u64;
        for &limb in &self.limbs {
            let shifted = (u64::from(limb) << part) | carry;
            limbs.push(shifted as u32);
            carry = shifted >> LIMB_BITS;
        }
        limbs.push(carry as u32);
        Self::from_parts(self.negative, limbs)
    }

    /// The magnitude divided by `2^bits` towards 0, with the sign kept.
    pub fn shifted_down(&self, bits: u64) -> Self {
        let (whole, part) = ((bits / LIMB_BITS) as usize, bits % LIMB_BITS);
        let kept = self.limbs.get(whole..).unwrap_or_default();
        let limbs = (0..kept.len()).map(|at| {
            let above = u64::from(kept.get(at + 1).copied().unwrap_or(0)) << LIMB_BITS;
            ((above | u64::from(kept[at])) >> part) as u32
        });
        Self::from_parts(self.negative, limbs.collect())
    }

    /// The value, where it fits.
    pub fn to_u64(&self) -> Option<u64> {
        (!self.negative && self.limbs.len() <= 2).then(|| low_u64(&self.limbs))
    }

    /// The value, where it fits.
    pub fn to_i64(&self) -> Option<i64> {
        let magnitude = self.magnitude().to_u64()?;
        let value = i64::try_from(magnitude).ok()?;
        Some(if self.negative { -value } else { value })
    }

    /// The nearest double; infinite beyond the range.
    pub fn to_f64(&self) -> f64 {
        let shift = self.bits().saturating_sub(64);
        let mut top = low_u64(&self.shifted_down(shift).limbs);
        // What was shifted out decides ties only.
        let lost = self.limbs.iter().take((shift / LIMB_BITS) as usize).any(|&limb| limb != 0)
            || self
                .limbs
                .get((shift / LIMB_BITS) as usize)
                .is_some_and(|&limb| u64::from(limb) & ((1 << (shift % LIMB_BITS)) - 1) != 0);
        top |= u64::from(lost);
        let value = scale(top as f64, i64::try_from(shift).unwrap_or(i64::MAX));
        if self.negative { -value } else { value }
    }

    /// The double nearest to `self / divisor`; `None` for a divisor of 0.
    pub fn ratio(&self, divisor: &Self) -> Option<f64> {
        // Enough bits that the quotient has at least 64.
        let wanted = (66 + divisor.bits()).saturating_sub(self.bits());
        let (quotient, rest) = self.shifted_up(wanted).divided(divisor)?;
        let sticky = Self::from(i128::from(!rest.is_zero()));
        let doubled = quotient.magnitude().shifted_up(1).plus(&sticky);
        let value = scale(doubled.to_f64(), -(i64::try_from(wanted).ok()? + 1));
        Some(if self.negative != divisor.negative { -value } else { value })
    }
}

impl From<i128> for Integer {
    fn from(value: i128) -> Self {
        if let Ok(value) = i64::try_from(value) {
            return Self::machine(value);
        }
        let magnitude = value.unsigned_abs();
        let count = (u128::BITS - magnitude.leading_zeros()).div_ceil(u32::BITS);
        let limbs = (0..count).map(|at| (magnitude >> (32 * at)) as u32).collect();
        Self::from_parts(value < 0, limbs)
    }
}

impl PartialOrd for Integer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Integer {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => compare(&self.limbs, &other.limbs),
            (true, true) => compare(&other.limbs, &self.limbs),
        }
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHUNK: u32 = 1_000_000_000;
        let (mut limbs, mut chunks) = (self.limbs.clone(), Vec::new());
        while !limbs.is_empty() {
            chunks.push(divide_small(&mut limbs, CHUNK));
        }
        if self.negative {
            out.write_str("-")?;
        }
        write!(out, "{}", chunks.pop().unwrap_or(0))?;
        chunks.iter().rev().try_for_each(|chunk| write!(out, "{chunk:09}"))
    }
}

/// `value * 2^power`, in steps that stay in range as long as the result does.
fn scale(mut value: f64, mut power: i64) -> f64 {
    while power != 0 && value != 0.0 && value.is_finite() {
        let step = power.clamp(-512, 512);
        value *= 2_f64.powi(step as i32);
        power -= step;
    }
    value
}

fn low_u64(limbs: &[u32]) -> u64 {
    let limb = |at: usize| u64::from(limbs.get(at).copied().unwrap_or(0));
    limb(0) | limb(1) << LIMB_BITS
}

fn small_divisor(mut a: u64, mut b: u64) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i128::from(a)
}

fn compare(left: &[u32], right: &[u32]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.iter().rev().cmp(right.iter().rev()))
}

fn add(left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut carry = 0_u64;
    let mut sum: Vec<u32> = (0..left.len().max(right.len()))
        .map(|at| {
            let limb = |limbs: &[u32]| u64::from(limbs.get(at).copied().unwrap_or(0));
            carry += limb(left) + limb(right);
            let low = carry as u32;
            carry >>= LIMB_BITS;
            low
        })
        .collect();
    sum.push(carry as u32);
    sum
}

/// `left - right`, where `left` is not smaller.
fn subtract(left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut borrow = 0_i64;
    let difference = left.iter().enumerate().map(|(at, &limb)| {
        let value = i64::from(limb) - i64::from(right.get(at).copied().unwrap_or(0)) + borrow;
        borrow = value >> LIMB_BITS;
        value as u32
    });
    difference.collect()
}

fn multiply_add(limbs: &mut Vec<u32>, factor: u32, summand: u32) {
    let mut carry = u64::from(summand);
    for limb in limbs.iter_mut() {
        carry += u64::from(*limb) * u64::from(factor);
        *limb = carry as u32;
        carry >>= LIMB_BITS;
    }
    if carry != 0 {
        limbs.push(carry as u32);
    }
}

/// Divides in place, and answers the remainder.
fn divide_small(limbs: &mut Vec<u32>, divisor: u32) -> u32 {
    let mut rest = 0_u64;
    for limb in limbs.iter_mut().rev() {
        let value = rest << LIMB_BITS | u64::from(*limb);
        *limb = (value / u64::from(divisor)) as u32;
        rest = value % u64::from(divisor);
    }
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    rest as u32
}

/// Quotient and remainder of magnitudes, digit by digit (Knuth, volume 2, algorithm D).
fn divide(dividend: &[u32], divisor: &[u32]) -> (Vec<u32>, Vec<u32>) {
    if compare(dividend, divisor) == Ordering::Less {
        return (Vec::new(), dividend.to_vec());
    }
    if let [single] = divisor {
        let mut quotient = dividend.to_vec();
        let rest = divide_small(&mut quotient, *single);
        return (quotient, vec![rest]);
    }
    let size = divisor.len();
    // The top bit of the divisor must be set for the estimate of a digit to be off by two at most.
    let shift = u64::from(divisor[size - 1].leading_zeros());
    let divisor = Integer::from_parts(false, divisor.to_vec()).shifted_up(shift).limbs;
    let mut rest = Integer::from_parts(false, dividend.to_vec()).shifted_up(shift).limbs;
    rest.resize(dividend.len() + 1, 0);
    let mut quotient = vec![0_u32; dividend.len() - size + 1];
    for at in (0..quotient.len()).rev() {
        quotient[at] = divide_digit(&mut rest[at..=at + size], &divisor);
    }
    let rest = Integer::from_parts(false, rest).shifted_down(shift).limbs;
    (quotient, rest)
}

/// One digit of the quotient; `rest` loses its product with the divisor.
fn divide_digit(rest: &mut [u32], divisor: &[u32]) -> u32 {
    let size = divisor.len();
    let (top, second) = (u64::from(divisor[size - 1]), u64::from(divisor[size - 2]));
    let head = u64::from(rest[size]) << LIMB_BITS | u64::from(rest[size - 1]);
    let (mut digit, mut left) = (head / top, head % top);
    while digit >> LIMB_BITS != 0
        || digit * second > (left << LIMB_BITS | u64::from(rest[size - 2]))
    {
        digit -= 1;
        left += top;
        if left >> LIMB_BITS != 0 {
            break;
        }
    }
    let (mut borrow, mut carry) = (0_i64, 0_u64);
    for (at, limb) in rest.iter_mut().enumerate() {
        carry += digit * u64::from(divisor.get(at).copied().unwrap_or(0));
        let value = i64::from(*limb) - i64::from(carry as u32) + borrow;
        *limb = value as u32;
        borrow = value >> LIMB_BITS;
        carry >>= LIMB_BITS;
    }
    if borrow < 0 {
        // The estimate was one too large: give one divisor back.
        digit -= 1;
        let sum = add(rest, divisor);
        rest.copy_from_slice(&sum[..rest.len()]);
    }
    digit as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Integer {
        let value = Integer::parse(text.trim_start_matches('-'), 10_000).unwrap();
        if text.starts_with('-') { value.negated() } else { value }
    }

    #[test]
    fn small_values_agree_with_the_machine() {
        let values: [i128; 11] = [
            0,
            1,
            -1,
            7,
            -13,
            0xffff_ffff,
            0x1_0000_0000,
            -0x1_0000_0001,
            12_345_678_901_234_567,
            0x7fff_ffff_ffff_ffff,
            -0x1_0000_0000_0000_0000,
        ];
        for a in values {
            for b in values {
                let (x, y) = (Integer::from(a), Integer::from(b));
                assert_eq!(x.plus(&y).to_string(), (a + b).to_string(), "{a} + {b}");
                assert_eq!(x.minus(&y).to_string(), (a - b).to_string(), "{a} - {b}");
                assert_eq!(x.cmp(&y), a.cmp(&b), "{a} {b}");
                if let Some(product) = a.checked_mul(b) {
                    assert_eq!(x.times(&y).to_string(), product.to_string(), "{a} * {b}");
                }
                if b != 0 {
                    let (quotient, rest) = x.divided(&y).unwrap();
                    assert_eq!(
                        (quotient.to_string(), rest.to_string()),
                        ((a / b).to_string(), (a % b).to_string()),
                        "{a} / {b}"
                    );
                    let down = a.div_euclid(b) - i128::from(b < 0 && a.rem_euclid(b) != 0);
                    assert_eq!(
                        x.divided_down(&y).unwrap().to_string(),
                        down.to_string(),
                        "{a} // {b}"
                    );
                }
            }
        }
    }

    #[test]
    fn division_undoes_multiplication() {
        // Digits chosen so that the estimate of a quotient digit needs both corrections.
        let parts = [
            "340282366920938463463374607431768211455",
            "18446744073709551616",
            "79228162514264337593543950335",
            "4294967295",
            "170141183460469231731687303715884105728",
        ];
        for a in parts {
            for b in parts {
                for rest in ["0", "1", "4294967294"] {
                    let (x, y, r) = (number(a), number(b), number(rest));
                    let product = x.times(&y).plus(&r);
                    let (quotient, left) = product.divided(&y).unwrap();
                    assert_eq!(quotient.times(&y).plus(&left), product);
                    assert!(left < y);
                    if r < y {
                        assert_eq!((quotient, left), (x, r));
                    }
                }
            }
        }
    }

    #[test]
    fn powers_roots_and_text() {
        let power = number("2").power(&number("200"), 4096).unwrap();
        assert_eq!(
            power.to_string(),
            "1606938044258990275541962092341162602522202993782792835301376"
        );
        assert_eq!(number("99").power(&number("99999999999"), 4096), None);
        assert_eq!(number("-1").power(&number("99999999999999999999999"), 8), Some(number("-1")));
        assert_eq!(power.root(200), Some(number("2")));
        assert_eq!(number("99").root(2), Some(number("9")));
        assert_eq!(number("-8").root(3), None);
        assert_eq!(number("1000000000000000000007").to_string(), "1000000000000000000007");
        assert_eq!(number("48").common_divisor(&number("-36")), number("12"));
    }

    #[test]
    fn doubles_are_the_nearest() {
        assert_eq!(number("9007199254740993").to_f64(), 9_007_199_254_740_992.0);
        assert_eq!(number("9007199254740995").to_f64(), 9_007_199_254_740_996.0);
        assert_eq!(number("36893488147419107329").to_f64(), 36_893_488_147_419_107_329_f64);
        assert!(number(&"9".repeat(400)).to_f64().is_infinite());
        assert_eq!(number("1").ratio(&number("3")), Some(1.0 / 3.0));
        assert_eq!(number("-2").ratio(&number("7")), Some(-2.0 / 7.0));
        let huge = number(&format!("3{}", "0".repeat(400)));
        assert_eq!(huge.ratio(&number(&format!("2{}", "0".repeat(400)))), Some(1.5));
        assert_eq!(number("1").ratio(&Integer::default()), None);
    }
}
