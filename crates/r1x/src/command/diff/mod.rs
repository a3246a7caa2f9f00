//! `r1x diff`: what differs between two recorded runs: plan, environment, builds of plugins, metrics and evaluations.
//!
//! Must not change them, and must not say which one is better.

mod plan;

use r1x_store::{EvaluationPair, MetricPair, Paired, PluginCard, RunCard, Store};
use serde_json::Value;

use self::plan::PlanChange;
use crate::args::Global;
use crate::display::{Line, Page, Table, Tone};
use crate::environment;
use crate::failure::{Failure, code};
use crate::number::{number, optional, with_error};
use crate::output::{self, Stream};
use crate::{plans, stores};

/// A run that is compared, in the words of `--json`.
#[derive(Debug, serde::Serialize)]
struct Side {
    run: String,
    status: String,
    steps: u64,
    plan_sha256: String,
    digest: Option<String>,
}

/// The component of a reward that is not the same in both runs.
#[derive(Debug, serde::Serialize)]
struct PluginChange {
    reward: String,
    a: Option<Build>,
    b: Option<Build>,
}

/// A fact of the environment that is not the same in both runs.
#[derive(Debug, serde::Serialize)]
struct EnvironmentChange {
    name: &'static str,
    a: Option<String>,
    b: Option<String>,
}

/// A build of a plugin.
#[derive(Debug, serde::Serialize)]
struct Build {
    plugin: String,
    version: String,
    sha256: String,
}

/// Everything that differs between two runs.
#[derive(Debug, serde::Serialize)]
struct Differences {
    a: Side,
    b: Side,
    /// Whether nothing differs, digests included.
    equal: bool,
    plan: Vec<PlanChange>,
    environment: Vec<EnvironmentChange>,
    plugins: Vec<PluginChange>,
    metrics: Vec<MetricPair>,
    evaluations: Vec<EvaluationPair>,
}

/// Compares two runs.
///
/// # Errors
/// When one of them is not there, or the store cannot be read; a difference is none.
pub fn diff(global: &Global, a: &str, b: &str, json: bool) -> Result<i32, Failure> {
    let store = stores::reading(global.store())?;
    let found = Differences::between(&store, a, b)?;
    match json {
        true => output::json(&plans::json(&found)?),
        false => output::page(Stream::Out, &found.page()),
    }
    Ok(0)
}

impl Differences {
    fn between(store: &Store, a: &str, b: &str) -> Result<Self, Failure> {
        let (a, b) = (store.run_card(a)?, store.run_card(b)?);
        let names = (a.run.name.as_str(), b.run.name.as_str());
        let differs = |a: Option<f64>, b: Option<f64>| a != b;
        let mut metrics = store.metric_pairs(names.0, names.1)?;
        metrics.retain(|pair| differs(pair.a, pair.b));
        let mut evaluations = store.evaluation_pairs(names.0, names.1)?;
        evaluations.retain(|pair| {
            let moved = |paired: &Paired| paired.better_in_a + paired.better_in_b > 0;
            differs(pair.a, pair.b) || pair.paired.as_ref().is_some_and(moved)
        });
        let mut found = Self {
            plan: plan_changes(store, names)?,
            environment: environment_changes(&a, &b),
            plugins: plugin_changes(&a.plugins, &b.plugins),
            metrics,
            evaluations,
            equal: false,
            a: side(a),
            b: side(b),
        };
        found.equal = found.nothing() && found.a.digest == found.b.digest;
        Ok(found)
    }

    /// Whether no part has anything; digests may still differ.
    fn nothing(&self) -> bool {
        self.plan.is_empty()
            && self.environment.is_empty()
            && self.plugins.is_empty()
            && self.metrics.is_empty()
            && self.evaluations.is_empty()
    }

    fn page(&self) -> Page {
        let mut page = Page::default();
        let digest = |side: &Side| side.digest.clone().unwrap_or_else(|| "none yet".to_owned());
        let (a, b) = (&self.a, &self.b);
        let runs = format!("{} (digest {}) and {} (digest {})", a.run, digest(a), b.run, digest(b));
        if self.equal {
            page.line(Line::of(Tone::Good, format!("nothing differs between {runs}")));
            return page;
        }
        if self.nothing() {
            let what = "plan, environment, plugins, metrics at the ends of stages and evaluations are equal, digests are not";
            page.line(Line::of(Tone::Warn, format!("{what}: {runs}")));
            return page;
        }
        let run = |name: &str, side: &Side| {
            let Side { run, status, steps, .. } = side;
            vec![name.to_owned(), run.clone(), status.clone(), steps.to_string(), digest(side)]
        };
        let header = ["", "run", "status", "steps", "digest"];
        let rows = [run("A", a), run("B", b)];
        page.table(Table::of(&header, &rows).whole(&["", "run"]).status(&["status"]));
        self.add_causes(&mut page);
        self.add_results(&mut page);
        page
    }

    /// What the runs were made of.
    fn add_causes(&self, page: &mut Page) {
        let plan =
            |change: &PlanChange| vec![change.path.clone(), value(&change.a), value(&change.b)];
        section(page, &self.plan, plan, (&["setting", "A", "B"], &["setting"]));
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let change = |change: &EnvironmentChange| {
            vec![change.name.to_owned(), text(&change.a), text(&change.b)]
        };
        section(page, &self.environment, change, (&["environment", "A", "B"], &["environment"]));
        let build = |build: &Option<Build>| match build {
            Some(Build { plugin, version, sha256 }) => {
                format!("{plugin} {version} {}", sha256.chars().take(12).collect::<String>())
            }
            None => "-".to_owned(),
        };
        let plugin =
            |change: &PluginChange| vec![change.reward.clone(), build(&change.a), build(&change.b)];
        section(
            page,
            &self.plugins,
            plugin,
            (&["plugin of reward", "A", "B"], &["plugin of reward"]),
        );
    }

    /// What came of them.
    fn add_results(&self, page: &mut Page) {
        let metric = |pair: &MetricPair| {
            let [a, b] = [pair.a, pair.b].map(finite);
            vec![pair.stage.clone(), pair.metric.clone(), a, b, optional(pair.difference)]
        };
        let header = ["stage", "metric, last tenth of the steps", "A", "B", "B − A"];
        section(page, &self.metrics, metric, (&header, &header[..2]));
        let evaluation = |pair: &EvaluationPair| {
            let [a, b] = [pair.a, pair.b].map(finite);
            let (suite, stage) = (pair.suite.clone(), pair.stage.clone());
            let (step, metric) = (pair.step.to_string(), pair.metric.clone());
            vec![suite, stage, step, metric, a, b, optional(pair.difference)]
        };
        let header = ["suite", "after", "steps", "figure", "A", "B", "B − A"];
        section(page, &self.evaluations, evaluation, (&header, &header[..4]));
        let paired: Vec<(&EvaluationPair, &Paired)> = self
            .evaluations
            .iter()
            .filter_map(|pair| Some((pair, pair.paired.as_ref()?)))
            .collect();
        let row = |(pair, paired): &(&EvaluationPair, &Paired)| {
            vec![
                pair.suite.clone(),
                pair.stage.clone(),
                pair.step.to_string(),
                paired.problems.to_string(),
                with_error(paired.difference, paired.stderr),
                paired.better_in_a.to_string(),
                paired.better_in_b.to_string(),
                paired.right_in_a_alone.to_string(),
                paired.right_in_b_alone.to_string(),
            ]
        };
        let header = [
            "suite",
            "after",
            "steps",
            "problems of both",
            "B − A, paired",
            "better in A",
            "better in B",
            "right in A alone",
            "right in B alone",
        ];
        section(page, &paired, row, (&header, &header[..3]));
    }
}

/// A table of a part, where it has anything.
fn section<T>(
    page: &mut Page,
    rows: &[T],
    row: impl Fn(&T) -> Vec<String>,
    (header, whole): (&[&str], &[&str]),
) {
    if !rows.is_empty() {
        let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        page.blank().table(Table::of(header, &rows).whole(whole));
    }
}

/// A text as it is, anything else as JSON.
fn value(value: &Option<Value>) -> String {
    match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// A mean, or that it is none.
fn finite(value: Option<f64>) -> String {
    value.map_or_else(|| "not finite".to_owned(), number)
}

fn side(card: RunCard) -> Side {
    let run = card.run;
    Side {
        run: run.name,
        status: run.status,
        steps: run.steps,
        plan_sha256: run.plan_sha256,
        digest: run.digest,
    }
}

/// What differs between the plans as they were recorded. Where they were recorded by versions of r1x that write plans
/// differently, both are brought to the form of this version first, where that can be done.
fn plan_changes(store: &Store, (a, b): (&str, &str)) -> Result<Vec<PlanChange>, Failure> {
    let recorded = |run: &str| {
        let plan: Result<Value, _> = serde_json::from_str(&store.spec(run)?.plan_json);
        plan.map_err(|error| {
            let message = format!("the plan of run `{run}` cannot be read: {error}");
            Failure::new(
                code::STORE,
                message,
                "use the version of r1x that recorded it (`r1x show` names it)",
            )
        })
    };
    let current = |run: &str| serde_json::to_value(plans::plan_of(store, run).ok()?).ok();
    let (recorded_a, recorded_b) = (recorded(a)?, recorded(b)?);
    if recorded_a.get("version") != recorded_b.get("version")
        && let (Some(a), Some(b)) = (current(a), current(b))
    {
        return Ok(plan::changes(&a, &b));
    }
    Ok(plan::changes(&recorded_a, &recorded_b))
}

fn environment_changes(a: &RunCard, b: &RunCard) -> Vec<EnvironmentChange> {
    let changes = environment::changes(&a.environment, &b.environment).into_iter();
    let change = |environment::Change { name, was, is }| EnvironmentChange { name, a: was, b: is };
    changes.map(change).collect()
}

/// Rewards whose components differ, or that only one run has.
fn plugin_changes(a: &[PluginCard], b: &[PluginCard]) -> Vec<PluginChange> {
    let build = |of: &[PluginCard], reward: &str| {
        let card = of.iter().find(|card| card.reward == reward)?;
        let PluginCard { plugin, version, sha256, .. } = card.clone();
        Some(Build { plugin, version, sha256 })
    };
    let in_a = |card: &PluginCard| a.iter().any(|of_a| of_a.reward == card.reward);
    let rewards = a.iter().chain(b.iter().filter(|card| !in_a(card))).map(|card| &card.reward);
    let change = |reward: &String| {
        let (a, b) = (build(a, reward), build(b, reward));
        let hash = |build: &Option<Build>| build.as_ref().map(|build| build.sha256.clone());
        (hash(&a) != hash(&b)).then(|| PluginChange { reward: reward.clone(), a, b })
    };
    rewards.filter_map(change).collect()
}
