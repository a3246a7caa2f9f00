//! Where and by which build a run is computed.
//!
//! Must not influence results: these are facts for people.

use r1x_store::Environment;

/// This machine and build.
pub fn current(device: &str, threads: usize) -> Environment {
    let known = |text: &'static str| (!text.is_empty()).then(|| text.to_owned());
    Environment {
        r1x_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: known(env!("R1X_GIT_COMMIT")),
        git_dirty: match env!("R1X_GIT_DIRTY") {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        host: first_line("/proc/sys/kernel/hostname"),
        os: Some(os()),
        cpu: field("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().ok().map(|n| n.get() as u32),
        ram_bytes: ram_bytes(),
        device: Some(device.to_owned()),
        rustc: known(env!("R1X_RUSTC")),
        features: Some(if cfg!(feature = "cuda") { "cuda" } else { "" }.to_owned()),
        threads: Some(threads as u32),
        kernels: (device == "cpu").then(|| r1x_ops::simd::level().name().to_owned()),
    }
}

/// Which build computes, and on which kind of machine, in one line: where two are equal, equal plans give equal runs. `None`
/// where the program cannot read its own file.
pub fn computed_by(device: &str) -> Option<String> {
    let program = std::env::current_exe().and_then(std::fs::read).ok()?;
    let here = current(device, 1);
    let kernels = here.kernels.unwrap_or_default();
    Some(format!("r1x {} on {device} {kernels}", r1x_core::digest::sha256(&program)))
}

/// Something of the environment that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// What it is, in words.
    pub name: &'static str,
    /// What it was; none where it was not recorded.
    pub was: Option<String>,
    /// What it is now.
    pub is: Option<String>,
}

/// What is not as it was, the likeliest cause of another result first. The machine's name is no part of it.
pub fn changes(was: &Environment, is: &Environment) -> Vec<Change> {
    let dirty = |environment: &Environment| {
        environment.git_dirty.map(|dirty| if dirty { "yes" } else { "no" }.to_owned())
    };
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let facts = |of: &Environment| {
        [
            ("r1x", Some(of.r1x_version.clone())),
            ("commit", of.git_commit.clone()),
            ("uncommitted changes", dirty(of)),
            ("compiler", of.rustc.clone()),
            ("features", of.features.clone().filter(|features| !features.is_empty())),
            ("device", of.device.clone()),
            ("kernels", of.kernels.clone()),
            ("processor", of.cpu.clone()),
            ("system", of.os.clone()),
            ("threads", number(of.threads)),
        ]
    };
    let pairs = facts(was).into_iter().zip(facts(is)).filter(|((_, was), (_, is))| was != is);
    pairs.map(|((name, was), (_, is))| Change { name, was, is }).collect()
}

fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(str::to_owned)
}

fn field(path: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn os() -> String {
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    first_line("/proc/sys/kernel/osrelease").map_or(system.clone(), |r| format!("{system} {r}"))
}

/// Main memory of this machine, where the system tells.
pub fn ram_bytes() -> Option<u64> {
    kibibytes("MemTotal")
}

/// Main memory that could be handed out at the moment, where the system tells.
pub fn available_bytes() -> Option<u64> {
    kibibytes("MemAvailable")
}

fn kibibytes(key: &str) -> Option<u64> {
    let value = field("/proc/meminfo", key)?;
    value.trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
