//! How a sample goes on: its next token, where chance comes from, and when it has ended.

use r1x_core::plan::SamplingPlan;
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, FinishReason, Stream};

use crate::sample::{Scratch, draw_and_say};

/// How one sample is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// The distribution.
    pub sampling: &'a SamplingPlan,
    /// Where chance comes from.
    pub stream: Stream,
    /// The tokens that end a sample.
    pub ends: &'a [u32],
    /// What the sample answers.
    pub request: &'a GenerateRequest,
    /// Which of the request's samples it is.
    pub sample: usize,
}

impl Draw<'_> {
    /// A completion without tokens yet, with room for all it may get.
    pub fn start(&self) -> Completion {
        let room = self.sampling.max_tokens;
        Completion {
            tokens: Vec::with_capacity(room),
            logprobs: Vec::with_capacity(room),
            entropies: Vec::with_capacity(room),
            finish: FinishReason::Length,
        }
    }

    /// Draws the next token from a row of logits and records its log-prob and entropy.
    pub fn extend(&self, completion: &mut Completion, logits: &[f32], scratch: &mut Scratch) {
        let position = completion.tokens.len() as u64;
        let place = [self.request.address, self.sample as u64, position];
        let uniform = self.stream.at(&place).uniform();
        let (token, said) = draw_and_say(logits, self.sampling, uniform, scratch);
        completion.tokens.push(token);
        completion.logprobs.push(said.logprob);
        completion.entropies.push(said.entropy);
        // Nothing ends a sample whose length is given.
        if self.ends.contains(&token) && self.request.lengths.is_empty() {
            completion.finish = FinishReason::Stop;
        }
    }

    /// Whether another token is wanted.
    pub fn goes_on(&self, completion: &Completion) -> bool {
        let exact = self.request.lengths.get(self.sample).copied();
        let limit = exact.unwrap_or(self.sampling.max_tokens);
        completion.finish != FinishReason::Stop && completion.tokens.len() < limit
    }
}
