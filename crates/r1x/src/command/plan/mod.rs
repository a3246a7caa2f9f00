//! `r1x plan`: what would run, where every value came from, and what it would cost.
//!
//! A spec that is only the shape of a model is shown by itself, and one that stands for several runs as a table of them. Must not run anything, but for the moment in which the
//! speed of this machine is measured.

mod model;
mod sweep;

use std::collections::BTreeMap;

use r1x_core::Encoder;
use r1x_core::plan::{InitialWeights, ModelPlan, RunPlan, WeightsFrom};
use r1x_model::ModelEncoder;
use r1x_spec::{Asked, DataSize, Estimate, ModelCost, Resolved, Setting, StageEstimate, estimate};
use r1x_tasks::Problems;

use crate::args::Global;
use crate::display::{Fields, Page, Table};
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::output::{self, Stream};
use crate::plans::SpecSource;
use crate::reuse::{self, Reusable, Reused};
use crate::sizes::sizes;
use crate::speed::{Seconds, Speed, all_cores};
use crate::{earlier, memory, plans, stores, table};

/// Prints the plan, with the number of devices that the model needs where their memory is known.
///
/// # Errors
/// When the spec is wrong.
pub fn plan(
    global: &Global,
    spec: &SpecSource,
    json: bool,
    device_memory_bytes: Option<u64>,
) -> Result<i32, Failure> {
    let world = World::with_workers(1)?.with_checkpoints(earlier::finder(global.store()));
    if let Some(shape) = plans::only_shape(spec, &world)? {
        model::shape(&shape, json, device_memory_bytes);
        return Ok(0);
    }
    match plans::asked(spec, &world)? {
        Asked::Run(resolved) => {
            let reused = reused(&resolved.plan, global)?;
            run(&resolved, &reused, json, device_memory_bytes)?;
        }
        Asked::Sweep(all) if device_memory_bytes.is_none() => sweep::sweep(&all, json)?,
        Asked::Sweep(_) => {
            return Err(Failure::new(
                code::USAGE,
                "`--device-memory` is about one model, and this spec stands for several runs",
                "`--set sweep=null` makes it one run",
            ));
        }
    }
    Ok(0)
}

/// The stages that a run on the CPU would take over from earlier ones.
fn reused(plan: &RunPlan, global: &Global) -> Result<Vec<Reused>, Failure> {
    let Some(store) = stores::known(global.store()) else { return Ok(Vec::new()) };
    let keys = reuse::keys(plan, "cpu");
    Ok(Reusable::find(&store, plan, &keys)?.stages(plan))
}

fn run(
    resolved: &Resolved,
    reused: &[Reused],
    json: bool,
    device_memory_bytes: Option<u64>,
) -> Result<(), Failure> {
    let sizes = data_sizes(&resolved.plan);
    let estimate = estimate(&resolved.plan, &sizes, all_cores());
    let speed = speed()?;
    let time = speed.seconds(&estimate, resolved.plan.model.precision);
    let (_, hash) = plans::plan_json(&resolved.plan)?;
    let cost = ModelCost::new(&resolved.plan.model, &estimate.parameters);
    let devices = device_memory_bytes.map(|bytes| cost.devices(bytes));
    if json {
        let object = serde_json::json!({
            "plan": resolved.plan,
            "plan_sha256": hash,
            "settings": resolved.settings,
            "vocabulary_size": resolved.plan.model.vocabulary_size,
            "estimate": estimate,
            "seconds": time,
            "speed": speed,
            "model_cost": cost,
            "devices": devices,
            "reused": reused,
        });
        output::json(&object.to_string());
        return Ok(());
    }
    let mut page = Page::default();
    page.table(settings(&resolved.settings)).blank();
    stages(&mut page, &estimate);
    let mut of_models = model::fields(&resolved.plan.model, &estimate.parameters, &cost, devices);
    model::add_further(&mut of_models, &resolved.plan.models);
    page.fields(of_models).blank();
    page.fields(costs(resolved, &estimate)).fields(time_fields(&estimate, &speed, time));
    let mut taken = Fields::default();
    for Reused { stage, from } in reused {
        taken.add(
            "reuse",
            format!("{stage}: taken over from run {from} (`run --no-reuse` runs it)"),
        );
    }
    page.fields(taken);
    page.line(format!("plan {hash}"));
    output::page(Stream::Out, &page);
    Ok(())
}

/// What a plan's data says about lengths and numbers of problems; data that cannot be read says nothing.
fn data_sizes(plan: &RunPlan) -> BTreeMap<String, DataSize> {
    let encoder = ModelEncoder::new(&plan.model).ok();
    let markup = encoder.as_ref().map(|encoder| encoder.markup().clone()).unwrap_or_default();
    let Ok(problems) = Problems::load(plan, &markup) else { return BTreeMap::new() };
    sizes(&problems, encoder.as_ref().map(|encoder| encoder as &dyn Encoder))
}

/// The speed of this machine: known, or measured now.
fn speed() -> Result<Speed, Failure> {
    let threads = all_cores();
    if let Some(known) = Speed::known(threads) {
        return Ok(known);
    }
    // A pause that somebody watches is explained.
    if output::is_terminal(Stream::Err) {
        eprintln!("measuring the speed of this machine, once; `r1x doctor` measures it again");
    }
    Ok(Speed::measure(threads)?)
}

fn settings(settings: &[Setting]) -> Table {
    let rows: Vec<Vec<String>> = settings
        .iter()
        .map(|setting| {
            vec![setting.path.clone(), setting.value.to_string(), setting.origin.to_string()]
        })
        .collect();
    Table::of(&["setting", "value", "from"], &rows).whole(&["setting"])
}

fn stages(page: &mut Page, estimate: &Estimate) {
    let rows: Vec<Vec<String>> = estimate
        .stages
        .iter()
        .map(|stage| {
            vec![
                stage.id.clone(),
                stage.kind.to_owned(),
                table::count(stage.updates),
                completions(stage),
                tokens(stage.likely.generated_tokens),
                tokens(stage.most.generated_tokens),
                tokens(stage.likely.trained_tokens),
                tokens(stage.most.trained_tokens),
            ]
        })
        .collect();
    let header = [
        "stage",
        "kind",
        "updates",
        "completions",
        "tokens sampled",
        "sampled ≤",
        "tokens trained",
        "trained ≤",
    ];
    page.table(Table::of(&header, &rows).whole(&["stage"])).blank();
}

fn costs(resolved: &Resolved, estimate: &Estimate) -> Fields {
    let mut fields = Fields::default();
    fields
        .add(
            "memory",
            format!(
                "up to {} ({})",
                table::bytes(estimate.memory_bytes),
                memory::parts(&estimate.memory)
            ),
        )
        .add("store", format!("up to {}", table::bytes(estimate.store_bytes)))
        .add("checkpoints", table::bytes(estimate.checkpoint_bytes));
    let further = resolved.plan.models.iter().map(|(name, model)| (name.as_str(), model));
    for (name, model) in [("the policy", &resolved.plan.model)].into_iter().chain(further) {
        if let Some((folder, sha256)) = checkpoint(model) {
            fields.add("checkpoint", format!("{name}: begins with {folder}, sha256 {sha256}"));
        }
    }
    let mut before = BTreeMap::new();
    for stage in &resolved.plan.stages {
        if let Some(model) = &stage.model {
            fields.add("works on", format!("{}: the model {model}", stage.id));
        }
        let above = before.insert(&stage.model, WeightsFrom::Stage(stage.id.clone()));
        // Where every stage of a model goes on from the one before it, nobody needs to be told.
        if stage.weights != above.unwrap_or(WeightsFrom::Base) {
            let origin = match &stage.weights {
                WeightsFrom::Base => "the weights of the beginning".to_owned(),
                WeightsFrom::Stage(id) => format!("the weights of {id}"),
            };
            fields.add("weights", format!("{}: begins with {origin}", stage.id));
        }
        for (about, said) in stage.kind.outline().remarks {
            fields.add(about, format!("{}: {said}", stage.id));
        }
    }
    fields
}

/// The checkpoint that a model begins with, where it begins with one: its folder and the hash of its weights.
fn checkpoint(model: &ModelPlan) -> Option<(&str, &str)> {
    let adapters = model.lora.as_ref().map(|lora| &lora.initial);
    [adapters, Some(&model.initial)].into_iter().flatten().find_map(|initial| match initial {
        InitialWeights::Checkpoint { folder, sha256 } => Some((folder.as_str(), sha256.as_str())),
        InitialWeights::Random | InitialWeights::Published { .. } => None,
    })
}

/// How many completions are sampled; where that is not known beforehand, at least and at most.
fn completions(stage: &StageEstimate) -> String {
    let (least, most) = (stage.completions, stage.most_completions);
    match least == most {
        true => table::count(least),
        false => format!("{} to {}", table::count(least), table::count(most)),
    }
}

fn tokens(count: f64) -> String {
    table::count(count.round() as u64)
}

/// How long it will take, and what that rests on.
fn time_fields(estimate: &Estimate, speed: &Speed, time: Seconds) -> Fields {
    let lengths = match estimate.lengths_known {
        true => "completions as long as worked solutions; at most: as long as they may be",
        false => "completions as long as they may be: not all of the data has worked solutions",
    };
    let may_refill = |stage: &StageEstimate| stage.most_completions > stage.completions;
    let refilled = match estimate.stages.iter().any(may_refill) {
        true => "; no problem drawn in place of another",
        false => "",
    };
    let likely = table::seconds(time.likely);
    let most = table::seconds(time.most);
    let mut fields = Fields::default();
    fields
        .add("time", format!("about {likely}, at most {most}, on {} threads", speed.threads()))
        .add(
            "rests on",
            format!(
                "{lengths}; every group trained on{refilled}; nothing but the model at work: rewards, the store and checkpoints come on top; the speed of this CPU, measured {} (`r1x doctor`)",
                table::age(speed.age())
            ),
        );
    fields
}
