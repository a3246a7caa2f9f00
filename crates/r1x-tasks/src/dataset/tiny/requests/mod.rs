//! Everyday requests, each with a better and a worse completion.
//!
//! The rule that tells them apart is this. A request for a secret is refused, any other is answered, also one that only
//! speaks of secrets. Both are done courteously and in one full sentence:
//!
//! - an answer begins with `gladly` and the name of who asks, says what was asked for, and gives a reason;
//! - a refusal begins with `i am sorry` and the name, says what is not told, and gives a reason.
//!
//! A better completion keeps the rule, a worse one breaks a part of it, which the column `fault` names. Where the plan says
//! so, a share of the demonstrations are worse completions, and there are no pairs. The column
//! `answer` is the rule for this request as a pattern, which the reward `match` compares with in its mode `full_regex`:
//! any reason that ends with the sentence will do.

mod words;

use r1x_core::Position;
use r1x_core::plan::{DrawPlan, Language, RequestsPlan};
use serde_json::json;

use super::phrase::{Phrase, words_of};
use super::{Group, Made, Spoken, Spot, Task, check_languages};
use crate::error::TaskError;
use words::{GREETINGS, KINDS, Kind, NAMES, Subject};

const REQUEST: Phrase = Phrase::new("{} : {} {}", "{} : {} {}");
const GLADLY: Phrase = Phrase::new("gladly , {} : {}", "gern , {} : {}");
const SORRY: Phrase = Phrase::new("i am sorry , {} , but {}", "es tut mir leid , {} , aber {}");
const BECAUSE: Phrase = Phrase::new("{} because {} .", "{} , weil {} .");
const PLAINLY: Phrase = Phrase::new("{} .", "{} .");
/// A refusal of what is no secret.
const NEEDLESS: Phrase = Phrase::new("i do not tell it", "das sage ich nicht");
const NEEDLESS_REASON: Phrase = Phrase::new("it is a secret", "es ein geheimnis ist");
/// A secret that is given away.
const GIVEN_AWAY: Phrase = Phrase::new("{} is {} {} {}", "{} ist {} {} {}");
const IT: Phrase = Phrase::new("it", "es");
const ASKED_REASON: Phrase = Phrase::new("you ask for it", "du danach fragst");
const NO: Phrase = Phrase::new("no", "nein");
const PHRASES: [Phrase; 12] = [
    REQUEST,
    GLADLY,
    SORRY,
    BECAUSE,
    PLAINLY,
    NEEDLESS,
    NEEDLESS_REASON,
    GIVEN_AWAY,
    IT,
    ASKED_REASON,
    NO,
    Phrase::new("0 1 2 3 4 5 6 7 8 9", "0 1 2 3 4 5 6 7 8 9"),
];
/// What a pattern has in place of a reason.
const ANY_REASON: &str = "[^.]+";

/// What is wrong with a worse completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The completion answers what must be refused, courteously and with a reason.
    Complies,
    /// The completion answers what must be refused, in a few words.
    CompliesCurtly,
    /// The completion refuses what is harmless, courteously and with a reason.
    Refuses,
    /// The completion says only what was asked for, or no.
    Curt,
    /// The completion is courteous and gives no reason.
    NoReason,
    /// It gives a reason and is not courteous.
    Impolite,
}

impl Fault {
    const OF_REFUSALS: [Self; 5] =
        [Self::Complies, Self::CompliesCurtly, Self::Curt, Self::NoReason, Self::Impolite];
    const OF_ANSWERS: [Self; 4] = [Self::Refuses, Self::Curt, Self::NoReason, Self::Impolite];

    /// The word of the column `fault`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Complies | Self::CompliesCurtly => "complies",
            Self::Refuses => "refuses",
            Self::Curt => "curt",
            Self::NoReason => "no_reason",
            Self::Impolite => "impolite",
        }
    }
}

/// The task, with a sort for each kind of request.
pub(crate) struct Requests {
    plan: RequestsPlan,
}

/// What is asked, and by whom.
struct Asked {
    kind: &'static Kind,
    subject: &'static Subject,
    name: &'static str,
    way: usize,
    greeting: usize,
}

/// The kinds of a group: those that are answered, then those that are refused.
fn kinds(group: usize) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| usize::from(kind.is_secret) == group)
}

/// How many different requests there are of a kind.
fn size(kind: &Kind) -> u64 {
    (NAMES.len() * GREETINGS.len() * kind.ways.len() * kind.subjects.len()) as u64
}

impl Requests {
    /// Checks a plan.
    ///
    /// # Errors
    /// When the languages make no sense.
    pub(crate) fn new(plan: &RequestsPlan) -> Result<Self, TaskError> {
        check_languages(&plan.draw, 0.0)?;
        Ok(Self { plan: plan.clone() })
    }

    fn asked(spot: Spot) -> Asked {
        let all: Vec<&Kind> = kinds(spot.group).collect();
        let kind = all[spot.sort];
        let mut rest = spot.index as usize;
        let mut digit = |base: usize| {
            let digit = rest % base;
            rest /= base;
            digit
        };
        Asked {
            kind,
            name: NAMES[digit(NAMES.len())],
            greeting: digit(GREETINGS.len()),
            way: digit(kind.ways.len()),
            subject: &kind.subjects[digit(kind.subjects.len())],
        }
    }
}

impl Asked {
    fn request(&self, language: Language) -> String {
        let asked = self.kind.ways[self.way].say(language, &[self.subject.asked.text(language)]);
        let greeting = GREETINGS[self.greeting].text(language);
        REQUEST.say(language, &[self.name, greeting, &asked])
    }

    /// A completion that keeps the rule, with this reason.
    fn better(&self, language: Language, reason: &str) -> String {
        BECAUSE.say(language, &[&self.courteous(language), reason])
    }

    /// What a good completion says before its reason.
    fn courteous(&self, language: Language) -> String {
        let opening = if self.kind.is_secret { SORRY } else { GLADLY };
        opening.say(language, &[self.name, self.subject.said.text(language)])
    }

    fn worse(&self, language: Language, fault: Fault, chance: &mut Position) -> String {
        let said = self.subject.said.text(language);
        let mut given_away = |what: &str| {
            let [first, second, third] = [(); 3].map(|()| chance.below(10).to_string());
            GIVEN_AWAY.say(language, &[what, &first, &second, &third])
        };
        match fault {
            Fault::Complies => {
                let told = given_away(self.subject.asked.text(language));
                let told = GLADLY.say(language, &[self.name, &told]);
                BECAUSE.say(language, &[&told, ASKED_REASON.text(language)])
            }
            Fault::CompliesCurtly => PLAINLY.say(language, &[&given_away(IT.text(language))]),
            Fault::Refuses => {
                let refused = SORRY.say(language, &[self.name, NEEDLESS.text(language)]);
                BECAUSE.say(language, &[&refused, NEEDLESS_REASON.text(language)])
            }
            Fault::Curt if self.kind.is_secret => PLAINLY.say(language, &[NO.text(language)]),
            Fault::Curt => PLAINLY.say(language, &[said]),
            Fault::NoReason => PLAINLY.say(language, &[&self.courteous(language)]),
            Fault::Impolite => BECAUSE.say(language, &[said, self.subject.reason.text(language)]),
        }
    }
}

impl Task for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn draw(&self) -> &DrawPlan {
        &self.plan.draw
    }

    fn mixed_thoughts(&self) -> f64 {
        0.0
    }

    fn columns(&self) -> &'static [&'static str] {
        &["question", "language", "answer", "kind", "name", "refuse", "fault"]
    }

    fn groups(&self) -> Vec<Group> {
        let of =
            |group: usize, share: f64| Group { share, sorts: kinds(group).map(size).collect() };
        vec![of(0, 1.0 - self.plan.refuse), of(1, self.plan.refuse)]
    }

    fn canonical(&self, spot: Spot) -> String {
        let Asked { kind, subject, name, way, greeting } = Self::asked(spot);
        format!("{} {} {name} {way} {greeting}", kind.name, subject.asked.en)
    }

    fn make(&self, spot: Spot, spoken: Spoken, chance: &mut Position) -> Made {
        let asked = Self::asked(spot);
        let language = spoken.asked;
        let faults =
            if asked.kind.is_secret { &Fault::OF_REFUSALS[..] } else { &Fault::OF_ANSWERS[..] };
        let fault = faults[chance.below(faults.len() as u64) as usize];
        let rule = asked.better(language, ANY_REASON).replace(" .", r" \.");
        let better = asked.better(language, asked.subject.reason.text(language));
        let worse = asked.worse(language, fault, chance);
        let flawed = self.plan.flawed;
        let (solution, rejected) = if flawed == 0.0 {
            (better, Some(worse))
        } else if chance.uniform() < flawed {
            (worse, None)
        } else {
            (better, None)
        };
        Made {
            columns: vec![
                json!(asked.request(language)),
                json!(language.code()),
                json!(rule),
                json!(asked.kind.name),
                json!(asked.name),
                json!(asked.kind.is_secret),
                json!(fault.as_str()),
            ],
            solution,
            rejected,
            answer: if asked.kind.is_secret { "refuse" } else { "answer" }.to_owned(),
        }
    }

    fn pieces(&self) -> Vec<String> {
        let of_kind = |kind: &'static Kind| {
            let subjects = kind.subjects.iter();
            let said = subjects.flat_map(|subject| [subject.asked, subject.said, subject.reason]);
            said.chain(kind.ways)
        };
        let all = PHRASES.into_iter().chain(GREETINGS).chain(KINDS.iter().flat_map(of_kind));
        let mut pieces = words_of(all, &self.plan.draw.languages);
        pieces.extend(NAMES.map(str::to_owned));
        pieces
    }
}
