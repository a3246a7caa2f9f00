//! From the columns of a problem to its prompt: one template, or messages that a chat template puts together.
//!
//! A tokenizer turns some texts into tokens with a meaning of their own, such as the end of a turn, wherever they stand.
//! A row that held one could say something in the name of the model, so it is refused: of these texts a prompt has
//! those that its own template writes, and the messages of a conversation have none, because the chat template writes
//! all of them.

use std::collections::BTreeMap;

use minijinja::Value;
use r1x_core::plan::{MessagesPlan, PromptPlan};
use r1x_core::{Markup, PromptForm};

use crate::chat::{ChatTemplate, Message};
use crate::error::TaskError;
use crate::template::{Columns, Template};

/// The values of a problem's columns, by name.
type Values<'v> = BTreeMap<&'v str, Value>;

/// A prompt, and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    pub(crate) form: PromptForm,
}

/// Writes the prompts of a data set.
pub(crate) struct Writer<'m> {
    form: Form,
    markup: &'m Markup,
}

enum Form {
    Text(Box<Template>),
    Messages(Box<Conversation>),
}

/// The templates of messages, and the one that puts messages together.
struct Conversation {
    system: Option<Template>,
    user: Template,
    prefill: Option<Template>,
    chat: ChatTemplate,
    /// What the chat template writes at the beginning of every answer.
    begun: String,
}

impl<'m> Writer<'m> {
    /// Compiles the templates of a data set, whose variables are the columns.
    ///
    /// # Errors
    /// When one is malformed or names a variable that is no column, or there are messages and no chat template.
    pub(crate) fn new(
        plan: &PromptPlan,
        markup: &'m Markup,
        columns: Columns<'_>,
    ) -> Result<Self, TaskError> {
        let form = match plan {
            PromptPlan::Text(source) => {
                Form::Text(Box::new(Template::new("prompt", source, columns)?))
            }
            PromptPlan::Messages(messages) => {
                Form::Messages(Box::new(Conversation::new(messages, markup, columns)?))
            }
        };
        Ok(Self { form, markup })
    }

    /// Columns that the templates read, sorted.
    pub(crate) fn used(&self) -> Vec<&str> {
        let templates = match &self.form {
            Form::Text(template) => vec![&**template],
            Form::Messages(one) => {
                let optional = [one.system.as_ref(), one.prefill.as_ref()];
                optional.into_iter().flatten().chain([&one.user]).collect()
            }
        };
        let mut used: Vec<&str> = templates.into_iter().flat_map(Template::used).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// The prompt of one problem.
    ///
    /// # Errors
    /// When a template fails on these values or writes nothing, or a reserved text comes from the values.
    pub(crate) fn write(&self, values: &Values<'_>) -> Result<Prompt, TaskError> {
        match &self.form {
            Form::Text(template) => {
                let text = template.render_some(values)?;
                match self.markup.forged(&text, template.source()) {
                    None => Ok(Prompt { text, form: PromptForm::Text }),
                    Some(token) => Err(TaskError::reserved("prompt", token)),
                }
            }
            Form::Messages(conversation) => conversation.write(values, self.markup),
        }
    }

    /// An error when a text of a row holds a reserved text.
    pub(crate) fn check(&self, what: &'static str, text: &str) -> Result<(), TaskError> {
        unreserved(self.markup, what, text)
    }
}

impl Conversation {
    fn new(plan: &MessagesPlan, markup: &Markup, columns: Columns<'_>) -> Result<Self, TaskError> {
        let Some(chat) = &markup.chat else { return Err(TaskError::NoChat) };
        let chat = ChatTemplate::new(&chat.template, chat.bos.as_deref(), chat.eos.as_deref())?;
        let optional = |of: &'static str, source: &Option<String>| {
            source.as_deref().map(|source| Template::new(of, source, columns)).transpose()
        };
        let begun = chat.begun();
        Ok(Self {
            system: optional("`system`", &plan.system)?,
            user: Template::new("`user`", &plan.user, columns)?,
            prefill: optional("`prefill`", &plan.prefill)?,
            chat,
            begun,
        })
    }

    fn write(&self, values: &Values<'_>, markup: &Markup) -> Result<Prompt, TaskError> {
        let optional = |what: &'static str, template: Option<&Template>| {
            let text = template.map(|template| template.render(values)).transpose()?;
            let text = text.unwrap_or_default();
            unreserved(markup, what, &text).map(|()| text)
        };
        let system = optional("system message", self.system.as_ref())?;
        let user = self.user.render_some(values)?;
        unreserved(markup, "user message", &user)?;
        let prefill = optional("prefill", self.prefill.as_ref())?;
        if !self.begun.is_empty() && self.begun.trim() == prefill.trim() {
            return Err(TaskError::BegunTwice { begun: self.begun.trim().to_owned() });
        }
        // A system message that says nothing is none.
        let system = Some(system).filter(|text| !text.trim().is_empty());
        let mut messages: Vec<Message> =
            system.into_iter().map(|text| Message::new("system", text)).collect();
        messages.push(Message::new("user", user));
        let mut text = self.chat.render_open(&messages)?;
        text.push_str(&prefill);
        let prefill = [self.begun.as_str(), &prefill].concat();
        Ok(Prompt { text, form: PromptForm::Messages { prefill } })
    }
}

/// Looks whether a text is a text to the tokenizer from its first to its last character; `what` names it.
///
/// # Errors
/// With the reserved text that it holds.
pub fn unreserved(markup: &Markup, what: &'static str, text: &str) -> Result<(), TaskError> {
    match markup.forged(text, "") {
        None => Ok(()),
        Some(token) => Err(TaskError::reserved(what, token)),
    }
}

#[cfg(test)]
mod tests;
