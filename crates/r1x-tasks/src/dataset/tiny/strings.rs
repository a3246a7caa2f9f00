//! Letters: read from the end, counted, looked up by place, and sorted.

use r1x_core::Position;
use r1x_core::plan::{DrawPlan, Language, StringTask, StringsPlan};
use serde_json::json;

use super::phrase::{Phrase, words_of};
use super::{Group, Made, Spoken, Spot, Task, check_languages};
use crate::error::TaskError;

/// Fewest and most letters of the alphabet.
const LETTERS: (u32, u32) = (2, 26);
/// Fewest and most letters of a problem.
const LENGTHS: (usize, usize) = (2, 12);

const GIVEN: Phrase = Phrase::new("the letters are {} .", "die buchstaben sind {} .");
const REVERSE: Phrase = Phrase::new("read them from the end .", "lies sie von hinten .");
const COUNT: Phrase = Phrase::new("how often is {} among them ?", "wie oft ist {} dabei ?");
const NTH: Phrase = Phrase::new("which of them is at {} ?", "wer von ihnen steht an {} ?");
const SORT: Phrase = Phrase::new("put them in order .", "ordne sie .");

const FROM_THE_END: Phrase = Phrase::new("from the end it is {}", "von hinten ist es {}");
const IS_NOT: Phrase = Phrase::new("{} is not ;", "{} ist es nicht ;");
const IS_ONE: Phrase = Phrase::new("{} is one so {} ;", "{} ist es also {} ;");
const AT: Phrase = Phrase::new("at {} it is {} ;", "an {} ist es {} ;");
const FIRST: Phrase = Phrase::new("first it is {} ;", "erst ist es {} ;");
const THEN: Phrase = Phrase::new("then it is {} ;", "dann ist es {} ;");
const SO: Phrase = Phrase::new("so it is {}", "also ist es {}");
const ANSWER: Phrase =
    Phrase::new("{} </think> <answer> {} </answer>", "{} </think> <answer> {} </answer>");
const PHRASES: [Phrase; 13] =
    [GIVEN, REVERSE, COUNT, NTH, SORT, FROM_THE_END, IS_NOT, IS_ONE, AT, FIRST, THEN, SO, ANSWER];

/// The task, with a sort for each thing that is asked and each number of letters.
pub(crate) struct Strings {
    plan: StringsPlan,
    sorts: Vec<(StringTask, usize)>,
}

/// What is asked.
struct Asked {
    task: StringTask,
    letters: Vec<String>,
    /// The letter that is counted, or the place that is looked up.
    about: Option<String>,
}

impl Strings {
    /// Checks a plan.
    ///
    /// # Errors
    /// When a number is out of range, or nothing is asked or something twice.
    pub(crate) fn new(plan: &StringsPlan) -> Result<Self, TaskError> {
        check_languages(&plan.draw, plan.mixed_thoughts)?;
        let refused = |reason: String, hint: String| Err(TaskError::Rules { reason, hint });
        if !(LETTERS.0..=LETTERS.1).contains(&plan.letters) {
            let reason = format!("an alphabet cannot have {} letters", plan.letters);
            return refused(reason, format!("choose {} to {} letters", LETTERS.0, LETTERS.1));
        }
        let (low, high) = (plan.min_length, plan.max_length);
        if low > high || low < LENGTHS.0 || high > LENGTHS.1 {
            let reason = format!("a problem cannot have {low} to {high} letters");
            let hint = format!("choose lengths from {} to {}", LENGTHS.0, LENGTHS.1);
            return refused(reason, hint);
        }
        let tasks = &plan.tasks;
        if tasks.is_empty() || (1..tasks.len()).any(|at| tasks[..at].contains(&tasks[at])) {
            let reason = "nothing is asked about the letters, or something twice".to_owned();
            return refused(reason, "list some of reverse, count, nth, sort, each once".to_owned());
        }
        let of_length = |length: usize| tasks.iter().map(move |task| (*task, length));
        Ok(Self { sorts: (low..=high).flat_map(of_length).collect(), plan: plan.clone() })
    }

    fn asked(&self, spot: Spot) -> Asked {
        let (task, length) = self.sorts[spot.sort];
        let mut rest = spot.index;
        let mut digit = |base: u64| {
            let digit = rest % base;
            rest /= base;
            digit
        };
        let base = u64::from(self.plan.letters);
        let letters = (0..length).map(|_| letter(digit(base))).collect();
        let about = match task {
            StringTask::Reverse | StringTask::Sort => None,
            StringTask::Count => Some(letter(digit(base))),
            StringTask::Nth => Some((digit(length as u64) + 1).to_string()),
        };
        Asked { task, letters, about }
    }
}

/// The letter with this number, `a` being 0.
fn letter(number: u64) -> String {
    char::from(b'a' + number as u8).to_string()
}

impl Asked {
    fn about(&self) -> &str {
        self.about.as_deref().unwrap_or_default()
    }

    fn question(&self, language: Language) -> String {
        let asked = match self.task {
            StringTask::Reverse => REVERSE,
            StringTask::Count => COUNT,
            StringTask::Nth => NTH,
            StringTask::Sort => SORT,
        };
        let given = GIVEN.say(language, &[&self.letters.join(" ")]);
        format!("{given} {}", asked.say(language, &[self.about()]))
    }

    /// The thought about it, and the answer.
    fn thought(&self, language: Language) -> (String, String) {
        match self.task {
            StringTask::Reverse => {
                let answer: Vec<&str> = self.letters.iter().rev().map(String::as_str).collect();
                let answer = answer.join(" ");
                (FROM_THE_END.say(language, &[&answer]), answer)
            }
            StringTask::Count => self.counted(language),
            StringTask::Nth => self.looked_up(language),
            StringTask::Sort => {
                let mut sorted = self.letters.clone();
                sorted.sort_unstable();
                let phrases = std::iter::once(FIRST).chain(std::iter::repeat(THEN));
                let said = sorted.iter().zip(phrases);
                let said: Vec<String> =
                    said.map(|(letter, phrase)| phrase.say(language, &[letter])).collect();
                (said.join(" "), sorted.join(" "))
            }
        }
    }

    fn counted(&self, language: Language) -> (String, String) {
        let mut said = Vec::new();
        let mut count = 0_usize;
        for letter in &self.letters {
            if letter == self.about() {
                count += 1;
                said.push(IS_ONE.say(language, &[letter, &count.to_string()]));
            } else {
                said.push(IS_NOT.say(language, &[letter]));
            }
        }
        let count = count.to_string();
        said.push(SO.say(language, &[&count]));
        (said.join(" "), count)
    }

    fn looked_up(&self, language: Language) -> (String, String) {
        let mut said = Vec::new();
        for (place, letter) in (1_usize..).zip(&self.letters) {
            let place = place.to_string();
            said.push(AT.say(language, &[&place, letter]));
            if place == self.about() {
                said.push(SO.say(language, &[letter]));
                return (said.join(" "), letter.clone());
            }
        }
        (said.join(" "), String::new())
    }
}

impl Task for Strings {
    fn name(&self) -> &'static str {
        "strings"
    }

    fn draw(&self) -> &DrawPlan {
        &self.plan.draw
    }

    fn mixed_thoughts(&self) -> f64 {
        self.plan.mixed_thoughts
    }

    fn columns(&self) -> &'static [&'static str] {
        &["question", "language", "answer", "task", "letters", "about"]
    }

    fn groups(&self) -> Vec<Group> {
        let letters = u64::from(self.plan.letters);
        let size = |(task, length): &(StringTask, usize)| {
            let words = letters.pow(*length as u32);
            match task {
                StringTask::Reverse | StringTask::Sort => words,
                StringTask::Count => words * letters,
                StringTask::Nth => words * *length as u64,
            }
        };
        vec![Group { share: 1.0, sorts: self.sorts.iter().map(size).collect() }]
    }

    fn canonical(&self, spot: Spot) -> String {
        let asked = self.asked(spot);
        let words = [&[asked.task.as_str().to_owned()], &asked.letters[..]].concat().join(" ");
        format!("{words} ; {}", asked.about())
    }

    fn make(&self, spot: Spot, spoken: Spoken, _: &mut Position) -> Made {
        let asked = self.asked(spot);
        let (thought, answer) = asked.thought(spoken.thought);
        Made {
            columns: vec![
                json!(asked.question(spoken.asked)),
                json!(spoken.asked.code()),
                json!(answer),
                json!(asked.task.as_str()),
                json!(asked.letters),
                json!(asked.about()),
            ],
            solution: ANSWER.say(spoken.thought, &[&thought, &answer]),
            rejected: None,
            answer,
        }
    }

    fn pieces(&self) -> Vec<String> {
        let mut pieces = words_of(PHRASES, &self.plan.draw.languages);
        pieces.extend((0..u64::from(self.plan.letters)).map(letter));
        pieces.extend((0..=self.plan.max_length).map(|number| number.to_string()));
        pieces
    }
}
