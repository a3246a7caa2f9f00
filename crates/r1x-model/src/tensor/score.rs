//! What a model on tensors says of sequences without learning from them.

use r1x_core::port::WeightChoice;
use r1x_core::rollout::Candidates;
use r1x_core::{PortError, Scorer, TrainingBatch};

use super::{SHARE_PROMPTS, TensorPolicy, numbers_of};
use crate::error::ModelError;
use crate::family::composed::Composed;
use crate::family::composed::said::Entropies;
use crate::policy::pack;

impl TensorPolicy {
    /// The model with the chosen weights, of which no gradient is taken.
    fn chosen(&self, weights: WeightChoice<'_>) -> Result<Composed, ModelError> {
        match weights {
            WeightChoice::Current => Ok(self.model.frozen()),
            WeightChoice::Frozen(name) => {
                self.copies.get(name).cloned().ok_or_else(|| ModelError::not_frozen(name))
            }
        }
    }
}

impl Scorer for TensorPolicy {
    fn score(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
    ) -> Result<Vec<Vec<f32>>, PortError> {
        self.check(batch)?;
        let model = self.chosen(weights)?;
        let mut scored = Vec::with_capacity(batch.sequences.len());
        for sequences in batch.sequences.chunks(batch.micro_batch_size) {
            let packed = pack(sequences, SHARE_PROMPTS);
            let asked = (batch.temperature, Entropies::Unsaid);
            let forward = self.forward(&model, &packed, asked)?;
            let mut said = numbers_of(forward.as_ref())?.targets.into_iter();
            let lengths = sequences.iter().map(|one| one.tokens.len() - one.prompt_len);
            scored.extend(lengths.map(|length| said.by_ref().take(length).collect::<Vec<_>>()));
        }
        Ok(scored)
    }

    fn most_likely(
        &mut self,
        weights: WeightChoice<'_>,
        batch: &TrainingBatch,
        width: usize,
    ) -> Result<Vec<Candidates>, PortError> {
        self.check(batch)?;
        self.model.layout().can_write()?;
        let model = self.chosen(weights)?;
        let width = width.min(model.tokens());
        let mut found = Vec::with_capacity(batch.sequences.len());
        for sequences in batch.sequences.chunks(batch.micro_batch_size) {
            let packed = pack(sequences, SHARE_PROMPTS);
            let (tokens, logprobs) =
                model.most_likely(&packed, width, f64::from(batch.temperature))?;
            found.extend(Candidates::by_sequence((width, &tokens, &logprobs), sequences));
        }
        Ok(found)
    }
}
