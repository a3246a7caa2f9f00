//! What a model with a value head is asked about a response: which text, and at which row.
//!
//! Training and whoever asks for values later go through this file, so that a value means one thing.

use crate::plan::ReadPart;
use crate::port::{Encoder, PortError};
use crate::problem::Problem;
use crate::rollout::TrainingSequence;

/// What begins a thought, and what ends it.
const THOUGHT: [&str; 2] = ["<think>", "</think>"];

impl ReadPart {
    /// The prompt of a problem and the part of a response to it that are read. The response is as people read it
    /// ([`Problem::answered`]) or as data has it. Where the thought is left out, so is the word at the end of the prompt
    /// that opens it, and of a thought that was never closed nothing is left.
    pub fn of<'t>(self, problem: &'t Problem, response: &'t str) -> (&'t str, &'t str) {
        let prompt = problem.prompt.as_str();
        if self == ReadPart::Response {
            return (prompt, problem.continued(response));
        }
        let [open, close] = THOUGHT;
        let unopened = prompt.trim_end().strip_suffix(open);
        let answer = match response.rfind(close) {
            Some(at) => response[at + close.len()..].trim_start(),
            None if unopened.is_some() || response.contains(open) => "",
            None => problem.continued(response),
        };
        (unopened.unwrap_or(prompt), answer)
    }
}

/// The sequence whose last target a model with a value head says the value of a response at.
///
/// # Errors
/// When the texts have a word that is no token.
pub fn sequence(
    encoder: &dyn Encoder,
    reads: ReadPart,
    problem: &Problem,
    response: &str,
) -> Result<TrainingSequence, PortError> {
    let (prompt, response) = reads.of(problem, response);
    let prompt = encoder.encode_prompt(prompt, &problem.form)?;
    let mut targets = encoder.encode(response)?;
    // The value is said at the row of the first, and a row is that of the target behind it.
    targets.extend([encoder.eos(); 2]);
    let mut sequence = TrainingSequence::new(&prompt, &targets);
    let last = targets.len() - 1;
    sequence.mask[..last].fill(false);
    Ok(sequence)
}

/// The value of a response in what a model said of the targets of its [`sequence`].
pub fn value(said: &[f32]) -> Option<f64> {
    said.last().map(|value| f64::from(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::PromptForm;
    use crate::testing;

    /// Letters as tokens; `.` ends a sequence.
    struct Letters;

    impl Encoder for Letters {
        fn encode(&self, text: &str) -> Result<Vec<u32>, PortError> {
            Ok(text.bytes().map(u32::from).collect())
        }
        fn decode(&self, tokens: &[u32]) -> String {
            tokens.iter().filter_map(|token| char::from_u32(*token)).collect()
        }
        fn eos(&self) -> u32 {
            u32::from(b'.')
        }
        fn bos(&self) -> Option<u32> {
            None
        }
        fn context_length(&self) -> usize {
            64
        }
    }

    fn prefilled() -> Problem {
        let prefill = "<think>\n".to_owned();
        let form = PromptForm::Messages { prefill };
        Problem { form, ..testing::problem("a", "2+2?|<think>\n") }
    }

    #[test]
    fn a_response_is_read_as_it_was_written() {
        let problem = prefilled();
        let read = ReadPart::Response.of(&problem, "<think>\nhm</think>\n4");
        assert_eq!(read, ("2+2?|<think>\n", "hm</think>\n4"));
        let plain = testing::problem("a", "2+2?");
        assert_eq!(ReadPart::Response.of(&plain, "4"), ("2+2?", "4"));
    }

    #[test]
    fn an_answer_is_read_without_its_thought_and_what_opens_it() {
        let problem = prefilled();
        let read = |response| ReadPart::Answer.of(&problem, response);
        assert_eq!(read("<think>\nhm</think>\n\n4"), ("2+2?|", "4"));
        assert_eq!(read("hm</think> or </think>4"), ("2+2?|", "4"));
        assert_eq!(read("<think>\nhm, hm"), ("2+2?|", ""));
        let plain = testing::problem("a", "2+2?");
        assert_eq!(ReadPart::Answer.of(&plain, "4"), ("2+2?", "4"));
        assert_eq!(ReadPart::Answer.of(&plain, "<think>2 and 2"), ("2+2?", ""));
        assert_eq!(ReadPart::Answer.of(&plain, "<think>2</think>4"), ("2+2?", "4"));
    }

    /// The value is said at the row of the end-of-sequence token, so that the whole response is seen from there.
    #[test]
    fn the_row_that_is_asked_is_that_of_the_end() {
        let problem = testing::problem("a", "q");
        let found = sequence(&Letters, ReadPart::Response, &problem, "ab").unwrap();
        assert_eq!(Letters.decode(&found.tokens), "qab..");
        assert_eq!((found.prompt_len, found.mask), (1, vec![false, false, false, true]));
        let empty = sequence(&Letters, ReadPart::Response, &problem, "").unwrap();
        assert_eq!(
            (Letters.decode(&empty.tokens), empty.mask),
            ("q..".to_owned(), vec![false, true])
        );
        assert_eq!(value(&[1.0, 2.0, -0.5]), Some(-0.5));
        assert_eq!(value(&[]), None);
    }
}
