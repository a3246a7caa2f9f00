//! `r1x plugin`: the verbs, one file each, and the way they open a plugin.

pub mod bench;
pub mod build;
pub mod check;
pub mod inspect;
pub mod new;
pub mod replay;
pub mod run;
pub mod test;

use std::path::Path;

use r1x_build::{BuiltPlugin, Source};
use r1x_core::PortError;
use r1x_core::plan::LimitsPlan;
use r1x_reward::{Host, Plugin};
use serde_json::Value;

use crate::args::PluginArgs;
use crate::capability;
use crate::failure::{Failure, code};
use crate::inputs::DEFAULT_LIMITS;
use crate::{hosting, table};

/// A plugin with all that is known of it.
pub struct Opened {
    /// Its sources.
    pub source: Source,
    /// Its component on disk.
    pub built: BuiltPlugin,
    /// Its component, loaded.
    pub plugin: Plugin,
}

/// Builds a plugin where it must be built, and loads it.
///
/// # Errors
/// When it is none, does not build, or does not load.
pub fn open(path: &Path) -> Result<Opened, Failure> {
    let source = Source::open(path)?;
    let built = built(&source)?;
    let plugin = load(&hosting::host(1)?, &built.wasm)?;
    Ok(Opened { source, built, plugin })
}

/// Opens a plugin that is going to be asked: with what the command line grants, which must be what it
/// asks for.
///
/// # Errors
/// When it cannot be opened, or asks for more.
pub fn granted(arguments: &PluginArgs) -> Result<Opened, Failure> {
    let grant = capability::read(&arguments.grant)?;
    let mut opened = open(&arguments.plugin)?;
    if let Some(disagreement) = capability::disagreement(&opened.source, opened.plugin.asks()) {
        let hint = "the manifest and the component must ask for the same";
        return Err(Failure::new(code::INPUT, disagreement, hint));
    }
    opened.plugin = capability::granted(&opened.plugin, &grant, None)?;
    opened.plugin.check_grants().map_err(|error| {
        let asks: Vec<&str> = opened.plugin.asks().iter().map(|one| one.as_str()).collect();
        // The models are those of a spec, and there is none here.
        let hint = match asks.contains(&"judge") {
            true => "models are named by the `judges` of a spec: try it with `r1x run`".to_owned(),
            false => format!("if it may, add: --grant {}", asks.join(",")),
        };
        Failure::new(code::INPUT, error.to_string(), hint)
    })?;
    Ok(opened)
}

/// Builds a plugin where it must be built, saying so: the first build of a machine takes a minute.
///
/// # Errors
/// When it does not build.
pub fn built(source: &Source) -> Result<BuiltPlugin, Failure> {
    let environment = hosting::build_environment();
    if let Some(known) = r1x_build::find(source, &environment)? {
        return Ok(known);
    }
    let about = &source.manifest;
    eprintln!("building {} ({})", about.plugin.name, about.build.language.as_str());
    let environment = hosting::build_environment_with(&hosting::host(1)?);
    Ok(r1x_build::build(source, &environment)?)
}

fn load(host: &Host, wasm: &Path) -> Result<Plugin, Failure> {
    let plugin = host.load(wasm).map_err(|error| Failure::from(PortError::from(error)))?;
    if plugin.origin() == r1x_reward::Origin::Compiled {
        let took = table::seconds(plugin.load_time().as_secs_f64());
        eprintln!("compiled {} in {took}", plugin.info().name);
    }
    Ok(plugin)
}

impl Opened {
    /// The limits a spec would give it by default, lowered to its own.
    pub fn limits(&self) -> LimitsPlan {
        let own = &self.source.manifest.limits;
        let lower = |default: u64, own: Option<u64>| own.map_or(default, |own| own.min(default));
        LimitsPlan {
            time_ms: lower(DEFAULT_LIMITS.time_ms, own.time_ms),
            time_per_rollout_ms: lower(DEFAULT_LIMITS.time_per_rollout_ms, own.time_per_rollout_ms),
            memory_bytes: lower(DEFAULT_LIMITS.memory_bytes, own.memory_bytes),
            fuel: own.fuel,
        }
    }
}

/// The configuration given on the command line as JSON text; nothing is an empty object.
///
/// # Errors
/// When it is no JSON object.
pub fn config(with: Option<&str>) -> Result<String, Failure> {
    let Some(text) = with else { return Ok("{}".to_owned()) };
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Value::Object(object).to_string()),
        _ => Err(Failure::new(
            code::INPUT,
            format!("--with: `{text}` is not a JSON object"),
            "quote it for the shell: --with '{\"prefilled\": false}'",
        )),
    }
}
