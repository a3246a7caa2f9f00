//! From LaTeX or plain text as models write it to one plain notation: spacing, sizes and dollar signs go,
//! letters of other alphabets and synonyms become commands.
//!
//! Must not know grammar. Linear in the length of the text.

/// `\{` and `\}` after cleaning; a bare brace only groups.
pub const SET_OPEN: char = '\u{e000}';
/// See [`SET_OPEN`].
pub const SET_CLOSE: char = '\u{e001}';

/// Commands that only move things on the page.
const SILENT: &[&str] = &[
    "left",
    "right",
    "middle",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "Biggl",
    "Biggr",
    "displaystyle",
    "textstyle",
    "scriptstyle",
    "limits",
    "nolimits",
    "quad",
    "qquad",
    "hfill",
    "mathstrut",
    "strut",
    "thinspace",
    "medspace",
    "thickspace",
    "enspace",
    "space",
    "ensuremath",
];

/// Commands and the text that stands for them.
const SYNONYMS: &[(&str, &str)] = &[
    ("dfrac", "\\frac "),
    ("tfrac", "\\frac "),
    ("cfrac", "\\frac "),
    ("dbinom", "\\binom "),
    ("tbinom", "\\binom "),
    ("times", "*"),
    ("cdot", "*"),
    ("cdotp", "*"),
    ("ast", "*"),
    ("div", "/"),
    ("leq", "\\le "),
    ("leqslant", "\\le "),
    ("geq", "\\ge "),
    ("geqslant", "\\ge "),
    ("neq", "\\ne "),
    ("lt", "<"),
    ("gt", ">"),
    ("lbrace", "\u{e000}"),
    ("rbrace", "\u{e001}"),
    ("lbrack", "["),
    ("rbrack", "]"),
    ("langle", "("),
    ("rangle", ")"),
    ("lvert", "|"),
    ("rvert", "|"),
    ("vert", "|"),
    ("mid", "|"),
    ("degree", "°"),
    ("percent", "%"),
    ("mbox", "\\text "),
    ("textrm", "\\text "),
    ("textbf", "\\text "),
    ("textit", "\\text "),
    ("mathrm", "\\text "),
    ("mathbf", "\\text "),
    ("mathit", "\\text "),
    ("mathsf", "\\text "),
    ("rm", ""),
    ("bf", ""),
    ("varnothing", "\\emptyset "),
    ("boxed", ""),
    ("fbox", ""),
    ("to", ""),
];

/// Letters and signs of other alphabets.
const LETTERS: &[(char, &str)] = &[
    ('−', "-"),
    ('–', "-"),
    ('×', "*"),
    ('·', "*"),
    ('⋅', "*"),
    ('∙', "*"),
    ('÷', "/"),
    ('⁄', "/"),
    ('π', "\\pi "),
    ('θ', "\\theta "),
    ('α', "\\alpha "),
    ('β', "\\beta "),
    ('λ', "\\lambda "),
    ('√', "\\sqrt "),
    ('∞', "\\infty "),
    ('≤', "\\le "),
    ('⩽', "\\le "),
    ('≥', "\\ge "),
    ('⩾', "\\ge "),
    ('≠', "\\ne "),
    ('∈', "\\in "),
    ('∪', "\\cup "),
    ('∅', "\\emptyset "),
    ('±', "\\pm "),
    ('∓', "\\mp "),
    ('½', "(1/2)"),
    ('¼', "(1/4)"),
    ('¾', "(3/4)"),
    ('²', "^2"),
    ('³', "^3"),
    ('⁴', "^4"),
    ('°', "°"),
    ('，', ","),
    ('（', "("),
    ('）', ")"),
    ('％', "%"),
    ('\u{a0}', " "),
    ('\u{2009}', " "),
    ('\u{202f}', " "),
];

/// Cleans an answer.
pub fn clean(text: &str) -> String {
    let text = unwrap(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => command(after, &mut out),
            '{' if after.starts_with(",}") => group(&after[2..], &mut out),
            '~' => push(after, " ", &mut out),
            '$' if after.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                push(after, "$", &mut out)
            }
            '$' => after,
            _ => match LETTERS.iter().find(|(letter, _)| *letter == c) {
                Some((_, plain)) => push(after, plain, &mut out),
                None => push(after, c.encode_utf8(&mut [0; 4]), &mut out),
            },
        };
    }
    // Every command keeps the space after its name: the reader looks for it.
    out.trim_start().to_owned()
}

fn push<'a>(rest: &'a str, text: &str, out: &mut String) -> &'a str {
    out.push_str(text);
    rest
}

/// A comma between thousands goes, with the space after it.
fn group<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let number = rest.trim_start().trim_start_matches("\\!").trim_start();
    if number.starts_with(|c: char| c.is_ascii_digit()) {
        return number;
    }
    push(rest, ",", out)
}

/// What follows a backslash.
fn command<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    if length == 0 {
        let Some(c) = rest.chars().next() else { return rest };
        let after = &rest[c.len_utf8()..];
        return match c {
            '!' if out.ends_with(',') => {
                out.pop();
                group(after, out)
            }
            '!' => after,
            ',' if out.ends_with(|c: char| c.is_ascii_digit())
                && after.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                // `1\,000`: a thin space between thousands.
                after
            }
            '{' => push(after, "\u{e000}", out),
            '}' => push(after, "\u{e001}", out),
            '$' | '%' | '&' => push(after, &c.to_string(), out),
            '|' => push(after, "|", out),
            '\\' => push(after, "\\\\", out),
            _ => push(after, " ", out),
        };
    }
    let (name, after) = rest.split_at(length);
    if SILENT.contains(&name) {
        // `\left.` opens nothing.
        let dot = if name == "left" || name == "right" { after.strip_prefix('.') } else { None };
        return push(dot.unwrap_or(after), " ", out);
    }
    match SYNONYMS.iter().find(|(synonym, _)| *synonym == name) {
        Some((_, plain)) => out.push_str(plain),
        None => {
            out.push('\\');
            out.push_str(name);
            out.push(' ');
        }
    }
    after
}

/// Takes off what encloses the whole: math mode, a sentence's end, emphasis.
fn unwrap(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let before = text.len();
        text = text.trim_end_matches(['.', ',', ';', ':']).trim();
        for (open, close) in
            [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")]
        {
            let inside = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
            if let Some(inside) = inside.filter(|inside| !inside.ends_with('\\')) {
                text = inside.trim();
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

/// An answer as words: case, spacing, marks and LaTeX's wrappings do not count.
pub fn words(text: &str) -> String {
    let cleaned = clean(text).replace("\\text", " ");
    let kept = cleaned.chars().map(|c| if "{}$\\".contains(c) { ' ' } else { c });
    let text: String = kept.flat_map(char::to_lowercase).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let inside = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inside.unwrap_or(&text).trim_matches(['.', '"', '\'', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_notation() {
        for (text, expected) in [
            (r"$\dfrac{1}{2}$.", r"\frac {1}{2}"),
            (r"\left( 3, \frac{\pi}{2} \right)", r"( 3, \frac {\pi }{2}  )"),
            (r"11,\! 111,\! 100", "11111100"),
            (r"1{,}234", "1234"),
            (r"\$32,\!348", "$32348"),
            ("$5", "$5"),
            (r"\{1\pm\sqrt{5},-2\}", "\u{e000}1\\pm \\sqrt {5},-2\u{e001}"),
            (r"2 \cdot 3 − π", r"2 * 3 - \pi"),
            (r"50\%", "50%"),
            (r"\(x\)", "x"),
        ] {
            assert_eq!(clean(text).trim(), expected, "{text}");
        }
    }

    #[test]
    fn words_alone() {
        for text in [r"\text{(E)}", "E", "(e)", r"\textbf{E}.", r"\mathrm{(E)}"] {
            assert_eq!(words(text), "e", "{text}");
        }
        assert_eq!(words("New  York"), words(r"\text{new York}"));
    }
}
