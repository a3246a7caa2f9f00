//! Recipes of verl's `main_ppo`: a YAML file, or the `key=value` of a script that starts it.
//!
//! Batches are prompts of all devices, as in r1x. What is right is decided by where a row of data comes from.

mod critic;
mod data;
mod rows;

use super::common::{self, Partial, Passes, Warmup};
use super::draft;
use super::filling::Filling;
use super::row::{Method, Table};
use crate::codes;

pub(super) use data::REWARDS;

pub(super) const TABLE: Table = Table {
    version: "verl of January 2026",
    parts: &[rows::ACTOR, rows::ROLLOUT, critic::ROWS, rows::REST],
    defaults: &[],
};

/// What every recipe of verl trains by.
pub(super) const METHOD: Method = rows::METHOD;

const ESTIMATOR: &str = "algorithm.adv_estimator";
/// The word for advantages that are estimated with a critic.
const CRITIC: &str = "gae";
const KIND: &str = "STAGE.advantage.kind";
const BATCH: &str = "data.train_batch_size";
/// The prompts that the loader draws at a time.
const DRAWN: &str = "data.gen_batch_size";
const MINI: &str = "actor_rollout_ref.actor.ppo_mini_batch_size";
const GROUP: &str = "actor_rollout_ref.rollout.n";

/// Fills a spec from a recipe of verl.
pub(super) fn fill(filling: &mut Filling<'_>, file: &str) {
    filling.follow_rows();
    if filling.beside.devices.is_some() {
        filling.assume(
            "batches of verl are those of all devices, so that `--devices` changes nothing",
        );
    }
    common::write_name(filling, &["trainer.experiment_name"], file);
    write_seed(filling);
    common::write_model(filling, "actor_rollout_ref.model.path");
    filling.set_aside("model.precision", "bf16", "verl computes in bf16");
    write_lengths(filling);
    write_adapters(filling);
    tell_images(filling, file);
    let rewards = data::write_rewards(filling);
    let id = data::write_data(filling, &rewards);
    write_batches(filling);
    write_advantage(filling);
    write_sampling(filling);
    write_clip(filling);
    write_penalty(filling);
    write_resampling(filling);
    let steps = write_steps(filling);
    write_warmup(filling, steps);
    if filling.text(ESTIMATOR).is_some_and(|word| word == CRITIC) {
        critic::write(filling, steps);
    }
    write_optimizer(filling);
    data::write_suite(filling, &id, &rewards);
    write_checkpoints(filling);
}

fn write_seed(filling: &mut Filling<'_>) {
    match filling.whole("data.seed") {
        Some(seed) => filling.set("seed", &seed.max(0).to_string(), &["data.seed"]),
        None => filling.set_aside("seed", "1", "verl draws another one in every run"),
    }
}

fn write_lengths(filling: &mut Filling<'_>) {
    const PROMPT: &str = "data.max_prompt_length";
    const COMPLETION: &str = "data.max_response_length";
    if let (Some(prompt), Some(completion)) = (filling.count(PROMPT), filling.count(COMPLETION)) {
        filling.set(
            "model.context_length",
            &(prompt + completion).to_string(),
            &[PROMPT, COMPLETION],
        );
        tell_note(filling, PROMPT);
    }
}

/// Says what the row of a key says.
fn tell_note(filling: &mut Filling<'_>, key: &str) {
    let note = TABLE.row(key, METHOD).map_or("", |row| row.note);
    filling.tell_difference(key, note);
}

/// Adapters, whose keys are others for Megatron.
fn write_adapters(filling: &mut Filling<'_>) {
    const KEYS: [[&str; 3]; 2] = [
        [
            "actor_rollout_ref.model.lora_rank",
            "actor_rollout_ref.model.lora_alpha",
            "actor_rollout_ref.model.target_modules",
        ],
        [
            "actor_rollout_ref.model.lora.rank",
            "actor_rollout_ref.model.lora.alpha",
            "actor_rollout_ref.model.lora.target_modules",
        ],
    ];
    let has_rank = |filling: &mut Filling<'_>, [rank, ..]: [&'static str; 3]| {
        filling.whole(rank).unwrap_or_default() > 0
    };
    if let Some([rank, alpha, targets]) = KEYS.into_iter().find(|keys| has_rank(filling, *keys)) {
        common::write_lora(filling, &[rank], alpha);
        common::write_targets(filling, targets);
    }
}

/// Says that pictures are lost, where the recipe has any: a script that names their column has, and so has a model that
/// sees. A file of the whole configuration names the column in every case.
fn tell_images(filling: &mut Filling<'_>, file: &str) {
    let model = filling.text("actor_rollout_ref.model.path").unwrap_or_default();
    let model = common::last_part(&model).to_ascii_lowercase();
    let sees = model.split(['-', '_', '.']).any(|part| part == "vl");
    let is_script = !file.ends_with(".yaml") && !file.ends_with(".yml");
    for (key, default) in [("data.image_key", "images"), ("data.video_key", "videos")] {
        let is_default = filling.text(key).is_some_and(|column| column == default);
        if filling.is_given(key) && is_default && (sees || is_script) {
            tell_missing(filling, key);
        }
    }
}

/// Says that r1x does not have a key, for the reason that its row says.
fn tell_missing(filling: &mut Filling<'_>, key: &str) {
    let note = TABLE.row(key, METHOD).map_or("", |row| row.note);
    filling.tell_unsupported(key, note);
}

fn write_batches(filling: &mut Filling<'_>) {
    let (Some(batch), Some(mini)) = (filling.count(BATCH), filling.count(MINI)) else { return };
    filling.set("STAGE.prompts_per_step", &batch.to_string(), &[BATCH]);
    let updates = (batch / mini).max(1);
    filling.set("STAGE.updates_per_epoch", &updates.to_string(), &[BATCH, MINI]);
    tell_note(filling, MINI);
    if mini <= batch && !batch.is_multiple_of(mini) {
        let text = format!(
            "{batch} prompts are no whole number of {mini}; r1x makes {updates} equal updates of them"
        );
        filling.tell_difference(MINI, &text);
    }
    if filling.value(DRAWN).is_some() {
        tell_note(filling, DRAWN);
    }
    let each = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu";
    let key = if filling.value(each).is_some() {
        each
    } else {
        "actor_rollout_ref.actor.ppo_micro_batch_size"
    };
    let group = filling.count(GROUP).unwrap_or(1);
    if let Some(micro) = filling.count(key) {
        let most = (batch * group).div_ceil(updates);
        filling.set("STAGE.micro_batch_size", &micro.min(most).to_string(), &[key]);
    }
}

/// How totals become advantages.
fn write_advantage(filling: &mut Filling<'_>) {
    let Some(word) = filling.text(ESTIMATOR) else { return };
    filling.follow_word(ESTIMATOR);
    if let Some(kind) = filling.written(KIND).filter(|_| word.starts_with("grpo")) {
        filling.set(KIND, &kind, &[ESTIMATOR, "algorithm.norm_adv_by_std_in_grpo"]);
    }
    filling.set_aside("STAGE.advantage.eps", "1e-6", "a constant of verl");
    filling.set_aside("STAGE.truncated", "keep", "verl learns from them");
    let group = filling.count(GROUP);
    if group == Some(1) && !["reinforce_plus_plus", CRITIC].contains(&word.as_str()) {
        let message = "a group of one completion has nothing to be compared with";
        let help = "write more completions of a prompt: `actor_rollout_ref.rollout.n=8`";
        filling.error(GROUP, codes::RECIPE, message.to_owned(), help.to_owned());
    }
}

fn write_sampling(filling: &mut Filling<'_>) {
    const TOP_K: &str = "actor_rollout_ref.rollout.top_k";
    if let Some(top_k) = filling.whole(TOP_K) {
        filling.set("STAGE.sampling.top_k", &top_k.max(0).to_string(), &[TOP_K]);
    }
}

/// The bounds of the ratio, which each kind of clipping has its own keys for.
fn write_clip(filling: &mut Filling<'_>) {
    let actor = |key: &'static str| -> &'static str {
        let rows = rows::ACTOR.iter().map(|row| row.key);
        rows.into_iter().find(|known| known.ends_with(key)).unwrap_or(key)
    };
    write_aggregation(filling);
    let kind = filling.written("STAGE.clip.kind").unwrap_or_default();
    if kind == "sigmoid" {
        for (path, key) in [
            ("STAGE.clip.tau_positive", actor(".tau_pos")),
            ("STAGE.clip.tau_negative", actor(".tau_neg")),
        ] {
            if let Some(value) = filling.number(key) {
                filling.set(path, &draft::number(value), &[key]);
            }
        }
        return;
    }
    let both = actor(".clip_ratio");
    for (path, own) in [
        ("STAGE.clip.low", actor(".clip_ratio_low")),
        ("STAGE.clip.high", actor(".clip_ratio_high")),
    ] {
        let key = if !filling.is_given(own) && filling.is_given(both) { both } else { own };
        let Some(value) = filling.number(key) else { continue };
        // The lower bound of a weight is 1 - `low`, and no weight is at or below 0.
        let written =
            if kind == "weight" && path.ends_with("low") { value.min(1.0) } else { value };
        filling.set(path, &draft::number(written), &[key]);
        if written < value {
            let text =
                "a lower bound at or below 0 never binds; 1 was written, which is such a bound";
            filling.tell_difference(key, text);
        }
    }
    let most = actor(".clip_ratio_c");
    if kind == "pessimistic"
        && filling.written("STAGE.ratio").as_deref() == Some("token")
        && let Some(value) = filling.number(most)
    {
        filling.set("STAGE.clip.max_ratio", &draft::number(value), &[most]);
    }
}

/// How the losses of tokens become one. Some losses of verl have a mean over sequences whatever its key says.
fn write_aggregation(filling: &mut Filling<'_>) {
    const MODE: &str = "actor_rollout_ref.actor.policy_loss.loss_mode";
    const KEY: &str = "actor_rollout_ref.actor.loss_agg_mode";
    let loss = filling.text(MODE).unwrap_or_default();
    if !["gspo", "sapo", "geo_mean"].contains(&loss.as_str()) {
        return filling.follow_word(KEY);
    }
    let written = filling.text(KEY).filter(|_| filling.is_given(KEY));
    match written.as_deref() {
        Some("seq-mean-token-mean") => {
            filling.set("STAGE.aggregation", "sequence_mean", &[MODE, KEY]);
        }
        None => filling.set("STAGE.aggregation", "sequence_mean", &[MODE]),
        Some(_) => {
            filling.set("STAGE.aggregation", "sequence_mean", &[MODE]);
            let text = format!(
                "verl ignores it for `{loss}`, whose loss is a mean over sequences, and so does the spec"
            );
            filling.tell_difference(KEY, &text);
        }
    }
}

fn write_penalty(filling: &mut Filling<'_>) {
    const USED: &str = "actor_rollout_ref.actor.use_kl_loss";
    const COEF: &str = "actor_rollout_ref.actor.kl_loss_coef";
    const IN_REWARD: &str = "algorithm.use_kl_in_reward";
    const COEF_IN_REWARD: &str = "algorithm.kl_ctrl.kl_coef";
    let used = filling.flag(USED).unwrap_or_default();
    if filling.flag(IN_REWARD).unwrap_or_default() {
        if used {
            let text = "r1x has one penalty in a stage; the one in the reward was written";
            filling.tell_unsupported(USED, text);
        }
        let coef = filling.number(COEF_IN_REWARD).unwrap_or_default();
        filling.set("STAGE.kl.coef", &draft::number(coef), &[IN_REWARD, COEF_IN_REWARD]);
        filling.set("STAGE.kl.in", "reward", &[IN_REWARD]);
        tell_note(filling, IN_REWARD);
        filling.follow_word("algorithm.kl_penalty");
        filling.follow_word("algorithm.kl_ctrl.type");
        return;
    }
    let coef = filling.number(COEF).unwrap_or_default();
    if !used || coef == 0.0 {
        filling.set("STAGE.kl.coef", "0", &[if used { COEF } else { USED }]);
        return;
    }
    filling.set("STAGE.kl.coef", &draft::number(coef), &[USED, COEF]);
    filling.follow_word("actor_rollout_ref.actor.kl_loss_type");
}

/// How many batches of problems a step may draw in place of groups without signal.
fn write_resampling(filling: &mut Filling<'_>) {
    const MOST: &str = "algorithm.filter_groups.max_num_gen_batches";
    const METRIC: &str = "algorithm.filter_groups.metric";
    // What r1x takes.
    const LEAST_BATCHES: u64 = 2;
    const MOST_BATCHES: u64 = 1000;
    if filling.written("STAGE.zero_signal").is_none_or(|word| word != "resample") {
        return;
    }
    if filling.value(METRIC).is_some() {
        tell_note(filling, METRIC);
    }
    let (Some(most), Some(batch)) = (filling.whole(MOST), filling.count(BATCH)) else { return };
    let drawn = drawn(filling).unwrap_or(batch);
    let Some(most) = u64::try_from(most).ok().filter(|most| *most > 0) else {
        filling.set("STAGE.max_batches", &MOST_BATCHES.to_string(), &[MOST]);
        let text = "verl has no limit then; the largest of r1x was written";
        return filling.tell_difference(MOST, text);
    };
    let wanted = (most as f64 * drawn as f64 / batch as f64).round() as u64;
    let written = wanted.clamp(LEAST_BATCHES, MOST_BATCHES);
    let keys: &[&str] = if drawn == batch { &[MOST] } else { &[MOST, DRAWN, BATCH] };
    filling.set("STAGE.max_batches", &written.to_string(), keys);
    let counted = match drawn == batch {
        true => String::new(),
        false => format!("verl counts batches of {drawn} prompts, r1x of {batch}; "),
    };
    let bounded = match written == wanted {
        true => "",
        false => "r1x takes 2 to 1000; ",
    };
    let text = format!(
        "{counted}{bounded}at the limit verl ends with an error, where r1x learns from the groups that it has"
    );
    filling.tell_difference(MOST, &text);
}

/// The problems that verl's loader draws at a time, where they are others than those of a step.
fn drawn(filling: &mut Filling<'_>) -> Option<u64> {
    filling.value(DRAWN)?;
    filling.count(DRAWN)
}

fn write_steps(filling: &mut Filling<'_>) -> Option<u64> {
    const STEPS: &str = "trainer.total_training_steps";
    if filling.value(STEPS).is_some() {
        let steps = filling.count(STEPS)?;
        filling.set("STAGE.steps", &steps.to_string(), &[STEPS]);
        return Some(steps);
    }
    let batch = filling.count(BATCH)?;
    let (batch, batch_path) = match drawn(filling) {
        Some(drawn) => (drawn, DRAWN),
        None => (batch, "prompts_per_step"),
    };
    let passes =
        Passes { key: "trainer.total_epochs", batch, batch_path, partial: Partial::Dropped };
    common::write_passes(filling, &passes)
}

fn write_warmup(filling: &mut Filling<'_>, steps: Option<u64>) {
    const STEPS: &str = "actor_rollout_ref.actor.optim.lr_warmup_steps";
    const RATIO: &str = "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio";
    let count = filling.whole(STEPS).and_then(|count| u64::try_from(count).ok());
    let (key, warmup) = match count {
        Some(count) => (STEPS, Warmup::Steps(count)),
        None => {
            let ratio = filling.number(RATIO).unwrap_or_default().clamp(0.0, 1.0);
            (RATIO, Warmup::Share { ratio, updates_per_step: 1 })
        }
    };
    common::write_warmup(filling, (common::WARMUP, key), warmup, steps);
    common::tell_warmup(filling, (key, warmup), "verl");
}

fn write_optimizer(filling: &mut Filling<'_>) {
    const BETAS: &str = "actor_rollout_ref.actor.optim.betas";
    match filling.numbers(BETAS).as_slice() {
        [first, second] => {
            let (first, second) = (draft::number(*first), draft::number(*second));
            filling.set("STAGE.beta1", &first, &[BETAS]);
            filling.set("STAGE.beta2", &second, &[BETAS]);
        }
        _ => {
            filling.set_aside("STAGE.beta1", "0.9", "a default of verl");
            filling.set_aside("STAGE.beta2", "0.999", "a default of verl");
        }
    }
    filling.set_aside("STAGE.eps", "1e-8", "a constant of verl");
}

fn write_checkpoints(filling: &mut Filling<'_>) {
    if let Some(every) = filling.whole("trainer.save_freq").filter(|every| *every > 0) {
        filling.set("checkpoints.every", &every.to_string(), &["trainer.save_freq"]);
    }
    if let Some(keep) = filling.count("trainer.max_actor_ckpt_to_keep") {
        filling.set("checkpoints.keep", &keep.to_string(), &["trainer.max_actor_ckpt_to_keep"]);
    }
}
