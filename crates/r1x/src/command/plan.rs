//! `r1x plan`: what would run, where every value came from, and what it would cost.
//!
//! Must not run anything.

use r1x_core::plan::RunPlan;
use r1x_spec::{Estimate, Resolved, estimate};

use crate::cli::SpecArgs;
use crate::command::divisor::divisors;
use crate::display::{Fields, Page, Table};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::{session, table};

/// Operations per second that the time estimate assumes of one core; a rough middle of today's machines.
const CORE_FLOPS: f64 = 2.0e10;

/// Prints the plan.
///
/// # Errors
/// When the spec is wrong.
pub fn plan(spec: &SpecArgs, json: bool) -> Result<i32, Failure> {
    let world = session::world(1)?;
    let resolved = session::resolved(spec, &world)?;
    let estimate =
        estimate(&resolved.plan, resolved.vocabulary_size, prompt_tokens(&resolved.plan));
    let (_, hash) = session::plan_json(&resolved.plan)?;
    if json {
        let object = serde_json::json!({
            "plan": resolved.plan,
            "plan_sha256": hash,
            "settings": resolved.settings,
            "vocabulary_size": resolved.vocabulary_size,
            "estimate": estimate,
        });
        output::json(&object.to_string());
        return Ok(0);
    }
    let mut page = Page::default();
    page.table(settings(&resolved)).blank();
    costs(&mut page, &resolved, &estimate);
    page.line(format!("plan {hash}"));
    output::page(Stream::Out, &page);
    Ok(0)
}

/// The longest prompt among the first problems of the plan's data, in tokens, where it is known.
fn prompt_tokens(plan: &RunPlan) -> Option<u64> {
    let problems = r1x_tasks::Problems::load(plan).ok()?;
    let tokenizer = r1x_model::Tokenizer::new(&plan.model.tokenizer).ok()?;
    let longest = problems
        .sets()
        .flat_map(|(_, set)| set.train.iter().take(100))
        .filter_map(|problem| tokenizer.encode(&problem.prompt).ok())
        .map(|tokens| tokens.len() as u64);
    longest.max()
}

fn settings(resolved: &Resolved) -> Table {
    let rows: Vec<Vec<String>> = resolved
        .settings
        .iter()
        .map(|setting| {
            vec![setting.path.clone(), setting.value.to_string(), setting.origin.to_string()]
        })
        .collect();
    Table::of(&["setting", "value", "from"], &rows).whole(&["setting"])
}

fn costs(page: &mut Page, resolved: &Resolved, estimate: &Estimate) {
    let rows: Vec<Vec<String>> = estimate
        .stages
        .iter()
        .map(|stage| {
            vec![
                stage.id.clone(),
                stage.kind.to_owned(),
                table::count(stage.updates),
                table::count(stage.completions),
                table::count(stage.generated_tokens),
                table::count(stage.trained_tokens),
            ]
        })
        .collect();
    let header =
        ["stage", "kind", "updates", "completions", "tokens sampled ≤", "tokens trained ≤"];
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let seconds = estimate.flops / (CORE_FLOPS * cores as f64);
    let mut fields = Fields::default();
    fields
        .add(
            "parameters",
            format!(
                "{} total, {} active per token ({} tokens in the vocabulary)",
                table::count(estimate.parameters.total),
                table::count(estimate.parameters.active),
                resolved.vocabulary_size,
            ),
        )
        .add(
            "time",
            format!(
                "about {} at most on {cores} cores (assuming {:.0} GFLOP/s each)",
                table::seconds(seconds),
                CORE_FLOPS / 1e9
            ),
        )
        .add("memory", format!("about {}", table::bytes(estimate.memory_bytes)))
        .add("store", format!("up to {}", table::bytes(estimate.store_bytes)))
        .add("checkpoints", table::bytes(estimate.checkpoint_bytes));
    divisors(&mut fields, &resolved.plan);
    page.table(Table::of(&header, &rows).whole(&["stage"])).blank().fields(fields);
}
