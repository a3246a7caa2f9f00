//! Sizes as people write them in specs, manifests and arguments: `256MiB`.

/// Bytes from a number with a unit, `64KiB`, `1.5 GiB` or `256MB`; `None` for anything else.
pub fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    (bytes < 9e15).then_some(bytes as u64)
}

/// Bytes from a number with a unit or without one, `64KiB` or `65536`.
pub fn bytes_or_number(text: &str) -> Option<u64> {
    bytes(text).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal_or_binary_as_written() {
        for (text, expected) in [
            ("64KiB", Some(65_536)),
            ("256MiB", Some(268_435_456)),
            ("1.5KiB", Some(1_536)),
            ("1.5 GiB", Some(1_610_612_736)),
            ("2 GB", Some(2_000_000_000)),
            ("256MB", Some(256_000_000)),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
            assert_eq!(bytes_or_number(text), expected, "{text}");
        }
        for text in
            ["256M", "MiB", "1XB", "-1MiB", "18446744073709551615GiB", "1..5KiB", "much", ""]
        {
            assert_eq!(bytes_or_number(text), None, "{text}");
        }
        assert_eq!((bytes("65536"), bytes_or_number("65536")), (None, Some(65_536)));
    }
}
