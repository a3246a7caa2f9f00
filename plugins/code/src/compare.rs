//! Whether what a program gave is what was expected: lines of output, and values of JSON.
//!
//! Output is compared as LiveCodeBench does it: without space around the whole and around each line, and a line of
//! numbers by their values.

use r1x_plugin::Value;
use r1x_plugin::text::shorten;

/// What is wrong with an output, in a few words; `None` when it is right.
pub fn output(found: &str, expected: &str, tolerance: f64) -> Option<String> {
    let lines = |text: &str| -> Vec<String> {
        text.trim().split('\n').map(|line| line.trim().to_owned()).collect()
    };
    let (found, expected) = (lines(found), lines(expected));
    let first = found.iter().zip(&expected).position(|(a, b)| !same_line(a, b, tolerance));
    let short = |text: &str| shorten(text, 120);
    match first {
        None if found.len() == expected.len() => None,
        Some(at) if found.len() > 1 || expected.len() > 1 => Some(format!(
            "line {}: `{}`, not `{}`",
            at + 1,
            short(&found[at]),
            short(&expected[at])
        )),
        Some(at) => Some(format!("`{}`, not `{}`", short(&found[at]), short(&expected[at]))),
        None => Some(format!("{}, not {}", count(found.len()), count(expected.len()))),
    }
}

fn count(lines: usize) -> String {
    format!("{lines} {}", if lines == 1 { "line" } else { "lines" })
}

/// Equal texts, or numbers only that are equal one by one. With a tolerance, words may stand among the numbers.
fn same_line(found: &str, expected: &str, tolerance: f64) -> bool {
    if found == expected {
        return true;
    }
    let mut pairs = found.split_whitespace().zip(expected.split_whitespace());
    found.split_whitespace().count() == expected.split_whitespace().count()
        && pairs.all(|(a, b)| match (Decimal::read(a), Decimal::read(b)) {
            (Some(a), Some(b)) => a.equals(&b, tolerance),
            _ => tolerance > 0.0 && a == b,
        })
}

/// Equal values, with numbers by value. Depth is bounded by the reader of JSON.
pub fn value(found: &Value, expected: &Value, tolerance: f64) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.to_string(), b.to_string());
            match (Decimal::read(&a), Decimal::read(&b)) {
                (Some(a), Some(b)) => a.equals(&b, tolerance),
                _ => a == b,
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| value(a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, found): (&String, &Value)| {
                b.get(key).is_some_and(|expected| value(found, expected, tolerance))
            };
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

/// A number as it is written, without zeros that say nothing: `digits` times ten to the `exponent`.
struct Decimal<'a> {
    written: &'a str,
    negative: bool,
    digits: String,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn read(written: &'a str) -> Option<Self> {
        let unsigned = written.strip_prefix(['-', '+']).unwrap_or(written);
        let negative = written.starts_with('-');
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        let shift = (digits.len() - significant.len()) as i64 - fraction.len() as i64;
        let digits = significant.trim_start_matches('0').to_owned();
        let zero = digits.is_empty();
        let exponent = if zero { 0 } else { i64::from(exponent) + shift };
        Some(Self { written, negative: negative && !zero, digits, exponent })
    }

    /// Whether it is written as a whole number: such a number counts something, and is right or wrong.
    fn is_whole(&self) -> bool {
        !self.written.contains(['.', 'e', 'E'])
    }

    /// Equal values; or near ones, unless both are whole numbers.
    fn equals(&self, expected: &Self, tolerance: f64) -> bool {
        let same = self.negative == expected.negative
            && self.digits == expected.digits
            && self.exponent == expected.exponent;
        if same || tolerance == 0.0 || (self.is_whole() && expected.is_whole()) {
            return same;
        }
        match (self.written.parse::<f64>(), expected.written.parse::<f64>()) {
            (Ok(found), Ok(expected)) => {
                (found - expected).abs() <= tolerance * expected.abs().max(1.0)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_compared_as_livecodebench_does() {
        for (found, expected, right) in [
            ("a\nb", "a\nb\n", true),
            ("a  \nb", "a\nb", true),
            ("a\r\nb\n\n", "a\nb", true),
            ("  a\n b", "a\nb", true),
            ("\n\na", "a", true),
            ("", "\n", true),
            ("a b", "a\nb", false),
            ("a\n\nb", "a\nb", false),
            ("a  b", "a b", false),
            ("Yes", "YES", false),
            ("a", "", false),
            // Numbers by value, exactly.
            ("1.0", "1", true),
            ("0.50 2", ".5  2.0", true),
            ("1e3", "1000", true),
            ("-0.0", "0", true),
            ("+7", "7", true),
            ("007", "7", true),
            ("3.1400", "3.14", true),
            ("3.141592653", "3.141592654", false),
            ("50000000000000000", "50000000000000001", false),
            ("1 2", "1 2 3", false),
            ("1 2", "2 1", false),
            ("1 a", "1.0 a", false),
            ("nan", "nan", true),
            ("1_000", "1000", false),
            ("0x10", "16", false),
            ("1.", "1", true),
            (".", "0", false),
            ("1e99999999999", "1", false),
        ] {
            assert_eq!(output(found, expected, 0.0).is_none(), right, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn a_tolerance_is_for_numbers_that_are_no_counts() {
        for (found, expected, right) in [
            ("3.141592653", "3.141592654", true),
            ("0.3333333", "0.333333333", true),
            ("1000000.4", "1000000.0", true),
            ("1.00001", "1.0", false),
            ("1000000007", "1000000008", false),
            ("2.0000001", "2", true),
            ("Case #1: 0.3333333", "Case #1: 0.33333333", true),
            ("Case #1: 0.3333333", "Case #2: 0.33333333", false),
            ("1e400", "1e401", false),
            ("0.1 x", "0.1 y", false),
        ] {
            assert_eq!(output(found, expected, 1e-6).is_none(), right, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        for (found, expected, told) in [
            ("7", "6", "`7`, not `6`"),
            ("1\n2\n3", "1\n5\n3", "line 2: `2`, not `5`"),
            ("1\n2\n3", "1\n2", "3 lines, not 2 lines"),
            ("", "1\n2", "line 1: ``, not `1`"),
            ("1", "1\n2", "1 line, not 2 lines"),
        ] {
            assert_eq!(output(found, expected, 0.0).as_deref(), Some(told));
        }
    }

    #[test]
    fn values_are_compared_and_not_texts() {
        let read = |text: &str| text.parse::<Value>().unwrap();
        for (expected, found, right) in [
            ("[1, 2]", "[1,2.0]", true),
            ("[1, 2]", "[2,1]", false),
            ("[1, 2]", "[1]", false),
            ("true", "1", false),
            ("null", "null", true),
            ("\"a\"", "\"a\"", true),
            ("1", "\"1\"", false),
            ("{\"b\": 1, \"a\": [2]}", "{\"a\":[2],\"b\":1}", true),
            ("{\"a\": 1}", "{\"a\":1,\"b\":1}", false),
            ("9007199254740993", "9007199254740992", false),
            ("18446744073709551615", "18446744073709551614", false),
            ("0.3", "0.30000000000000004", false),
            ("1e2", "100", true),
        ] {
            assert_eq!(value(&read(found), &read(expected), 0.0), right, "{expected} {found}");
        }
        assert!(value(&read("[0.30000000000000004]"), &read("[0.3]"), 1e-9));
        assert!(!value(&read("0.31"), &read("0.3"), 1e-9));
        assert!(!value(&read("1000000001"), &read("1000000000"), 1e-3));
    }
}
