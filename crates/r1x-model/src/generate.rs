//! Batched decoding with a cache: the prompt of a group once, finished sequences leave.
//!
//! Every row is computed from its own context in a fixed order, so what a sample says does not depend on who
//! shares its batch. Must not know rewards or training.

use r1x_core::plan::SamplingPlan;
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, FinishReason, Stream};
use r1x_ops::kernel::attention::Context;
use r1x_ops::kernel::softmax::token_logprob;
use r1x_ops::parallel;

use crate::error::ModelError;
use crate::family::Rows;
use crate::family::attention::heads;
use crate::family::decoder::{Decoder, Workspace};
use crate::sample::{Scratch, draw, temperature};
use crate::weights::Weights;

/// Samples decoded together by one thread: enough rows to feed the matrix kernels, few enough to stay in cache.
const BATCH_SAMPLES: usize = 128;
/// Prompt rows computed together.
const PREFILL_ROWS: usize = 512;

/// Samples completions for every request; see [`r1x_core::Policy::generate`].
///
/// # Errors
/// When a prompt and `max_tokens` do not fit the context, or exact lengths are not what they may be.
pub fn generate(
    decoder: &Decoder<f32>,
    weights: &Weights<f32>,
    requests: &[GenerateRequest],
    sampling: &SamplingPlan,
    stream: Stream,
    eos: u32,
    threads: usize,
) -> Result<Vec<Vec<Completion>>, ModelError> {
    for request in requests {
        let length = request.prompt.len() + sampling.max_tokens;
        if length > decoder.context_length {
            return Err(ModelError::TooLong { length, limit: decoder.context_length });
        }
        check_lengths(request, sampling.max_tokens)?;
    }
    let share = requests.iter().map(|r| r.samples).sum::<usize>().div_ceil(threads.max(1));
    let batches = split(requests, share.min(BATCH_SAMPLES));
    let results = parallel::map(batches, threads, |requests| {
        Batch::new(decoder, weights, requests, sampling, stream, eos).run()
    });
    Ok(results.into_iter().flatten().collect())
}

/// Exact lengths come one for each sample, and none is 0 or above `limit`.
fn check_lengths(request: &GenerateRequest, limit: usize) -> Result<(), ModelError> {
    let GenerateRequest { lengths, samples, .. } = request;
    let possible = lengths.iter().all(|length| (1..=limit).contains(length));
    if lengths.is_empty() || (lengths.len() == *samples && possible) {
        return Ok(());
    }
    Err(ModelError::Lengths { lengths: lengths.clone(), samples: *samples, limit })
}

/// The token that ends the samples of a request; none does when their lengths are given.
fn end(request: &GenerateRequest, eos: u32) -> Option<u32> {
    request.lengths.is_empty().then_some(eos)
}

/// Runs of requests with at most `limit` samples (at least one request each).
fn split(requests: &[GenerateRequest], limit: usize) -> Vec<&[GenerateRequest]> {
    let (mut batches, mut start, mut samples) = (Vec::new(), 0, 0);
    for (index, request) in requests.iter().enumerate() {
        if index > start && samples + request.samples > limit {
            batches.push(&requests[start..index]);
            (start, samples) = (index, 0);
        }
        samples += request.samples;
    }
    if start < requests.len() {
        batches.push(&requests[start..]);
    }
    batches
}

/// A sequence being decoded.
#[derive(Clone, Copy, Debug)]
struct Active {
    request: usize,
    sample: usize,
    /// First cache row of the request's prompt.
    prompt: usize,
    /// First cache row of the sample.
    own: usize,
}

struct Batch<'a> {
    decoder: &'a Decoder<f32>,
    weights: &'a Weights<f32>,
    requests: &'a [GenerateRequest],
    sampling: &'a SamplingPlan,
    stream: Stream,
    eos: u32,
    caches: Vec<Vec<f32>>,
    completions: Vec<Vec<Completion>>,
    active: Vec<Active>,
    work: Workspace<f32>,
    scratch: Scratch,
}

impl<'a> Batch<'a> {
    fn new(
        decoder: &'a Decoder<f32>,
        weights: &'a Weights<f32>,
        requests: &'a [GenerateRequest],
        sampling: &'a SamplingPlan,
        stream: Stream,
        eos: u32,
    ) -> Self {
        let mut active = Vec::new();
        let mut next = requests.iter().map(|request| request.prompt.len()).sum();
        let mut prompt = 0;
        for (index, request) in requests.iter().enumerate() {
            for sample in 0..request.samples {
                active.push(Active { request: index, sample, prompt, own: next });
                next += sampling.max_tokens;
            }
            prompt += request.prompt.len();
        }
        let layers = decoder.layout.layers.iter();
        let caches =
            layers.map(|layer| vec![0.0; next * heads(&layer.attention).row_width]).collect();
        let empty = || Completion {
            tokens: Vec::new(),
            logprobs: Vec::new(),
            entropies: Vec::new(),
            finish: FinishReason::Length,
        };
        let completions =
            requests.iter().map(|r| (0..r.samples).map(|_| empty()).collect()).collect();
        Self {
            decoder,
            weights,
            requests,
            sampling,
            stream,
            eos,
            caches,
            completions,
            active,
            work: Workspace::default(),
            scratch: Scratch::default(),
        }
    }

    fn run(mut self) -> Vec<Vec<Completion>> {
        self.prefill();
        while !self.active.is_empty() {
            self.decode();
        }
        self.completions
    }

    /// Computes every prompt once and draws the first token of its samples.
    fn prefill(&mut self) {
        let mut rows = Vec::new();
        let mut start = 0;
        for (index, request) in self.requests.iter().enumerate() {
            for (position, token) in request.prompt.iter().enumerate() {
                let last = position + 1 == request.prompt.len();
                let context = Context { prefix: (start, position + 1), suffix: (0, 0) };
                rows.push((*token, position, context, last.then_some(index)));
            }
            start += request.prompt.len();
        }
        let mut write = 0;
        for chunk in rows.chunks(PREFILL_ROWS) {
            let tokens: Vec<u32> = chunk.iter().map(|row| row.0).collect();
            let positions: Vec<usize> = chunk.iter().map(|row| row.1).collect();
            let contexts: Vec<Context> = chunk.iter().map(|row| row.2).collect();
            let to: Vec<usize> = (write..write + chunk.len()).collect();
            write += chunk.len();
            let pass = Rows { positions: &positions, contexts: &contexts };
            let caches = Some((&mut self.caches[..], &to[..]));
            self.decoder.forward(self.weights, &tokens, pass, caches, &mut self.work);
            for (row, request) in chunk.iter().enumerate().filter_map(|(i, r)| Some((i, r.3?))) {
                let logits = self.decoder.logits(self.weights, &[row], &mut self.work);
                for sample in 0..self.requests[request].samples {
                    let address = self.requests[request].address;
                    let end = end(&self.requests[request], self.eos);
                    let place = (self.sampling, self.stream, end, address);
                    let completion = &mut self.completions[request][sample];
                    extend(completion, logits, place, sample, &mut self.scratch);
                }
            }
        }
        self.retire();
    }

    /// One more token for every active sequence.
    fn decode(&mut self) {
        let count = self.active.len();
        let (mut tokens, mut positions) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut contexts, mut write) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for active in &self.active {
            let drawn = &self.completions[active.request][active.sample].tokens;
            let prompt = self.requests[active.request].prompt.len();
            tokens.push(drawn[drawn.len() - 1]);
            positions.push(prompt + drawn.len() - 1);
            contexts.push(Context {
                prefix: (active.prompt, prompt),
                suffix: (active.own, drawn.len()),
            });
            write.push(active.own + drawn.len() - 1);
        }
        let pass = Rows { positions: &positions, contexts: &contexts };
        let caches = Some((&mut self.caches[..], &write[..]));
        self.decoder.forward(self.weights, &tokens, pass, caches, &mut self.work);
        let rows: Vec<usize> = (0..count).collect();
        for (rows, active) in rows.chunks(64).zip(self.active.chunks(64)) {
            let logits = self.decoder.logits(self.weights, rows, &mut self.work);
            for (row, active) in logits.chunks(self.decoder.layout.vocabulary).zip(active) {
                let request = &self.requests[active.request];
                let end = end(request, self.eos);
                let place = (self.sampling, self.stream, end, request.address);
                let completion = &mut self.completions[active.request][active.sample];
                extend(completion, row, place, active.sample, &mut self.scratch);
            }
        }
        self.retire();
    }

    /// Finished sequences leave the batch.
    fn retire(&mut self) {
        let (completions, requests) = (&self.completions, self.requests);
        let max_tokens = self.sampling.max_tokens;
        self.active.retain(|active| {
            let lengths = &requests[active.request].lengths;
            let limit = lengths.get(active.sample).copied().unwrap_or(max_tokens);
            let completion = &completions[active.request][active.sample];
            completion.finish != FinishReason::Stop && completion.tokens.len() < limit
        });
    }
}

/// Draws the next token of one sample and records its log-prob and entropy.
fn extend(
    completion: &mut Completion,
    logits: &[f32],
    (sampling, stream, end, address): (&SamplingPlan, Stream, Option<u32>, u64),
    sample: usize,
    scratch: &mut Scratch,
) {
    let position = completion.tokens.len() as u64;
    let uniform = stream.at(&[address, sample as u64, position]).uniform();
    let token = draw(logits, sampling, uniform, scratch);
    let said = token_logprob(logits, token as usize, f64::from(temperature(sampling)));
    completion.tokens.push(token);
    completion.logprobs.push(said.logprob);
    completion.entropies.push(said.entropy);
    if Some(token) == end {
        completion.finish = FinishReason::Stop;
    }
}
