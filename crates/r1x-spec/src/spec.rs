//! The spec as it is written: every key with its type, range, default and meaning.
//!
//! This is the one declaration of the format; reader, merging, `--set` and JSON Schema follow it.

mod critic;
mod distill;
mod merge;
mod model;
mod pairs;
mod ranges;
mod stages;
mod sweep;
mod tiny;

use serde_json::json;

use r1x_core::plan::{OnFailure, Otherwise, TraceStyle};

pub use self::critic::*;
pub use self::distill::*;
pub use self::merge::*;
pub use self::model::*;
pub use self::pairs::*;
use self::ranges::*;
pub use self::stages::*;
pub use self::sweep::*;
pub use self::tiny::*;
use crate::grant::Grant;
use crate::lists::{Columns, Dict, IdList, Texts};
use crate::read::{At, one_of, record};
use crate::schema_tree::Range;
use crate::shaping_values::{Between, Weight};
use crate::value_types::{
    Bytes, Counts, DataName, Free, Gate, Interval, Moment, Name, Operations, PassAt,
};

record! {
    /// An r1x experiment: a model, data, rewards, and the stages that train it.
    pub struct RunSpec {
        /// The version of the spec format, which is 1.
        r1x: u64 => part, Range::from(1.0).to(1.0);
        /// The path of another spec, relative to this file, that this one adds to. Maps merge, lists of entries
        /// with ids merge by id, and everything else is replaced; so is a map that holds one of several
        /// alternatives when another alternative is given. (`messages` and `prompt` take each other's place alone.)
        /// `null` drops an inherited key, `drop: true` an inherited entry, and an empty list or map of entries all of
        /// them. Left out, the file stands alone.
        extends: String => optional;
        /// The name of the experiment. Its runs are called by it and two words, as in `countdown-calm-otter`.
        name: Name => part;
        /// The seed of every random stream: initial weights, the order of problems, and every token that is drawn.
        /// Equal plans with equal seeds give equal runs.
        seed: u64 => soft(1);
        /// Labels for people. They are recorded with the run and change nothing in it.
        tags: Texts => soft(Texts::default());
        /// The policy, a decoder-only transformer, with random weights or those of a published model.
        model: ModelSpec => part;
        /// Further models of the run, by name: stages may work on one of them in place of the policy. Each is `model` but
        /// for the keys that are written here, as if it extended it, and has its tokenizer.
        models: Dict<ModelSpec> => nested;
        /// The data sets, by id. An id is used as `<id>.train` and `<id>.heldout`.
        data: Dict<DataSpec> => nested;
        /// The rewards, by id.
        rewards: Dict<RewardSpec> => nested;
        /// The frozen models that rewards may ask, by name.
        judges: Dict<JudgeSpec> => nested;
        /// The stages, in the order in which they run.
        stages: IdList<StageSpec> => part;
        /// The evaluation suites, in the order in which they are reported.
        evals: IdList<EvalSpec> => nested;
        /// What is kept of a rollout besides its numbers.
        record: RecordSpec => nested;
        /// When weights are saved. The end of every training stage always is.
        checkpoints: CheckpointSpec => nested;
        /// The values that keys take in turn, where the spec stands for several runs. Left out, it stands for one.
        sweep: SweepSpec => optional;
    }
}

record! {
    /// The shape of a model, which is a spec that says nothing else: other specs extend it, and `r1x plan` shows it.
    pub struct ShapeSpec {
        /// The version of the spec format, which is 1.
        r1x: u64 => part, Range::from(1.0).to(1.0);
        /// The name of the shape.
        name: Name => part;
        /// Labels for people.
        tags: Texts => soft(Texts::default());
        /// The model.
        model: ModelSpec => part;
    }
}

record! {
    /// A data set: problems in two disjoint splits, `train` and `heldout`.
    pub struct DataSpec {
        /// Where the problems come from.
        source: SourceSpec => flat;
        /// How a problem becomes a prompt.
        prompt: PromptSpec => flat;
    }
}

one_of! {
    /// How a problem becomes a prompt.
    pub enum PromptSpec {
        /// The template of the prompt, in the language of Jinja (minijinja). The columns of a problem are its
        /// variables.
        "prompt" => Text(String),
        /// The messages that ask a problem, of which the model's chat template makes the prompt. They need a model that
        /// has one.
        "messages" => Messages(MessagesSpec),
    }
}

record! {
    /// The messages that ask a problem. Each is a template as `prompt` is, and may not hold special tokens: the chat
    /// template writes them.
    pub struct MessagesSpec {
        /// The template of what the model is told before the conversation. Left out, or where it writes nothing, there is
        /// no such message.
        system: String => optional;
        /// The template of what is asked.
        user: String => required;
        /// The template of the text with which the answer begins, such as `<think>` and a line break. It stands at the
        /// end of the prompt, and in front of the completion that rewards are given and runs record. Left out, the model
        /// begins the answer itself.
        prefill: String => optional;
    }
}

one_of! {
    /// Where problems come from.
    pub enum SourceSpec {
        /// Generated problems of the Countdown numbers game.
        "countdown" => Countdown(CountdownSpec),
        /// Generated sums on a wheel, a small verifiable task.
        "arithmetic" => Arithmetic(ArithmeticSpec),
        /// Generated problems about letters, a small verifiable task.
        "strings" => Strings(StringsSpec),
        /// Generated everyday requests, each with a better and a worse completion.
        "requests" => Requests(RequestsSpec),
        /// A file with one JSON object on each line, or a folder of such files.
        "jsonl" => Jsonl(RowsSpec),
        /// A Parquet file, as hubs publish data sets, or a folder of such files. Lists and structs in it are the lists
        /// and objects that JSON lines would have.
        "parquet" => Parquet(RowsSpec),
    }
}

record! {
    /// Generated problems of the Countdown numbers game: reach the target with the numbers.
    pub struct CountdownSpec {
        /// How many numbers a problem has: `3`, or `[3, 4]` for three or four.
        count: Counts => required, Range::from(2.0).to(6.0);
        /// The smallest and the largest number of a problem.
        numbers: Interval => required, COUNTDOWN;
        /// The smallest and the largest target.
        target: Interval => required, COUNTDOWN;
        /// The operations that a solution may use.
        operations: Operations => default(Operations("+-*/".to_owned()));
        /// The number of training problems.
        train: usize => required, Range::from(1.0).to(1e7);
        /// The number of held-out problems. None of them is a training problem in another order.
        heldout: usize => required, Range::from(0.0).to(1e7);
        /// How worked solutions are written.
        trace: TraceStyle => default(TraceStyle::Steps);
        /// The seed of the generator. It is apart from the run's, so that runs with other seeds share their
        /// problems.
        seed: u64 => default(0);
    }
}

record! {
    /// Rows of a file, each of which is a problem.
    pub struct RowsSpec {
        /// The path of the file, relative to this file, or of a folder. Of a folder the files are read whose names
        /// begin with `train`, and those that begin with `test`, or with `validation` where there are none, are held
        /// out; a row that is held out is not trained on.
        path: String => required;
        /// The share of the problems that is held out, where no file is. The hash of a problem decides, so equal
        /// problems are on one side.
        heldout: f64 => default(0.1), DECAY;
        /// The columns that templates and rewards may use, which every row must have: a list, or a map
        /// `{name: column of the file}` that gives them other names. Left out, every column of each row.
        columns: Columns => optional;
        /// The column with the worked completion, which supervised stages train on: text, or a list of messages that
        /// ends with one of the assistant. Left out, the data has no worked completions.
        solution: String => optional;
        /// The column with a completion that is worse than the one under `solution`, for stages that learn from pairs:
        /// text, or a list of messages that ends with one of the assistant. Left out, the data has none.
        rejected: String => optional;
        /// The column with the short right answer, which is recorded and shown beside a rollout. Left out, none is.
        answer: String => optional;
        /// The mark in the column `answer` behind whose last occurrence the answer stands, such as `####` in GSM8K.
        /// Left out, the whole column is the answer.
        answer_after: String => optional;
    }
}

record! {
    /// A frozen model that rewards may ask.
    pub struct JudgeSpec {
        /// The path of its weights: a folder that a run of r1x wrote under `checkpoints`.
        checkpoint: String => required;
        /// Its shape and tokenizer. Left out, they are those of the policy.
        model: ModelSpec => optional;
    }
}

record! {
    /// A reward and its place in the total. A plugin judges, or a reward model that the run has trained.
    pub struct RewardSpec {
        /// Who judges.
        judge: RewardJudgeSpec => flat;
        /// The weight of its value in the total: a number, or points `[{step, weight}, ...]` of a stage with
        /// straight lines between them. A reward of weight 0 is scored and recorded without counting.
        weight: Weight => default(Weight::Constant(1.0));
        /// The course of the weight over the steps of a stage, in which `weight` is the highest value; it is not
        /// written beside points. Left out, the weight stays what it is.
        schedule: ScheduleSpec => optional;
        /// The problems that it judges. It is not asked about others, whose totals do without it. Left out, it
        /// judges all of them.
        r#for: ForSpec => optional;
        /// The bounds `[lowest, highest]` that its value is moved into. Left out, there are none.
        clip: Between => optional;
        /// Another reward that decides whether this one counts. Left out, it always does.
        only_if: OnlyIfSpec => optional;
        /// What the plugin is configured with. Each plugin says what it takes.
        with: Free => default(Free(json!({})));
        /// What one call of the plugin may use.
        limits: LimitsSpec => nested;
        /// What a score that failed counts as.
        on_failure: OnFailure => default(OnFailure::Mask);
        /// The share of the rollouts scored together that may fail before the run stops. One may always fail.
        max_failed_share: f64 => default(0.01), SHARE;
        /// What its plugin may ask for beyond text, of which it names what it needs.
        grant: Grant => default(Grant::default());
    }
}

one_of! {
    /// Who judges for a reward.
    pub enum RewardJudgeSpec {
        /// The path of the WebAssembly component, or of a plugin's sources: a folder with a `plugin.toml`, or a
        /// single file. It is relative to this file.
        "plugin" => Plugin(String),
        /// The id of a `reward_model` stage: the value is what the model says of a response that the stage has ended with.
        /// Stages below it may have such a reward, and suites may not.
        "reward_model" => RewardModel(Name),
    }
}

record! {
    /// Problems a reward judges: those that match all that is given.
    pub struct ForSpec {
        /// The ids of the data sets that the problems come from. Left out, they may come from any.
        data: Vec<At<Name>> => optional;
        /// The column that tells, beside `values`. Left out, no column does.
        column: String => optional;
        /// What the column holds. Of a column with a list, one of its entries is enough. Left out with `column`.
        values: Texts => optional;
    }
}

record! {
    /// A condition: a reward counts only if another one reaches a bound.
    pub struct OnlyIfSpec {
        /// The id of the deciding reward. Where it has no value, this reward has none either.
        reward: Name => required;
        /// The lowest value of the deciding reward at which this one counts.
        at_least: f64 => required;
        /// What this reward is where the deciding one counts less.
        otherwise: Otherwise => default(Otherwise::Zero);
    }
}

record! {
    /// What one reward plugin may use.
    pub struct LimitsSpec {
        /// The time that a call may take, in milliseconds, before the share of each rollout.
        time_ms: u64 => default(10_000), Range::from(1.0).to(3_600_000.0);
        /// The time added for each rollout of the call, in milliseconds.
        time_per_rollout_ms: u64 => default(20), Range::from(0.0).to(3_600_000.0);
        /// The memory that the plugin may use, in bytes, or with a unit as in `256MiB`.
        memory_bytes: Bytes => default(Bytes(268_435_456)), Range::from(65_536.0).to(4_294_967_296.0);
        /// The work that a call may do, in units that are the same on every machine. Counting them costs a third of
        /// the speed. Left out, work is not counted.
        fuel: u64 => optional, Range::from(1.0).to(1e15);
    }
}

record! {
    /// An evaluation suite.
    pub struct EvalSpec {
        /// The id of the suite.
        id: Name => required;
        /// The problems, `<data id>.heldout` or `<data id>.train`.
        data: DataName => required;
        /// How many problems are left out from the start of the split. Left out, none are.
        skip: usize => optional, COUNT;
        /// How many problems are used after those. Left out, all are.
        limit: usize => optional, COUNT;
        /// The number of completions sampled for each problem.
        samples: usize => default(1), SIZE;
        /// How they are sampled.
        sampling: SamplingSpec => required;
        /// The id of the reward whose value decides whether a completion is right.
        grade: Name => required;
        /// The lowest grade of a completion that is right.
        threshold: f64 => default(1.0);
        /// The figures that are reported: `pass@1`, `pass@8` and so on, up to the number of samples. Left out, it
        /// is `[pass@1]`.
        report: Vec<At<PassAt>> => optional;
        /// When the suite runs, besides the stages that name it.
        when: WhenSpec => nested;
        /// The lowest acceptable value of each figure when the suite runs last, as in `{pass@1: 0.4}`. When one is
        /// missed, `r1x run` ends with exit code 5. Left out, any value is acceptable.
        gate: Gate => nested, SHARE;
    }
}

record! {
    /// When a suite runs, besides `evaluate` stages that name it.
    pub struct WhenSpec {
        /// The moments at which it runs. Left out, it is `[stage_end]`.
        at: Vec<At<Moment>> => optional;
        /// The number of steps after which it runs inside training stages. Left out, it does not run inside them.
        every: u64 => optional, COUNT;
    }
}

record! {
    /// What of a rollout is kept besides its numbers.
    pub struct RecordSpec {
        /// Whether the text of completions is kept.
        text: bool => default(true);
        /// Whether the ids of their tokens are kept.
        tokens: bool => default(true);
        /// Whether the log-probability of each token is kept, in nats.
        logprobs: bool => default(true);
        /// What `r1x gc` leaves of older steps. Nothing goes by itself.
        retention: RetentionSpec => nested;
    }
}

record! {
    /// The steps of which each field of rollouts is kept. Rollouts that another stage is trained on keep all of them.
    pub struct RetentionSpec {
        /// The steps that keep the text of completions. Left out, all do.
        text: StepsKeptSpec => optional;
        /// The steps that keep the ids of their tokens. Left out, all do.
        tokens: StepsKeptSpec => optional;
        /// The steps that keep the log-probability of each token, the one under the reference, and the entropy. Left out,
        /// all do.
        logprobs: StepsKeptSpec => optional;
    }
}

record! {
    /// Steps of which a field is kept.
    pub struct StepsKeptSpec {
        /// The number of the newest steps of a stage that keep it.
        last_steps: u64 => required, COUNT;
        /// Each step whose number is a multiple of this keeps it too. Left out, no other does.
        every: u64 => optional, COUNT;
    }
}

record! {
    /// When weights are saved; the end of every training stage always is.
    pub struct CheckpointSpec {
        /// The number of steps after which weights are saved. Left out, they are saved at the ends of stages only.
        every: u64 => optional, COUNT;
        /// The number of such checkpoints that are kept in each stage, the newest.
        keep: usize => default(2), PARTS;
    }
}
