//! Running another program with a deadline: what it wrote, how it ended, and nothing of it left behind.
//!
//! Compilers and packagers start programs of their own, and what an author writes at the top level of a module may
//! never end. Where r1x names a [`Supervisor`], it stands between: what was started then ends also when this process
//! is killed.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::environment::Environment;
use crate::supervise::NOT_STARTED;

/// The time a build may take where nothing else is said: an interpreter compiles in seconds, and the top level of
/// a module may compute for a while.
pub(crate) const BUILD: Duration = Duration::from_secs(300);
/// The time in which packages of an interpreter must be loaded: some hold thousands of modules.
pub(crate) const PACKAGES: Duration = Duration::from_secs(1_200);
/// The time a whole crate may take, with all it depends on.
pub(crate) const CRATE: Duration = Duration::from_secs(1_800);
/// The time a program has to say which version it is.
const QUESTION: Duration = Duration::from_secs(30);
/// The variable that replaces the time of every build, in milliseconds.
const VARIABLE: &str = "R1X_BUILD_TIMEOUT_MS";

/// How a slow machine gets more time.
pub(crate) const MORE_TIME: &str =
    "`R1X_BUILD_TIMEOUT_MS`, in milliseconds, gives a slow machine more time";

/// How a tool is started so that it ends when this process does: this program, with these arguments and the tool's own
/// behind them, runs [`crate::supervise::run`] and takes the end of its input for the end of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// The program.
    pub program: PathBuf,
    /// What stands before the tool.
    pub arguments: Vec<OsString>,
}

impl Supervisor {
    /// The command that runs another one.
    fn over(&self, tool: &Command) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(tool.get_program());
        copy(tool, command)
    }
}

/// The command with the arguments, variables and folder of another one.
fn copy(tool: &Command, mut command: Command) -> Command {
    command.args(tool.get_args());
    for (name, value) in tool.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = tool.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// Where the messages of a program go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Messages {
    /// They are kept, and may become part of an error.
    Kept,
    /// They go to standard error as they come.
    Shown,
}

const POLL: Duration = Duration::from_millis(20);
/// What a program has written arrives at once when it has ended, unless something still holds its streams.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a program ended.
pub(crate) struct Ran {
    /// `None` when it took longer than it may.
    status: Option<ExitStatus>,
    /// The time it had.
    deadline: Duration,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error; empty when that was not captured.
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Whether a supervisor could not start it; what it says is the reason.
    pub(crate) fn not_started(&self) -> bool {
        self.status.and_then(|status| status.code()) == Some(NOT_STARTED)
    }

    /// What it wrote to both streams.
    pub(crate) fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The sentence and the hint about a deadline that passed; `None` when it did not.
    pub(crate) fn timed_out(&self) -> Option<(String, String)> {
        let took = format!("it did not end in {} s, and was stopped", self.deadline.as_secs_f64());
        self.status.is_none().then(|| (took, MORE_TIME.to_owned()))
    }
}

/// The time a build has: what the user's environment says, or `usual`.
pub(crate) fn deadline(environment: &Environment, usual: Duration) -> Duration {
    let named = environment.variable(VARIABLE).and_then(|value| value.to_str());
    named.and_then(|text| text.trim().parse().ok()).map_or(usual, Duration::from_millis)
}

/// Runs a program without input until it ends or its time is over; then it is stopped with all it started.
pub(crate) fn run(
    tool: &Command,
    supervisor: Option<&Supervisor>,
    deadline: Duration,
    messages: Messages,
) -> io::Result<Ran> {
    let mut command = match supervisor {
        Some(supervisor) => supervisor.over(tool),
        None => copy(tool, Command::new(tool.get_program())),
    };
    let stderr = match messages {
        Messages::Kept => Stdio::piped(),
        Messages::Shown => Stdio::inherit(),
    };
    let stdin = if supervisor.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(stderr).spawn()?;
    // A supervisor takes the end of its input for ours.
    let held = child.stdin.take();
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let status = wait(&mut child, deadline)?;
    drop(held);
    let text = |receiver: Option<Receiver<Vec<u8>>>| {
        let bytes = receiver.and_then(|receiver| receiver.recv_timeout(LAST_WORDS).ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    Ok(Ran { status, deadline, stdout: text(stdout), stderr: text(stderr) })
}

/// The first line a program prints when it is asked something.
pub(crate) fn ask(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}").replace('"', "");
    let ran = run(command, None, QUESTION, Messages::Kept).map_err(|error| error.to_string())?;
    let line = ran.stdout.lines().next().unwrap_or_default().trim();
    match ran.timed_out() {
        None if ran.succeeded() => Ok(line.to_owned()),
        None => Err(format!("`{shown}` fails")),
        Some((took, _)) => Err(format!("`{shown}`: {took}")),
    }
}

/// Reads a stream to its end beside the program, which would wait for ever on a full pipe.
fn reader(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A stream that breaks leaves what came before.
        let _ = stream.read_to_end(&mut bytes);
        // Nobody waits any more when the time is over.
        let _ = sender.send(bytes);
    });
    receiver
}

fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() >= deadline {
            tree::stop(child.id());
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(unix)]
pub(crate) mod tree {
    //! A program and everything it started. They stay in the terminal's group, so that Ctrl-C reaches them too;
    //! so they are found by who started whom.

    use std::collections::BTreeMap;
    use std::process::Command;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    /// How often is looked for what was started while others were being stopped.
    const ROUNDS: usize = 50;

    /// Stops the descendants of a program that is about to be stopped itself.
    pub(crate) fn stop(root: u32) {
        let Ok(root) = i32::try_from(root) else { return };
        // A program that is held cannot start another one between being listed and being stopped.
        let _ = kill(Pid::from_raw(root), Signal::SIGSTOP);
        kill_all(&descendants(root, &parents()));
    }

    /// Stops the descendants of this process, which goes on.
    pub(crate) fn stop_below(own: u32) {
        let Ok(own) = i32::try_from(own) else { return };
        for _ in 0..ROUNDS {
            // The program that lists them is one of them, and has ended by then.
            let parents = parents();
            let found = descendants(own, &parents);
            let running: Vec<i32> = found.into_iter().filter(|id| exists(*id)).collect();
            if running.is_empty() {
                return;
            }
            kill_all(&running);
            reap();
        }
    }

    /// From now on what loses its parents below this process becomes its own child, where the system has that.
    pub(crate) fn adopt() {
        #[cfg(target_os = "linux")]
        // Without it, what has left its parents is not found, as on other systems.
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }

    fn kill_all(ids: &[i32]) {
        for id in ids {
            // One that has ended meanwhile is what was wanted.
            let _ = kill(Pid::from_raw(*id), Signal::SIGKILL);
        }
    }

    fn exists(id: i32) -> bool {
        kill(Pid::from_raw(id), None).is_ok()
    }

    /// Takes note of children that have ended, which would be listed for ever.
    fn reap() {
        use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                std::thread::sleep(super::POLL);
                return;
            }
        }
    }

    /// Who started each running program, by its id.
    fn parents() -> BTreeMap<i32, i32> {
        let found = from_proc();
        if found.is_empty() { from_ps() } else { found }
    }

    /// Who started each running program as `ps` tells it, for systems without `/proc`.
    fn from_ps() -> BTreeMap<i32, i32> {
        let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
        let text = listed.map(|output| output.stdout).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split_whitespace().map(str::parse);
            Some((words.next()?.ok()?, words.next()?.ok()?))
        };
        String::from_utf8_lossy(&text).lines().filter_map(line).collect()
    }

    /// Who started each running program as `/proc` tells it; nothing where there is none.
    fn from_proc() -> BTreeMap<i32, i32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let process = |entry: std::fs::DirEntry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name stands in parentheses and may hold any character; the state and the parent follow it.
            let (_, rest) = text.rsplit_once(')')?;
            Some((id, rest.split_whitespace().nth(1)?.parse().ok()?))
        };
        entries.filter_map(process).collect()
    }

    fn descendants(root: i32, parents: &BTreeMap<i32, i32>) -> Vec<i32> {
        let mut found = vec![root];
        let mut at = 0;
        while let Some(&parent) = found.get(at) {
            let children = parents.iter().filter(|(_, of)| **of == parent).map(|(id, _)| *id);
            found.extend(children.filter(|id| *id != parent).collect::<Vec<_>>());
            at += 1;
        }
        found.remove(0);
        found
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn descendants_are_all_below_and_nobody_else() {
            let parents = BTreeMap::from([(1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 3)]);
            assert_eq!(descendants(2, &parents), [3, 4, 6]);
            assert!(descendants(7, &parents).is_empty());
        }

        #[test]
        fn both_ways_know_this_process() {
            let own = i32::try_from(std::process::id()).unwrap();
            if std::path::Path::new("/proc/self/stat").exists() {
                assert!(from_proc().contains_key(&own));
                assert_eq!(from_ps().get(&own), parents().get(&own));
            }
            assert!(parents().contains_key(&own));
        }
    }
}

#[cfg(not(unix))]
pub(crate) mod tree {
    //! Where processes are not listed, the program alone is stopped.

    pub(crate) fn stop(_root: u32) {}

    pub(crate) fn stop_below(_own: u32) {}

    pub(crate) fn adopt() {}
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    fn run(tool: &mut Command, deadline: Duration) -> io::Result<Ran> {
        super::run(tool, None, deadline, Messages::Kept)
    }

    #[test]
    fn both_streams_and_the_status_are_kept() {
        let ran = run(&mut shell("echo out; echo err >&2; exit 3"), BUILD).unwrap();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
        assert!(!ran.succeeded() && ran.timed_out().is_none());
        assert_eq!(ran.output(), "out\nerr\n");
        // More than a pipe holds.
        let ran = run(&mut shell("yes | head -c 300000"), BUILD).unwrap();
        assert!(ran.succeeded());
        assert_eq!(ran.stdout.len(), 300_000);
    }

    #[test]
    fn what_takes_too_long_is_stopped_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let text = format!(
            "echo begun; (sleep 600; true) & echo $! > {0}; sleep 600 & echo $! >> {0}; wait",
            pids.display()
        );
        let began = Instant::now();
        let ran = run(&mut shell(&text), Duration::from_millis(700)).unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
        let (sentence, hint) = ran.timed_out().unwrap();
        assert_eq!(sentence, "it did not end in 0.7 s, and was stopped");
        assert!(hint.contains("R1X_BUILD_TIMEOUT_MS"), "{hint}");
        assert_eq!(ran.stdout, "begun\n");
        for pid in std::fs::read_to_string(pids).unwrap().lines() {
            let gone = (0..100).any(|_| {
                std::thread::sleep(POLL);
                !shell(&format!("kill -0 {pid}")).output().unwrap().status.success()
            });
            assert!(gone, "{pid} still runs");
        }
    }

    #[test]
    fn the_environment_may_give_more_time() {
        let mut environment = Environment::new(Default::default(), Default::default());
        assert_eq!(deadline(&environment, BUILD), BUILD);
        environment.variables.insert(VARIABLE.to_owned(), "1500".into());
        assert_eq!(deadline(&environment, BUILD), Duration::from_millis(1500));
        environment.variables.insert(VARIABLE.to_owned(), "soon".into());
        assert_eq!(deadline(&environment, BUILD), BUILD);
    }

    #[test]
    fn a_question_has_one_line_for_an_answer() {
        assert_eq!(ask(&mut shell("echo ' 1.2 '; echo more")).unwrap(), "1.2");
        assert!(ask(&mut shell("exit 1")).unwrap_err().contains("fails"));
        assert!(ask(&mut Command::new("/nowhere/tool")).is_err());
    }
}
