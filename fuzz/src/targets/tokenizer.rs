//! `tokenizer.json`: read as a spec's check reads it, then texts through it and back.

use std::path::Path;

use r1x_model::Tokenizer;

use super::{Read, Target, said};

/// The target.
pub const TARGET: Target = Target {
    name: "tokenizer",
    reads: "tokenizer.json",
    files: &[],
    words: &[
        "\"type\":\"Sequence\"",
        "{\"String\":\"\"}",
        "{\"Regex\":\"a*\"}",
        "\"stop\":3",
        "[UNK]",
        "\\u0000",
    ],
    make,
};

const TEXTS: [&str; 6] =
    ["", "a b <e> ab", "Hello,  world! 123", "é😀\u{fdfa}\u{0}\n\t", "   ", "<0xE2><0x96>"];

fn make(_: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    Ok((Box::new(read), Vec::new()))
}

fn read(input: &[u8]) -> String {
    let tokenizer = match Tokenizer::from_bytes(input, &["<e>"]) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return error.to_string(),
    };
    let size = tokenizer.len();
    for text in TEXTS {
        match tokenizer.encode(text) {
            Ok(tokens) => {
                assert!(
                    tokens.iter().all(|token| (*token as usize) < size),
                    "a token beyond the size"
                );
                tokenizer.decode(&tokens);
            }
            Err(error) => return error.to_string(),
        }
    }
    // What a model draws may be any token.
    let drawn: Vec<u32> = (0..size.min(300) as u32).chain([size as u32, u32::MAX]).collect();
    tokenizer.decode(&drawn);
    said(tokenizer.encode(&"word ".repeat(200)))
}
