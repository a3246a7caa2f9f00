//! Blocks of few bits: some by value, all beside candle's reading of the same bytes.

use std::borrow::Cow;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Gguf, folder_with, numbers};
use crate::WeightFiles;
use crate::quantised::{q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0};

/// 2 and 0.5 as 16-bit floats.
const TWO: [u8; 2] = [0x00, 0x40];
const HALF: [u8; 2] = [0x00, 0x38];

#[test]
fn blocks_of_32_by_value() {
    let mut out = [0.0; 32];
    let nibbles: Vec<u8> = (0..16).map(|at| at | ((15 - at) << 4)).collect();
    q4_0(&[&TWO[..], &nibbles].concat(), &mut out);
    assert_eq!((out[0], out[15], out[16], out[31]), (-16.0, 14.0, 14.0, -16.0));
    q4_1(&[&TWO[..], &HALF, &nibbles].concat(), &mut out);
    assert_eq!((out[0], out[15], out[16], out[31]), (0.5, 30.5, 30.5, 0.5));
    // The fifth bit of the numbers 0 and 31.
    let fifths = 0x8000_0001_u32.to_le_bytes();
    q5_0(&[&TWO[..], &fifths, &nibbles].concat(), &mut out);
    assert_eq!((out[0], out[15], out[16], out[31]), (0.0, -2.0, -2.0, 0.0));
    q5_1(&[&TWO[..], &HALF, &fifths, &nibbles].concat(), &mut out);
    assert_eq!((out[0], out[15], out[16], out[31]), (32.5, 30.5, 30.5, 32.5));
    let bytes: Vec<u8> = (0..32).map(|at| (at * 8) as u8).collect();
    q8_0(&[&HALF[..], &bytes].concat(), &mut out);
    assert_eq!((out[0], out[1], out[16], out[31]), (0.0, 4.0, -64.0, -4.0));
}

#[test]
fn blocks_of_256_by_value() {
    let mut out = [0.0; 256];
    // Parts 0 to 3 have their scales in the low 6 bits of bytes 0 to 3, parts 4 to 7 in the low 4 of bytes 8 to 11 with
    // the high 2 of bytes 0 to 3; least values likewise in bytes 4 to 7.
    let mut packed = [0_u8; 12];
    (packed[0], packed[4]) = (3 | 0b1100_0000, 5 | 0b0100_0000);
    packed[8] = 1 | (2 << 4);
    let block = [&TWO[..], &HALF, &packed, &[0xa7; 128]].concat();
    q4_k(&block, &mut out);
    // Part 0: scale 3, least 5. Part 4: scale 1 + 48, least 2 + 16. All others: 0.
    assert_eq!((out[0], out[32], out[128]), (2.0 * 3.0 * 7.0 - 2.5, 0.0, 98.0 * 7.0 - 9.0));
    let fifths = [0b0001_0000_u8; 32];
    let block = [&TWO[..], &HALF, &packed, &fifths, &[0xa7; 128]].concat();
    q5_k(&block, &mut out);
    // The fifth bit is set in part 4 alone.
    assert_eq!((out[0], out[128]), (2.0 * 3.0 * 7.0 - 2.5, 98.0 * 23.0 - 9.0));
    // Numbers 0, 32, 64 and 96 of each half take low bits of bytes 0 and 32, and two high bits each of one byte.
    let (mut low, mut high, mut scales) = ([0_u8; 128], [0_u8; 64], [0_u8; 16]);
    (low[0], low[32], high[0]) = (0x21, 0x43, 0b11_10_01_00);
    (scales[0], scales[2], scales[4], scales[6]) = (1, 2, 255, 4);
    q6_k(&[&low[..], &high, &scales, &HALF].concat(), &mut out);
    let expected = [(1.0 - 32.0) * 0.5, 19.0 - 32.0, -0.5 * (34.0 - 32.0), 2.0 * (52.0 - 32.0)];
    assert_eq!([out[0], out[32], out[64], out[96]], expected);
}

const TYPES: [(u32, GgmlDType, fn(&[u8], &mut [f32])); 8] = [
    (2, GgmlDType::Q4_0, q4_0),
    (3, GgmlDType::Q4_1, q4_1),
    (6, GgmlDType::Q5_0, q5_0),
    (7, GgmlDType::Q5_1, q5_1),
    (8, GgmlDType::Q8_0, q8_0),
    (12, GgmlDType::Q4K, q4_k),
    (13, GgmlDType::Q5K, q5_k),
    (14, GgmlDType::Q6K, q6_k),
];

fn by_candle(dtype: GgmlDType, bytes: &[u8], count: usize) -> Vec<u32> {
    let storage = QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, dtype).unwrap();
    let tensor = QTensor::new(storage, (1, count)).unwrap().dequantize(&Device::Cpu).unwrap();
    bits(&tensor.flatten_all().unwrap().to_vec1().unwrap())
}

/// The bits of numbers; of what is none only that.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }).collect()
}

proptest! {
    #[test]
    fn any_blocks_are_what_candle_reads(bytes in vec(any::<u8>(), 3 * 210)) {
        for (_, dtype, decode) in TYPES {
            let blocks = bytes.len() / dtype.type_size();
            let bytes = &bytes[..blocks * dtype.type_size()];
            let mut out = vec![0.0; blocks * dtype.block_size()];
            decode(bytes, &mut out);
            prop_assert_eq!(bits(&out), by_candle(dtype, bytes, out.len()), "{:?}", dtype);
        }
    }
}

#[test]
fn every_type_is_read_from_a_file_whole_and_by_rows() {
    for (kind, dtype, _) in TYPES {
        // Three rows of two blocks; scales are made small numbers.
        let mut bytes: Vec<u8> =
            (0..6 * dtype.type_size()).map(|at| (at * 37 % 251) as u8).collect();
        bytes.iter_mut().for_each(|byte| *byte &= 0x3f);
        let columns = 2 * dtype.block_size() as u64;
        let file = Gguf::new().tensor("w", &[columns, 3], kind, &bytes);
        let (_folder, path) = folder_with("a.gguf", &file.bytes());
        let files = WeightFiles::open(path).unwrap();
        let found = numbers(&files, "w");
        assert_eq!(files.get("w").unwrap().shape(), [3, columns as usize]);
        assert_eq!(bits(&found), by_candle(dtype, &bytes, found.len()), "{dtype:?}");
        let mut rows = vec![0.0; 2 * columns as usize];
        files.read_rows("w", 1..3, &mut rows).unwrap();
        assert_eq!(bits(&rows), bits(&found[columns as usize..]));
    }
}
