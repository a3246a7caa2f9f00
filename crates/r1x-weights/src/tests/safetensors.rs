//! Single safetensors files, and which file of a folder is taken.

use super::{folder_with, numbers, reason, refused, tensors_file};
use crate::{Format, Value, WeightFiles, WeightsError};

#[test]
fn names_types_and_shapes_are_listed_in_order() {
    let header = r#"{"__metadata__":{"format":"pt"},
        "b":{"dtype":"I32","shape":[1],"data_offsets":[4,8]},
        "a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}   "#;
    let (folder, path) =
        folder_with("model.safetensors", &tensors_file(header, &[0x80, 0x3f, 0, 0x40, 1, 0, 0, 0]));
    for given in [path.as_path(), folder.path()] {
        let files = WeightFiles::open(given).unwrap();
        let listed: Vec<_> = files.tensors().iter().map(|t| (t.name(), t.dtype().name())).collect();
        assert_eq!(listed, [("a", "BF16"), ("b", "I32")]);
        assert_eq!(files.get("a").unwrap().shape(), [1, 2]);
        assert_eq!((files.format(), files.path()), (Format::Safetensors, path.as_path()));
        assert_eq!(files.metadata()["format"], Value::Text("pt".to_owned()));
        assert_eq!(numbers(&files, "a"), [1.0, 2.0]);
    }
}

#[test]
fn a_folder_without_weights_says_what_is_there() {
    let said = |name: &str| {
        let (folder, _) = folder_with(name, b"");
        let error = WeightFiles::open(folder.path()).unwrap_err();
        let hint = error.hint();
        (reason(&WeightsError::path, folder.path(), error), hint)
    };
    let (what, hint) = said("config.json");
    assert_eq!(
        what,
        "holds no weights: there is no model.safetensors, no model.safetensors.index.json and no .gguf"
    );
    assert!(hint.contains("downloaded model"), "{hint}");
    let (what, hint) = said("pytorch_model.bin");
    assert_eq!(what, "holds weights as pickles only: `pytorch_model.bin`");
    assert!(hint.contains("save_pretrained"), "{hint}");
    let (what, _) = said("adapter_model.safetensors");
    assert_eq!(
        what,
        "holds no model.safetensors and no model.safetensors.index.json, but `adapter_model.safetensors`"
    );
    let (folder, _) = folder_with("a.gguf", b"");
    std::fs::write(folder.path().join("b.gguf"), b"").unwrap();
    let error = WeightFiles::open(folder.path()).unwrap_err();
    assert_eq!(
        reason(&WeightsError::path, folder.path(), error),
        "holds 2 GGUF files: `a.gguf`, `b.gguf`"
    );
    assert!(matches!(WeightFiles::open("no/such/place"), Err(WeightsError::Io { .. })));
}

#[test]
fn files_of_other_kinds_are_told() {
    for (bytes, expected) in [
        (
            &b"version https://git-lfs.github.com/spec/v1"[..],
            "it is a pointer of Git LFS, not the weights themselves",
        ),
        (b"PK\x03\x04        ", "it is a pickle of PyTorch, which may run code when it is opened"),
        (b"<!doctype html>", "it is a web page, not weights"),
        (b"short", "has 5 bytes, which are not enough for a header"),
    ] {
        assert_eq!(refused("model.safetensors", bytes), expected);
    }
}

/// A header with one tensor `a` of eight bytes, and what is said of it.
#[track_caller]
fn check(header: &str, data: usize, expected: &str) {
    let said = refused("model.safetensors", &tensors_file(header, &vec![0; data]));
    assert!(said.contains(expected), "{header}\nsays {said}\nand not {expected}");
}

#[test]
fn headers_that_contradict_their_file_are_refused() {
    let tensor = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    // Beyond the file, by a little and by everything.
    check(&tensor("[2]", "[0,8]"), 4, "`a` takes 8 bytes from byte 62 on; the file has 66");
    check(
        &tensor("[1000000000000]", "[0,4000000000000]"),
        8,
        "`a` takes 4000000000000 bytes from byte",
    );
    check(&tensor("[2]", "[18446744073709551607,18446744073709551615]"), 8, "`a` lies from");
    // Shapes that do not go with their bytes, or with no bytes at all.
    check(&tensor("[3]", "[0,8]"), 8, "`a` is F32 [3], which takes 12 bytes, and has 8");
    check(
        &tensor("[4294967296,4294967296]", "[0,8]"),
        8,
        "which takes no number of bytes that can be counted",
    );
    check(&tensor("[2]", "[8,0]"), 8, "`a` lies from 8 to 0");
    check(&tensor("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, "`a` has 9 dimensions; 8 are read at most");
    check(&tensor("[-1]", "[0,8]"), 8, "its header is not one of safetensors: invalid value");
    check(&tensor("[2]", "[0,8]"), 9, "1 bytes behind its last tensor belong to none");
    let wrong = tensor("[2]", "[0,8]").replace("F32", "Q4_0");
    check(&wrong, 8, "`a` is of the type `Q4_0`, which is none of safetensors");
}

#[test]
fn tensors_that_overlap_or_leave_gaps_are_refused() {
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{first}}},
                "b":{{"dtype":"F32","shape":[2],"data_offsets":{second}}}}}"#
        )
    };
    check(&two("[0,8]", "[4,12]"), 12, "`b` begins at byte 137, inside of `a`, which ends at 141");
    check(&two("[0,8]", "[0,8]"), 8, "`b` begins at byte 132, inside of `a`");
    check(&two("[0,8]", "[9,17]"), 17, "nothing is said of 1 bytes between `a` and `b`");
    check(&two("[4,12]", "[12,20]"), 20, "nothing is said of 4 bytes between the header and `a`");
}

#[test]
fn names_come_once_and_have_a_length() {
    let entry = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    check(&format!(r#"{{"a":{entry},"a":{entry}}}"#), 0, "`a` is there twice at line 1");
    check(r#"{"__metadata__":{},"__metadata__":{}}"#, 0, "`__metadata__` is there twice");
    let long = "x".repeat(1025);
    check(&format!(r#"{{"{long}":{entry}}}"#), 0, "a name has 1025 bytes; 1024 are read at most");
    let said = refused("a", &tensors_file(&format!(r#"{{"a":"{}"}}"#, "x".repeat(9000)), &[]));
    assert!(said.len() < 300 && said.ends_with("xxx... (line 1, column 9007)"), "{said}");
    check("[]", 0, "expected an object with a tensor under each name");
    check("", 0, "its header is not one of safetensors: EOF");
    check(&"[".repeat(200_000), 0, "its header is not one of safetensors");
}

#[test]
fn a_length_beyond_the_file_or_the_limit_asks_for_no_memory() {
    let said = refused("model.safetensors", &[u64::MAX.to_le_bytes(), [b'{'; 8]].concat());
    assert_eq!(said, format!("says that its header has {} bytes; the whole file has 16", u64::MAX));
    let (folder, path) = folder_with("model.safetensors", &(1_u64 << 40).to_le_bytes());
    // A file that is large and has no bytes on the disk.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(2 << 40).unwrap();
    let error = WeightFiles::open(&path).unwrap_err();
    let said = reason(&WeightsError::path, folder.path(), error);
    assert_eq!(said, "its header has 1099511627776 bytes; 100000000 are read at most");
}
