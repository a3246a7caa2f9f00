//! Where the chat template of a published model is, and the tokens that it names.
//!
//! Libraries have put it into three places over the years: a file `chat_template.jinja`, a text under `chat_template` in
//! `tokenizer_config.json`, and there a list of texts with names. They are looked at in this order.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use crate::error::TaskError;

/// The template's own file.
const TEMPLATE: &str = "chat_template.jinja";
/// The file beside `tokenizer.json` that says how the tokenizer is used.
const CONFIG: &str = "tokenizer_config.json";
/// Largest file that is read, bytes.
const MOST_BYTES: u64 = 16 << 20;

/// What the folder of a published model says about conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedChat {
    /// The source of the chat template; `None` where the folder has none.
    pub template: Option<String>,
    /// The tokens that the template may name.
    pub marks: Marks,
}

/// The tokens around texts that the folder of a published model names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The token that begins a sequence.
    pub bos: Option<String>,
    /// The token that ends one.
    pub eos: Option<String>,
    /// Whether the token that begins a sequence stands before a text that is no conversation; `None` where the folder
    /// leaves it to `tokenizer.json`.
    pub adds_bos: Option<bool>,
}

/// Looks into the folder of a published model.
///
/// # Errors
/// When a file that is there cannot be read, is not what it should be, or has several templates and none called
/// `default`.
pub fn published(folder: &Path) -> Result<PublishedChat, TaskError> {
    let config = config(folder)?;
    let template = match read(&folder.join(TEMPLATE))? {
        Some(template) => Some(template),
        None => of_config(&config)?,
    };
    Ok(PublishedChat { template, marks: marks_of(&config)? })
}

/// Looks into the folder of a published model for the tokens around texts alone.
///
/// # Errors
/// When the file that names them cannot be read, or is not what it should be.
pub fn marks(folder: &Path) -> Result<Marks, TaskError> {
    marks_of(&config(folder)?)
}

fn config(folder: &Path) -> Result<Value, TaskError> {
    match read(&folder.join(CONFIG))? {
        None => Ok(Value::Null),
        Some(text) => {
            serde_json::from_str(&text).map_err(|why| wrong(format!("{CONFIG} is no JSON: {why}")))
        }
    }
}

fn marks_of(config: &Value) -> Result<Marks, TaskError> {
    let (bos, eos) = (token(config, "bos_token")?, token(config, "eos_token")?);
    let adds_bos = config.get("add_bos_token").and_then(Value::as_bool);
    Ok(Marks { bos, eos, adds_bos })
}

/// A file as text; nothing where there is none.
fn read(path: &Path) -> Result<Option<String>, TaskError> {
    match r1x_files::read(path, MOST_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(wrong(format!("{} is not UTF-8", path.display()))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TaskError::Read { path: path.display().to_string(), error }),
    }
}

/// The template of a configuration: a text, or the one called `default` of a list.
fn of_config(config: &Value) -> Result<Option<String>, TaskError> {
    let templates = match config.get("chat_template") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(template)) => return Ok(Some(template.clone())),
        Some(Value::Array(templates)) => templates,
        Some(_) => {
            return Err(wrong(format!("`chat_template` of {CONFIG} is no text and no list")));
        }
    };
    let is_default = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("default");
    let default = templates.iter().find(is_default).and_then(|entry| entry.get("template"));
    match default.and_then(Value::as_str) {
        Some(template) => Ok(Some(template.to_owned())),
        None => Err(wrong(format!("{CONFIG} lists chat templates, but none called `default`"))),
    }
}

/// A token: its text, or an object with its text as `content`.
fn token(config: &Value, key: &str) -> Result<Option<String>, TaskError> {
    let value = config.get(key).unwrap_or(&Value::Null);
    match value.get("content").unwrap_or(value) {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(format!("`{key}` of {CONFIG} is no text and has no `content`"))),
    }
}

fn wrong(reason: String) -> TaskError {
    let hint =
        "name the file of the template with `chat_template` under `model.tokenizer`".to_owned();
    TaskError::Chat { line: None, reason, hint }
}
