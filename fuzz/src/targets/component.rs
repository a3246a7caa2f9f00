//! The bytes of a reward's component, loaded as the host loads them.

use std::path::Path;

use r1x_reward::{Host, HostOptions};

use super::{Read, Target, failed, said};

/// The target.
pub const TARGET: Target = Target {
    name: "component",
    reads: "a WebAssembly component of a reward",
    files: &["plugins/format.wasm"],
    words: &["\0asm\r\0\u{1}\0", "\0asm\u{1}\0\0\0", "wasi:cli/run@0.2.0", "r1x:reward"],
    make,
};

fn make(_: &Path) -> std::io::Result<(Read, Vec<Vec<u8>>)> {
    let host = Host::new(HostOptions { cache_dir: None, workers: 1 }).map_err(failed)?;
    let read = move |input: &[u8]| said(host.load_bytes("input", input.to_vec()));
    Ok((Box::new(read), Vec::new()))
}
