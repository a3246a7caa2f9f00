//! Arithmetic with whole numbers, `+ - * /` and parentheses: read and evaluated in one pass.
//!
//! The text comes from a model that is rewarded for finding holes here. The grammar is closed, both length
//! and depth are limited, and every operation is checked.

use r1x_plugin::rational::Rational;

/// Longest expression, bytes.
pub const MAX_LENGTH: usize = 512;
/// Largest value on the way, bits above or below the line: far beyond any problem, and cheap.
const MAX_BITS: u64 = 127;
/// Deepest nesting of parentheses.
pub const MAX_DEPTH: usize = 32;

/// An expression that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The numbers written in it, in order.
    pub numbers: Vec<i128>,
    /// Its exact value, or why it has none.
    pub value: Result<Rational, &'static str>,
}

const OVERFLOW: &str = "the value is too large";
const ZERO_DIVISION: &str = "divides by zero";

/// Reads a whole text as one expression. The error is a few words for people.
pub fn parse(text: &str) -> Result<Expression, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("longer than {MAX_LENGTH} characters"));
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err("the answer is empty".to_owned());
    }
    let mut parser =
        Parser { tokens: &tokens, position: 0, numbers: Vec::with_capacity(tokens.len()) };
    let value = parser.sum(0)?;
    match parser.peek() {
        None => Ok(Expression { numbers: parser.numbers, value }),
        Some(Token::Close) => Err("`)` without `(`".to_owned()),
        Some(token) => Err(format!("no operator before {}", token.name())),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Number(i128),
    Operator(char),
    Open,
    Close,
}

impl Token {
    fn name(self) -> String {
        match self {
            Token::Number(number) => number.to_string(),
            Token::Operator(operator) => format!("`{operator}`"),
            Token::Open => "`(`".to_owned(),
            Token::Close => "`)`".to_owned(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let token = match character {
            _ if character.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '+' | '-' => Token::Operator(character),
            '*' | '/' if rest.peek() == Some(&character) => {
                return Err(format!("`{character}{character}` is not allowed"));
            }
            '*' | '/' => Token::Operator(character),
            '0'..='9' => {
                let value = |digit: char| i128::from(u32::from(digit) - u32::from('0'));
                let mut number = value(character);
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    let longer = number.checked_mul(10).and_then(|n| n.checked_add(value(digit)));
                    number = longer.ok_or("a number is too large")?;
                }
                Token::Number(number)
            }
            '.' => return Err("decimals are not allowed".to_owned()),
            '=' => return Err("`=` is not allowed, only the expression itself".to_owned()),
            _ => return Err(format!("{character:?} is not allowed")),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    position: usize,
    numbers: Vec<i128>,
}

/// A value that may already be lost to overflow or division by zero while reading goes on.
type Value = Result<Rational, &'static str>;

impl Parser<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.position).copied()
    }

    fn next_operator(&mut self, among: &[char]) -> Option<char> {
        match self.peek() {
            Some(Token::Operator(operator)) if among.contains(&operator) => {
                self.position += 1;
                Some(operator)
            }
            _ => None,
        }
    }

    fn sum(&mut self, depth: usize) -> Result<Value, String> {
        let mut value = self.product(depth)?;
        while let Some(operator) = self.next_operator(&['+', '-']) {
            value = apply(operator, value, self.product(depth)?);
        }
        Ok(value)
    }

    fn product(&mut self, depth: usize) -> Result<Value, String> {
        let mut value = self.operand(depth)?;
        while let Some(operator) = self.next_operator(&['*', '/']) {
            value = apply(operator, value, self.operand(depth)?);
        }
        Ok(value)
    }

    fn operand(&mut self, depth: usize) -> Result<Value, String> {
        let token = self.peek().ok_or("the expression stops short")?;
        self.position += 1;
        match token {
            Token::Number(number) => {
                self.numbers.push(number);
                Ok(Ok(Rational::from(number)))
            }
            Token::Open if depth == MAX_DEPTH => {
                Err(format!("more than {MAX_DEPTH} parentheses inside each other"))
            }
            Token::Open => {
                let value = self.sum(depth + 1)?;
                match self.peek() {
                    Some(Token::Close) => {
                        self.position += 1;
                        Ok(value)
                    }
                    None => Err("`(` without `)`".to_owned()),
                    Some(token) => Err(format!("no operator before {}", token.name())),
                }
            }
            Token::Close => Err("a number is missing before `)`".to_owned()),
            Token::Operator(operator) => Err(format!("a number is missing before `{operator}`")),
        }
    }
}

fn apply(operator: char, left: Value, right: Value) -> Value {
    let (left, right) = (left?, right?);
    let value = match operator {
        '+' => left.plus(&right),
        '-' => left.minus(&right),
        '*' => left.times(&right),
        _ if right.is_zero() => return Err(ZERO_DIVISION),
        _ => left.over(&right),
    };
    value.filter(|value| value.bits() <= MAX_BITS).ok_or(OVERFLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        match parse(text).map(|expression| expression.value) {
            Ok(Ok(value)) => value.to_string(),
            Ok(Err(reason)) => reason.to_owned(),
            Err(reason) => reason,
        }
    }

    #[test]
    fn precedence_and_associativity() {
        for (text, expected) in [
            ("1 + 2 * 3", "7"),
            ("( 1 + 2 ) * 3", "9"),
            ("8 - 3 - 2", "3"),
            ("8 / 4 / 2", "1"),
            ("8 / ( 4 / 2 )", "4"),
            ("1 / 3 * 3", "1"),
            ("7/2", "7/2"),
            ("((((5))))", "5"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_refused_says_why() {
        for (text, expected) in [
            ("", "the answer is empty"),
            ("2 ** 3", "`**` is not allowed"),
            ("7 // 2", "`//` is not allowed"),
            ("1.5 + 2", "decimals are not allowed"),
            ("-3 + 5", "a number is missing before `-`"),
            ("3 + -5", "a number is missing before `-`"),
            ("3 * * 5", "a number is missing before `*`"),
            ("2 5", "no operator before 5"),
            ("2 ( 5 )", "no operator before `(`"),
            ("( 2 5 )", "no operator before 5"),
            ("( 2 + 5", "`(` without `)`"),
            ("2 + 5 )", "`)` without `(`"),
            ("()", "a number is missing before `)`"),
            ("2 +", "the expression stops short"),
            ("2 + 3 = 5", "`=` is not allowed, only the expression itself"),
            ("2 x 3", "'x' is not allowed"),
            ("２ + 3", "'２' is not allowed"),
            ("6 / (3 - 3)", "divides by zero"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn size_is_limited() {
        let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(value(&nested(MAX_DEPTH)), "1");
        assert!(value(&nested(MAX_DEPTH + 1)).contains("inside each other"));
        assert!(value(&nested(10_000)).contains("longer than"));
        assert_eq!(value(&"9".repeat(60)), "a number is too large");
        let product = ["99999999999999999999"; 8].join("*");
        assert_eq!(value(&product), "the value is too large");
    }

    #[test]
    fn numbers_are_listed_in_order() {
        assert_eq!(parse("(3 + 7) * 3").unwrap().numbers, [3, 7, 3]);
    }
}
