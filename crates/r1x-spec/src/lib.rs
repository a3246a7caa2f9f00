//! From YAML to a plan: reading specs strictly, layering them, checking them, and saying what is wrong.
//!
//! `bytes ▶ events ▶ tree with places ▶ merged tree ▶ RunSpec (what was written) ▶ RunPlan (what will run)`.
//! The format is declared once, in [`spec`]. Must not know files, data, plugins or models beyond the
//! [`Inputs`] trait.

mod algorithm;
mod codes;
mod diagnostic;
mod distill_values;
mod estimate;
mod extends;
mod further;
mod grant;
pub mod import;
mod inputs;
pub mod lists;
mod loss_values;
mod made_size;
mod memory;
mod model_cost;
pub mod model_values;
mod node;
mod overrides;
pub mod pair_values;
mod parts;
mod read;
pub mod reference;
mod resolve;
mod schema;
mod schema_tree;
mod shaping_values;
mod source;
pub mod spec;
mod sweep;
mod sweep_values;
mod tiny_values;
pub mod value_types;
mod yaml;

use std::path::Path;

use serde::Serialize;
use serde_json::Value as Json;

use r1x_core::plan::{ModelPlan, RunPlan};

pub use codes::{CODES, CodeInfo, explain};
pub use diagnostic::{Class, Diagnostic, Location, Report, Style, render_warnings};
pub use estimate::{
    DataSize, Estimate, Parameters, StageEstimate, TensorShape, Work, estimate, forward_flops,
    parameters,
};
pub use inputs::{
    ChatFacts, CheckpointFacts, CheckpointName, DataFacts, DataRefusal, Inputs, ModelFacts,
    PluginFacts, Refusal, TokenizerFacts,
};
pub use memory::{Memory, memory};
pub use model_cost::{Devices, ModelCost};
pub use read::At;
pub use schema::schema;
pub use source::{Origin, SourceId, Span};
pub use sweep::{
    Asked, Combination, Given, Seeds, Sweep, SweepAxis, label, resolve_all, resolve_combination,
    written,
};
pub use sweep_values::{Axis, Matrix};

use node::Node;
use read::{Reader, Term, read_record};
use resolve::Resolver;
use source::Sources;
use spec::{RunSpec, ShapeSpec};

/// One value of a resolved spec.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Its path, `stages.rl.grpo.lr`.
    pub path: String,
    /// The value as it was written.
    pub value: Json,
    /// Where it came from.
    pub origin: Origin,
}

/// A spec that can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What will run.
    pub plan: RunPlan,
    /// What was written, typed and with places.
    pub spec: RunSpec,
    /// Every value and where it came from, in the order of the format.
    pub settings: Vec<Setting>,
    /// The spec file as it was read.
    pub source_text: String,
    /// Every spec file that was read, the spec itself first: its name and text.
    pub files: Vec<(String, String)>,
    /// The `--set` arguments.
    pub overrides: Vec<String>,
    /// What works and is hardly meant, in the order of the source.
    pub warnings: Vec<Diagnostic>,
    /// What the reward plugins say about themselves, by reward id, in the order of the spec.
    pub plugins: Vec<(String, PluginFacts)>,
}

/// The shape of a model, from a spec that says nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedShape {
    /// Its name.
    pub name: String,
    /// The model. Where the spec names no tokenizer, an empty vocabulary stands for one.
    pub model: ModelPlan,
    /// Every value and where it came from, in the order of the format.
    pub settings: Vec<Setting>,
}

/// What a spec describes.
#[derive(Clone, Debug, PartialEq)]
pub enum Described {
    /// Something that can run.
    Run(Box<Resolved>),
    /// The shape of a model.
    Shape(Box<ResolvedShape>),
}

/// Keys of a spec that is only the shape of a model.
const OF_A_SHAPE: [&str; 4] = ["r1x", "name", "tags", "model"];

/// A spec file and everything it extends, merged, with its overrides.
#[derive(Clone)]
struct Layered {
    root: Node,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

impl Layered {
    fn read(path: &Path, overrides: &[String], inputs: &dyn Inputs) -> Result<Self, Report> {
        let shape = RunSpec::shape(schema_tree::Range::ANY);
        let (mut sources, mut diagnostics) = (Sources::default(), Vec::new());
        let root = extends::load(path, &shape, inputs, &mut sources, &mut diagnostics);
        let Some(root) = root else {
            return Err(Report::new(diagnostics));
        };
        let root = overrides::apply(root, overrides, &shape, &mut sources, &mut diagnostics);
        Ok(Self { root, sources, diagnostics })
    }

    /// Reads a spec that is to run, and is more than the shape of a model.
    fn to_run(path: &Path, overrides: &[String], inputs: &dyn Inputs) -> Result<Self, Report> {
        let mut layered = Self::read(path, overrides, inputs)?;
        if !layered.is_shape() {
            return Ok(layered);
        }
        let message = "this spec is the shape of a model, and has nothing to run";
        let mut diagnostic = Diagnostic::nowhere(codes::MISSING_KEY, message);
        diagnostic.help(
            "`r1x plan` shows it; a spec with data, stages and `extends: PATH` of this one can train it",
        );
        layered.diagnostics.push(diagnostic);
        Err(Report::new(layered.diagnostics))
    }

    /// Whether the spec is only the shape of a model.
    fn is_shape(&self) -> bool {
        let entries = self.root.entries().unwrap_or_default();
        let mut written = entries.iter().filter(|entry| !entry.node.is_null());
        self.root.get("model").is_some()
            && written.all(|entry| OF_A_SHAPE.contains(&entry.key.as_str()))
    }

    fn shape(mut self, inputs: &dyn Inputs) -> Result<ResolvedShape, Report> {
        let mut reader = Reader::new(&self.sources);
        let spec = read_record::<ShapeSpec>(&self.root, &mut reader);
        let found = spec.as_ref().and_then(|spec| Resolver::new(&mut reader, inputs).shape(spec));
        self.diagnostics.append(&mut reader.diagnostics);
        match found {
            Some((name, model)) if self.diagnostics.is_empty() => {
                Ok(ResolvedShape { name, model, settings: reader.settings })
            }
            _ => Err(Report::new(self.diagnostics)),
        }
    }

    fn run(self, overrides: &[String], inputs: &dyn Inputs) -> Result<Resolved, Report> {
        let Self { root, sources, mut diagnostics } = self;
        let shape = RunSpec::shape(schema_tree::Range::ANY);
        let mut conflicts = extends::Conflicts { sources: &sources, diagnostics: &mut diagnostics };
        let root = further::written_out(root, &shape, &mut conflicts);
        let mut reader = Reader::new(&sources);
        let spec = read_record::<RunSpec>(&root, &mut reader);
        let outcome = spec.as_ref().and_then(|spec| Resolver::new(&mut reader, inputs).run(spec));
        diagnostics.append(&mut reader.diagnostics);
        let warnings = Report::new(reader.warnings).diagnostics;
        let settings = reader.settings;
        match (spec, outcome) {
            (Some(spec), Some(outcome)) if diagnostics.is_empty() => {
                let files = sources.files();
                Ok(Resolved {
                    plan: outcome.plan,
                    spec,
                    settings,
                    source_text: files.first().map(|(_, text)| text.clone()).unwrap_or_default(),
                    files,
                    overrides: overrides.to_vec(),
                    warnings,
                    plugins: outcome.plugins,
                })
            }
            _ => Err(Report::new(diagnostics)),
        }
    }
}

/// Reads, layers and checks a spec that is to run once. What a sweep of it varies has the value that is written where it
/// belongs, as if there were no sweep.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn resolve(path: &Path, overrides: &[String], inputs: &dyn Inputs) -> Result<Resolved, Report> {
    Layered::to_run(path, overrides, inputs)?.run(overrides, inputs)
}

/// Reads, layers and checks a spec, which may be only the shape of a model.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn describe(
    path: &Path,
    overrides: &[String],
    inputs: &dyn Inputs,
) -> Result<Described, Report> {
    let layered = Layered::read(path, overrides, inputs)?;
    if layered.is_shape() {
        return Ok(Described::Shape(Box::new(layered.shape(inputs)?)));
    }
    Ok(Described::Run(Box::new(layered.run(overrides, inputs)?)))
}

/// The shape of a model that a spec is, where it is nothing else.
///
/// # Errors
/// When it is one, everything that is wrong with it.
pub fn only_shape(
    path: &Path,
    overrides: &[String],
    inputs: &dyn Inputs,
) -> Result<Option<ResolvedShape>, Report> {
    // A spec that cannot be read is told of by whoever wants to run it.
    let layered = Layered::read(path, overrides, inputs).ok().filter(Layered::is_shape);
    layered.map(|layered| layered.shape(inputs)).transpose()
}

/// The plan as YAML, for people.
///
/// # Errors
/// When the YAML writer fails; it has no reason to.
pub fn plan_yaml(plan: &RunPlan) -> Result<String, serde_yaml::Error> {
    // By way of JSON, so that alternatives are written as maps and not as YAML tags.
    let json =
        serde_json::to_value(plan).map_err(<serde_yaml::Error as serde::ser::Error>::custom)?;
    serde_yaml::to_string(&json)
}
