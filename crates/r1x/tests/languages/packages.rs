//! Rewards in Python with packages, from wheels that the test itself makes: no network is needed.
//!
//! Must not test the command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use r1x_build::language::python;
use r1x_build::{BuildError, Environment, Source};
use r1x_core::RewardStatus;
use r1x_reward::Plugin;

use crate::support::{self, environment, fails, info, plan, score};

/// Makes wheels of folders: `FROM/NAME-VERSION-TAGS/` becomes `TO/NAME-VERSION-TAGS.whl`, with its records.
const MAKE_WHEELS: &str = r#"
import os, sys, zipfile
source, target = sys.argv[1:]
for wheel in os.listdir(source):
    name, version, tags = wheel.split("-", 2)
    folder, info = os.path.join(source, wheel), f"{name}-{version}.dist-info"
    files = {}
    for root, _, names in os.walk(folder):
        for file in names:
            path = os.path.join(root, file)
            files[os.path.relpath(path, folder)] = open(path, "rb").read()
    needs = files.pop("requires.txt", b"").decode().splitlines()
    metadata = [f"Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Provides-Extra: {one.split()[-1].strip(chr(39))}" for one in needs if "extra ==" in one]
    metadata += [f"Requires-Dist: {one}" for one in needs]
    files[f"{info}/METADATA"] = "\n".join(metadata).encode() + b"\n"
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tags}\n".encode()
    record = "".join(f"{file},,\n" for file in files) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = record.encode()
    with zipfile.ZipFile(os.path.join(target, wheel + ".whl"), "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
"#;

/// Packages and what is in them.
const WHEELS: [(&str, &[(&str, &str)]); 6] = [
    (
        "odd-1.5-py3-none-any",
        &[
            (
                "requires.txt",
                "helper>=1,<2\nwindowsonly; sys_platform == 'win32'\nextra_one; extra == 'more'",
            ),
            ("odd/__init__.py", include_str!("fixtures/packages/odd.py")),
            ("odd/words.txt", "one\ntwo\nthree\n"),
            ("odd/x07.py", "VALUE = 'seven'\n"),
            ("odd/lazy.py", "import odd.deeper\n\ndef value():\n    return odd.deeper.VALUE\n"),
            ("odd/deeper.py", "VALUE = 2.5\n"),
        ],
    ),
    ("helper-1.0-py3-none-any", &[("helper.py", "WORD = 'helped'\n")]),
    ("helper-2.0-cp314-cp314-manylinux_2_17_x86_64", &[("helper.py", ""), ("_h.so", "")]),
    ("extra_one-3.0-py3-none-any", &[("extra_one.py", "NUMBER = 3\n")]),
    ("native-1.0-cp314-cp314-manylinux_2_17_x86_64", &[("native/_n.so", "")]),
    ("sly-1.0-py3-none-any", &[("sly/__init__.py", ""), ("sly/_s.abi3.so", "\u{7f}ELF")]),
];

/// A Python with pip: the one that r1x would use.
fn interpreter(environment: &Environment) -> PathBuf {
    let own = environment.cache_folder.join("python/bin/python");
    let beside = python::find(environment).unwrap().with_file_name("python");
    let has_pip = |python: &PathBuf| {
        let asked = Command::new(python).args(["-m", "pip", "--version"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    [own, beside, "python3".into()].into_iter().find(has_pip).expect("a Python with pip")
}

/// Where packages come from in these tests, and nowhere else.
struct Index {
    folder: tempfile::TempDir,
    python: PathBuf,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let python = interpreter(&environment());
        let folder = tempfile::tempdir().unwrap();
        for (wheel, files) in WHEELS {
            for (name, text) in files {
                let path = folder.path().join("sources").join(wheel).join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
        }
        std::fs::create_dir_all(folder.path().join("wheels")).unwrap();
        let made = Command::new(&python)
            .args(["-c", MAKE_WHEELS, "sources", "wheels"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Index { folder, python }
    })
}

impl Index {
    /// Tools take where to look from their own environment, so a script in front of Python says it.
    fn environment(&self) -> Environment {
        let mut environment = environment();
        let script = self.folder.path().join("python");
        let text = format!(
            "#!/bin/sh\nPIP_NO_INDEX=1 PIP_FIND_LINKS='{}' exec '{}' \"$@\"\n",
            self.folder.path().join("wheels").display(),
            self.python.display()
        );
        std::fs::write(&script, text).unwrap();
        executable(&script);
        environment.variables.insert("R1X_PYTHON".to_owned(), script.into());
        environment
    }
}

#[cfg(unix)]
fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn executable(_path: &Path) {}

const REWARD: &str = "# /// script
# dependencies = ['odd[more] >=1']
# ///
import odd

def reward(completions, **kwargs):
    return [odd.obey(one) for one in completions]
";

fn write(folder: &Path, code: &str) -> Source {
    let path = folder.join("reward.py");
    std::fs::write(&path, code).unwrap();
    Source::open(&path).unwrap()
}

fn load(source: &Source, environment: &Environment) -> Plugin {
    let built = r1x_build::build(source, environment).unwrap_or_else(|error| panic!("{error}"));
    support::host().load(built.wasm).unwrap()
}

#[test]
#[ignore = "needs componentize-py and pip"]
fn packages_do_what_they_do_in_cpython() {
    let index = index();
    let folder = tempfile::tempdir().unwrap();
    let source = write(folder.path(), REWARD);
    let plugin = load(&source, &index.environment());
    let lock = std::fs::read_to_string(folder.path().join("reward.py.lock")).unwrap();
    for line in
        ["# for: odd[more]>=1\n", "odd==1.5 --hash", "helper==1.0 --hash", "extra_one==3.0 --hash"]
    {
        assert!(lock.replace('-', "_").contains(&line.replace('-', "_")), "{line}: {lock}");
    }
    assert!(!lock.contains("windowsonly"), "{lock}");
    let orders = [
        "version", "data", "resource", "computed", "lazy", "guarded", "sizes", "alarm", "extra",
        "entry",
    ];
    let outcomes = score(&plan(&plugin), &plugin, &orders);
    for (order, outcome) in orders.iter().zip(&outcomes) {
        assert_eq!(outcome.value, Some(1.0), "{order}: {outcome:?}");
    }
    // What fails in a package fails when it is reached, with the author's line.
    fails(
        &plan(&plugin),
        &plugin,
        &[(
            "unguarded",
            RewardStatus::Invalid,
            "raised ModuleNotFoundError at reward.py:7: No module named 'numpy'",
        )],
    );
}

#[test]
#[ignore = "needs componentize-py and pip"]
fn an_edit_builds_no_package_again_and_needs_neither_pip_nor_the_packager() {
    let index = index();
    let folder = tempfile::tempdir().unwrap();
    load(&write(folder.path(), REWARD), &index.environment());
    let edited = REWARD.replace("odd.obey(one)", "odd.obey(one) / 2");
    let mut offline = index.environment();
    for variable in ["R1X_PYTHON", python::VARIABLE] {
        offline.variables.insert(variable.to_owned(), "/nowhere/tool".into());
    }
    let plugin = load(&write(folder.path(), &edited), &offline);
    assert_eq!(score(&plan(&plugin), &plugin, &["version"])[0].value, Some(0.5));
    assert_eq!(plugin.origin(), r1x_reward::Origin::Cache, "its code is that of the packages");
}

#[test]
#[ignore = "needs componentize-py and pip"]
fn an_authors_own_mistake_is_refused_though_packages_may_make_it() {
    let index = index();
    let folder = tempfile::tempdir().unwrap();
    let code = REWARD.replace("    return [", "    import numpy\n    return [");
    let error = r1x_build::build(&write(folder.path(), &code), &index.environment()).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("reward.py:7: the import of `numpy` inside a function fails"), "{told}");
}

fn refused(index: &Index, requirement: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let code = format!(
        "# /// script\n# dependencies = ['{requirement}']\n# ///\ndef reward(completions):\n    return []\n"
    );
    let error: BuildError =
        r1x_build::build(&write(folder.path(), &code), &index.environment()).unwrap_err();
    assert!(!folder.path().join("reward.py.lock").exists() || requirement == "sly", "{error}");
    format!("{error}\n{}", error.hint())
}

#[test]
#[ignore = "needs componentize-py and pip"]
fn native_code_is_refused_by_name() {
    let index = index();
    let told = refused(index, "native");
    assert!(told.starts_with("`native` has native code: native-1.0-cp314"), "{told}");
    let told = refused(index, "sly");
    assert!(told.starts_with("`sly` has native code: sly/_s.abi3.so"), "{told}");
    let told = refused(index, "helper");
    assert!(told.starts_with("`helper` has native code: helper-2.0"), "{told}");
    assert!(told.contains("without it there is helper==1.0, if that will do"), "{told}");
    let told = refused(index, "unheard-of==1");
    assert!(told.contains("cannot be found") && told.contains("unheard-of"), "{told}");
}

#[test]
#[ignore = "needs componentize-py and pip"]
fn a_file_with_another_hash_than_the_locked_one_is_refused() {
    let index = index();
    let folder = tempfile::tempdir().unwrap();
    let source = write(folder.path(), &REWARD.replace("odd[more] >=1", "helper<2"));
    let lock = format!("# for: helper<2\nhelper==1.0 --hash=sha256:{}\n", "0".repeat(64));
    std::fs::write(folder.path().join("reward.py.lock"), lock).unwrap();
    let error = r1x_build::build(&source, &index.environment()).unwrap_err();
    let told = format!("{error}\n{}", error.hint());
    assert!(told.contains("cannot be fetched") && told.contains("a hash that differs"), "{told}");
}

#[test]
#[ignore = "needs componentize-py and pip"]
fn a_frozen_top_level_runs_once_and_may_read_its_folder() {
    let index = index();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("numbers.txt", "0.25");
    write(
        "reward.py",
        "import pathlib, helper\nVALUE = float((pathlib.Path(__file__).parent / 'numbers.txt').read_text())\n\
         def reward(completions, **kwargs):\n    return [VALUE if helper.WORD else 0 for _ in completions]\n",
    );
    for (top_level, name) in [("loaded", "one"), ("frozen", "two")] {
        write(
            "plugin.toml",
            &format!(
                "[plugin]\nname = \"{name}\"\nversion = \"1\"\n[build]\nlanguage = \"python\"\n\
                 requirements = [\"helper<2\"]\ntop_level = \"{top_level}\"\n"
            ),
        );
        let plugin = load(&Source::open(folder.path()).unwrap(), &index.environment());
        let outcome = &score(&plan(&plugin), &plugin, &["x"])[0];
        assert_eq!(outcome.value, Some(0.25), "{top_level}: {}", info(outcome));
    }
    assert!(folder.path().join("requirements.lock").is_file());
}
