//! `r1x plan`: what would run, where every value came from, and what it would cost.
//!
//! Must not run anything.

use r1x_core::plan::RunPlan;
use r1x_spec::{Estimate, Resolved, estimate};

use crate::cli::{Global, SpecArgs};
use crate::command::divisor::divisors;
use crate::failure::Failure;
use crate::{session, table};

/// Operations per second that the time estimate assumes of one core; a rough middle of today's machines.
const CORE_FLOPS: f64 = 2.0e10;

/// Prints the plan.
///
/// # Errors
/// When the spec is wrong.
pub fn plan(global: &Global, spec: &SpecArgs, json: bool) -> Result<i32, Failure> {
    let world = session::world(1)?;
    let resolved = session::resolved(global, spec, &world)?;
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
        println!("{object}");
        return Ok(0);
    }
    print!("{}", settings(&resolved));
    print!("\n{}", costs(&resolved, &estimate));
    print!("{}", divisors(&resolved.plan));
    println!("plan {hash}");
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

fn settings(resolved: &Resolved) -> String {
    let rows: Vec<Vec<String>> = resolved
        .settings
        .iter()
        .map(|setting| {
            let value = setting.value.to_string();
            let shown: String = value.chars().take(60).collect();
            let cut = if shown.len() < value.len() { "…" } else { "" };
            vec![setting.path.clone(), format!("{shown}{cut}"), setting.origin.to_string()]
        })
        .collect();
    table::render(&["setting", "value", "from"], &rows)
}

fn costs(resolved: &Resolved, estimate: &Estimate) -> String {
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
    format!(
        "{}\nparameters  {} total, {} active per token ({} tokens in the vocabulary)\n\
         time        about {} at most on {cores} cores (assuming {:.0} GFLOP/s each)\n\
         memory      about {}\nstore       up to {}\ncheckpoints {}\n",
        table::render(&header, &rows),
        table::count(estimate.parameters.total),
        table::count(estimate.parameters.active),
        resolved.vocabulary_size,
        table::seconds(seconds),
        CORE_FLOPS / 1e9,
        table::bytes(estimate.memory_bytes),
        table::bytes(estimate.store_bytes),
        table::bytes(estimate.checkpoint_bytes),
    )
}
