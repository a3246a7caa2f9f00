//! Problems, examples and rewards of a recipe of TRL or open-r1.

use crate::import::common::{self, last_part, place};
use crate::import::draft;
use crate::import::filling::Filling;
use crate::import::rewards::{self, RewardRow, Rewards};
use crate::node::Value;

/// Writes who spoke first, where that is the system.
const SYSTEM: &str = "{{ FIRST[0].content if FIRST[0].role == 'system' else '' }}";
/// Writes what the user asked first.
const USER: &str = "{{ (FIRST | selectattr('role', 'equalto', 'user') | first).content }}";
/// Writes what the user asked last.
const LAST: &str = "{{ (FIRST | last).content }}";

/// Which columns a system reads.
pub(in crate::import) struct Columns {
    /// The key that names the column with what is asked; empty where it is always `prompt`.
    pub prompt_key: &'static str,
    /// The key with what the model is told first; empty where there is none.
    pub system_key: &'static str,
}

impl Columns {
    /// TRL's: `prompt` is a text, or a list of messages.
    pub const TRL: Columns = Columns { prompt_key: "", system_key: "" };
}

/// The id of the data set, once its place is written.
fn write_place(filling: &mut Filling<'_>) -> String {
    let listed = || {
        let node = filling.value("datasets")?;
        let Value::List(items) = &node.value else { return None };
        items.first()?.get("path")?.text().map(str::to_owned)
    };
    let listed = listed();
    let (key, text) = match (filling.text("dataset_name"), listed) {
        (Some(text), _) => ("dataset_name", text),
        (None, Some(text)) => ("datasets", text),
        (None, None) => ("dataset_name", "data".to_owned()),
    };
    if key == "datasets" {
        filling.tell_difference(
            key,
            "one data set was written; further ones are entries of `data`, and a list in the stage",
        );
    }
    let id = common::name(last_part(&text));
    let mut folder = place("data", &text);
    let mut keys = vec![key];
    for key in ["dataset_config", "dataset_configs"] {
        if let [config] = filling.texts(key).as_slice()
            && config != "default"
        {
            folder = format!("{folder}/{config}");
            keys.push(key);
        }
    }
    filling.set(&format!("data.{id}.parquet.path"), &draft::text(&folder), &keys);
    filling.fill_in(
        &format!("data.{id}.parquet.path"),
        &keys,
        format!("put the Parquet files of {text} into this folder (train*.parquet, test*.parquet), or write where they lie; \
                 for JSON lines write `jsonl` in place of `parquet`"),
    );
    id
}

/// Writes how much of the data is held out, and whether it is asked about.
fn write_heldout(filling: &mut Filling<'_>, id: &str) -> bool {
    let path = format!("data.{id}.parquet.heldout");
    let asked = asks(filling);
    if let Some(share) = filling.number("test_split_size").filter(|share| *share < 1.0) {
        filling.set(&path, &draft::number(share), &["test_split_size"]);
    } else if asked {
        filling.set_aside(&path, "0.1", "where there are no files of a test split");
    } else {
        filling.set_aside(
            &path,
            "0",
            "nothing is evaluated; files of a test split are left out all the same",
        );
    }
    asked
}

fn asks(filling: &mut Filling<'_>) -> bool {
    let keys = ["eval_strategy", "evaluation_strategy"];
    let key = keys.into_iter().find(|key| filling.is_given(key)).unwrap_or("eval_strategy");
    filling.text(key).is_some_and(|word| word == "steps" || word == "epoch")
}

/// Writes the problems of a recipe of reinforcement, its rewards, and a suite where it evaluates.
pub(in crate::import) fn write_problems(
    filling: &mut Filling<'_>,
    columns: &Columns,
    rewards_key: &'static str,
    rows: &'static [RewardRow],
) {
    let names = filling.texts(rewards_key);
    let weights = filling.numbers("reward_weights");
    let built_in = names.iter().any(|name| rows.iter().any(|row| row.name == name));
    let rewards = rewards::write(filling, rewards_key, rows, &names, &weights);
    let id = write_place(filling);
    let asked = write_heldout(filling, &id);
    let column = match columns.prompt_key {
        "" => "prompt".to_owned(),
        key => filling.text(key).unwrap_or_else(|| "prompt".to_owned()),
    };
    write_columns(filling, &id, &column, &rewards);
    write_prompt(filling, &id, columns, &column, built_in);
    write_lengths(filling);
    filling.set("STAGE.data", &format!("{id}.train"), &["dataset_name"]);
    if asked {
        write_suite(filling, &id, &rewards);
    }
}

/// Names the columns that are used, where templates or rewards have other names for them.
fn write_columns(filling: &mut Filling<'_>, id: &str, column: &str, rewards: &Rewards) {
    let asked = common::identifier(column);
    if rewards.columns.is_empty() && asked == column {
        return;
    }
    let path = |name: &str| format!("data.{id}.parquet.columns.{name}");
    filling.set_aside(&path(&asked), &draft::text(column), "what is asked");
    for (ours, theirs) in &rewards.columns {
        filling.set_aside(&path(ours), &draft::text(theirs), "what rewards read");
        let text = match *ours {
            "tests" => {
                "`code` reads a list of tests there: make the column of `verification_info.test_cases` when the data is made"
            }
            _ => "it is to hold the short answer: where it holds a worked one, name another column",
        };
        filling.fill_in(&path(ours), &[], text);
    }
}

/// Writes how a problem is asked. The functions that are built in read messages, so their data has them.
fn write_prompt(
    filling: &mut Filling<'_>,
    id: &str,
    columns: &Columns,
    column: &str,
    built_in: bool,
) {
    let column = common::identifier(column);
    let messages = |rest: &str| format!("data.{id}.messages.{rest}");
    if !columns.prompt_key.is_empty() {
        if let Some(system) = filling.text(columns.system_key) {
            filling.set(
                &messages("system"),
                &draft::text(&literal(&system)),
                &[columns.system_key],
            );
        }
        let user = draft::text(&format!("{{{{ {column} }}}}"));
        filling.set(&messages("user"), &user, &[columns.prompt_key]);
    } else if built_in {
        let template = |text: &str| draft::text(&text.replace("FIRST", &column));
        filling.set_aside(&messages("system"), &template(SYSTEM), "");
        filling.set_aside(
            &messages("user"),
            &template(LAST),
            "where `prompt` is a list of messages",
        );
        let text = "this takes `prompt` for a list of messages, which the rewards of TRL read; for a column of texts write \
                    `user: \"{{ prompt }}\"` and no `system`";
        filling.fill_in(&format!("data.{id}.messages"), &[], text);
    } else {
        let prompt = draft::text(&format!("{{{{ {column} }}}}"));
        filling.set_aside(&format!("data.{id}.prompt"), &prompt, "a column of texts");
        let text = "this takes `prompt` for a column of texts; for lists of messages write `messages: {user: \"{{ (prompt | \
                    last).content }}\"}` in its place";
        filling.fill_in(&format!("data.{id}.prompt"), &[], text);
    }
}

/// Text as a template that writes it.
fn literal(text: &str) -> String {
    let marks = |text: &str| text.contains("{{") || text.contains("{%") || text.contains("{#");
    if !marks(text) {
        return text.to_owned();
    }
    // What stands in quotes inside of an expression is written as it is.
    format!("{{{{ {} }}}}", serde_json::Value::from(text))
}

/// The room for prompts, where the recipe says it.
fn write_lengths(filling: &mut Filling<'_>) {
    const PROMPT: &str = "max_prompt_length";
    const COMPLETION: &str = "max_completion_length";
    if filling.value(PROMPT).is_none() {
        return;
    }
    if let (Some(prompt), Some(completion)) = (filling.count(PROMPT), filling.count(COMPLETION)) {
        filling.set(
            "model.context_length",
            &(prompt + completion).to_string(),
            &[PROMPT, COMPLETION],
        );
        filling.tell_difference(PROMPT, super::note(PROMPT));
    }
}

/// A suite of the held-out problems.
fn write_suite(filling: &mut Filling<'_>, id: &str, rewards: &Rewards) {
    let path = |rest: &str| format!("evals.heldout.{rest}");
    filling.set(&path("data"), &format!("{id}.heldout"), &["eval_strategy"]);
    for key in ["temperature", "top_p", "top_k", "min_p", "max_tokens"] {
        if let Some(value) = filling.written(&format!("STAGE.sampling.{key}")) {
            filling.set_aside(&path(&format!("sampling.{key}")), &value, "");
        }
    }
    let eval = filling.value("num_generations_eval").is_some();
    let key = if eval { "num_generations_eval" } else { "num_generations" };
    if let Some(samples) = filling.count(key) {
        filling.set(&path("samples"), &samples.to_string(), &[key]);
    }
    let grade = rewards.grade.as_ref().or(rewards.ids.first());
    filling.set_aside(
        &path("grade"),
        grade.map_or("reward", String::as_str),
        "TRL reports the mean reward, r1x pass@k",
    );
}

/// Writes the examples of a recipe of supervised fine-tuning.
pub(in crate::import) fn write_examples(filling: &mut Filling<'_>) {
    let id = write_place(filling);
    filling.set_aside(&format!("data.{id}.parquet.heldout"), "0", "");
    let path = |rest: &str| format!("data.{id}.{rest}");
    if filling.is_given("dataset_text_field") {
        let text = "r1x learns completions of prompts, and not whole texts: name a column with what is asked and one with \
                    the completion";
        filling.tell_unsupported("dataset_text_field", text);
    }
    filling.set_aside(&path("parquet.solution"), "messages", "the last message of the assistant");
    let template = |text: &str| draft::text(&text.replace("FIRST", "messages"));
    filling.set_aside(&path("messages.system"), &template(SYSTEM), "");
    filling.set_aside(&path("messages.user"), &template(USER), "");
    let text = "this takes the column `messages` for conversations of one turn; for columns `prompt` and `completion` \
                write `solution: completion` and `prompt: \"{{ prompt }}\"`";
    filling.fill_in(&format!("data.{id}.messages"), &[], text);
    filling.set("STAGE.data", &format!("{id}.train"), &["dataset_name"]);
    if asks(filling) {
        filling.tell_difference("eval_strategy", "TRL reports the loss of held-out examples; a suite of r1x samples and needs a reward that grades");
    }
}
