//! What `r1x plan` says of a spec that stands for several runs: which they are, and what all of them cost.

use r1x_core::plan::RunPlan;
use r1x_spec::{Estimate, Sweep, estimate};

use super::{data_sizes, speed};
use crate::command::compare::shown;
use crate::display::{Fields, Page, Table};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::speed::{Seconds, all_cores};
use crate::{plans, table};

/// What one of the runs costs.
struct Cost {
    plan_sha256: String,
    estimate: Estimate,
    seconds: Seconds,
}

/// Prints the combinations and the cost of each and of all.
pub(super) fn sweep(all: &Sweep, json: bool) -> Result<(), Failure> {
    let speed = speed()?;
    let cost = |plan: &RunPlan| -> Result<Cost, Failure> {
        let estimate = estimate(plan, &data_sizes(plan), all_cores());
        let seconds = speed.seconds(&estimate, plan.model.precision);
        Ok(Cost { plan_sha256: plans::plan_json(plan)?.1, estimate, seconds })
    };
    let costs: Vec<Cost> = all
        .combinations
        .iter()
        .map(|combination| cost(&combination.resolved.plan))
        .collect::<Result<_, Failure>>()?;
    if json {
        output::json(&object(all, &costs).to_string());
        return Ok(());
    }
    let mut header: Vec<&str> = vec!["run"];
    header.extend(all.axes.iter().map(|axis| axis.path.as_str()));
    header.extend(["time", "time ≤", "memory ≤", "plan"]);
    let row = |(at, cost): (usize, &Cost)| {
        let mut row = vec![(at + 1).to_string()];
        row.extend(all.combinations[at].values.iter().map(|(_, value)| shown(Some(value))));
        row.extend([
            table::seconds(cost.seconds.likely),
            table::seconds(cost.seconds.most),
            table::bytes(cost.estimate.memory_bytes),
            cost.plan_sha256.chars().take(12).collect(),
        ]);
        row
    };
    let rows: Vec<Vec<String>> = costs.iter().enumerate().map(row).collect();
    let mut page = Page::default();
    page.table(Table::of(&header, &rows).whole(&["plan"])).blank();
    page.fields(sums(&costs, speed.threads()));
    page.line("one of them in full: `--set sweep=null`, and a `--set` for each of its values");
    output::page(Stream::Out, &page);
    Ok(())
}

fn sums(costs: &[Cost], threads: usize) -> Fields {
    let likely = costs.iter().map(|cost| cost.seconds.likely).sum();
    let most = costs.iter().map(|cost| cost.seconds.most).sum();
    let sum = |bytes: fn(&Estimate) -> u64| {
        table::bytes(costs.iter().map(|cost| bytes(&cost.estimate)).sum())
    };
    let mut fields = Fields::default();
    fields
        .add("runs", costs.len().to_string())
        .add(
            "time",
            format!(
                "about {}, at most {}, one after the other on {threads} threads",
                table::seconds(likely),
                table::seconds(most)
            ),
        )
        .add("store", format!("up to {}", sum(|estimate| estimate.store_bytes)))
        .add("checkpoints", sum(|estimate| estimate.checkpoint_bytes));
    fields
}

fn object(all: &Sweep, costs: &[Cost]) -> serde_json::Value {
    let run = |(combination, cost): (&r1x_spec::Combination, &Cost)| {
        let values: serde_json::Map<String, serde_json::Value> =
            combination.values.iter().cloned().collect();
        serde_json::json!({
            "values": values,
            "plan": combination.resolved.plan,
            "plan_sha256": cost.plan_sha256,
            "estimate": cost.estimate,
            "seconds": cost.seconds,
        })
    };
    let runs: Vec<serde_json::Value> = all.combinations.iter().zip(costs).map(run).collect();
    serde_json::json!({ "sweep": all.axes, "runs": runs })
}
