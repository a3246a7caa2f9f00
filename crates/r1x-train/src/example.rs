//! From problems whose texts exist already to training sequences.

use r1x_core::plan::ReadPart;
use r1x_core::{Encoder, PortError, Problem, ProblemSource, TrainingSequence, valued};

use crate::error::TrainError;
use crate::rollout::{of_problem, prompt_tokens};

/// Who turns texts into tokens, and how messages call the problems that they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Examples<'a> {
    /// The tokenizer and the context of a model.
    pub(crate) encoder: &'a dyn Encoder,
    /// Where a person finds the problems.
    pub(crate) source: &'a dyn ProblemSource,
    /// The stage in words.
    pub(crate) place: &'a str,
}

impl Examples<'_> {
    /// A worked problem as a training sequence: the loss falls on the solution, without the beginning that the prompt
    /// gives, and on the end-of-sequence token. What a model of the run wrote is learnt from as it was sampled.
    pub(crate) fn worked(&self, problem: &Problem) -> Result<TrainingSequence, PortError> {
        match (&problem.solution_tokens, &problem.solution) {
            (Some(sampled), _) => self.of_tokens(problem, sampled),
            (None, Some(solution)) => self.of_text(problem, solution),
            (None, None) => Err(self.no_solution(problem)),
        }
    }

    /// Both completions of a problem as training sequences, the better one first.
    pub(crate) fn pair(&self, problem: &Problem) -> Result<[TrainingSequence; 2], PortError> {
        let better = self.worked(problem)?;
        Ok([better, self.of_text(problem, self.rejected(problem)?)?])
    }

    /// Both responses to a problem as a model with a value head reads them, the better one first.
    pub(crate) fn valued_pair(
        &self,
        reads: ReadPart,
        problem: &Problem,
    ) -> Result<[TrainingSequence; 2], PortError> {
        let sampled = problem.solution_tokens.as_ref();
        let written = || sampled.map(|tokens| problem.answered(&self.encoder.decode(tokens)));
        let solution = problem.solution.clone().or_else(written);
        let better = solution.ok_or_else(|| self.no_solution(problem))?;
        let read = |response: &str| {
            let sequence = valued::sequence(self.encoder, reads, problem, response);
            let told = |error| of_problem(error, self.source, problem, self.place);
            self.fitting(problem, sequence.map_err(told)?)
        };
        Ok([read(&better)?, read(self.rejected(problem)?)?])
    }

    fn of_text(&self, problem: &Problem, completion: &str) -> Result<TrainingSequence, PortError> {
        let written = self.encoder.encode(problem.continued(completion));
        let told = |error| of_problem(error, self.source, problem, self.place);
        let mut tokens = written.map_err(told)?;
        tokens.push(self.encoder.eos());
        self.of_tokens(problem, &tokens)
    }

    fn of_tokens(&self, problem: &Problem, targets: &[u32]) -> Result<TrainingSequence, PortError> {
        let prompt = prompt_tokens(self.encoder, self.source, problem, self.place)?;
        self.fitting(problem, TrainingSequence::new(&prompt, targets))
    }

    /// An error where a sequence has no prompt, or is longer than the context.
    fn fitting(
        &self,
        problem: &Problem,
        sequence: TrainingSequence,
    ) -> Result<TrainingSequence, PortError> {
        let (context, tokens) = (self.encoder.context_length(), sequence.tokens.len());
        let (place, problem) = (self.place.to_owned(), || self.source.origin(problem));
        if sequence.prompt_len == 0 {
            return Err(TrainError::EmptyPrompt { place, problem: problem() }.into());
        }
        if tokens > context {
            let problem = problem();
            return Err(TrainError::ExampleTooLong { place, problem, tokens, context }.into());
        }
        Ok(sequence)
    }

    fn rejected<'p>(&self, problem: &'p Problem) -> Result<&'p str, PortError> {
        problem.rejected.as_deref().ok_or_else(|| {
            let (place, data) = (self.place.to_owned(), problem.data.clone());
            TrainError::NoRejected { place, data, problem: self.source.origin(problem) }.into()
        })
    }

    fn no_solution(&self, problem: &Problem) -> PortError {
        let (place, data) = (self.place.to_owned(), problem.data.clone());
        TrainError::NoSolution { place, data, problem: self.source.origin(problem) }.into()
    }
}
