//! What Python's `eval` makes of digits, `+ - * / ( ) .` and white space, for `compat` only.
//!
//! Whole numbers are exact and unbounded in Python; here a value beyond [`MAX_BITS`] is an error, where the
//! original would run for minutes or for ever.

use r1x_plugin::integer::Integer;

/// Largest whole number, bits.
pub const MAX_BITS: u64 = 32_768;
/// Deepest nesting of parentheses, as in CPython; also of powers inside each other.
const MAX_DEPTH: usize = 200;
/// CPython refuses to read longer whole numbers.
const MAX_DIGITS: usize = 4300;

/// A number as Python knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// `int`.
    Whole(Integer),
    /// `float`.
    Double(f64),
}

/// Why there is no value, in a few words: a syntax error, an exception, or a limit.
pub type Refusal = &'static str;

const SYNTAX: Refusal = "Python would not read it";
const TYPE: Refusal = "Python would raise a TypeError";
const DIVISION: Refusal = "Python would raise a ZeroDivisionError";
const OVERFLOW: Refusal = "Python would raise an OverflowError";
const COMPLEX: Refusal = "the value is complex";
const HUGE: Refusal = "too large to evaluate";

impl Number {
    /// `float(value)`.
    pub fn to_double(&self) -> Result<f64, Refusal> {
        match self {
            Self::Double(value) => Ok(*value),
            Self::Whole(value) => {
                Some(value.to_f64()).filter(|double| double.is_finite()).ok_or(OVERFLOW)
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(Number),
    Operator(&'static str),
    Open,
    Close,
}

/// Evaluates a text.
pub fn eval(text: &str) -> Result<Number, Refusal> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: &tokens, at: 0 };
    let value = reader.sum(0)?;
    if reader.at == tokens.len() { Ok(value) } else { Err(reader.leftover()) }
}

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let (mut tokens, mut depth, bytes) = (Vec::new(), 0_usize, text.as_bytes());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let double = bytes.get(at + 1) == Some(&byte);
        at += 1;
        match byte {
            b' ' | b'\t' | 0x0c => {}
            // A line may end inside parentheses only.
            b'\r' | b'\n' if depth > 0 => {}
            b'(' => {
                depth += 1;
                tokens.push(Token::Open);
            }
            b')' => {
                depth = depth.checked_sub(1).ok_or(SYNTAX)?;
                tokens.push(Token::Close);
            }
            b'+' => tokens.push(Token::Operator("+")),
            b'-' => tokens.push(Token::Operator("-")),
            b'*' | b'/' => {
                at += usize::from(double);
                tokens.push(Token::Operator(match (byte, double) {
                    (b'*', false) => "*",
                    (b'*', true) => "**",
                    (_, false) => "/",
                    (_, true) => "//",
                }));
            }
            b'.' | b'0'..=b'9' => {
                let length = bytes[at - 1..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
                    .count();
                tokens.push(Token::Number(number(&text[at - 1..at - 1 + length])?));
                at += length - 1;
            }
            _ => return Err(SYNTAX),
        }
        if depth > MAX_DEPTH {
            return Err(SYNTAX);
        }
    }
    if depth > 0 { Err(SYNTAX) } else { Ok(tokens) }
}

fn number(text: &str) -> Result<Number, Refusal> {
    if text.contains('.') {
        // Rust and Python round decimal text alike; two points, or a point alone, are no number in either.
        return text.parse().map(Number::Double).map_err(|_| SYNTAX);
    }
    if text.starts_with('0') && text.bytes().any(|digit| digit != b'0') {
        return Err(SYNTAX);
    }
    Integer::parse(text, MAX_DIGITS).map(Number::Whole).ok_or(SYNTAX)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn operator(&mut self, among: &[&str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Operator(operator)) if among.contains(operator) => {
                self.at += 1;
                Some(operator)
            }
            _ => None,
        }
    }

    fn leftover(&self) -> Refusal {
        // `2(3)` is a call of a number, which Python reads and refuses to make.
        if self.tokens.get(self.at) == Some(&Token::Open) { TYPE } else { SYNTAX }
    }

    fn sum(&mut self, depth: usize) -> Result<Number, Refusal> {
        let mut value = self.product(depth)?;
        while let Some(operator) = self.operator(&["+", "-"]) {
            value = apply(operator, value, self.product(depth)?)?;
        }
        Ok(value)
    }

    fn product(&mut self, depth: usize) -> Result<Number, Refusal> {
        let mut value = self.signed(depth)?;
        while let Some(operator) = self.operator(&["*", "/", "//"]) {
            value = apply(operator, value, self.signed(depth)?)?;
        }
        Ok(value)
    }

    /// Signs bind looser than a power on their right: `-2**2` is -4.
    fn signed(&mut self, depth: usize) -> Result<Number, Refusal> {
        let mut negative = false;
        while let Some(sign) = self.operator(&["+", "-"]) {
            negative ^= sign == "-";
        }
        let value = self.power(depth)?;
        Ok(match value {
            value if !negative => value,
            Number::Whole(value) => Number::Whole(value.negated()),
            Number::Double(value) => Number::Double(-value),
        })
    }

    fn power(&mut self, depth: usize) -> Result<Number, Refusal> {
        let base = self.atom(depth)?;
        if self.operator(&["**"]).is_none() {
            return Ok(base);
        }
        if depth == MAX_DEPTH {
            return Err(HUGE);
        }
        apply("**", base, self.signed(depth + 1)?)
    }

    fn atom(&mut self, depth: usize) -> Result<Number, Refusal> {
        let token = self.tokens.get(self.at).ok_or(SYNTAX)?.clone();
        self.at += 1;
        let value = match token {
            Token::Number(value) => value,
            // An empty tuple: whatever is done with it ends in a TypeError.
            Token::Open if self.tokens.get(self.at) == Some(&Token::Close) => return Err(TYPE),
            Token::Open if depth == MAX_DEPTH => return Err(SYNTAX),
            Token::Open => {
                let value = self.sum(depth + 1)?;
                if self.tokens.get(self.at) != Some(&Token::Close) {
                    return Err(self.leftover());
                }
                self.at += 1;
                value
            }
            Token::Operator(_) | Token::Close => return Err(SYNTAX),
        };
        match self.tokens.get(self.at) {
            Some(Token::Open) => Err(TYPE),
            Some(Token::Number(_)) => Err(SYNTAX),
            _ => Ok(value),
        }
    }
}

fn apply(operator: &str, left: Number, right: Number) -> Result<Number, Refusal> {
    if let (Number::Whole(left), Number::Whole(right)) = (&left, &right) {
        return whole(operator, left, right);
    }
    let (left, right) = (left.to_double()?, right.to_double()?);
    let value = match operator {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "**" => return double_power(left, right),
        _ if right == 0.0 => return Err(DIVISION),
        "/" => left / right,
        _ => floor_division(left, right),
    };
    Ok(Number::Double(value))
}

fn whole(operator: &str, left: &Integer, right: &Integer) -> Result<Number, Refusal> {
    let value = match operator {
        "+" => left.plus(right),
        "-" => left.minus(right),
        "*" => left.times(right),
        "**" if right.is_negative() => {
            let (left, right) = (Number::Whole(left.clone()), Number::Whole(right.clone()));
            return double_power(left.to_double()?, right.to_double()?);
        }
        "**" => left.power(right, MAX_BITS).ok_or(HUGE)?,
        "/" => {
            let ratio = left.ratio(right).ok_or(DIVISION)?;
            return if ratio.is_finite() { Ok(Number::Double(ratio)) } else { Err(OVERFLOW) };
        }
        _ => left.divided_down(right).ok_or(DIVISION)?,
    };
    if value.bits() > MAX_BITS { Err(HUGE) } else { Ok(Number::Whole(value)) }
}

fn double_power(base: f64, exponent: f64) -> Result<Number, Refusal> {
    if base == 0.0 && exponent < 0.0 {
        return Err(DIVISION);
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        return Err(COMPLEX);
    }
    let value = base.powf(exponent);
    if value.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(OVERFLOW);
    }
    Ok(Number::Double(value))
}

/// The way CPython does it: from the remainder, which is exact.
fn floor_division(left: f64, right: f64) -> f64 {
    let rest = left % right;
    let mut quotient = (left - rest) / right;
    if rest != 0.0 && (right < 0.0) != (rest < 0.0) {
        quotient -= 1.0;
    }
    let down = quotient.floor();
    if quotient - down > 0.5 { down + 1.0 } else { down }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match eval(text) {
            Ok(Number::Whole(value)) => value.to_string(),
            Ok(Number::Double(value)) => format!("{value:?}"),
            Err(refusal) => refusal.to_owned(),
        }
    }

    #[test]
    fn values_are_those_of_python() {
        for (text, expected) in [
            ("3.5*2", "7.0"),
            ("7//2", "3"),
            ("-7//2", "-4"),
            ("7.5//-2", "-4.0"),
            ("-2**2", "-4"),
            ("2**-1", "0.5"),
            ("2**3**2", "512"),
            ("--3", "3"),
            ("3-+-2", "5"),
            ("1/3*3", "1.0"),
            ("1.+.5", "1.5"),
            ("2**100/2**98", "4.0"),
            ("00+1", "1"),
            ("(1+\r2)", "3"),
            ("2**1024", &Integer::from(1).shifted_up(1024).to_string()),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn refusals_are_those_of_python() {
        for (text, expected) in [
            ("", SYNTAX),
            ("1 2", SYNTAX),
            ("007", SYNTAX),
            ("1.2.3", SYNTAX),
            (".", SYNTAX),
            ("(1", SYNTAX),
            ("1)", SYNTAX),
            ("1+\r2", SYNTAX),
            ("1*/2", SYNTAX),
            ("2(3)", TYPE),
            ("()", TYPE),
            ("1/0", DIVISION),
            ("0**-1", DIVISION),
            ("(0-8)**.5", COMPLEX),
            ("10**400*1.0", OVERFLOW),
            ("2.0**5000", OVERFLOW),
            ("95**78**6**88", HUGE),
            (&"(".repeat(300), SYNTAX),
            (&format!("2{}", "**1".repeat(300)), HUGE),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }
}
