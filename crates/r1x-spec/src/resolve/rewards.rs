//! How rewards fit together and to the data: conditions on other rewards, problems that each judges, weights over a stage.

use r1x_core::plan::{
    AdvantagePlan, AppliesPlan, Bounds, ColumnPlan, CombineOrder, CombinePlan, ConditionPlan,
    CoursePlan, RewardPlan, ScheduleKind, SchedulePlan, ShapingPlan, WeightPoint,
};
use serde_json::{Value as Json, json};

use super::Resolver;
use super::data::{DataRead, RewardFacts};
use crate::codes;
use crate::diagnostic::{all_words, quoted};
use crate::inputs::DataFacts;
use crate::read::At;
use crate::shaping_values::{Between, DataNames, Weight};
use crate::source::Span;
use crate::spec::{AdvantageSpec, ForSpec, GrpoSpec, RewardSpec, ScheduleSpec};
use crate::value_types::Name;

impl Resolver<'_, '_> {
    /// Weight (that of the first point, where it has points) and everything else about a reward's way into the
    /// total.
    pub(super) fn shaping(&mut self, id: &str, spec: &RewardSpec) -> (f64, ShapingPlan) {
        let (weight, points) = match &spec.weight.value {
            Weight::Constant(weight) => (*weight, None),
            Weight::Points(points) => (points.first().map_or(0.0, |(_, w)| *w), Some(points)),
        };
        if let (Some(_), Some(schedule)) = (points, &spec.schedule) {
            let message = format!("the weight of {} has both points and a schedule", quoted(id));
            let help = "keep the points, or write one number for the weight";
            self.error(codes::ONE_OF, schedule.span, message).help(help);
        }
        let point = |&(step, weight): &(u64, f64)| WeightPoint { step, weight };
        let course = match (points, &spec.schedule) {
            (Some(points), _) => Some(CoursePlan::Points(points.iter().map(point).collect())),
            (None, Some(schedule)) => schedule_plan(schedule).map(CoursePlan::Schedule),
            (None, None) => None,
        };
        let condition = spec.only_if.as_ref().map(|only_if| ConditionPlan {
            reward: only_if.reward.0.clone(),
            at_least: *only_if.at_least,
            otherwise: *only_if.otherwise,
        });
        let applies = spec.r#for.as_ref().and_then(|spec| self.applies(spec));
        let clip = spec.clip.as_deref().map(bounds);
        (weight, ShapingPlan { applies, clip, condition, course })
    }

    fn applies(&mut self, spec: &At<ForSpec>) -> Option<AppliesPlan> {
        let sets = self.data.iter().map(|data| &data.id);
        let known: Vec<String> = sets.chain(&self.makers).cloned().collect();
        if let Some(data) = &spec.data {
            self.check_list(data, "data set");
            let unknown: Vec<&At<Name>> = data.iter().filter(|id| !known.contains(&id.0)).collect();
            for id in &unknown {
                self.unknown("data set", &id.0, id.span, &known);
            }
            if !unknown.is_empty() {
                // Judging nothing would be a second message about the same slip.
                return None;
            }
        }
        let column = match (&spec.column, &spec.values) {
            (Some(name), Some(values)) => Some(ColumnPlan {
                name: name.value.clone(),
                values: values
                    .texts()
                    .into_iter()
                    .map(|text| Json::from(text).to_string())
                    .collect(),
            }),
            (None, None) => None,
            (Some(one), None) => return self.half_a_condition(one.span, "values"),
            (None, Some(one)) => return self.half_a_condition(one.span, "column"),
        };
        if column.as_ref().is_some_and(|column| column.values.is_empty()) {
            let span = spec.values.as_ref().map_or(spec.span, |values| values.span);
            self.error(codes::COUNTS, span, "this list names no value".to_owned());
        }
        if spec.data.is_none() && column.is_none() {
            let message = "`for` names no problems".to_owned();
            let help = "write `for: {data: [...]}` or `for: {column: ..., values: [...]}`, or leave it out";
            self.error(codes::MISSING_KEY, spec.span, message).help(help);
        }
        let data = spec.data.as_ref().map(|data| data.iter().map(|id| id.0.clone()).collect());
        Some(AppliesPlan { data, column })
    }

    fn half_a_condition<T>(&mut self, span: Span, missing: &str) -> Option<T> {
        let message = format!("`for` needs the key `{missing}` too");
        let help = "a condition on a column is `for: {column: source, values: [math]}`";
        self.error(codes::MISSING_KEY, span, message).help(help);
        None
    }

    /// Whether the grade of an eval, and the rewards that decide about it, fit the data it is read on.
    pub(super) fn check_grade(&mut self, grade: &At<Name>, data: &str) {
        let mut chain = vec![grade.0.clone()];
        while let Some(decider) = chain.last().and_then(|id| self.reward(id)?.decider.clone()) {
            if chain.contains(&decider.0) || self.reward(&decider.0).is_none() {
                break;
            }
            chain.push(decider.0.clone());
        }
        for id in chain {
            let plan = self.reward(&id).and_then(|reward| reward.plan.as_ref());
            if plan.is_some_and(|plan| plan.reward_model().is_some()) {
                let message = format!(
                    "a suite is graded by plugins, and {} is the value of a reward model",
                    quoted(&id)
                );
                let help = "suites also run before there is a reward model; name another reward";
                self.error(codes::ONE_OF, grade.span, message).help(help);
                continue;
            }
            self.check_reward(&id, grade.span, &[data]);
        }
    }

    /// Reports conditions that name no reward, conditions that can never be met, and conditions in a circle.
    pub(super) fn check_conditions(&mut self) {
        let known: Vec<String> = self.rewards.iter().map(|reward| reward.id.clone()).collect();
        let conditional: Vec<(String, At<Name>)> = self
            .rewards
            .iter()
            .filter_map(|reward| Some((reward.id.clone(), reward.decider.clone()?)))
            .collect();
        for (id, decider) in &conditional {
            if !known.contains(&decider.0) {
                self.unknown("reward", &decider.0, decider.span, &known);
            } else if let Some(circle) = self.circle(id) {
                let message = if circle.len() == 1 {
                    format!("the reward {} counts only if it counts itself", quoted(id))
                } else {
                    let names = circle.iter().map(String::as_str);
                    format!("the conditions of {} go in a circle", all_words(names))
                };
                let help = "one of them has to count by itself: take its `only_if` away";
                self.error(codes::CONDITION, decider.span, message).help(help);
            } else {
                self.check_can_be_met(id, decider.span);
            }
        }
    }

    /// The rewards of the circle this one stands in, from it on.
    fn circle(&self, id: &str) -> Option<Vec<String>> {
        let mut path = vec![id.to_owned()];
        loop {
            let last = path.last()?;
            let decider = self.reward(last)?.decider.as_ref()?.0.clone();
            if decider == id {
                return Some(path);
            }
            if path.contains(&decider) {
                return None;
            }
            path.push(decider);
        }
    }

    fn check_can_be_met(&mut self, id: &str, span: Span) {
        let plan = |id: &str| self.reward(id)?.plan.as_ref();
        let Some(condition) = plan(id).and_then(|plan| plan.shaping.condition.clone()) else {
            return;
        };
        let clip = plan(&condition.reward).and_then(|plan| plan.shaping.clip);
        if let Some(clip) = clip.filter(|clip| condition.at_least > clip.high) {
            let message = format!(
                "{} never counts: it needs {} to be at least {}, which is clipped at {}",
                quoted(id),
                quoted(&condition.reward),
                condition.at_least,
                clip.high
            );
            self.error(codes::CONDITION, span, message).help("lower at_least, or raise the clip");
        }
    }

    pub(super) fn reward(&self, id: &str) -> Option<&RewardFacts> {
        self.rewards.iter().find(|reward| reward.id == id)
    }

    /// Whether the rewards of a stage exist, find their columns, judge its data, have their deciding rewards with them and
    /// weigh anything.
    pub(super) fn check_rewards(&mut self, spec: &GrpoSpec) {
        self.check_listed_rewards(&spec.data, &spec.rewards);
        spec.rewards.iter().for_each(|id| self.check_warm_up(id, *spec.steps));
        let plans = spec.rewards.iter().map(|id| self.reward(&id.0)?.plan.as_ref());
        let plans: Option<Vec<&RewardPlan>> = plans.collect();
        let weightless = |plans: Vec<&RewardPlan>| plans.iter().all(|plan| is_weightless(plan));
        if plans.filter(|plans| !plans.is_empty()).is_some_and(weightless) {
            let message = "every reward of this stage has weight 0, so there is nothing to learn";
            self.error(codes::COUNTS, spec.rewards.span, message.to_owned());
        }
    }

    /// Whether the rewards of a stage exist, find their columns, judge its data and have their deciding rewards with them.
    pub(super) fn check_listed_rewards(&mut self, data: &DataNames, rewards: &At<Vec<At<Name>>>) {
        self.check_list(rewards, "reward");
        let data: Vec<&str> = data.names.iter().map(|name| name.data.as_str()).collect();
        let listed: Vec<&str> = rewards.iter().map(|id| id.0.as_str()).collect();
        for id in rewards.iter() {
            self.check_reward(&id.0, id.span, &data);
            self.check_decider_is_scored(id, &listed);
        }
        let plans: Option<Vec<&RewardPlan>> =
            listed.iter().map(|id| self.reward(id)?.plan.as_ref()).collect();
        let Some(plans) = plans.filter(|plans| !plans.is_empty()) else { return };
        let unjudged: Vec<String> = data
            .iter()
            .filter(|id| !plans.iter().any(|plan| may_judge(plan, id)))
            .map(|&id| id.to_owned())
            .collect();
        if let Some(id) = unjudged.first() {
            let message = format!("no reward of this stage judges the data {}", quoted(id));
            let help = "add a reward for it, or widen the `for` of one";
            self.error(codes::FOR, rewards.span, message).help(help);
        }
    }

    fn check_decider_is_scored(&mut self, id: &At<Name>, listed: &[&str]) {
        let Some(decider) = self.reward(&id.0).and_then(|reward| reward.decider.clone()) else {
            return;
        };
        if listed.contains(&decider.0.as_str()) || self.reward(&decider.0).is_none() {
            return;
        }
        let (reward, decider) = (quoted(&id.0), quoted(&decider.0));
        let message =
            format!("{reward} counts only if {decider} does, which this stage does not score");
        let help = format!("add {decider} to the list; with weight 0 it decides and adds nothing");
        self.error(codes::CONDITION, id.span, message).help(help);
    }

    fn check_warm_up(&mut self, id: &At<Name>, steps: u64) {
        let plan = self.reward(&id.0).and_then(|reward| reward.plan.as_ref());
        let Some(CoursePlan::Schedule(schedule)) =
            plan.and_then(|plan| plan.shaping.course.as_ref())
        else {
            return;
        };
        if schedule.warmup_steps > steps {
            let message = format!(
                "the weight of {} warms up over {} steps, but the stage has {steps}",
                quoted(&id.0),
                schedule.warmup_steps
            );
            self.error(codes::COUNTS, id.span, message);
        }
    }

    /// Whether the reward exists, judges some of these data sets, and finds its columns in those.
    pub(super) fn check_reward(&mut self, id: &str, span: Span, data: &[&str]) {
        let Some(reward) = self.reward(id) else {
            let known: Vec<String> = self.rewards.iter().map(|reward| reward.id.clone()).collect();
            self.unknown("reward", id, span, &known);
            return;
        };
        let Some(plan) = reward.plan.clone() else { return };
        let columns = match (plan.reward_model(), &reward.facts) {
            (Some(_), _) => Vec::new(),
            (None, Some(plugin)) => plugin.columns.clone(),
            (None, None) => return,
        };
        if let Some(stage) = plan.reward_model() {
            self.check_reward_model(id, stage, span);
        }
        let mut judges = false;
        for &name in data.iter().filter(|name| may_judge(&plan, name)) {
            for origin in self.origins(name) {
                let facts = self.data.iter().find(|facts| facts.id == origin);
                let Some(known) = facts.and_then(|read| read.facts.clone()) else {
                    judges = true;
                    continue;
                };
                if !finds_column(&plan, &known.columns) {
                    continue;
                }
                judges = true;
                self.check_columns(id, span, &origin, &columns, &known);
            }
        }
        if !judges {
            self.judges_nothing(id, span, &plan, data);
        }
    }

    /// Whether the stage whose reward model judges is above the one that is read.
    fn check_reward_model(&mut self, id: &str, stage: &str, span: Span) {
        if self.reward_models.iter().any(|known| known == stage) {
            return;
        }
        let (id, stage) = (quoted(id), quoted(stage));
        let message = format!(
            "the reward {id} is judged by the stage {stage}, which trains no reward model above"
        );
        let help = "name a `reward_model` stage above this one in `reward_model`";
        self.error(codes::UNKNOWN_NAME, span, message).help(help);
    }

    fn judges_nothing(&mut self, id: &str, span: Span, plan: &RewardPlan, data: &[&str]) {
        let message = format!(
            "the reward {} judges no problem of the data {}",
            quoted(id),
            all_words(data.iter().copied())
        );
        let applies = plan.shaping.applies.clone().unwrap_or_default();
        let help = match applies.column {
            Some(column) if data.iter().any(|name| may_judge(plan, name)) => {
                let unlisted = |read: &DataRead| {
                    read.facts.as_ref().is_some_and(|facts| facts.unlisted.contains(&column.name))
                };
                let mut named = self.data.iter().filter(|read| data.contains(&read.id.as_str()));
                let why = if named.any(unlisted) {
                    "which `columns` of the data does not list"
                } else {
                    "which the data lacks"
                };
                format!("its `for` needs the column {}, {why}", quoted(&column.name))
            }
            _ => {
                let named = applies.data.unwrap_or_default();
                format!("its `for` names {}", all_words(named.iter().map(String::as_str)))
            }
        };
        self.error(codes::FOR, span, message).help(help);
    }

    fn check_columns(
        &mut self,
        id: &str,
        span: Span,
        data: &str,
        needed: &[String],
        known: &DataFacts,
    ) {
        let columns = &known.columns;
        let lacking: Vec<&str> =
            needed.iter().filter(|c| !columns.contains(c)).map(String::as_str).collect();
        if lacking.is_empty() {
            return;
        }
        let first = lacking[0];
        let noun = if lacking.len() == 1 { "column" } else { "columns" };
        if lacking.iter().all(|name| known.unlisted.iter().any(|unlisted| unlisted == name)) {
            let message = format!(
                "the reward {} needs the {noun} {}, which `columns` of the data {} does not list",
                quoted(id),
                all_words(lacking),
                quoted(data)
            );
            let read = self.data.iter().find(|read| read.id == data);
            let key = read.and_then(DataRead::key).unwrap_or_default();
            let help = format!(
                "its rows have it: add it to data.{data}.{key}.columns, or leave `columns` out to take every column"
            );
            self.error(codes::COLUMNS, span, message).input().help(help);
            return;
        }
        let message = format!(
            "the reward {} needs the {noun} {}, which the data {} lacks",
            quoted(id),
            all_words(lacking),
            quoted(data)
        );
        let has = all_words(columns.iter().map(String::as_str));
        let key = self.data.iter().find(|read| read.id == data).and_then(DataRead::key);
        let help = match key {
            Some(key) => format!(
                "the data has {has}; data.{data}.{key}.columns gives one another name, as in {{{first}: THEIRS}}, and takes \
                 those alone that it lists"
            ),
            None => format!("the data has {has}"),
        };
        self.error(codes::COLUMNS, span, message).input().help(help);
    }

    /// How a stage makes advantages of rewards.
    pub(super) fn advantage(&mut self, spec: &At<AdvantageSpec>) -> AdvantagePlan {
        let order = *spec.combine;
        // The batch normalisation is part of GDPO, and of GRPO it is not.
        let by_order = order == CombineOrder::NormalizeThenSum;
        if spec.whiten.is_none() {
            self.derived(&spec.path, "whiten", json!(by_order));
        }
        if let Some(clip) = spec.clip_total.as_ref().filter(|_| by_order) {
            let message =
                "normalize_then_sum compares no totals, so there is none to clip".to_owned();
            let help = "clip the rewards themselves, or use sum_then_normalize";
            self.error(codes::COUNTS, clip.span, message).help(help);
        }
        let whiten = spec.whiten.as_deref().copied().unwrap_or(by_order);
        let clip = spec.clip_total.as_deref().map(bounds);
        let combine = CombinePlan { order, whiten, clip };
        AdvantagePlan { kind: *spec.kind, eps: *spec.eps, combine }
    }
}

fn bounds(between: &Between) -> Bounds {
    Bounds { low: between.0, high: between.1 }
}

/// A schedule that keeps the peak throughout is none.
fn schedule_plan(spec: &ScheduleSpec) -> Option<SchedulePlan> {
    let flat = *spec.kind == ScheduleKind::Constant && *spec.warmup_steps == 0;
    (!flat).then(|| SchedulePlan {
        kind: *spec.kind,
        warmup_steps: *spec.warmup_steps,
        final_ratio: *spec.final_ratio,
    })
}

/// Whether a reward's `for` lets it judge problems of a data set, as far as ids tell.
fn may_judge(plan: &RewardPlan, data: &str) -> bool {
    let named = plan.shaping.applies.as_ref().and_then(|applies| applies.data.as_ref());
    named.is_none_or(|named| named.iter().any(|id| id == data))
}

fn finds_column(plan: &RewardPlan, columns: &[String]) -> bool {
    let column = plan.shaping.applies.as_ref().and_then(|applies| applies.column.as_ref());
    column.is_none_or(|column| columns.contains(&column.name))
}

fn is_weightless(plan: &RewardPlan) -> bool {
    match &plan.shaping.course {
        Some(CoursePlan::Points(points)) => points.iter().all(|point| point.weight == 0.0),
        _ => plan.weight == 0.0,
    }
}
