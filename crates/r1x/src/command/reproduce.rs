//! `r1x reproduce`: make a recorded run again, and compare every fact with what was recorded.
//!
//! Everything comes from the store: the plan, the components of rewards, seeds. Data and published models are read from
//! their files, whose hashes must be those that the plan has. Must not change the run that is made again.

use std::path::Path;

use r1x_core::plan::RunPlan;
use r1x_core::port::PortError;
use r1x_store::{LastFact, Relation, RunStart, RunSummary, StagePoint, Store};

use crate::args::Global;
use crate::command::run::Beginning;
use crate::display::{Line, Page, Table, Tone};
use crate::environment::Change;
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::memory::Excess;
use crate::models::{self, RunModels};
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::prepare::{Prepared, Share, prepare};
use crate::reproduction::Repetition;
use crate::reuse::ReuseChoice;
use crate::wiring::Compute;
use crate::{environment, plans, stores, wiring};

/// How far a run is made again.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    /// The last step, from 0; the last one that is recorded without it.
    pub to: Option<u64>,
    /// Its stage; the last one that has the step without it.
    pub stage: Option<String>,
}

/// Makes a run again.
///
/// # Errors
/// When something that it was made from is gone or changed, or it fails; a difference is none.
pub fn reproduce(
    global: &Global,
    run: &str,
    compute: &Compute,
    (extent, excess): (&Extent, Excess),
    json: bool,
) -> Result<i32, Failure> {
    let device = wiring::device(compute)?;
    let store = stores::existing(global.store())?;
    let of = store.run(run)?;
    let until = last_fact(&store, &of, extent)?;
    let plan = plans::plan_of(&store, &of.name)?;
    let card = store.run_card(&of.name)?;
    let now = environment::current(&compute.device, compute.threads);
    let changes = environment::changes(&card.environment, &now);
    say_changes(&of.name, &changes);

    let world = World::with_workers(compute.threads)?;
    let excess = if device.is_cpu() { excess } else { Excess::Elsewhere };
    let share = Share::alone(compute.threads);
    let mut prepared = prepare(&plan, &world, Some(&store), share, excess)?;
    let Prepared { problems, plugins, notices, .. } = &mut prepared;
    let datasets = wiring::datasets(&plan, problems);
    if let Some(other) = datasets.iter().find(|now| {
        let same = |was: &&r1x_store::DatasetInput| was.id == now.id && was.split == now.split;
        card.datasets.iter().find(same).is_some_and(|was| was.sha256 != now.sha256)
    }) {
        return Err(Failure::new(
            code::INPUT,
            format!(
                "the problems of `{}` are not those that run {} was made from",
                other.id, of.name
            ),
            "use the version of r1x that made them (`r1x show` names it)",
        ));
    }
    notices.extend(stand_ins(&plan));
    notices.iter().for_each(Notice::say);
    models::check_further(&plan)?;
    let models = RunModels::new(&plan, compute, &device)?;
    let spec = store.spec(&of.name)?;
    let start = RunStart {
        name: plan.name.clone(),
        seed: plan.seed,
        spec_path: spec.path,
        spec_text: spec.text,
        overrides: spec.overrides,
        plan_json: spec.plan_json,
        plan_sha256: of.plan_sha256.clone(),
        environment: now,
        datasets,
        plugins: std::mem::take(plugins),
        parent: Some((of.run_id, Relation::Reproduce)),
        member: None,
        folder: spec.folder.or_else(plans::folder),
    };
    let repeats = Some(Repetition::new(&store, &plan, of, (until, changes)));
    let place = (compute, &device);
    let (plan, store, reuse) = (&plan, &store, ReuseChoice::Refused);
    Beginning { plan, prepared, models, place, store, repeats, reuse }.begin(start, json)
}

/// The last fact that is compared.
fn last_fact(store: &Store, of: &RunSummary, extent: &Extent) -> Result<LastFact, Failure> {
    if of.status == "running" {
        return Err(Failure::new(
            code::INPUT,
            format!("run {} is still running", of.name),
            "make it again once it has ended",
        ));
    }
    if let Some(step) = extent.to {
        let card = store.step(&of.name, extent.stage.as_deref(), step)?;
        let stage = usize::try_from(card.stage_index).unwrap_or_default();
        return Ok(LastFact::Step(StagePoint { stage, step }));
    }
    store.recorded_steps(&of.name)?.last().ok_or_else(|| {
        Failure::new(
            code::INPUT,
            format!("run {} has recorded no step that could be compared", of.name),
            "`r1x run` begins it anew from its spec",
        )
    })
}

/// Rewards whose files are gone or changed, which come from the store instead.
fn stand_ins(plan: &RunPlan) -> Vec<Notice> {
    let planned = plan.rewards.iter().filter_map(|reward| Some((&reward.id, reward.plugin()?)));
    let mut notices = Vec::new();
    for (reward, plugin) in planned {
        let what = match r1x_files::read(Path::new(&plugin.path), r1x_files::AMPLE) {
            Ok(bytes) if r1x_core::digest::sha256(&bytes) == plugin.sha256 => continue,
            Ok(_) => "has changed since the run",
            Err(_) => "is gone or cannot be read",
        };
        notices.push(Notice::new(
            format!("reward `{reward}`: {} {what}", plugin.path),
            "the component that the run used is in the store, and is what is asked",
        ));
    }
    notices
}

/// Says what of the environment is not as it was, before anything is computed in it.
pub fn say_changes(of: &str, changes: &[Change]) {
    let mut page = Page::default();
    if changes.is_empty() {
        page.line(format!("the environment is that of {of}"));
    } else {
        page.line(Line::of(Tone::Warn, format!("the environment is not that of {of}:")));
        let row = |change: &Change| {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            vec![change.name.to_owned(), value(&change.was), value(&change.is)]
        };
        let rows: Vec<Vec<String>> = changes.iter().map(row).collect();
        page.table(Table::of(&["environment", "then", "now"], &rows).whole(&["environment"]));
        page.line(
            "bits depend on r1x, its compiler, the device, its kernels and the system's libraries, not on threads",
        );
    }
    output::page(Stream::Err, &page);
}

/// What an earlier run is compared with that is made again by `run`, when that goes on.
///
/// # Errors
/// When the store cannot be read.
pub fn going_on<'a>(
    store: &'a Store,
    plan: &'a RunPlan,
    run: &RunSummary,
    (compute, point): (&Compute, StagePoint),
) -> Result<Option<Repetition<'a>>, Failure> {
    let Some(of) = run.parent.as_deref().filter(|_| run.relation.as_deref() == Some("reproduce"))
    else {
        return Ok(None);
    };
    let of = store.run(of)?;
    let until = last_fact(store, &of, &Extent::default())?;
    let card = store.run_card(&of.name).map_err(PortError::from)?;
    let now = environment::current(&compute.device, compute.threads);
    let changes = environment::changes(&card.environment, &now);
    say_changes(&of.name, &changes);
    let repetition = Repetition::new(store, plan, of, (until, changes));
    repetition.catch_up(run, point)?;
    Ok(Some(repetition))
}
