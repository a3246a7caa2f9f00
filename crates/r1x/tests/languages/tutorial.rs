//! The tutorial, `docs/first-reward.md`, and the pages with a reward in a language, as a reader would follow them.

use r1x_build::language::{javascript, python, rust};

use crate::page::{Reader, page};
use crate::support::cache;

/// A run of the page takes half a minute; its tests make fewer steps.
const FEWER_STEPS: [(&str, &str); 2] = [("steps: 400", "steps: 20"), ("steps: 100", "steps: 3")];

/// Follows sections of the tutorial in an empty folder.
fn follow(sections: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), cache: &cache(), edits: &FEWER_STEPS };
    reader.follow(&page("first-reward.md"), sections);
}

#[test]
#[ignore = "needs componentize-py"]
fn python_from_an_empty_folder_to_a_run() {
    follow(&["The experiment", "Python", "A folder of its own"]);
}

#[test]
#[ignore = "needs componentize-js"]
fn javascript_in_the_same_run() {
    follow(&["The experiment", "JavaScript"]);
}

#[test]
#[ignore = "needs a C compiler for WebAssembly"]
fn c_in_the_same_run() {
    follow(&["The experiment", "C"]);
}

#[test]
#[ignore = "needs a Rust compiler for WebAssembly"]
fn rust_in_the_same_run() {
    follow(&["The experiment", "Rust"]);
}

#[test]
fn what_the_page_installs_is_what_r1x_asks_for() {
    let page = page("first-reward.md");
    for wanted in [
        format!("componentize-py=={}", python::VERSION),
        format!("@bytecodealliance/componentize-js@{}", javascript::VERSION),
        "apt install clang lld".to_owned(),
        format!("rustup target add {}", rust::TARGET),
    ] {
        assert!(page.contains(&wanted), "{wanted}");
    }
}

#[test]
#[ignore = "needs componentize-py"]
fn the_experiment_beside_trl_runs_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), cache: &cache(), edits: &[] };
    reader.follow(&page("from-trl.md"), &["The experiment"]);
}
