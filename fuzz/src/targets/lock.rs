//! A lock: the text of one that is read and, where it is a lock, written and read again.

use std::path::Path;

use super::{Read, Target, said};

/// The target.
pub const TARGET: Target = Target {
    name: "lock",
    reads: "the lock of a spec",
    files: &[],
    words: &[
        "[[input]]\n",
        "[input.files]\n",
        "key = ",
        "path = ",
        "sha256 = ",
        "version = 1\n",
        "plan = ",
        "set = [",
        "\"\"\"",
        "\\u007F",
        "\\U0010FFFF",
        ".",
        "=",
        "{",
        "}",
    ],
    make,
};

fn make(_: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let read = |input: &[u8]| match std::str::from_utf8(input) {
        Ok(text) => said(r1x::untrusted::lock(text)),
        Err(error) => error.to_string(),
    };
    Ok((Box::new(read), Vec::new()))
}
