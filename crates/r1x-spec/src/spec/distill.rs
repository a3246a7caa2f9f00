//! The keys of distillation.

use super::ranges::*;
use super::stages::{OptimizerSpec, SamplingSpec};
use crate::distill_values::DivergenceWord;
use crate::read::record;
use crate::schema_tree::Range;
use crate::shaping_values::DataNames;
use crate::value_types::Name;

record! {
    /// Distillation: the model of the stage learns the distributions of a teacher, token by token. Learning the texts that a
    /// teacher has written is `sft` on the data of a `reject` stage.
    pub struct DistillSpec {
        /// The teacher: the id of a stage above, as that stage has left its model. Left out, it is `teacher_model`.
        teacher: Name => optional;
        /// The teacher, in place of `teacher`: one of `models` with published weights, as it begins. Left out, it is `teacher`.
        teacher_model: Name => optional;
        /// The problems: `<data id>.train`, where the id may be that of a stage above that makes data, or a list of such,
        /// whose problems are mixed, or a map from such to their parts in a mixture. They need worked solutions unless the student writes the texts.
        data: DataNames => required;
        /// How many problems are left out from the start of the split, for one data set only. Left out, none are.
        skip: usize => optional, COUNT;
        /// How many problems are used after those, for one data set only. Left out, all are.
        limit: usize => optional, COUNT;
        /// How the student writes the texts that both are compared on (on-policy distillation). Left out, the texts are the
        /// worked solutions of the problems.
        sampling: SamplingSpec => optional;
        /// The number of completions that the student writes for each problem. Left out, it is 1.
        samples: usize => optional, SIZE;
        /// The number of optimizer updates.
        steps: u64 => required, COUNT;
        /// The number of problems in an update.
        batch_size: usize => required, SIZE;
        /// The number of sequences that are computed together, which decides how much memory it takes. Left out, it is 32,
        /// or those of an update where they are fewer.
        micro_batch_size: usize => optional, SIZE;
        /// AdamW.
        optimizer: OptimizerSpec => flat;
        /// How far the distribution of the student is from that of the teacher.
        divergence: DivergenceWord => default(DivergenceWord::ForwardKl);
        /// The share of the teacher in the mixture, `jensen_shannon` only. Left out, it is 0.5.
        beta: f64 => optional, Range::above(0.0).below(1.0);
        /// The temperature of both distributions.
        temperature: f64 => default(1.0), Range::from(0.01).to(100.0);
        /// The number of tokens that the teacher names at each place, the most likely ones; all others count as one. Where
        /// the model has no more tokens than that, all are named.
        top: usize => default(64), SIZE;
    }
}
