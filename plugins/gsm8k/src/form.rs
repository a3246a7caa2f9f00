//! The form the recipe asks for, as its patterns and counts see it. No regular expressions: each pattern is a
//! walk over marks.

/// Whether a text starts with reasoning and answer in their tags, whatever follows.
///
/// The recipe's pattern is `<reasoning>.*?</reasoning>\s*<answer>.*?</answer>`, matched at the start. Without
/// `dotall` a dot is no line break, so that only one-line contents match.
pub fn soft(text: &str, dotall: bool) -> bool {
    let Some(inside) = text.strip_prefix("<reasoning>") else { return false };
    // Any `</reasoning>` may be the one, as long as the answer's tags follow it.
    let mut rest = inside;
    while let Some((skipped, after)) = rest.split_once("</reasoning>") {
        if !dotall && skipped.contains('\n') {
            return false;
        }
        let opened = after.trim_start_matches(is_space).strip_prefix("<answer>");
        if opened.is_some_and(|answer| closes(answer, "</answer>", dotall)) {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a text is reasoning and answer, every tag on a line of its own, and nothing else.
///
/// The recipe's pattern is `^<reasoning>\n.*?\n</reasoning>\n<answer>\n.*?\n</answer>\n$`. Its `$` lets one more
/// line break follow.
pub fn strict(text: &str, dotall: bool) -> bool {
    const BETWEEN: &str = "\n</reasoning>\n<answer>\n";
    let Some(inside) = text.strip_prefix("<reasoning>\n") else { return false };
    let whole = inside.strip_suffix("\n</answer>\n\n").or(inside.strip_suffix("\n</answer>\n"));
    let Some(inside) = whole else { return false };
    if dotall {
        return inside.contains(BETWEEN);
    }
    inside
        .split_once(BETWEEN)
        .is_some_and(|(reasoning, answer)| !reasoning.contains('\n') && !answer.contains('\n'))
}

fn closes(text: &str, mark: &str, dotall: bool) -> bool {
    let reach = if dotall { text } else { text.split('\n').next().unwrap_or_default() };
    reach.contains(mark)
}

/// An eighth for each of the four marks that occurs exactly once; text after the last costs a thousandth a
/// character, twice.
pub fn xml_count(text: &str) -> f64 {
    let once = |mark: &str| r1x_plugin::text::count(text, mark) == 1;
    let after =
        |mark: &str| text.rsplit_once(mark).map_or(0.0, |(_, rest)| rest.chars().count() as f64);
    let mut count = 0.0;
    if once("<reasoning>\n") {
        count += 0.125;
    }
    if once("\n</reasoning>\n") {
        count += 0.125;
    }
    if once("\n<answer>\n") {
        count += 0.125;
        count -= after_last(text, "\n</answer>\n") * 0.001;
    }
    if once("\n</answer>") {
        count += 0.125;
        // One less than the length, so that the final line break is free and its absence earns.
        count -= (after("\n</answer>") - 1.0) * 0.001;
    }
    count
}

/// Characters after the last mark, or of the whole text where it is absent: the recipe splits at the mark and
/// measures the last piece.
fn after_last(text: &str, mark: &str) -> f64 {
    // From the left and without overlaps, as the recipe does: the mark starts and ends with a line break, so
    // the last occurrence from the right can be another one.
    text.split(mark).last().unwrap_or(text).chars().count() as f64
}

/// Python's `str.isdigit`: not empty, and every character has the property Digit or Decimal.
pub fn is_digit(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || is_other_digit(c))
}

/// Zeros of the decimal digits of other scripts; nine digits follow each.
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x11066, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
];

fn is_other_digit(c: char) -> bool {
    let code = u32::from(c);
    let decimal = ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&code));
    // Superscripts, subscripts, circled and parenthesised digits.
    let digit = matches!(code, 0xb2 | 0xb3 | 0xb9 | 0x2070 | 0x2074..=0x2079 | 0x2080..=0x2089)
        || matches!(code, 0x2460..=0x2468 | 0x2474..=0x247c | 0x2488..=0x2490 | 0x24ea)
        || matches!(code, 0x24f5..=0x24fd | 0x24ff | 0x2776..=0x277e | 0x2780..=0x2788 | 0x278a..=0x2792);
    decimal || digit
}

/// White space as Python's `str.strip` and `\s` know it: four separators more than Unicode's.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let good = "<reasoning>\nQ\n</reasoning>\n<answer>\n1\n</answer>\n";
        assert!(strict(good, false) && strict(good, true));
        assert!(strict(&format!("{good}\n"), false) && !strict(&format!("{good}\n\n"), false));
        assert!(
            !strict(&good.replace('Q', "Q\nR"), false) && strict(&good.replace('Q', "Q\nR"), true)
        );
        assert!(!soft(good, false) && soft(good, true));
        let flat = "<reasoning>a</reasoning> <answer>1</answer> and more";
        assert!(soft(flat, false) && soft(flat, true));
        assert!(!soft(&format!(" {flat}"), true));
        assert!(soft("<reasoning>a</reasoning>b</reasoning><answer>1</answer>", false));
    }

    #[test]
    fn counts() {
        let close = |text: &str, expected: f64| {
            assert!((xml_count(text) - expected).abs() < 1e-12, "{text}: {}", xml_count(text));
        };
        close("<reasoning>\na\n</reasoning>\n<answer>\n1\n</answer>\n", 0.5);
        close("<reasoning>\na\n</reasoning>\n<answer>\n1\n</answer>", 0.5 - 0.047 + 0.001);
        close("<reasoning>\na\n</reasoning>\n<answer>\n1\n</answer>\nabc", 0.5 - 0.003 - 0.003);
        close("", 0.0);
    }

    #[test]
    fn digits_of_python() {
        assert!(is_digit("12") && is_digit("١٢") && is_digit("²") && is_digit("①"));
        assert!(!is_digit("") && !is_digit("-1") && !is_digit("½") && !is_digit("1.0"));
    }
}
