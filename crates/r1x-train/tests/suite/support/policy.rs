//! A policy that is a table of logits, with exact gradients and Adam, in memory.
//!
//! One row per (prompt, position, previous token).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use r1x_core::loss::{Loss, LossOutput, LossTotals, Said};
use r1x_core::plan::{CriticPlan, OptimizerPlan, SamplingPlan, TeacherPlan, WeightsFrom};
use r1x_core::port::{
    Cursor, EarlierWeights, GenerateRequest, Models, PolicyWrapper, REFERENCE, SavedCheckpoint,
    UpdateFacts, WeightChoice,
};
use r1x_core::rollout::Candidates;
use r1x_core::{
    Boundary, Completion, Encoder, FinishReason, Learner, Policy, PortError, Sampler, Scorer,
    Stream, TrainingBatch, TrainingSequence,
};

/// Token 0 ends a sequence, token d + 1 is the digit d.
const VOCABULARY: usize = 11;

type Row = [f64; VOCABULARY];
type Context = (Vec<u32>, usize, u32);
pub type Table = BTreeMap<Context, Row>;

/// Saved policies by name, shared between a policy and those restored from it.
pub type Checkpoints = Rc<RefCell<BTreeMap<String, (State, Cursor)>>>;

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub logits: Table,
    frozen: BTreeMap<String, Table>,
    first_moment: Table,
    second_moment: Table,
    updates: i32,
}

impl State {
    /// The reference.
    pub fn reference(&self) -> &Table {
        &self.frozen[REFERENCE]
    }
}

/// The policy. Logits that were never trained are 0.
#[derive(Default)]
pub struct TablePolicy {
    pub state: State,
    pub checkpoints: Checkpoints,
    /// Updates done since it was made or restored.
    pub updates_done: usize,
    /// How often the reference was set.
    pub references_set: usize,
    /// How often it was moved, its beginning included.
    pub references_moved: usize,
    /// Scores become NaN from this update on.
    pub nan_loss_at: Option<usize>,
    /// What is sampled becomes NaN from this update on.
    pub nan_samples_at: Option<usize>,
    /// Scores under the reference become infinite.
    pub infinite_reference: bool,
    /// A weight becomes NaN at this update.
    pub nan_weight_at: Option<usize>,
    /// The gradient norm becomes infinite at this update.
    pub infinite_norm_at: Option<usize>,
    /// Sequences of every batch that was trained on.
    pub batches: Vec<Vec<Arc<TrainingSequence>>>,
    /// Context length, tokens; 8 when not given.
    pub context: Option<usize>,
    /// The models that were put to work.
    pub put_to_work: Vec<Option<String>>,
    /// Whether it says a value of each target, the first number of a row, in place of a log-prob.
    pub says_values: bool,
    /// The critics of the stage under way, by the names of their models.
    pub critics: BTreeMap<String, TablePolicy>,
    /// Gradients since the last update.
    pub gradient: BTreeMap<Context, [f32; VOCABULARY]>,
}

impl TablePolicy {
    /// A policy that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is a reference now.
    pub fn has_reference(&self) -> bool {
        self.state.frozen.contains_key(REFERENCE)
    }

    /// The policy saved under a name, and where the run was.
    pub fn restored(checkpoints: &Checkpoints, name: &str) -> (Self, Cursor) {
        let (state, cursor) = checkpoints.borrow()[name].clone();
        let policy = Self { state, checkpoints: Rc::clone(checkpoints), ..Self::default() };
        (policy, cursor)
    }

    /// Log-probs of one row at a temperature.
    fn row(table: &Table, context: &Context, temperature: f64) -> Row {
        let mut row = table.get(context).copied().unwrap_or_default();
        row.iter_mut().for_each(|logit| *logit /= temperature);
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|logit| (logit - largest).exp()).sum();
        row.map(|logit| logit - largest - sum.ln())
    }

    /// The rows that decide each completion token of a sequence.
    fn contexts(sequence: &TrainingSequence) -> Vec<Context> {
        let prompt = &sequence.tokens[..sequence.prompt_len];
        (sequence.prompt_len..sequence.tokens.len())
            .map(|at| (prompt.to_vec(), at - sequence.prompt_len, sequence.tokens[at - 1]))
            .collect()
    }

    /// What it says of each target.
    fn said(&self, table: &Table, sequence: &TrainingSequence, temperature: f32) -> Vec<f32> {
        if !self.says_values {
            return Self::logprobs(table, sequence, temperature);
        }
        let contexts = Self::contexts(sequence);
        let value = |context| table.get(context).map_or(0.0, |row: &Row| row[0] as f32);
        contexts.iter().map(value).collect()
    }

    fn logprobs(table: &Table, sequence: &TrainingSequence, temperature: f32) -> Vec<f32> {
        let completion = &sequence.tokens[sequence.prompt_len..];
        Self::contexts(sequence)
            .iter()
            .zip(completion)
            .map(|(context, &token)| {
                Self::row(table, context, f64::from(temperature))[token as usize] as f32
            })
            .collect()
    }

    fn sample(
        &self,
        request: &GenerateRequest,
        sample: u64,
        sampling: &SamplingPlan,
        stream: Stream,
    ) -> Completion {
        // The recorded log-prob must be the trainer's, which knows the temperature as f32.
        let temperature = f64::from(sampling.temperature as f32);
        let mut previous = *request.prompt.last().expect("prompts have a token");
        let mut completion = Completion {
            tokens: Vec::new(),
            logprobs: Vec::new(),
            entropies: Vec::new(),
            finish: FinishReason::Length,
        };
        for position in 0..sampling.max_tokens {
            let context = (request.prompt.clone(), position, previous);
            let row = Self::row(&self.state.logits, &context, temperature);
            let uniform = stream.at(&[request.address, sample, position as u64]).uniform();
            let mut cumulative = 0.0;
            let token = row.iter().position(|logprob| {
                cumulative += logprob.exp();
                uniform < cumulative
            });
            let token = token.unwrap_or(VOCABULARY - 1);
            completion.tokens.push(token as u32);
            let lost = self.nan_samples_at.is_some_and(|at| self.updates_done >= at);
            completion.logprobs.push(if lost { f32::NAN } else { row[token] as f32 });
            completion.entropies.push(Self::entropy(&row) as f32);
            previous = token as u32;
            if previous == self.eos() {
                completion.finish = FinishReason::Stop;
                break;
            }
        }
        completion
    }

    fn add_gradient(
        &self,
        sum: &mut BTreeMap<Context, [f32; VOCABULARY]>,
        sequence: &TrainingSequence,
        output: &LossOutput,
        temperature: f32,
    ) {
        let completion = &sequence.tokens[sequence.prompt_len..];
        let Candidates { width, tokens, .. } = &sequence.candidates;
        for (at, context) in Self::contexts(sequence).into_iter().enumerate() {
            let row = Self::row(&self.state.logits, &context, f64::from(temperature));
            let range = at * width..(at + 1) * width;
            let named =
                tokens[range.clone()].iter().zip(output.candidates.get(range).unwrap_or(&[]));
            let mut shares = vec![(completion[at], output.gradient[at])];
            shares.extend(named.map(|(token, share)| (*token, *share)));
            let of_entropy = f64::from(output.entropies.get(at).copied().unwrap_or(0.0));
            let entropy = Self::entropy(&row);
            let entry = sum.entry(context).or_default();
            for (index, logprob) in row.iter().enumerate() {
                let by_logprobs: f64 = shares
                    .iter()
                    .map(|(token, share)| {
                        let hit = f64::from(u8::from(index == *token as usize));
                        f64::from(*share) * (hit - logprob.exp())
                    })
                    .sum();
                let by_entropy = -of_entropy * logprob.exp() * (logprob + entropy);
                entry[index] += ((by_logprobs + by_entropy) / f64::from(temperature)) as f32;
            }
        }
    }

    fn entropy(row: &Row) -> f64 {
        row.iter().map(|logprob| -logprob.exp() * logprob).sum()
    }

    /// The rows of a sequence's targets.
    fn rows(table: &Table, sequence: &TrainingSequence, temperature: f32) -> Vec<Row> {
        let contexts = Self::contexts(sequence);
        contexts.iter().map(|one| Self::row(table, one, f64::from(temperature))).collect()
    }
}

impl Encoder for TablePolicy {
    fn encode(&self, text: &str) -> Result<Vec<u32>, PortError> {
        text.chars()
            .map(|letter| {
                letter.to_digit(10).map(|digit| digit + 1).ok_or_else(|| {
                    PortError::new(Boundary::Data, format!("`{letter}` is no digit"), "use digits")
                })
            })
            .collect()
    }

    fn decode(&self, tokens: &[u32]) -> String {
        let digits = tokens.iter().filter(|&&token| token != self.eos());
        digits.map(|token| (token - 1).to_string()).collect()
    }

    fn eos(&self) -> u32 {
        0
    }

    fn bos(&self) -> Option<u32> {
        None
    }

    fn context_length(&self) -> usize {
        self.context.unwrap_or(8)
    }
}

impl Sampler for TablePolicy {
    /// The last request first, because the loop must not count on an order.
    fn generate_each(
        &self,
        requests: &[GenerateRequest],
        sampling: &SamplingPlan,
        stream: Stream,
        each: &mut dyn FnMut(usize, Vec<Completion>),
    ) -> Result<(), PortError> {
        for (index, request) in requests.iter().enumerate().rev() {
            let samples = 0..request.samples as u64;
            each(
                index,
                samples.map(|sample| self.sample(request, sample, sampling, stream)).collect(),
            );
        }
        Ok(())
    }
}

impl Scorer for TablePolicy {
    fn score(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        let table = match weights {
            WeightChoice::Current => &self.state.logits,
            WeightChoice::Frozen(name) => &self.state.frozen[name],
        };
        let scored = batch.sequences.iter();
        let scored = scored.map(|sequence| {
            let mut logprobs = self.said(table, sequence, batch.temperature);
            if self.infinite_reference {
                logprobs.fill(f32::NEG_INFINITY);
            }
            logprobs
        });
        Ok(scored.collect())
    }

    fn most_likely(
        &mut self,
        _weights: WeightChoice<'_>,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        let width = width.min(VOCABULARY);
        let of_sequence = |sequence: &Arc<TrainingSequence>| {
            let mut found = Candidates { width, ..Candidates::default() };
            for row in Self::rows(&self.state.logits, sequence, batch.temperature) {
                let mut tokens: Vec<usize> = (0..VOCABULARY).collect();
                tokens.sort_by(|one, other| row[*other].total_cmp(&row[*one]));
                tokens.truncate(width);
                found.logprobs.extend(tokens.iter().map(|token| row[*token] as f32));
                found.tokens.extend(tokens.iter().map(|token| *token as u32));
            }
            found
        };
        Ok(batch.sequences.iter().map(of_sequence).collect())
    }
}

impl Learner for TablePolicy {
    fn accumulate(
        &mut self,
        batch: &TrainingBatch,
        loss: &dyn Loss,
    ) -> Result<LossTotals, PortError> {
        self.batches.push(batch.sequences.clone());
        let mut totals = LossTotals::default();
        for micro_batch in batch.sequences.chunks(batch.micro_batch_size) {
            let mut sum = BTreeMap::new();
            for sequence in micro_batch {
                let mut logprobs = self.said(&self.state.logits, sequence, batch.temperature);
                if self.nan_loss_at.is_some_and(|at| self.updates_done >= at) {
                    logprobs.fill(f32::NAN);
                }
                let rows = Self::rows(&self.state.logits, sequence, batch.temperature);
                let entropies: Vec<f32> = match loss.reads_entropies() {
                    true => rows.iter().map(|row| Self::entropy(row) as f32).collect(),
                    false => Vec::new(),
                };
                let Candidates { width, tokens, .. } = &sequence.candidates;
                let named = tokens.iter().enumerate();
                let candidates: Vec<f32> =
                    named.map(|(at, token)| rows[at / width][*token as usize] as f32).collect();
                let said =
                    Said { targets: &logprobs, entropies: &entropies, candidates: &candidates };
                let output = loss.evaluate(sequence, said);
                totals.add(&output.totals);
                if self.says_values {
                    for (context, by) in Self::contexts(sequence).into_iter().zip(&output.gradient)
                    {
                        sum.entry(context).or_insert([0.0; VOCABULARY])[0] += by;
                    }
                    continue;
                }
                self.add_gradient(&mut sum, sequence, &output, batch.temperature);
            }
            for (context, row) in sum {
                let entry = self.gradient.entry(context).or_default();
                entry.iter_mut().zip(row).for_each(|(to, from)| *to += from);
            }
        }
        Ok(totals)
    }

    fn update(&mut self, optimizer: &OptimizerPlan, lr: f64) -> Result<UpdateFacts, PortError> {
        let gradient = std::mem::take(&mut self.gradient);
        let squares = gradient.values().flatten().map(|&entry| f64::from(entry).powi(2));
        let mut grad_norm = squares.sum::<f64>().sqrt();
        if self.infinite_norm_at == Some(self.updates_done) {
            grad_norm = f64::INFINITY;
        }
        self.updates_done += 1;
        let state = &mut self.state;
        state.updates += 1;
        let correct = |moment: f64, beta: f64| moment / (1.0 - beta.powi(state.updates));
        for (context, gradient) in gradient {
            let logits = state.logits.entry(context.clone()).or_default();
            let first = state.first_moment.entry(context.clone()).or_default();
            let second = state.second_moment.entry(context).or_default();
            for (token, entry) in gradient.into_iter().map(f64::from).enumerate() {
                first[token] += (1.0 - optimizer.beta1) * (entry - first[token]);
                second[token] += (1.0 - optimizer.beta2) * (entry * entry - second[token]);
                let size = correct(second[token], optimizer.beta2).sqrt() + optimizer.eps;
                logits[token] -= lr * correct(first[token], optimizer.beta1) / size;
            }
        }
        Ok(UpdateFacts {
            grad_norm,
            metrics: vec![("table.rows".to_owned(), state.logits.len() as f64)],
            not_finite: (self.nan_weight_at == Some(self.updates_done - 1))
                .then(|| ("weight in `table`".to_owned(), f64::NAN)),
        })
    }

    fn reset_optimizer(&mut self) {
        self.state.first_moment.clear();
        self.state.second_moment.clear();
        self.state.updates = 0;
    }

    fn freeze(&mut self, name: &str) -> Result<(), PortError> {
        self.references_set += usize::from(name == REFERENCE);
        self.state.frozen.insert(name.to_owned(), self.state.logits.clone());
        Ok(())
    }

    fn follow(&mut self, name: &str, share: f64) -> Result<(), PortError> {
        self.references_moved += usize::from(name == REFERENCE);
        let old = self.state.frozen.remove(name).unwrap_or_else(|| self.state.logits.clone());
        let contexts = old.keys().chain(self.state.logits.keys());
        let mixed = contexts.map(|context| {
            let of = |table: &Table| table.get(context).copied().unwrap_or_default();
            let (old, new) = (of(&old), of(&self.state.logits));
            let row = std::array::from_fn(|at| old[at] * (1.0 - share) + new[at] * share);
            (context.clone(), row)
        });
        let mixed: Table = mixed.collect();
        self.state.frozen.insert(name.to_owned(), mixed);
        Ok(())
    }

    fn take_weights(&mut self, weights: EarlierWeights<'_>) -> Result<(), PortError> {
        self.state.logits = match weights {
            EarlierWeights::Initial => BTreeMap::new(),
            EarlierWeights::Saved(name) | EarlierWeights::Body(name) => {
                self.checkpoints.borrow()[name].0.logits.clone()
            }
            EarlierWeights::Average(parts) => {
                let saved = self.checkpoints.borrow();
                let mut sum = Table::new();
                for part in parts {
                    let table = part.saved.map(|name| saved[name].0.logits.clone());
                    for (context, row) in table.unwrap_or_default() {
                        let sums: &mut Row = sum.entry(context).or_default();
                        sums.iter_mut().zip(row).for_each(|(sum, one)| *sum += part.share * one);
                    }
                }
                sum
            }
        };
        Ok(())
    }

    fn forget_frozen(&mut self) {
        self.state.frozen.clear();
    }

    fn save(&mut self, name: &str, cursor: &Cursor) -> Result<SavedCheckpoint, PortError> {
        let saved = (self.state.clone(), cursor.clone());
        self.checkpoints.borrow_mut().insert(name.to_owned(), saved);
        Ok(SavedCheckpoint {
            path: name.to_owned(),
            sha256: self.weights_sha256()?,
            state_sha256: String::new(),
            bytes: (self.state.logits.len() * size_of::<Row>()) as u64,
        })
    }

    /// Not a sha256: the bits of all weights folded into one number, which is enough to tell tables apart.
    fn weights_sha256(&self) -> Result<String, PortError> {
        let weights = self.state.logits.values().flatten();
        let folded = weights.fold(0xcbf2_9ce4_8422_2325_u64, |hash, weight| {
            (hash ^ weight.to_bits()).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
        });
        Ok(format!("{folded:016x}"))
    }
}

/// The models of a run, each of which is a table that begins empty.
pub struct Turns<'a>(pub &'a mut TablePolicy);

impl PolicyWrapper for Turns<'_> {
    type Inner = TablePolicy;

    fn inner(&self) -> &TablePolicy {
        self.0
    }

    fn inner_mut(&mut self) -> &mut TablePolicy {
        self.0
    }
}

impl Models for Turns<'_> {
    fn put_to_work(&mut self, model: Option<&str>) -> Result<(), PortError> {
        self.0.state = State::default();
        self.0.put_to_work.push(model.map(str::to_owned));
        Ok(())
    }

    /// A table that a stage has saved at its end, or an empty one.
    fn ask_teacher(
        &mut self,
        teacher: &TeacherPlan,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        let saved = self.0.checkpoints.borrow();
        let state = match &teacher.weights {
            WeightsFrom::Base => State::default(),
            WeightsFrom::Stage(id) => {
                let name = saved.keys().rev().find(|name| name.contains(id.as_str()));
                saved[name.expect("the stage has ended")].0.clone()
            }
        };
        let mut table = TablePolicy { state, ..TablePolicy::default() };
        table.most_likely(WeightChoice::Current, batch, width)
    }

    fn with_critic(
        &mut self,
        critic: &CriticPlan,
        work: &mut dyn FnMut(&mut dyn Policy) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let new = || TablePolicy { says_values: true, ..TablePolicy::default() };
        work(self.0.critics.entry(critic.model.clone()).or_insert_with(new))
    }

    fn forget_others(&mut self) {
        self.0.critics.clear();
    }
}
