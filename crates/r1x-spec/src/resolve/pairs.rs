//! Stages that learn from pairs: reward models and direct preference optimisation.

use serde_json::json;

use r1x_core::plan::{
    DataRef, DpoPlan, PreferenceKind, PreferencePlan, RewardLossPlan, RewardModelPlan, SourcePlan,
};
use r1x_core::problem::Split;

use super::Resolver;
use crate::codes;
use crate::pair_values::{PreferenceWord, RewardLossKind};
use crate::read::At;
use crate::shaping_values::DataNames;
use crate::source::Span;
use crate::spec::{DpoSpec, RewardModelSpec};
use crate::value_types::DataName;

impl Resolver<'_, '_> {
    /// The plan of a stage that trains a reward model.
    pub(super) fn reward_model(&mut self, spec: &At<RewardModelSpec>) -> Option<RewardModelPlan> {
        let parts = (spec.skip.as_ref(), spec.limit.as_ref());
        let data = self.pairs(&spec.data, parts, &spec.batch_size);
        let micro_batch_size =
            self.members(spec.micro_batch_size.as_ref(), *spec.batch_size, &spec.path);
        let loss = match (*spec.loss, &spec.margin) {
            (RewardLossKind::Pair, margin) => {
                let margin = self.or_zero(margin.as_ref(), &spec.path, "margin");
                RewardLossPlan::Pair { margin }
            }
            (RewardLossKind::Point, None) => RewardLossPlan::Point,
            (RewardLossKind::Point, Some(margin)) => {
                self.unused_key("margin", "loss: pair", margin.span);
                RewardLossPlan::Point
            }
        };
        let optimizer = self.optimizer(&spec.optimizer, *spec.steps);
        let data = data?;
        // What stages make is to train on, and nothing of it is held out.
        let made: Vec<String> = self.made.iter().map(|made| made.id.clone()).collect();
        let given = data.iter().filter(|one| !made.contains(&one.data));
        let heldout = given.map(|one| DataRef {
            data: one.data.clone(),
            split: Split::Heldout,
            skip: 0,
            parts: None,
            limit: None,
        });
        Some(RewardModelPlan {
            heldout: heldout.collect(),
            data,
            heldout_every: spec.heldout_every.as_deref().copied(),
            steps: *spec.steps,
            batch_size: *spec.batch_size,
            micro_batch_size,
            optimizer,
            loss,
            reads: *spec.reads,
            share_prompts: *spec.share_prompts,
        })
    }

    /// The plan of a stage of direct preference optimisation.
    pub(super) fn dpo(&mut self, spec: &At<DpoSpec>) -> Option<DpoPlan> {
        let parts = (spec.skip.as_ref(), spec.limit.as_ref());
        let data = self.pairs(&spec.data, parts, &spec.batch_size);
        let micro_batch_size =
            self.members(spec.micro_batch_size.as_ref(), *spec.batch_size, &spec.path);
        let smoothing = spec.label_smoothing.as_ref();
        if let Some(written) = smoothing.filter(|_| *spec.kind != PreferenceWord::Sigmoid) {
            self.unused_key("label_smoothing", "kind: sigmoid", written.span);
        }
        let kind = match *spec.kind {
            PreferenceWord::Sigmoid => PreferenceKind::Sigmoid {
                label_smoothing: self.or_zero(smoothing, &spec.path, "label_smoothing"),
            },
            PreferenceWord::Ipo => PreferenceKind::Ipo,
            PreferenceWord::Hinge => PreferenceKind::Hinge,
        };
        let optimizer = self.optimizer(&spec.optimizer, *spec.steps);
        Some(DpoPlan {
            data: data?,
            steps: *spec.steps,
            batch_size: *spec.batch_size,
            micro_batch_size,
            optimizer,
            loss: PreferencePlan { kind, beta: *spec.beta },
            share_prompts: *spec.share_prompts,
        })
    }

    /// The problems of a stage that learns from pairs, at least one batch of them.
    fn pairs(
        &mut self,
        names: &DataNames,
        (skip, limit): (Option<&At<usize>>, Option<&At<usize>>),
        batch_size: &At<usize>,
    ) -> Option<Vec<DataRef>> {
        let data = self.mixed_data(names, skip, limit);
        names.names.iter().for_each(|name| self.check_pairs(name));
        self.check_draws(data.as_deref().unwrap_or_default(), batch_size, "batch_size");
        data
    }

    /// Whether the problems of a data set have two completions each. What stages make has one.
    fn check_pairs(&mut self, name: &At<DataName>) {
        let made = self.made.iter().any(|made| made.id == name.data);
        let read = self.data.iter().find(|read| read.id == name.data);
        let source = read.and_then(|read| read.plan.as_ref()).map(|plan| &plan.source);
        if source.is_none_or(SourcePlan::has_pairs) && !made {
            return;
        }
        let message = format!("the data `{}` has no worse completions to learn from", name.data);
        let help = match source {
            Some(SourcePlan::Rows { format, .. }) => {
                let key = format!("data.{}.{}", name.data, format.key());
                format!("name the columns of both completions: {key}.solution and {key}.rejected")
            }
            _ => "rows of files may have them (`rejected`), and so have generated `requests` without `flawed`"
                .to_owned(),
        };
        self.error(codes::NO_SOLUTIONS, name.span, message).help(help);
    }

    /// The sequences that are computed together, of so many pairs an update.
    fn members(&mut self, written: Option<&At<usize>>, pairs: usize, owner: &str) -> usize {
        self.micro_batch(written, 2 * pairs, "an update", owner)
    }

    fn or_zero(&mut self, written: Option<&At<f64>>, owner: &str, key: &str) -> f64 {
        if written.is_none() {
            self.derived(owner, key, json!(0.0));
        }
        written.map_or(0.0, |written| **written)
    }

    fn unused_key(&mut self, key: &str, needed: &str, span: Span) {
        let message = format!("`{key}` says nothing without `{needed}`");
        self.error(codes::COUNTS, span, message).help("take it out, or write the other too");
    }
}
