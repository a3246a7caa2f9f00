//! The store: every fact of every run in one SQLite file, written whole or not at all, read by anybody.
//!
//! All that is asynchronous stays in here; the public interface is synchronous. Must not know tensors,
//! plugins or YAML: it keeps what it is given.

mod about;
mod digest;
mod error;
pub mod examples;
mod guard;
mod names;
mod open;
mod packing;
mod process_liveness;
mod read;
mod record;
mod rescore;
mod rescue;
mod row_hash;
mod run_begin;
mod run_resume;
mod run_writer;
mod sitting;
mod sql;
mod store;
mod sweep;
mod text;
mod upkeep;
mod wait;
mod writer;

#[cfg(test)]
mod tests;

pub use about::TagChange;
pub use error::StoreError;
pub use open::{Upgraded, known_schema};
pub use read::card::{EventCard, PluginCard, RunCard, SpecText, StageCard};
pub use read::checkpoint::{CheckpointCard, checkpoints_on_disk};
pub use read::descent::{Descent, Origin};
pub use read::diagnosis::{RewardPair, SilentGroups};
pub use read::difference::{Compared, Difference, RunPair};
pub use read::evaluation::{EvalRow, evaluations, newest_evaluation};
pub use read::export::{Completion, Rollouts, RunEvaluation, RunStep, SearchIn, Searched, Tokens};
pub use read::metric::{Curve, MetricPoint};
pub use read::pair::{EvaluationPair, MetricPair, Paired};
pub use read::problem::{PROBLEMS_VIEW, ProblemText, TriedProblem};
pub use read::recorded::{LastFact, RecordedSteps, StepsAfter};
pub use read::reusable::{OriginCheckpoint, StageOrigin};
pub use read::rollout::{
    GroupCard, GroupDetail, MeanStep, Metric, RewardCard, RewardSummary, RolloutCard,
    RolloutDetail, StepCard,
};
pub use read::summary::{LastFigure, RunSummary};
pub use record::StepTiming;
pub use rescore::{RolloutStep, StoredGroup, StoredRollout};
pub use run_begin::{DatasetInput, Environment, PluginInput, Relation, RunStart};
pub use run_resume::StagePoint;
pub use run_writer::{Advantages, Level, RunStatus, RunWriter, Stopper};
pub use sql::{RowSink, SqlEnd, SqlQuery, Table, TableInfo, Value, statements};
pub use store::{Mode, Store};
pub use sweep::{EarlierSweep, MemberStart, SweepCard, SweepMember, SweepStart};
pub use upkeep::backup::Backup;
pub use upkeep::collect::{Garbage, PayloadField};
pub use upkeep::merge::{ImportedRun, Merged, SkippedRun};
pub use upkeep::remove::{Removed, StoodOn};
pub use upkeep::shrink::{Shrinking, Shrunk};
pub use upkeep::verify::{Depth, Flaw, Verified};
