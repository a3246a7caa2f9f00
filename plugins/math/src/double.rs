//! Numbers of twice a double's precision, and complex pairs of them: about 31 digits, from additions and
//! multiplications only, so that every machine gets the same bits.
//!
//! The basic operations are kept out of line: inlined, they would fill the component with copies. What overflows
//! becomes infinite or not a number; callers check `is_finite`.

/// The sum of two doubles, the second far smaller than the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Double {
    hi: f64,
    lo: f64,
}

/// The circle's half turn.
pub const PI: Double = Double { hi: std::f64::consts::PI, lo: 1.224_646_799_147_353_2e-16 };
/// Euler's number.
pub const E: Double = Double { hi: std::f64::consts::E, lo: 1.445_646_891_729_250_2e-16 };
/// The natural logarithm of 2.
pub const LN_2: Double = Double { hi: std::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };
const ZERO: Double = Double { hi: 0.0, lo: 0.0 };
const ONE: Double = Double { hi: 1.0, lo: 0.0 };

/// Both parts of a sum of doubles.
fn two_sum(a: f64, b: f64) -> Double {
    let hi = a + b;
    let part = hi - a;
    Double { hi, lo: (a - (hi - part)) + (b - part) }
}

/// The same, where `a` is not smaller than `b`.
fn quick_sum(a: f64, b: f64) -> Double {
    let hi = a + b;
    Double { hi, lo: b - (hi - a) }
}

/// Both parts of a product of doubles.
fn two_product(a: f64, b: f64) -> Double {
    let split = |x: f64| {
        let scaled = 134_217_729.0 * x;
        let high = scaled - (scaled - x);
        (high, x - high)
    };
    let hi = a * b;
    let ((a_hi, a_lo), (b_hi, b_lo)) = (split(a), split(b));
    Double { hi, lo: ((a_hi * b_hi - hi) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo }
}

impl Double {
    /// A value from its parts, largest first.
    pub fn new(hi: f64, lo: f64) -> Self {
        two_sum(hi, lo)
    }

    /// Whether neither part is infinite or not a number.
    pub fn is_finite(self) -> bool {
        self.hi.is_finite() && self.lo.is_finite()
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        self.hi + self.lo
    }

    /// `self + other`.
    #[inline(never)]
    pub fn plus(self, other: Self) -> Self {
        let (high, low) = (two_sum(self.hi, other.hi), two_sum(self.lo, other.lo));
        let sum = quick_sum(high.hi, high.lo + low.hi);
        quick_sum(sum.hi, sum.lo + low.lo)
    }

    /// `-self`.
    pub fn negated(self) -> Self {
        Self { hi: -self.hi, lo: -self.lo }
    }

    /// `self - other`.
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// `self * other`.
    #[inline(never)]
    pub fn times(self, other: Self) -> Self {
        let product = two_product(self.hi, other.hi);
        quick_sum(product.hi, product.lo + self.hi * other.lo + self.lo * other.hi)
    }

    /// Times a power of two, which changes no digit.
    pub fn times_power_of_two(self, factor: f64) -> Self {
        Self { hi: self.hi * factor, lo: self.lo * factor }
    }

    fn scaled(self, factor: f64) -> Self {
        self.times(Self { hi: factor, lo: 0.0 })
    }

    /// `self / other`.
    #[inline(never)]
    pub fn over(self, other: Self) -> Self {
        let first = self.hi / other.hi;
        let rest = self.minus(other.scaled(first));
        let second = rest.hi / other.hi;
        let rest = rest.minus(other.scaled(second));
        let sum = quick_sum(first, second);
        sum.plus(Self { hi: rest.hi / other.hi, lo: 0.0 })
    }

    /// The magnitude.
    pub fn magnitude(self) -> Self {
        if self.hi < 0.0 { self.negated() } else { self }
    }

    /// The square root; not a number below 0.
    pub fn root(self) -> Self {
        if self.hi == 0.0 {
            return ZERO;
        }
        let guess = Self { hi: self.hi.sqrt(), lo: 0.0 };
        // Two steps of Newton double the digits twice.
        (0..2).fold(guess, |guess, _| guess.plus(self.over(guess)).scaled(0.5))
    }

    /// e to this power.
    pub fn exp(self) -> Self {
        if self.hi > 700.0 {
            return Self { hi: f64::INFINITY, lo: 0.0 };
        }
        if self.hi < -700.0 {
            return ZERO;
        }
        let whole = (self.hi / LN_2.hi).round();
        let small = self.minus(LN_2.scaled(whole)).scaled(1.0 / 512.0);
        let (mut term, mut sum) = (ONE, ZERO);
        for step in 1..=12 {
            term = term.times(small).scaled(1.0).over(Self { hi: f64::from(step), lo: 0.0 });
            sum = sum.plus(term);
        }
        // (1 + s)^2 - 1 = 2 s + s^2, which keeps the small part's digits.
        for _ in 0..9 {
            sum = sum.scaled(2.0).plus(sum.times(sum));
        }
        sum.plus(ONE).scaled(2_f64.powi(whole as i32))
    }

    /// The natural logarithm; not a number at 0 and below.
    pub fn ln(self) -> Self {
        if self.hi <= 0.0 {
            return Self { hi: f64::NAN, lo: 0.0 };
        }
        let guess = Self { hi: self.hi.ln(), lo: 0.0 };
        (0..2).fold(guess, |guess, _| guess.plus(self.times(guess.negated().exp())).minus(ONE))
    }

    /// Sine and cosine; not a number where the turn would be lost in rounding.
    pub fn sin_cos(self) -> (Self, Self) {
        if self.hi.is_nan() || self.hi.abs() > 1e6 {
            let lost = Self { hi: f64::NAN, lo: 0.0 };
            return (lost, lost);
        }
        let quarter = (self.hi / (PI.hi / 2.0)).round();
        let small = self.minus(PI.scaled(0.5).scaled(quarter));
        let (sine, cosine) = (series(small, 1), series(small, 0));
        match (quarter as i64).rem_euclid(4) {
            0 => (sine, cosine),
            1 => (cosine, sine.negated()),
            2 => (sine.negated(), cosine.negated()),
            _ => (cosine.negated(), sine),
        }
    }

    /// The angle of the point (`x`, `self`), in (-π, π].
    pub fn angle(self, x: Self) -> Self {
        let length = x.times(x).plus(self.times(self)).root();
        if length.hi == 0.0 {
            return ZERO;
        }
        let guess = Self { hi: self.hi.atan2(x.hi), lo: 0.0 };
        (0..2).fold(guess, |guess, _| {
            let (sine, cosine) = guess.sin_cos();
            guess.plus(self.times(cosine).minus(x.times(sine)).over(length))
        })
    }
}

/// The sine's (`from` 1) or cosine's (`from` 0) series, for a small argument.
fn series(x: Double, from: i32) -> Double {
    let square = x.times(x).negated();
    let mut term = if from == 1 { x } else { ONE };
    let mut sum = term;
    for step in 1..=14 {
        let at = f64::from(2 * step + from);
        term = term.times(square).over(Double { hi: at * (at - 1.0), lo: 0.0 });
        sum = sum.plus(term);
    }
    sum
}

/// A complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Complex {
    /// The real part.
    pub re: Double,
    /// The imaginary part.
    pub im: Double,
}

impl From<Double> for Complex {
    fn from(re: Double) -> Self {
        Self { re, im: ZERO }
    }
}

impl Complex {
    /// The square root of -1.
    pub const I: Self = Self { re: ZERO, im: ONE };
    /// 1.
    pub const ONE: Self = Self { re: ONE, im: ZERO };

    /// Times a power of two, which changes no digit.
    pub fn times_power_of_two(self, factor: f64) -> Self {
        Self { re: self.re.times_power_of_two(factor), im: self.im.times_power_of_two(factor) }
    }

    /// Whether both parts are finite.
    pub fn is_finite(self) -> bool {
        self.re.is_finite() && self.im.is_finite()
    }

    /// Whether the imaginary part is 0, exactly.
    pub fn is_real(self) -> bool {
        self.im.hi == 0.0
    }

    /// `self + other`.
    pub fn plus(self, other: Self) -> Self {
        Self { re: self.re.plus(other.re), im: self.im.plus(other.im) }
    }

    /// `-self`.
    pub fn negated(self) -> Self {
        Self { re: self.re.negated(), im: self.im.negated() }
    }

    /// `self - other`.
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// `self * other`.
    pub fn times(self, other: Self) -> Self {
        Self {
            re: self.re.times(other.re).minus(self.im.times(other.im)),
            im: self.re.times(other.im).plus(self.im.times(other.re)),
        }
    }

    /// `self / other`.
    pub fn over(self, other: Self) -> Self {
        let square = other.re.times(other.re).plus(other.im.times(other.im));
        let turned = self.times(Self { re: other.re, im: other.im.negated() });
        Self { re: turned.re.over(square), im: turned.im.over(square) }
    }

    /// The distance from 0.
    pub fn length(self) -> Double {
        if self.is_real() {
            return self.re.magnitude();
        }
        self.re.times(self.re).plus(self.im.times(self.im)).root()
    }

    /// e to this power.
    pub fn exp(self) -> Self {
        let length = self.re.exp();
        if self.is_real() {
            return length.into();
        }
        let (sine, cosine) = self.im.sin_cos();
        Self { re: length.times(cosine), im: length.times(sine) }
    }

    /// The principal logarithm.
    pub fn ln(self) -> Self {
        if self.is_real() && self.re.hi > 0.0 {
            return self.re.ln().into();
        }
        Self { re: self.length().ln(), im: self.im.angle(self.re) }
    }

    /// The principal square root.
    pub fn root(self) -> Self {
        match (self.is_real(), self.re.hi < 0.0) {
            (true, false) => self.re.root().into(),
            (true, true) => Self { re: ZERO, im: self.re.negated().root() },
            _ => self.ln().times(Self::from(ONE.scaled(0.5))).exp(),
        }
    }

    /// Sine and cosine.
    pub fn sin_cos(self) -> (Self, Self) {
        if self.is_real() {
            let (sine, cosine) = self.re.sin_cos();
            return (sine.into(), cosine.into());
        }
        let (up, down) = (self.times(Self::I).exp(), self.times(Self::I).negated().exp());
        let half = Self::from(ONE.scaled(0.5));
        (up.minus(down).times(half).times(Self::I).negated(), up.plus(down).times(half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: Double, right: Double, what: &str) {
        let difference = left.minus(right).to_f64().abs();
        assert!(difference < 1e-29, "{what}: {left:?} {right:?} {difference:e}");
    }

    fn number(value: f64) -> Double {
        Double::new(value, 0.0)
    }

    #[test]
    fn identities_hold_to_thirty_digits() {
        let two = number(2.0);
        close(two.root().times(two.root()), two, "root");
        close(ONE.over(number(3.0)).times(number(3.0)), ONE, "quotient");
        close(ONE.exp(), E, "e");
        close(number(10.0).ln().exp().over(number(10.0)), ONE, "ln, exp");
        close(two.ln(), LN_2, "ln 2");
        let (sine, cosine) = PI.over(number(6.0)).sin_cos();
        close(sine, number(0.5), "sin of 30 degrees");
        close(cosine, number(0.75).root(), "cos of 30 degrees");
        let (sine, cosine) = number(-37.25).sin_cos();
        close(sine.times(sine).plus(cosine.times(cosine)), ONE, "on the circle");
        close(ONE.angle(ONE).scaled(4.0), PI, "angle");
        close(ZERO.angle(ONE.negated()), PI, "half turn");
    }

    #[test]
    fn complex_functions_agree() {
        let z = Complex { re: number(0.7), im: number(-1.3) };
        let root = z.root();
        assert!(root.times(root).minus(z).length().to_f64() < 1e-29);
        let (sine, cosine) = z.sin_cos();
        let one = sine.times(sine).plus(cosine.times(cosine));
        assert!(one.minus(Complex::ONE).length().to_f64() < 1e-28);
        assert!(z.over(z).minus(Complex::ONE).length().to_f64() < 1e-30);
        let minus_one = Complex { re: ZERO, im: PI }.exp();
        assert!(minus_one.plus(Complex::ONE).length().to_f64() < 1e-30);
    }
}
