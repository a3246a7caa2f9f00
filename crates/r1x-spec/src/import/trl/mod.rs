//! Recipes of TRL, as `trl grpo --config` and `trl sft --config` take them.
//!
//! Two things are other than their keys say: sequences are counted for each device, and steps are optimizer updates.

mod counts;
mod data;
mod rows;

use super::common::{self, Warmup};
use super::draft;
use super::filling::Filling;
use super::rewards::{Made, RewardRow, With};
use super::row::{Method, Row, Table};

pub(super) use data::{Columns, write_examples, write_problems};
pub(super) use rows::{COMMON, GRPO, SFT};

pub(super) const TABLE: Table =
    Table { version: "TRL 1.16", parts: &[GRPO, SFT, COMMON], defaults: &[] };

const BOXED: (&str, With) = ("extract", With::Is("[boxed]"));
const OF_MATHS: &[(&str, &str)] = &[("answer", "solution")];

/// The functions that `trl grpo` knows by name.
pub(super) const REWARDS: &[RewardRow] = &[
    RewardRow {
        name: "accuracy_reward",
        makes: &[Made::by("accuracy", "math", &[BOXED])],
        columns: OF_MATHS,
        note: "r1x compares answers by its own rules, beside Math-Verify's in docs/rewards.md, and words where an \
               expected answer is no mathematics; the column is to hold the short answer",
    },
    RewardRow {
        name: "reasoning_accuracy_reward",
        makes: &[Made::by("accuracy", "math", &[BOXED, ("prefilled", With::Is("true"))])],
        columns: OF_MATHS,
        note: "r1x compares answers by its own rules, beside Math-Verify's in docs/rewards.md; without `</think>` there \
               is no answer in either",
    },
    RewardRow {
        name: "think_format_reward",
        makes: &[Made::by(
            "format",
            "match",
            &[
                ("mode", With::Is("regex")),
                ("part", With::Is("whole")),
                ("ignore_space", With::Is("false")),
                ("pattern", With::Is(r#"'(?s)\A<think>.*</think>'"#)),
            ],
        )],
        columns: &[],
        note: "a second `<think>` is not refused",
    },
    RewardRow {
        name: "get_soft_overlong_punishment",
        makes: &[Made::by(
            "overlong",
            "length",
            &[
                ("shape", With::Is("overlong")),
                ("max", With::Is("1280")),
                ("buffer", With::Is("256")),
            ],
        )],
        columns: &[],
        note: "",
    },
];

/// Fills a spec from a recipe of TRL.
pub(super) fn fill(filling: &mut Filling<'_>, file: &str) {
    filling.follow_rows();
    common::write_name(filling, &["run_name", "output_dir"], file);
    if filling.method == Method::Sft {
        write_examples(filling);
    } else {
        write_problems(filling, &Columns::TRL, "reward_funcs", REWARDS);
        tell_drift(filling);
    }
    train(filling, "model_name_or_path");
}

/// Everything but names, data and rewards, which open-r1 has too.
pub(super) fn train(filling: &mut Filling<'_>, model: &'static str) {
    common::write_model(filling, model);
    write_precision(filling);
    write_adapters(filling);
    if filling.method == Method::Grpo {
        filling.set_aside("STAGE.advantage.eps", "1e-4", "a constant of TRL");
        filling.set_aside("STAGE.zero_signal", "keep", "TRL keeps groups without signal");
        write_clip(filling);
        write_penalty(filling);
    } else {
        write_context(filling);
    }
    counts::write(filling);
}

/// Says which defaults were others when the recipe may have been written.
fn tell_drift(filling: &mut Filling<'_>) {
    let penalized = filling.number("beta").is_some_and(|beta| beta != 0.0);
    let of_penalty = Some(&rows::DRIFTED_PENALTY).filter(|_| penalized);
    for (key, text) in rows::DRIFTED.iter().chain(of_penalty) {
        if !filling.is_given(key) {
            filling.tell_difference(key, &format!("the default of 1.16 was taken; {text}"));
        }
    }
}

fn write_precision(filling: &mut Filling<'_>) {
    let half = filling.flag("fp16").unwrap_or_default();
    let brain = filling.flag("bf16").unwrap_or_default();
    let (word, key) = if half {
        ("bf16", "fp16")
    } else if brain {
        ("bf16", "bf16")
    } else {
        ("f32", "bf16")
    };
    filling.set("model.precision", word, &[key]);
    if half {
        filling.tell_difference("fp16", "r1x has bf16 and f32; bf16 was written");
    }
}

fn write_adapters(filling: &mut Filling<'_>) {
    const OF_ADAPTERS: [&str; 5] =
        ["lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "use_rslora"];
    if !filling.flag("use_peft").unwrap_or_default() {
        for key in OF_ADAPTERS.into_iter().filter(|key| filling.is_given(key)).collect::<Vec<_>>() {
            filling.tell_difference(key, "without `use_peft` there are no adapters");
        }
        return;
    }
    common::write_lora(filling, &["use_peft", "lora_r"], "lora_alpha");
    common::write_targets(filling, "lora_target_modules");
    if filling.flag("use_rslora").unwrap_or_default() {
        filling.set("model.lora.scaling", "root_of_rank", &["use_rslora"]);
    }
    if filling.number("lora_dropout").is_some_and(|share| share > 0.0) {
        filling.tell_unsupported("lora_dropout", note("lora_dropout"));
    }
}

/// What is different about a key.
fn note(key: &str) -> &'static str {
    let rows = || [GRPO, SFT, COMMON].into_iter().flatten();
    rows().find(|row: &&Row| row.key == key).map_or("", |row| row.note)
}

/// The bounds of the ratio, which each kind of clipping has its own keys for.
fn write_clip(filling: &mut Filling<'_>) {
    let kind = filling.written("STAGE.clip.kind").unwrap_or_default();
    if kind == "sigmoid" {
        for (path, key) in [
            ("STAGE.clip.tau_positive", "sapo_temperature_pos"),
            ("STAGE.clip.tau_negative", "sapo_temperature_neg"),
        ] {
            if let Some(value) = filling.number(key) {
                filling.set(path, &draft::number(value), &[key]);
            }
        }
        return;
    }
    let low = filling.number("epsilon");
    let key = if filling.value("epsilon_high").is_some() { "epsilon_high" } else { "epsilon" };
    let Some(high) = filling.number(key) else { return };
    if kind == "weight" {
        // There is no lower bound; the upper one is the weight itself.
        if high < 1.0 {
            filling.tell_unsupported(key, "r1x has no largest weight below 1; 1 was written");
        }
        filling.set("STAGE.clip.high", &draft::number((high - 1.0).max(0.0)), &[key]);
        return;
    }
    if let Some(low) = low {
        filling.set("STAGE.clip.low", &draft::number(low), &["epsilon"]);
    }
    filling.set("STAGE.clip.high", &draft::number(high), &[key]);
    if let Some(most) = filling.number("delta") {
        filling.set("STAGE.clip.max_ratio", &draft::number(most), &["delta"]);
    }
}

/// The penalty towards a reference, of which there is none at 0.
fn write_penalty(filling: &mut Filling<'_>) {
    if filling.number("beta").unwrap_or_default() == 0.0 {
        return;
    }
    filling.follow_word("use_bias_correction_kl");
}

fn write_context(filling: &mut Filling<'_>) {
    let key = if filling.is_given("max_seq_length") { "max_seq_length" } else { "max_length" };
    if let Some(length) = filling.count(key) {
        filling.set("model.context_length", &length.to_string(), &[key]);
        filling.tell_difference(key, note(key));
    }
}

/// The length of a warm-up, which two keys may say.
fn warmup(filling: &mut Filling<'_>, updates_per_step: u64) -> (&'static str, Warmup) {
    let updates = updates_per_step.max(1);
    let steps = filling.number("warmup_steps").unwrap_or_default();
    if steps >= 1.0 {
        return ("warmup_steps", Warmup::Steps((steps.ceil() as u64).div_ceil(updates)));
    }
    let key = if steps > 0.0 { "warmup_steps" } else { "warmup_ratio" };
    let ratio = filling.number(key).unwrap_or_default().clamp(0.0, 1.0);
    (key, Warmup::Share { ratio, updates_per_step: updates })
}
