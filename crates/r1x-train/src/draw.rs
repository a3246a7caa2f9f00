//! Which problems a step draws: a fresh permutation of the split for every pass over it.
//!
//! Of several data sets all problems together are one pile. Where they are mixed by parts, each is a pile with passes of its
//! own, and a round of as many draws as there are parts takes each data set as often as it has parts, in an order that is
//! drawn for the round. So a step has the mixture as exactly as its size allows, and no data set is used up early.
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

/// The problems of several references, one pile, or one for each where they are mixed by parts.
pub(crate) fn piles<'a>(
    source: &'a dyn ProblemSource,
    data: &[DataRef],
    place: &str,
) -> Result<Vec<Pile<'a>>, PortError> {
    let mut piles: Vec<Pile<'a>> = Vec::new();
    for reference in data {
        let problems = limited(source, reference, place)?.iter();
        match (reference.parts, piles.last_mut()) {
            (None, Some(pile)) => pile.problems.extend(problems),
            (parts, _) => {
                let parts = parts.unwrap_or(1);
                piles.push(Pile { problems: problems.collect(), parts, pass: None });
            }
        }
    }
    Ok(piles)
}

/// Problems of which all are drawn before any is drawn again.
pub(crate) struct Pile<'a> {
    problems: Vec<&'a Problem>,
    /// Its draws in a round.
    parts: u32,
    /// The pass whose permutation is at hand, and the permutation.
    pass: Option<(u64, Vec<usize>)>,
}

impl<'a> Pile<'a> {
    /// The draw at a position in the stream of this pile.
    fn at(&mut self, position: u64, stream: Stream) -> &'a Problem {
        let length = self.problems.len() as u64;
        let pass = position / length;
        if self.pass.as_ref().map(|(at_hand, _)| *at_hand) != Some(pass) {
            let mut order: Vec<usize> = (0..self.problems.len()).collect();
            stream.at(&[pass]).shuffle(&mut order);
            self.pass = Some((pass, order));
        }
        let order = self.pass.as_ref().map_or(&[][..], |(_, order)| order);
        self.problems[order[(position % length) as usize]]
    }
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
    piles: Vec<Pile<'a>>,
    stream: Stream,
    /// The round that is at hand, and for each of its draws the pile and the position among the draws of that pile in the
    /// round.
    round: Option<(u64, Vec<(usize, u64)>)>,
}

impl<'a> ProblemStream<'a> {
    /// A stream over piles that have at least one problem each; `stream` decides the permutations.
    pub(crate) fn new(piles: Vec<Pile<'a>>, stream: Stream) -> Self {
        let problems = piles.iter().flat_map(|pile| pile.problems.iter().copied()).collect();
        Self { problems, piles, stream, round: None }
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
        if let [_] = self.piles[..] {
            return match draws >= self.problems.len() as u64 {
                true => self.problems.clone(),
                false => self.take(0, draws as usize),
            };
        }
        // Of a pile whose pass is not through when the last step ends, each problem that is met is met once.
        let mut ahead = Vec::new();
        for (pile, drawn) in self.drawn_by(draws).into_iter().enumerate() {
            let stream = self.stream_of(pile);
            let count = drawn.min(self.piles[pile].problems.len() as u64);
            ahead.extend((0..count).map(|position| self.piles[pile].at(position, stream)));
        }
        ahead
    }

    /// The `count` problems from position `from` on. A draw that crosses the end of a pass can hold a
    /// problem twice, once from each pass.
    pub(crate) fn take(&mut self, from: u64, count: usize) -> Vec<&'a Problem> {
        (from..from + count as u64).map(|position| self.at(position)).collect()
    }

    fn at(&mut self, position: u64) -> &'a Problem {
        if let [pile] = &mut self.piles[..] {
            return pile.at(position, self.stream);
        }
        let (round, rest) = (position / self.round_length(), position % self.round_length());
        let (pile, within) = self.round(round)[rest as usize];
        let stream = self.stream_of(pile);
        let pile = &mut self.piles[pile];
        pile.at(round * u64::from(pile.parts) + within, stream)
    }

    fn round_length(&self) -> u64 {
        self.piles.iter().map(|pile| u64::from(pile.parts)).sum()
    }

    /// The stream that decides the permutations of a pile.
    fn stream_of(&self, pile: usize) -> Stream {
        match self.piles.len() {
            1 => self.stream,
            _ => self.stream.named(&format!("pile {pile}")),
        }
    }

    /// Which pile each draw of a round is of.
    fn round(&mut self, round: u64) -> &[(usize, u64)] {
        if self.round.as_ref().map(|(at_hand, _)| *at_hand) != Some(round) {
            let mut order: Vec<usize> = self
                .piles
                .iter()
                .enumerate()
                .flat_map(|(index, pile)| std::iter::repeat_n(index, pile.parts as usize))
                .collect();
            self.stream.named("rounds").at(&[round]).shuffle(&mut order);
            let mut taken = vec![0; self.piles.len()];
            let draw = |pile: usize| {
                taken[pile] += 1;
                (pile, taken[pile] - 1)
            };
            self.round = Some((round, order.into_iter().map(draw).collect()));
        }
        self.round.as_ref().map_or(&[][..], |(_, order)| order)
    }

    /// How many of the first draws are of each pile.
    fn drawn_by(&mut self, draws: u64) -> Vec<u64> {
        let (rounds, rest) = (draws / self.round_length(), draws % self.round_length());
        let parts = self.piles.iter().map(|pile| rounds.saturating_mul(u64::from(pile.parts)));
        let mut drawn: Vec<u64> = parts.collect();
        for (pile, _) in &self.round(rounds)[..rest as usize] {
            drawn[*pile] += 1;
        }
        drawn
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

    fn pile(problems: &[Problem], parts: u32) -> Pile<'_> {
        Pile { problems: problems.iter().collect(), parts, pass: None }
    }

    fn alone(problems: &[Problem], stream: Stream) -> ProblemStream<'_> {
        ProblemStream::new(vec![pile(problems, 1)], stream)
    }

    fn keys(drawn: &[&Problem]) -> Vec<String> {
        drawn.iter().map(|problem| problem.key.clone()).collect()
    }

    #[test]
    fn every_pass_holds_every_problem_once_in_a_fresh_order() {
        let problems = problems(20);
        let mut draw = alone(&problems, Rng::new(1).stream("problems"));
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
        let whole = keys(&alone(&problems, stream).take(0, 30));
        let mut pieces = alone(&problems, stream);
        let mut joined = Vec::new();
        for from in (0..30).step_by(3) {
            joined.extend(keys(&pieces.take(from, 3)));
        }
        assert_eq!(joined, whole);
        assert_eq!(keys(&alone(&problems, stream).take(11, 5)), whole[11..16]);
    }

    /// Three parts of 20 problems and one part of 4: of every four draws one is of the small set, which begins anew every 16.
    #[test]
    fn a_mixture_has_its_parts_in_every_round_and_each_set_its_own_passes() {
        let (many, few) = (problems(20), problems(4));
        let stream = Rng::new(3).stream("problems");
        let mixed = || ProblemStream::new(vec![pile(&many, 3), pile(&few, 1)], stream);
        let is_of =
            |set: &[Problem], one: &Problem| set.iter().any(|other| std::ptr::eq(other, one));
        let drawn = mixed().take(0, 80);
        let mut places = Vec::new();
        for round in drawn.chunks(4) {
            let place = round.iter().position(|one| is_of(&few, one)).unwrap();
            assert!(round.iter().enumerate().all(|(at, one)| at == place || is_of(&many, one)));
            places.push(place);
        }
        assert!(places.iter().any(|place| *place != places[0]), "in an order of each round");
        for (set, passes) in [(&many, 20), (&few, 4)] {
            let of_set: Vec<&Problem> =
                drawn.iter().copied().filter(|one| is_of(set, one)).collect();
            for pass in of_set.chunks(passes) {
                let mut pass = keys(pass);
                pass.sort_by_key(|key| key.parse::<usize>().unwrap());
                assert_eq!(pass, keys(&set.iter().collect::<Vec<_>>()));
            }
        }
        // Steps of any size, also such as cross a round.
        let mut pieces = mixed();
        let joined: Vec<&Problem> = (0..16).flat_map(|step| pieces.take(step * 5, 5)).collect();
        assert!(joined.iter().zip(&drawn).all(|(one, other)| std::ptr::eq(*one, *other)));
        // What lies ahead is what will be drawn, each problem once.
        for (steps, per_step) in [(1, 7), (3, 5), (2, 20), (50, 4)] {
            let ahead = mixed().ahead(steps, per_step);
            let will = mixed().take(0, steps as usize * per_step);
            assert!(will.iter().all(|one| ahead.iter().any(|other| std::ptr::eq(*one, *other))));
            let once =
                |one: &Problem| ahead.iter().filter(|other| std::ptr::eq(one, **other)).count();
            assert!(ahead.iter().all(|one| once(one) == 1), "{steps} {per_step}");
            assert!(ahead.len() <= will.len() && ahead.len() <= 24);
        }
    }
}
