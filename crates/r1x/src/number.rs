//! How numbers look to people, in every command alike; programs get all their digits as JSON or CSV.

/// Digits that are shown of a number that is not whole.
const DIGITS: i32 = 5;
/// A whole number with more digits than this is not exact in an `f64`.
const WHOLE: f64 = 1e15;

/// A whole number whole, another one with five digits and no zeros at its end; a power of ten where its zeros would
/// be harder to count than to read.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value.fract() == 0.0 && value.abs() < WHOLE {
        // Zero has no sign that people care about.
        return format!("{:.0}", if value == 0.0 { 0.0 } else { value });
    }
    if !(1e-4..WHOLE).contains(&value.abs()) {
        let text = format!("{value:.*e}", DIGITS as usize - 1);
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", without_zeros(digits));
    }
    without_zeros(&format!("{value:.*}", decimals(value))).to_owned()
}

/// A number that may be missing.
pub fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

/// A mean and its standard error, as precise as the error: two digits of it, and as many decimals of the mean.
pub fn with_error(value: f64, error: f64) -> String {
    if !value.is_finite() || !error.is_finite() || error <= 0.0 || error >= WHOLE {
        return format!("{} ± {}", number(value), number(error));
    }
    let decimals = (1 - magnitude(error)).clamp(0, 12) as usize;
    format!("{value:.decimals$} ± {error:.decimals$}")
}

/// The power of ten of the first digit.
fn magnitude(value: f64) -> i32 {
    value.abs().log10().floor() as i32
}

fn decimals(value: f64) -> usize {
    (DIGITS - 1 - magnitude(value)).max(0) as usize
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_matters_of_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (3.0, "3"),
            (-17.0, "-17"),
            (1_234_567.0, "1234567"),
            (0.5, "0.5"),
            (0.1 + 0.2, "0.3"),
            (0.460_25, "0.46025"),
            (1.234_567, "1.2346"),
            (12_345.678, "12346"),
            (0.000_123_456, "0.00012346"),
            (1e-7, "1e-7"),
            (-3.21e-9, "-3.21e-9"),
            (0.000_05, "5e-5"),
            (1.5e20, "1.5e20"),
            (1e-300, "1e-300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!(optional(None), "-");
        assert_eq!(optional(Some(2.0)), "2");
    }

    #[test]
    fn means_are_as_precise_as_their_errors() {
        let cases = [
            (0.460_25, 0.014_82, "0.460 ± 0.015"),
            (21.345_6, 0.113, "21.35 ± 0.11"),
            (312.5, 14.2, "312 ± 14"),
            (1.0, 0.0, "1 ± 0"),
            (0.5, f64::NAN, "0.5 ± NaN"),
        ];
        for (value, error, expected) in cases {
            assert_eq!(with_error(value, error), expected);
        }
    }
}
