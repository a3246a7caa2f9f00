//! Blocks of few bits a number, as GGUF stores them: 32 or 256 numbers share scales.
//!
//! Each function takes whole blocks and computes in the order of ggml's reference (`dequantize_row_*` in
//! ggml-quants.c), so that results have the same bits: scales are multiplied with each other first, then with the
//! stored number, and nothing is fused.

use half::f16;

/// A 16-bit float at a place.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Calls a function for every block of `BYTES` with its `NUMBERS` numbers.
fn each<const BYTES: usize, const NUMBERS: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; NUMBERS]),
) {
    let blocks = bytes.as_chunks::<BYTES>().0;
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<NUMBERS>().0) {
        decode(block, out);
    }
}

/// 4 bits from -8 to 7, one scale.
pub(crate) fn q4_0(bytes: &[u8], out: &mut [f32]) {
    each::<18, 32>(bytes, out, |block, out| {
        let scale = half(block, 0);
        for (at, byte) in block[2..].iter().enumerate() {
            out[at] = (f32::from(byte & 15) - 8.0) * scale;
            out[at + 16] = (f32::from(byte >> 4) - 8.0) * scale;
        }
    });
}

/// 4 bits from 0 to 15, a scale and what 0 stands for.
pub(crate) fn q4_1(bytes: &[u8], out: &mut [f32]) {
    each::<20, 32>(bytes, out, |block, out| {
        let (scale, least) = (half(block, 0), half(block, 2));
        for (at, byte) in block[4..].iter().enumerate() {
            out[at] = f32::from(byte & 15) * scale + least;
            out[at + 16] = f32::from(byte >> 4) * scale + least;
        }
    });
}

/// The fifth bits of two numbers 16 places apart, as 16 or 0.
fn fifth(bits: u32, at: usize) -> [u8; 2] {
    [at, at + 16].map(|place| ((bits >> place) as u8 & 1) << 4)
}

/// 5 bits from -16 to 15, one scale.
pub(crate) fn q5_0(bytes: &[u8], out: &mut [f32]) {
    each::<22, 32>(bytes, out, |block, out| {
        let scale = half(block, 0);
        let bits = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        for (at, byte) in block[6..].iter().enumerate() {
            let [low, high] = fifth(bits, at);
            out[at] = (f32::from((byte & 15) | low) - 16.0) * scale;
            out[at + 16] = (f32::from((byte >> 4) | high) - 16.0) * scale;
        }
    });
}

/// 5 bits from 0 to 31, a scale and what 0 stands for.
pub(crate) fn q5_1(bytes: &[u8], out: &mut [f32]) {
    each::<24, 32>(bytes, out, |block, out| {
        let (scale, least) = (half(block, 0), half(block, 2));
        let bits = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
        for (at, byte) in block[8..].iter().enumerate() {
            let [low, high] = fifth(bits, at);
            out[at] = f32::from((byte & 15) | low) * scale + least;
            out[at + 16] = f32::from((byte >> 4) | high) * scale + least;
        }
    });
}

/// 8 bits with a sign, one scale.
pub(crate) fn q8_0(bytes: &[u8], out: &mut [f32]) {
    each::<34, 32>(bytes, out, |block, out| {
        let scale = half(block, 0);
        for (value, byte) in out.iter_mut().zip(&block[2..]) {
            *value = f32::from(*byte as i8) * scale;
        }
    });
}

/// The 6-bit scale and the 6-bit least value of one of eight parts of a block, from their 12 packed bytes.
fn part(packed: &[u8], part: usize) -> [f32; 2] {
    let (scale, least) = if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        let rest = packed[part + 4];
        ((rest & 15) | (packed[part - 4] >> 6 << 4), (rest >> 4) | (packed[part] >> 6 << 4))
    };
    [f32::from(scale), f32::from(least)]
}

/// 4 bits from 0 to 15 in eight parts of 32, each with a scale and a least value of 6 bits.
pub(crate) fn q4_k(bytes: &[u8], out: &mut [f32]) {
    each::<144, 256>(bytes, out, |block, out| {
        let (scale, least) = (half(block, 0), half(block, 2));
        for pair in 0..4 {
            let numbers = &block[16 + 32 * pair..][..32];
            for side in 0..2 {
                let [by, from] = part(&block[4..16], 2 * pair + side);
                let (by, from) = (scale * by, least * from);
                for (value, byte) in out[64 * pair + 32 * side..].iter_mut().zip(numbers) {
                    *value = by * f32::from((byte >> (4 * side)) & 15) - from;
                }
            }
        }
    });
}

/// 5 bits from 0 to 31 in eight parts of 32, each with a scale and a least value of 6 bits.
pub(crate) fn q5_k(bytes: &[u8], out: &mut [f32]) {
    each::<176, 256>(bytes, out, |block, out| {
        let (scale, least) = (half(block, 0), half(block, 2));
        let fifths = &block[16..48];
        for pair in 0..4 {
            let numbers = &block[48 + 32 * pair..][..32];
            for side in 0..2 {
                let [by, from] = part(&block[4..16], 2 * pair + side);
                let (by, from) = (scale * by, least * from);
                let out = &mut out[64 * pair + 32 * side..][..32];
                for ((value, byte), fifth) in out.iter_mut().zip(numbers).zip(fifths) {
                    let fifth = (fifth >> (2 * pair + side)) & 1;
                    *value = by * f32::from(((byte >> (4 * side)) & 15) | (fifth << 4)) - from;
                }
            }
        }
    });
}

/// 6 bits from -32 to 31 in sixteen parts of 16, each with a scale of 8 bits.
pub(crate) fn q6_k(bytes: &[u8], out: &mut [f32]) {
    each::<210, 256>(bytes, out, |block, out| {
        let scale = half(block, 208);
        for side in 0..2 {
            let low = &block[64 * side..][..64];
            let high = &block[128 + 32 * side..][..32];
            let scales = &block[192 + 8 * side..][..8];
            for (at, value) in out[128 * side..][..128].iter_mut().enumerate() {
                let (quarter, place) = (at / 32, at % 32);
                let four = (low[place + 32 * (quarter % 2)] >> (4 * (quarter / 2))) & 15;
                let two = (high[place] >> (2 * quarter)) & 3;
                let by = scale * f32::from(scales[at / 16] as i8);
                *value = by * (f32::from(four | (two << 4)) - 32.0);
            }
        }
    });
}
