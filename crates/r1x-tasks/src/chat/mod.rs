//! Chat templates as hubs ship them with a model: from messages to the text that the model was trained on.
//!
//! They are written for Jinja under Python, with blocks that take their line along, and call what transformers gives
//! them: methods of Python's strings, `tojson`, `raise_exception`, `strftime_now`. A template comes with somebody's
//! model, so it has the limits of prompt templates, on its source, its work and what it writes.

mod published;
mod python;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use crate::error::TaskError;
use crate::template::{FUEL, MOST_PROMPT_BYTES, MOST_SOURCE_BYTES, on_a_large_stack};

pub use published::{Marks, PublishedChat, marks, published};

/// Name of the one template of an environment.
const NAME: &str = "chat";

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

impl Object for Message {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "role" => Some(Value::from(&*self.role)),
            "content" => Some(Value::from(&*self.content)),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["role", "content"])
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
}

impl ChatTemplate {
    /// Compiles a template, which knows these tokens as `bos_token` and `eos_token`. Where there is none, the variable
    /// is undefined, which writes nothing.
    ///
    /// # Errors
    /// When it is malformed or too long.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self, TaskError> {
        if source.len() > MOST_SOURCE_BYTES {
            let reason = format!("it has {} bytes, more than {MOST_SOURCE_BYTES}", source.len());
            return Err(error(None, reason));
        }
        let environment = on_a_large_stack(|| compile(source))
            .unwrap_or_else(|why| Err(error(None, format!("it cannot be compiled: {why}"))))?;
        Ok(Self { environment, bos: bos.map(str::to_owned), eos: eos.map(str::to_owned) })
    }

    /// The text of a conversation. With `add_generation_prompt` it goes on to where the answer begins. `switches` are
    /// further variables of the template, such as `enable_thinking`.
    ///
    /// # Errors
    /// When the template refuses the messages, fails on them, or goes beyond a limit.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        switches: &[(&str, bool)],
    ) -> Result<String, TaskError> {
        let all = messages.iter().cloned().map(Value::from_object);
        let mut variables = BTreeMap::from([
            ("messages", Value::from(all.collect::<Vec<_>>())),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ]);
        for (name, token) in [("bos_token", &self.bos), ("eos_token", &self.eos)] {
            variables.extend(token.as_deref().map(|token| (name, Value::from(token))));
        }
        variables.extend(switches.iter().map(|(name, on)| (*name, Value::from(*on))));
        let template = self.environment.get_template(NAME);
        let text = template.and_then(|template| template.render(&variables)).map_err(of_jinja)?;
        if text.len() > MOST_PROMPT_BYTES {
            let bytes = text.len();
            let reason =
                format!("it writes a text of {bytes} bytes, more than {MOST_PROMPT_BYTES}");
            return Err(error(None, reason));
        }
        Ok(text)
    }

    /// The text of a conversation up to where the answer of the model begins.
    ///
    /// # Errors
    /// The errors of [`ChatTemplate::render`].
    pub fn render_open(&self, messages: &[Message]) -> Result<String, TaskError> {
        const WITH_GENERATION_PROMPT: bool = true;
        self.render(messages, WITH_GENERATION_PROMPT, &[])
    }

    /// What the template writes at the beginning of every answer besides whose turn it is, such as `<think>` and a line
    /// break; empty where it writes nothing.
    pub fn begun(&self) -> String {
        const WITHOUT_GENERATION_PROMPT: bool = false;
        const ANSWER: &str = "An answer, word for word.";
        let question = Message::new("user", "A question.");
        let open = self.render_open(std::slice::from_ref(&question));
        let answered = [question, Message::new("assistant", ANSWER)];
        let closed = self.render(&answered, WITHOUT_GENERATION_PROMPT, &[]);
        // A template that takes no such conversation says so where it is used.
        let (Ok(open), Ok(closed)) = (open, closed) else { return String::new() };
        let turn = closed.rsplit_once(ANSWER).map(|(turn, _)| turn);
        turn.and_then(|turn| open.strip_prefix(turn)).unwrap_or_default().to_owned()
    }

    /// The token that the template knows as `bos_token`.
    pub fn bos(&self) -> Option<&str> {
        self.bos.as_deref()
    }
}

fn compile(source: &str) -> Result<Environment<'static>, TaskError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(of_jinja)?);
    python::add(&mut environment);
    let source = python::without_generation_marks(source);
    environment.add_template_owned(NAME, source).map_err(of_jinja)?;
    Ok(environment)
}

/// What minijinja says.
fn of_jinja(said: minijinja::Error) -> TaskError {
    if said.kind() == ErrorKind::OutOfFuel {
        let reason = "it takes more work or memory than a prompt may".to_owned();
        return error(said.line(), reason);
    }
    let kind = said.kind().to_string();
    let reason = match said.detail() {
        Some(detail) if python::is_raised(&said) => format!("it refuses the messages: {detail}"),
        Some(detail) => format!("{kind}: {detail}"),
        None => kind,
    };
    error(said.line(), reason)
}

fn error(line: Option<usize>, reason: String) -> TaskError {
    let hint = "correct the template, or write the prompt as one text under `prompt`".to_owned();
    TaskError::Chat { line, reason, hint }
}
