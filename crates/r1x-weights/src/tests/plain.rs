//! Numbers stored one by one, by value.

use half::bf16;

use super::{folder_with, numbers, reason, tensors_file};
use crate::{WeightFiles, WeightsError};

/// A file with one tensor `a` of a type and shape.
fn open(dtype: &str, shape: &[usize], data: &[u8]) -> (tempfile::TempDir, WeightFiles) {
    let end = data.len();
    let header =
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[0,{end}]}}}}"#);
    let (folder, path) = folder_with("a.safetensors", &tensors_file(&header, data));
    let files = WeightFiles::open(path).unwrap();
    (folder, files)
}

#[test]
fn each_type_by_value() {
    let table: [(&str, &[u8], [f32; 4]); 4] = [
        (
            "F32",
            &[0, 0, 0x80, 0x3f, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0x20, 0xc1],
            [1.0, -0.0, 1e-45, -10.0],
        ),
        // 1, the largest, the smallest and minus a half.
        ("F16", &[0, 0x3c, 0xff, 0x7b, 1, 0, 0, 0xb8], [1.0, 65504.0, 5.960_464_5e-8, -0.5]),
        ("BF16", &[0x80, 0x3f, 0, 0xc0, 0x49, 0x40, 0, 0], [1.0, -2.0, 3.140_625, 0.0]),
        (
            "F64",
            &[
                0, 0, 0, 0, 0, 0, 0xf0, 0x3f, // 1
                0x18, 0x2d, 0x44, 0x54, 0xfb, 0x21, 0x09, 0x40, // pi
                0, 0, 0, 0, 0, 0, 0xf0, 0x7f, // infinity
                0, 0, 0, 0, 0, 0, 0x04, 0xc0, // -2.5
            ],
            [1.0, std::f32::consts::PI, f32::INFINITY, -2.5],
        ),
    ];
    for (dtype, data, expected) in table {
        let (_folder, files) = open(dtype, &[2, 2], data);
        let found = numbers(&files, "a");
        assert_eq!(found.map_bits(), expected.map(f32::to_bits), "{dtype}");
        let mut row = [0.0; 2];
        files.read_rows("a", 1..2, &mut row).unwrap();
        assert_eq!(row, expected[2..], "{dtype}");
        let mut halves = [bf16::ZERO; 4];
        files.read_bf16("a", &mut halves).unwrap();
        assert_eq!(halves, expected.map(bf16::from_f32), "{dtype}");
        files.read_rows_bf16("a", 0..1, &mut halves[2..]).unwrap();
        assert_eq!(halves[2..], halves[..2], "{dtype}");
    }
}

trait Bits {
    fn map_bits(&self) -> Vec<u32>;
}

impl Bits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|value| value.to_bits()).collect()
    }
}

#[test]
fn bf16_is_copied_bit_for_bit_even_where_it_is_no_number() {
    let (_folder, files) = open("BF16", &[2], &[0xc1, 0x7f, 0x80, 0xff]);
    let mut halves = [bf16::ZERO; 2];
    files.read_bf16("a", &mut halves).unwrap();
    assert_eq!(halves.map(bf16::to_bits), [0x7fc1, 0xff80]);
}

#[test]
fn tensors_larger_than_the_buffer_are_read_whole_and_by_rows() {
    // More than two buffers of F32, and rows that do not divide them.
    let (rows, columns) = (911, 150);
    let values: Vec<f32> = (0..rows * columns).map(|at| at as f32).collect();
    let (_folder, files) = open("F32", &[rows, columns], &super::f32s(&values));
    assert!(files.get("a").unwrap().bytes() > 2 * crate::BUFFER_BYTES as u64);
    assert_eq!(numbers(&files, "a"), values);
    let mut some = vec![0.0; 700 * columns];
    files.read_rows("a", 100..800, &mut some).unwrap();
    assert_eq!(some, values[100 * columns..800 * columns]);
    files.read_rows("a", 911..911, &mut []).unwrap();
}

#[test]
fn single_numbers_and_empty_tensors_are_tensors() {
    let (_folder, files) = open("F32", &[], &1.5_f32.to_le_bytes());
    assert_eq!(numbers(&files, "a"), [1.5]);
    let one = files.get("a").unwrap();
    assert_eq!((one.rows(), one.columns(), one.elements()), (1, 1, 1));
    let (_folder, files) = open("F32", &[3, 0], &[]);
    assert_eq!(numbers(&files, "a"), [0.0; 0]);
    assert_eq!(files.get("a").unwrap().rows(), 0);
}

#[test]
fn what_cannot_be_read_is_named() {
    let message = |dtype: &str, data: &[u8], out: &mut [f32]| {
        let (folder, files) = open(dtype, &[2], data);
        let error = files.read("a", out).unwrap_err();
        reason(&WeightsError::path, folder.path(), error)
    };
    assert_eq!(message("I64", &[0; 16], &mut [0.0; 2]), "`a` is I64, which is not read as weights");
    assert_eq!(message("F32", &[0; 8], &mut [0.0; 3]), "`a` has 2 elements to read into 3");
    let large = [1e300_f64.to_le_bytes(), 0_f64.to_le_bytes()].concat();
    assert_eq!(
        message("F64", &large, &mut [0.0; 2]),
        "`a` holds 1e300, which is too large for f32"
    );
    let (folder, files) = open("F32", &[2], &[0; 8]);
    let error = files.read("b", &mut []).unwrap_err();
    assert_eq!(reason(&WeightsError::path, folder.path(), error), "`b` is not there");
    let error = files.read_rows("a", 1..2, &mut [0.0; 1]).unwrap_err();
    let said = reason(&WeightsError::path, folder.path(), error);
    assert_eq!(said, "`a` has 1 rows, and 1..2 were asked for");
}

#[test]
fn a_file_that_became_shorter_is_an_error() {
    let (folder, files) = open("F32", &[2], &[0; 8]);
    let path = folder.path().join("a.safetensors");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let error = files.read("a", &mut [0.0; 2]).unwrap_err();
    assert!(error.hint().starts_with("the file became shorter"), "{error}: {}", error.hint());
}
