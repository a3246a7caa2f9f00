//! E4M3 and its block scales, by value.

use super::{folder_with, numbers, reason, tensors_file};
use crate::{WeightFiles, WeightsError, e4m3_to_f32};

#[test]
fn every_byte_of_e4m3_by_its_definition() {
    for byte in 0..=255_u8 {
        let sign = if byte & 0x80 == 0 { 1.0_f64 } else { -1.0 };
        let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f64::from(byte & 7));
        let expected = match (exponent, byte & 7) {
            (15, 7) => f64::NAN,
            (0, _) => sign * mantissa / 8.0 * 2_f64.powi(-6),
            _ => sign * (1.0 + mantissa / 8.0) * 2_f64.powi(exponent - 7),
        };
        let found = f64::from(e4m3_to_f32(byte));
        assert!(found == expected || found.is_nan() && expected.is_nan(), "{byte:#x}: {found}");
        assert_eq!(found.is_sign_negative(), byte & 0x80 != 0, "{byte:#x}");
    }
    // Values of the OCP document: largest, smallest normal, smallest.
    assert_eq!([0x7e, 0x08, 0x01].map(e4m3_to_f32), [448.0, 0.015_625, 0.001_953_125]);
}

/// A weight `[rows, columns]` of bytes 0x38 (which is 1) with these scales.
fn open(
    rows: usize,
    columns: usize,
    dtype: &str,
    shape: [usize; 2],
    scales: &[u8],
) -> (tempfile::TempDir, WeightFiles) {
    let (middle, end) = (rows * columns, rows * columns + scales.len());
    let header = format!(
        r#"{{"w.weight":{{"dtype":"F8_E4M3","shape":[{rows},{columns}],"data_offsets":[0,{middle}]}},
            "w.weight_scale_inv":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{middle},{end}]}}}}"#
    );
    let data = [&vec![0x38; middle], scales].concat();
    let (folder, path) = folder_with("a.safetensors", &tensors_file(&header, &data));
    let files = WeightFiles::open(path).unwrap();
    (folder, files)
}

#[test]
fn partial_blocks_at_both_edges_have_their_own_scales() {
    // As kv_a_proj of DeepSeek-V3: 576 rows are four blocks and a half.
    let (rows, columns) = (576, 200);
    let scales: Vec<f32> = (1..=10).map(|at| at as f32).collect();
    let (_folder, files) = open(rows, columns, "F32", [5, 2], &super::f32s(&scales));
    let found = numbers(&files, "w.weight");
    for row in 0..rows {
        for column in 0..columns {
            let expected = scales[row / 128 * 2 + column / 128];
            assert_eq!(found[row * columns + column], expected, "{row}, {column}");
        }
    }
    // Rows that begin within a block.
    let mut some = vec![0.0; 3 * columns];
    files.read_rows("w.weight", 127..130, &mut some).unwrap();
    assert_eq!(some, found[127 * columns..130 * columns]);
    // Scales belong to their tensor and are none of their own.
    assert_eq!(files.tensors().len(), 1);
    let scales = files.get("w.weight").unwrap().scales().unwrap();
    assert_eq!((scales.name(), scales.shape()), ("w.weight_scale_inv", &[5, 2][..]));
    assert!(files.get("w.weight_scale_inv").is_none());
}

#[test]
fn the_buffer_ends_within_rows() {
    // A row is longer than the buffer, and no multiple of a block.
    let columns = crate::BUFFER_BYTES + 77;
    let across = columns.div_ceil(128);
    let scales: Vec<f32> = (0..2 * across).map(|at| at as f32 + 1.0).collect();
    let (_folder, files) = open(129, columns, "F32", [2, across], &super::f32s(&scales));
    let mut found = vec![0.0; 2 * columns];
    files.read_rows("w.weight", 127..129, &mut found).unwrap();
    for (at, value) in found.iter().enumerate() {
        assert_eq!(*value, scales[at / columns * across + at % columns / 128], "{at}");
    }
}

#[test]
fn scales_may_be_bf16_and_of_other_blocks() {
    let scales = [0x00, 0x40, 0x40, 0x40, 0x80, 0x40, 0xa0, 0x40, 0xc0, 0x40, 0xe0, 0x40];
    let (_folder, files) = open(3, 3, "BF16", [3, 2], &scales);
    let files = files.with_float8_block([1, 2]).unwrap();
    let expected = [2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0, 6.0, 7.0];
    assert_eq!(numbers(&files, "w.weight"), expected);
    assert!(files.with_float8_block([0, 1]).is_err());
}

#[test]
fn scales_of_another_shape_or_none_are_errors() {
    let (folder, files) = open(2, 2, "F32", [2, 1], &super::f32s(&[1.0, 2.0]));
    let error = files.read("w.weight", &mut [0.0; 4]).unwrap_err();
    assert_eq!(
        reason(&WeightsError::path, folder.path(), error),
        "`w.weight` is [2, 2] with scales [2, 1], which are not one for each block of 128 x 128"
    );
    let (folder, files) = open(2, 2, "U8", [1, 1], &[1]);
    let error = files.read("w.weight", &mut [0.0; 4]).unwrap_err();
    let said = reason(&WeightsError::path, folder.path(), error);
    assert_eq!(said, "`w.weight` has scales of U8");
    let header = r#"{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#;
    let (folder, path) = folder_with("a.safetensors", &tensors_file(header, &[0; 2]));
    let files = WeightFiles::open(path).unwrap();
    let error = files.read("w", &mut [0.0; 2]).unwrap_err();
    let said = reason(&WeightsError::path, folder.path(), error);
    assert_eq!(said, "`w` is F8_E4M3 without `w_scale_inv` beside it");
}
