//! Rational numbers of any size, known by what they leave when divided by two primes of 61 bits.
//!
//! Sums, products and powers of such remainders cost the same whatever the size, and two numbers that are made
//! differently and agree in both remainders are the same number but for one chance in 10^36.

use r1x_plugin::integer::Integer;
use r1x_plugin::rational::Rational;

const PRIMES: [u64; 2] = [(1 << 61) - 1, (1 << 61) - 31];

/// A rational number modulo each prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residue([u64; 2]);

fn times(a: u64, b: u64, prime: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(prime)) as u64
}

fn power(mut base: u64, mut exponent: u64, prime: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, base, prime);
        }
        base = times(base, base, prime);
        exponent >>= 1;
    }
    result
}

/// What a whole number leaves when divided by one that fits 64 bits.
fn left(value: &Integer, divisor: u64) -> Option<u64> {
    let (_, rest) = value.magnitude().divided(&Integer::from(i128::from(divisor)))?;
    let rest = rest.to_u64()?;
    Some(if value.is_negative() && rest != 0 { divisor - rest } else { rest })
}

impl Residue {
    fn each(of: impl Fn(usize, u64) -> Option<u64>) -> Option<Self> {
        Some(Self([of(0, PRIMES[0])?, of(1, PRIMES[1])?]))
    }

    /// The residue of a number; `None` where a prime divides its denominator.
    pub fn of(value: &Rational) -> Option<Self> {
        let above = Self::each(|_, prime| left(value.numerator(), prime))?;
        let below = Self::each(|_, prime| left(value.denominator(), prime))?;
        above.over(below)
    }

    /// Whether it is that of 0.
    pub fn is_zero(self) -> bool {
        self.0 == [0, 0]
    }

    /// `-self`
    pub fn negated(self) -> Self {
        let of = |at: usize| if self.0[at] == 0 { 0 } else { PRIMES[at] - self.0[at] };
        Self([of(0), of(1)])
    }

    /// `self + other`
    pub fn plus(self, other: Self) -> Self {
        let of = |at: usize| (self.0[at] + other.0[at]) % PRIMES[at];
        Self([of(0), of(1)])
    }

    /// `self * other`
    pub fn times(self, other: Self) -> Self {
        let of = |at: usize| times(self.0[at], other.0[at], PRIMES[at]);
        Self([of(0), of(1)])
    }

    /// `self / other`; `None` where the divisor leaves 0.
    pub fn over(self, other: Self) -> Option<Self> {
        Self::each(|at, prime| {
            let inverse = power(other.0[at], prime - 2, prime);
            (other.0[at] != 0).then(|| times(self.0[at], inverse, prime))
        })
    }

    /// To a whole power of any size.
    pub fn power(self, exponent: &Integer) -> Option<Self> {
        // Powers repeat after one step less than the prime.
        let result = Self::each(|at, prime| {
            let exponent = left(&exponent.magnitude(), prime - 1)?;
            (self.0[at] != 0).then(|| power(self.0[at], exponent, prime))
        })?;
        if exponent.is_negative() { Self([1, 1]).over(result) } else { Some(result) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Residue {
        let (above, below) = text.split_once('/').unwrap_or((text, "1"));
        let value = Rational::parse(above).unwrap().over(&Rational::parse(below).unwrap()).unwrap();
        Residue::of(&value).unwrap()
    }

    #[test]
    fn arithmetic_is_that_of_the_numbers() {
        assert_eq!(of("1/3").plus(of("1/6")), of("1/2"));
        assert_eq!(of("-2/7").times(of("7/2")), of("-1"));
        assert_eq!(of("5").over(of("-4/3")), Some(of("-15/4")));
        assert_eq!(of("2/3").power(&Integer::from(-5)), Some(of("243/32")));
        assert!(of("5").plus(of("5").negated()).is_zero());
        assert_eq!(of("1").over(of("0")), None);
        let long = "123456789012345678901234567890";
        assert_eq!(of(long).times(of("1/10")).times(of("10")), of(long));
        assert_ne!(of(long), of("123456789012345678901234567891"));
    }

    #[test]
    fn both_are_primes() {
        // Fermat's test to many bases, none of which would hold for a composite number by chance.
        for (prime, base) in PRIMES.iter().flat_map(|prime| (2..40).map(move |base| (*prime, base)))
        {
            assert_eq!(power(base, prime - 1, prime), 1, "{base}, {prime}");
        }
    }
}
