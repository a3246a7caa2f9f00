//! Letters and signs beyond ASCII, and what LaTeX writes for them.

/// Signs and letters, each with the text that stands for it.
const PLAIN: &[(char, &str)] = &[
    ('−', "-"),
    ('–', "-"),
    ('—', "-"),
    ('‐', "-"),
    ('‑', "-"),
    ('‒', "-"),
    ('﹣', "-"),
    ('﹢', "+"),
    ('×', "×"),
    ('✕', "×"),
    ('✖', "×"),
    ('·', "*"),
    ('⋅', "*"),
    ('∙', "*"),
    ('•', "*"),
    ('∗', "*"),
    ('÷', "/"),
    ('⁄', "/"),
    ('∕', "/"),
    ('∶', ":"),
    ('√', "\\sqrt "),
    ('∛', "\\sqrt [3]"),
    ('∜', "\\sqrt [4]"),
    ('∞', "\\infty "),
    ('≤', "\\le "),
    ('⩽', "\\le "),
    ('≦', "\\le "),
    ('≥', "\\ge "),
    ('⩾', "\\ge "),
    ('≧', "\\ge "),
    ('≠', "\\ne "),
    ('≡', "\\equiv "),
    ('≈', "\\approx "),
    ('≃', "\\approx "),
    ('≒', "\\approx "),
    ('∈', "\\in "),
    ('∪', "\\cup "),
    ('∩', "\\cap "),
    ('∖', "\\setminus "),
    ('∅', "\\emptyset "),
    ('⌀', "\\emptyset "),
    ('±', "\\pm "),
    ('∓', "\\mp "),
    ('∣', "|"),
    ('∥', "|"),
    ('‖', "|"),
    ('⟨', "("),
    ('⟩', ")"),
    ('〈', "("),
    ('〉', ")"),
    ('…', "\\ldots "),
    ('⋯', "\\ldots "),
    ('′', "'"),
    ('’', "'"),
    ('º', "°"),
    ('˚', "°"),
    ('ℝ', "\\mathbb {R}"),
    ('ℤ', "\\mathbb {Z}"),
    ('ℚ', "\\mathbb {Q}"),
    ('ℕ', "\\mathbb {N}"),
    ('ℂ', "\\mathbb {C}"),
    ('∧', " and "),
    ('∨', " or "),
    ('、', ","),
    ('，', ","),
    ('；', ";"),
    ('：', ":"),
    ('。', "."),
    ('￥', "¥"),
    ('￡', "£"),
    ('ℎ', "h"),
    ('ℯ', "e"),
    ('ⅈ', "i"),
    ('ⅇ', "e"),
    // Marks that are not seen.
    ('\u{200b}', ""),
    ('\u{200c}', ""),
    ('\u{200d}', ""),
    ('\u{200e}', ""),
    ('\u{2060}', ""),
    ('\u{2061}', ""),
    ('\u{2062}', ""),
    ('\u{feff}', ""),
    ('\u{ad}', ""),
];

/// Greek letters by the names of their commands.
const GREEK: &[(char, &str)] = &[
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "epsilon"),
    ('ϵ', "epsilon"),
    ('ζ', "zeta"),
    ('η', "eta"),
    ('θ', "theta"),
    ('ϑ', "theta"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('µ', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('π', "pi"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('φ', "phi"),
    ('ϕ', "phi"),
    ('χ', "chi"),
    ('ψ', "psi"),
    ('ω', "omega"),
    ('Γ', "Gamma"),
    ('Δ', "Delta"),
    ('Θ', "Theta"),
    ('Λ', "Lambda"),
    ('Σ', "Sigma"),
    ('Φ', "Phi"),
    ('Ψ', "Psi"),
    ('Ω', "Omega"),
];

/// Fractions that are one letter.
const FRACTIONS: &[(char, u8, u8)] = &[
    ('½', 1, 2),
    ('⅓', 1, 3),
    ('⅔', 2, 3),
    ('¼', 1, 4),
    ('¾', 3, 4),
    ('⅕', 1, 5),
    ('⅖', 2, 5),
    ('⅗', 3, 5),
    ('⅘', 4, 5),
    ('⅙', 1, 6),
    ('⅚', 5, 6),
    ('⅐', 1, 7),
    ('⅛', 1, 8),
    ('⅜', 3, 8),
    ('⅝', 5, 8),
    ('⅞', 7, 8),
    ('⅑', 1, 9),
    ('⅒', 1, 10),
];

/// Letters above and below the line, and what they are on it.
const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸᵏᵐ⸍ᵗᵃᵇ";
const RAISED_PLAIN: &str = "0123456789+-()nixykm/tab";
const LOWERED: &str = "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙᵢₓₖₘⱼ";
const LOWERED_PLAIN: &str = "0123456789+-()nixkmj";

/// The letter on the line for one above it.
pub fn raised(c: char) -> Option<char> {
    same_place(c, RAISED, RAISED_PLAIN)
}

/// The letter on the line for one below it.
pub fn lowered(c: char) -> Option<char> {
    same_place(c, LOWERED, LOWERED_PLAIN)
}

fn same_place(c: char, from: &str, to: &str) -> Option<char> {
    if c.is_ascii() {
        return None;
    }
    from.chars().position(|other| other == c).and_then(|at| to.chars().nth(at))
}

/// The numbers of a fraction that is one letter.
pub fn fraction(c: char) -> Option<(u8, u8)> {
    FRACTIONS.iter().find(|(letter, _, _)| *letter == c).map(|(_, above, below)| (*above, *below))
}

/// Writes what stands for a letter beyond ASCII; `false` when nothing does.
pub fn write(c: char, out: &mut String) -> bool {
    if let Some((_, plain)) = PLAIN.iter().find(|(letter, _)| *letter == c) {
        out.push_str(plain);
    } else if let Some((_, name)) = GREEK.iter().find(|(letter, _)| *letter == c) {
        out.push('\\');
        out.push_str(name);
        out.push(' ');
    } else if let Some((above, below)) = fraction(c) {
        out.push_str(&format!("\\frac {{{above}}}{{{below}}}"));
    } else if c.is_whitespace() {
        out.push(' ');
    } else if let Some(plain) = full_width(c).or_else(|| mathematical(c)) {
        out.push(plain);
    } else {
        return false;
    }
    true
}

/// Full-width forms of ASCII.
fn full_width(c: char) -> Option<char> {
    let code = u32::from(c);
    (0xff01..=0xff5e).contains(&code).then(|| char::from_u32(code - 0xff01 + 0x21)).flatten()
}

/// Bold, italic, script and other letters and digits for mathematics.
fn mathematical(c: char) -> Option<char> {
    let code = u32::from(c);
    match code {
        0x1d400..=0x1d6a3 => {
            let at = (code - 0x1d400) % 52;
            char::from_u32(if at < 26 { at + 0x41 } else { at - 26 + 0x61 })
        }
        0x1d7ce..=0x1d7ff => char::from_u32((code - 0x1d7ce) % 10 + 0x30),
        _ => None,
    }
}
