//! What `r1x plan` says of a model: what it consists of, what it takes, and how many devices hold it.

use std::collections::BTreeMap;

use r1x_core::plan::{LoraPlan, ModelPlan, MtpPlan, Precision};
use r1x_spec::{Devices, ModelCost, Parameters, ResolvedShape, parameters};

use super::settings;
use crate::command::model::inspect::{attention, feed_forward, positions};
use crate::display::{Fields, Page};
use crate::number::number;
use crate::output::{self, Stream};
use crate::table;

/// Prints the shape of a model that nothing is to be done with.
pub(super) fn shape(shape: &ResolvedShape, json: bool, device_memory_bytes: Option<u64>) {
    let parameters = parameters(&shape.model);
    let cost = ModelCost::new(&shape.model, &parameters);
    let devices = device_memory_bytes.map(|bytes| cost.devices(bytes));
    if json {
        let object = serde_json::json!({
            "name": shape.name,
            "model": shape.model,
            "settings": shape.settings,
            "parameters": parameters,
            "model_cost": cost,
            "devices": devices,
        });
        output::json(&object.to_string());
        return;
    }
    let mut page = Page::default();
    page.table(settings(&shape.settings)).blank();
    page.fields(fields(&shape.model, &parameters, &cost, devices)).blank();
    page.line("a shape: a spec with data and stages that `extends` it can run");
    output::page(Stream::Out, &page);
}

/// Adds the further models of a run.
pub(super) fn add_further(fields: &mut Fields, models: &BTreeMap<String, ModelPlan>) {
    for (name, model) in models {
        let Parameters { total, active, .. } = parameters(model);
        let (total, active) = (table::count(total), table::count(active));
        fields.add("model", format!("{name}: {total} parameters, {active} active per token"));
    }
}

/// What a model is and takes.
pub(super) fn fields(
    model: &ModelPlan,
    parameters: &Parameters,
    cost: &ModelCost,
    devices: Option<Devices>,
) -> Fields {
    let context = table::count(cost.context_length);
    let untrained = match parameters.untrained {
        0 => String::new(),
        count => format!(", {} that no gradient trains", table::count(count)),
    };
    let mut fields = Fields::default();
    fields
        .add(
            "parameters",
            format!(
                "{} total, {} active per token{untrained} ({} rows in the vocabulary)",
                table::count(parameters.total),
                table::count(parameters.active),
                table::count(model.vocabulary_size as u64),
            ),
        )
        .add("layers", format!("{} of width {}", model.layers, model.hidden_size));
    if let Some(lora) = &model.lora {
        fields.add("adapters", adapters(lora, parameters.adapters));
    }
    fields
        .add("attention", attention(&model.attention))
        .add("feed-forward", feed_forward(&model.feed_forward))
        .add("positions", format!("{}, up to {context} tokens", positions(model)));
    if let Some(MtpPlan { depth, weight }) = &model.mtp {
        let modules = if *depth == 1 { "module" } else { "modules" };
        let weight = number(*weight);
        fields
            .add("multi-token", format!("{depth} {modules} behind the layers, of weight {weight}"));
    }
    takes(&mut fields, model.precision, cost);
    if let Some(devices) = devices {
        let bytes = table::bytes;
        fields.add(
            "devices",
            format!(
                "at least {} of {} to sample ({}), {} to train ({}), with one sequence of {context} tokens",
                table::count(devices.sampling),
                bytes(devices.memory_bytes),
                bytes(cost.sampling_bytes()),
                table::count(devices.training),
                bytes(cost.training_bytes()),
            ),
        );
    }
    fields
}

/// What is trained in place of the weights.
fn adapters(lora: &LoraPlan, count: u64) -> String {
    let targets: Vec<&str> = lora.targets.iter().map(|target| target.name()).collect();
    format!(
        "{} trained in place of the others: rank {}, factor {} ({})",
        table::count(count),
        lora.rank,
        lora.factor(),
        targets.join(", ")
    )
}

/// Bytes and operations.
fn takes(fields: &mut Fields, precision: Precision, cost: &ModelCost) {
    let bytes = table::bytes;
    let context = table::count(cost.context_length);
    let precision = match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    };
    fields
        .add(
            "cache",
            format!(
                "{} a token in {precision}, {} for {context} tokens",
                bytes(cost.cache_token_bytes),
                bytes(cost.cache_context_bytes)
            ),
        )
        .add(
            "forward",
            format!(
                "{} a token, {} for the last of {context}",
                operations(cost.token_flops),
                operations(cost.last_token_flops)
            ),
        )
        .add(
            "weights",
            format!(
                "{} in {precision}, {} in f32 to train",
                bytes(cost.factor_bytes),
                bytes(cost.master_bytes)
            ),
        )
        .add("gradients", bytes(cost.gradient_bytes))
        .add("moments", bytes(cost.moment_bytes))
        .add(
            "activations",
            format!(
                "{} a token of training, {} where layers are computed again; {} for {context} tokens",
                bytes(cost.activation_token_bytes),
                bytes(cost.recomputed_token_bytes),
                bytes(cost.activation_context_bytes)
            ),
        );
}

/// Floating-point operations with a unit.
fn operations(count: f64) -> String {
    let units = ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"];
    let (mut value, mut unit) = (count, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::operations;

    #[test]
    fn operations_have_units_of_thousands() {
        assert_eq!(operations(1.0), "1.0 FLOP");
        assert_eq!(operations(1_580_000.0), "1.6 MFLOP");
        assert_eq!(operations(7.3e10), "73.0 GFLOP");
        assert_eq!(operations(2e19), "20000.0 PFLOP");
    }
}
