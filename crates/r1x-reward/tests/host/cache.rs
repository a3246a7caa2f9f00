//! Compiled plugins on disk: used when whole and ours, remade when not, refused when others could write.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use r1x_reward::Origin;

use crate::support::*;

fn entry(folder: &Path, extension: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut found = files.filter(|file| file.extension().is_some_and(|e| e == extension));
    found.next().unwrap()
}

#[test]
fn the_second_load_finds_it_compiled() {
    let folder = Folder::new();
    let cache = folder.0.join("new/plugins");
    let component = fs::read(path("plugins/format.wasm")).unwrap();
    let host = new_host(Some(cache.clone()), 1);
    assert_eq!(host.cache_refusal(), None);
    assert!(!host.is_cached(&component));
    let first = host.load(path("plugins/format.wasm")).unwrap();
    assert_eq!(first.origin(), Origin::Compiled);
    assert!(host.is_cached(&component));

    let again = new_host(Some(cache.clone()), 1);
    let second = again.load(path("plugins/format.wasm")).unwrap();
    assert_eq!(second.origin(), Origin::Cache);
    assert_eq!(second.info(), first.info());
    assert!(second.load_time() < first.load_time());
    let groups = [group(&[], &["x </think> <answer> 1 </answer>"])];
    let outcomes = score_on(&again, &second, &plan(&second), &groups).unwrap();
    assert_eq!(outcomes[0][0].value, Some(1.0));
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2);
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    let folder = Folder::new();
    let cache = folder.0.join("cache");
    let load = || {
        let host = new_host(Some(cache.clone()), 1);
        host.load(path("plugins/format.wasm")).unwrap().origin()
    };
    assert_eq!(load(), Origin::Compiled);
    let compiled = entry(&cache, "cwasm");
    let mut bytes = fs::read(&compiled).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&compiled, &bytes).unwrap();
    assert_eq!(load(), Origin::Compiled);
    assert_eq!(load(), Origin::Cache);

    fs::write(&compiled, b"").unwrap();
    assert_eq!(load(), Origin::Compiled);
    fs::remove_file(entry(&cache, "sha256")).unwrap();
    assert_eq!(load(), Origin::Compiled);
    assert_eq!(load(), Origin::Cache);
}

/// Native code of another plugin in the place of this one's, with the note that belonged to it.
#[test]
fn a_forged_entry_is_not_run() {
    let folder = Folder::new();
    let (cache, other) = (folder.0.join("cache"), folder.0.join("other"));
    new_host(Some(other.clone()), 1).load(hostile_path()).unwrap();
    let load = || new_host(Some(cache.clone()), 1).load(path("plugins/format.wasm")).unwrap();
    assert_eq!(load().origin(), Origin::Compiled);
    fs::copy(entry(&other, "cwasm"), entry(&cache, "cwasm")).unwrap();
    let plugin = load();
    assert_eq!((plugin.origin(), plugin.info().name.as_str()), (Origin::Compiled, "format"));
    assert_eq!(load().origin(), Origin::Cache);
}

#[test]
fn a_folder_open_to_others_is_not_used() {
    let folder = Folder::new();
    let cache = folder.0.join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    let host = new_host(Some(cache.clone()), 1);
    assert!(host.cache_refusal().unwrap().contains("chmod 700"), "{:?}", host.cache_refusal());
    assert_eq!(host.load(path("plugins/format.wasm")).unwrap().origin(), Origin::Compiled);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

#[test]
fn a_folder_that_cannot_be_made_is_not_used() {
    let folder = Folder::new();
    fs::write(folder.0.join("file"), b"").unwrap();
    let host = new_host(Some(folder.0.join("file/cache")), 1);
    assert!(host.cache_refusal().unwrap().contains("cannot be made"));
    let host = new_host(Some(folder.0.join("file")), 1);
    assert!(host.cache_refusal().is_some());
}

#[test]
fn an_entry_others_may_write_is_not_trusted() {
    let folder = Folder::new();
    let cache = folder.0.join("cache");
    let load = || {
        let host = new_host(Some(cache.clone()), 1);
        host.load(path("plugins/format.wasm")).unwrap().origin()
    };
    assert_eq!(load(), Origin::Compiled);
    fs::set_permissions(entry(&cache, "cwasm"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(load(), Origin::Compiled);
}

/// What a component carries beside its code is part of its hash, and none of the compiler's business.
#[test]
fn components_that_differ_in_what_they_carry_are_compiled_once() {
    let folder = Folder::new();
    let cache = folder.0.join("cache");
    let host = new_host(Some(cache.clone()), 1);
    let plain = fs::read(path("plugins/format.wasm")).unwrap();
    let carrying = |content: &[u8]| {
        let name = b"r1x:files";
        let length = u8::try_from(1 + name.len() + content.len()).unwrap();
        [&plain[..], &[0, length, 9], name, content].concat()
    };
    // A path, the length of the file, what is stored of it.
    let one = host.load_bytes("one", carrying(b"\x03a/b\x02\x02xy")).unwrap();
    assert_eq!(one.origin(), Origin::Compiled);
    let two = host.load_bytes("two", carrying(b"\x01c\x00\x00")).unwrap();
    assert_eq!(two.origin(), Origin::Cache);
    assert!(host.is_cached(&plain));
    assert_ne!(one.sha256(), two.sha256());
    assert_eq!(one.info(), two.info());
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2);
    let error =
        host.prepare(&carrying(b""), &plan(&one).plugin().unwrap().limits).unwrap_err().to_string();
    assert!(error.contains("failed to find function export"), "{error}");
}
