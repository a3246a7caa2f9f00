//! Whether a run fits into the memory of this machine.
//!
//! What there is to have is what the system could hand out at the moment, and what the control groups around this
//! process leave of their limits: in a container those are the smaller ones.

use std::path::{Path, PathBuf};

use r1x_spec::Memory;

use crate::failure::{Failure, code};
use crate::notice::Notice;
use crate::{environment, table};

/// Whether a run that does not fit begins all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It is refused.
    Refused,
    /// The user said so.
    Forced,
    /// It computes on another device, whose memory is not counted here.
    Elsewhere,
}

/// An error when so many runs at a time take more memory than there is; a notice instead when it is forced. Nothing where
/// the system does not say how much there is.
///
/// # Errors
/// With the exit code of a resource, and the key to lower.
pub fn fits(
    memory: &Memory,
    parameters: u64,
    runs: usize,
    excess: Excess,
) -> Result<Option<Notice>, Failure> {
    // What no number of threads and no other program changes is said first.
    match environment::ram_bytes() {
        Some(machine) if memory.weights > machine && excess == Excess::Refused => {
            Err(Failure::new(
                code::RESOURCE,
                format!(
                    "the model has {} parameters, which take at least {} to train, but this machine has {}",
                    table::count(parameters),
                    table::bytes(memory.weights),
                    table::bytes(machine)
                ),
                "lower `model.hidden_size` or `model.layers`; `--force` begins it nevertheless",
            ))
        }
        _ => check((memory, runs), available_bytes(), excess),
    }
}

fn check(
    (memory, runs): (&Memory, usize),
    available: Option<u64>,
    excess: Excess,
) -> Result<Option<Notice>, Failure> {
    let needed = memory.total().saturating_mul(runs as u64);
    let Some(available) = available.filter(|available| needed > *available) else {
        return Ok(None);
    };
    let (subject, lower) = match runs {
        1 => ("the run takes".to_owned(), memory.lower.clone()),
        many => (format!("{many} runs at a time take"), format!("`--jobs`, or {}", memory.lower)),
    };
    let message = format!(
        "{subject} up to {} of memory, but {} can be had on this machine ({}{})",
        table::bytes(needed),
        table::bytes(available),
        if runs == 1 { "" } else { "each of them: " },
        parts(memory)
    );
    let hint = format!("lower {lower}");
    match excess {
        Excess::Elsewhere => Ok(None),
        Excess::Forced => Ok(Some(Notice::new(message, &hint))),
        Excess::Refused => {
            let hint = format!("{hint}; `--force` begins it nevertheless");
            Err(Failure::new(code::RESOURCE, message, hint))
        }
    }
}

/// The parts of an estimate in words, the largest first.
pub fn parts(memory: &Memory) -> String {
    let mut parts = [
        ("weights and optimizer", memory.weights),
        ("activations", memory.activations),
        ("keys and values", memory.caches),
        ("rollouts", memory.rollouts),
        ("data", memory.data),
        ("a checkpoint being written", memory.checkpoint),
    ];
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let named =
        parts.iter().take(3).map(|(name, bytes)| format!("{name} {}", table::bytes(*bytes)));
    named.collect::<Vec<_>>().join(", ")
}

/// Memory that this process could have, where the system tells.
pub fn available_bytes() -> Option<u64> {
    let groups = group_folders(&std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
    let left = groups.iter().filter_map(|folder| left(folder)).min();
    let machine = environment::available_bytes();
    [machine, left].into_iter().flatten().min()
}

/// The folders of the control groups that a process is in, and of those around them, from its list of them.
fn group_folders(list: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in list.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            some if some.split(',').any(|one| one == "memory") => {
                Path::new("/sys/fs/cgroup/memory")
            }
            _ => continue,
        };
        let inside = path.trim_start_matches('/');
        // In a container the path may be one of the host, which does not exist here; then the root is the container's.
        folders.extend(Path::new(inside).ancestors().map(|part| root.join(part)));
    }
    folders
}

/// What a group leaves: its limit without what is used and could not be taken back.
fn left(folder: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let stat = read("memory.stat").unwrap_or_default();
    Some(limit.saturating_sub(used.saturating_sub(reclaimable(&stat))))
}

/// Pages of files that the system drops when memory is wanted.
fn reclaimable(stat: &str) -> u64 {
    let field = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        let counted = ["inactive_file", "active_file"].contains(&name);
        value.trim().parse::<u64>().ok().filter(|_| counted)
    };
    stat.lines().filter_map(field).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Told;

    #[test]
    fn a_run_that_does_not_fit_is_refused_with_the_key_to_lower() {
        let memory = Memory {
            weights: 3 << 30,
            rollouts: 9 << 30,
            lower: "`samples` or `limit` of `evals.heldout`".to_owned(),
            ..Memory::default()
        };
        assert!(
            check((&memory, 1), Some(13 << 30), Excess::Refused)
                .is_ok_and(|notice| notice.is_none())
        );
        assert!(check((&memory, 1), None, Excess::Refused).is_ok());
        let failure = check((&memory, 1), Some(11 << 30), Excess::Refused).unwrap_err();
        assert_eq!(failure.code, code::RESOURCE);
        let Told::Here { message, hint: Some(hint) } = &failure.told else { panic!("{failure:?}") };
        for piece in ["12.0 GiB", "11.0 GiB", "rollouts 9.0 GiB"] {
            assert!(message.contains(piece), "{message}");
        }
        assert!(
            hint.contains("lower `samples` or `limit` of `evals.heldout`; `--force`"),
            "{hint}"
        );
        assert!(
            check((&memory, 1), Some(11 << 30), Excess::Forced)
                .is_ok_and(|notice| notice.is_some())
        );
        let failure = check((&memory, 2), Some(13 << 30), Excess::Refused).unwrap_err();
        let Told::Here { message, hint: Some(hint) } = &failure.told else { panic!("{failure:?}") };
        assert!(message.starts_with("2 runs at a time take up to 24.0 GiB of memory"), "{message}");
        assert!(hint.starts_with("lower `--jobs`, or `samples`"), "{hint}");
    }

    #[test]
    fn groups_are_found_in_both_versions_with_those_around_them() {
        let folders = |list: &str| -> Vec<String> {
            group_folders(list).iter().map(|folder| folder.display().to_string()).collect()
        };
        let newer = folders("0::/user.slice/run.scope\n");
        assert_eq!(
            newer,
            ["/sys/fs/cgroup/user.slice/run.scope", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/"]
        );
        let older = folders("5:cpu,cpuacct:/a\n4:memory:/docker/b\n");
        assert_eq!(
            older,
            [
                "/sys/fs/cgroup/memory/docker/b",
                "/sys/fs/cgroup/memory/docker",
                "/sys/fs/cgroup/memory/"
            ]
        );
    }

    #[test]
    fn a_group_leaves_its_limit_without_what_cannot_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(left(folder.path()), None);
        write("memory.max", "1000\n");
        write("memory.stat", "anon 400\nfile 300\ninactive_file 100\nactive_file 150\n");
        assert_eq!(left(folder.path()), Some(1000 - (700 - 250)));
    }
}
