//! Builds of plugins from somebody else: what they may read, and what is left of them.

use super::super::{Bench, text};

/// A compiler that answers what it is asked, and then never ends, with a program of its own that has left it.
#[cfg(unix)]
fn endless_compiler(bench: &Bench) -> String {
    use std::os::unix::fs::PermissionsExt;
    let noted = bench.folder.path().join("started");
    let script = format!(
        "#!/bin/sh
case \"$*\" in
  *--version*) echo clang version 1 ;;
  *-print-prog-name*) echo \"$0\" ;;
  *-E*) ;;
  *) (setsid sleep 600 & echo $! >> {0}); sleep 600 & echo $! >> {0}; wait ;;
esac
",
        noted.display()
    );
    let path = bench.write("cc", &script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[cfg(unix)]
fn is_running(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    state.is_ok_and(|text| !text.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

/// Whether this process ignores a signal, as Linux tells; elsewhere it is taken not to.
#[cfg(unix)]
fn is_ignored(signal: nix::sys::signal::Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

#[cfg(target_os = "linux")]
#[test]
fn a_build_ends_with_the_command_that_started_it_however_that_ends() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        // A program that a script starts in the background ignores interrupts, and so do those that it starts.
        if is_ignored(signal) {
            continue;
        }
        let bench = Bench::new();
        let compiler = endless_compiler(&bench);
        let source = bench.write("reward.c", "int unused;\n");
        let mut command = bench.command(&["plugin", "build", &source]);
        let mut child = command.env("R1X_WASM_CC", compiler).spawn().unwrap();
        let noted = bench.folder.path().join("started");
        let started = || std::fs::read_to_string(&noted).unwrap_or_default();
        while started().lines().count() < 2 {
            assert!(child.try_wait().unwrap().is_none(), "it ended before its compiler began");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        child.wait().unwrap();
        for pid in started().lines() {
            let gone = (0..500).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                !is_running(pid)
            });
            assert!(gone, "{signal}: {pid} still runs");
        }
    }
}

#[cfg(unix)]
#[test]
fn sources_that_lead_out_of_the_folder_are_not_taken_along() {
    let bench = Bench::new();
    let manifest = "[plugin]\nname = \"a\"\nversion = \"1\"\n[build]\nlanguage = \"python\"\n";
    let folder = bench.write("a/plugin.toml", manifest).replace("/plugin.toml", "");
    bench.write("a/reward.py", "def reward(completions, **kwargs):\n    return [0.0]\n");
    let secret = bench.write("secret", "x");
    std::os::unix::fs::symlink(secret, format!("{folder}/words.txt")).unwrap();
    let output = bench.r1x(&["plugin", "build", &folder]);
    assert_eq!(output.status.code(), Some(4));
    let told = text(&output.stderr);
    assert!(told.contains("words.txt: is no file of the plugin: a link that leads out"), "{told}");
}
