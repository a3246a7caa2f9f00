//! The value of an expression at a point: exact as long as it is rational and small, else to 31 digits.
//!
//! Must not know how expressions are written, nor what makes two answers equal.

use r1x_plugin::integer::Integer;
use r1x_plugin::rational::Rational;

use crate::double::{Complex, Double, E, PI};
use crate::node::{Constant, Node, Sign};

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Exactly this.
    Exact(Rational),
    /// This to about 31 digits.
    Near(Complex),
    /// Infinite; whether below 0.
    Infinite(bool),
}

/// Where expressions are evaluated: which sign `±` has, what variables are worth, how long exact numbers may be.
pub struct Point<'a> {
    /// `±` is `+`.
    pub upper: bool,
    /// The value of a variable.
    pub variable: &'a dyn Fn(&str) -> Rational,
    /// Largest exact number, bits; beyond it values are near.
    pub max_bits: u64,
}

/// Largest factorial and binomial.
const MAX_FACTORIAL: u64 = 200;
/// Largest exact power.
const MAX_POWER: i64 = 4096;

/// A rational as a number of twice a double's precision.
fn double(value: &Rational) -> Option<Double> {
    let hi = value.to_f64();
    let rest = value.minus(&Rational::from_f64(hi)?)?;
    Some(Double::new(hi, rest.to_f64()))
}

impl Value {
    fn whole(value: i128) -> Self {
        Self::Exact(Rational::from(value))
    }

    /// The value as a complex number; `None` where it is infinite.
    pub fn complex(&self) -> Option<Complex> {
        match self {
            Self::Exact(value) => double(value).map(Complex::from),
            Self::Near(value) => Some(*value),
            Self::Infinite(_) => None,
        }
    }

    /// Whether two values are the same: exactly where both are exact, else to 22 digits.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Infinite(a), Self::Infinite(b)) => a == b,
            _ => match (self.complex(), other.complex()) {
                (Some(a), Some(b)) => {
                    let size = a.length().to_f64().max(b.length().to_f64());
                    a.minus(b).length().to_f64() <= size * 1e-22 + 1e-26
                }
                _ => false,
            },
        }
    }

    /// Whether two real values differ by at most that share of the second.
    pub fn close(&self, other: &Self, tolerance: f64) -> bool {
        match (self.complex(), other.complex()) {
            (Some(a), Some(b)) => a.minus(b).length().to_f64() <= tolerance * b.length().to_f64(),
            _ => false,
        }
    }

    fn negated(&self) -> Self {
        match self {
            Self::Exact(value) => Self::Exact(value.negated()),
            Self::Near(value) => Self::Near(value.negated()),
            Self::Infinite(negative) => Self::Infinite(!negative),
        }
    }

    fn exact(&self) -> Option<&Rational> {
        match self {
            Self::Exact(value) => Some(value),
            _ => None,
        }
    }
}

impl Point<'_> {
    /// The value of an expression; `None` where it has none, or none that can be reached within the limits.
    pub fn value(&self, node: &Node) -> Option<Value> {
        let value = match node {
            Node::Number(value, _) | Node::Based(_, _, value) => Value::Exact(value.clone()),
            Node::Constant(Constant::Pi) => Value::Near(PI.into()),
            Node::Constant(Constant::E) => Value::Near(E.into()),
            Node::Constant(Constant::I) => Value::Near(Complex::I),
            Node::Constant(Constant::Infinity) => Value::Infinite(false),
            Node::Symbol(name) => Value::Exact((self.variable)(name)),
            Node::Sum(terms) => self.sum(terms)?,
            Node::Product(factors) => {
                let mut product = Value::whole(1);
                for factor in factors {
                    product = self.times(&product, &self.value(factor)?)?;
                }
                product
            }
            Node::Quotient(above, below) => self.over(&self.value(above)?, &self.value(below)?)?,
            Node::Power(base, exponent) => {
                self.power(&self.value(base)?, &self.value(exponent)?)?
            }
            Node::Root(degree, inside) => {
                let degree = self.value(degree)?;
                self.root(degree.exact()?.whole()?.to_u64()?, &self.value(inside)?)?
            }
            Node::Function(name, arguments) => {
                let arguments: Option<Vec<Value>> =
                    arguments.iter().map(|argument| self.value(argument)).collect();
                self.function(name, &arguments?)?
            }
            Node::Unit(value, _) => self.value(value)?,
            _ => return None,
        };
        match &value {
            Value::Near(near) if !near.is_finite() => None,
            Value::Exact(exact) if exact.bits() > self.max_bits => {
                Some(Value::Near(value.complex()?))
            }
            _ => Some(value),
        }
    }

    fn sum(&self, terms: &[(Sign, Node)]) -> Option<Value> {
        let mut sum = Value::whole(0);
        for (sign, term) in terms {
            let value = self.value(term)?;
            let negative = match sign {
                Sign::Plus => false,
                Sign::Minus => true,
                Sign::PlusMinus => !self.upper,
                Sign::MinusPlus => self.upper,
            };
            let value = if negative { value.negated() } else { value };
            sum = match (&sum, &value) {
                (Value::Infinite(a), Value::Infinite(b)) if a != b => return None,
                (Value::Infinite(_), _) => sum,
                (_, Value::Infinite(_)) => value,
                _ => combine(&sum, &value, Rational::plus, |a, b| a.plus(b))?,
            };
        }
        Some(sum)
    }

    fn times(&self, left: &Value, right: &Value) -> Option<Value> {
        combine(left, right, Rational::times, |a, b| a.times(b))
    }

    fn over(&self, left: &Value, right: &Value) -> Option<Value> {
        if is_zero(right)? {
            return None;
        }
        combine(left, right, Rational::over, |a, b| a.over(b))
    }

    fn power(&self, base: &Value, exponent: &Value) -> Option<Value> {
        if let Value::Exact(exponent) = exponent {
            if let Some(whole) = exponent.whole() {
                return self.whole_power(base, whole);
            }
            // A rational power is a root of a whole power: (-8)^{1/3} is -2, as answers mean it.
            let degree = exponent.denominator().to_u64().filter(|degree| *degree <= 64)?;
            let root = self.root(degree, base)?;
            return self.whole_power(&root, exponent.numerator());
        }
        if is_zero(base)? {
            return None;
        }
        let logarithm = base.complex()?.ln();
        Some(Value::Near(logarithm.times(exponent.complex()?).exp()))
    }

    fn whole_power(&self, base: &Value, exponent: &Integer) -> Option<Value> {
        let power = exponent.to_i64()?;
        if is_zero(base)? && power <= 0 {
            return None;
        }
        if let Value::Exact(base) = base
            && (base.bits() - 1).saturating_mul(power.unsigned_abs()) <= self.max_bits
            && power.abs() <= MAX_POWER
        {
            return base.power(power).map(Value::Exact);
        }
        let mut square = base.complex()?;
        let (mut result, mut rest) = (Complex::ONE, power.unsigned_abs());
        while rest > 0 {
            if rest & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            rest >>= 1;
            if !result.is_finite() {
                return None;
            }
        }
        Some(Value::Near(if power < 0 { Complex::ONE.over(result) } else { result }))
    }

    fn root(&self, degree: u64, inside: &Value) -> Option<Value> {
        let degree = u32::try_from(degree).ok().filter(|degree| (1..=64).contains(degree))?;
        if let Value::Exact(exact) = inside
            && let Some(root) = exact.root(degree)
        {
            return Some(Value::Exact(root));
        }
        if is_zero(inside)? {
            return Some(Value::whole(0));
        }
        let inside = inside.complex()?;
        if degree == 2 {
            return Some(Value::Near(inside.root()));
        }
        let share = Complex::from(Double::new(f64::from(degree), 0.0));
        let negative = inside.is_real() && inside.re.to_f64() < 0.0 && degree % 2 == 1;
        let inside = if negative { inside.negated() } else { inside };
        let root = inside.ln().over(share).exp();
        Some(Value::Near(if negative { root.negated() } else { root }))
    }

    fn function(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        let first = arguments.first()?;
        match (name, arguments) {
            ("factorial", [_]) => factorial(natural(first)?),
            ("binom", [above, below]) => binomial(natural(above)?, natural(below)?),
            ("floor" | "ceil", [Value::Exact(value)]) => rounded(value, name == "ceil"),
            ("floor" | "ceil", [Value::Near(value)]) if value.is_real() => {
                // Away from whole numbers, where the last digits cannot decide.
                let near = value.re.to_f64();
                let clear = near.abs() < 1e15 && (near - near.round()).abs() > 1e-9;
                clear.then(|| rounded(&Rational::from_f64(near)?, name == "ceil")).flatten()
            }
            ("abs", [Value::Exact(value)]) => Some(Value::Exact(if value.is_negative() {
                value.negated()
            } else {
                value.clone()
            })),
            ("abs", [_]) => Some(Value::Near(first.complex()?.length().into())),
            // Without a base it is left open whether 10 or e is meant; textbooks' answers mean 10.
            ("log", [argument]) => self.logarithm(argument, &Value::whole(10)),
            ("log", [argument, base]) => self.logarithm(argument, base),
            ("ln", [argument]) if !is_zero(argument)? => {
                Some(Value::Near(argument.complex()?.ln()))
            }
            ("exp", [argument]) => Some(Value::Near(argument.complex()?.exp())),
            (_, [argument]) => analytic(name, argument.complex()?).map(Value::Near),
            _ => None,
        }
    }

    fn logarithm(&self, argument: &Value, base: &Value) -> Option<Value> {
        if is_zero(argument)? || is_zero(base)? {
            return None;
        }
        let below = base.complex()?.ln();
        if below.length().to_f64() == 0.0 {
            return None;
        }
        Some(Value::Near(argument.complex()?.ln().over(below)))
    }
}

/// Combines two numbers exactly where that is possible, else nearly.
fn combine(
    left: &Value,
    right: &Value,
    exact: impl Fn(&Rational, &Rational) -> Option<Rational>,
    near: impl Fn(Complex, Complex) -> Complex,
) -> Option<Value> {
    if let (Value::Exact(left), Value::Exact(right)) = (left, right)
        && let Some(value) = exact(left, right)
    {
        return Some(Value::Exact(value));
    }
    Some(Value::Near(near(left.complex()?, right.complex()?)))
}

fn is_zero(value: &Value) -> Option<bool> {
    match value {
        Value::Exact(value) => Some(value.is_zero()),
        Value::Near(value) => Some(value.length().to_f64() < 1e-26),
        Value::Infinite(_) => None,
    }
}

fn natural(value: &Value) -> Option<u64> {
    value.exact()?.whole()?.to_u64().filter(|value| *value <= MAX_FACTORIAL)
}

fn factorial(value: u64) -> Option<Value> {
    let product = (1..=value).fold(Integer::from(1), |product, factor| {
        product.times(&Integer::from(i128::from(factor)))
    });
    Rational::new(product, Integer::from(1)).map(Value::Exact)
}

fn binomial(above: u64, below: u64) -> Option<Value> {
    let mut value = Rational::from(i128::from(below <= above));
    for step in 0..below.min(above) {
        value = value.times(&Rational::from(i128::from(above - step)))?;
        value = value.over(&Rational::from(i128::from(step + 1)))?;
    }
    Some(Value::Exact(value))
}

fn rounded(value: &Rational, up: bool) -> Option<Value> {
    let value = if up { value.negated() } else { value.clone() };
    let down = value.numerator().divided_down(value.denominator())?;
    let down = if up { down.negated() } else { down };
    Rational::new(down, Integer::from(1)).map(Value::Exact)
}

/// Functions of one complex argument.
fn analytic(name: &str, z: Complex) -> Option<Complex> {
    let (one, i) = (Complex::ONE, Complex::I);
    let half = Complex::from(Double::new(0.5, 0.0));
    let quotient = |above: Complex, below: Complex| {
        (below.length().to_f64() > 1e-26).then(|| above.over(below))
    };
    let arctan = |z: Complex| {
        // i/2 ln((i + z) / (i - z)), and for real numbers the angle.
        if z.is_real() {
            Some(Complex::from(z.re.angle(one.re)))
        } else {
            quotient(i.plus(z), i.minus(z)).map(|ratio| ratio.ln().times(i).times(half))
        }
    };
    let arcsin = |z: Complex| {
        // -i ln(i z + sqrt(1 - z^2))
        i.times(z).plus(one.minus(z.times(z)).root()).ln().times(i).negated()
    };
    let (sine, cosine) = z.sin_cos();
    match name {
        "sin" => Some(sine),
        "cos" => Some(cosine),
        "tan" => quotient(sine, cosine),
        "cot" => quotient(cosine, sine),
        "sec" => quotient(one, cosine),
        "csc" => quotient(one, sine),
        "arctan" => arctan(z),
        "arcsin" => Some(arcsin(z)),
        "arccos" => Some(Complex::from(PI).times(half).minus(arcsin(z))),
        "sinh" => Some(z.exp().minus(z.negated().exp()).times(half)),
        "cosh" => Some(z.exp().plus(z.negated().exp()).times(half)),
        "tanh" => {
            let (up, down) = (z.exp(), z.negated().exp());
            quotient(up.minus(down), up.plus(down))
        }
        _ => None,
    }
}
