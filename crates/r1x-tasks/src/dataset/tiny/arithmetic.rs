//! Sums on a wheel: something stands on one of its places, moves on and back, and is multiplied.
//!
//! Places are numbered from 0, and every result is taken modulo their number, so a model has as many facts to learn as
//! the table of each operation has entries, and needs as many of them in a row as a problem has steps. Where numbers are
//! small beside the modulus, a place tells much about the next one and the tables are learnt soon; where they may be any,
//! neither factor tells anything by itself, and a small model guesses for a long time.

use r1x_core::Position;
use r1x_core::plan::{ArithmeticPlan, DrawPlan, Language};
use serde_json::json;

use super::phrase::{Phrase, words_of};
use super::{Group, Made, Spoken, Spot, Task, check_languages};
use crate::error::TaskError;

/// Fewest and most places of a wheel; each has a token of its own.
const MODULI: (u32, u32) = (5, 1_000);
/// Fewest and most steps.
const STEPS: (usize, usize) = (1, 5);
/// Largest factor of a multiplication.
const LARGEST_FACTOR: u32 = 9;

const STANDS: Phrase = Phrase::new(
    "a wheel has {} places and it is at {} .",
    "ein rad hat {} plätze und es steht auf {} .",
);
const MOVES_ON: Phrase = Phrase::new("it moves on by {} .", "es geht um {} vor .");
const MOVES_BACK: Phrase = Phrase::new("it moves back by {} .", "es geht um {} zurück .");
const MULTIPLIED: Phrase =
    Phrase::new("its place is taken {} times .", "sein platz wird mal {} genommen .");
const WHERE: Phrase = Phrase::new("where is it ?", "wo ist es ?");

const BEGINS: Phrase = Phrase::new("it is at {} ;", "es ist bei {} ;");
const COMPUTES: Phrase = Phrase::new("then {} {} {} is {} ;", "dann ist {} {} {} die {} ;");
const ENDS: Phrase = Phrase::new(
    "so it is at {} </think> <answer> {} </answer>",
    "also ist es bei {} </think> <answer> {} </answer>",
);
const PHRASES: [Phrase; 8] =
    [STANDS, MOVES_ON, MOVES_BACK, MULTIPLIED, WHERE, BEGINS, COMPUTES, ENDS];

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Add, Self::Subtract, Self::Multiply];

    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
        }
    }

    fn asked(self) -> Phrase {
        match self {
            Self::Add => MOVES_ON,
            Self::Subtract => MOVES_BACK,
            Self::Multiply => MULTIPLIED,
        }
    }

    /// The smallest and the largest number of a step; one that changes nothing is left out.
    fn operands(self, plan: &ArithmeticPlan) -> (u32, u32) {
        match self {
            Self::Add | Self::Subtract => (plan.min_number, plan.max_number),
            Self::Multiply => (2, LARGEST_FACTOR.min(plan.modulus - 1)),
        }
    }

    /// The place after the step, for a place and a number below the modulus.
    fn apply(self, place: u32, number: u32, modulus: u32) -> u32 {
        match self {
            Self::Add => (place + number) % modulus,
            Self::Subtract => (place + modulus - number) % modulus,
            Self::Multiply => place * number % modulus,
        }
    }
}

/// The task, with a sort for each sequence of operations.
pub(crate) struct Arithmetic {
    plan: ArithmeticPlan,
    sorts: Vec<Vec<Operation>>,
}

/// What is asked.
struct Asked {
    start: u32,
    steps: Vec<(Operation, u32)>,
}

impl Arithmetic {
    /// Checks a plan.
    ///
    /// # Errors
    /// When a number is out of range or the operations are not some of `+-*`.
    pub(crate) fn new(plan: &ArithmeticPlan) -> Result<Self, TaskError> {
        check_languages(&plan.draw, plan.mixed_thoughts)?;
        let refused = |reason: String, hint: String| Err(TaskError::Rules { reason, hint });
        if !(MODULI.0..=MODULI.1).contains(&plan.modulus) {
            let reason = format!("a wheel cannot have {} places", plan.modulus);
            let hint = format!("choose a modulus from {} to {}", MODULI.0, MODULI.1);
            return refused(reason, hint);
        }
        let (low, high) = (plan.min_number, plan.max_number);
        if low < 1 || low > high || high >= plan.modulus {
            let reason = format!("a step cannot go {low} to {high} places on or back");
            let hint = "choose numbers from 1 to one less than the modulus".to_owned();
            return refused(reason, hint);
        }
        let (low, high) = (plan.min_steps, plan.max_steps);
        if low > high || low < STEPS.0 || high > STEPS.1 {
            let reason = format!("a problem cannot have {low} to {high} steps");
            return refused(reason, format!("choose steps from {} to {}", STEPS.0, STEPS.1));
        }
        let symbols = &plan.operations;
        let allowed: Vec<Operation> =
            Operation::ALL.into_iter().filter(|op| symbols.contains(op.symbol())).collect();
        if allowed.is_empty() || allowed.len() != symbols.chars().count() {
            let reason = format!("the operations `{symbols}` are not one or more of `+-*`");
            return refused(reason, "write for example `+-*`, each once".to_owned());
        }
        let mut sorts = Vec::new();
        let mut longer: Vec<Vec<Operation>> = vec![Vec::new()];
        for steps in 1..=high {
            longer = longer.iter().flat_map(|begun| with_each(begun, &allowed)).collect();
            if steps >= low {
                sorts.extend(longer.iter().cloned());
            }
        }
        Ok(Self { plan: plan.clone(), sorts })
    }

    fn asked(&self, spot: Spot) -> Asked {
        let mut rest = spot.index;
        let mut digit = |low: u32, high: u32| {
            let base = u64::from(high - low) + 1;
            let digit = (rest % base) as u32;
            rest /= base;
            low + digit
        };
        let start = digit(0, self.plan.modulus - 1);
        let step = |operation: &Operation| {
            let (low, high) = operation.operands(&self.plan);
            (*operation, digit(low, high))
        };
        Asked { start, steps: self.sorts[spot.sort].iter().map(step).collect() }
    }

    fn question(&self, asked: &Asked, language: Language) -> String {
        let modulus = self.plan.modulus.to_string();
        let mut said = vec![STANDS.say(language, &[&modulus, &asked.start.to_string()])];
        for (operation, number) in &asked.steps {
            said.push(operation.asked().say(language, &[&number.to_string()]));
        }
        said.push(WHERE.say(language, &[]));
        said.join(" ")
    }

    /// The worked solution and the place where it ends.
    fn worked(&self, asked: &Asked, language: Language) -> (String, u32) {
        let mut place = asked.start;
        let mut said = vec![BEGINS.say(language, &[&place.to_string()])];
        for (operation, number) in &asked.steps {
            let next = operation.apply(place, *number, self.plan.modulus);
            let [from, by, to] = [place, *number, next].map(|number| number.to_string());
            said.push(COMPUTES.say(language, &[&from, operation.symbol(), &by, &to]));
            place = next;
        }
        let end = place.to_string();
        said.push(ENDS.say(language, &[&end, &end]));
        (said.join(" "), place)
    }
}

/// A sequence with each of the operations behind it.
fn with_each(begun: &[Operation], allowed: &[Operation]) -> Vec<Vec<Operation>> {
    allowed.iter().map(|operation| [begun, &[*operation]].concat()).collect()
}

impl Asked {
    fn shown(&self) -> Vec<String> {
        let step =
            |(operation, number): &(Operation, u32)| format!("{} {number}", operation.symbol());
        self.steps.iter().map(step).collect()
    }
}

impl Task for Arithmetic {
    fn name(&self) -> &'static str {
        "arithmetic"
    }

    fn draw(&self) -> &DrawPlan {
        &self.plan.draw
    }

    fn mixed_thoughts(&self) -> f64 {
        self.plan.mixed_thoughts
    }

    fn columns(&self) -> &'static [&'static str] {
        &["question", "language", "answer", "modulus", "start", "steps"]
    }

    fn groups(&self) -> Vec<Group> {
        let size = |operations: &Vec<Operation>| {
            let numbers = operations.iter().map(|operation| {
                let (low, high) = operation.operands(&self.plan);
                u64::from(high - low) + 1
            });
            u64::from(self.plan.modulus) * numbers.product::<u64>()
        };
        vec![Group { share: 1.0, sorts: self.sorts.iter().map(size).collect() }]
    }

    fn canonical(&self, spot: Spot) -> String {
        let asked = self.asked(spot);
        format!("{} {} mod {}", asked.start, asked.shown().join(" "), self.plan.modulus)
    }

    fn make(&self, spot: Spot, spoken: Spoken, _: &mut Position) -> Made {
        let asked = self.asked(spot);
        let (solution, end) = self.worked(&asked, spoken.thought);
        let answer = end.to_string();
        Made {
            columns: vec![
                json!(self.question(&asked, spoken.asked)),
                json!(spoken.asked.code()),
                json!(answer),
                json!(self.plan.modulus),
                json!(asked.start),
                json!(asked.shown()),
            ],
            solution,
            rejected: None,
            answer,
        }
    }

    fn pieces(&self) -> Vec<String> {
        let mut pieces = words_of(PHRASES, &self.plan.draw.languages);
        pieces.extend(Operation::ALL.map(|operation| operation.symbol().to_owned()));
        pieces.extend((0..=self.plan.modulus).map(|number| number.to_string()));
        pieces
    }
}
