//! Numbers in JSON texts that 64 bits would round, kept with all their digits.
//!
//! A reader of JSON makes the nearest double of them. Before it reads, [`marked`] turns them into texts that say so;
//! after values are written again, [`unmarked`] makes numbers of them.

use std::borrow::Cow;

/// What a marked text begins with once it has been read.
const MARK: &str = "\0n:";
/// [`MARK`] as it is written, behind the opening quote. JSON cannot hold the raw character, so writers escape it.
const WRITTEN_MARK: &str = "\"\\u0000n:";
/// Numbers with at most this many digits survive 64 bits whatever they are.
const SAFE_DIGITS: usize = 15;

/// A JSON text with a marked text for every number that 64 bits would round.
pub fn marked(json: &str) -> Cow<'_, str> {
    let long = tokens(json).any(|(token, is_number)| is_number && is_rounded(token));
    // A text that already reads like a mark would be taken for one; the numbers beside it are rounded instead.
    if !long || json.contains("\\u0000n:") {
        return Cow::Borrowed(json);
    }
    let mut marked = String::with_capacity(json.len() + 16);
    for (token, is_number) in tokens(json) {
        if is_number && is_rounded(token) {
            marked.push_str(WRITTEN_MARK);
            marked.push_str(token);
            marked.push('"');
        } else {
            marked.push_str(token);
        }
    }
    Cow::Owned(marked)
}

/// A JSON text with numbers for its marked texts.
pub fn unmarked(json: &str) -> Cow<'_, str> {
    if !json.contains(WRITTEN_MARK) {
        return Cow::Borrowed(json);
    }
    let mut exact = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(WRITTEN_MARK) {
        let digits = &rest[at + WRITTEN_MARK.len()..];
        let end = digits.find('"').unwrap_or(digits.len());
        exact.push_str(&rest[..at]);
        exact.push_str(&digits[..end]);
        rest = digits.get(end + 1..).unwrap_or_default();
    }
    Cow::Owned(exact + rest)
}

/// The digits of a number whose text was marked and has been read as a JSON value; `None` for other texts.
pub fn marked_digits(text: &str) -> Option<&str> {
    text.strip_prefix(MARK)
}

/// Whether a well-formed number loses digits in 64 bits.
fn is_rounded(token: &str) -> bool {
    let mantissa = |text: &str| text.split(['e', 'E']).next().unwrap_or_default().to_owned();
    let digits = mantissa(token).bytes().filter(u8::is_ascii_digit).count();
    let range = token.parse::<f64>().is_ok_and(f64::is_finite);
    if range
        && (digits <= SAFE_DIGITS || token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok())
    {
        return false;
    }
    // A fraction keeps what its shortest form says: 0.30000000000000004 has 17 digits and loses none.
    let Ok(parsed) = token.parse::<f64>() else { return false };
    let significant =
        |text: &str| mantissa(text).replace(['.', '-', '+'], "").trim_matches('0').to_owned();
    !parsed.is_finite() || significant(&format!("{parsed:e}")) != significant(token)
}

/// The text cut into numbers and everything else, in order.
fn tokens(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let part = |c: u8| c.is_ascii_digit() || matches!(c, b'-' | b'+' | b'.' | b'e' | b'E');
        let starts = |c: u8| c.is_ascii_digit() || c == b'-';
        let (length, is_number) = if starts(first) {
            (rest.bytes().take_while(|c| part(*c)).count(), true)
        } else if first == b'"' {
            (text_length(rest.as_bytes()), false)
        } else {
            (rest.bytes().take_while(|c| !starts(*c) && *c != b'"').count(), false)
        };
        let (token, behind) = rest.split_at(length);
        rest = behind;
        Some((token, is_number))
    })
}

/// Bytes of the JSON text that begins here, quotes included; all that is left where it does not end.
fn text_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_come_back() {
        for exact in [
            "123456789012345678901234567890",
            "-9223372036854775809",
            "{\"a\":[1,3.14159265358979323846],\"b\":\"12345678901234567890123\"}",
            "1e400",
        ] {
            let marked = marked(exact);
            assert_ne!(marked, exact);
            assert_eq!(unmarked(&marked), exact);
        }
        assert_eq!(marked("18446744073709551616"), "\"\\u0000n:18446744073709551616\"");
    }

    #[test]
    fn what_fits_is_left_alone() {
        for exact in [
            "18446744073709551615",
            "-9223372036854775808",
            "0.30000000000000004",
            "1e300",
            "[7, 1.5, \"123456789012345678901234567890\"]",
            "\"a \\\" 123456789012345678901234567890\"",
            "[\"\\u0000n:5\", 123456789012345678901234567890]",
        ] {
            assert_eq!(marked(exact), exact);
        }
    }
}
