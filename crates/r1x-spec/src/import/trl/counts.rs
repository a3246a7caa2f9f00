//! Batches, steps, checkpoints and evaluations: what TRL counts in sequences of a device and in optimizer updates.

use super::rows::ACCELERATE;
use crate::codes;
use crate::import::common::{self, Partial, Passes};
use crate::import::draft;
use crate::import::filling::Filling;
use crate::import::row::Method;

const SEQUENCES: &str = "per_device_train_batch_size";
const ACCUMULATED: &str = "gradient_accumulation_steps";
const GENERATED: &str = "generation_batch_size";
const PROCESSES: &str = "num_processes";

/// How many devices sequences are counted for, and the key of the recipe that says so, where one does.
#[derive(Clone, Copy)]
struct Devices {
    count: u64,
    key: Option<&'static str>,
}

/// How a step of r1x is made of what TRL counts.
struct Step {
    /// Problems of a step.
    problems: u64,
    /// Optimizer updates of a step.
    updates: u64,
    /// Sequences of an update.
    sequences: u64,
}

/// Writes batches, steps and what depends on them.
pub(super) fn write(filling: &mut Filling<'_>) {
    let (Some(each), Some(accumulated)) = (filling.count(SEQUENCES), filling.count(ACCUMULATED))
    else {
        return;
    };
    let devices = devices(filling);
    let step = match filling.method {
        Method::Sft => Some(of_examples(filling, each * accumulated, devices)),
        Method::Grpo => of_rollouts(filling, (each, accumulated), devices),
    };
    let Some(step) = step else { return };
    let micro = each.min(step.sequences);
    filling.set("STAGE.micro_batch_size", &micro.to_string(), &[SEQUENCES]);
    let steps = write_steps(filling, &step);
    let (key, warmup) = super::warmup(filling, step.updates);
    common::write_warmup(filling, (common::WARMUP, key), warmup, steps);
    common::tell_warmup(filling, (key, warmup), "`transformers`");
    write_lowest_rate(filling);
    write_refresh(filling, step.updates);
    write_checkpoints(filling, steps, step.updates);
    write_evaluations(filling, step.updates);
}

/// Devices that sequences are counted for.
fn devices(filling: &mut Filling<'_>) -> Devices {
    if filling.value(ACCELERATE).is_some() {
        filling.tell_difference(ACCELERATE, super::note(ACCELERATE));
    }
    if let Some(count) = filling.beside.devices {
        let what = counted(count, "device");
        filling.assume(format!("the recipe runs on {what} (`--devices`)"));
        if filling.value(PROCESSES).is_some() {
            filling.tell_difference(PROCESSES, "`--devices` counts in its place");
        }
        return Devices { count: count.max(1), key: None };
    }
    if let Some(count) = filling.count(PROCESSES) {
        let what = counted(count, "device");
        filling.assume(format!("the recipe runs on {what} (`num_processes`)"));
        return Devices { count, key: Some(PROCESSES) };
    }
    filling.assume("the recipe runs on one device; `--devices N` says another number, which multiplies its batches");
    Devices { count: 1, key: None }
}

fn of_examples(filling: &mut Filling<'_>, of_a_device: u64, devices: Devices) -> Step {
    let update = of_a_device * devices.count;
    let keys: Vec<&str> = [SEQUENCES, ACCUMULATED].into_iter().chain(devices.key).collect();
    filling.set("STAGE.batch_size", &update.to_string(), &keys);
    Step { problems: update, updates: 1, sequences: update }
}

/// A number with the word for what there are so many of.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Completions of a batch of rollouts, and the key that says so.
struct Batch {
    completions: u64,
    key: &'static str,
}

/// The error that completions are no whole number of groups, with the devices that would make them so.
fn refuse_batch(filling: &mut Filling<'_>, batch: &Batch, group: u64, devices: Devices) {
    let completions = batch.completions;
    let message = format!(
        "a batch of {completions} completions is no multiple of the {group} completions of a prompt"
    );
    let help = match batch.key {
        GENERATED => format!("TRL refuses such a batch too: write a multiple of {group}"),
        _ => {
            let least = group / common_divisor(completions / devices.count, group);
            format!(
                "say on how many devices the recipe runs: `--devices {least}` is the smallest number that works (TRL \
                 refuses such a batch too)"
            )
        }
    };
    filling.error("num_generations", codes::COUNTS, message, help);
}

/// The greatest number that divides both.
fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one.max(1) } else { common_divisor(other, one % other) }
}

/// A batch of rollouts: how many prompts it has, and how many updates are made of it.
fn of_rollouts(
    filling: &mut Filling<'_>,
    (each, accumulated): (u64, u64),
    devices: Devices,
) -> Option<Step> {
    let group = filling.count("num_generations")?;
    let iterations = filling.count("num_iterations")?;
    let micro_step = each * devices.count;
    let update = micro_step * accumulated;
    let (completions, key) = if filling.value(GENERATED).is_some() {
        (filling.count(GENERATED)?, GENERATED)
    } else if filling.value("steps_per_generation").is_some() {
        (filling.count("steps_per_generation")? * micro_step, "steps_per_generation")
    } else {
        (update, ACCUMULATED)
    };
    if completions % group != 0 {
        refuse_batch(filling, &Batch { completions, key }, group, devices);
        return None;
    }
    let problems = completions / group;
    let updates = completions.div_ceil(update).max(1);
    // A batch of generation is of all devices already.
    let of_devices = devices.key.filter(|_| key != GENERATED);
    let keys: Vec<&str> =
        [SEQUENCES, key, "num_generations"].into_iter().chain(of_devices).collect();
    filling.set("STAGE.prompts_per_step", &problems.to_string(), &keys);
    filling.set("STAGE.group_size", &group.to_string(), &["num_generations"]);
    let keys: &[&str] = if key == ACCUMULATED { &[key] } else { &[key, ACCUMULATED] };
    let keys: Vec<&str> =
        keys.iter().copied().chain(devices.key.filter(|_| key == GENERATED)).collect();
    filling.set("STAGE.updates_per_epoch", &updates.to_string(), &keys);
    let are = if completions == 1 { "is" } else { "are" };
    let text = format!(
        "TRL counts completions of a device, r1x prompts of a step: {} {are} {} with {group} each",
        counted(completions, "completion"),
        counted(problems, "prompt"),
    );
    filling.tell_difference(SEQUENCES, &text);
    if completions % update != 0 {
        let text = format!(
            "{completions} completions are no whole number of updates of {update}; r1x splits them into {updates} equal ones"
        );
        filling.tell_difference(key, &text);
    }
    let sequences = completions.div_ceil(updates);
    Some(Step { problems, updates: updates * iterations, sequences })
}

/// Writes the steps, and returns their number where it is known.
fn write_steps(filling: &mut Filling<'_>, step: &Step) -> Option<u64> {
    let updates = filling.whole("max_steps").unwrap_or(-1);
    if let Some(updates) = u64::try_from(updates).ok().filter(|updates| *updates > 0) {
        let steps = updates.div_ceil(step.updates);
        filling.set("STAGE.steps", &steps.to_string(), &["max_steps"]);
        if step.updates > 1 {
            let text = format!(
                "TRL counts optimizer updates, r1x batches of rollouts, of which {} updates are made",
                step.updates
            );
            filling.tell_difference("max_steps", &text);
        }
        return Some(steps);
    }
    let (batch_path, partial) = match filling.method {
        Method::Sft => ("batch_size", Partial::Step),
        Method::Grpo => ("prompts_per_step", Partial::Dropped),
    };
    let passes = Passes { key: "num_train_epochs", batch: step.problems, batch_path, partial };
    common::write_passes(filling, &passes)
}

/// What the rate ends at, where a schedule says it.
fn write_lowest_rate(filling: &mut Filling<'_>) {
    const RATIO: &str = "lr_scheduler_kwargs.min_lr_rate";
    const RATE: &str = "lr_scheduler_kwargs.min_lr";
    let written = filling.written("STAGE.schedule.kind");
    if written.is_none_or(|kind| kind == "constant") {
        return;
    }
    if let Some(ratio) = filling.number(RATIO) {
        filling.set("STAGE.schedule.final_ratio", &draft::number(ratio), &[RATIO]);
    } else if let (Some(least), Some(rate)) =
        (filling.number(RATE), filling.number("learning_rate"))
    {
        let ratio = draft::number(least / rate);
        filling.set("STAGE.schedule.final_ratio", &ratio, &[RATE, "learning_rate"]);
    }
}

/// When the policy becomes the reference, where TRL would not mix the two.
fn write_refresh(filling: &mut Filling<'_>, updates: u64) {
    let has_reference = filling.method == Method::Grpo
        && filling.number("beta").is_some_and(|beta| beta != 0.0)
        && filling.flag("sync_ref_model").unwrap_or_default();
    if !has_reference {
        return;
    }
    if let Some(every) = filling.count("ref_model_sync_steps") {
        let steps = (every / updates.max(1)).max(1);
        let keys = ["sync_ref_model", "ref_model_sync_steps"];
        filling.set("STAGE.kl.refresh_every", &steps.to_string(), &keys);
        let mix = filling.number("ref_model_mixup_alpha").unwrap_or(1.0);
        filling.set("STAGE.kl.refresh_mix", &draft::number(mix), &["ref_model_mixup_alpha"]);
    }
}

fn write_checkpoints(filling: &mut Filling<'_>, steps: Option<u64>, updates: u64) {
    let strategy = filling.text("save_strategy").unwrap_or_default();
    if strategy == "steps" {
        let every = filling.number("save_steps").filter(|every| *every > 0.0);
        // Below 1 it is a share of all updates.
        let every = match (every, steps) {
            (Some(every), _) if every >= 1.0 => Some((every as u64 / updates.max(1)).max(1)),
            (Some(share), Some(steps)) => Some(((share * steps as f64).ceil() as u64).max(1)),
            _ => None,
        };
        if let Some(every) = every {
            filling.set("checkpoints.every", &every.to_string(), &["save_steps"]);
        } else if let Some(share) = filling.number("save_steps").filter(|share| *share > 0.0) {
            let text = format!(
                "a checkpoint is kept after each {} of the steps, which are not known yet; until then at the end alone",
                draft::number(share)
            );
            filling.fill_in("checkpoints.every", &["save_steps"], text);
        }
    } else if strategy == "epoch" {
        let text = "r1x saves after a number of steps (`checkpoints.every`), and always at the end of a stage";
        filling.tell_difference("save_strategy", text);
    }
    if let Some(keep) = filling.count("save_total_limit") {
        filling.set("checkpoints.keep", &keep.to_string(), &["save_total_limit"]);
    }
}

/// When the suite that the data brought along runs.
fn write_evaluations(filling: &mut Filling<'_>, updates: u64) {
    if filling.written("evals.heldout.data").is_none() {
        return;
    }
    let every = filling.number("eval_steps").filter(|every| *every >= 1.0);
    if let Some(every) = every {
        let steps = (every as u64 / updates.max(1)).max(1);
        filling.set("evals.heldout.when.every", &steps.to_string(), &["eval_steps"]);
    }
}
