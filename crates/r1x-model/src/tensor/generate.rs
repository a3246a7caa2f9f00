//! Batched decoding on a device: prompts once, then a token at a time for every sample that goes on.
//!
//! Logits visit the host once a step, where tokens are drawn by the same code and streams as on the CPU. What
//! a sample says does not depend on its batch beyond the rounding of the device's products. Must not know
//! rewards or training.

use candle_core::Tensor;
use r1x_core::plan::SamplingPlan;
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, FinishReason, Stream};

use crate::error::ModelError;
use crate::family::composed::{Cache, Composed};
use crate::generate::{Draw, check_lengths};
use crate::sample::Scratch;

/// Most samples decoded together.
const BATCH_SAMPLES: usize = 512;
/// Most bytes that the keys and values of a batch may take.
const CACHE_BYTES: usize = 4 << 30;
/// Prompt tokens computed together; at least one prompt is.
const PREFILL_TOKENS: usize = 4096;

/// One sample of one request.
#[derive(Clone, Copy, Debug)]
struct Place {
    request: usize,
    sample: usize,
}

/// Samples completions for every request; see [`r1x_core::Sampler::generate_each`].
///
/// # Errors
/// When the device fails or its memory does not suffice.
pub(super) fn generate(
    model: &Composed,
    requests: &[GenerateRequest],
    sampling: &SamplingPlan,
    (stream, eos): (Stream, u32),
    each: &mut dyn FnMut(usize, Vec<Completion>),
) -> Result<(), ModelError> {
    for request in requests {
        check_lengths(request, sampling.max_tokens)?;
    }
    let empty = || Completion {
        tokens: Vec::new(),
        logprobs: Vec::new(),
        entropies: Vec::new(),
        finish: FinishReason::Length,
    };
    let completions = requests.iter().map(|r| (0..r.samples).map(|_| empty()).collect());
    let mut session = Session {
        model,
        requests,
        sampling,
        stream,
        eos,
        completions: completions.collect(),
        waiting: requests.iter().map(|request| request.samples).collect(),
        each,
        scratch: Scratch::default(),
    };
    let samples = |(request, r): (usize, &GenerateRequest)| {
        (0..r.samples).map(move |sample| Place { request, sample })
    };
    let places: Vec<Place> = requests.iter().enumerate().flat_map(samples).collect();
    let longest = requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0);
    let bytes = (longest + sampling.max_tokens) * Cache::bytes_per_token(model.layout());
    let limit = (CACHE_BYTES / bytes.max(1)).clamp(1, BATCH_SAMPLES);
    for (request, _) in requests.iter().enumerate().filter(|(_, request)| request.samples == 0) {
        (session.each)(request, Vec::new());
    }
    for batch in places.chunks(limit) {
        session.run(batch.to_vec())?;
    }
    Ok(())
}

struct Session<'a> {
    model: &'a Composed,
    requests: &'a [GenerateRequest],
    sampling: &'a SamplingPlan,
    stream: Stream,
    eos: u32,
    completions: Vec<Vec<Completion>>,
    /// By request: samples that have not ended.
    waiting: Vec<usize>,
    each: &'a mut dyn FnMut(usize, Vec<Completion>),
    scratch: Scratch,
}

impl Session<'_> {
    /// Decodes some samples to their ends.
    fn run(&mut self, mut active: Vec<Place>) -> Result<(), ModelError> {
        let (residual, mut cache) = self.prefill(&active)?;
        self.draw(&active, &residual)?;
        loop {
            let (going, ended): (Vec<usize>, Vec<usize>) =
                (0..active.len()).partition(|index| self.goes_on(active[*index]));
            for index in &ended {
                self.end(active[*index].request);
            }
            if going.is_empty() {
                return Ok(());
            }
            if !ended.is_empty() {
                cache = cache.select(&going)?;
                active = going.iter().map(|index| active[*index]).collect();
            }
            let tokens: Vec<u32> = active.iter().map(|place| self.last_token(*place)).collect();
            let residual = self.model.decode(&tokens, &mut cache)?;
            self.draw(&active, &residual)?;
        }
    }

    /// Computes the prompts of some samples, each once: the residual stream and the cache by sample.
    fn prefill(&self, active: &[Place]) -> Result<(Tensor, Cache), ModelError> {
        let mut asked: Vec<usize> = active.iter().map(|place| place.request).collect();
        asked.dedup();
        let prompts: Vec<&[u32]> =
            asked.iter().map(|request| &self.requests[*request].prompt[..]).collect();
        let columns = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let mut parts = Vec::new();
        for prompts in in_parts(&prompts) {
            parts.push(self.model.prefill(prompts, columns)?);
        }
        let residual = Tensor::cat(&parts.iter().map(|p| &p.residual).collect::<Vec<_>>(), 0)?;
        let cache = Cache::join(parts.into_iter().map(|part| part.cache).collect())?;
        let mut prompt = 0;
        let of_sample: Vec<usize> = active
            .iter()
            .map(|place| {
                prompt += usize::from(asked[prompt] != place.request);
                prompt
            })
            .collect();
        let index: Vec<u32> = of_sample.iter().map(|prompt| *prompt as u32).collect();
        let index = Tensor::new(index, residual.device())?;
        Ok((residual.index_select(&index, 0)?, cache.select(&of_sample)?))
    }

    fn how(&self, place: Place) -> Draw<'_> {
        Draw {
            sampling: self.sampling,
            stream: self.stream,
            eos: self.eos,
            request: &self.requests[place.request],
            sample: place.sample,
        }
    }

    /// Draws the next token of every sample from its row of the residual stream.
    fn draw(&mut self, active: &[Place], residual: &Tensor) -> Result<(), ModelError> {
        let logits = self.model.logits(residual)?.flatten_all()?.to_vec1::<f32>()?;
        for (place, logits) in active.iter().zip(logits.chunks(logits.len() / active.len())) {
            let (sampling, request) = (self.sampling, &self.requests[place.request]);
            let (stream, eos, sample) = (self.stream, self.eos, place.sample);
            let draw = Draw { sampling, stream, eos, request, sample };
            let completion = &mut self.completions[place.request][place.sample];
            draw.extend(completion, logits, &mut self.scratch);
        }
        Ok(())
    }

    fn goes_on(&self, place: Place) -> bool {
        self.how(place).goes_on(&self.completions[place.request][place.sample])
    }

    /// A sample of the request has ended; the last one takes the others with it.
    fn end(&mut self, request: usize) {
        self.waiting[request] -= 1;
        if self.waiting[request] == 0 {
            (self.each)(request, std::mem::take(&mut self.completions[request]));
        }
    }

    fn last_token(&self, place: Place) -> u32 {
        let tokens = &self.completions[place.request][place.sample].tokens;
        tokens[tokens.len() - 1]
    }
}

/// Runs of prompts with at most [`PREFILL_TOKENS`] tokens, or one prompt.
fn in_parts<'a, 'b>(prompts: &'a [&'b [u32]]) -> Vec<&'a [&'b [u32]]> {
    let (mut parts, mut start, mut tokens) = (Vec::new(), 0, 0);
    for (index, prompt) in prompts.iter().enumerate() {
        if index > start && tokens + prompt.len() > PREFILL_TOKENS {
            parts.push(&prompts[start..index]);
            (start, tokens) = (index, 0);
        }
        tokens += prompt.len();
    }
    if start < prompts.len() {
        parts.push(&prompts[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_computed_in_parts_and_long_ones_alone() {
        let tokens = vec![0u32; 3 * PREFILL_TOKENS];
        let prompts: Vec<&[u32]> =
            [1, PREFILL_TOKENS - 1, 1, 2 * PREFILL_TOKENS, 7].map(|n| &tokens[..n]).to_vec();
        let lengths: Vec<Vec<usize>> =
            in_parts(&prompts).iter().map(|part| part.iter().map(|p| p.len()).collect()).collect();
        let expected = [vec![1, PREFILL_TOKENS - 1], vec![1], vec![2 * PREFILL_TOKENS], vec![7]];
        assert_eq!(lengths, expected);
    }
}
