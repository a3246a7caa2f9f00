//! The plans of the small generated tasks. What makes sense of them is decided where problems are made.

use r1x_core::plan::{
    ArithmeticPlan, DrawPlan, Language, RequestsPlan, SourcePlan, StringTask, StringsPlan,
};

use crate::read::At;
use crate::spec::{ArithmeticSpec, DrawSpec, RequestsSpec, StringsSpec};

/// What is asked about letters where a spec does not say.
const TASKS: [StringTask; 4] =
    [StringTask::Reverse, StringTask::Count, StringTask::Nth, StringTask::Sort];

pub(super) fn arithmetic(spec: &ArithmeticSpec) -> SourcePlan {
    let all = (1, spec.modulus.saturating_sub(1));
    let (min_number, max_number) =
        spec.numbers.as_ref().map_or(all, |numbers| (numbers.value.0, numbers.value.1));
    SourcePlan::Arithmetic(ArithmeticPlan {
        modulus: *spec.modulus,
        min_number,
        max_number,
        min_steps: spec.steps.0 as usize,
        max_steps: spec.steps.1 as usize,
        operations: spec.operations.0.clone(),
        mixed_thoughts: *spec.mixed_thoughts,
        draw: draw(&spec.draw),
    })
}

pub(super) fn strings(spec: &StringsSpec) -> SourcePlan {
    SourcePlan::Strings(StringsPlan {
        tasks: listed(spec.tasks.as_ref(), &TASKS),
        letters: *spec.letters,
        min_length: spec.length.0 as usize,
        max_length: spec.length.1 as usize,
        mixed_thoughts: *spec.mixed_thoughts,
        draw: draw(&spec.draw),
    })
}

pub(super) fn requests(spec: &RequestsSpec) -> SourcePlan {
    let (refuse, flawed) = (*spec.refuse, *spec.flawed);
    SourcePlan::Requests(RequestsPlan { refuse, flawed, draw: draw(&spec.draw) })
}

fn draw(spec: &DrawSpec) -> DrawPlan {
    DrawPlan {
        train: *spec.train,
        heldout: *spec.heldout,
        languages: listed(spec.languages.as_ref(), &[Language::En]),
        seed: *spec.seed,
    }
}

/// What a list says, or what holds without it.
fn listed<T: Copy>(written: Option<&At<Vec<At<T>>>>, otherwise: &[T]) -> Vec<T> {
    written.map_or_else(
        || otherwise.to_vec(),
        |list| list.value.iter().map(|entry| entry.value).collect(),
    )
}
