//! Several files with an index: what it may name, and what is said where it names something else.

use std::path::Path;

use super::{numbers, reason, tensors_file};
use crate::{Format, WeightFiles, WeightsError};

const INDEX: &str = "model.safetensors.index.json";

/// A shard with one tensor of one number for each name.
fn shard(folder: &Path, name: &str, tensors: &[(&str, f32)]) {
    let entry = |(at, (name, _)): (usize, &(&str, f32))| {
        let (from, to) = (4 * at, 4 * at + 4);
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{from},{to}]}}"#)
    };
    let header: Vec<String> = tensors.iter().enumerate().map(entry).collect();
    let values: Vec<f32> = tensors.iter().map(|(_, value)| *value).collect();
    let bytes = tensors_file(&format!("{{{}}}", header.join(",")), &super::f32s(&values));
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// A folder with two shards and this index.
fn folder(map: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    shard(folder.path(), "one.safetensors", &[("a", 1.0), ("both", 10.0)]);
    shard(folder.path(), "two.safetensors", &[("b", 2.0), ("both", 20.0), ("extra", 3.0)]);
    let index = format!(r#"{{"metadata":{{"total_size":20}},"weight_map":{map}}}"#);
    std::fs::write(folder.path().join(INDEX), index).unwrap();
    folder
}

#[test]
fn tensors_of_all_shards_are_there_and_the_index_decides_between_two() {
    let folder =
        folder(r#"{"a":"one.safetensors","b":"two.safetensors","both":"two.safetensors"}"#);
    for given in [folder.path().to_owned(), folder.path().join(INDEX)] {
        let files = WeightFiles::open(given).unwrap();
        assert_eq!(files.format(), Format::Shards);
        let names: Vec<_> = files.tensors().iter().map(|tensor| tensor.name()).collect();
        assert_eq!(names, ["a", "b", "both", "extra"]);
        let values: Vec<f32> = names.iter().flat_map(|name| numbers(&files, name)).collect();
        assert_eq!(values, [1.0, 2.0, 20.0, 3.0]);
    }
}

#[track_caller]
fn check(map: &str, expected: &str) {
    let folder = folder(map);
    let error = WeightFiles::open(folder.path()).unwrap_err();
    let said = reason(&WeightsError::path, folder.path(), error);
    assert!(said.contains(expected), "{map}\nsays {said}");
}

#[test]
fn an_index_names_files_beside_it_that_have_what_it_says() {
    check(r#"{"a":"one.safetensors","c":"one.safetensors"}"#, "one.safetensors lacks `c`");
    check(r#"{"a":"three.safetensors"}"#, "1 of 1 files are not there: `three.safetensors`");
    for name in ["../one.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\\\\b", "c:x"] {
        check(&format!(r#"{{"a":"{name}"}}"#), "which is no name of a file beside it");
    }
    check(r#"{"a":"\u0000"}"#, "which is no name of a file beside it");
    check(r#"{"a":"one.safetensors","a":"two.safetensors"}"#, "`a` is there twice");
    check(r#"{"a":1}"#, "it is no index of safetensors: invalid type");
    // Neither shard was named for it, so it is not known which counts.
    check(
        r#"{"a":"one.safetensors","b":"two.safetensors"}"#,
        "`both` is there twice, in DIR/one.safetensors and in DIR/two.safetensors",
    );
    let many: Vec<String> = (0..513).map(|at| format!(r#""{at}":"{at}.safetensors""#)).collect();
    check(&format!("{{{}}}", many.join(",")), "names 513 files; 512 are read at most");
}

#[test]
fn one_file_is_taken_before_an_index() {
    let folder = folder(r#"{"a":"one.safetensors"}"#);
    shard(folder.path(), "model.safetensors", &[("whole", 4.0)]);
    let files = WeightFiles::open(folder.path()).unwrap();
    assert_eq!(numbers(&files, "whole"), [4.0]);
}

#[test]
fn scales_may_lie_in_another_shard_than_their_weight() {
    let folder = tempfile::tempdir().unwrap();
    let header = r#"{"w":{"dtype":"F8_E4M3","shape":[1,2],"data_offsets":[0,2]}}"#;
    std::fs::write(folder.path().join("a.safetensors"), tensors_file(header, &[0x38, 0x40]))
        .unwrap();
    let header = r#"{"w_scale_inv":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}"#;
    let bytes = tensors_file(header, &3_f32.to_le_bytes());
    std::fs::write(folder.path().join("b.safetensors"), bytes).unwrap();
    let index = r#"{"weight_map":{"w":"a.safetensors","w_scale_inv":"b.safetensors"}}"#;
    std::fs::write(folder.path().join(INDEX), index).unwrap();
    let files = WeightFiles::open(folder.path()).unwrap();
    assert_eq!(numbers(&files, "w"), [3.0, 6.0]);
}

#[test]
#[cfg(unix)]
fn a_link_to_nothing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("../blobs/gone", folder.path().join("model.safetensors")).unwrap();
    let error = WeightFiles::open(folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("`model.safetensors`, which is a link to a file"),
        "{error}"
    );
    assert!(error.hint().contains("cp -rL"), "{}", error.hint());
}
