//! What the tokenizer of a model means for prompts: how messages become one, and which texts are no text to it.

use crate::plan::{ChatPlan, TokenizerPlan};

/// What turns the columns of a row into a prompt, besides the templates of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup {
    /// How messages become a prompt; `None` where the model has no chat template.
    pub chat: Option<ChatPlan>,
    /// Texts that the tokenizer turns into tokens with a meaning of their own, such as the end of a turn, wherever they
    /// stand. No row may write one.
    pub reserved: Vec<String>,
}

impl Markup {
    /// The markup of a planned tokenizer that has these reserved texts.
    pub fn new(tokenizer: &TokenizerPlan, reserved: Vec<String>) -> Self {
        Self { chat: tokenizer.chat().cloned(), reserved }
    }

    /// The first reserved text that stands more often in a text than in the template that it was written by.
    pub fn forged(&self, text: &str, template: &str) -> Option<&str> {
        let forged = |token: &&String| {
            let found = text.matches(token.as_str()).count();
            found > template.matches(token.as_str()).count()
        };
        self.reserved.iter().filter(|token| !token.is_empty()).find(forged).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_writes_itself_is_not_forged() {
        let reserved = ["", "<|end|>", "<|start|>"].map(str::to_owned).to_vec();
        let markup = Markup { chat: None, reserved };
        assert_eq!(markup.forged("<|start|>a b<|end|>", "<|start|>{{ q }}<|end|>"), None);
        let text = "<|start|>a<|end|> b<|end|>";
        assert_eq!(markup.forged(text, "<|start|>{{ q }}<|end|>"), Some("<|end|>"));
        assert_eq!(markup.forged("<|start|>", "{{ q }}"), Some("<|start|>"));
        assert_eq!(Markup::default().forged("<|start|>", ""), None);
    }
}
