//! What the recipes of all systems become in the same way: the name of the spec, its model, its data, and the numbers of steps.

use super::draft;
use super::filling::Filling;

/// Longest name in a spec.
const LONGEST_NAME: usize = 64;

/// A name of a spec that is near a text: letters, digits, `-` and `_`.
pub(crate) fn name(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let text: String = text.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    let text = text.trim_start_matches(['-', '_']);
    let cut: String = text.chars().take(LONGEST_NAME).collect();
    if cut.is_empty() { "imported".to_owned() } else { cut }
}

/// A name that a template can have for a column: letters, digits and `_`.
pub(crate) fn identifier(text: &str) -> String {
    let text = name(text).replace('-', "_");
    if text.starts_with(|c: char| c.is_ascii_digit()) { format!("c{text}") } else { text }
}

/// The last part of a path or of the name of a published thing.
pub(crate) fn last_part(text: &str) -> &str {
    let text = text.trim_end_matches('/');
    text.rsplit('/').next().unwrap_or(text)
}

/// Where a published model or data set is looked for: a path that anybody may have stays, anything else is a folder of
/// its name.
pub(crate) fn place(folder: &str, text: &str) -> String {
    if text.starts_with("./") || text.starts_with("../") {
        return text.to_owned();
    }
    format!("{folder}/{}", last_part(text))
}

/// Writes the name of the spec, from the first of these keys that is written, or from the file's.
pub(crate) fn write_name(filling: &mut Filling<'_>, keys: &[&'static str], file: &str) {
    let given = keys.iter().find(|key| filling.is_given(key) && filling.value(key).is_some());
    let found = given.and_then(|key| filling.text(key).map(|text| (*key, text)));
    // What only a shell could know is no name.
    if let Some((key, _)) = found.as_ref().filter(|(_, text)| text.contains("$(")) {
        let text = "only a shell knows this name; that of the file was written";
        filling.tell_difference(key, text);
    }
    let found = found.filter(|(_, text)| !text.contains("$("));
    match found {
        Some((key, text)) => filling.set("name", &draft::text(&name(last_part(&text))), &[key]),
        None => {
            let file = last_part(file);
            let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
            filling.set_aside("name", &draft::text(&name(stem)), "");
        }
    }
}

/// Writes where the model lies.
pub(crate) fn write_model(filling: &mut Filling<'_>, key: &'static str) {
    let text = filling.text(key);
    let from = match &text {
        Some(text) => place("models", text),
        None => "models/model".to_owned(),
    };
    filling.set("model.from", &draft::text(&from), &[key]);
    let what = text.unwrap_or_else(|| "the model".to_owned());
    filling.fill_in(
        "model.from",
        &[key],
        format!("put the folder of {what} there (config.json, weights, tokenizer.json), or write where it lies"),
    );
}

/// Writes adapters, where there are any; the last of the keys of the rank says it.
pub(crate) fn write_lora(filling: &mut Filling<'_>, rank: &[&'static str], alpha: &'static str) {
    if let Some(value) = rank.last().and_then(|key| filling.count(key)) {
        filling.set("model.lora.rank", &value.to_string(), rank);
    }
    if let Some(value) = filling.number(alpha) {
        filling.set("model.lora.alpha", &draft::number(value), &[alpha]);
    }
}

/// Writes the projections that have adapters, where they are not all.
pub(crate) fn write_targets(filling: &mut Filling<'_>, key: &'static str) {
    const KNOWN: [&str; 7] =
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    let texts = filling.texts(key);
    if texts.is_empty() || texts.iter().any(|text| text == "all-linear") {
        return;
    }
    let mut texts: Vec<String> = texts.iter().flat_map(|text| projections(text)).collect();
    texts.sort_by_key(|text| KNOWN.iter().position(|known| known == text));
    texts.dedup();
    let (known, other): (Vec<&str>, Vec<&str>) =
        texts.iter().map(String::as_str).partition(|text| KNOWN.contains(text));
    if !other.is_empty() {
        let text = format!("r1x has no adapters at {}", other.join(", "));
        filling.tell_unsupported(key, &text);
    }
    if !known.is_empty() {
        filling.set("model.lora.targets", &draft::texts(known), &[key]);
    }
}

/// The projections that a name stands for; Megatron has names for several at once.
fn projections(name: &str) -> Vec<String> {
    let all: &[&str] = match name {
        "linear_qkv" => &["q_proj", "k_proj", "v_proj"],
        "linear_q" => &["q_proj"],
        "linear_k" => &["k_proj"],
        "linear_v" => &["v_proj"],
        "linear_proj" => &["o_proj"],
        "linear_fc1" => &["gate_proj", "up_proj"],
        "linear_fc1_gate" => &["gate_proj"],
        "linear_fc1_up" => &["up_proj"],
        "linear_fc2" => &["down_proj"],
        other => &[other],
    };
    all.iter().map(|&one| one.to_owned()).collect()
}

/// Where the steps of a stage come from.
pub(crate) struct Passes {
    /// The key that counts passes over the data.
    pub key: &'static str,
    /// Problems of a step.
    pub batch: u64,
    /// The path of `batch`, for people.
    pub batch_path: &'static str,
    /// Whether problems that are left over at the end of a pass are a step of their own.
    pub partial: Partial,
}

/// What becomes of problems that are fewer than a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partial {
    /// They are left out.
    Dropped,
    /// They are a smaller batch.
    Step,
}

/// Writes the steps that passes over the data are, and returns their number where it is known.
pub(crate) fn write_passes(filling: &mut Filling<'_>, passes: &Passes) -> Option<u64> {
    let epochs = filling.number(passes.key)?;
    let batch = passes.batch.max(1);
    let Some(rows) = filling.beside.rows else {
        let text = format!(
            "the recipe counts passes over the data: write {} x the number of problems / {batch}, or import with \
             `--rows N`; until then a run is one step",
            draft::number(epochs)
        );
        filling.fill_in("STAGE.steps", &[passes.key], text);
        filling.set("STAGE.steps", "1", &[passes.key]);
        filling.set_aside(
            "STAGE.steps",
            "1",
            "to be filled in: one pass is the problems over the batch",
        );
        return None;
    };
    let of_a_pass = match passes.partial {
        Partial::Dropped => rows / batch,
        Partial::Step => rows.div_ceil(batch),
    };
    let steps = ((of_a_pass as f64 * epochs).round() as u64).max(1);
    filling.set("STAGE.steps", &steps.to_string(), &[passes.key]);
    let text = format!(
        "r1x counts steps: {} x {rows} problems, {batch} a step ({})",
        draft::number(epochs),
        passes.batch_path
    );
    filling.tell_difference(passes.key, &text);
    Some(steps)
}

/// How long a warm-up is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Warmup {
    /// So many steps.
    Steps(u64),
    /// This share of all optimizer updates, of which a step has so many.
    Share { ratio: f64, updates_per_step: u64 },
}

/// Where the warm-up of a policy is written.
pub(crate) const WARMUP: &str = "STAGE.schedule.warmup_steps";

impl Warmup {
    /// Whether there is any.
    fn warms(self) -> bool {
        match self {
            Warmup::Steps(count) => count > 0,
            Warmup::Share { ratio, .. } => ratio > 0.0,
        }
    }
}

/// Says how the rates of a warm-up differ, where there is one.
pub(crate) fn tell_warmup(filling: &mut Filling<'_>, (key, warmup): (&str, Warmup), whose: &str) {
    if warmup.warms() {
        let text = format!(
            "of four steps r1x takes 1/4, 1/2, 3/4 and 1 of the highest rate, {whose} 0, 1/4, 1/2 and 3/4"
        );
        filling.tell_difference(key, &text);
    }
}

/// Writes the steps of a warm-up, which no stage has more of than steps.
pub(crate) fn write_warmup(
    filling: &mut Filling<'_>,
    (path, key): (&str, &'static str),
    warmup: Warmup,
    steps: Option<u64>,
) {
    let Some(steps) = steps else {
        let text = match warmup {
            Warmup::Steps(0) => return,
            Warmup::Steps(count) => format!("the warm-up is {count} steps, once there are so many"),
            Warmup::Share { ratio, .. } if ratio <= 0.0 => return,
            Warmup::Share { ratio, .. } => {
                format!("the warm-up is {} of the steps", draft::number(ratio))
            }
        };
        return filling.fill_in(path, &[key], text);
    };
    let count = match warmup {
        Warmup::Steps(count) => count,
        Warmup::Share { ratio, updates_per_step } => {
            let updates = (ratio * (steps * updates_per_step) as f64).ceil();
            (updates as u64).div_ceil(updates_per_step.max(1))
        }
    };
    filling.set(path, &count.min(steps).to_string(), &[key]);
}
