//! Mutations of bytes and of words: cuts, repeats, swaps, and numbers at the ends of their range.

use r1x_core::rng::Position;

use crate::structure;

/// Longest input, bytes.
const MOST_BYTES: usize = 1 << 20;
/// Whole numbers at which something changes, little-endian.
const EDGES: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
/// Numbers as texts write them.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1e-40",
    "1e308",
    "1e999",
    "NaN",
    "4294967295",
    "4294967296",
    "2147483648",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999999999",
    "1048577",
    "0.0000001",
];

/// A mutation of one of some inputs. `words` are worth writing into inputs of this kind.
pub fn mutated(inputs: &[Vec<u8>], words: &[&str], draws: &mut Position) -> Vec<u8> {
    let any = |draws: &mut Position| &inputs[draws.below(inputs.len() as u64) as usize];
    let mut bytes = any(draws).clone();
    for _ in 0..=draws.below(4) {
        let other = any(draws);
        bytes = match draws.below(4) {
            0 | 1 => structure::mutated(&bytes, other, draws)
                .unwrap_or_else(|| in_text(bytes, other, words, draws)),
            2 => in_text(bytes, other, words, draws),
            _ => in_bytes(bytes, draws),
        };
        bytes.truncate(MOST_BYTES);
    }
    bytes
}

/// A place in the bytes and one behind it, near by.
fn range(bytes: &[u8], draws: &mut Position) -> (usize, usize) {
    let at = draws.below(bytes.len() as u64 + 1) as usize;
    let most = if draws.below(8) == 0 { bytes.len() as u64 } else { 40 };
    (at, (at + draws.below(most + 1) as usize).min(bytes.len()))
}

fn in_bytes(mut bytes: Vec<u8>, draws: &mut Position) -> Vec<u8> {
    let (at, end) = range(&bytes, draws);
    match draws.below(6) {
        0 => drop(bytes.drain(at..end)),
        1 if at < bytes.len() => bytes[at] ^= 1 << draws.below(8),
        2 if at < bytes.len() => bytes[at] = draws.next_u32() as u8,
        3 if at + 4 <= bytes.len() => {
            let edge = EDGES[draws.below(EDGES.len() as u64) as usize];
            let edge = if draws.below(2) == 0 { edge.to_le_bytes() } else { edge.to_be_bytes() };
            bytes[at..at + 4].copy_from_slice(&edge);
        }
        4 => bytes.truncate(at),
        _ => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
    }
    bytes
}

fn in_text(mut bytes: Vec<u8>, other: &[u8], words: &[&str], draws: &mut Position) -> Vec<u8> {
    let (at, end) = range(&bytes, draws);
    match draws.below(6) {
        // A number becomes another one.
        0 => {
            let digit = |byte: &u8| byte.is_ascii_digit();
            if let Some(start) = bytes[at..].iter().position(digit).map(|found| at + found) {
                let length = bytes[start..].iter().take_while(|byte| digit(byte)).count();
                let number = NUMBERS[draws.below(NUMBERS.len() as u64) as usize];
                bytes.splice(start..start + length, number.bytes());
            }
        }
        1 | 2 if !words.is_empty() => {
            let word = words[draws.below(words.len() as u64) as usize];
            let times = [1, 1, 1, 2, 50, 3_000][draws.below(6) as usize];
            let times = times.min(MOST_BYTES / word.len());
            bytes.splice(at..at, word.repeat(times).into_bytes());
        }
        3 => {
            let times = [2, 20, 400, 20_000][draws.below(4) as usize];
            let times = times.min(MOST_BYTES / (end - at).max(1));
            let piece = bytes[at..end].repeat(times);
            bytes.splice(at..end, piece);
        }
        4 => {
            let (from, to) = range(other, draws);
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            let number = NUMBERS[draws.below(NUMBERS.len() as u64) as usize];
            bytes.splice(at..at, number.bytes());
        }
    }
    bytes
}
