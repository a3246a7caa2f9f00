//! Plugins, and the host that loads them.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use r1x_core::plan::LimitsPlan;
use r1x_core::{Capability, digest, shown};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::abi::{self, Linked};
use crate::capability;
use crate::carried::Carried;
use crate::compile::{Kind, MAX_COMPONENT_BYTES};
use crate::contract::{self, GuestError, Import, PluginInfo, cut};
use crate::engines::{Compiling, Engines, Origin};
use crate::error::{Fault, RewardError};
use crate::grants::Grants;
use crate::guest::{Failure, Instance};
use crate::limits::{MAX_ABOUT_BYTES, MAX_INFO_BYTES, MAX_NAME_BYTES, MAX_NAMES};
use crate::sandbox::Exec;
use crate::wasi;

/// What `info` may use; it runs before any plan is at hand.
const INFO_LIMITS: LimitsPlan =
    LimitsPlan { time_ms: 2_000, time_per_rollout_ms: 0, memory_bytes: 256 << 20, fuel: None };

/// How a host is set up. None of it influences a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Where compiled plugins are kept; `None` compiles them every time.
    pub cache_dir: Option<PathBuf>,
    /// Threads that score; 0 counts as 1.
    pub workers: usize,
}

/// Runs plugins. Clones share everything.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    engines: Arc<Engines>,
    workers: usize,
}

/// A plugin ready to run. Clones share everything.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>, Grants);

struct Loaded {
    host: Host,
    pre: Linked,
    /// What instances of the metering engine are made of; made when first wanted.
    metered: OnceLock<Result<Linked, String>>,
    source: String,
    info: PluginInfo,
    sha256: String,
    bytes: Vec<u8>,
    asks: Vec<Capability>,
    carried: Carried,
    origin: Origin,
    load_time: Duration,
}

impl Host {
    /// Starts the engine; what is not compiled yet is compiled in this process. A cache folder that cannot be trusted
    /// is not an error: see [`Host::cache_refusal`].
    pub fn new(options: HostOptions) -> Result<Self, RewardError> {
        Self::with_compiler(options, Compiling::default())
    }

    /// A host that lets somebody else compile.
    pub fn with_compiler(options: HostOptions, compiling: Compiling) -> Result<Self, RewardError> {
        let engines = Engines::start(options.cache_dir.as_deref(), compiling)?;
        let workers = options.workers.max(1);
        Ok(Self(Arc::new(Inner { engines: Arc::new(engines), workers })))
    }

    /// Why the cache folder is not used, if it is not.
    pub fn cache_refusal(&self) -> Option<&str> {
        self.0.engines.cache_refusal()
    }

    /// Whether loading this component will find it compiled.
    pub fn is_cached(&self, wasm: &[u8]) -> bool {
        self.0.engines.is_cached(wasm)
    }

    /// Loads the component in a file.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Plugin, RewardError> {
        let source = path.as_ref().display().to_string();
        let mut bytes = Vec::new();
        // One byte more than there may be, so that too large a file is told from a whole one.
        r1x_files::open(path)
            .and_then(|file| file.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| RewardError::new(&source, Fault::Unreadable(error)))?;
        self.load_bytes(source, bytes)
    }

    /// Loads a component from memory; `source` is what errors call it.
    pub fn load_bytes(
        &self,
        source: impl Into<String>,
        bytes: Vec<u8>,
    ) -> Result<Plugin, RewardError> {
        let source = source.into();
        match self.open(&bytes) {
            Ok(opened) => {
                let loaded = Loaded {
                    host: self.clone(),
                    pre: opened.pre,
                    metered: OnceLock::new(),
                    source,
                    info: opened.info,
                    sha256: opened.sha256,
                    bytes,
                    asks: opened.asks,
                    carried: opened.carried,
                    origin: opened.origin,
                    load_time: opened.load_time,
                };
                Ok(Plugin(Arc::new(loaded), Grants::default()))
            }
            Err(fault) => Err(RewardError::new(source, fault)),
        }
    }

    /// Threads that score.
    pub fn workers(&self) -> usize {
        self.0.workers
    }

    /// Loads interpreters for programs that models write: components of the world `interpreter`, by the word of their
    /// language. The programs run on as many threads as score.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn load_interpreters(&self, languages: &[(&str, &[u8])]) -> Result<Exec, RewardError> {
        Exec::new(Arc::clone(&self.0.engines), self.workers(), languages)
    }

    /// What plugins run on.
    pub(crate) fn engines(&self) -> &Engines {
        &self.0.engines
    }

    fn open(&self, bytes: &[u8]) -> Result<Opened, Fault> {
        let started = Instant::now();
        let sha256 = digest::sha256(bytes);
        let (engines, engine) = (self.engines(), self.engines().of(Kind::Timed));
        let (component, origin) = engines.compile(Kind::Timed, bytes)?;
        // What it wants tells more about a wrong component than what it lacks.
        check_imports(engine, &component)?;
        check_exports(engine, &component)?;
        let pre = Linked::new(engine, &component)
            .map_err(|error| Fault::WrongTypes(format!("{error:#}")))?;
        let asks = capability::asked(engine, &component);
        let carried = Carried::by(bytes).map_err(Fault::TooMuch)?;
        let nothing = (&Grants::default(), &carried);
        let info = Instance::start(&pre, engines.ticker(), &INFO_LIMITS, nothing)
            .and_then(|mut instance| instance.info())
            .map_err(|failure| Fault::InfoFailed(failure.sentence()))?;
        check_info(&info).map_err(Fault::BadInfo)?;
        let load_time = started.elapsed();
        Ok(Opened { pre, info, sha256, asks, carried, origin, load_time })
    }
}

struct Opened {
    pre: Linked,
    info: PluginInfo,
    sha256: String,
    asks: Vec<Capability>,
    carried: Carried,
    origin: Origin,
    load_time: Duration,
}

fn check_exports(engine: &Engine, component: &Component) -> Result<(), Fault> {
    let component_type = component.component_type();
    let exports: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
    match abi::missing_export(&exports) {
        None => Ok(()),
        Some(missing) => Err(Fault::WrongExports {
            missing: missing.to_owned(),
            exports: match exports.as_slice() {
                [] => "none".to_owned(),
                some => cut(some.join(", "), MAX_INFO_BYTES),
            },
        }),
    }
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), Fault> {
    for (name, _) in component.component_type().imports(engine) {
        if wasi::is_offered(name) {
            continue;
        }
        if name.starts_with("wasi:") || name.starts_with("wasi_") {
            return Err(Fault::Wasi(name.to_owned()));
        }
        match contract::import(name) {
            Import::Open => {}
            Import::Interface(interface) if capability::of_interface(interface).is_some() => {}
            Import::OtherVersion(version) => return Err(Fault::OtherVersion(version.to_owned())),
            Import::Interface(_) | Import::Foreign => {
                return Err(Fault::UnknownImport(name.to_owned()));
            }
        }
    }
    Ok(())
}

/// What is kept of a plugin for as long as it is loaded, printed and recorded, and looked through for every score.
fn check_size(info: &PluginInfo) -> Result<(), String> {
    for (what, text, most) in [
        ("name", Some(&info.name), MAX_NAME_BYTES),
        ("version", Some(&info.version), MAX_NAME_BYTES),
        ("description", Some(&info.description), MAX_ABOUT_BYTES),
        ("config-schema", info.config_schema.as_ref(), MAX_ABOUT_BYTES),
    ] {
        if text.is_some_and(|text| text.len() > most) {
            return Err(format!("its {what} is longer than {most} bytes"));
        }
    }
    for (kind, names) in lists(info) {
        if names.len() > MAX_NAMES {
            return Err(format!("it lists {} {kind}s, and {MAX_NAMES} are the most", names.len()));
        }
        if names.iter().any(|name| name.len() > MAX_NAME_BYTES) {
            return Err(format!("the name of a {kind} is longer than {MAX_NAME_BYTES} bytes"));
        }
    }
    Ok(())
}

fn lists(info: &PluginInfo) -> [(&'static str, &[String]); 3] {
    [("part", &info.parts), ("column", &info.columns), ("optional column", &info.optional_columns)]
}

fn check_info(info: &PluginInfo) -> Result<(), String> {
    check_size(info)?;
    if info.name.trim().is_empty() {
        return Err("it has no name".to_owned());
    }
    if info.name.contains(shown::is_hidden) || info.version.contains(shown::is_hidden) {
        return Err("its name or version has characters that cannot be seen".to_owned());
    }
    for (kind, names) in lists(info) {
        for (position, name) in names.iter().enumerate() {
            if name.trim().is_empty() {
                return Err(format!("a {kind} has no name"));
            }
            if names[..position].contains(name) {
                return Err(format!("the {kind} `{name}` is listed twice"));
            }
            if kind == "part" && name.contains(shown::is_hidden) {
                return Err(format!("the part `{name}` has characters that cannot be seen"));
            }
        }
    }
    for (bound, value) in [("min", info.min), ("max", info.max)] {
        if value.is_some_and(f64::is_nan) {
            return Err(format!("{bound} is NaN"));
        }
    }
    if let (Some(min), Some(max)) = (info.min, info.max)
        && min > max
    {
        return Err(format!("min {min} is above max {max}"));
    }
    match info.config_schema.as_deref().map(serde_json::from_str::<serde_json::Value>) {
        Some(Err(error)) => Err(format!("config-schema is not JSON: {error}")),
        _ => Ok(()),
    }
}

impl Plugin {
    /// What the plugin says about itself.
    pub fn info(&self) -> &PluginInfo {
        &self.0.info
    }

    /// sha256 of the component, hex.
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// The component itself, as it was loaded.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The capabilities that the component imports.
    pub fn asks(&self) -> &[Capability] {
        &self.0.asks
    }

    /// This plugin, with these grants and no others.
    pub fn with(&self, grants: Grants) -> Self {
        Self(Arc::clone(&self.0), grants)
    }

    /// Whether everything it asks for is granted.
    ///
    /// # Errors
    /// For the first capability that is not.
    pub fn check_grants(&self) -> Result<(), RewardError> {
        match self.asks().iter().find(|asked| !self.1.has(**asked)) {
            None => Ok(()),
            Some(missing) => Err(RewardError::new(self.source(), Fault::NotGranted(*missing))),
        }
    }

    /// The host it was loaded by.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// Path of the component, or the name it was given.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether it had to be compiled.
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// How long loading took, compiling included.
    pub fn load_time(&self) -> Duration {
        self.0.load_time
    }

    /// Asks the plugin whether it accepts a configuration, within the limits of the plan.
    pub fn check_config(&self, config_json: &str, limits: &LimitsPlan) -> Result<(), RewardError> {
        let configured =
            self.start(limits).and_then(|mut instance| instance.configure(config_json, 1));
        configured.map_err(|failure| {
            let fault = match failure {
                Failure::Refused(GuestError::BadConfig(reason)) => Fault::BadConfig(reason),
                other => Fault::ConfigureFailed(other.sentence()),
            };
            RewardError::new(self.source(), fault)
        })
    }

    pub(crate) fn start(&self, limits: &LimitsPlan) -> Result<Instance<'_>, Failure> {
        let pre = match limits.fuel {
            None => &self.0.pre,
            Some(_) => self.metered().map_err(|reason| Failure::Trap {
                reason: format!("cannot be compiled for counting fuel: {reason}"),
                last_message: None,
            })?,
        };
        Instance::start(pre, self.0.host.engines().ticker(), limits, (&self.1, &self.0.carried))
    }

    fn metered(&self) -> Result<&Linked, String> {
        let prepared = self.0.metered.get_or_init(|| {
            let engines = self.0.host.engines();
            let engine = engines.of(Kind::Metered);
            let compiled = engines.compile(Kind::Metered, &self.0.bytes);
            let (component, _) = compiled.map_err(|fault| fault.to_string())?;
            Linked::new(engine, &component).map_err(|error| format!("{error:#}"))
        });
        prepared.as_ref().map_err(Clone::clone)
    }

    /// Names of the component's imports, as it was built.
    pub fn imports(&self) -> Vec<String> {
        let component_type = self.0.pre.instance_pre().component().component_type();
        let imports = component_type.imports(self.0.pre.engine());
        imports.map(|(name, _)| name.to_owned()).collect()
    }

    /// Names of the component's exports, as it was built.
    pub fn exports(&self) -> Vec<String> {
        let component_type = self.0.pre.instance_pre().component().component_type();
        let exports = component_type.exports(self.0.pre.engine());
        exports.map(|(name, _)| name.to_owned()).collect()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Host").field("workers", &self.0.workers).finish_non_exhaustive()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plugin = out.debug_struct("Plugin");
        plugin.field("source", &self.0.source).field("sha256", &self.0.sha256);
        plugin.finish_non_exhaustive()
    }
}
