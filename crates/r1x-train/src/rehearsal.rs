//! Every reward is asked about rows of the data it will judge, before a run begins: a reward that cannot do its work,
//! or a row that it cannot judge, is found here and not after hours.

use r1x_core::plan::{DataRef, OnFailure, RewardPlan, RunPlan};
use r1x_core::port::Rehearsable;
use r1x_core::reward::applies;
use r1x_core::{
    Boundary, Completion, FinishReason, PortError, Problem, ProblemSource, Rollout, RolloutGroup,
};

use crate::made::RunData;
use crate::stage::{stage_place, suite_place};

/// Rows that a reward is asked about, of each data set it judges.
const ROWS: usize = 256;
/// Rows for a reward of which a call is costly.
const COSTLY_ROWS: usize = 2;
/// Failing rows after which no more are looked for.
const ENOUGH_FAILURES: usize = 8;
/// JSON texts of a column that may have nothing in it for a reward to read.
const NOTHING: [&str; 4] = ["null", "\"\"", "[]", "{}"];

const HINT: &str = "before its first step, a run asks each reward about an empty completion, which every model gives \
                    at times, and about the worked solutions of some rows; `r1x plugin test` tries more";

/// A reward and the problems that a stage or suite has it judge.
struct Duty<'p> {
    /// "stage `rl`", "eval `heldout`".
    place: String,
    reward: &'p RewardPlan,
    data: &'p DataRef,
    /// Rollouts of one problem.
    group: usize,
    /// Problems that are scored together.
    together: usize,
}

/// What came of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// What would stop the run.
    pub errors: Vec<PortError>,
    /// Failures that a run may go on with, because the policy of their reward allows them.
    pub tolerated: Vec<Tolerated>,
}

/// Rows on which a reward fails, and which do not stop a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerated {
    /// "stage `rl`", "eval `heldout`".
    pub place: String,
    /// Id of the reward.
    pub reward: String,
    /// What such a failure counts as.
    pub on_failure: OnFailure,
    /// Rows on which it fails.
    pub rows: usize,
    /// Rows that were tried.
    pub tried: usize,
    /// Where the first of these rows is, and how the reward fails on it.
    pub first: String,
}

/// Lets every reward judge rows of all data it will meet, in stages and in suites.
pub fn rehearse(
    plan: &RunPlan,
    problems: &dyn ProblemSource,
    rewarder: &mut dyn Rehearsable,
) -> Rehearsal {
    let mut rehearsal = Rehearsal::default();
    let data = match RunData::foreseen(plan, problems) {
        Ok(data) => data,
        Err(error) => return Rehearsal { errors: vec![error], ..rehearsal },
    };
    for duty in duties(plan) {
        match duty.rehearse(&data, rewarder) {
            Ok(tolerated) => rehearsal.tolerated.extend(tolerated),
            Err(error) => rehearsal.errors.push(error),
        }
    }
    rehearsal
}

/// What every reward has to do, once for each data set.
fn duties(plan: &RunPlan) -> Vec<Duty<'_>> {
    let mut duties: Vec<Duty<'_>> = Vec::new();
    let mut add = |place: &str, id: &str, data, (group, together)| {
        let known = |duty: &Duty<'_>| duty.reward.id == id && duty.data == data;
        // A reward model is not there yet.
        let reward = plan.reward(id).filter(|reward| reward.reward_model().is_none());
        if let Some(reward) = reward.filter(|_| !duties.iter().any(known)) {
            let place = place.to_owned();
            duties.push(Duty { place, reward, data, group, together });
        }
    };
    for stage in &plan.stages {
        let outline = stage.kind.outline();
        let Some(rollouts) = outline.rollouts else { continue };
        let size = (rollouts.per_problem, outline.problems_per_step);
        let place = stage_place(&stage.id);
        for data in outline.data {
            outline.rewards.iter().for_each(|id| add(&place, id, data, size));
        }
    }
    for suite in &plan.evals {
        let (place, size) = (suite_place(&suite.id), (suite.samples, ROWS));
        for reward in plan.graders(suite) {
            add(&place, &reward.id, &suite.data, size);
        }
    }
    duties
}

/// Rows on which a reward failed.
struct Failed {
    rows: usize,
    tried: usize,
    first: PortError,
}

impl Duty<'_> {
    fn rehearse(
        self,
        problems: &dyn ProblemSource,
        rewarder: &mut dyn Rehearsable,
    ) -> Result<Option<Tolerated>, PortError> {
        let known = problems.problems(&self.data.data, self.data.split)?;
        let drawn = known.iter().skip(self.data.skip).take(self.data.limit.unwrap_or(usize::MAX));
        let judged: Vec<&Problem> = drawn.filter(|problem| applies(self.reward, problem)).collect();
        let rows = self.chosen(&judged, rewarder);
        match self.failed(&rows, problems, rewarder) {
            None => Ok(None),
            Some(failed) if self.is_tolerated(&failed, failed.tried) => {
                Ok(Some(self.tolerated(failed)))
            }
            Some(failed) => Err(self.error(failed)),
        }
    }

    /// The first rows, then those that lack something the reward reads.
    fn chosen<'r>(&self, judged: &[&'r Problem], rewarder: &dyn Rehearsable) -> Vec<&'r Problem> {
        let most = if rewarder.is_costly(&self.reward.id) { COSTLY_ROWS } else { ROWS };
        let (first, rest) = judged.split_at(judged.len().min(most));
        let read = rewarder.columns(&self.reward.id);
        let lacks = |problem: &&&Problem| {
            let nothing = |name: &String| match problem.columns.get(name) {
                Some(value) => NOTHING.contains(&value.as_str()),
                None => true,
            };
            read.required.iter().any(nothing)
                || read
                    .optional
                    .iter()
                    .any(|name| problem.columns.contains_key(name) && nothing(name))
        };
        first.iter().chain(rest.iter().filter(lacks).take(most)).copied().collect()
    }

    fn failed(
        &self,
        rows: &[&Problem],
        problems: &dyn ProblemSource,
        rewarder: &mut dyn Rehearsable,
    ) -> Option<Failed> {
        let strict = [RewardPlan { on_failure: OnFailure::Fail, ..self.reward.clone() }];
        let (first, rest) = rows.split_first()?;
        let group = |problem: &&Problem| answered((*problem).clone());
        let of_row = |row: &Problem, error: PortError| PortError {
            message: format!("{}: {}", problems.origin(row), error.message),
            ..error
        };
        // The first alone: a reward that fails always, after its whole time, is found in one call.
        match rewarder.score(&strict, &[group(first), group(first)]) {
            Ok(_) => {
                let rest: Vec<RolloutGroup> = rest.iter().map(group).collect();
                if rewarder.score(&strict, &rest).is_ok() {
                    return None;
                }
            }
            Err(error) => {
                let failed = Failed { rows: 1, tried: 1, first: of_row(first, error) };
                if self.is_settled(&failed, rows, rewarder) {
                    return Some(failed);
                }
            }
        }
        let mut found: Option<Failed> = None;
        for (index, row) in rows.iter().enumerate() {
            let Err(error) = rewarder.score(&strict, &[group(row)]) else { continue };
            let failed = found.get_or_insert_with(|| Failed {
                rows: 0,
                tried: 0,
                first: of_row(row, error),
            });
            (failed.rows, failed.tried) = (failed.rows + 1, index + 1);
            if failed.rows >= ENOUGH_FAILURES || self.is_settled(failed, rows, rewarder) {
                return found;
            }
        }
        found.map(|failed| Failed { tried: rows.len(), ..failed })
    }

    /// Whether there would be too many failures, were all other rows fine, and the last one took all its time: then
    /// no other row is worth as much again.
    fn is_settled(&self, failed: &Failed, rows: &[&Problem], rewarder: &dyn Rehearsable) -> bool {
        rewarder.met_deadline() && !self.is_tolerated(failed, rows.len())
    }

    /// Whether a run goes on although these rows fail: its policy allows that share of all rows, and the rollouts of
    /// one such row among those it is scored with. `tried` is how many rows there are.
    fn is_tolerated(&self, failed: &Failed, tried: usize) -> bool {
        // A column that is not there is no failure of the reward.
        let is_failure = failed.first.boundary == Boundary::Reward;
        let share = self.reward.max_failed_share;
        let may_fail = (share * (self.group * self.together.min(tried)) as f64).floor();
        is_failure
            && self.reward.on_failure != OnFailure::Fail
            && failed.rows as f64 <= share * tried as f64
            && self.group as f64 <= may_fail.max(1.0)
    }

    fn error(&self, failed: Failed) -> PortError {
        let others = match failed.rows - 1 {
            0 => String::new(),
            more => format!("; {more} more of the {} rows tried fail too", failed.tried),
        };
        PortError {
            message: format!("before {}: {}{others}", self.place, failed.first.message),
            hint: Some(failed.first.hint.filter(|_| failed.first.boundary == Boundary::Data))
                .flatten()
                .or_else(|| Some(HINT.to_owned())),
            boundary: failed.first.boundary,
        }
    }

    fn tolerated(self, failed: Failed) -> Tolerated {
        Tolerated {
            place: self.place,
            reward: self.reward.id.clone(),
            on_failure: self.reward.on_failure,
            rows: failed.rows,
            tried: failed.tried,
            first: failed.first.message,
        }
    }
}

/// What is asked about a row: nothing written, the worked solution and the answer, where it has them. Nothing is
/// written twice, because a wrong number of scores cannot be told from one completion.
fn answered(problem: Problem) -> RolloutGroup {
    let mut texts = vec![problem.answered(""); 2];
    for text in [&problem.solution, &problem.answer].into_iter().flatten() {
        let text = problem.answered(problem.continued(text));
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let completion = Completion {
        tokens: vec![0],
        logprobs: vec![0.0],
        entropies: vec![0.0],
        finish: FinishReason::Stop,
    };
    let rollout = |text| Rollout { completion: completion.clone(), text };
    RolloutGroup {
        problem,
        prompt_tokens: vec![0],
        rollouts: texts.into_iter().map(rollout).collect(),
    }
}
