//! Completions that try to hurt: for the native tests of plugins, and for those of the host.

/// Completions that try to hurt: a reward must judge each of them, quickly and without a panic.
pub fn adversarial() -> Vec<String> {
    let mut texts = vec![
        String::new(),
        "x".repeat(1 << 20),
        "7 ".repeat(1 << 19),
        "a\0b\0<answer>\0</answer>".to_owned(),
        "<think><think><answer><reasoning>".repeat(2_000),
        "</answer></think>".repeat(2_000),
        format!("<answer>{}1{}</answer>", "(".repeat(10_000), ")".repeat(10_000)),
        format!("\\boxed{{{}1{}}}", "(".repeat(1_000), ")".repeat(1_000)),
        "\\boxed{".repeat(10_000),
        format!("<answer>{}</answer>", "9".repeat(100_000)),
        "<answer>9**9**9**9</answer> \\boxed{9^{9^{9^{9}}}}".to_owned(),
        "<answer>שלום \u{202e}5 + 3\u{202c} עולם ١٢٣</answer> \\boxed{\u{202e}12}".to_owned(),
        "\u{feff}\u{200d}e\u{301}\u{1f469}\u{200d}\u{1f4bb}".repeat(500),
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!".repeat(200),
        "{\"a\":[".repeat(5_000),
        "\\frac".repeat(5_000),
        "\n".repeat(100_000),
    ];
    texts.push(format!("\\boxed{{{}}}", "\\sqrt{".repeat(300) + &"}".repeat(300)));
    texts.push(format!("\\boxed{{{}}}", "1+".repeat(1_500) + "1"));
    texts.push(format!("\\boxed{{{}}}", "\\{1,".repeat(100) + &"\\}".repeat(100)));
    texts
}
