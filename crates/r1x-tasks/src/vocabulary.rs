//! The vocabulary a data set builds for a model of its own: one token per word, words separated by blanks.

use std::collections::BTreeSet;

use r1x_core::Markup;
use r1x_core::plan::{CountdownPlan, DataPlan, PromptPlan, SourcePlan};

use crate::dataset::countdown::{Rules, probe_prompts, writer};
use crate::dataset::tiny::{self, Arithmetic, Requests, Strings};
use crate::dataset::{DataSet, rows};
use crate::error::TaskError;

/// Words of worked solutions besides numbers.
const COUNTDOWN_WORDS: [&str; 13] =
    ["+", "-", "*", "/", "=", ";", "(", ")", "no", "<think>", "</think>", "<answer>", "</answer>"];
/// The end of the sequence, which every vocabulary has already.
const END: &str = "<eos>";
/// Most words of a vocabulary: beyond, a token per word is the wrong choice.
const MOST_WORDS: usize = 65_536;
/// Made-up problems rendered to learn the words of a template; the first two take the ends of every range.
const PROBES: u64 = 48;

/// The pieces of a data set's vocabulary in a fixed order, without the end of the sequence.
///
/// Of the small tasks: every word that a problem or a completion may have, and the words of the template. Of Countdown: the words of solutions, the words of the template in the order they first appear, and every
/// whole number from 0 to the bound of intermediate results. Of a file: its [`words`]. A template whose words depend on the problem in other ways than by its numbers is learnt from 48
/// made-up problems.
///
/// # Errors
/// When the plan describes no problems, a number in the prompt is not a word of its own, or there are too
/// many words.
pub fn vocabulary(plan: &DataPlan) -> Result<Vec<String>, TaskError> {
    let pieces = match (&plan.source, &plan.prompt) {
        (SourcePlan::Rows { .. }, _) => {
            return words(&rows::read(plan, &Markup::default())?);
        }
        (_, PromptPlan::Messages(_)) => return Err(TaskError::NoChat),
        (SourcePlan::Countdown(plan), PromptPlan::Text(prompt)) => {
            return of_countdown(plan, prompt);
        }
        (SourcePlan::Arithmetic(plan), PromptPlan::Text(prompt)) => {
            tiny::vocabulary(&Arithmetic::new(plan)?, prompt)?
        }
        (SourcePlan::Strings(plan), PromptPlan::Text(prompt)) => {
            tiny::vocabulary(&Strings::new(plan)?, prompt)?
        }
        (SourcePlan::Requests(plan), PromptPlan::Text(prompt)) => {
            tiny::vocabulary(&Requests::new(plan)?, prompt)?
        }
    };
    bounded(pieces.into_iter().filter(|piece| piece != END).collect())
}

/// All words of a file's prompts, solutions and worse completions, and of the answers of problems without a solution, sorted: what
/// the model reads, and what it has to write.
///
/// # Errors
/// When there are too many.
pub fn words(set: &DataSet) -> Result<Vec<String>, TaskError> {
    let mut words = BTreeSet::new();
    for problem in set.train.iter().chain(&set.heldout) {
        let written = problem.solution.as_ref().or(problem.answer.as_ref());
        let texts = [Some(&problem.prompt), written, problem.rejected.as_ref()];
        words.extend(texts.into_iter().flatten().flat_map(|text| text.split_whitespace()));
        if words.len() > MOST_WORDS {
            return Err(TaskError::VocabularyTooLarge { limit: MOST_WORDS });
        }
    }
    words.remove(END);
    bounded(words.into_iter().map(str::to_owned).collect())
}

fn of_countdown(plan: &CountdownPlan, template: &str) -> Result<Vec<String>, TaskError> {
    let bound = Rules::new(plan)?.bound;
    let mut pieces: Vec<String> = COUNTDOWN_WORDS.map(str::to_owned).to_vec();
    let (prompt, markup) = (PromptPlan::text(template), Markup::default());
    for prompt in probe_prompts(plan, &writer(&prompt, &markup)?, PROBES)? {
        for word in prompt.split_whitespace() {
            if is_number(word, bound) || word == END || pieces.iter().any(|piece| piece == word) {
                continue;
            }
            // A word that is not in the template was put together from its columns.
            if word.contains(|c: char| c.is_ascii_digit()) && !template.contains(word) {
                return Err(TaskError::GluedNumber { word: word.to_owned() });
            }
            pieces.push(word.to_owned());
        }
    }
    pieces.extend((0..=bound).map(|number| number.to_string()));
    bounded(pieces)
}

/// Whether the word is a number with a token: `7`, not `07`.
fn is_number(word: &str, bound: u32) -> bool {
    word.parse::<u32>().is_ok_and(|number| number <= bound && number.to_string() == word)
}

fn bounded(pieces: Vec<String>) -> Result<Vec<String>, TaskError> {
    if pieces.len() > MOST_WORDS {
        return Err(TaskError::VocabularyTooLarge { limit: MOST_WORDS });
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use r1x_core::plan::{RowFormat, TraceStyle};
    use r1x_core::testing;

    use super::*;
    use crate::load;
    use r1x_core::digest::sha256;

    fn plan(prompt: &str, trace: TraceStyle) -> DataPlan {
        let source = SourcePlan::Countdown(CountdownPlan {
            min_count: 3,
            max_count: 4,
            max_number: 12,
            max_target: 60,
            train: 2_000,
            heldout: 200,
            trace,
            seed: 4,
            ..testing::countdown()
        });
        DataPlan { source, prompt: PromptPlan::text(prompt) }
    }

    #[track_caller]
    fn check_encodable(plan: &DataPlan) -> Vec<String> {
        let pieces = vocabulary(plan).unwrap();
        let known: HashSet<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(known.len(), pieces.len(), "no piece twice");
        assert!(!known.contains("<eos>"));
        let set = load("data", plan, &Markup::default()).unwrap();
        for problem in set.train.iter().chain(&set.heldout) {
            for word in [&problem.prompt, problem.solution.as_ref().unwrap()]
                .into_iter()
                .flat_map(|text| text.split_whitespace())
            {
                assert!(known.contains(word), "`{word}` of {problem:?}");
            }
        }
        pieces
    }

    #[test]
    fn every_word_of_countdown_has_a_token() {
        for trace in [TraceStyle::Steps, TraceStyle::Search] {
            check_encodable(&plan("{{ nums | join(' ') }} -> {{ target }} <think>", trace));
            check_encodable(&plan(
                "R1: make {{ target }} of {{ nums | join(' and ') }} . \
                 {% if target > 50 %}It is large, 1000 {% else %}It is small{% endif %} <think>",
                trace,
            ));
        }
    }

    #[test]
    fn the_order_of_the_pieces_is_fixed() {
        let pieces =
            vocabulary(&plan("of {{ nums | join(' ') }} make {{ target }}", TraceStyle::Steps));
        let pieces = pieces.unwrap();
        assert_eq!(pieces[..13], COUNTDOWN_WORDS);
        assert_eq!(pieces[13..17], ["of", "make", "0", "1"]);
        // 13 words, 2 of the template, 0 to the largest target.
        assert_eq!(pieces.len(), 13 + 2 + 61);
    }

    #[test]
    fn numbers_that_touch_other_characters_are_refused() {
        let error = vocabulary(&plan("{{ nums }} -> {{ target }}", TraceStyle::Steps)).unwrap_err();
        assert!(matches!(&error, TaskError::GluedNumber { word } if word == "[1,"), "{error}");
        assert!(error.hint().contains("join(' ')"));
    }

    #[test]
    fn a_file_gives_its_words_and_a_bound_on_them() {
        let folder = std::env::temp_dir().join(format!("r1x-vocabulary-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("rows.jsonl");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            DataPlan {
                source: SourcePlan::Rows {
                    path: path.display().to_string(),
                    format: RowFormat::JsonLines,
                    sha256: sha256(text.as_bytes()),
                    heldout: 0.5,
                    columns: Some(vec!["q".to_owned()]),
                    renamed: Default::default(),
                    solution: Some("s".to_owned()),
                    rejected: None,
                    answer: None,
                    answer_after: None,
                },
                prompt: PromptPlan::text("Q: {{ q }} A:"),
            }
        };
        let small = of("{\"q\": \"b a\", \"s\": \"c\"}\n{\"q\": \"a\", \"s\": \"<eos> d\"}");
        assert_eq!(vocabulary(&small).unwrap(), ["A:", "Q:", "a", "b", "c", "d"]);
        let mut answers = of(
            "{\"q\": \"b\", \"s\": null, \"gold\": 7}\n{\"q\": \"b\", \"s\": \"x\", \"gold\": 8}",
        );
        let SourcePlan::Rows { answer, .. } = &mut answers.source else { unreachable!() };
        *answer = Some("gold".to_owned());
        assert_eq!(vocabulary(&answers).unwrap(), ["7", "A:", "Q:", "b", "x"]);
        let words: Vec<String> = (0..70_000).map(|word| format!("w{word}")).collect();
        let large = of(&format!("{{\"q\": \"{}\", \"s\": \"c\"}}", words.join(" ")));
        let error = vocabulary(&large).unwrap_err();
        assert!(matches!(error, TaskError::VocabularyTooLarge { limit: 65_536 }), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
