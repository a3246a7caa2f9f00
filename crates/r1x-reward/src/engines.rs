//! The engines that guests run on, and how a component comes to run on one of them: it is found compiled, or compiled
//! within limits and kept.

use std::path::Path;
use std::sync::Arc;

use r1x_core::digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::{self, Cache, Native};
use crate::compile::{CompileError, Compiler, Kind, Size, engine_settings};
use crate::contract::cut;
use crate::error::{Fault, RewardError};
use crate::limits::{MAX_INFO_BYTES, Ticker};
use crate::sections;

/// First bytes of every WebAssembly file.
const MAGIC: &[u8] = b"\0asm";
/// Bytes 6 and 7: the layer, little-endian.
const CORE_LAYER: [u8; 2] = [0, 0];

/// Who compiles, and how much that may cost: the limits times a number.
#[derive(Clone, Debug)]
pub struct Compiling {
    /// Who; `None` is this process, which has no limit on time and memory.
    pub compiler: Option<Arc<dyn Compiler>>,
    /// How many times the limits count.
    pub scale: u32,
}

impl Default for Compiling {
    fn default() -> Self {
        Self { compiler: None, scale: 1 }
    }
}

/// Where the native code of a plugin came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The plugin was compiled for this machine when it was loaded.
    Compiled,
    /// The native code of an earlier load was read from the cache.
    Cache,
}

/// An engine of each kind, the thread that counts their deadlines, and where machine code for them is kept.
pub(crate) struct Engines {
    compiling: Compiling,
    timed: Engine,
    /// The engine that counts fuel: a third slower, and the same cut everywhere.
    metered: Engine,
    ticker: Ticker,
    cache: Option<Cache>,
    cache_refusal: Option<String>,
}

impl Engines {
    /// Starts the engines. A cache folder that cannot be trusted is not an error, and is not used.
    ///
    /// # Errors
    /// When this machine cannot run them.
    pub(crate) fn start(
        cache_dir: Option<&Path>,
        compiling: Compiling,
    ) -> Result<Self, RewardError> {
        let engine_fault = |reason: String| RewardError::new("host", Fault::Engine(reason));
        let engine = |kind: Kind| {
            Engine::new(&engine_settings(kind)).map_err(|error| engine_fault(format!("{error:#}")))
        };
        let (timed, metered) = (engine(Kind::Timed)?, engine(Kind::Metered)?);
        let both = [timed.clone(), metered.clone()];
        let ticker = Ticker::start(&both).map_err(|error| engine_fault(error.to_string()))?;
        let (cache, cache_refusal) = match cache_dir.map(Cache::open) {
            None => (None, None),
            Some(Ok(cache)) => (Some(cache), None),
            Some(Err(reason)) => {
                tracing::warn!("compiled plugins are not kept: {reason}");
                (None, Some(reason))
            }
        };
        Ok(Self { compiling, timed, metered, ticker, cache, cache_refusal })
    }

    /// The engine of a kind.
    pub(crate) fn of(&self, kind: Kind) -> &Engine {
        match kind {
            Kind::Timed => &self.timed,
            Kind::Metered => &self.metered,
        }
    }

    /// The thread that counts the deadlines of guests on these engines.
    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }

    /// Why the cache folder is not used, if it is not.
    pub(crate) fn cache_refusal(&self) -> Option<&str> {
        self.cache_refusal.as_deref()
    }

    /// Whether this component will be found compiled for the engine that is cut by time.
    pub(crate) fn is_cached(&self, wasm: &[u8]) -> bool {
        let key = cache::key(&self.timed, &digest::sha256(&sections::code(wasm)));
        self.cache.as_ref().is_some_and(|cache| cache.contains(&key))
    }

    /// Compiles what is code in a component, or finds it compiled.
    pub(crate) fn compile(&self, kind: Kind, bytes: &[u8]) -> Result<(Component, Origin), Fault> {
        check_header(bytes)?;
        let engine = self.of(kind);
        let code = sections::code(bytes);
        let key = cache::key(engine, &digest::sha256(&code));
        let cached = self.cache.as_ref().and_then(|cache| cache.load(engine, &key));
        if let Some(component) = cached {
            return Ok((component, Origin::Cache));
        }
        let native = self.native(kind, &code)?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store(&key, &native)
        {
            tracing::warn!("a compiled plugin could not be kept: {error}");
        }
        let component =
            cache::run(engine, &native).map_err(|error| Fault::Compiling(format!("{error:#}")))?;
        Ok((component, Origin::Compiled))
    }

    /// Machine code of a component, within the limits.
    fn native(&self, kind: Kind, code: &[u8]) -> Result<Native, Fault> {
        let Compiling { compiler, scale } = &self.compiling;
        let size = Size::of(code);
        size.check(*scale)?;
        let Some(compiler) = compiler else {
            return Native::of(self.of(kind), code).map_err(Fault::Damaged);
        };
        let compiled = compiler.compile(&size.order(kind, code, *scale));
        compiled.map(Native::by_compiler).map_err(|error| match error {
            CompileError::Damaged(reason) => Fault::Damaged(cut(reason, MAX_INFO_BYTES)),
            other => Fault::Compiling(cut(other.to_string(), MAX_INFO_BYTES)),
        })
    }
}

fn check_header(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.is_empty() {
        return Err(Fault::Damaged("the file is empty".to_owned()));
    }
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err(Fault::NotWasm);
    }
    match bytes.get(6..8) {
        None => Err(Fault::Damaged("the file ends inside its header".to_owned())),
        Some(layer) if layer == CORE_LAYER => Err(Fault::CoreModule),
        Some(_) => Ok(()),
    }
}
