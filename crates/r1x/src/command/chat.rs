//! `r1x chat`: a conversation with a model on a terminal, or with lines from a pipe.
//!
//! Must not record anything.

use std::io::BufRead;
use std::path::Path;

use r1x_tasks::Message;

use super::generate::MAX_TOKENS;
use crate::args::{Global, WritingArgs};
use crate::display::{Line, Page, Tone};
use crate::failure::Failure;
use crate::output::{self, Stream};
use crate::speaker::{ASSISTANT, Manner, Speaker, is_published};
use crate::wiring::Compute;

/// What stands before each line of an answer, so that none of them can pass for one of r1x's own.
const QUOTED: &str = "  | ";
/// A line that begins another conversation.
const AGAIN: &str = "/new";

/// How a conversation goes.
#[derive(Debug)]
pub struct Ask {
    /// What the model is told before it.
    pub system: Option<String>,
    /// How answers are written.
    pub writing: WritingArgs,
}

/// Answers each line that is typed, until there are no more.
///
/// # Errors
/// When there is no such model, or it knows no conversations.
pub fn chat(global: &Global, model: &str, ask: &Ask, compute: &Compute) -> Result<i32, Failure> {
    let speaker = match is_published(model) {
        true => Speaker::published(Path::new(model), ask.writing.precision, compute)?,
        false => Speaker::of_run(global, model, None, compute)?,
    };
    // A model that cannot be talked with says so before somebody has typed a question.
    speaker.conversation(&[Message::new("user", "?")])?;
    if output::is_terminal(Stream::Err) {
        eprintln!("each line is a question; {AGAIN} begins again, Ctrl-D ends");
    }
    let begun: Vec<Message> =
        ask.system.iter().map(|text| Message::new("system", text.as_str())).collect();
    let (mut messages, mut asked) = (begun.clone(), 0);
    while let Some(line) = next() {
        match line.trim() {
            "" => continue,
            AGAIN => {
                messages.clone_from(&begun);
                continue;
            }
            _ => messages.push(Message::new("user", line)),
        }
        let manner = Manner {
            samples: 1,
            max_tokens: Some(ask.writing.max_tokens().unwrap_or(MAX_TOKENS)),
            temperature: ask.writing.temperature,
            // Asked twice, a question may have two answers.
            seed: ask.writing.seed.wrapping_add(asked),
        };
        asked += 1;
        match answer(&speaker, &messages, &manner) {
            Ok(text) => {
                let mut page = Page::default();
                page.text(QUOTED, text.as_str()).blank();
                output::page(Stream::Out, &page);
                messages.push(Message::new(ASSISTANT, plain(&speaker.markup.reserved, text)));
            }
            Err(failure) => {
                // The conversation is as it was before the question, and can go on with another one.
                messages.pop();
                output::page(Stream::Err, &failure.page());
            }
        }
        if output::is_closed() {
            break;
        }
    }
    Ok(0)
}

/// The next line of standard input.
fn next() -> Option<String> {
    if output::is_terminal(Stream::Err) {
        let mut page = Page::default();
        page.line(Line::of(Tone::Faint, "you:"));
        output::page(Stream::Err, &page);
    }
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(count) if count > 0 => Some(line.trim_end_matches(['\n', '\r']).to_owned()),
        _ => None,
    }
}

fn answer(speaker: &Speaker, messages: &[Message], manner: &Manner) -> Result<String, Failure> {
    let question = speaker.conversation(messages)?;
    let answers = speaker.answers(std::slice::from_ref(&question), manner)?;
    let first = answers.first().and_then(|answered| answered.completions.first());
    Ok(first.map(|completion| speaker.text(&question, completion)).unwrap_or_default())
}

/// An answer as the conversation keeps it: a token with a meaning of its own, which a model may write anywhere, would
/// end the turn that it is quoted in.
fn plain(reserved: &[String], mut text: String) -> String {
    let reserved = || reserved.iter().filter(|token| !token.is_empty());
    // What is left around one may be another.
    while let Some(token) = reserved().find(|token| text.contains(token.as_str())) {
        text = text.replace(token.as_str(), "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_ends_the_turn_that_it_is_quoted_in() {
        let reserved = ["", "<|end|>", "<|start|>"].map(str::to_owned);
        let kept = |text: &str| plain(&reserved, text.to_owned());
        assert_eq!(kept("a <b> |end|"), "a <b> |end|");
        assert_eq!(kept("a<|end|><|start|>b<|end|>"), "ab");
        assert_eq!(kept("a<|e<|end|>nd|>b<|st<|e<|end|>nd|>art|>"), "ab");
    }
}
