//! What cleaning makes of texts.

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
        (r"9\,500", "9500"),
        ("50 000", "50000"),
        ("1'000'000", "1000000"),
        ("1 250/1000", "1 250/1000"),
        ("3{,}14", "3.14"),
        ("0{,}125", "0.125"),
        ("10⁻³", "10^{-3}"),
        ("x₁₂", "x_{12}"),
        ("2½", r"2\frac {1}{2}"),
        ("𝑥 ＋ １", "x + 1"),
        (r"\mathrm{e}^{\mathrm{i}\pi}", r"{e}^{{i}\pi }"),
        (r"5\,\mathrm{m}", r"5 \text {m}"),
        (r"\color{red}{4}", "{4}"),
        (r"\phantom{4}", ""),
        (r"\text{13 years}", "13 years"),
        (r"\text{The answer is } 10", "10"),
        ("The final answer is: 10.", "10"),
        ("0.333...", r"0.333\ldots"),
        ("2**3", "2^3"),
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

#[test]
fn one_writing() {
    for (one, other) in [
        (r"\left( 3 , x \right)", "(3,x)"),
        (r"\int_{0}^{1} x\,dx", r"\int_0^1 x dx"),
        (r"\vec {v}", r"\vec{v}"),
        (r"\mathrm{C}_{6}", r"\mathrm{C}_6"),
    ] {
        assert_eq!(normal(one), normal(other), "{one}, {other}");
    }
    for (one, other) in [("1 2", "12"), ("x^{1}2", "x^12"), ("a b", "ab"), ("X", "x")] {
        assert_ne!(normal(one), normal(other), "{one}, {other}");
    }
}
