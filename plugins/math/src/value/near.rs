//! A number known to about thirty digits: a complex number of any size, and how far off it may be.
//!
//! Every operation carries the error on, so that a comparison knows what is rounding and what is a difference. A
//! sum in which a term is too small to leave a trace says so: `1 + e^{-100}` is 1 to thirty digits and more, and
//! still not 1.

use crate::double::{Complex, Double, LN_2, PI};

/// The relative error of one operation, with room: double the digits of a double have 104 bits.
const UNIT: f64 = 1.0 / (1_u128 << 98) as f64;
/// A term smaller than this share of the sum has lost its digits in it.
const TRACE: f64 = 1.0 / (1_u64 << 60) as f64;
/// Sizes are kept within `2^±HALF_BLOCK`; what is beyond is counted in blocks.
const BLOCK: i32 = 512;
const HALF_BLOCK: i32 = BLOCK / 2;
/// Largest number of blocks.
const MAX_BLOCKS: i64 = 1 << 50;

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// They differ by no more than rounding.
    Same,
    /// They differ by more than rounding.
    Different,
    /// What they differ by, if they do, is too small to be seen.
    Unknown,
}

/// `number * 2^(512 blocks)`, off by at most `error * 2^(512 blocks)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    number: Complex,
    error: f64,
    blocks: i64,
    /// A term left no trace in a sum on the way here.
    lost: bool,
}

fn size(number: Complex) -> f64 {
    number.length().to_f64()
}

impl Near {
    /// i
    pub const I: Self = Self { number: Complex::I, error: 0.0, blocks: 0, lost: false };
    /// 1
    pub const ONE: Self = Self { number: Complex::ONE, error: 0.0, blocks: 0, lost: false };

    /// A real number that is off by its last digits.
    pub fn constant(value: Double) -> Self {
        Self { number: value.into(), error: value.to_f64() * UNIT, blocks: 0, lost: false }
    }

    /// A small whole number.
    pub fn whole(value: f64) -> Self {
        Self { number: Double::new(value, 0.0).into(), error: 0.0, blocks: 0, lost: false }
    }

    /// A real number times a power of two, off by the last digits if it is `rounded`.
    pub fn scaled(value: Double, power: i64, rounded: bool) -> Option<Self> {
        let (blocks, rest) =
            (power.div_euclid(i64::from(BLOCK)), power.rem_euclid(i64::from(BLOCK)));
        let number = value.times_power_of_two(2_f64.powi(i32::try_from(rest).ok()?));
        let error = if rounded { number.to_f64().abs() * UNIT } else { 0.0 };
        Self { number: number.into(), error, blocks, lost: false }.settled()
    }

    /// Sizes back within a block; `None` where that cannot be.
    fn settled(mut self) -> Option<Self> {
        if !self.number.is_finite() || !self.error.is_finite() {
            return None;
        }
        let (low, high) = (2_f64.powi(-HALF_BLOCK), 2_f64.powi(HALF_BLOCK));
        // Twice is enough: a product or a quotient is at most two blocks away.
        for _ in 0..3 {
            let size = self.number.re.to_f64().abs().max(self.number.im.to_f64().abs());
            if size == 0.0 {
                // Nothing, up to the error, which keeps its block.
                break;
            }
            if size >= high {
                self = self.in_block(self.blocks + 1);
            } else if size < low {
                self = self.in_block(self.blocks - 1);
            } else {
                break;
            }
        }
        (self.blocks.abs() <= MAX_BLOCKS).then_some(self)
    }

    /// The same number counted from another block.
    fn in_block(self, blocks: i64) -> Self {
        let steps = (self.blocks - blocks).clamp(-4, 4) as i32;
        let factor = 2_f64.powi(BLOCK).powi(steps);
        Self {
            number: self.number.times_power_of_two(factor),
            error: self.error * factor,
            blocks,
            ..self
        }
    }

    /// Whether it cannot be told from 0.
    pub fn may_be_zero(&self) -> bool {
        size(self.number) <= 4.0 * self.error
    }

    /// Whether it is a real number.
    pub fn is_real(&self) -> bool {
        self.number.is_real()
    }

    /// Whether it is a real number below 0.
    pub fn is_negative(&self) -> bool {
        self.is_real() && self.number.re.to_f64() < 0.0
    }

    /// The nearest double of its real part; `None` where it is none.
    pub fn to_f64(self) -> Option<f64> {
        let factor = 2_f64.powi(BLOCK).powi(i32::try_from(self.blocks.clamp(-4, 4)).ok()?);
        let value = self.number.re.to_f64() * factor;
        value.is_finite().then_some(value)
    }

    /// How far off it may be, as [`Near::to_f64`] has it.
    pub fn error(self) -> f64 {
        self.error * 2_f64.powi(BLOCK).powi(self.blocks.clamp(-4, 2) as i32)
    }

    /// The same with a note that something was lost on the way.
    pub fn with_loss(self) -> Self {
        Self { lost: true, ..self }
    }

    /// `-self`
    pub fn negated(self) -> Self {
        Self { number: self.number.negated(), ..self }
    }

    /// `self + other`
    pub fn plus(self, other: Self) -> Option<Self> {
        for (zero, rest) in [(other, self), (self, other)] {
            if size(zero.number) == 0.0 && zero.error == 0.0 {
                return Some(Self { lost: self.lost || other.lost, ..rest });
            }
        }
        let (large, small) = if (self.blocks, size(self.number))
            >= (other.blocks, size(other.number))
            && size(self.number) != 0.0
        {
            (self, other)
        } else {
            (other, self)
        };
        let small_is_clear = !small.may_be_zero();
        let small = small.in_block(large.blocks);
        let number = large.number.plus(small.number);
        let trace = size(large.number) * TRACE;
        let gone = small_is_clear && size(small.number) <= trace;
        Self {
            number,
            error: large.error + small.error + size(number) * UNIT,
            blocks: large.blocks,
            lost: large.lost || small.lost || gone,
        }
        .settled()
    }

    /// `self - other`
    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated())
    }

    /// `self * other`
    pub fn times(self, other: Self) -> Option<Self> {
        let number = self.number.times(other.number);
        Self {
            number,
            error: size(self.number) * other.error
                + size(other.number) * self.error
                + self.error * other.error
                + size(number) * UNIT,
            blocks: self.blocks + other.blocks,
            lost: self.lost || other.lost,
        }
        .settled()
    }

    /// `self / other`; `None` where the divisor may be 0.
    pub fn over(self, other: Self) -> Option<Self> {
        if other.may_be_zero() {
            return None;
        }
        let number = self.number.over(other.number);
        let below = size(other.number) - other.error;
        Self {
            number,
            error: (self.error + size(number) * other.error) / below + size(number) * UNIT,
            blocks: self.blocks - other.blocks,
            lost: self.lost || other.lost,
        }
        .settled()
    }

    /// The magnitude.
    pub fn length(self) -> Option<Self> {
        let length = self.number.length();
        let error = self.error + length.to_f64() * UNIT;
        Self { number: length.into(), error, ..self }.settled()
    }

    /// To a whole power.
    pub fn power(self, exponent: i64) -> Option<Self> {
        let (mut result, mut square, mut rest) = (Self::ONE, self, exponent.unsigned_abs());
        while rest > 0 {
            if rest & 1 == 1 {
                result = result.times(square)?;
            }
            rest >>= 1;
            if rest > 0 {
                square = square.times(square)?;
            }
        }
        if exponent < 0 { Self::ONE.over(result) } else { Some(result) }
    }

    /// The principal square root.
    pub fn root(self) -> Option<Self> {
        let even = self.in_block(self.blocks - self.blocks.rem_euclid(2));
        let number = even.number.root();
        let length = size(number);
        let slope = if even.may_be_zero() { even.error.sqrt() } else { even.error / length };
        let error = slope + length * UNIT;
        Self { number, error, blocks: even.blocks / 2, lost: self.lost }.settled()
    }

    /// e to this power.
    pub fn exp(self) -> Option<Self> {
        if self.blocks > 0 || size(self.number) > 1e14 {
            return None;
        }
        let tiny = !self.may_be_zero() && (self.blocks < 0 || size(self.number) < TRACE);
        let plain = self.in_block(0);
        let block = LN_2.times(Double::new(f64::from(BLOCK), 0.0));
        let blocks = (plain.number.re.to_f64() / block.to_f64()).round();
        let rest = plain.number.re.minus(block.times(Double::new(blocks, 0.0)));
        let number = Complex { re: rest, im: plain.number.im }.exp();
        let length = size(number);
        Self {
            number,
            error: length * (plain.error + UNIT * (1.0 + size(plain.number))),
            blocks: blocks as i64,
            lost: self.lost || tiny,
        }
        .settled()
    }

    /// The principal logarithm; `None` where this may be 0.
    pub fn ln(self) -> Option<Self> {
        if self.may_be_zero() {
            return None;
        }
        let block = LN_2.times(Double::new(f64::from(BLOCK), 0.0));
        let number = self.number.ln();
        let shift = block.times(Double::new(self.blocks as f64, 0.0));
        let number = Complex { re: number.re.plus(shift), im: number.im };
        let error = self.error / size(self.number) + UNIT * (1.0 + size(number));
        Self { number, error, blocks: 0, lost: self.lost }.settled()
    }

    /// The root of a degree: the negative one of a negative real number where the degree is odd.
    pub fn root_of(self, degree: u32) -> Option<Self> {
        let degree_odd = degree % 2 == 1;
        if degree == 2 {
            return self.root();
        }
        if self.may_be_zero() {
            return None;
        }
        let turned = self.is_negative() && degree_odd;
        let inside = if turned { self.negated() } else { self };
        let root = inside.ln()?.over(Self::whole(f64::from(degree)))?.exp()?;
        Some(if turned { root.negated() } else { root })
    }

    /// Sine and cosine.
    pub fn sin_cos(self) -> Option<(Self, Self)> {
        if self.blocks > 0 {
            return None;
        }
        let tiny = !self.may_be_zero() && (self.blocks < 0 || size(self.number) < 1e-15);
        let plain = self.in_block(0);
        let (sine, cosine) = plain.number.sin_cos();
        let grown = plain.number.im.to_f64().abs().min(700.0).exp();
        let error = (plain.error + UNIT * (1.0 + size(plain.number))) * grown;
        let of = |number, error, lost| Self { number, error, blocks: 0, lost }.settled();
        let cosine = of(cosine, error, self.lost || tiny)?;
        if tiny {
            // The sine of a small number is the number, to far more digits than there are.
            let third = size(plain.number) * size(plain.number) * size(plain.number);
            return Some((
                of(sine, plain.error + size(sine) * UNIT + third * UNIT, self.lost)?,
                cosine,
            ));
        }
        Some((of(sine, error, self.lost)?, cosine))
    }

    /// The angle whose tangent is a real number.
    fn real_arctan(self) -> Option<Self> {
        if self.blocks > 0 || size(self.number) > 1.0 / TRACE {
            let quarter = Self::constant(PI.times(Double::new(0.5, 0.0))).with_loss();
            return Some(if self.is_negative() { quarter.negated() } else { quarter });
        }
        let plain = self.in_block(0);
        let number = plain.number.re.angle(Double::new(1.0, 0.0)).into();
        Self { number, error: plain.error + size(number) * UNIT, blocks: 0, ..self }.settled()
    }

    /// The inverse tangent.
    pub fn arctan(self) -> Option<Self> {
        if self.is_real() {
            return self.real_arctan();
        }
        // i/2 ln((i + z) / (i - z))
        let ratio = Self::I.plus(self)?.over(Self::I.minus(self)?)?;
        ratio.ln()?.times(Self::I)?.times(Self::whole(0.5))
    }

    /// The inverse sine.
    pub fn arcsin(self) -> Option<Self> {
        // (1 - z)(1 + z) keeps the digits near 1 and -1.
        let below = Self::ONE.minus(self)?.times(Self::ONE.plus(self)?)?;
        if self.is_real() && !below.is_negative() {
            if below.may_be_zero() && below.error == 0.0 {
                let quarter = Self::constant(PI.times(Double::new(0.5, 0.0)));
                return Some(if self.is_negative() { quarter.negated() } else { quarter });
            }
            return self.over(below.root()?)?.real_arctan();
        }
        // -i ln(i z + sqrt(1 - z^2))
        let inside = Self::I.times(self)?.plus(below.root()?)?;
        Some(inside.ln()?.times(Self::I)?.negated())
    }

    /// Whether two numbers are the same.
    pub fn likeness(self, other: Self) -> Likeness {
        let Some(difference) = self.minus(other) else { return Likeness::Unknown };
        if !difference.may_be_zero() {
            return Likeness::Different;
        }
        if self.lost || other.lost {
            return Likeness::Unknown;
        }
        // Rounding must not swallow what is compared: eighteen digits have to be left.
        const LEFT: f64 = 1e-18;
        let largest = if (self.blocks, size(self.number)) > (other.blocks, size(other.number)) {
            self
        } else {
            other
        };
        let error = difference.in_block(largest.blocks).error;
        let both_nothing = self.may_be_zero()
            && other.may_be_zero()
            && (difference.blocks < 0 || difference.blocks == 0 && difference.error <= LEFT);
        if error <= LEFT * size(largest.number) || both_nothing {
            Likeness::Same
        } else {
            Likeness::Unknown
        }
    }

    /// Whether the difference of two numbers is at most that share of the second.
    pub fn close(self, other: Self, share: f64) -> bool {
        let allowed = other.length().and_then(|length| length.times(Self::whole(share)));
        let difference = self.minus(other).and_then(Self::length);
        match (allowed, difference) {
            (Some(allowed), Some(difference)) => {
                difference.minus(allowed).is_some_and(|left| left.number.re.to_f64() <= 0.0)
            }
            _ => false,
        }
    }
}

/// A function of one argument, by name.
pub fn analytic(name: &str, z: Near) -> Option<Near> {
    let half = Near::whole(0.5);
    match name {
        "sin" => Some(z.sin_cos()?.0),
        "cos" => Some(z.sin_cos()?.1),
        "tan" => z.sin_cos().and_then(|(sine, cosine)| sine.over(cosine)),
        "cot" => z.sin_cos().and_then(|(sine, cosine)| cosine.over(sine)),
        "sec" => Near::ONE.over(z.sin_cos()?.1),
        "csc" => Near::ONE.over(z.sin_cos()?.0),
        "arctan" => z.arctan(),
        "arcsin" => z.arcsin(),
        "arccos" => Near::constant(PI).times(half)?.minus(z.arcsin()?),
        "arccot" => Near::constant(PI).times(half)?.minus(z.arctan()?),
        "sinh" => z.exp()?.minus(z.negated().exp()?)?.times(half),
        "cosh" => z.exp()?.plus(z.negated().exp()?)?.times(half),
        "tanh" => {
            let (up, down) = (z.exp()?, z.negated().exp()?);
            up.minus(down)?.over(up.plus(down)?)
        }
        "arsinh" => {
            let root = z.times(z)?.plus(Near::ONE)?.root()?;
            z.plus(root)?.ln()
        }
        "arcosh" => {
            let root = z.minus(Near::ONE)?.root()?.times(z.plus(Near::ONE)?.root()?)?;
            z.plus(root)?.ln()
        }
        "artanh" => {
            let ratio = Near::ONE.plus(z)?.over(Near::ONE.minus(z)?)?;
            ratio.ln()?.times(half)
        }
        "re" => Some(z.times(half)?.plus(z.conjugate().times(half)?)?),
        "im" => {
            let difference = z.minus(z.conjugate())?.times(half)?;
            Some(difference.times(Near::I)?.negated())
        }
        "conjugate" => Some(z.conjugate()),
        _ => None,
    }
}

impl Near {
    /// The number with its imaginary part turned round.
    fn conjugate(self) -> Self {
        let number = Complex { re: self.number.re, im: self.number.im.negated() };
        Self { number, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e_to(power: f64) -> Near {
        Near::whole(power).exp().unwrap()
    }

    #[test]
    fn sizes_have_no_end() {
        let large = e_to(1e6);
        assert_eq!(large.times(e_to(-1e6)).unwrap().likeness(Near::ONE), Likeness::Same);
        assert_eq!(large.ln().unwrap().likeness(Near::whole(1e6)), Likeness::Same);
        assert_eq!(large.root().unwrap().likeness(e_to(5e5)), Likeness::Same);
        assert_eq!(large.likeness(e_to(1e6 + 1.0)), Likeness::Different);
        assert_eq!(
            Near::whole(3.0)
                .power(40_000)
                .unwrap()
                .power(-1)
                .unwrap()
                .power(-1)
                .unwrap()
                .likeness(Near::whole(9.0).power(20_000).unwrap()),
            Likeness::Same
        );
    }

    #[test]
    fn small_numbers_are_not_nothing() {
        let zero = Near::whole(0.0);
        assert_eq!(e_to(-100.0).likeness(zero), Likeness::Different);
        assert_eq!(e_to(-1e6).likeness(zero), Likeness::Different);
        assert_eq!(e_to(-100.0).likeness(e_to(-101.0)), Likeness::Different);
        let root = Near::whole(2.0).root().unwrap();
        assert_eq!(root.minus(root).unwrap().likeness(zero), Likeness::Same);
        // sin(π) is rounding and nothing else.
        let (sine, _) = Near::constant(PI).sin_cos().unwrap();
        assert_eq!(sine.likeness(zero), Likeness::Same);
        assert_eq!(sine.likeness(e_to(-100.0)), Likeness::Unknown);
    }

    #[test]
    fn what_leaves_no_trace_is_remembered() {
        let sum = Near::ONE.plus(e_to(-100.0)).unwrap();
        assert_eq!(sum.likeness(Near::ONE), Likeness::Unknown);
        assert_eq!(sum.likeness(Near::whole(2.0)), Likeness::Different);
        let seen = Near::ONE.plus(e_to(-30.0)).unwrap();
        assert_eq!(seen.likeness(Near::ONE), Likeness::Different);
        assert_eq!(e_to(-80.0).exp().unwrap().likeness(Near::ONE), Likeness::Unknown);
        assert_eq!(
            analytic("tanh", Near::whole(100.0)).unwrap().likeness(Near::ONE),
            Likeness::Unknown
        );
    }

    #[test]
    fn noise_equals_nothing() {
        // A large multiple of what cancels is not every number.
        let root = Near::whole(2.0).root().unwrap();
        let noise = root.minus(root).unwrap().times(Near::whole(10.0).power(40).unwrap()).unwrap();
        assert_eq!(noise.likeness(Near::whole(5.0)), Likeness::Unknown);
        assert_eq!(noise.likeness(Near::whole(0.0)), Likeness::Unknown);
    }

    #[test]
    fn angles() {
        let half = Near::whole(0.5);
        let sixth = Near::constant(PI).over(Near::whole(6.0)).unwrap();
        assert_eq!(half.arcsin().unwrap().likeness(sixth), Likeness::Same);
        let quarter = Near::constant(PI).times(half).unwrap();
        assert_eq!(Near::ONE.arcsin().unwrap().likeness(quarter), Likeness::Same);
        assert_eq!(
            Near::ONE.arcsin().unwrap().likeness(Near::whole(std::f64::consts::FRAC_PI_2)),
            Likeness::Different
        );
        assert_eq!(
            analytic("arccos", Near::ONE.negated()).unwrap().likeness(Near::constant(PI)),
            Likeness::Same
        );
    }
}
