//! Evaluation suites: figures that can be estimated, gates on figures that are reported, and times they run.

use std::collections::BTreeMap;

use serde_json::json;

use r1x_core::plan::{EvalPlan, EvalWhen};

use super::Resolver;
use crate::codes;
use crate::diagnostic::{all_words, quoted};
use crate::lists::IdList;
use crate::read::At;
use crate::spec::{EvalSpec, WhenSpec};
use crate::value_types::Moment;

impl Resolver<'_, '_> {
    /// The suites in order, or `None` after reporting.
    pub(super) fn evals(&mut self, evals: &At<IdList<EvalSpec>>) -> Option<Vec<EvalPlan>> {
        let plans: Vec<Option<EvalPlan>> =
            evals.0.iter().map(|(_, eval)| self.eval(eval.as_ref()?)).collect();
        plans.into_iter().collect()
    }

    fn eval(&mut self, spec: &At<EvalSpec>) -> Option<EvalPlan> {
        let data = self.data_ref(&spec.data, spec.skip.as_ref(), spec.limit.as_ref());
        self.check_grade(&spec.grade, &spec.data.data);
        let sampling = self.sampling(&spec.sampling);
        if sampling.temperature == 0.0 && *spec.samples > 1 {
            let message = format!("all {} samples at temperature 0 are equal", *spec.samples);
            let help = "take one sample, or use a temperature above 0";
            self.error(codes::COUNTS, spec.sampling.temperature.span, message).help(help);
        }
        let pass_at = self.figures(spec);
        let gate = self.gate(spec, &pass_at);
        let when = self.when(spec, &spec.when);
        Some(EvalPlan {
            id: spec.id.0.clone(),
            data: data?,
            samples: *spec.samples,
            sampling,
            grade: spec.grade.0.clone(),
            threshold: *spec.threshold,
            pass_at,
            when,
            gate,
        })
    }

    /// The k of the reported figures, ascending.
    fn figures(&mut self, spec: &At<EvalSpec>) -> Vec<usize> {
        let Some(report) = &spec.report else {
            self.derived(&spec.path, "report", json!(["pass@1"]));
            return vec![1];
        };
        if report.is_empty() {
            let message = "this list names no figure".to_owned();
            self.error(codes::COUNTS, report.span, message).help("write [pass@1], or leave it out");
        }
        let samples = *spec.samples;
        let mut pass_at = Vec::new();
        for figure in report.iter() {
            if figure.0 > samples {
                let message = format!(
                    "`{}` needs samples >= {}, but samples is {samples}",
                    figure.value, figure.0
                );
                let help = format!("set `samples: {}`, or report `pass@{samples}`", figure.0);
                self.error(codes::PASS_AT_K, figure.span, message).help(help);
            }
            if pass_at.contains(&figure.0) {
                let message = format!("the figure `{}` is reported twice", figure.value);
                self.error(codes::DUPLICATE_ID, figure.span, message);
            }
            pass_at.push(figure.0);
        }
        pass_at.sort_unstable();
        pass_at
    }

    fn gate(&mut self, spec: &EvalSpec, pass_at: &[usize]) -> BTreeMap<String, f64> {
        let mut gate = BTreeMap::new();
        for (figure, bound) in &spec.gate.0 {
            if !pass_at.contains(&figure.0) {
                let reported: Vec<String> = pass_at.iter().map(|k| format!("pass@{k}")).collect();
                let message = format!("the gate needs `{}`, which is not reported", figure.value);
                let help = format!(
                    "add it to `report`, which has {}",
                    all_words(reported.iter().map(String::as_str))
                );
                self.error(codes::UNKNOWN_NAME, figure.span, message).help(help);
            }
            gate.insert(figure.to_string(), *bound);
        }
        gate
    }

    fn when(&mut self, eval: &At<EvalSpec>, spec: &At<WhenSpec>) -> EvalWhen {
        let at = spec.at.as_deref();
        if at.is_none() {
            self.derived(&eval.path, "when.at", json!(["stage_end"]));
        }
        let has = |moment| at.is_some_and(|at| at.iter().any(|known| known.value == moment));
        let when = EvalWhen {
            start: has(Moment::Start),
            stage_end: at.is_none() || has(Moment::StageEnd),
            every: spec.every.as_deref().copied(),
        };
        let never = !when.start && !when.stage_end && when.every.is_none();
        if never && !self.evaluated.contains(&eval.id.0) {
            let message = format!("the eval {} never runs", quoted(&eval.id.0));
            let help = "give `when` a time, or name the eval in an `evaluate` stage";
            let span = spec.at.as_ref().map_or(spec.span, |at| at.span);
            self.error(codes::COUNTS, span, message).help(help);
        }
        when
    }
}
