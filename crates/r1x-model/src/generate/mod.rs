//! Batched decoding on every device: sequences leave a batch when they end, and enter when there is room.
//!
//! Who is admitted, who shares a prompt, who draws, and when the blocks of a sample are free is decided here, once;
//! an [`Engine`] computes rows and holds keys and values. What a sample says does not depend on its batch, beyond
//! the rounding of an engine whose products depend on theirs.

mod draw;
pub mod kernels;
pub mod pass;
pub mod queue;

#[cfg(test)]
mod tests;

use r1x_core::plan::SamplingPlan;
use r1x_core::port::GenerateRequest;
use r1x_core::{Completion, Stream};

use self::draw::Draw;
use self::pass::Pass;
use self::queue::{Ended, Queue, Unit};
use crate::blocks::{BlockChanges, BlockPool, BlockTable};
use crate::error::ModelError;
use crate::family::Rows;
use crate::sample::Scratch;

/// What computes the rows of a batch, and keeps their keys and values in blocks.
pub trait Engine {
    /// What can go wrong.
    type Error;

    /// Grows, clears and copies blocks, for the passes that follow.
    ///
    /// # Errors
    /// When the device fails or its memory does not suffice.
    fn change(&mut self, changes: &BlockChanges) -> Result<(), Self::Error>;

    /// Runs rows through the layers. Their keys and values are written to blocks first, so rows of one sequence see
    /// each other.
    ///
    /// # Errors
    /// When a token is outside the vocabulary or the device fails.
    fn compute(&mut self, tokens: &[u32], rows: Rows<'_>) -> Result<(), Self::Error>;

    /// Fills blocks with the keys and values of a request's prompt, where they were computed before, and gives the logits
    /// of the prompt's last row; none where nothing was.
    fn recall(&mut self, request: usize, blocks: &[u32]) -> Option<&[f32]> {
        let _ = (request, blocks);
        None
    }

    /// Calls `each` with the index and the logits, one per token of the tokenizer, of every one of some rows of the
    /// last pass, in order.
    ///
    /// # Errors
    /// When the device fails.
    fn logits(
        &mut self,
        rows: &[usize],
        each: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), Self::Error>;
}

/// What every batch of a call sees.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// What is asked for.
    pub requests: &'a [GenerateRequest],
    /// How tokens are drawn.
    pub sampling: &'a SamplingPlan,
    /// Where chance comes from.
    pub stream: Stream,
    /// The tokens that end a sample.
    pub ends: &'a [u32],
}

impl<'a> Session<'a> {
    /// Refuses what no model of this context length can answer.
    ///
    /// # Errors
    /// When a prompt is empty, a prompt and `max_tokens` do not fit the context, or exact lengths are not what they may
    /// be: one for each sample, and none 0 or above `max_tokens`.
    pub fn check(&self, context_length: usize) -> Result<(), ModelError> {
        let limit = self.sampling.max_tokens;
        for GenerateRequest { prompt, samples, lengths, .. } in self.requests {
            if prompt.is_empty() {
                return Err(ModelError::EmptyPrompt);
            }
            let length = prompt.len() + limit;
            if length > context_length {
                return Err(ModelError::TooLong { length, limit: context_length });
            }
            let possible = lengths.iter().all(|length| (1..=limit).contains(length));
            if !lengths.is_empty() && (lengths.len() != *samples || !possible) {
                let (lengths, samples) = (lengths.clone(), *samples);
                return Err(ModelError::Lengths { lengths, samples, limit });
            }
        }
        Ok(())
    }

    fn draw(&self, request: usize, sample: usize) -> Draw<'a> {
        let Self { requests, sampling, stream, ends } = *self;
        Draw { sampling, stream, ends, request: &requests[request], sample }
    }
}

/// How much is computed together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sequences in a batch.
    pub samples: usize,
    /// Rows of prompts in a pass. A longer prompt is computed in parts.
    pub prompt_rows: usize,
}

/// A sequence being decoded.
#[derive(Debug)]
struct Active {
    request: usize,
    sample: usize,
    table: BlockTable,
    completion: Completion,
}

/// Sequences that are decoded together, a token of each at a time.
pub struct Batch<'a, G: Engine> {
    session: Session<'a>,
    limits: Limits,
    engine: G,
    pool: BlockPool,
    active: Vec<Active>,
    ended: &'a mut dyn FnMut(Ended),
    pass: Pass,
    scratch: Scratch,
}

impl<'a, G: Engine> Batch<'a, G> {
    /// An empty batch. `ended` is called with every sample that ends.
    pub fn new(
        session: Session<'a>,
        limits: Limits,
        engine: G,
        ended: &'a mut dyn FnMut(Ended),
    ) -> Self {
        Self {
            session,
            limits,
            engine,
            pool: BlockPool::default(),
            active: Vec::new(),
            ended,
            pass: Pass::default(),
            scratch: Scratch::default(),
        }
    }

    /// Works until the queue is empty and every sequence has ended.
    ///
    /// # Errors
    /// When the engine has one.
    pub fn run(&mut self, queue: &Queue) -> Result<(), G::Error> {
        loop {
            let units = queue.take(self.active.len(), self.limits.samples);
            self.prefill(&units)?;
            if self.active.is_empty() && units.is_empty() {
                return Ok(());
            }
            if !self.active.is_empty() {
                self.decode()?;
            }
        }
    }

    /// Computes the prompt of every unit once and draws the first token of its samples.
    fn prefill(&mut self, units: &[Unit]) -> Result<(), G::Error> {
        let mut tables = Vec::with_capacity(units.len());
        for unit in units {
            let mut table = BlockTable::default();
            self.pool.extend(&mut table, self.session.requests[unit.request].prompt.len());
            tables.push(table);
        }
        let recalled = self.recall(units, &tables)?;
        let mut ends = Vec::new();
        self.pass.clear();
        for (index, unit) in units.iter().enumerate().filter(|(index, _)| !recalled[*index]) {
            let mut table = self.pass.list(&tables[index]);
            let prompt = &self.session.requests[unit.request].prompt;
            for (position, token) in prompt.iter().enumerate() {
                self.pass.push(*token, position, table);
                if position + 1 == prompt.len() {
                    self.pass.want();
                    ends.push(index);
                }
                if self.pass.tokens.len() == self.limits.prompt_rows {
                    self.prefill_pass(units, &tables, &mut ends)?;
                    // The pass is empty now; the rest of the prompt needs its table again.
                    table = self.pass.list(&tables[index]);
                }
            }
        }
        self.prefill_pass(units, &tables, &mut ends)?;
        tables.into_iter().for_each(|table| self.pool.release(table));
        Ok(())
    }

    /// Begins the samples of the units whose prompts the engine knows, and says which these are.
    fn recall(&mut self, units: &[Unit], tables: &[BlockTable]) -> Result<Vec<bool>, G::Error> {
        let Self { session, engine, pool, active, scratch, .. } = self;
        pool.settle(|changes| engine.change(changes))?;
        let mut recalled = Vec::with_capacity(units.len());
        for (unit, table) in units.iter().zip(tables) {
            let logits = engine.recall(unit.request, table.blocks());
            recalled.push(logits.is_some());
            if let Some(logits) = logits {
                active.extend(begin(session, *unit, (&mut *pool, table), logits, scratch));
            }
        }
        if recalled.contains(&true) {
            self.retire();
        }
        Ok(recalled)
    }

    /// Computes the rows collected so far; the units in `ends` have their last row among them.
    fn prefill_pass(
        &mut self,
        units: &[Unit],
        tables: &[BlockTable],
        ends: &mut Vec<usize>,
    ) -> Result<(), G::Error> {
        if self.pass.tokens.is_empty() {
            return Ok(());
        }
        self.compute()?;
        let Self { session, engine, pool, active, pass, scratch, .. } = self;
        engine.logits(&pass.wanted, &mut |end, logits| {
            let (unit, table) = (units[ends[end]], &tables[ends[end]]);
            active.extend(begin(session, unit, (&mut *pool, table), logits, scratch));
        })?;
        ends.clear();
        self.pass.clear();
        self.retire();
        Ok(())
    }

    /// One more token for every active sequence.
    fn decode(&mut self) -> Result<(), G::Error> {
        self.pass.clear();
        for active in &mut self.active {
            let drawn = &active.completion.tokens;
            // The last token drawn has no keys and values yet.
            let position = self.session.requests[active.request].prompt.len() + drawn.len() - 1;
            self.pool.extend(&mut active.table, position + 1);
            let table = self.pass.list(&active.table);
            self.pass.push(drawn[drawn.len() - 1], position, table);
            self.pass.want();
        }
        self.compute()?;
        let Self { session, engine, active, pass, scratch, .. } = self;
        engine.logits(&pass.wanted, &mut |index, logits| {
            let Active { request, sample, completion, .. } = &mut active[index];
            session.draw(*request, *sample).extend(completion, logits, scratch);
        })?;
        self.retire();
        Ok(())
    }

    fn compute(&mut self) -> Result<(), G::Error> {
        let Self { engine, pool, pass, .. } = self;
        pool.settle(|changes| engine.change(changes))?;
        engine.compute(&pass.tokens, pass.rows())
    }

    /// Finished sequences leave the batch.
    fn retire(&mut self) {
        let Self { session, pool, active, ended, .. } = self;
        let over = |active: &mut Active| {
            !session.draw(active.request, active.sample).goes_on(&active.completion)
        };
        for Active { request, sample, table, completion } in active.extract_if(.., over) {
            pool.release(table);
            ended(Ended { request, sample, completion });
        }
    }
}

/// The samples of a unit with their first tokens, which the logits of its prompt's last row give.
fn begin(
    session: &Session<'_>,
    Unit { request, first, samples }: Unit,
    (pool, table): (&mut BlockPool, &BlockTable),
    logits: &[f32],
    scratch: &mut Scratch,
) -> Vec<Active> {
    let prompt = session.requests[request].prompt.len();
    let sample = |sample: usize| {
        let draw = session.draw(request, sample);
        let mut completion = draw.start();
        draw.extend(&mut completion, logits, scratch);
        Active { request, sample, table: pool.fork(table, prompt), completion }
    };
    (first..first + samples).map(sample).collect()
}
