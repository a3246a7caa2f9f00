//! Data, rewards and evaluation of a recipe of verl.

use crate::import::common::{self, last_part};
use crate::import::draft;
use crate::import::filling::Filling;
use crate::import::rewards::{self, Made, RewardRow, Rewards, With};

const ANSWER: &[(&str, &str)] = &[("answer", "answer")];

/// What verl makes of the answers of DAPO and AIME (`math_dapo`).
const BY_ANSWER: RewardRow = RewardRow {
    name: "dapo",
    makes: &[Made::by("right", "math", &[("extract", With::Is("[last_number]"))]).times(2.0)],
    columns: ANSWER,
    note: "verl reads what stands behind the last `Answer:` of the last 300 characters and gives 1 or -1; r1x takes the \
           last number and gives 1 or 0, which the weight 2 puts as far apart: advantages compare, and see no difference",
};

/// What decides about rows from where, by a part of the name of their file or its folder.
pub(in crate::import) const REWARDS: &[RewardRow] = &[
    RewardRow {
        name: "gsm8k",
        makes: &[Made::by(
            "right",
            "math",
            &[("extract", With::Is("[boxed, answer_tag, last_number]"))],
        )],
        columns: ANSWER,
        note: "verl wants the number behind `####` near the end; r1x takes the one in a box or in the answer's tag, and the \
               last one otherwise",
    },
    BY_ANSWER,
    RewardRow { name: "aime", ..BY_ANSWER },
    RewardRow {
        name: "math",
        makes: &[Made::by("right", "math", &[("extract", With::Is("[boxed]"))])],
        columns: ANSWER,
        note: "r1x compares answers by its own rules (docs/rewards.md)",
    },
];

/// What is overlong, as DAPO punishes it.
const OVERLONG: [&str; 2] =
    ["reward_model.reward_kwargs.overlong_buffer_cfg", "reward_model.overlong_buffer"];

/// Files of the training data as verl knows them.
fn files(filling: &mut Filling<'_>) -> Vec<String> {
    filling.texts("data.train_files")
}

/// The name of the folder that a file lies in, or of the file where that says more.
fn set_name(file: &str) -> String {
    let stem = last_part(file);
    let stem = stem.split_once('.').map_or(stem, |(stem, _)| stem);
    let folder = file.rsplit('/').nth(1).unwrap_or("data");
    let name = if stem == "train" { folder } else { stem };
    common::name(name.trim_matches(['$', '{', '}', '~']))
}

/// What judges the rows of a file. Folders above its own say nothing about them.
fn judge_of(file: &str) -> Option<&'static RewardRow> {
    let file = file.to_ascii_lowercase();
    let parts: Vec<&str> = file.rsplit('/').take(2).collect();
    REWARDS.iter().find(|row| parts.iter().any(|part| part.contains(row.name)))
}

/// Writes the rewards of a recipe.
pub(super) fn write_rewards(filling: &mut Filling<'_>) -> Rewards {
    const PATH: &str = "custom_reward_function.path";
    let names = match filling.text(PATH) {
        Some(path) => {
            let function = filling.text("custom_reward_function.name").unwrap_or_default();
            let module = path.strip_suffix(".py").unwrap_or(&path).to_owned();
            vec![format!("{module}.{function}")]
        }
        None => {
            let file = files(filling).first().cloned().unwrap_or_default();
            judge_of(&file).map(|row| row.name.to_owned()).into_iter().collect()
        }
    };
    let key = if filling.value(PATH).is_some() { PATH } else { "data.train_files" };
    let mut rewards = rewards::write(filling, key, REWARDS, &names, &[]);
    for under in OVERLONG {
        write_overlong(filling, under, &mut rewards);
    }
    rewards
}

fn write_overlong(filling: &mut Filling<'_>, under: &str, rewards: &mut Rewards) {
    let known = |key: &str| {
        let key = format!("{under}.{key}");
        super::rows::REST.iter().map(|row| row.key).find(|known| *known == key)
    };
    let (Some(enable), Some(length), Some(factor)) =
        (known("enable"), known("len"), known("penalty_factor"))
    else {
        return;
    };
    if rewards.ids.iter().any(|id| id == "overlong") || !filling.flag(enable).unwrap_or_default() {
        return;
    }
    let plugin = format!("{}/length.wasm", filling.beside.plugins);
    filling.set("rewards.overlong.plugin", &draft::text(&plugin), &[enable]);
    filling.set_aside("rewards.overlong.with.shape", "overlong", "");
    let most = "reward_model.reward_kwargs.max_resp_len";
    let most = if filling.value(most).is_some() { most } else { "data.max_response_length" };
    if let (Some(longest), Some(buffer)) = (filling.count(most), filling.count(length)) {
        filling.set("rewards.overlong.with.max", &longest.to_string(), &[most]);
        filling.set("rewards.overlong.with.buffer", &buffer.to_string(), &[length]);
    }
    if let Some(weight) = filling.number(factor) {
        filling.set("rewards.overlong.weight", &draft::number(weight), &[factor]);
    }
    rewards.ids.push("overlong".to_owned());
    let ids = draft::texts(rewards.ids.iter().map(String::as_str));
    filling.set("STAGE.rewards", &ids, &[enable]);
}

/// Writes the data of a recipe, and returns its id.
pub(super) fn write_data(filling: &mut Filling<'_>, rewards: &Rewards) -> String {
    const TRAIN: &str = "data.train_files";
    let files = files(filling);
    let first = files.first().cloned().unwrap_or_default();
    let id = if first.is_empty() { "data".to_owned() } else { set_name(&first) };
    let path = |rest: &str| format!("data.{id}.{rest}");
    filling.set(&path("parquet.path"), &draft::text(&format!("data/{id}")), &[TRAIN]);
    if files.len() > 1 {
        let text = format!(
            "one data set was written, of {first}; further ones are entries of `data`, and a list in the stage"
        );
        filling.tell_unsupported(TRAIN, &text);
    }
    let what = if first.is_empty() { "the training data" } else { first.as_str() };
    filling.fill_in(
        &path("parquet.path"),
        &[TRAIN],
        format!("put {what} into this folder as train.parquet, and files of held-out problems as test*.parquet"),
    );
    if filling.value("data.val_files").is_some() {
        super::tell_note(filling, "data.val_files");
    }
    filling.set_aside(&path("parquet.heldout"), "0", "where there are no files of a test split");
    let column = filling.text("data.prompt_key").unwrap_or_else(|| "prompt".to_owned());
    let asked = common::identifier(&column);
    filling.set(
        &path(&format!("parquet.columns.{asked}")),
        &draft::text(&column),
        &["data.prompt_key"],
    );
    for (ours, theirs) in &rewards.columns {
        let text = "verl keeps it inside `reward_model`";
        filling.set_aside(&path(&format!("parquet.columns.{ours}")), &draft::text(theirs), text);
    }
    if !rewards.columns.is_empty() {
        let text = "rewards of r1x read columns, and nothing inside of them: write `reward_model.ground_truth` of a row as a \
                    column `answer` when the data is made";
        filling.fill_in(&path("parquet.columns.answer"), &[], text);
    }
    let system = format!("{{{{ {asked}[0].content if {asked}[0].role == 'system' else '' }}}}");
    filling.set_aside(&path("messages.system"), &draft::text(&system), "");
    let user = format!("{{{{ ({asked} | last).content }}}}");
    filling.set(&path("messages.user"), &draft::text(&user), &["data.prompt_key"]);
    filling.set("STAGE.data", &format!("{id}.train"), &[TRAIN]);
    if let Some(most) = filling.whole("data.train_max_samples").filter(|most| *most > 0) {
        filling.set("STAGE.limit", &most.to_string(), &["data.train_max_samples"]);
    }
    id
}

/// Writes the suite of the held-out problems, where they are asked about.
pub(super) fn write_suite(filling: &mut Filling<'_>, id: &str, rewards: &Rewards) {
    if filling.texts("data.val_files").is_empty() || !write_moments(filling) {
        return;
    }
    // Without a folder's test files there is nothing to ask, so a share of the problems stands for them.
    filling.set_aside(
        &format!("data.{id}.parquet.heldout"),
        "0.1",
        "where there are no files of a test split",
    );
    let path = |rest: &str| format!("evals.heldout.{rest}");
    filling.set(&path("data"), &format!("{id}.heldout"), &["data.val_files"]);
    write_answers(filling);
    if let Some(most) = filling.written("STAGE.sampling.max_tokens") {
        filling.set_aside(&path("sampling.max_tokens"), &most, "");
    }
    if let Some(most) = filling.whole("data.val_max_samples").filter(|most| *most > 0) {
        filling.set(&path("limit"), &most.to_string(), &["data.val_max_samples"]);
    }
    let grade = rewards.grade.as_ref().or(rewards.ids.first());
    filling.set_aside(&path("grade"), grade.map_or("reward", String::as_str), "");
}

/// Writes when the suite runs, and returns whether it ever does. Without a frequency verl asks before the training alone.
fn write_moments(filling: &mut Filling<'_>) -> bool {
    const EVERY: &str = "trainer.test_freq";
    const BEFORE: &str = "trainer.val_before_train";
    let every = filling.whole(EVERY).filter(|every| *every > 0);
    let before = filling.flag(BEFORE).unwrap_or_default();
    let moments = match (every, before) {
        (None, false) => return false,
        (None, true) => "[start]",
        (Some(_), false) => "[stage_end]",
        (Some(_), true) => "[start, stage_end]",
    };
    filling.set("evals.heldout.when.at", moments, &[BEFORE]);
    if let Some(every) = every {
        filling.set("evals.heldout.when.every", &every.to_string(), &[EVERY]);
    }
    true
}

/// Writes how many answers the suite takes of a problem and how they are sampled.
fn write_answers(filling: &mut Filling<'_>) {
    const COUNT: &str = "actor_rollout_ref.rollout.val_kwargs.n";
    const SAMPLED: &str = "actor_rollout_ref.rollout.val_kwargs.do_sample";
    const TEMPERATURE: &str = "actor_rollout_ref.rollout.val_kwargs.temperature";
    const TOP_P: &str = "actor_rollout_ref.rollout.val_kwargs.top_p";
    const TOP_K: &str = "actor_rollout_ref.rollout.val_kwargs.top_k";
    let (temperature, key) = match filling.flag(SAMPLED).unwrap_or_default() {
        true => (filling.number(TEMPERATURE).unwrap_or_default(), TEMPERATURE),
        false => (0.0, SAMPLED),
    };
    filling.set("evals.heldout.sampling.temperature", &draft::number(temperature), &[key]);
    if let Some(count) = filling.count(COUNT) {
        let samples = if temperature > 0.0 { count } else { 1 };
        filling.set("evals.heldout.samples", &samples.to_string(), &[COUNT]);
        if samples < count {
            let text = format!(
                "without sampling the {count} answers to a problem are equal, so that r1x takes one: `{key}` says how \
                 they are chosen"
            );
            filling.tell_difference(COUNT, &text);
        }
    }
    for (key, ours) in [(TOP_P, "sampling.top_p"), (TOP_K, "sampling.top_k")] {
        if let Some(value) = filling.number(key) {
            let path = format!("evals.heldout.{ours}");
            filling.set(&path, &draft::number(value.max(0.0)), &[key]);
        }
    }
}
