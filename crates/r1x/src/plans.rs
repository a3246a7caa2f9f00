//! Plans: resolved from a spec, written down, and read back from the store.

use std::path::PathBuf;

use r1x_core::plan::{PlanError, RunPlan, TokenizerPlan};
use r1x_model::tokenizer::Tokenizer;
use r1x_spec::{
    Asked, Class, Diagnostic, Given, Report, Resolved, ResolvedShape, Seeds, Style,
    render_warnings, resolve, resolve_all, resolve_combination,
};
use r1x_store::Store;

use crate::display::Ink;
use crate::failure::{Failure, Told, code};
use crate::imported;
use crate::inputs::World;
use crate::output::{self, Stream};
use crate::relocate;

/// A spec and what is changed in it.
#[derive(Clone, Debug)]
pub struct SpecSource {
    /// The YAML file.
    pub path: PathBuf,
    /// Changes as `path=value`, in order.
    pub overrides: Vec<String>,
    /// Seeds to run it with, beside what it varies itself.
    pub seeds: Seeds,
}

/// Reads and checks a spec as if it stood for one run; diagnostics are printed.
///
/// # Errors
/// When anything is wrong with it.
pub fn resolved(spec: &SpecSource, world: &World) -> Result<Resolved, Failure> {
    let resolved = resolve(&spec.path, &spec.overrides, world).map_err(|report| told(&report))?;
    warn(&resolved.warnings);
    Ok(resolved)
}

/// Reads and checks a spec that is to run, once or several times; diagnostics are printed.
///
/// # Errors
/// When anything is wrong with it.
pub fn asked(spec: &SpecSource, world: &World) -> Result<Asked, Failure> {
    let SpecSource { path, overrides, seeds } = spec;
    let asked = resolve_all(path, overrides, seeds, world).map_err(|report| told(&report))?;
    match &asked {
        Asked::Run(resolved) => warn(&resolved.warnings),
        Asked::Sweep(sweep) => warn(&sweep.warnings),
    }
    Ok(asked)
}

/// Reads and checks one combination of a spec that stands for several runs. Its warnings were printed when all of them
/// were read.
///
/// # Errors
/// When anything is wrong with it, or it has no such combination any more.
pub fn combination(
    spec: &SpecSource,
    values: &[Given],
    world: &World,
) -> Result<Resolved, Failure> {
    let SpecSource { path, overrides, seeds } = spec;
    let found = resolve_combination(path, overrides, seeds, values, world);
    found.map_err(|report| told(&report))?.ok_or_else(|| changed(spec))
}

/// The mistake of a spec that is no longer what its sweep was begun with.
pub fn changed(spec: &SpecSource) -> Failure {
    Failure::new(
        code::SPEC,
        format!("{} has changed since its sweep was begun", spec.path.display()),
        "start the sweep again",
    )
}

fn warn(warnings: &[Diagnostic]) {
    output::drawn(Stream::Err, &render_warnings(warnings, style()));
}

/// The shape of a model that a spec is, where it is nothing else; diagnostics are printed.
///
/// # Errors
/// When it is one and anything is wrong with it.
pub fn only_shape(spec: &SpecSource, world: &World) -> Result<Option<ResolvedShape>, Failure> {
    r1x_spec::only_shape(&spec.path, &spec.overrides, world).map_err(|report| told(&report))
}

fn style() -> Style {
    let view = output::view(Stream::Err);
    Style { unicode: true, color: view.color == Ink::Colored, width: view.width }
}

/// Prints what is wrong with a spec.
pub fn told(report: &Report) -> Failure {
    output::drawn(Stream::Err, &report.render(style()));
    let code = match report.class() {
        Class::Spec => code::SPEC,
        Class::Input => code::INPUT,
    };
    Failure { code, told: Told::Already }
}

/// The plan as canonical JSON and its sha256.
///
/// # Errors
/// Never for plans that came from a spec.
pub fn plan_json(plan: &RunPlan) -> Result<(String, String), Failure> {
    let json = serde_json::to_string(plan).map_err(|error| {
        Failure::new(
            code::INTERNAL,
            format!("the plan cannot be written: {error}"),
            "please report this",
        )
    })?;
    let hash = r1x_core::digest::sha256(json.as_bytes());
    Ok((json, hash))
}

/// An object as JSON text.
///
/// # Errors
/// Never for the store's cards.
pub fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| {
        Failure::new(code::INTERNAL, format!("cannot write JSON: {error}"), "please report this")
    })
}

/// The plan a run was started with; its files are looked for where they may be by now.
///
/// # Errors
/// When there is no such run, it has no plan because it was imported, or its plan is of another version of r1x.
pub fn plan_of(store: &Store, run: &str) -> Result<RunPlan, Failure> {
    let spec = store.spec(run)?;
    if let Some(provenance) = imported::provenance(&spec) {
        return Err(imported::has_no_plan(&store.run(run)?.name, &provenance));
    }
    let folders = relocate::folders(spec.folder.as_deref(), store.path());
    let vocabulary_size = |tokenizer: &TokenizerPlan| {
        let mut tokenizer = tokenizer.clone();
        relocate::tokenizer(&mut tokenizer, &folders);
        Tokenizer::new(&tokenizer).map(|found| found.len()).map_err(|error| error.to_string())
    };
    let mut plan = RunPlan::from_json(&spec.plan_json, &vocabulary_size).map_err(|error| {
        let hint = match error {
            PlanError::Vocabulary { .. } => "bring the file back to where the plan says it is",
            _ => "use the version of r1x that recorded it (`r1x show` names it)",
        };
        let message = format!("the plan of run `{run}` cannot be read: {error}");
        Failure::new(code::STORE, message, hint)
    })?;
    relocate::relocate(&mut plan, &folders);
    Ok(plan)
}

/// This folder as text, in which relative paths of a plan begin.
pub fn folder() -> Option<String> {
    std::env::current_dir().ok()?.to_str().map(str::to_owned)
}
