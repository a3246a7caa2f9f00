//! Rollouts of one step, gathered into groups: those that were asked one thing, in the order in which they appear.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use r1x_core::digest::sha256;
use r1x_core::estimate::deviation;
use r1x_core::rollout::{RewardTerm, RewardedGroup, RewardedRollout};
use r1x_core::{
    Completion, CreditedGroup, FinishReason, Problem, PromptForm, RewardOutcome, RewardStatus,
    Rollout, StepFacts,
};
use serde_json::Value;

use super::row::{Cell, Found, Score, short};
use super::tokens::{Counter, Known};
use crate::failure::{Failure, code};
use crate::imported::SourceReward;

/// The column that rewards read the right answer from, whatever the file calls it.
const ANSWER: &str = "answer";
/// Hex digits of a problem's key.
const KEY_DIGITS: usize = 32;
/// Names of columns that are told.
const MOST_TOLD: usize = 12;

/// Gathers rollouts until a step is whole.
pub struct Gatherer<'a> {
    rewards: &'a [SourceReward],
    /// Weights that a person has said, which a row does not change.
    given: &'a [(String, f64)],
    counter: Option<&'a Counter>,
    step: Option<u64>,
    groups: Vec<Group>,
    /// The place of a group by what it was asked.
    places: HashMap<Asked, usize>,
    seen: Seen,
}

/// What tells groups of a step apart.
type Asked = (String, Option<String>, Option<String>);

/// What was seen of all rollouts so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Steps.
    pub steps: u64,
    /// Groups.
    pub groups: u64,
    /// Rollouts.
    pub rollouts: u64,
    /// The first and the last step.
    pub span: Option<(u64, u64)>,
    /// Rollouts whose number of tokens is known.
    counted: u64,
    /// Groups in which no rollout has an advantage.
    without_advantage: u64,
    /// Groups in which some rollouts have an advantage.
    some_advantages: u64,
    /// Columns that differ inside of a group.
    varying: BTreeSet<String>,
}

impl Seen {
    /// Whence the numbers of tokens are.
    pub fn tokens(&self, counter: Option<&Counter>) -> Known {
        match (counter, self.counted) {
            (Some(_), _) => Known::Counted,
            (None, 0) => Known::Unknown,
            (None, _) => Known::Recorded,
        }
    }

    /// What a person should know about what was left out, in sentences.
    pub fn notes(&self, counter: Option<&Counter>) -> Vec<String> {
        let mut notes = Vec::new();
        if self.without_advantage > 0 {
            let groups = self.without_advantage;
            notes.push(format!("the files have no advantages for {groups} groups"));
        }
        if self.some_advantages > 0 {
            let groups = self.some_advantages;
            let what =
                "only some rollouts of a prompt have an advantage, so none is recorded there";
            notes.push(format!("{what}: {groups} groups"));
        }
        let unknown = self.rollouts - self.counted;
        if counter.is_none() && unknown > 0 && self.counted > 0 {
            notes.push(format!("the numbers of tokens of {unknown} rollouts are not known: 0"));
        }
        if !self.varying.is_empty() {
            let mut names: Vec<String> =
                self.varying.iter().take(MOST_TOLD).map(|name| short(name)).collect();
            if self.varying.len() > MOST_TOLD {
                names.push(format!("and {} more", self.varying.len() - MOST_TOLD));
            }
            let what = "columns that are no rewards and differ between rollouts of one prompt are left out";
            notes.push(format!("{what}: {}", names.join(", ")));
        }
        notes
    }
}

/// Rollouts that were asked one thing.
struct Group {
    asked: Asked,
    columns: BTreeMap<String, String>,
    rollouts: Vec<RewardedRollout>,
    advantages: Vec<Option<f64>>,
}

impl<'a> Gatherer<'a> {
    /// Without any rollout yet.
    pub fn new(
        rewards: &'a [SourceReward],
        given: &'a [(String, f64)],
        counter: Option<&'a Counter>,
    ) -> Self {
        Self {
            rewards,
            given,
            counter,
            step: None,
            groups: Vec::new(),
            places: HashMap::new(),
            seen: Seen::default(),
        }
    }

    /// Adds a rollout. The step before is returned, if the rollout begins another one. `place` is where the row stands.
    ///
    /// # Errors
    /// When its tokens cannot be counted, or its total is not finite.
    pub fn add(
        &mut self,
        step: u64,
        found: Found,
        place: impl Fn() -> String,
    ) -> Result<Option<StepFacts>, Failure> {
        let whole = if self.step == Some(step) { None } else { self.whole() };
        self.step = Some(step);
        let tokens = match self.counter {
            Some(counter) => Some(counter.count(&found.completion)?),
            None => found.tokens,
        };
        self.seen.counted += u64::from(tokens.is_some());
        let Found { prompt, example, answer, completion, scores, advantage, finish, .. } = found;
        let columns = self.beside(found.columns);
        let asked = (prompt, example, answer);
        let index = self.places.get(&asked).copied().unwrap_or_else(|| {
            self.groups.push(Group {
                asked: asked.clone(),
                columns: columns.clone(),
                rollouts: Vec::new(),
                advantages: Vec::new(),
            });
            self.places.insert(asked, self.groups.len() - 1);
            self.groups.len() - 1
        });
        let rollout = self.rollout(completion, tokens.unwrap_or_default(), finish, &scores);
        if rollout.total.is_some_and(|total| !total.is_finite()) {
            let message = format!("{}: the total of the rewards is not finite", place());
            let hint = "give its rewards smaller weights with `--weight COLUMN=WEIGHT`";
            return Err(Failure::new(code::INPUT, message, hint));
        }
        let group = &mut self.groups[index];
        let differs = |name: &&String| group.columns.get(*name) != columns.get(*name);
        let differing: Vec<String> =
            group.columns.keys().chain(columns.keys()).filter(differs).cloned().collect();
        for name in differing {
            group.columns.remove(&name);
            self.seen.varying.insert(name);
        }
        group.rollouts.push(rollout);
        group.advantages.push(advantage);
        Ok(whole)
    }

    /// The columns of a problem: what is no reward.
    fn beside(&self, mut columns: BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.rewards.iter().for_each(|reward| drop(columns.remove(&reward.name)));
        columns
    }

    fn rollout(
        &self,
        text: String,
        tokens: usize,
        finish: FinishReason,
        scores: &[Score],
    ) -> RewardedRollout {
        let mut total: Option<f64> = None;
        let (mut outcomes, mut terms) = (Vec::new(), Vec::new());
        for reward in self.rewards {
            let score = scores.iter().find(|score| score.name == reward.name);
            let is_given = self.given.iter().any(|(name, _)| *name == reward.name);
            let weight = match score {
                Some(score) if !is_given => score.weight,
                _ => reward.weight,
            };
            let (value, status) = match score.map(|score| score.cell) {
                Some(Cell::Number(value)) => (Some(value), RewardStatus::Ok),
                Some(Cell::Nothing) => (None, RewardStatus::Abstain),
                Some(Cell::Other) | None => (None, RewardStatus::Unasked),
            };
            if let Some(value) = value.filter(|_| weight != 0.0) {
                total = Some(total.map_or(value * weight, |total| total + value * weight));
            }
            outcomes.push(RewardOutcome { value, status, parts: Vec::new(), info: None });
            terms.push(RewardTerm {
                clipped: value,
                condition: None,
                counted: value,
                weight,
                normalized: None,
            });
        }
        let completion = Completion {
            // They are only counted: which ones they are is not recorded.
            tokens: vec![0; tokens],
            logprobs: Vec::new(),
            entropies: Vec::new(),
            finish,
        };
        let rollout = Rollout { completion, text };
        RewardedRollout { rollout, outcomes, terms, unclipped: total, total }
    }

    /// The step that was gathered, as facts, if there is one.
    pub fn whole(&mut self) -> Option<StepFacts> {
        let step = self.step.take()?;
        self.places.clear();
        let groups: Vec<Group> = std::mem::take(&mut self.groups);
        for group in &groups {
            let known = group.advantages.iter().flatten().count();
            self.seen.without_advantage += u64::from(known == 0);
            self.seen.some_advantages += u64::from(known > 0 && known < group.advantages.len());
            self.seen.rollouts += group.rollouts.len() as u64;
        }
        self.seen.steps += 1;
        self.seen.groups += groups.len() as u64;
        self.seen.span = Some((self.seen.span.map_or(step, |(first, _)| first), step));
        let groups: Vec<CreditedGroup> = groups.into_iter().map(Group::credited).collect();
        Some(StepFacts {
            stage: 0,
            step,
            rewards: self.rewards.iter().map(|reward| reward.name.clone()).collect(),
            metrics: metrics(self.rewards, &groups),
            groups,
            reference_logprobs: Vec::new(),
            verdicts: Vec::new(),
        })
    }

    /// What was seen of all of them.
    pub fn seen(self) -> Seen {
        self.seen
    }
}

impl Group {
    fn credited(self) -> CreditedGroup {
        let Self { asked: (prompt, example, answer), mut columns, rollouts, advantages } = self;
        let identity = Value::from(vec![Some(prompt.clone()), example, answer.clone()]).to_string();
        let mut key = sha256(identity.as_bytes());
        key.truncate(KEY_DIGITS);
        if let Some(answer) = &answer {
            let written = || Value::from(answer.as_str()).to_string();
            columns.entry(ANSWER.to_owned()).or_insert_with(written);
        }
        let totals: Vec<f64> = rollouts.iter().filter_map(|rollout| rollout.total).collect();
        let zero_signal = totals.windows(2).all(|pair| pair[0] == pair[1]);
        let problem = Problem {
            data: String::new(),
            key,
            prompt,
            form: PromptForm::Text,
            solution: None,
            solution_tokens: None,
            rejected: None,
            answer,
            columns,
        };
        let advantages: Option<Vec<f64>> = advantages.into_iter().collect();
        CreditedGroup {
            group: RewardedGroup { problem, prompt_tokens: Vec::new(), rollouts },
            advantages: advantages.unwrap_or_default(),
            zero_signal,
        }
    }
}

/// The figures of a step that its rollouts give, under the names that they have in runs of r1x.
fn metrics(rewards: &[SourceReward], groups: &[CreditedGroup]) -> Vec<(String, f64)> {
    let rollouts = || groups.iter().flat_map(|credited| &credited.group.rollouts);
    let mut metrics = Vec::new();
    let mut put = |name: &str, values: Vec<f64>| {
        if !values.is_empty() {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            metrics.push((name.to_owned(), mean));
        }
    };
    let share = |yes: bool| f64::from(u8::from(yes));
    let totals: Vec<f64> = rollouts().filter_map(|rollout| rollout.total).collect();
    put("reward.mean", totals.clone());
    if !totals.is_empty() {
        put("reward.std", vec![deviation(&totals)]);
    }
    for (index, reward) in rewards.iter().enumerate() {
        let values = rollouts().filter_map(|rollout| rollout.outcomes.get(index)?.value);
        put(&format!("reward.{}.mean", reward.name), values.collect());
    }
    put("reward.unscored", rollouts().map(|rollout| share(rollout.total.is_none())).collect());
    put("zero_signal", groups.iter().map(|group| share(group.zero_signal)).collect());
    let lengths = rollouts().map(|rollout| rollout.rollout.completion.tokens.len() as f64);
    let lengths: Vec<f64> = lengths.collect();
    if lengths.iter().any(|length| *length > 0.0) {
        put("tokens.mean", lengths);
    }
    let ends = || rollouts().map(|rollout| rollout.rollout.completion.finish);
    let known = ends().filter(|finish| *finish != FinishReason::Unknown);
    put("truncated", known.map(|finish| share(finish == FinishReason::Length)).collect());
    metrics
}
