//! The keys of stages: everything that the facts of a stage depend on, as one word.
//!
//! Two stages of equal keys leave equal facts, whatever stands around them in their plans, so that a stage which was run
//! before need not be run again. A key that says too much costs a repetition; one that says too little would be a lie. So
//! all of a plan that a stage can reach goes in, and what is left out is listed here: the names of experiments and tags, the
//! place of a stage among the others, where files lie (their hashes say what they are), when weights are saved, gates, and
//! which suites run before the first stage.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{DataRef, EvalPlan, RunPlan, StageOutline, StagePlan, WeightsFrom};
use crate::capability::Capability;
use crate::digest;

/// Keys of an object that say where a file lies, in objects that have its hash.
const PLACES: [&str; 3] = ["path", "folder", "checkpoint"];

impl RunPlan {
    /// The key of every stage, in order, as lower-case hex. `computed_by` says which build computes it on which kind of
    /// machine: other code may leave other facts.
    pub fn stage_keys(&self, computed_by: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for stage in &self.stages {
            let reached = Reached { plan: self, above: &keys };
            let parts = reached.stage(stage, computed_by);
            keys.push(digest::sha256(parts.to_string().as_bytes()));
        }
        keys
    }
}

/// What a stage can reach of a plan: all of what is not a stage, and the stages above it by their keys.
struct Reached<'p> {
    plan: &'p RunPlan,
    above: &'p [String],
}

impl Reached<'_> {
    fn stage(&self, stage: &StagePlan, computed_by: &str) -> Value {
        let outline = stage.kind.outline();
        let suites = self.suites(&outline);
        let data = outline.data.iter().copied().chain(suites.iter().map(|suite| &suite.data));
        let critic = outline
            .critic
            .map(|critic| json!([self.model(Some(&critic.model)), self.weights(&critic.weights)]));
        let teacher = outline.teacher.map(|teacher| {
            let plan = teacher.plan;
            json!([self.model(plan.model.as_deref()), self.weights(&plan.weights)])
        });
        let merges: Vec<Value> =
            outline.merges.iter().map(|part| self.weights(&part.weights)).collect();
        let parts = json!({
            "computed_by": computed_by,
            "version": self.plan.version,
            "seed": self.plan.seed,
            "id": stage.id,
            "kind": stage.kind,
            "model": self.model(stage.model.as_deref()),
            "weights": self.weights(&stage.weights),
            // Prompts are written for the policy, whichever model answers them.
            "prompts_for": self.plan.model.tokenizer,
            "data": self.data(data),
            "rewards": self.rewards(&outline, &suites),
            "suites": suites.iter().map(|suite| with_moments(suite)).collect::<Vec<_>>(),
            "critic": critic,
            "teacher": teacher,
            "merges": merges,
            "record": self.plan.record,
        });
        without_places(parts)
    }

    /// The suites that run in the course of a stage.
    fn suites(&self, outline: &StageOutline<'_>) -> Vec<&EvalPlan> {
        let runs = |suite: &&EvalPlan| {
            let due = suite.when.stage_end || suite.when.every.is_some();
            outline.suites.contains(&suite.id) || (outline.is_evaluated() && due)
        };
        self.plan.evals.iter().filter(runs).collect()
    }

    fn model(&self, name: Option<&str>) -> Value {
        json!(self.plan.model_called(name))
    }

    /// What weights are: those of a model are drawn or read as the model says, those of a stage are what it leaves.
    fn weights(&self, from: &WeightsFrom) -> Value {
        match from {
            WeightsFrom::Base => Value::Null,
            WeightsFrom::Stage(id) => self.key(id),
        }
    }

    /// The key of a stage above; a stage that is not above is an error that is told elsewhere, and has none.
    fn key(&self, id: &str) -> Value {
        let at = self.plan.stages.iter().position(|stage| stage.id == *id);
        json!(at.and_then(|at| self.above.get(at)))
    }

    /// Data sets by id, and the stages that make data by their keys.
    fn data<'d>(&self, named: impl Iterator<Item = &'d DataRef>) -> Value {
        let ids: BTreeSet<&str> = named.map(|named| named.data.as_str()).collect();
        let one = |id: &str| match self.plan.data.get(id) {
            Some(data) => json!(data),
            None => self.key(id),
        };
        json!(ids.into_iter().map(|id| (id, one(id))).collect::<Vec<_>>())
    }

    /// The rewards of a stage and the graders of its suites, with those that decide whether another one counts, and what
    /// they may ask.
    fn rewards(&self, outline: &StageOutline<'_>, suites: &[&EvalPlan]) -> Value {
        let mut ids: BTreeSet<&str> = outline.rewards.iter().map(String::as_str).collect();
        ids.extend(suites.iter().flat_map(|suite| self.plan.graders(suite)).map(|r| r.id.as_str()));
        loop {
            let rewards = ids.iter().filter_map(|id| self.plan.reward(id));
            let conditions = rewards.filter_map(|reward| reward.shaping.condition.as_ref());
            let more: BTreeSet<&str> = conditions.map(|c| c.reward.as_str()).collect();
            if more.is_subset(&ids) {
                break;
            }
            ids.extend(more);
        }
        // In the order of the plan, in which totals are added up.
        let rewards = self.plan.rewards.iter().filter(|reward| ids.contains(reward.id.as_str()));
        let rewards: Vec<Value> = rewards
            .map(|reward| {
                let plugin = reward.plugin();
                let asks = plugin.is_some_and(|plugin| plugin.grant.contains(&Capability::Judge));
                let judges = asks.then_some(&self.plan.judges);
                json!([reward, reward.reward_model().map(|stage| self.key(stage)), judges])
            })
            .collect();
        json!(rewards)
    }
}

/// A suite with all that decides what it finds in the course of a stage.
fn with_moments(suite: &EvalPlan) -> Value {
    let mut suite = suite.clone();
    suite.gate.clear();
    suite.when.start = false;
    json!(suite)
}

/// A value without the places of files whose hashes it has.
fn without_places(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_places).collect(),
        Value::Object(fields) => {
            let is_file = fields.contains_key("sha256");
            let stays = |key: &str| !(is_file && PLACES.contains(&key));
            let fields = fields.into_iter().filter(|(key, _)| stays(key));
            Value::Object(fields.map(|(key, value)| (key, without_places(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::{DataPlan, EvalWhen, PromptPlan, RewardPlan, SourcePlan, StageKind};
    use crate::testing;

    fn stages() -> Vec<StagePlan> {
        vec![
            testing::stage("sft", StageKind::Sft(testing::sft(3))),
            testing::stage("rl", StageKind::Grpo(testing::grpo(5))),
            testing::stage("more", StageKind::Sft(testing::sft(2))),
        ]
    }

    fn plan() -> RunPlan {
        let mut plan = testing::run(stages());
        for stage in &plan.stages {
            for data in stage.kind.outline().data {
                let source = SourcePlan::Countdown(testing::countdown());
                let prompt = PromptPlan::text("{{ nums }}");
                plan.data.insert(data.data.clone(), DataPlan { source, prompt });
            }
        }
        plan
    }

    /// Which of the keys of [`plan`] a change leaves as they are.
    fn kept(change: impl Fn(&mut RunPlan)) -> [bool; 3] {
        let (was, mut is) = (plan(), plan());
        change(&mut is);
        let [was, is] = [was, is].map(|plan| plan.stage_keys("this build"));
        [0, 1, 2].map(|at| was[at] == is[at])
    }

    fn of(id: &str) -> WeightsFrom {
        WeightsFrom::Stage(id.to_owned())
    }

    #[test]
    fn a_key_says_what_a_stage_depends_on_and_nothing_else() {
        assert_eq!(kept(|_| {}), [true; 3]);
        let name = |plan: &mut RunPlan| {
            plan.name = "other".into();
            plan.tags = vec!["a".into()];
            plan.checkpoints.every = Some(1);
        };
        assert_eq!(kept(name), [true; 3]);
        assert_eq!(kept(|plan| plan.seed += 1), [false; 3]);
        assert_eq!(kept(|plan| plan.record.text = false), [false; 3]);
        // Who stands on a stage has another key where the stage has one.
        let later = |plan: &mut RunPlan| plan.stages[1].kind = StageKind::Grpo(testing::grpo(6));
        assert_eq!(kept(later), [true, false, false]);
        let first = |plan: &mut RunPlan| plan.stages[0].kind = StageKind::Sft(testing::sft(4));
        assert_eq!(kept(first), [false; 3]);
        // Who does not, does not.
        let was = plan_with(|plan| plan.stages[2].weights = of("sft"));
        let is = plan_with(|plan| {
            plan.stages[2].weights = of("sft");
            later(plan);
        });
        assert_eq!((was[0] == is[0], was[1] == is[1], was[2] == is[2]), (true, false, true));
        assert_ne!(plan().stage_keys("this build"), plan().stage_keys("another"));
    }

    fn plan_with(change: impl Fn(&mut RunPlan)) -> Vec<String> {
        let mut plan = plan();
        change(&mut plan);
        plan.stage_keys("this build")
    }

    #[test]
    fn a_key_does_not_depend_on_the_place_of_a_stage_nor_on_that_of_files() {
        let apart = |plan: &mut RunPlan| plan.stages[1].weights = WeightsFrom::Base;
        let was = plan_with(apart);
        let is = plan_with(|plan| {
            apart(plan);
            plan.stages.swap(0, 1);
        });
        assert_eq!((&was[0], &was[1]), (&is[1], &is[0]));
        let file = |path: &str, sha256: &str| {
            without_places(json!({"tokenizer": {"file": {"path": path, "sha256": sha256}}}))
        };
        assert_eq!(file("a", "1"), file("b", "1"));
        assert_ne!(file("a", "1"), file("a", "2"));
        let no_file = |path: &str| without_places(json!({"path": path}));
        assert_ne!(no_file("a"), no_file("b"));
    }

    #[test]
    fn suites_and_their_rewards_count_where_they_run() {
        let with = |every: Option<u64>, gate: f64, weight: f64| {
            plan_with(|plan| {
                plan.rewards.push(RewardPlan { weight, ..testing::reward("right") });
                let data = plan.stages[0].kind.outline().data[0].clone();
                let when = EvalWhen { start: true, stage_end: false, every };
                let gate = BTreeMap::from([("pass@1".to_owned(), gate)]);
                let grade = "right".to_owned();
                plan.evals.push(EvalPlan { data, grade, when, gate, ..testing::eval("heldout") });
            })
        };
        // A suite that runs at the start alone is no part of any stage.
        assert_eq!(with(None, 0.5, 1.0), with(None, 0.5, 2.0));
        assert_eq!(with(None, 0.5, 1.0), plan().stage_keys("this build"));
        assert_ne!(with(Some(2), 0.5, 1.0), with(None, 0.5, 1.0));
        assert_eq!(with(Some(2), 0.5, 1.0), with(Some(2), 0.9, 1.0));
        assert_ne!(with(Some(2), 0.5, 1.0), with(Some(2), 0.5, 2.0));
    }
}
