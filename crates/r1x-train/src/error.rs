//! What can go wrong in the loop itself, in words for the person who wrote the spec.
//!
//! Errors of the ports pass through unchanged; these are the loop's own.

use r1x_core::{Boundary, PortError};

/// An error found by the loop. `place` is a stage or suite in words, such as "stage `rl`".
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A split with nothing in it.
    #[error("{place}: data set `{data}` has no {split} problems")]
    NoProblems {
        /// Who asked.
        place: String,
        /// Data set id.
        data: String,
        /// Word of the split.
        split: &'static str,
    },
    /// A split smaller than one batch.
    #[error("{place}: {data} offers {available} problems, but one step draws {needed}")]
    FewerThanABatch {
        /// Who asked.
        place: String,
        /// Data sets and their splits, as a spec names them, in backticks.
        data: String,
        /// Problems after the limit.
        available: usize,
        /// Problems per step.
        needed: usize,
    },
    /// A prompt without a token.
    #[error("{place}: {problem}: the prompt has no token")]
    EmptyPrompt {
        /// Who asked.
        place: String,
        /// Where a person finds the problem: file and line, or its prompt.
        problem: String,
    },
    /// A prompt that leaves no room for the longest completion.
    #[error(
        "{place}: {problem}: the prompt has {prompt} tokens; with {max_tokens} for the completion that is more than \
         the model's context of {context}"
    )]
    PromptTooLong {
        /// Who asked.
        place: String,
        /// Where a person finds the problem: file and line, or its prompt.
        problem: String,
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens kept free for the completion.
        max_tokens: usize,
        /// The model's context, tokens.
        context: usize,
    },
    /// A worked example longer than the context.
    #[error(
        "{place}: {problem}: prompt, solution and end have {tokens} tokens, more than the model's context of \
         {context}"
    )]
    ExampleTooLong {
        /// Who asked.
        place: String,
        /// Where a person finds the problem: file and line, or its prompt.
        problem: String,
        /// Tokens of the whole example.
        tokens: usize,
        /// The model's context, tokens.
        context: usize,
    },
    /// Supervised training on a problem without a worked solution.
    #[error("{place}: {problem}: there is no worked solution to train on in data set `{data}`")]
    NoSolution {
        /// Who asked.
        place: String,
        /// Data set id.
        data: String,
        /// Where a person finds the problem: file and line, or its prompt.
        problem: String,
    },
    /// Learning from pairs on a problem with one completion only.
    #[error(
        "{place}: {problem}: there is no worse response beside the solution in data set `{data}`"
    )]
    NoRejected {
        /// Who asked.
        place: String,
        /// Data set id.
        data: String,
        /// Where a person finds the problem: file and line, or its prompt.
        problem: String,
    },
    /// A stage or suite on a model with another head than it works with.
    #[error(
        "{place}: it works on a model with the head `{needed}`, and the model has the head `{found}`"
    )]
    Head {
        /// Which stage or suite.
        place: String,
        /// The head that it needs.
        needed: &'static str,
        /// The head of the model.
        found: &'static str,
    },
    /// Advantages estimated with a critic in a stage without one, or a critic that nobody asks.
    #[error("{place}: advantages by `gae` and a critic need each other, and it has one of them")]
    Critic {
        /// Which stage.
        place: String,
    },
    /// A reference to something the plan does not define.
    #[error("{place}: there is no {kind} called `{id}`")]
    Unknown {
        /// Who asked.
        place: String,
        /// `reward` or `eval`.
        kind: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// Rollouts drawn greedily, all alike.
    #[error(
        "{place}: sampling.temperature is 0, so all rollouts of a group are equal and teach nothing"
    )]
    GreedyRollouts {
        /// Who asked.
        place: String,
    },
    /// A reward whose reward model is not there when it is asked.
    #[error(
        "{place}: the reward `{reward}` is the value of the reward model of stage `{stage}`, which is not there yet"
    )]
    NoRewardModel {
        /// Who asked.
        place: String,
        /// The reward.
        reward: String,
        /// The stage that is to train its model.
        stage: String,
    },
    /// pass@k that cannot be estimated.
    #[error(
        "{place}: pass@{k} needs between 1 and {samples} samples per problem, and there are {samples}"
    )]
    PassAt {
        /// Who asked.
        place: String,
        /// The k.
        k: usize,
        /// Samples per problem.
        samples: usize,
    },
    /// A stage that begins with weights that nobody has made by then.
    #[error("{place}: {error}")]
    Weights {
        /// Who asked.
        place: String,
        /// Why not.
        error: r1x_core::plan::WeightsError,
    },
    /// A stage that reads the data of a stage that has not run by then.
    #[error("{place}: it reads the data that stage `{maker}` makes, which is not above it")]
    NotMadeYet {
        /// Who asked.
        place: String,
        /// Id of the stage that makes the data.
        maker: String,
    },
    /// A problem that was answered before the run was interrupted, and is not there any more.
    #[error(
        "{place}: it has kept an answer to a problem of `{data}` that is not in its data (key {key})"
    )]
    AskedNoMore {
        /// The stage.
        place: String,
        /// Id of the data set.
        data: String,
        /// The problem's key.
        key: String,
    },
    /// A stage that was to make data, and kept nothing of what it sampled.
    #[error(
        "{place}: none of its {sampled} completions passed every filter, so there is nothing to learn from"
    )]
    NothingMade {
        /// The stage.
        place: String,
        /// Completions that it sampled.
        sampled: u64,
    },
    /// A checkpoint that does not belong to this plan.
    #[error("{place}: the checkpoint has {done} steps done, but the plan has only {steps}")]
    BeyondPlan {
        /// Who asked.
        place: String,
        /// Steps done.
        done: u64,
        /// Steps planned.
        steps: u64,
    },
    /// A checkpoint of a stage that this plan does not have.
    #[error("the checkpoint is of the stage `{id}`, which this plan does not have")]
    UnknownStage {
        /// The stage's id.
        id: String,
    },
    /// A checkpoint whose place no run of this plan comes to.
    #[error(
        "{place}: the checkpoint says {found} {what}, where a run of this plan has {expected}; it is of another \
         plan, or was changed"
    )]
    ForeignPlace {
        /// Where it says it is.
        place: String,
        /// What was counted.
        what: &'static str,
        /// How many it says.
        found: u64,
        /// How many there are, at most.
        expected: u64,
    },
    /// A port returned lists that do not match what was asked.
    #[error("{place}: the {port} returned {got} {what}, expected {expected}")]
    Shape {
        /// Who asked.
        place: String,
        /// `policy` or `rewarder`.
        port: &'static str,
        /// What was counted.
        what: &'static str,
        /// How many came.
        got: usize,
        /// How many were due.
        expected: usize,
    },
    /// A reward whose condition cannot be followed.
    #[error("{place}: {error}")]
    Condition {
        /// Who asked.
        place: String,
        /// Why not.
        error: r1x_core::reward::ConditionError,
    },
    /// A problem that no reward judges.
    #[error("{place}: {problem}: no reward judges this problem of the data `{data}`")]
    NotJudged {
        /// Who asked.
        place: String,
        /// Data set id.
        data: String,
        /// Where a person finds the problem: file and line, or its prompt.
        problem: String,
    },
    /// A reward that judges none of the problems.
    #[error("{place}: the reward `{reward}` judges none of the problems")]
    NeverJudges {
        /// Who asked.
        place: String,
        /// Id of the reward.
        reward: String,
    },
    /// A weighted sum of finite rewards that overflows.
    #[error("{place}: {problem}: the weighted total of a rollout is {total}")]
    TotalNotFinite {
        /// Who asked.
        place: String,
        /// Where a person finds the problem: file and line, or its prompt.
        problem: String,
        /// The total.
        total: f64,
    },
    /// Training left the finite numbers.
    #[error("{place}: the {what} is {value}; the {unrecorded} is not recorded")]
    Diverged {
        /// Which stage, step and update, or which suite.
        place: String,
        /// The first number that is not finite.
        what: String,
        /// Its value.
        value: f64,
        /// `step` or `evaluation`.
        unrecorded: &'static str,
    },
}

impl TrainError {
    /// Whose error it is.
    fn boundary(&self) -> Boundary {
        match self {
            TrainError::NoProblems { .. }
            | TrainError::FewerThanABatch { .. }
            | TrainError::EmptyPrompt { .. }
            | TrainError::PromptTooLong { .. }
            | TrainError::ExampleTooLong { .. }
            | TrainError::NoSolution { .. }
            | TrainError::NoRejected { .. }
            | TrainError::NothingMade { .. }
            | TrainError::AskedNoMore { .. }
            | TrainError::BeyondPlan { .. }
            | TrainError::UnknownStage { .. }
            | TrainError::ForeignPlace { .. } => Boundary::Data,
            TrainError::Unknown { .. }
            | TrainError::Head { .. }
            | TrainError::Critic { .. }
            | TrainError::Condition { .. }
            | TrainError::NotJudged { .. }
            | TrainError::NeverJudges { .. }
            | TrainError::GreedyRollouts { .. }
            | TrainError::NoRewardModel { .. }
            | TrainError::Weights { .. }
            | TrainError::NotMadeYet { .. }
            | TrainError::PassAt { .. } => Boundary::Spec,
            TrainError::TotalNotFinite { .. } => Boundary::Reward,
            TrainError::Shape { .. } => Boundary::Internal,
            TrainError::Diverged { .. } => Boundary::Diverged,
        }
    }

    /// How to mend it.
    fn hint(&self) -> &'static str {
        match self {
            TrainError::NoProblems { .. } => {
                "generate or add problems for that split, or raise its limit above 0"
            }
            TrainError::FewerThanABatch { .. } => {
                "lower the number of problems per step, raise the limit, or add problems"
            }
            TrainError::EmptyPrompt { .. } => "give the data set a prompt template with some text",
            TrainError::PromptTooLong { .. } => {
                "raise the model's context_length, or lower sampling.max_tokens"
            }
            TrainError::ExampleTooLong { .. } => {
                "raise the model's context_length, or leave the longest examples out"
            }
            TrainError::NoSolution { .. } => {
                "name the column with the solutions, or train this stage on another data set"
            }
            TrainError::NoRejected { .. } => {
                "name the column with the worse responses, or train this stage on another data set"
            }
            TrainError::Head { .. } => {
                "reward models are trained on a model with `head: value`, and everything else works on one with \
                 `head: vocabulary`"
            }
            TrainError::Critic { .. } => {
                "write `critic` beside `advantage: {kind: gae}`, or neither"
            }
            TrainError::Unknown { .. } => "define it in the spec, or correct the id",
            TrainError::Condition { .. } => {
                "correct the reward's only_if, or score that reward too"
            }
            TrainError::NotJudged { .. } | TrainError::NeverJudges { .. } => {
                "compare the `for` of the rewards with the data sets and the values of the column"
            }
            TrainError::GreedyRollouts { .. } => {
                "set a temperature above 0; evaluations may stay greedy"
            }
            TrainError::NoRewardModel { .. } => {
                "name a `reward_model` stage above it; suites are graded by plugins, because they also run before"
            }
            TrainError::Weights { .. } => "name a stage above it, or `base`",
            TrainError::NotMadeYet { .. } => "name a stage above it, or a data set",
            TrainError::AskedNoMore { .. } => "put the data back with which the run began",
            TrainError::NothingMade { .. } => {
                "lower what `keep` asks for, sample more, or begin with better weights; v_selections in the store says \
                 which filter dropped what"
            }
            TrainError::PassAt { .. } => "raise the eval's samples, or drop that k",
            TrainError::BeyondPlan { .. }
            | TrainError::UnknownStage { .. }
            | TrainError::ForeignPlace { .. } => "resume from another checkpoint of the run",
            TrainError::Shape { .. } => "this is a fault of r1x; please report it with the spec",
            TrainError::TotalNotFinite { .. } => {
                "lower the weights of the rewards, or bound the plugin's values"
            }
            TrainError::Diverged { .. } => {
                "lower the learning rate or grad_clip, or lengthen the warm-up, and start it again: `r1x resume` goes on \
                 with the numbers that the run has"
            }
        }
    }
}

impl From<TrainError> for PortError {
    fn from(error: TrainError) -> Self {
        PortError::new(error.boundary(), error.to_string(), error.hint())
    }
}
