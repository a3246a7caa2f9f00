//! From a spec with a sweep to its runs: a combination of values is merged over the spec as `--set` arguments are, and
//! what comes of it is resolved like any other spec.
//!
//! Values keep their places in the file, so that a mistake in one is told where it stands, once for all combinations.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use crate::codes;
use crate::diagnostic::{Diagnostic, Report, quoted};
use crate::extends::{Conflicts, merge};
use crate::inputs::Inputs;
use crate::node::{Entry, Node, Value};
use crate::overrides::{self, Segment};
use crate::read::{At, Reader, Term};
use crate::schema_tree::{Range, Shape};
use crate::source::Span;
use crate::spec::{RunSpec, SweepSpec};
use crate::sweep_values::{Axis, MOST_COMBINATIONS, equal};
use crate::{Layered, Resolved};

/// Mistakes of different kinds after which no further combination is looked at.
const ENOUGH_MISTAKES: usize = 50;
/// The key under which a spec has its sweep.
const SWEEP: &str = "sweep";
/// The key that says where everything else of a map comes from.
const ORIGIN: &str = "from";

/// A spec that stands for several runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The paths that are varied and their values, in order.
    pub axes: Vec<SweepAxis>,
    /// A run for each combination, in order.
    pub combinations: Vec<Combination>,
    /// What works and is hardly meant, in the order of the source.
    pub warnings: Vec<Diagnostic>,
}

/// A key that a sweep varies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepAxis {
    /// Its path.
    pub path: String,
    /// Its values.
    pub values: Vec<Json>,
}

/// A path and the value that it has in a combination.
pub type Given = (String, Json);

/// A run that a sweep makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Combination {
    /// The value of each path, in the order of the axes.
    pub values: Vec<Given>,
    /// What the spec comes to with these values.
    pub resolved: Resolved,
}

/// What a spec asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A run.
    Run(Box<Resolved>),
    /// Several runs.
    Sweep(Box<Sweep>),
}

impl Asked {
    /// Every run, in order.
    pub fn runs(&self) -> Vec<&Resolved> {
        match self {
            Self::Run(resolved) => vec![resolved],
            Self::Sweep(sweep) => sweep.combinations.iter().map(|one| &one.resolved).collect(),
        }
    }
}

/// Seeds that are varied beside what the spec varies, and how they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seeds {
    /// The argument.
    pub text: String,
    /// The seeds in order; none where there is no such argument.
    pub seeds: Vec<u64>,
}

/// Reads, layers and checks a spec that may stand for several runs. Seeds take the place of those of its sweep.
///
/// # Errors
/// Everything that is wrong with it, at once and once.
pub fn resolve_all(
    path: &Path,
    overrides: &[String],
    seeds: &Seeds,
    inputs: &dyn Inputs,
) -> Result<Asked, Report> {
    let mut layered = Layered::to_run(path, overrides, inputs)?;
    let Some(swept) = Swept::take(&mut layered, seeds) else {
        return layered.run(overrides, inputs).map(|run| Asked::Run(Box::new(run)));
    };
    let axes = match swept.axes(&mut layered) {
        Some(axes) if layered.diagnostics.is_empty() => axes,
        _ => return Err(layered.mistakes(overrides, inputs)),
    };
    let all = All { base: &layered, axes: &axes, overrides, inputs };
    all.resolve(swept.place).map(|sweep| Asked::Sweep(Box::new(sweep)))
}

/// Reads, layers and checks one run of a spec that stands for several; `None` where it has no such combination.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn resolve_combination(
    path: &Path,
    overrides: &[String],
    seeds: &Seeds,
    values: &[Given],
    inputs: &dyn Inputs,
) -> Result<Option<Resolved>, Report> {
    let mut layered = Layered::to_run(path, overrides, inputs)?;
    let Some(swept) = Swept::take(&mut layered, seeds) else { return Ok(None) };
    let axes = match swept.axes(&mut layered) {
        Some(axes) if layered.diagnostics.is_empty() => axes,
        _ => return Err(layered.mistakes(overrides, inputs)),
    };
    let all = All { base: &layered, axes: &axes, overrides, inputs };
    let of = |picks: &Vec<usize>| {
        let given = all.values(picks);
        let same = |(a, b): (&Given, &Given)| a.0 == b.0 && equal(&a.1, &b.1);
        given.len() == values.len() && given.iter().zip(values).all(same)
    };
    all.picks().find(of).map(|picks| all.one(&picks)).transpose()
}

impl Layered {
    /// Everything that is wrong with the spec, what was found before included, as far as it is known without a sweep.
    fn mistakes(self, overrides: &[String], inputs: &dyn Inputs) -> Report {
        let found = self.diagnostics.clone();
        self.run(overrides, inputs).err().unwrap_or_else(|| Report::new(found))
    }
}

/// What varies, as it stands in the spec or was asked for beside it.
struct Swept<'s> {
    written: Option<Entry>,
    seeds: &'s Seeds,
    /// Where the sweep is said.
    place: Span,
}

impl<'s> Swept<'s> {
    /// Takes the sweep out of a spec; `None` where nothing varies.
    fn take(layered: &mut Layered, seeds: &'s Seeds) -> Option<Self> {
        let Value::Map(entries) = &mut layered.root.value else { return None };
        let at = entries.iter().position(|entry| entry.key == SWEEP);
        let written = at.map(|at| entries.remove(at)).filter(|entry| !entry.node.is_null());
        let place = match &written {
            Some(entry) => entry.key_span,
            None if seeds.seeds.is_empty() => return None,
            None => seeds_place(layered, seeds),
        };
        Some(Self { written, seeds, place })
    }

    /// The keys that vary, in order; `None` after reporting.
    fn axes(&self, layered: &mut Layered) -> Option<Vec<Axis>> {
        let mut axes = Vec::new();
        if let Some(entry) = &self.written {
            let mut reader = Reader::new(&layered.sources);
            let read = |reader: &mut Reader| reader.value::<SweepSpec>(&entry.node, Range::ANY);
            let spec = reader.below(SWEEP, entry.key_span, read);
            layered.diagnostics.append(&mut reader.diagnostics);
            axes = spec?.value.matrix.value.0;
        }
        if !self.seeds.seeds.is_empty() {
            let axis = seeds_axis(seeds_place(layered, self.seeds), self.seeds);
            match axes.iter_mut().find(|axis| axis.path.value == "seed") {
                Some(written) => *written = axis,
                None => axes.insert(0, axis),
            }
        }
        check_paths(&axes, layered);
        check_count(&axes, self.place, layered);
        Some(axes)
    }
}

/// The place of the seeds that were asked for beside the spec.
fn seeds_place(layered: &mut Layered, seeds: &Seeds) -> Span {
    let source = layered.sources.add_seeds(&seeds.text);
    Span { source, line: 1, col: 0, len: seeds.text.chars().count().max(1) }
}

fn seeds_axis(span: Span, seeds: &Seeds) -> Axis {
    let node = |seed: &u64| Node { value: Value::Int(i128::from(*seed)), span };
    Axis {
        path: At { value: "seed".to_owned(), span, path: Arc::from("seed") },
        values: seeds.seeds.iter().map(|seed| Json::from(*seed)).collect(),
        nodes: seeds.seeds.iter().map(node).collect(),
    }
}

/// The parts of a path, each with its place.
fn segments(axis: &Axis, layered: &Layered) -> Vec<Segment> {
    let mut place = axis.path.span;
    let line = layered.sources.line(place.source, place.line);
    // The text of a key in quotes begins behind the first one.
    let quoted = line.chars().nth(place.col).is_some_and(|first| ['"', '\''].contains(&first));
    place.col += usize::from(quoted);
    overrides::segments(&axis.path.value, place)
}

fn parts(path: &str) -> Vec<&str> {
    path.split('.').map(str::trim).collect()
}

/// A key has one value in a run: no path lies inside of another one, and nothing that varies is set beside it.
fn check_paths(axes: &[Axis], layered: &mut Layered) {
    let mut found = Vec::new();
    for (at, axis) in axes.iter().enumerate() {
        let own = parts(&axis.path);
        let meets = |other: &&Axis| {
            let other = parts(&other.path);
            other.starts_with(&own) || own.starts_with(&other)
        };
        if let Some(earlier) = axes[..at].iter().find(meets) {
            let message = format!(
                "{} and {} give one key two values",
                quoted(&earlier.path),
                quoted(&axis.path)
            );
            let mut diagnostic =
                Diagnostic::at(&layered.sources, codes::SWEEP, axis.path.span, message);
            diagnostic.help("vary one of them");
            found.push(diagnostic);
        }
    }
    for (source, text) in layered.sources.sets() {
        let Some((path, _)) = text.split_once('=') else { continue };
        let set = parts(path);
        let Some(axis) = axes.iter().find(|axis| set.starts_with(&parts(&axis.path))) else {
            continue;
        };
        let span = Span { source, line: 1, col: 0, len: path.chars().count().max(1) };
        let message = format!("{} is set, but the sweep varies it", quoted(&axis.path));
        let mut diagnostic = Diagnostic::at(&layered.sources, codes::SWEEP, span, message);
        diagnostic.help("`--set sweep=null` makes one run, without a sweep");
        found.push(diagnostic);
    }
    layered.diagnostics.append(&mut found);
}

/// Seeds that were asked for beside the spec count as well.
fn check_count(axes: &[Axis], place: Span, layered: &mut Layered) {
    let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
    if count.is_some_and(|count| count <= MOST_COMBINATIONS) {
        return;
    }
    let message = format!("the sweep has more than {MOST_COMBINATIONS} combinations");
    let mut diagnostic = Diagnostic::at(&layered.sources, codes::COUNTS, place, message);
    diagnostic.help("list fewer values, or vary fewer keys");
    layered.diagnostics.push(diagnostic);
}

/// Every combination over one spec.
struct All<'a> {
    base: &'a Layered,
    axes: &'a [Axis],
    overrides: &'a [String],
    inputs: &'a dyn Inputs,
}

impl All<'_> {
    /// Which value of each axis a combination has, for every combination in order.
    fn picks(&self) -> impl Iterator<Item = Vec<usize>> {
        let lengths: Vec<usize> = self.axes.iter().map(|axis| axis.values.len()).collect();
        (0..lengths.iter().product()).map(move |number: usize| {
            let mut left = number;
            let mut picks: Vec<usize> = lengths
                .iter()
                .rev()
                .map(|length| {
                    let pick = left % length;
                    left /= length;
                    pick
                })
                .collect();
            picks.reverse();
            picks
        })
    }

    fn values(&self, picks: &[usize]) -> Vec<Given> {
        let given =
            |(axis, pick): (&Axis, &usize)| (axis.path.value.clone(), axis.values[*pick].clone());
        self.axes.iter().zip(picks).map(given).collect()
    }

    /// What the spec is with a value of each axis, picked by its position among the values of the axis.
    fn one(&self, picks: &[usize]) -> Result<Resolved, Report> {
        let shape = RunSpec::shape(Range::ANY);
        let mut layered = self.base.clone();
        let mut given: Vec<(&Axis, usize)> = self.axes.iter().zip(picks.iter().copied()).collect();
        // What a map comes from replaces what is inherited of it, and must not replace what the sweep says beside it.
        given.sort_by_key(|(axis, _)| parts(&axis.path).last() != Some(&ORIGIN));
        for (axis, pick) in given {
            layered.give(&segments(axis, self.base), axis.nodes[pick].clone(), &shape);
        }
        let values = self.values(picks);
        let values = values.iter().map(said);
        let overrides: Vec<String> = self.overrides.iter().cloned().chain(values).collect();
        layered.run(&overrides, self.inputs)
    }

    /// Every combination, of which no two are one run.
    fn resolve(&self, place: Span) -> Result<Sweep, Report> {
        let mut mistakes: Vec<Diagnostic> = Vec::new();
        let mut warnings: Vec<Diagnostic> = Vec::new();
        let mut combinations: Vec<Combination> = Vec::new();
        // In how many combinations an entry is of no use.
        let mut unused: HashMap<String, usize> = HashMap::new();
        let key = |warning: &Diagnostic| warning.message.clone();
        let mut plans: HashMap<String, usize> = HashMap::new();
        for picks in self.picks() {
            match self.one(&picks) {
                Err(report) => add_new(&mut mistakes, report.diagnostics),
                Ok(resolved) => {
                    let values = self.values(&picks);
                    for warning in resolved.warnings.iter().filter(|one| one.code == codes::UNUSED)
                    {
                        *unused.entry(key(warning)).or_insert(0) += 1;
                    }
                    add_new(&mut warnings, resolved.warnings.clone());
                    let text = serde_json::to_string(&resolved.plan).unwrap_or_default();
                    let sha256 = r1x_core::digest::sha256(text.as_bytes());
                    if let Some(earlier) = plans.insert(sha256, combinations.len()) {
                        let values_of = |values: &[Given]| quoted(&label(values));
                        let message = format!(
                            "the combinations {} and {} are one run",
                            values_of(&combinations[earlier].values),
                            values_of(&values)
                        );
                        let sources = &self.base.sources;
                        let mut diagnostic = Diagnostic::at(sources, codes::SWEEP, place, message);
                        diagnostic.help("list values that lead to different plans");
                        add_new(&mut mistakes, vec![diagnostic]);
                    }
                    combinations.push(Combination { values, resolved });
                }
            }
            if mistakes.len() >= ENOUGH_MISTAKES {
                break;
            }
        }
        if !mistakes.is_empty() {
            return Err(Report::new(mistakes));
        }
        let axis =
            |axis: &Axis| SweepAxis { path: axis.path.value.clone(), values: axis.values.clone() };
        // What one combination does not use, another one may.
        let of_all = |warning: &Diagnostic| {
            warning.code != codes::UNUSED || unused.get(&key(warning)) == Some(&combinations.len())
        };
        warnings.retain(of_all);
        let warnings = Report::new(warnings).diagnostics;
        Ok(Sweep { axes: self.axes.iter().map(axis).collect(), combinations, warnings })
    }
}

impl Layered {
    /// Merges the value of a key over the spec; a path that leads nowhere is reported.
    fn give(&mut self, path: &[Segment], value: Node, shape: &Shape) {
        match overrides::swept(&self.root, path, value, shape, &self.sources) {
            Ok(over) => {
                let root = Node { value: Value::Null, span: self.root.span };
                let root = std::mem::replace(&mut self.root, root);
                let mut conflicts =
                    Conflicts { sources: &self.sources, diagnostics: &mut self.diagnostics };
                self.root = merge(root, over, shape, &mut conflicts);
            }
            Err(diagnostic) => self.diagnostics.push(*diagnostic),
        }
    }
}

/// Adds what is not there yet.
fn add_new(all: &mut Vec<Diagnostic>, found: Vec<Diagnostic>) {
    for diagnostic in found {
        if !all.contains(&diagnostic) {
            all.push(diagnostic);
        }
    }
}

/// The values of a combination in a row, `seed=1 stages.rl.grpo.lr=1e-5`.
pub fn label(values: &[Given]) -> String {
    values.iter().map(said).collect::<Vec<_>>().join(" ")
}

/// A value as `--set` takes it.
fn said((path, value): &Given) -> String {
    format!("{path}={}", written(value))
}

/// A value as a spec has it: JSON, with powers of ten for small numbers.
pub fn written(value: &Json) -> String {
    match value.as_f64() {
        // Rates are what sweeps vary most, and zeros are hard to count.
        Some(number) if number != 0.0 && number.abs() < 1e-2 => format!("{number:e}"),
        _ => value.to_string(),
    }
}
