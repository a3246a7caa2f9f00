//! Packages without pip: which native code is found, what is said about it, and locks beside plugins.
//!
//! Must not need Python or a network.

use std::collections::BTreeMap;

use super::lock::Pin;
use super::*;

fn requirement(text: &str) -> Requirement {
    Requirement::parse(text).unwrap()
}

fn found(name: &str, version: &str, file: &str, needs: &[&str]) -> Found {
    let pin = Pin { name: name.to_owned(), version: version.to_owned(), sha256: "0".repeat(64) };
    Found { pin, file: file.to_owned(), needs: needs.iter().map(|one| requirement(one)).collect() }
}

fn told(error: &BuildError) -> String {
    format!("{error}\n{}", error.hint())
}

#[test]
fn native_code_is_named_with_who_needs_it() {
    let best = [
        found("jsonschema", "4.26", "jsonschema-4.26-py3-none-any.whl", &["attrs", "referencing"]),
        found("attrs", "26", "attrs-26-py3-none-any.whl", &[]),
        found("referencing", "0.37", "referencing-0.37-py3-none-any.whl", &["rpds_py>=0.7"]),
        found("rpds-py", "0.30", "rpds_py-0.30-cp314-cp314-manylinux_2_17_x86_64.whl", &[]),
    ];
    let wanted = [requirement("jsonschema")];
    let pure = [found("jsonschema", "4.17.3", "jsonschema-4.17.3-py3-none-any.whl", &[])];
    let text = told(&native(&wanted, &best, &pure));
    assert!(
        text.starts_with(
            "`jsonschema` needs `referencing`, which needs `rpds-py`, which has native code: rpds_py-0.30-cp314"
        ),
        "{text}"
    );
    assert!(text.contains("without it there is jsonschema==4.17.3, if that will do"), "{text}");
    let alone = [found("rapidfuzz", "3", "rapidfuzz-3-cp314-cp314-manylinux_2_28_x86_64.whl", &[])];
    let text = told(&native(&[requirement("rapidfuzz")], &alone, &[]));
    assert!(text.starts_with("`rapidfuzz` has native code: rapidfuzz-3-cp314"), "{text}");
    assert!(text.contains("only packages in pure Python"), "{text}");
}

#[test]
fn a_package_with_and_without_native_code_is_taken_without() {
    let best = [found("sqlalchemy", "2.1", "sqlalchemy-2.1-cp314-cp314-linux_x86_64.whl", &[])];
    let pure = |version| [found("SQLAlchemy", version, "SQLAlchemy-2.1-py3-none-any.whl", &[])];
    assert!(same_versions(&best, &pure("2.1")));
    assert!(!same_versions(&best, &pure("1.0")));
    assert!(!same_versions(&best, &[]));
}

#[test]
fn who_needs_a_package_is_found_through_extras_and_markers() {
    let best = [
        found("a", "1", "a", &["b[fast]", "c; sys_platform == 'win32'"]),
        found("b", "1", "b", &["c; extra == 'fast'"]),
        found("c", "1", "c", &[]),
    ];
    assert_eq!(chain(&[requirement("a")], &best, "c"), ["a", "b"]);
    assert_eq!(chain(&[requirement("b")], &best, "c"), Vec::<String>::new());
    assert_eq!(chain(&[requirement("c")], &best, "c"), Vec::<String>::new());
}

#[test]
fn native_files_are_known_by_name_and_by_content() {
    let is = |name: &str, bytes: &[u8]| is_native(Path::new(name), bytes);
    for name in ["a/_x.cpython-314-x86_64-linux-gnu.so", "x.pyd", "lib/libz.so.1", "a.DLL"] {
        assert!(is(name, b""), "{name}");
    }
    assert!(is("data/model", b"\x7fELF\x02") && is("x", b"\xcf\xfa\xed\xfe"));
    for name in ["a.py", "so.txt", "so", "x.so.py", "mz.txt", "a.pyi", "dll/a.json"] {
        assert!(!is(name, b"MZ is a text"), "{name}");
    }
}

#[test]
fn a_library_inside_a_pure_wheel_is_refused_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("pure/__init__.py", b"");
    write("pure-1.0.dist-info/RECORD", b"pure/__init__.py,sha256=x,0\n");
    check(folder.path()).unwrap();
    write("sly/data/lib.bin", b"\x7fELF");
    write("sly-2.0.dist-info/RECORD", b"sly/data/lib.bin,sha256=x,4\nsly-2.0.dist-info/RECORD,,\n");
    let text = told(&check(folder.path()).unwrap_err());
    assert!(text.starts_with("`sly` has native code: sly/data/lib.bin"), "{text}");
}

#[test]
fn locks_lie_beside_what_they_are_for() {
    let folder = tempfile::tempdir().unwrap();
    let single = folder.path().join("reward.py");
    std::fs::write(&single, "# /// script\n# dependencies = ['a==1']\n# ///\n").unwrap();
    let source = Source::open(&single).unwrap();
    assert_eq!(source.manifest.build.requirements, [requirement("a==1")]);
    assert_eq!(lock_path(&source), folder.path().join("reward.py.lock"));
    let manifest = "[plugin]\nname = \"a\"\nversion = \"1\"\n[build]\nlanguage = \"python\"\n\
                    requirements = [\"a==1\"]\n";
    std::fs::write(folder.path().join("plugin.toml"), manifest).unwrap();
    let source = Source::open(folder.path()).unwrap();
    assert_eq!(lock_path(&source), folder.path().join("requirements.lock"));
}

#[test]
fn what_is_locked_and_kept_needs_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let single = folder.path().join("reward.py");
    std::fs::write(&single, "# /// script\n# dependencies = ['a==1']\n# ///\n").unwrap();
    let source = Source::open(&single).unwrap();
    let lock = Lock::new(
        &source.manifest.build.requirements,
        vec![Pin { name: "a".to_owned(), version: "1".to_owned(), sha256: "0".repeat(64) }],
    );
    std::fs::write(lock_path(&source), lock.text()).unwrap();
    // A Python that is not there shows whether anything asks for it.
    let variables = BTreeMap::from([(pip::VARIABLE.to_owned(), "/nowhere/python".into())]);
    let environment = Environment::new(variables, folder.path().join("cache"));
    let text = told(&provide(&source, &environment).unwrap_err());
    assert!(text.contains("are fetched with pip, which is not here"), "{text}");
    let kept = environment.cache_folder.join(KEPT).join(files::sha256(lock.packages().as_bytes()));
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join(WHOLE), "").unwrap();
    let packages = provide(&source, &environment).unwrap().unwrap();
    assert_eq!((packages.folder, packages.identity), (kept, lock.packages()));
    // Other requirements than the lock's are looked up again.
    std::fs::write(&single, "# /// script\n# dependencies = ['a==2']\n# ///\n").unwrap();
    assert!(provide(&Source::open(&single).unwrap(), &environment).is_err());
    // A lock that nobody could have written is told with its line.
    std::fs::write(lock_path(&source), "a\n").unwrap();
    let text = told(&provide(&source, &environment).unwrap_err());
    assert!(text.contains("reward.py.lock:1:1: `a` pins no package"), "{text}");
}
