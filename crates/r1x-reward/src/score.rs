//! The port: groups of rollouts in, one outcome per reward and rollout out.
//!
//! Rollouts are cut into batches that depend on their number only, every batch gets a fresh instance when its last
//! group has arrived, and threads merely choose batches: so no outcome depends on how many threads there are, nor on
//! the order of arrival.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use r1x_core::plan::{OnFailure, PluginPlan, RewardPlan};
use r1x_core::port::{Outcomes, PendingGroups, ReadColumns, Rehearsable, Scoring};
use r1x_core::reward::applies;
use r1x_core::rollout::FinishReason;
use r1x_core::{Boundary, PendingGroup, PortError, Problem, RewardOutcome, RewardStatus, Rewarder};

use crate::bisect::{self, BatchResult};
use crate::contract::{CallLog, LogLevel, LogLine, PluginInfo, Question};
use crate::error::{Fault, RewardError};
use crate::failure_budget::{self, FailureFolder, Tally};
use crate::host::{Host, Plugin};
use crate::limits::MAX_STEP_LINES;
use crate::outcome::{self, Scored};
use crate::replay::{SHOWN_CHARACTERS, quoted, start_of};
use crate::workers::Workers;

/// A batch ends with the group that reaches this many rollouts. Part of the results of a plugin that looks
/// at its neighbours, so it is no option.
const BATCH_ROLLOUTS: usize = 512;

/// Scores rollouts with plugins.
#[derive(Debug)]
pub struct WasmRewarder {
    host: Host,
    rewards: Vec<Wired>,
    logs: Vec<PluginLog>,
    met_deadline: bool,
    failures: Option<FailureFolder>,
}

/// A reward and the plugin that judges for it.
#[derive(Clone, Debug)]
struct Wired {
    /// Its id in the spec.
    id: String,
    /// What the plan says of its plugin.
    planned: PluginPlan,
    plugin: Plugin,
}

/// What one reward wrote during the last call of `score`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginLog {
    /// The reward's id in the spec.
    pub reward: String,
    /// Its messages, in the order of the rollouts.
    pub lines: Vec<LogLine>,
    /// Messages beyond the limit of one call, which were not kept.
    pub dropped: u64,
}

impl WasmRewarder {
    /// A rewarder for these rewards. Every plugin must be the build of the plan and accept its
    /// configuration.
    pub fn new(host: &Host, rewards: &[(RewardPlan, Plugin)]) -> Result<Self, RewardError> {
        let wired = rewards.iter().map(|(plan, plugin)| {
            let refused = |fault| RewardError::new(plugin.source(), fault);
            let planned = plan.plugin().ok_or_else(|| refused(Fault::NotPlanned))?.clone();
            if planned.sha256 != plugin.sha256() {
                let (planned, found) = (planned.sha256, plugin.sha256().to_owned());
                return Err(refused(Fault::OtherBuild { planned, found }));
            }
            plugin.check_grants()?;
            plugin.check_config(&planned.config, &planned.limits)?;
            Ok(Wired { id: plan.id.clone(), planned, plugin: plugin.clone() })
        });
        Ok(Self {
            host: host.clone(),
            rewards: wired.collect::<Result<_, RewardError>>()?,
            logs: Vec::new(),
            met_deadline: false,
            failures: None,
        })
    }

    /// What the plugins wrote during the last call of `score`, in the order of its rewards. The messages
    /// have gone to `tracing` too.
    pub fn logs(&self) -> &[PluginLog] {
        &self.logs
    }

    /// Keeps calls that fail as replay files in this folder, which is made when needed.
    pub fn keep_failures(&mut self, folder: PathBuf) {
        self.failures = Some(FailureFolder::new(folder));
    }

    /// A reward with its plugin; `None` for one that was not loaded.
    fn loaded(&self, id: &str) -> Option<&Wired> {
        self.rewards.iter().find(|wired| wired.id == id)
    }

    fn wired(&self, id: &str) -> Result<&Wired, PortError> {
        self.loaded(id).ok_or_else(|| {
            let known: Vec<&str> = self.rewards.iter().map(|wired| wired.id.as_str()).collect();
            PortError::new(
                Boundary::Reward,
                format!("reward `{id}` was not loaded"),
                format!("the loaded rewards are: {}", known.join(", ")),
            )
        })
    }
}

impl Rehearsable for WasmRewarder {
    fn columns(&self, reward: &str) -> ReadColumns<'_> {
        self.loaded(reward).map_or_else(ReadColumns::default, |Wired { plugin, .. }| ReadColumns {
            required: &plugin.info().columns,
            optional: &plugin.info().optional_columns,
        })
    }

    /// A plugin that is granted more than text runs programs or asks models with it, as a rule.
    fn is_costly(&self, reward: &str) -> bool {
        self.loaded(reward).is_some_and(|wired| !wired.planned.grant.is_empty())
    }

    fn met_deadline(&self) -> bool {
        self.met_deadline
    }
}

impl Rewarder for WasmRewarder {
    fn begin(
        &mut self,
        rewards: &[RewardPlan],
        groups: PendingGroups,
    ) -> Result<Box<dyn Scoring + '_>, PortError> {
        self.logs.clear();
        self.met_deadline = false;
        let batches = batches(&groups);
        let mut jobs = Vec::with_capacity(rewards.len() * batches.len());
        for plan in rewards {
            let Wired { planned, plugin, .. } = self.wired(&plan.id)?;
            let texts = groups
                .iter()
                .map(|group| {
                    let asked = applies(plan, &group.problem);
                    asked.then(|| GroupTexts::new(plan, plugin.info(), &group.problem)).transpose()
                })
                .collect::<Result<Vec<_>, _>>()?;
            let asked = groups.iter().zip(&texts).filter(|(_, texts)| texts.is_some());
            let total = asked.map(|(group, _)| group.samples).sum();
            let reward = Arc::new(OfReward {
                tally: Tally::new(plan, total),
                plan: plan.clone(),
                planned: planned.clone(),
                plugin: plugin.clone(),
                texts,
            });
            let of_batch = |batch: &Range<usize>| Job { of: reward.clone(), batch: batch.clone() };
            jobs.extend(batches.iter().map(of_batch));
        }
        let jobs = Arc::new(jobs);
        let work = worker(Arc::clone(&jobs), batches.len(), Arc::clone(&groups));
        let workers = Workers::start(jobs.len(), self.host.workers(), work)?;
        let waiting = batches.iter().map(ExactSizeIterator::len).collect();
        let rewards = rewards.to_vec();
        Ok(Box::new(WasmScoring {
            rewarder: self,
            rewards,
            groups,
            batches,
            waiting,
            jobs,
            workers,
        }))
    }
}

/// Scoring under way: threads judge batches whose groups are all there.
struct WasmScoring<'a> {
    rewarder: &'a mut WasmRewarder,
    rewards: Vec<RewardPlan>,
    groups: PendingGroups,
    batches: Vec<Range<usize>>,
    /// Groups that each batch still waits for.
    waiting: Vec<usize>,
    /// The jobs of the first reward in the order of the batches, then the jobs of the next reward.
    jobs: Arc<Vec<Job>>,
    workers: Workers<BatchResult>,
}

impl Scoring for WasmScoring<'_> {
    fn arrived(&mut self, group: usize) {
        let batch = self.batches.partition_point(|batch| batch.end <= group);
        let Some(waiting) = self.waiting.get_mut(batch) else { return };
        *waiting = waiting.saturating_sub(1);
        if *waiting == 0 {
            let of_batch = (batch..self.jobs.len()).step_by(self.batches.len());
            of_batch.for_each(|job| self.workers.ready(job));
        }
    }

    fn finish(self: Box<Self>) -> Result<Outcomes, PortError> {
        let Self { rewarder, rewards, groups, batches, jobs, workers, .. } = *self;
        let results = workers.finish()?.into_iter();
        let mut results: Vec<BatchResult> =
            results.map(|result| result.ok_or_else(never_arrived)).collect::<Result<_, _>>()?;
        let logs = collect_logs(&rewards, &mut results, batches.len());
        let outcomes = assemble(&rewards, &groups, results, batches.len());
        let stop = first_fatal(&jobs, &groups, &outcomes, batches.len());
        rewarder.logs = logs;
        let mut every = outcomes.iter().flat_map(|reward| reward.groups.iter().flatten());
        rewarder.met_deadline = every.any(|outcome| outcome.status == RewardStatus::Timeout);
        match failure_budget::apply(&rewards, &outcomes, rewarder.failures.as_mut(), stop) {
            Some(error) => Err(error),
            None => Ok(outcomes.into_iter().map(|reward| reward.groups).collect()),
        }
    }
}

/// What the batches of one reward share.
struct OfReward {
    plan: RewardPlan,
    planned: PluginPlan,
    plugin: Plugin,
    tally: Tally,
    /// `None` for groups that the reward does not judge.
    texts: Vec<Option<GroupTexts>>,
}

/// One call's worth of work.
struct Job {
    of: Arc<OfReward>,
    /// The groups of it.
    batch: Range<usize>,
}

/// What all rollouts of a group hand to one plugin.
struct GroupTexts {
    columns: String,
    metadata: Option<String>,
}

impl GroupTexts {
    fn new(plan: &RewardPlan, info: &PluginInfo, problem: &Problem) -> Result<Self, PortError> {
        let mut columns = String::from("{");
        let optional = info.optional_columns.iter().map(|name| (name, false));
        for (name, required) in info.columns.iter().map(|name| (name, true)).chain(optional) {
            let Some(value) = problem.columns.get(name) else {
                if required {
                    return Err(missing_column(plan, problem, name));
                }
                continue;
            };
            if columns.len() > 1 {
                columns.push(',');
            }
            columns.push_str(&json_text(name));
            columns.push(':');
            columns.push_str(value);
        }
        columns.push('}');
        let metadata =
            info.needs.metadata.then(|| format!("{{\"problem\":{}}}", json_text(&problem.key)));
        Ok(Self { columns, metadata })
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn missing_column(plan: &RewardPlan, problem: &Problem, name: &str) -> PortError {
    let known: Vec<&str> = problem.columns.keys().map(String::as_str).collect();
    PortError::new(
        Boundary::Data,
        format!("reward `{}` needs the column `{name}`, which the data lacks", plan.id),
        format!(
            "the data has: {}",
            if known.is_empty() { "none".into() } else { known.join(", ") }
        ),
    )
}

/// Ranges of groups, each with about [`BATCH_ROLLOUTS`] rollouts. Groups stay whole.
fn batches(groups: &[PendingGroup]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut rollouts) = (0, 0);
    for (index, group) in groups.iter().enumerate() {
        rollouts += group.samples;
        if rollouts >= BATCH_ROLLOUTS {
            batches.push(start..index + 1);
            (start, rollouts) = (index + 1, 0);
        }
    }
    if start < groups.len() {
        batches.push(start..groups.len());
    }
    batches
}

/// What the threads do with a job.
fn worker(
    jobs: Arc<Vec<Job>>,
    batches: usize,
    groups: PendingGroups,
) -> impl Fn(usize) -> BatchResult + Send + Sync {
    // Position of each group's first rollout in the step.
    let first_ids: Vec<u64> = groups
        .iter()
        .scan(0u64, |next, group| {
            let first = *next;
            *next += group.samples as u64;
            Some(first)
        })
        .collect();
    move |job: usize| {
        let batch = job % batches;
        let job = &jobs[job];
        let questions = questions(job, &groups, &first_ids);
        if questions.is_empty() {
            return BatchResult::default();
        }
        let tally = job.of.tally.of_batch(batch, questions.len());
        bisect::score(&job.of.plugin, (&job.of.plan, &job.of.planned), &questions, &tally)
    }
}

fn never_arrived() -> PortError {
    PortError::new(
        Boundary::Internal,
        "a group of rollouts to be scored never arrived",
        "this is a bug in r1x: please report it",
    )
}

fn questions<'a>(job: &'a Job, groups: &'a [PendingGroup], first_ids: &[u64]) -> Vec<Question<'a>> {
    let needs = job.of.plugin.info().needs;
    let mut questions = Vec::new();
    for index in job.batch.clone() {
        let group = &groups[index];
        let Some(texts) = &job.of.texts[index] else { continue };
        for (sample, rollout) in group.rollouts().unwrap_or_default().iter().enumerate() {
            let finish = rollout.completion.finish;
            questions.push(Question {
                id: first_ids[index] + sample as u64,
                group: saturate(index - job.batch.start),
                prompt: needs.prompt.then_some(group.problem.prompt.as_str()),
                completion: &rollout.text,
                prompt_tokens: saturate(group.prompt_tokens.len()),
                completion_tokens: saturate(rollout.completion.tokens.len()),
                truncated: finish == FinishReason::Length,
                stop_reason: finish.as_str(),
                columns: &texts.columns,
                metadata: texts.metadata.as_deref(),
            });
        }
    }
    questions
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn assemble(
    rewards: &[RewardPlan],
    groups: &[PendingGroup],
    results: Vec<BatchResult>,
    batches: usize,
) -> Vec<Scored> {
    let mut results = results.into_iter();
    rewards
        .iter()
        .map(|plan| {
            let mut of_reward: Vec<BatchResult> = results.by_ref().take(batches).collect();
            let replay = of_reward.iter_mut().find_map(|result| result.replay.take());
            let hints = of_reward.iter().map(|result| result.hint).collect();
            let skipped = of_reward.iter().map(|result| result.skipped).sum();
            let mut outcomes = of_reward.into_iter().flat_map(|result| result.outcomes);
            let per_group = |group: &PendingGroup| {
                if !applies(plan, &group.problem) {
                    return vec![RewardOutcome::unasked(); group.samples];
                }
                outcomes.by_ref().take(group.samples).collect::<Vec<_>>()
            };
            Scored { groups: groups.iter().map(per_group).collect(), hints, skipped, replay }
        })
        .collect()
}

/// The error for the first failing rollout of the first reward whose plan says to stop.
fn first_fatal(
    jobs: &[Job],
    groups: &[PendingGroup],
    outcomes: &[Scored],
    batches: usize,
) -> Option<PortError> {
    if batches == 0 {
        return None;
    }
    for (scored, jobs) in outcomes.iter().zip(jobs.chunks(batches)) {
        for (job, hint) in jobs.iter().zip(&scored.hints) {
            if job.of.plan.on_failure != OnFailure::Fail {
                continue;
            }
            for group in job.batch.clone() {
                let failing = scored.groups[group].iter().position(outcome::is_failure);
                if let Some(sample) = failing {
                    let rollouts = groups[group].rollouts().unwrap_or_default();
                    let completion = rollouts.get(sample).map_or("", |rollout| &rollout.text);
                    let outcome = &scored.groups[group][sample];
                    return Some(fatal(job, (group, sample, completion), outcome, *hint));
                }
            }
        }
    }
    None
}

fn fatal(
    job: &Job,
    (group, sample, completion): (usize, usize, &str),
    outcome: &RewardOutcome,
    hint: Option<&'static str>,
) -> PortError {
    // The reason comes first; it may go on over lines of a guest's own, so what r1x knows stands below it, and no
    // line of the guest's looks like one of these.
    PortError::new(
        Boundary::Reward,
        format!(
            "reward `{}`, rollout {group}.{sample}, {}: {}\n  completion {}\n  plugin {}, sha256 {}",
            job.of.plan.id,
            outcome.status.as_str(),
            quoted(outcome.info.as_deref().unwrap_or("no reason given")),
            start_of(completion, SHOWN_CHARACTERS),
            job.of.plugin.source(),
            job.of.plugin.sha256()
        ),
        hint.unwrap_or("mend the plugin, or set on_failure to mask or zero"),
    )
}

fn collect_logs(
    rewards: &[RewardPlan],
    results: &mut [BatchResult],
    batches: usize,
) -> Vec<PluginLog> {
    let mut results = results.iter_mut();
    rewards
        .iter()
        .map(|plan| {
            let mut together = CallLog::default();
            for result in results.by_ref().take(batches) {
                together.append(std::mem::take(&mut result.log), MAX_STEP_LINES);
            }
            let log = PluginLog {
                reward: plan.id.clone(),
                lines: together.lines,
                dropped: together.dropped,
            };
            emit(&log);
            log
        })
        .collect()
}

fn emit(log: &PluginLog) {
    let reward = &log.reward;
    for LogLine { level, message } in &log.lines {
        match level {
            LogLevel::Debug => tracing::debug!(%reward, "{message}"),
            LogLevel::Info => tracing::info!(%reward, "{message}"),
            LogLevel::Warn => tracing::warn!(%reward, "{message}"),
        }
    }
    if log.dropped > 0 {
        tracing::warn!(%reward, "{} more messages were not kept", log.dropped);
    }
}
