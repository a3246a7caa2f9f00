//! What tests may need, and how a machine is asked for it.
//!
//! Tools are found by the functions that builds find them with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use r1x_build::language::{c, javascript, python, rust};
use r1x_build::{BuildError, Environment};

use crate::models;

/// Something tests may need.
pub struct Need {
    /// What stands after `needs` in the reason of an ignored test.
    pub name: &'static str,
    /// Looks for it; the error says why it is not there.
    pub find: fn() -> Result<(), String>,
}

/// Every need.
pub const NEEDS: &[Need] = &[
    Need { name: "componentize-py", find: || tool(python::find(&environment())) },
    Need { name: "componentize-py and pip", find: python_with_pip },
    Need { name: "componentize-js", find: || tool(javascript::find(&environment())) },
    Need { name: "a C compiler for WebAssembly", find: || tool(c::find(&environment())) },
    Need {
        name: "a Rust compiler for WebAssembly",
        find: || tool(rust::Toolchain::find(&environment())),
    },
    Need { name: "gsm8k/test.jsonl", find: || data("gsm8k/test.jsonl") },
    Need { name: "ifeval/input_data.jsonl", find: || data("ifeval/input_data.jsonl") },
    Need {
        name: "math500/math500_test_full.json",
        find: || data("math500/math500_test_full.json"),
    },
    Need {
        name: "math_extra/math_train_rllm.json",
        find: || data("math_extra/math_train_rllm.json"),
    },
    Need { name: "models/smollm2", find: smollm2 },
    Need { name: "avx512_bf16", find: bf16 },
    Need { name: "a card", find: card },
];

/// The variable that names a folder in which `data/` holds public data sets.
const SHARED: &str = "R1X_SHARED";

/// The environment that the tests of languages build in.
fn environment() -> Environment {
    let named = |(name, value): (std::ffi::OsString, _)| Some((name.into_string().ok()?, value));
    let variables: BTreeMap<_, _> = std::env::vars_os().filter_map(named).collect();
    // Beside the folder of this program is the one that cargo gives to tests.
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().nth(2).unwrap_or(Path::new("target"));
    Environment::new(variables, target.join("tmp/languages/r1x/build"))
}

fn tool<T>(found: Result<T, BuildError>) -> Result<(), String> {
    found.map(drop).map_err(|error| error.to_string())
}

fn python_with_pip() -> Result<(), String> {
    let packager = python::find(&environment()).map_err(|error| error.to_string())?;
    let beside = packager.with_file_name("python");
    let has_pip = |python: &Path| starts(Command::new(python).args(["-m", "pip", "--version"]));
    if has_pip(&beside) || has_pip(Path::new("python3")) {
        return Ok(());
    }
    Err("no Python beside it, nor on the path, has pip".to_owned())
}

fn data(file: &str) -> Result<(), String> {
    let folder = std::env::var_os(SHARED).ok_or(format!("{SHARED} is not set"))?;
    let path = PathBuf::from(folder).join("data").join(file);
    if path.is_file() { Ok(()) } else { Err(format!("there is no {}", path.display())) }
}

fn smollm2() -> Result<(), String> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if models::SMOLLM2.is_there(root) {
        return Ok(());
    }
    Err("`cargo xtask models smollm2` brings it".to_owned())
}

fn bf16() -> Result<(), String> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
        return Ok(());
    }
    Err("the processor has no such instructions".to_owned())
}

/// A card answers, and there is a compiler for it.
fn card() -> Result<(), String> {
    if !starts(Command::new("nvidia-smi").arg("-L")) {
        return Err("no card answers `nvidia-smi -L`".to_owned());
    }
    if starts(Command::new("nvcc").arg("--version")) {
        return Ok(());
    }
    Err("there is a card, but no nvcc on the path".to_owned())
}

fn starts(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
