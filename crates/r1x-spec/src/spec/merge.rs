//! The keys of a merge.

use crate::lists::Dict;
use crate::read::record;
use crate::schema_tree::Range;

record! {
    /// The average of weights: every number of the model becomes the sum of the numbers that the parts have at its place,
    /// each times the share of its part. Nothing is learnt. Of a part whose model has adapters (`lora`), they are merged into
    /// that model first; the model of the stage itself has none.
    pub struct MergeSpec {
        /// What is averaged, at least two parts, or one with adapters, which are merged then: the ids of stages above that change the weights of a model of this shape, or
        /// `base` for those that the model begins with, each with a number above 0. The share of a part is its number over
        /// the sum of all.
        parts: Dict<f64> => required, Range::above(0.0).to(1e6);
    }
}
