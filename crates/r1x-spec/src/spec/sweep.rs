//! The keys of a sweep.

use crate::read::record;
use crate::sweep_values::Matrix;

record! {
    /// A sweep: the spec stands for several runs, one for each combination of the values that keys take. Each of the runs
    /// is the one of the spec without a sweep in which the values of its combination are written.
    pub struct SweepSpec {
        /// What is varied: the path of a key, as `--set` takes it, with the list of its values, as in
        /// `{seed: [1, 2, 3], stages.rl.grpo.lr: [1e-4, 3e-4]}`, which are six runs. The values of the last key change from
        /// one run to the next, and those of the first key last. There are at most 1000 combinations.
        matrix: Matrix => required;
    }
}
