//! The keys of stages that learn from pairs.

use r1x_core::plan::ReadPart;

use super::ranges::*;
use super::stages::OptimizerSpec;
use crate::pair_values::{PreferenceWord, RewardLossKind};
use crate::read::record;
use crate::schema_tree::Range;
use crate::shaping_values::DataNames;

record! {
    /// Training of a reward model on pairs of responses, of which one is better (arXiv 2203.02155). The stage needs a model
    /// with `head: value`.
    pub struct RewardModelSpec {
        /// The problems, each with a solution and a worse response: `<data id>.train`, where the id may be that of a stage
        /// above that makes data, or a list of such, whose problems are mixed, or a map from such to their parts in a mixture.
        data: DataNames => required;
        /// How many problems are left out from the start of the split, for one data set only. Left out, none are.
        skip: usize => optional, COUNT;
        /// How many problems are used after those, for one data set only. Left out, all are.
        limit: usize => optional, COUNT;
        /// The number of optimizer updates.
        steps: u64 => required, COUNT;
        /// The number of pairs in an update.
        batch_size: usize => required, SIZE;
        /// The number of sequences that are computed together, two for each pair, which decides how much memory it takes.
        /// Left out, it is 32, or those of an update where they are fewer.
        micro_batch_size: usize => optional, SIZE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
        /// What the model learns from a pair.
        loss: RewardLossKind => default(RewardLossKind::Pair);
        /// How much larger the value of the better response is to be, `pair` only. Left out, it is 0: larger is enough.
        margin: f64 => optional, FACTOR;
        /// What of a response is read. Whoever asks the model for a reward later reads the same part.
        reads: ReadPart => default(ReadPart::Response);
        /// Whether the prompt of a pair is computed once for both responses.
        share_prompts: bool => default(true);
        /// The number of steps after which figures of the held-out pairs are taken: loss, accuracy, margin and calibration.
        /// Left out, they are taken at the end of the stage, where the data sets have held-out pairs.
        heldout_every: u64 => optional, COUNT;
    }
}

record! {
    /// Direct preference optimisation (arXiv 2305.18290). The reference is the policy that the stage begins with.
    pub struct DpoSpec {
        /// The problems, each with a solution and a worse completion: `<data id>.train`, where the id may be that of a stage
        /// above that makes data, or a list of such, whose problems are mixed, or a map from such to their parts in a mixture.
        data: DataNames => required;
        /// How many problems are left out from the start of the split, for one data set only. Left out, none are.
        skip: usize => optional, COUNT;
        /// How many problems are used after those, for one data set only. Left out, all are.
        limit: usize => optional, COUNT;
        /// The number of optimizer updates.
        steps: u64 => required, COUNT;
        /// The number of pairs in an update.
        batch_size: usize => required, SIZE;
        /// The number of sequences that are computed together, two for each pair, which decides how much memory it takes.
        /// Left out, it is 32, or those of an update where they are fewer.
        micro_batch_size: usize => optional, SIZE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
        /// What becomes of the log-ratio of a pair: by how much the policy prefers the better completion more than the
        /// reference does, in nats.
        kind: PreferenceWord => default(PreferenceWord::Sigmoid);
        /// The factor of the log-ratio: a larger one holds the policy nearer to the reference.
        beta: f64 => default(0.1), Range::above(0.0).to(1e6);
        /// The share of pairs whose members are thought to be swapped, `sigmoid` only (conservative DPO). Left out, it is 0.
        label_smoothing: f64 => optional, Range::from(0.0).below(0.5);
        /// Whether the prompt of a pair is computed once for both completions.
        share_prompts: bool => default(true);
    }
}
