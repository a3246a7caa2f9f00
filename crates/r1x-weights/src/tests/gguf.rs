//! GGUF headers: values of every type, places of tensors, and what is refused.

use super::{Gguf, f32s, folder_with, list, numbers, refused, text};
use crate::{Format, List, Value, WeightFiles};

#[test]
fn values_of_every_type_are_read() {
    let file = Gguf::new()
        .value("u8", 0, &[200])
        .value("i8", 1, &[0xff])
        .value("u16", 2, &[1, 1])
        .value("i16", 3, &(-2_i16).to_le_bytes())
        .value("u32", 4, &70_000_u32.to_le_bytes())
        .value("i32", 5, &(-70_000_i32).to_le_bytes())
        .value("f32", 6, &1.5_f32.to_le_bytes())
        .value("bool", 7, &[1])
        .value("text", 8, &text("Llama é"))
        .value("u64", 10, &u64::MAX.to_le_bytes())
        .value("i64", 11, &i64::MIN.to_le_bytes())
        .value("f64", 12, &0.1_f64.to_le_bytes())
        .value("texts", 9, &list(8, &[text("a"), text(""), text("Ġb")]))
        .value("kinds", 9, &list(5, &[1_i32.to_le_bytes().to_vec(), vec![3, 0, 0, 0]]))
        .value("scores", 9, &list(6, &[f32s(&[-1.0, 2.0])[..4].to_vec(), f32s(&[2.0])]))
        .value("empty", 9, &list(4, &[]))
        .value("bools", 9, &list(7, &[vec![0], vec![1]]));
    let (_folder, path) = folder_with("a.gguf", &file.bytes());
    let files = WeightFiles::open(path).unwrap();
    assert_eq!(files.format(), Format::Gguf);
    let value = |key: &str| &files.metadata()[key];
    let whole = ["u8", "u16", "u32", "u64"].map(|key| value(key).as_u64());
    assert_eq!(whole, [Some(200), Some(257), Some(70_000), Some(u64::MAX)]);
    let signed = ["i8", "i16", "i32", "i64"].map(value);
    let expected = [-1, -2, -70_000, i64::MIN].map(Value::Signed);
    assert_eq!(signed, [&expected[0], &expected[1], &expected[2], &expected[3]]);
    assert_eq!((value("f32").as_f64(), value("f64").as_f64()), (Some(1.5), Some(0.1)));
    assert_eq!((value("bool").as_bool(), value("text").as_text()), (Some(true), Some("Llama é")));
    assert_eq!(value("texts").as_texts().unwrap(), ["a", "", "Ġb"]);
    assert_eq!(value("kinds").as_i64s().unwrap(), [1, 3]);
    assert_eq!(value("scores").as_f64s().unwrap(), [-1.0, 2.0]);
    assert_eq!(*value("empty"), Value::List(List::Unsigned(Vec::new())));
    assert_eq!(*value("bools"), Value::List(List::Bools(vec![false, true])));
    assert_eq!((value("text").as_u64(), value("i8").as_u64()), (None, None));
}

#[test]
fn dimensions_are_turned_round_and_numbers_aligned() {
    let mut file = Gguf::new().value("general.alignment", 4, &64_u32.to_le_bytes());
    file.alignment = 64;
    file.version = 2;
    let file = file
        .tensor("a", &[3, 2], 0, &f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        .tensor("b", &[2], 1, &[0, 0x3c, 0, 0x40])
        .tensor("c", &[1, 1, 2], 30, &[0x80, 0x3f, 0, 0x40]);
    let (_folder, path) = folder_with("a.bin", &file.bytes());
    let files = WeightFiles::open(path).unwrap();
    assert_eq!(files.get("a").unwrap().shape(), [2, 3]);
    assert_eq!(files.get("c").unwrap().shape(), [2, 1, 1]);
    assert_eq!(numbers(&files, "a"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!((numbers(&files, "b"), numbers(&files, "c")), (vec![1.0, 2.0], vec![1.0, 2.0]));
}

#[track_caller]
fn check(file: &Gguf, expected: &str) {
    let said = refused("a.gguf", &file.bytes());
    assert!(said.contains(expected), "says {said}\nand not {expected}");
}

#[test]
fn tensors_beyond_their_file_or_each_other_are_refused() {
    let one = || Gguf::new().tensor("a", &[4], 0, &[0; 16]);
    check(&one().placed("b", &[4], 0, 0), "inside of `a`, which ends at");
    check(&one().placed("b", &[4], 0, 64), "`b` takes 16 bytes from byte");
    check(&one().placed("b", &[1 << 40], 0, 32), "`b` takes 4398046511104 bytes from byte");
    check(&one().placed("b", &[4], 0, u64::MAX - 31), "`b` begins at byte 18446744073709551584");
    check(
        &one().placed("b", &[1 << 32, 1 << 32], 0, 32),
        "no whole number of blocks that can be counted",
    );
    check(
        &one().placed("b", &[33], 2, 32),
        "`b` is Q4_0 [33]: its rows are no whole number of blocks",
    );
    check(&one().placed("b", &[16, 2], 2, 32), "`b` is Q4_0 [2, 16]: its rows");
    check(&one().placed("b", &[4], 99, 32), "`b` is of type 99, which is not known");
    check(&one().placed("b", &[1, 1, 1, 1, 1], 0, 32), "`b` has 5 dimensions; there are 4 at most");
    let mut late = Gguf::new().placed("a", &[0], 0, 8);
    late.data = vec![0; 8];
    check(&late, "nothing is said of 8 bytes between the header and `a`");
    check(&one().tensor("a", &[4], 0, &[0; 16]), "`a` is there twice");
    let mut gap = one();
    gap.data.resize(64, 0);
    check(&gap.tensor("b", &[4], 0, &[0; 16]), "nothing is said of 48 bytes between `a` and `b`");
}

#[test]
fn values_that_no_file_could_hold_are_refused() {
    let huge = u64::MAX.to_le_bytes();
    let listed = |kind: u32| [&kind.to_le_bytes()[..], &huge].concat();
    check(&Gguf::new().value("a", 8, &huge), "its header asks for 18446744073709551615 bytes");
    check(&Gguf::new().value("a", 9, &listed(0)), "its header asks for 18446744073709551615 bytes");
    check(&Gguf::new().value("a", 9, &listed(8)), "its header asks for 18446744073709551615 bytes");
    check(&Gguf::new().value("a", 9, &list(9, &[list(0, &[])])), "`a` is a list of lists");
    check(&Gguf::new().value("a", 9, &list(13, &[])), "`a` is a list of type 13, which is none");
    check(&Gguf::new().value("a", 13, &[]), "`a` is of the type 13, which is none");
    check(&Gguf::new().value("a", 7, &[2]), "`a` is 2, which is neither yes nor no");
    check(&Gguf::new().value("a", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]), "a text of a is not UTF-8");
    check(&Gguf::new().value("a", 0, &[0]).value("a", 0, &[0]), "the value `a` is there twice");
    let odd = 48_u32.to_le_bytes();
    check(&Gguf::new().value("general.alignment", 4, &odd), "is Unsigned(48), not a power of two");
    let long = "x".repeat(1025);
    check(&Gguf::new().value(&long, 0, &[0]), "1025 bytes in a name; 1024 are read at most");
}

#[test]
fn other_kinds_of_gguf_say_what_they_are() {
    let version = |version: u32| Gguf { version, ..Gguf::new() };
    check(&version(1), "it is GGUF of version 1; 2 and 3 are read");
    check(&version(3_u32.swap_bytes()), "it is GGUF in big-endian");
    check(&Gguf::new().value("split.count", 2, &[3, 0]), "it is one of 3 parts of a model");
    let counted = |tensors: u64, values: u64| {
        let counts = [tensors.to_le_bytes(), values.to_le_bytes()].concat();
        refused("a.gguf", &[&b"GGUF\x03\0\0\0"[..], &counts].concat())
    };
    assert_eq!(
        counted(1 << 40, 0),
        "says that it has 1099511627776 tensors; 1048576 are read at most"
    );
    assert_eq!(
        counted(0, 1 << 40),
        "says that it has 1099511627776 values; 65536 are read at most"
    );
    assert_eq!(counted(1, 0), "its header asks for 8 bytes from byte 24 on; the file has 24");
    assert_eq!(
        refused("a.gguf", b"GGUF"),
        "its header asks for 4 bytes from byte 4 on; the file has 4"
    );
}
