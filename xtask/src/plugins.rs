//! `cargo xtask plugins`: builds the reward plugins, writes their components and the lock beside them.
//!
//! The components are committed, so that building r1x needs no WebAssembly compiler; the lock ties each of them to
//! its sources. `--check` compares hashes only.

mod build;
mod lock;

use std::fs;
use std::path::Path;

use crate::Context;
use crate::failure::Failure;
use lock::{Entry, Lock};

/// One plugin of the workspace under `plugins/`.
pub struct Plugin {
    /// Name of its crate and of its folder under `plugins/`.
    pub name: &'static str,
    /// Where its component goes.
    pub component: &'static str,
}

/// Every plugin; a new one is one more row.
pub const PLUGINS: &[Plugin] = &[
    Plugin { name: "code", component: "plugins/code.wasm" },
    Plugin { name: "countdown", component: "plugins/countdown.wasm" },
    Plugin { name: "format", component: "plugins/format.wasm" },
    Plugin { name: "gsm8k", component: "plugins/gsm8k.wasm" },
    Plugin { name: "ifeval", component: "plugins/ifeval.wasm" },
    Plugin { name: "judge", component: "plugins/judge.wasm" },
    Plugin { name: "language", component: "plugins/language.wasm" },
    Plugin { name: "length", component: "plugins/length.wasm" },
    Plugin { name: "match", component: "plugins/match.wasm" },
    Plugin { name: "math", component: "plugins/math.wasm" },
    Plugin { name: "multiple-choice", component: "plugins/multiple-choice.wasm" },
    Plugin { name: "repetition", component: "plugins/repetition.wasm" },
    // Not a reward: the misbehaving guest of the host's tests.
    Plugin { name: "hostile", component: "crates/r1x-reward/tests/fixtures/hostile.wasm" },
    // Nor are these: a guest with every capability, and the interpreter it runs programs with.
    Plugin { name: "capable", component: "crates/r1x-reward/tests/fixtures/capable.wasm" },
    Plugin { name: "parrot", component: "crates/r1x-reward/tests/fixtures/parrot.wasm" },
];

/// The lock file.
pub const LOCK: &str = "plugins/plugins.lock";

/// Runs the task.
pub fn run(context: &Context) -> Result<(), Failure> {
    match context.arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => build_all(&context.root),
        ["--check"] => check(&context.root),
        _ => Err(Failure::new(
            format!("`{}` is not understood", context.arguments.join(" ")),
            "cargo xtask plugins [--check]",
        )),
    }
}

fn build_all(root: &Path) -> Result<(), Failure> {
    let toolchain = build::toolchain(root)?;
    let mut lock = Lock::default();
    for plugin in PLUGINS {
        let component = build::component(root, plugin, &toolchain)?;
        let path = root.join(plugin.component);
        write_whole(&path, &component)?;
        let entry = Entry {
            component: plugin.component.to_owned(),
            source_sha256: lock::source_sha256(root, plugin)?,
            wasm_sha256: lock::sha256(&component),
            compiler: toolchain.version.clone(),
        };
        println!("{:<15} {:>7} bytes  {}", plugin.name, component.len(), entry.wasm_sha256);
        lock.plugins.insert(plugin.name.to_owned(), entry);
    }
    write_whole(&root.join(LOCK), lock.to_text()?.as_bytes())
}

fn check(root: &Path) -> Result<(), Failure> {
    let lock = Lock::read(&root.join(LOCK))?;
    let findings: Vec<String> = PLUGINS
        .iter()
        .map(|plugin| lock.compare(root, plugin))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .chain(lock.strangers(PLUGINS))
        .collect();
    if findings.is_empty() {
        println!("{} plugins match {LOCK}", PLUGINS.len());
        return Ok(());
    }
    Err(Failure::new(
        format!("{LOCK} is stale:\n  - {}", findings.join("\n  - ")),
        "run `cargo xtask plugins` and commit the components together with the lock",
    ))
}

/// Writes a file so that a reader sees the old bytes or the new ones, and nothing between.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let temporary = path.with_extension("part");
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&temporary, bytes))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        Failure::new(
            format!("cannot write {}: {error}", path.display()),
            "is there space on the disk, and may you write there?",
        )
    })
}
