//! Scalars as TensorBoard reads them: a file of framed messages, each of which has the values of one step.
//!
//! Of the two crates that write such files one has not been released since 2020 and both bring a compiler of protobuf
//! schemas; the two messages that scalars need are the fifty lines below.

use std::io::Write;

/// What the first message of a file says.
const VERSION: &str = "brain.Event:2";

/// Types of fields on the wire.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// Writes the message that a file begins with.
///
/// # Errors
/// When it cannot be written.
pub fn begin(out: &mut impl Write, time_ms: i64) -> std::io::Result<()> {
    let mut event = time(time_ms);
    bytes(&mut event, 3, VERSION.as_bytes());
    record(out, &event)
}

/// Writes the values of a step under their tags.
///
/// # Errors
/// When it cannot be written.
pub fn step(
    out: &mut impl Write,
    (time_ms, step): (i64, u64),
    values: &[(String, f64)],
) -> std::io::Result<()> {
    let mut event = time(time_ms);
    // A field that has its default is left out, as the writer of protobuf does.
    if step != 0 {
        key(&mut event, 2, VARINT);
        varint(&mut event, step);
    }
    let mut summary = Vec::new();
    for (tag, number) in values {
        let mut value = Vec::new();
        bytes(&mut value, 1, tag.as_bytes());
        key(&mut value, 2, FOUR_BYTES);
        value.extend((*number as f32).to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    bytes(&mut event, 5, &summary);
    record(out, &event)
}

/// An event with its time, seconds since 1970.
fn time(time_ms: i64) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, EIGHT_BYTES);
    event.extend((time_ms as f64 / 1e3).to_le_bytes());
    event
}

fn key(out: &mut Vec<u8>, field: u64, kind: u64) {
    varint(out, field << 3 | kind);
}

fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, BYTES);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A frame of TFRecord: the length, its checksum, the message, its checksum.
fn record(out: &mut impl Write, message: &[u8]) -> std::io::Result<()> {
    let length = (message.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length).to_le_bytes())?;
    out.write_all(message)?;
    out.write_all(&masked(message).to_le_bytes())
}

/// A checksum that is not that of bytes with their checksum behind them.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: a run has some kilobytes of scalars a hundred steps.
fn crc32c(bytes: &[u8]) -> u32 {
    let of_byte = |crc: u32, byte: &u8| {
        let folded = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| folded(crc))
    };
    !bytes.iter().fold(u32::MAX, of_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by TensorBoard itself: `crates/r1x/tests/golden/scalars.py`.
    const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/scalars.tfevents");

    #[test]
    fn checksums_are_those_that_are_published() {
        // The check value of the catalogue of CRCs, and the vectors of RFC 3720, appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn files_are_those_of_tensorboard_byte_by_byte() {
        let mut file = Vec::new();
        let value = |tag: &str, value: f64| (tag.to_owned(), value);
        begin(&mut file, 1_764_547_200_000).unwrap();
        let first = [value("rl/reward.mean", 0.25), value("rl/loss", -1.5e-7)];
        step(&mut file, (1_764_547_200_500, 0), &first).unwrap();
        let second = [value("rl/reward.mean", f64::NAN), value("rl/loss", f64::INFINITY)];
        step(&mut file, (1_764_547_201_500, 1), &second).unwrap();
        let last = [value("eval/héldout/pass@1", 1.0 / 3.0)];
        step(&mut file, (1_764_547_500_500, 300), &last).unwrap();
        assert_eq!(file, GOLDEN);
    }
}
