//! `r1x plugin check`: do a spec and its plugins fit together?
//!
//! Each reward judges rows of the data it will meet, as it does before a run. Must not generate anything.

use std::path::Path;

use r1x_build::{Limits, Source};
use r1x_core::PortError;
use r1x_core::plan::{LimitsPlan, PluginPlan};
use r1x_model::ModelEncoder;
use r1x_train::{Rehearsal, rehearse};

use crate::display::{Line, Page, Table, Tone};
use crate::failure::{Failure, code};
use crate::inputs::World;
use crate::notice::Notice;
use crate::output::{self, Stream};
use crate::plans::SpecSource;
use crate::{plans, table, wiring};

/// Resolves the spec, which checks columns and configurations, compares limits, and lets rewards judge.
///
/// # Errors
/// When anything does not fit.
pub fn check(spec: &SpecSource) -> Result<i32, Failure> {
    let world = World::with_workers(1)?;
    let resolved = plans::resolved(spec, &world)?;
    let mut rows = Vec::new();
    let mut complaints = Vec::new();
    for reward in &resolved.plan.rewards {
        let Some(planned) = reward.plugin() else { continue };
        let Some(plugin) = world.loaded(&planned.sha256) else { continue };
        let info = plugin.info();
        let list =
            |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
        rows.push(vec![
            reward.id.clone(),
            format!("{} {}", info.name, info.version),
            planned.sha256.chars().take(12).collect(),
            list(&info.columns),
            grants(planned),
            limits(&planned.limits),
        ]);
        complaints
            .extend(above_ceiling((&reward.id, planned), world.source(&planned.sha256).as_ref()));
    }
    let header = ["reward", "plugin", "sha256", "columns", "grant", "limits"];
    let mut page = Page::default();
    page.table(Table::of(&header, &rows).whole(&["reward", "sha256"]));
    if complaints.is_empty() {
        let encoder = ModelEncoder::new(&resolved.plan.model).map_err(PortError::from)?;
        let problems = world.problems(&resolved.plan, encoder.markup()).map_err(PortError::from)?;
        let (mut rewarder, _) = wiring::rewarder(&resolved.plan, &world, None)?;
        let Rehearsal { errors, tolerated } = rehearse(&resolved.plan, &problems, &mut rewarder);
        tolerated.iter().for_each(|failures| Notice::from(failures).say());
        if !errors.is_empty() {
            return Err(Failure::all(errors.into_iter().map(Failure::from)));
        }
        let said = format!("  {}  {} rewards", spec.path.display(), rows.len());
        page.blank().line(Line::of(Tone::Good, "ok").and(Tone::Plain, said));
    }
    output::page(Stream::Out, &page);
    if complaints.is_empty() {
        return Ok(0);
    }
    Err(Failure::new(
        code::SPEC,
        complaints.join("\n"),
        "lower the spec's limits: those of a plugin.toml are what its author stands for",
    ))
}

fn grants(planned: &PluginPlan) -> String {
    let words: Vec<&str> = planned.grant.iter().map(|one| one.as_str()).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

fn limits(limits: &LimitsPlan) -> String {
    let fuel =
        limits.fuel.map_or_else(String::new, |fuel| format!(", fuel {}", table::count(fuel)));
    format!(
        "{} + {} ms a rollout, {}{fuel}",
        table::seconds(limits.time_ms as f64 / 1e3),
        limits.time_per_rollout_ms,
        table::bytes(limits.memory_bytes)
    )
}

/// Limits of the spec above those of the plugin's manifest.
fn above_ceiling((reward, planned): (&str, &PluginPlan), source: Option<&Source>) -> Vec<String> {
    let Some(source) = source else { return Vec::new() };
    let Limits { time_ms, time_per_rollout_ms, memory_bytes, fuel } = source.manifest.limits;
    let asked = &planned.limits;
    let path = source.manifest_path.as_deref().unwrap_or(Path::new("plugin.toml"));
    [
        ("time_ms", time_ms, Some(asked.time_ms)),
        ("time_per_rollout_ms", time_per_rollout_ms, Some(asked.time_per_rollout_ms)),
        ("memory_bytes", memory_bytes, Some(asked.memory_bytes)),
        // A spec without a limit asks for any amount.
        ("fuel", fuel, asked.fuel.or(Some(u64::MAX))),
    ]
    .into_iter()
    .filter_map(|(name, own, asked)| {
        let (own, asked) = (own?, asked?);
        let asked_text = if asked == u64::MAX { "no limit".to_owned() } else { asked.to_string() };
        (asked > own).then(|| {
            format!(
                "reward `{reward}`: limits.{name} is {asked_text}, and {} allows {own}",
                path.display()
            )
        })
    })
    .collect()
}
