//! Numbers that are stored one by one: F32, F16, BF16 and F64, little-endian.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements that pass through a buffer on the stack.
const STEP: usize = 1024;

/// F32 as it is.
pub(crate) fn f32s(bytes: &[u8], out: &mut [f32]) {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = f32::from_le_bytes(*bytes);
    }
}

/// BF16, exact in f32.
pub(crate) fn bf16s(bytes: &[u8], out: &mut [f32]) {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

/// BF16 as it is.
pub(crate) fn bf16s_as_they_are(bytes: &[u8], out: &mut [bf16]) {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = bf16::from_le_bytes(*bytes);
    }
}

/// F16, exact in f32.
pub(crate) fn f16s(bytes: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; STEP];
    for (out, bytes) in out.chunks_mut(STEP).zip(bytes.chunks(2 * STEP)) {
        let halves = &mut halves[..out.len()];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(out);
    }
}

/// F64, rounded to the nearest f32.
///
/// # Errors
/// The first finite number that is none in f32.
pub(crate) fn f64s(bytes: &[u8], out: &mut [f32]) -> Result<(), f64> {
    for (value, bytes) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
        let wide = f64::from_le_bytes(*bytes);
        *value = wide as f32;
        if wide.is_finite() && !value.is_finite() {
            return Err(wide);
        }
    }
    Ok(())
}
