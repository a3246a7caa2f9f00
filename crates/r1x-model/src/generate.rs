//! Batched decoding: every thread has a batch of its own, which sequences leave when they end and enter when
//! there is room.
//!
//! Every row is computed from its own context in a fixed order, so what a sample says does not depend on who
//! shares its batch, nor on which thread it falls to. Must not know rewards or training.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use r1x_core::plan::SamplingPlan;
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, FinishReason, Stream};
use r1x_ops::Operand;
use r1x_ops::kernel::attention::{BLOCK, Context};
use r1x_ops::parallel;

use crate::cache::Cache;
use crate::error::ModelError;
use crate::family::decoder::{Decoder, Workspace};
use crate::family::{CacheWrite, Rows};
use crate::sample::{Scratch, draw_and_say};
use crate::weights::Weights;

/// Sequences decoded together by one thread: enough rows to feed the matrix kernels, few enough to stay in cache.
const BATCH_SAMPLES: usize = 128;
/// Prompt rows computed together.
const PREFILL_ROWS: usize = 512;
/// Rows of logits held at a time.
const HEAD_ROWS: usize = 64;

/// What all threads see of a call.
#[derive(Debug)]
pub struct Generator<'a, E: Operand> {
    /// Structure.
    pub decoder: &'a Decoder<E>,
    /// Values.
    pub weights: &'a Weights<E>,
    /// How tokens are drawn.
    pub sampling: &'a SamplingPlan,
    /// Where chance comes from.
    pub stream: Stream,
    /// The end-of-sequence token.
    pub eos: u32,
}

/// Samples of one request that are computed by one thread and share their prompt.
#[derive(Clone, Copy, Debug)]
struct Unit {
    request: usize,
    first: usize,
    samples: usize,
}

impl<E: Operand<Real = f32>> Generator<'_, E> {
    /// Samples completions for every request; see [`r1x_core::Sampler::generate_each`].
    ///
    /// # Errors
    /// When a prompt and `max_tokens` do not fit the context, or exact lengths are not what they may be.
    pub fn generate(
        &self,
        requests: &[GenerateRequest],
        threads: usize,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), ModelError> {
        let limit = self.decoder.context_length;
        for request in requests {
            let length = request.prompt.len() + self.sampling.max_tokens;
            if length > limit {
                return Err(ModelError::TooLong { length, limit });
            }
            check_lengths(request, self.sampling.max_tokens)?;
        }
        let threads = threads.max(1);
        let total: usize = requests.iter().map(|request| request.samples).sum();
        let share = total.div_ceil(threads).clamp(1, BATCH_SAMPLES);
        let queue = Mutex::new(units(requests, share));
        let work =
            |ended: &mut dyn FnMut(Ended)| Batch::new(self, requests, share, ended).run(&queue);
        parallel::emit(threads, work, gather(requests, each));
        Ok(())
    }
}

/// Takes samples as they end, and hands a request's samples over when the last of them has ended.
fn gather(
    requests: &[GenerateRequest],
    each: &mut dyn FnMut(usize, Vec<Completion>),
) -> impl FnMut(Ended) {
    let mut groups: Vec<(usize, Vec<Option<Completion>>)> =
        requests.iter().map(|r| (r.samples, vec![None; r.samples])).collect();
    for (request, _) in requests.iter().enumerate().filter(|(_, request)| request.samples == 0) {
        each(request, Vec::new());
    }
    move |Ended { request, sample, completion }| {
        let (waiting, group) = &mut groups[request];
        group[sample] = Some(completion);
        *waiting -= 1;
        if *waiting == 0 {
            each(request, std::mem::take(group).into_iter().flatten().collect());
        }
    }
}

/// A sample that has ended.
#[derive(Debug)]
struct Ended {
    request: usize,
    sample: usize,
    completion: Completion,
}

impl<E: Operand> Generator<'_, E> {
    fn draw<'a>(&'a self, request: &'a GenerateRequest, sample: usize) -> Draw<'a> {
        let Self { sampling, stream, eos, .. } = *self;
        Draw { sampling, stream, eos, request, sample }
    }
}

/// Exact lengths come one for each sample, and none is 0 or above `limit`.
pub(crate) fn check_lengths(request: &GenerateRequest, limit: usize) -> Result<(), ModelError> {
    let GenerateRequest { lengths, samples, .. } = request;
    let possible = lengths.iter().all(|length| (1..=limit).contains(length));
    if lengths.is_empty() || (lengths.len() == *samples && possible) {
        return Ok(());
    }
    Err(ModelError::Lengths { lengths: lengths.clone(), samples: *samples, limit })
}

/// Requests cut so that no part is larger than a thread's share.
fn units(requests: &[GenerateRequest], share: usize) -> VecDeque<Unit> {
    let parts = requests.iter().enumerate().flat_map(|(request, asked)| {
        (0..asked.samples).step_by(share).map(move |first| {
            let samples = (asked.samples - first).min(share);
            Unit { request, first, samples }
        })
    });
    parts.collect()
}

/// A sequence being decoded.
#[derive(Debug)]
struct Active {
    request: usize,
    sample: usize,
    /// Its blocks in order of position.
    table: Vec<u32>,
    completion: Completion,
}

/// The rows of the next pass, reused from pass to pass.
#[derive(Debug, Default)]
struct Pass {
    tokens: Vec<u32>,
    positions: Vec<usize>,
    contexts: Vec<Context>,
    tables: Vec<u32>,
    writes: Vec<CacheWrite>,
    /// Rows whose logits are wanted.
    wanted: Vec<usize>,
}

impl Pass {
    fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.contexts.clear();
        self.tables.clear();
        self.writes.clear();
        self.wanted.clear();
    }

    /// A row at a position of the sequence whose blocks start at `table` in the pass's list.
    fn push(&mut self, token: u32, position: usize, table: usize) {
        let row = self.tokens.len() as u32;
        let (block, slot) = (self.tables[table + position / BLOCK], (position % BLOCK) as u32);
        self.writes.push(CacheWrite { row, block, slot });
        self.tokens.push(token);
        self.positions.push(position);
        self.contexts.push(Context { table, len: position + 1 });
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            positions: &self.positions,
            contexts: &self.contexts,
            tables: &self.tables,
            writes: &self.writes,
        }
    }
}

/// One thread's batch.
struct Batch<'a, E: Operand> {
    generator: &'a Generator<'a, E>,
    requests: &'a [GenerateRequest],
    capacity: usize,
    cache: Cache<E>,
    active: Vec<Active>,
    ended: &'a mut dyn FnMut(Ended),
    pass: Pass,
    work: Workspace<E>,
    scratch: Scratch,
}

impl<'a, E: Operand<Real = f32>> Batch<'a, E> {
    fn new(
        generator: &'a Generator<'a, E>,
        requests: &'a [GenerateRequest],
        capacity: usize,
        ended: &'a mut dyn FnMut(Ended),
    ) -> Self {
        Self {
            generator,
            requests,
            capacity,
            cache: Cache::new(generator.decoder.block_lens()),
            active: Vec::new(),
            ended,
            pass: Pass::default(),
            work: Workspace::default(),
            scratch: Scratch::default(),
        }
    }

    /// Works until the queue is empty and every sequence has ended.
    fn run(mut self, queue: &Mutex<VecDeque<Unit>>) {
        loop {
            let units = self.admit(queue);
            self.prefill(&units);
            if self.active.is_empty() && units.is_empty() {
                return;
            }
            if !self.active.is_empty() {
                self.decode();
            }
        }
    }

    /// Takes what there is room for from the queue.
    fn admit(&self, queue: &Mutex<VecDeque<Unit>>) -> Vec<Unit> {
        let mut units = Vec::new();
        let mut samples = self.active.len();
        // A look at the queue takes a lock, so it is not worth it for a full batch.
        if samples < self.capacity {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(unit) = queue.front() {
                if samples > 0 && samples + unit.samples > self.capacity {
                    break;
                }
                samples += unit.samples;
                units.extend(queue.pop_front());
            }
        }
        units
    }

    /// Computes the prompt of every unit once and draws the first token of its samples.
    fn prefill(&mut self, units: &[Unit]) {
        let tables: Vec<Vec<u32>> = units
            .iter()
            .map(|unit| {
                let (mut table, prompt) = (Vec::new(), &self.requests[unit.request].prompt);
                self.cache.allocate(prompt.len().div_ceil(BLOCK), &mut table);
                table
            })
            .collect();
        let mut ends = Vec::new();
        self.pass.clear();
        for (index, unit) in units.iter().enumerate() {
            let mut table = self.pass.tables.len();
            self.pass.tables.extend(&tables[index]);
            let prompt = &self.requests[unit.request].prompt;
            for (position, token) in prompt.iter().enumerate() {
                self.pass.push(*token, position, table);
                if position + 1 == prompt.len() {
                    self.pass.wanted.push(self.pass.tokens.len() - 1);
                    ends.push(index);
                }
                if self.pass.tokens.len() == PREFILL_ROWS {
                    self.prefill_pass(units, &tables, &mut ends);
                    // The pass is empty now; the rest of the prompt needs its table again.
                    table = 0;
                    self.pass.tables.extend(&tables[index]);
                }
            }
        }
        self.prefill_pass(units, &tables, &mut ends);
        for table in &tables {
            self.cache.release(table);
        }
    }

    /// Computes the rows collected so far; the units in `ends` have their last row among them.
    fn prefill_pass(&mut self, units: &[Unit], tables: &[Vec<u32>], ends: &mut Vec<usize>) {
        if self.pass.tokens.is_empty() {
            return;
        }
        self.compute();
        for (unit, row) in ends.drain(..).zip(std::mem::take(&mut self.pass.wanted)) {
            let Generator { decoder, weights, .. } = *self.generator;
            let logits = decoder.logits(weights, &[row], &mut self.work);
            let Unit { request, first, samples } = units[unit];
            let prompt = self.requests[request].prompt.len();
            for sample in first..first + samples {
                let room = self.generator.sampling.max_tokens;
                let mut active = Active {
                    request,
                    sample,
                    table: self.cache.fork(&tables[unit], prompt),
                    completion: Completion {
                        tokens: Vec::with_capacity(room),
                        logprobs: Vec::with_capacity(room),
                        entropies: Vec::with_capacity(room),
                        finish: FinishReason::Length,
                    },
                };
                let draw = self.generator.draw(&self.requests[request], sample);
                draw.extend(&mut active.completion, logits, &mut self.scratch);
                self.active.push(active);
            }
        }
        self.pass.clear();
        self.retire();
    }

    /// One more token for every active sequence.
    fn decode(&mut self) {
        self.pass.clear();
        for active in &mut self.active {
            let drawn = &active.completion.tokens;
            let position = self.requests[active.request].prompt.len() + drawn.len() - 1;
            if position / BLOCK == active.table.len() {
                self.cache.allocate(1, &mut active.table);
            }
            let table = self.pass.tables.len();
            self.pass.tables.extend(&active.table);
            self.pass.wanted.push(self.pass.tokens.len());
            self.pass.push(drawn[drawn.len() - 1], position, table);
        }
        self.compute();
        let Generator { decoder, weights, .. } = *self.generator;
        let vocabulary = decoder.layout.vocabulary;
        let parts = self.pass.wanted.chunks(HEAD_ROWS).zip(self.active.chunks_mut(HEAD_ROWS));
        for (rows, active) in parts {
            let logits = decoder.logits(weights, rows, &mut self.work);
            for (row, active) in logits.chunks(vocabulary).zip(active) {
                let draw = self.generator.draw(&self.requests[active.request], active.sample);
                draw.extend(&mut active.completion, row, &mut self.scratch);
            }
        }
        self.retire();
    }

    fn compute(&mut self) {
        let Generator { decoder, weights, .. } = *self.generator;
        let (caches, work) = (self.cache.layers(), &mut self.work);
        decoder.decode(weights, &self.pass.tokens, self.pass.rows(), caches, work);
    }

    /// Finished sequences leave the batch.
    fn retire(&mut self) {
        let (generator, requests) = (self.generator, self.requests);
        let over = |active: &mut Active| {
            !generator.draw(&requests[active.request], active.sample).goes_on(&active.completion)
        };
        for active in self.active.extract_if(.., over) {
            self.cache.release(&active.table);
            let Active { request, sample, completion, .. } = active;
            (self.ended)(Ended { request, sample, completion });
        }
    }
}

/// How one sample is drawn.
pub(crate) struct Draw<'a> {
    /// The distribution.
    pub(crate) sampling: &'a SamplingPlan,
    /// Where chance comes from.
    pub(crate) stream: Stream,
    /// The end-of-sequence token.
    pub(crate) eos: u32,
    /// What the sample answers.
    pub(crate) request: &'a GenerateRequest,
    /// Which of the request's samples it is.
    pub(crate) sample: usize,
}

impl Draw<'_> {
    /// Draws the next token from a row of logits and records its log-prob and entropy.
    pub(crate) fn extend(
        &self,
        completion: &mut Completion,
        logits: &[f32],
        scratch: &mut Scratch,
    ) {
        let position = completion.tokens.len() as u64;
        let place = [self.request.address, self.sample as u64, position];
        let uniform = self.stream.at(&place).uniform();
        let (token, said) = draw_and_say(logits, self.sampling, uniform, scratch);
        completion.tokens.push(token);
        completion.logprobs.push(said.logprob);
        completion.entropies.push(said.entropy);
        // Nothing ends a sample whose length is given.
        if token == self.eos && self.request.lengths.is_empty() {
            completion.finish = FinishReason::Stop;
        }
    }

    /// Whether another token is wanted.
    pub(crate) fn goes_on(&self, completion: &Completion) -> bool {
        let exact = self.request.lengths.get(self.sample).copied();
        let limit = exact.unwrap_or(self.sampling.max_tokens);
        completion.finish != FinishReason::Stop && completion.tokens.len() < limit
    }
}
