//! The value of an expression at a point: exact as long as it is rational and small; else about thirty digits
//! of it with the error they have, and where it is rational its remainders as well.

mod count;
mod determinant;
pub mod near;
mod residue;

use std::cell::Cell;

use r1x_plugin::integer::Integer;
use r1x_plugin::rational::Rational;

use crate::double::{Double, E, PI};
use crate::node::{Constant, Node, Sign};
use near::{Likeness, Near, analytic};
use residue::Residue;

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Exactly this.
    Exact(Rational),
    /// A rational number that is too long to write down.
    Long(Residue, Near),
    /// About this.
    Near(Near),
    /// Infinite; whether below 0.
    Infinite(bool),
}

/// Where expressions are evaluated: which sign `±` has, what variables are worth, how long exact numbers may be.
pub struct Point<'a> {
    /// `±` is `+`.
    pub upper: bool,
    /// The value of a variable.
    pub variable: &'a dyn Fn(&str) -> Rational,
    /// Largest exact number, bits.
    pub max_bits: u64,
    /// Steps that are left; what needs more has no value.
    pub work: &'a Cell<u64>,
}

/// Largest exact power.
const MAX_POWER: i64 = 4096;

/// A rational to thirty digits.
fn near(value: &Rational) -> Option<Near> {
    // Both numbers by their first 104 bits: a quotient of long numbers is not one of doubles.
    let part = |value: &Integer| -> Option<Near> {
        let shift = value.bits().saturating_sub(104);
        let top = value.magnitude().shifted_down(shift);
        let hi = top.to_f64();
        let rest = Rational::new(top, Integer::from(1))?.minus(&Rational::from_f64(hi)?)?;
        let double = Double::new(hi, rest.to_f64());
        let near = Near::scaled(double, i64::try_from(shift).ok()?, shift > 0)?;
        Some(if value.is_negative() { near.negated() } else { near })
    };
    let above = part(value.numerator())?;
    if value.whole().is_some() { Some(above) } else { above.over(part(value.denominator())?) }
}

impl Value {
    pub(crate) fn whole(value: i128) -> Self {
        Self::Exact(Rational::from(value))
    }

    /// The value to thirty digits; `None` where it is infinite.
    pub fn near(&self) -> Option<Near> {
        match self {
            Self::Exact(value) => near(value),
            Self::Long(_, value) | Self::Near(value) => Some(*value),
            Self::Infinite(_) => None,
        }
    }

    fn residue(&self) -> Option<Residue> {
        match self {
            Self::Exact(value) => Residue::of(value),
            Self::Long(residue, _) => Some(*residue),
            _ => None,
        }
    }

    /// A rational number of which only the remainders and the first digits are known.
    fn long(residue: Option<Residue>, near: Near) -> Self {
        match residue {
            Some(residue) if residue.is_zero() && near.may_be_zero() => Self::whole(0),
            Some(residue) => Self::Long(residue, near),
            // Its digits alone cannot tell it from a neighbour.
            None => Self::Near(near.with_loss()),
        }
    }

    /// Whether two values are the same: exactly where both are rational, else as far as their digits go.
    pub fn likeness(&self, other: &Self) -> Likeness {
        let sure = |same| if same { Likeness::Same } else { Likeness::Different };
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => sure(a == b),
            (Self::Infinite(a), Self::Infinite(b)) => sure(a == b),
            (Self::Infinite(_), _) | (_, Self::Infinite(_)) => Likeness::Different,
            _ => {
                let residues = self.residue().zip(other.residue());
                let (Some(a), Some(b)) = (self.near(), other.near()) else {
                    return Likeness::Unknown;
                };
                match (residues, a.likeness(b)) {
                    (Some((a, b)), likeness) if likeness != Likeness::Different => sure(a == b),
                    (_, likeness) => likeness,
                }
            }
        }
    }

    /// Whether two values differ by at most that share of the second.
    pub fn close(&self, other: &Self, tolerance: f64) -> bool {
        match (self.near(), other.near()) {
            (Some(a), Some(b)) => a.close(b, tolerance),
            _ => false,
        }
    }

    /// -1, 0 or 1 where it is a real number whose sign is clear.
    pub fn sign(&self) -> Option<i8> {
        match self {
            Self::Exact(value) if value.is_zero() => Some(0),
            Self::Exact(value) => Some(if value.is_negative() { -1 } else { 1 }),
            Self::Infinite(negative) => Some(if *negative { -1 } else { 1 }),
            Self::Long(_, near) | Self::Near(near) if near.is_real() && !near.may_be_zero() => {
                Some(if near.is_negative() { -1 } else { 1 })
            }
            _ => None,
        }
    }

    pub(crate) fn negated(&self) -> Self {
        match self {
            Self::Exact(value) => Self::Exact(value.negated()),
            Self::Long(residue, near) => Self::Long(residue.negated(), near.negated()),
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

    /// `None` where that cannot be told.
    fn is_zero(&self) -> Option<bool> {
        match self {
            Self::Exact(value) => Some(value.is_zero()),
            Self::Long(..) => Some(false),
            Self::Near(value) => Some(value.may_be_zero()),
            Self::Infinite(_) => None,
        }
    }
}

impl Point<'_> {
    /// The value of an expression; `None` where it has none, or none that can be reached within the limits.
    pub fn value(&self, node: &Node) -> Option<Value> {
        self.spend(1)?;
        let value = match node {
            Node::Number(value, _) | Node::Based(_, _, value) => Value::Exact(value.clone()),
            Node::Constant(Constant::Pi) => Value::Near(Near::constant(PI)),
            Node::Constant(Constant::E) => Value::Near(Near::constant(E)),
            Node::Constant(Constant::I) => Value::Near(Near::I),
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
            Node::Root(degree, inside) => self.root(&self.value(degree)?, &self.value(inside)?)?,
            Node::Function("abs" | "det", arguments)
                if matches!(&arguments[..], [Node::Matrix(_)]) =>
            {
                let [Node::Matrix(rows)] = &arguments[..] else { return None };
                self.determinant(rows)?
            }
            Node::Function(name, arguments) => {
                let arguments: Option<Vec<Value>> =
                    arguments.iter().map(|argument| self.value(argument)).collect();
                self.function(name, &arguments?)?
            }
            Node::Unit(value, _) => self.value(value)?,
            // Parts to one another are their quotient.
            Node::Ratio(parts) => match &parts[..] {
                [above, below] if !node.may_be_time() => {
                    self.over(&self.value(above)?, &self.value(below)?)?
                }
                _ => return None,
            },
            _ => return None,
        };
        self.bounded(value)
    }

    /// Takes steps from those that are left.
    fn spend(&self, steps: u64) -> Option<()> {
        let left = self.work.get().checked_sub(steps)?;
        self.work.set(left);
        Some(())
    }

    /// A number that is too long is one of which the remainders are kept.
    fn bounded(&self, value: Value) -> Option<Value> {
        match &value {
            Value::Exact(exact) if exact.bits() > self.max_bits => {
                Some(Value::long(Residue::of(exact), near(exact)?))
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
                _ => self.plus(&sum, &value)?,
            };
        }
        Some(sum)
    }

    fn plus(&self, left: &Value, right: &Value) -> Option<Value> {
        self.combine(left, right, Rational::plus, |a, b| Some(a.plus(b)), Near::plus)
    }

    fn times(&self, left: &Value, right: &Value) -> Option<Value> {
        if let (Value::Infinite(negative), other) | (other, Value::Infinite(negative)) =
            (left, right)
        {
            // A multiple of infinity is infinite.
            let sign = other.sign().filter(|sign| *sign != 0)?;
            return Some(Value::Infinite(*negative != (sign < 0)));
        }
        self.combine(left, right, Rational::times, |a, b| Some(a.times(b)), Near::times)
    }

    fn over(&self, left: &Value, right: &Value) -> Option<Value> {
        if right.is_zero()? {
            return None;
        }
        self.combine(left, right, Rational::over, Residue::over, Near::over)
    }

    /// Combines two numbers exactly where that is possible, else by remainders, else nearly.
    fn combine(
        &self,
        left: &Value,
        right: &Value,
        exact: impl Fn(&Rational, &Rational) -> Option<Rational>,
        residue: impl Fn(Residue, Residue) -> Option<Residue>,
        nearly: impl Fn(Near, Near) -> Option<Near>,
    ) -> Option<Value> {
        if let (Value::Exact(left), Value::Exact(right)) = (left, right)
            && let Some(value) = exact(left, right)
        {
            return self.bounded(Value::Exact(value));
        }
        self.spend(4)?;
        let near = nearly(left.near()?, right.near()?)?;
        let rational = !matches!(left, Value::Near(_)) && !matches!(right, Value::Near(_));
        if rational {
            let both = left.residue().zip(right.residue());
            return Some(Value::long(both.and_then(|(left, right)| residue(left, right)), near));
        }
        Some(Value::Near(near))
    }

    fn power(&self, base: &Value, exponent: &Value) -> Option<Value> {
        if let Value::Exact(exponent) = exponent {
            if let Some(whole) = exponent.whole() {
                return self.whole_power(base, whole);
            }
            // A simple rational power is a root of a whole power: (-8)^{1/3} is -2, as answers mean it.
            if let Some(degree) = exponent.denominator().to_u64().filter(|degree| *degree <= 64) {
                let root = self.root(&Value::whole(i128::from(degree)), base)?;
                return self.whole_power(&root, exponent.numerator());
            }
        }
        if base.is_zero()? {
            return None;
        }
        self.spend(20)?;
        let logarithm = base.near()?.ln()?;
        Some(Value::Near(logarithm.times(exponent.near()?)?.exp()?))
    }

    fn whole_power(&self, base: &Value, exponent: &Integer) -> Option<Value> {
        if exponent.is_zero() {
            // 0^0 has no value.
            return (!base.is_zero()?).then(|| Value::whole(1));
        }
        if base.is_zero()? && exponent.is_negative() {
            return None;
        }
        if let Value::Exact(base) = base
            && (base.is_zero() || base.bits() == 1 && base.whole().is_some())
        {
            // 0, 1 and -1 stay as they are for every exponent.
            let turned = base.is_negative() && !exponent.is_odd();
            return Some(Value::Exact(if turned { base.negated() } else { base.clone() }));
        }
        let power = exponent.to_i64()?;
        if let Value::Exact(base) = base
            && (base.bits() - 1).saturating_mul(power.unsigned_abs()) <= self.max_bits
            && power.abs() <= MAX_POWER
        {
            return base.power(power).map(Value::Exact);
        }
        self.spend(2 * u64::from(64 - power.unsigned_abs().leading_zeros()))?;
        let near = base.near()?.power(power)?;
        if matches!(base, Value::Near(_)) {
            return Some(Value::Near(near));
        }
        Some(Value::long(base.residue().and_then(|residue| residue.power(exponent)), near))
    }

    fn root(&self, degree: &Value, inside: &Value) -> Option<Value> {
        let whole = degree.exact().and_then(|degree| degree.whole()?.to_u64());
        let Some(degree) = whole.and_then(|degree| u32::try_from(degree).ok()) else {
            // A root of another degree is a power.
            return self.power(inside, &self.over(&Value::whole(1), degree)?);
        };
        if degree == 0 {
            return None;
        }
        if degree <= 64
            && let Value::Exact(exact) = inside
            && let Some(root) = exact.root(degree)
        {
            return Some(Value::Exact(root));
        }
        if inside.exact().is_some_and(Rational::is_zero) {
            return Some(Value::whole(0));
        }
        self.spend(20)?;
        Some(Value::Near(inside.near()?.root_of(degree)?))
    }

    fn function(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        let first = arguments.first()?;
        self.spend(20)?;
        match (name, arguments) {
            ("factorial", [_]) => self.factorial(first),
            ("binom", [above, below]) => self.binomial(above, below),
            ("gcd" | "lcm", _) => count::divisors(name, arguments),
            ("mod", [value, divisor]) => self.remainder(value, divisor),
            ("max" | "min", _) => self.extreme(name == "max", arguments),
            ("floor" | "ceil", [value]) => rounded_value(value, name == "ceil"),
            ("abs", [_]) => magnitude(first),
            // Without a base it is left open whether 10 or e is meant; textbooks' answers mean 10.
            ("log", [argument]) => self.logarithm(argument, &Value::whole(10)),
            ("log", [argument, base]) => self.logarithm(argument, base),
            ("ln", [argument]) if !argument.is_zero()? => Some(Value::Near(argument.near()?.ln()?)),
            ("exp", [argument]) => Some(Value::Near(argument.near()?.exp()?)),
            (_, [argument]) => analytic(name, argument.near()?).map(Value::Near),
            _ => None,
        }
    }

    fn logarithm(&self, argument: &Value, base: &Value) -> Option<Value> {
        if argument.is_zero()? || base.is_zero()? {
            return None;
        }
        Some(Value::Near(argument.near()?.ln()?.over(base.near()?.ln()?)?))
    }

    fn extreme(&self, largest: bool, arguments: &[Value]) -> Option<Value> {
        let mut best = arguments.first()?.clone();
        for value in &arguments[1..] {
            let difference = match (value, &best) {
                (Value::Infinite(_), _) => value.clone(),
                (_, Value::Infinite(_)) => best.negated(),
                _ => self.plus(value, &best.negated())?,
            };
            if difference.sign()? == if largest { 1 } else { -1 } {
                best = value.clone();
            }
        }
        Some(best)
    }
}

fn magnitude(value: &Value) -> Option<Value> {
    match value {
        Value::Exact(_) | Value::Long(..) | Value::Infinite(_) => {
            Some(if value.sign()? < 0 { value.negated() } else { value.clone() })
        }
        Value::Near(near) => Some(Value::Near(near.length()?)),
    }
}

fn rounded_value(value: &Value, up: bool) -> Option<Value> {
    match value {
        Value::Exact(value) => rounded(value, up),
        Value::Near(value) if value.is_real() => {
            // Away from whole numbers, where the last digits cannot decide.
            let near = value.to_f64()?;
            let clear =
                near.abs() < 1e15 && (near - near.round()).abs() > 1e-9 && value.error() < 1e-12;
            clear.then(|| rounded(&Rational::from_f64(near)?, up)).flatten()
        }
        _ => None,
    }
}

fn rounded(value: &Rational, up: bool) -> Option<Value> {
    let value = if up { value.negated() } else { value.clone() };
    let down = value.numerator().divided_down(value.denominator())?;
    let down = if up { down.negated() } else { down };
    Rational::new(down, Integer::from(1)).map(Value::Exact)
}
