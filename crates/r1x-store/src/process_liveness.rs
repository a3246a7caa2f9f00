//! Is the process that writes a run still there? Told without a server and without signals.
//!
//! A process is known by its id, the time it started and the boot it belongs to, since ids are used again. Where the
//! system does not show these (anything but Linux, or a run on another machine), the age of the heartbeat decides.

use std::fs;

/// A run whose process cannot be looked at counts as dead after this long without a heartbeat.
const SILENT_MS: i64 = 30 * 60 * 1000;

/// A process, in a way that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub machine: Option<String>,
    pub pid: i64,
    pub pid_start: Option<i64>,
    pub boot_id: Option<String>,
}

impl Process {
    /// This process.
    pub fn current() -> Self {
        let pid = i64::from(std::process::id());
        Self { machine: machine(), pid, pid_start: pid_start(pid), boot_id: boot_id() }
    }

    /// Whether it still runs, as far as this machine can tell at `now_ms`.
    pub fn is_alive(&self, heartbeat_ms: i64, now_ms: i64) -> bool {
        let fresh = now_ms.saturating_sub(heartbeat_ms) < SILENT_MS;
        if self.machine.is_none() || self.machine != machine() || self.boot_id.is_none() {
            return fresh;
        }
        if self.boot_id != boot_id() {
            return false;
        }
        match (self.pid_start, pid_start(self.pid)) {
            (Some(then), Some(now)) => then == now,
            (Some(_), None) => false,
            (None, _) => fresh,
        }
    }
}

fn read_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

fn machine() -> Option<String> {
    read_line("/proc/sys/kernel/hostname")
}

fn boot_id() -> Option<String> {
    read_line("/proc/sys/kernel/random/boot_id")
}

/// Clock ticks from boot to the start of a process: field 22 of its stat line. The second field is the
/// command in brackets and may hold blanks, so counting begins after the last bracket. A zombie is dead.
fn pid_start(pid: i64) -> Option<i64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_others_are_told_apart() {
        let me = Process::current();
        assert!(me.is_alive(0, i64::MAX) || me.boot_id.is_none());
        let unknown = Process { machine: Some("elsewhere".into()), ..me.clone() };
        assert!(unknown.is_alive(1_000, 1_000 + SILENT_MS - 1));
        assert!(!unknown.is_alive(1_000, 1_000 + SILENT_MS));
        if me.boot_id.is_some() {
            let reused = Process { pid_start: me.pid_start.map(|t| t + 1), ..me.clone() };
            assert!(!reused.is_alive(1_000, 1_000));
            let rebooted = Process { boot_id: Some("another".into()), ..me };
            assert!(!rebooted.is_alive(1_000, 1_000));
        }
    }
}
