//! FP8 E4M3 with one scale a block of 128 x 128, as DeepSeek-V3 publishes its weights (section 3.3 of its report, and
//! `weight_dequant` in its repository).
//!
//! A weight `[out, in]` has a companion of its name with `_scale_inv`, `[ceil(out/128), ceil(in/128)]`. In spite of
//! its name the scale is what the stored number is multiplied by. Blocks at the lower and right edge are cut off by
//! the edge.

/// What the name of a tensor with scales ends with.
pub(crate) const SCALE: &str = "_scale_inv";

/// Rows and columns of a block that shares a scale, where a config says nothing else.
pub const FLOAT8_BLOCK: [usize; 2] = [128, 128];

/// The number that a byte stands for in E4M3 (OCP 8-bit floating point, "FN"): 4 bits of exponent with bias 7, 3 of
/// mantissa, largest 448, no infinity; 0x7f and 0xff are no number.
pub const fn e4m3_to_f32(byte: u8) -> f32 {
    let (exponent, mantissa) = ((byte >> 3) & 15, byte & 7);
    let size = if byte & 0x7f == 0x7f {
        f32::NAN
    } else if exponent == 0 {
        mantissa as f32 / 512.0
    } else {
        // The exponent's bias becomes that of f32; both mantissas begin at their top.
        f32::from_bits(((exponent as u32 + 127 - 7) << 23) | ((mantissa as u32) << 20))
    };
    if byte & 0x80 == 0 { size } else { -size }
}

const NUMBERS: [f32; 256] = {
    let mut numbers = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        numbers[byte] = e4m3_to_f32(byte as u8);
        byte += 1;
    }
    numbers
};

/// The scales of one weight.
#[derive(Clone, Debug)]
pub(crate) struct Scales {
    /// Columns of the weight.
    pub(crate) columns: usize,
    /// Rows and columns of a block.
    pub(crate) block: [usize; 2],
    /// One a block, by rows.
    pub(crate) values: Vec<f32>,
}

impl Scales {
    /// The shape of the scales of a weight of this shape.
    pub(crate) fn shape(weight: [usize; 2], block: [usize; 2]) -> [usize; 2] {
        [weight[0].div_ceil(block[0]), weight[1].div_ceil(block[1])]
    }

    /// Multiplies stored numbers, the first of which is element `first` of the weight, by their scales.
    pub(crate) fn apply(&self, bytes: &[u8], first: usize, out: &mut [f32]) {
        let Self { columns, block: [block_rows, block_columns], ref values } = *self;
        let across = columns.div_ceil(block_columns);
        let mut at = 0;
        while at < out.len() {
            let (row, column) = ((first + at) / columns, (first + at) % columns);
            let block = column / block_columns;
            let scale = values[row / block_rows * across + block];
            // To the end of the block, of the row or of what is asked for.
            let end = ((block + 1) * block_columns).min(columns) - column + at;
            let end = end.min(out.len());
            for (value, byte) in out[at..end].iter_mut().zip(&bytes[at..end]) {
                *value = NUMBERS[usize::from(*byte)] * scale;
            }
            at = end;
        }
    }
}
