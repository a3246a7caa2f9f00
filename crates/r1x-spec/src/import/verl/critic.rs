//! PPO of verl: the critic that its advantages are estimated with.

use crate::import::common::{self, Warmup};
use crate::import::draft;
use crate::import::filling::Filling;
use crate::import::row::Row;
use crate::import::row::Takes::{Anything, Number, Text, Whole};

const PATH: &str = "critic.model.path";
const RATE: &str = "critic.optim.lr";
const DECAY: &str = "critic.optim.weight_decay";
const BETAS: &str = "critic.optim.betas";
const WARMUP_STEPS: &str = "critic.optim.lr_warmup_steps";
const WARMUP_RATIO: &str = "critic.optim.lr_warmup_steps_ratio";
const CLIP: &str = "critic.cliprange_value";
const GRAD_CLIP: &str = "critic.grad_clip";
const EPOCHS: &str = "critic.ppo_epochs";
const MINI: &str = "critic.ppo_mini_batch_size";
const AGGREGATION: &str = "critic.loss_agg_mode";
const GAMMA: &str = "algorithm.gamma";
const LAMBDA: &str = "algorithm.lam";
const ALONE: &str = "trainer.critic_warmup";

const WARMUP: &str = "STAGE.critic.schedule.warmup_steps";
const EQUAL_UPDATES: &str =
    "the critic of r1x has as many updates as the policy, of equal sequences";

/// The keys of a critic, which count where advantages are estimated with one.
pub(super) const ROWS: &[Row] = &[
    Row::part(GAMMA, Number, "1", &["STAGE.critic.gamma"]),
    Row::part(LAMBDA, Number, "1", &["STAGE.critic.lambda"]),
    Row::part(PATH, Text, "", &["models.ID.from"]),
    Row::part(RATE, Number, "1e-5", &["STAGE.critic.lr"]),
    Row::part(DECAY, Number, "0.01", &["STAGE.critic.weight_decay"]),
    Row::part(BETAS, Anything, "", &["STAGE.critic.beta1", "STAGE.critic.beta2"]),
    Row::part(WARMUP_STEPS, Whole, "-1", &[WARMUP]),
    Row::part(WARMUP_RATIO, Number, "0", &[WARMUP]),
    Row::part(CLIP, Number, "0.5", &["STAGE.critic.value_clip"]),
    Row::part(GRAD_CLIP, Number, "1", &["STAGE.critic.grad_clip"]),
    Row::part(EPOCHS, Whole, "", &["STAGE.epochs"]).but(EQUAL_UPDATES),
    Row::part(MINI, Whole, "", &["STAGE.updates_per_epoch"]).but(EQUAL_UPDATES),
    Row::part(AGGREGATION, Text, "token-mean", &["STAGE.critic"])
        .but("the loss of a critic is a mean over tokens in r1x"),
    Row::part(ALONE, Whole, "0", &["STAGE.critic.alone_steps"]),
];

/// Writes the critic; `steps` are those of the stage, where they are known.
pub(super) fn write(filling: &mut Filling<'_>, steps: Option<u64>) {
    filling.set("models.critic.head", "value", &[super::ESTIMATOR]);
    filling.set("STAGE.critic.model", "critic", &[super::ESTIMATOR]);
    if let Some(text) = filling.text(PATH).filter(|_| filling.is_given(PATH)) {
        filling.set("models.critic.from", &draft::text(&common::place("models", &text)), &[PATH]);
    }
    if filling.written("model.lora.rank").is_some() {
        filling.set_aside("models.critic.lora", "null", "a critic learns all of its weights");
    }
    for (path, key) in [
        ("STAGE.critic.gamma", GAMMA),
        ("STAGE.critic.lambda", LAMBDA),
        ("STAGE.critic.value_clip", CLIP),
        ("STAGE.critic.lr", RATE),
        ("STAGE.critic.weight_decay", DECAY),
        ("STAGE.critic.grad_clip", GRAD_CLIP),
    ] {
        if let Some(value) = filling.number(key) {
            filling.set(path, &draft::number(value), &[key]);
        }
    }
    write_alone(filling, steps);
    write_warmup(filling, steps);
    let betas = filling.numbers(BETAS);
    let (first, second) = match betas.as_slice() {
        [first, second] => (*first, *second),
        _ => (0.9, 0.999),
    };
    for (path, value) in [("STAGE.critic.beta1", first), ("STAGE.critic.beta2", second)] {
        match betas.is_empty() {
            true => filling.set_aside(path, &draft::number(value), "a default of verl"),
            false => filling.set(path, &draft::number(value), &[BETAS]),
        }
    }
    tell_equal_updates(filling);
}

/// The steps in which the critic alone learns, which leave at least one to the policy.
fn write_alone(filling: &mut Filling<'_>, steps: Option<u64>) {
    let alone = filling.whole(ALONE).and_then(|count| u64::try_from(count).ok());
    let Some(alone) = alone.filter(|alone| *alone > 0) else { return };
    match steps {
        Some(steps) => {
            let alone = alone.min(steps.saturating_sub(1));
            filling.set("STAGE.critic.alone_steps", &alone.to_string(), &[ALONE]);
        }
        None => {
            let text = format!("the critic learns alone for {alone} steps, once there are more");
            filling.fill_in("STAGE.critic.alone_steps", &[ALONE], text);
        }
    }
}

fn write_warmup(filling: &mut Filling<'_>, steps: Option<u64>) {
    let count = filling.whole(WARMUP_STEPS).and_then(|count| u64::try_from(count).ok());
    let (key, warmup) = match count {
        Some(count) => (WARMUP_STEPS, Warmup::Steps(count)),
        None => {
            let ratio = filling.number(WARMUP_RATIO).unwrap_or_default().clamp(0.0, 1.0);
            (WARMUP_RATIO, Warmup::Share { ratio, updates_per_step: 1 })
        }
    };
    common::write_warmup(filling, (WARMUP, key), warmup, steps);
    common::tell_warmup(filling, (key, warmup), "verl");
}

/// Says so where the critic of a recipe learns otherwise than its policy does.
fn tell_equal_updates(filling: &mut Filling<'_>) {
    for (own, of_policy) in [
        (EPOCHS, "actor_rollout_ref.actor.ppo_epochs"),
        (MINI, "actor_rollout_ref.actor.ppo_mini_batch_size"),
    ] {
        let (found, planned) = (filling.count(own), filling.count(of_policy));
        if found.is_some() && found != planned {
            filling.tell_unsupported(own, EQUAL_UPDATES);
        }
    }
    let is_other = |word: &String| word != "token-mean";
    if filling.is_given(AGGREGATION)
        && filling.text(AGGREGATION).is_some_and(|word| is_other(&word))
    {
        filling.tell_unsupported(AGGREGATION, "the loss of a critic is a mean over tokens in r1x");
    }
}
