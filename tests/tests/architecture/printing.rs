//! The command prints in one place, where text is made fit for a terminal and a reader may go away.

use super::assert_none;
use super::sources::{all, lines_with};

/// The only file that may write to the streams.
const SINK: &str = "crates/r1x/src/output.rs";
/// What reaches the streams past the sink. `print!` is on the list since it has no macro of ours: what is printed
/// is a line or a page.
const WAYS: [&str; 8] = [
    "print!",
    "eprint!",
    "std::println!",
    "std::eprintln!",
    "io::stdout",
    "io::stderr",
    "stdout()",
    "stderr()",
];
/// Text that goes out as it is, and the files that may say so: they hand it to programs, or it was made visible
/// by the crate that drew it.
const RAW: [(&str, &[&str]); 3] = [
    ("output::bytes", &["crates/r1x/src/helper/compile.rs"]),
    (
        "output::data",
        &[
            "crates/r1x/src/command/import_spec.rs",
            "crates/r1x/src/command/info.rs",
            "crates/r1x/src/command/sql/print.rs",
        ],
    ),
    ("output::drawn", &["crates/r1x/src/plans.rs"]),
];

#[test]
fn the_command_prints_in_one_place() {
    let mut violations = Vec::new();
    for source in all() {
        if source.home() != "r1x" || source.is_beside() || source.path == SINK {
            continue;
        }
        for way in WAYS {
            let lines = lines_with(source.shipped(), way);
            violations.extend(lines.iter().map(|line| format!("{}:{line}: {way}", source.path)));
        }
        for (call, homes) in RAW {
            if !homes.contains(&source.path.as_str()) {
                let lines = lines_with(source.shipped(), call);
                let told = lines.iter().map(|line| format!("{}:{line}: {call}", source.path));
                violations.extend(told);
            }
        }
    }
    assert_none(
        &violations,
        "what r1x prints goes through its `println!`, `eprintln!` and pages, which neutralise it",
    );
}
