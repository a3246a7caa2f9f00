//! Numbers as people say them: bytes, counts and seconds with their units.

/// Bytes with a binary unit.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A count with thousands separated by thin groups: 830,016.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds as people say them.
pub fn seconds(value: f64) -> String {
    if value < 0.1 {
        format!("{:.1} ms", value * 1e3)
    } else if value < 60.0 {
        format!("{value:.1} s")
    } else if value < 3600.0 {
        format!("{}m{:02.0}s", (value / 60.0) as u64, (value % 60.0).floor())
    } else {
        format!("{}h{:02}m", (value / 3600.0) as u64, ((value % 3600.0) / 60.0) as u64)
    }
}

/// How long ago something was.
pub fn age(since: std::time::Duration) -> String {
    let minutes = since.as_secs() / 60;
    match (minutes, minutes / 60, minutes / (24 * 60)) {
        (0, ..) => "now".to_owned(),
        (_, 0, _) => format!("{minutes} min ago"),
        (_, hours, 0) => format!("{hours} h ago"),
        (.., days) => format!("{days} d ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(count(830_016), "830,016");
        assert_eq!(count(12), "12");
        assert_eq!(seconds(0.0123), "12.3 ms");
        assert_eq!(seconds(75.4), "1m15s");
        assert_eq!(seconds(7_500.0), "2h05m");
        let age = |seconds| age(std::time::Duration::from_secs(seconds));
        assert_eq!(
            [age(59), age(61), age(7_200), age(200_000)],
            ["now", "1 min ago", "2 h ago", "2 d ago"]
        );
    }
}
