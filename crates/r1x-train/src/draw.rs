//! Which problems a step draws: a fresh permutation of the split for every pass over it.
//!
//! A draw is addressed by its position in the stage's endless stream of problems, so the number of problems drawn so
//! far is the whole data cursor.

use r1x_core::plan::DataRef;
use r1x_core::{PortError, Problem, ProblemSource, Stream};

use crate::error::TrainError;

/// The problems a reference means: those of a split after the skipped ones, as many as its limit.
pub(crate) fn limited<'a>(
    source: &'a dyn ProblemSource,
    data: &DataRef,
    place: &str,
) -> Result<&'a [Problem], PortError> {
    let problems = source.problems(&data.data, data.split)?;
    let problems = problems.get(data.skip..).unwrap_or_default();
    let count = data.limit.unwrap_or(usize::MAX).min(problems.len());
    if count == 0 {
        return Err(TrainError::NoProblems {
            place: place.to_owned(),
            data: data.data.clone(),
            split: data.split.as_str(),
        }
        .into());
    }
    Ok(&problems[..count])
}

/// The problems of several references, one behind the other.
pub(crate) fn mixed<'a>(
    source: &'a dyn ProblemSource,
    data: &[DataRef],
    place: &str,
) -> Result<Vec<&'a Problem>, PortError> {
    let mut problems = Vec::new();
    for reference in data {
        problems.extend(limited(source, reference, place)?);
    }
    Ok(problems)
}

/// Checks every one of some problems. The error is that of the first that fails, and counts the others.
pub(crate) fn each<'a>(
    problems: impl IntoIterator<Item = &'a Problem>,
    check: impl Fn(&Problem) -> Result<(), PortError>,
) -> Result<(), PortError> {
    let mut errors = problems.into_iter().filter_map(|problem| check(problem).err());
    let Some(mut first) = errors.next() else { return Ok(()) };
    match errors.count() {
        0 => {}
        1 => first.message.push_str("; another problem fails too"),
        more => first.message.push_str(&format!("; {more} further problems fail too")),
    }
    Err(first)
}

/// An endless stream of problems.
pub(crate) struct ProblemStream<'a> {
    problems: Vec<&'a Problem>,
    stream: Stream,
    /// The pass whose permutation is at hand, and the permutation.
    pass: Option<(u64, Vec<usize>)>,
}

impl<'a> ProblemStream<'a> {
    /// A stream over at least one problem; `stream` decides the permutations.
    pub(crate) fn new(problems: impl IntoIterator<Item = &'a Problem>, stream: Stream) -> Self {
        Self { problems: problems.into_iter().collect(), stream, pass: None }
    }

    /// The different problems, in their order.
    pub(crate) fn problems(&self) -> &[&'a Problem] {
        &self.problems
    }

    /// How many different problems there are.
    pub(crate) fn pass_length(&self) -> usize {
        self.problems.len()
    }

    /// The different problems that `steps` steps of `per_step` draws will meet.
    pub(crate) fn ahead(&mut self, steps: u64, per_step: usize) -> Vec<&'a Problem> {
        let draws = steps.saturating_mul(per_step as u64);
        if draws >= self.problems.len() as u64 {
            return self.problems.clone();
        }
        self.take(0, draws as usize)
    }

    /// The `count` problems from position `from` on. A draw that crosses the end of a pass can hold a
    /// problem twice, once from each pass.
    pub(crate) fn take(&mut self, from: u64, count: usize) -> Vec<&'a Problem> {
        (from..from + count as u64).map(|position| self.at(position)).collect()
    }

    fn at(&mut self, position: u64) -> &'a Problem {
        let length = self.problems.len() as u64;
        let pass = position / length;
        if self.pass.as_ref().map(|(at_hand, _)| *at_hand) != Some(pass) {
            let mut order: Vec<usize> = (0..self.problems.len()).collect();
            self.stream.at(&[pass]).shuffle(&mut order);
            self.pass = Some((pass, order));
        }
        let order = self.pass.as_ref().map_or(&[][..], |(_, order)| order);
        self.problems[order[(position % length) as usize]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use r1x_core::{PromptForm, Rng};

    fn problems(count: usize) -> Vec<Problem> {
        (0..count)
            .map(|key| Problem {
                data: String::new(),
                key: key.to_string(),
                prompt: String::new(),
                form: PromptForm::Text,
                solution: None,
                solution_tokens: None,
                rejected: None,
                answer: None,
                columns: Default::default(),
            })
            .collect()
    }

    fn keys(drawn: &[&Problem]) -> Vec<String> {
        drawn.iter().map(|problem| problem.key.clone()).collect()
    }

    #[test]
    fn every_pass_holds_every_problem_once_in_a_fresh_order() {
        let problems = problems(20);
        let mut draw = ProblemStream::new(&problems, Rng::new(1).stream("problems"));
        let first = keys(&draw.take(0, 20));
        let second = keys(&draw.take(20, 20));
        assert_ne!(first, second);
        for mut pass in [first, second] {
            pass.sort_by_key(|key| key.parse::<usize>().unwrap());
            assert_eq!(pass, keys(&problems.iter().collect::<Vec<_>>()));
        }
    }

    #[test]
    fn a_draw_depends_on_its_position_only() {
        let problems = problems(7);
        let stream = Rng::new(1).stream("problems");
        let whole = keys(&ProblemStream::new(&problems, stream).take(0, 30));
        let mut pieces = ProblemStream::new(&problems, stream);
        let mut joined = Vec::new();
        for from in (0..30).step_by(3) {
            joined.extend(keys(&pieces.take(from, 3)));
        }
        assert_eq!(joined, whole);
        assert_eq!(keys(&ProblemStream::new(&problems, stream).take(11, 5)), whole[11..16]);
    }
}
