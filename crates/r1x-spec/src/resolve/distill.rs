//! Distillation: who the teacher is, and on which texts it is asked.

use serde_json::json;

use r1x_core::plan::{
    DistillPlan, DistillationPlan, DistilledTexts, DivergencePlan, HeadPlan, InitialWeights,
    ModelPlan, OtherTokens, TeacherPlan, WeightsFrom,
};

use super::Resolver;
use super::further::Placed;
use crate::codes;
use crate::diagnostic::quoted;
use crate::distill_values::DivergenceWord;
use crate::read::At;
use crate::source::Span;
use crate::spec::DistillSpec;
use crate::value_types::Name;

/// The share of the teacher in a mixture that nobody wrote.
const BETA: f64 = 0.5;

impl Resolver<'_, '_> {
    /// The plan of a stage that learns from a teacher; `above` are the stages above it.
    pub(super) fn distill(
        &mut self,
        spec: &At<DistillSpec>,
        above: &[Placed],
    ) -> Option<DistillPlan> {
        let teacher = self.teacher(spec, above);
        let data = self.mixed_data(&spec.data, spec.skip.as_ref(), spec.limit.as_ref());
        self.check_draws(data.as_deref().unwrap_or_default(), &spec.batch_size, "batch_size");
        let texts = self.distilled_texts(spec);
        let per_problem = match &texts {
            DistilledTexts::Solutions => 1,
            DistilledTexts::Samples { per_problem, .. } => *per_problem,
        };
        let sequences = spec.batch_size.saturating_mul(per_problem);
        let written = spec.micro_batch_size.as_ref();
        let micro_batch_size = self.micro_batch(written, sequences, "an update", &spec.path);
        let divergence = self.divergence(spec);
        let optimizer = self.optimizer(&spec.optimizer, *spec.steps);
        let vocabulary = self.models.iter().find_map(|known| known.plan.as_ref());
        let vocabulary = vocabulary.map_or(usize::MAX, |plan| plan.vocabulary_size);
        let other_tokens =
            if *spec.top < vocabulary { OtherTokens::OneOutcome } else { OtherTokens::None };
        Some(DistillPlan {
            teacher: teacher?,
            data: data?,
            texts,
            steps: *spec.steps,
            batch_size: *spec.batch_size,
            micro_batch_size,
            optimizer,
            temperature: *spec.temperature,
            top: (*spec.top).min(vocabulary),
            loss: DistillationPlan { divergence, other_tokens },
        })
    }

    fn teacher(&mut self, spec: &At<DistillSpec>, above: &[Placed]) -> Option<TeacherPlan> {
        let teacher = match (&spec.teacher, &spec.teacher_model) {
            (Some(stage), None) => self.teaching_stage(stage, above)?,
            (None, Some(model)) => self.teaching_model(model)?,
            (None, None) => {
                let message = "distillation needs one of `teacher`, `teacher_model`".to_owned();
                let help =
                    "`teacher: ID` names a stage above, `teacher_model: NAME` one of `models`";
                self.error(codes::ONE_OF, spec.span, message).help(help);
                return None;
            }
            (Some(_), Some(model)) => {
                let message = "`teacher` and `teacher_model` cannot stand together".to_owned();
                self.error(codes::ONE_OF, model.span, message).help("keep one of them");
                return None;
            }
        };
        let span = spec.teacher.as_ref().or(spec.teacher_model.as_ref()).map(|name| name.span);
        let plan = self.model_plan(&teacher.model).cloned();
        self.check_teacher(plan.as_ref(), span.unwrap_or(spec.span));
        Some(teacher)
    }

    fn teaching_stage(&mut self, name: &At<Name>, above: &[Placed]) -> Option<TeacherPlan> {
        let Some((id, model)) = above.iter().find(|(id, _)| *id == name.0) else {
            let known: Vec<String> = above.iter().map(|(id, _)| id.clone()).collect();
            self.unknown("stage above", &name.0, name.span, &known);
            return None;
        };
        if !self.learners.contains(id) {
            let message = format!("the stage {} leaves weights as they are", quoted(id));
            let help = "name the stage that has made the weights, or a model under `teacher_model`";
            self.error(codes::UNKNOWN_NAME, name.span, message).help(help);
            return None;
        }
        Some(TeacherPlan { model: model.clone(), weights: WeightsFrom::Stage(id.clone()) })
    }

    fn teaching_model(&mut self, name: &At<Name>) -> Option<TeacherPlan> {
        let model = self.model_of_stage(Some(name))?;
        let plan = self.model_plan(&model);
        if plan.is_some_and(|plan| plan.initial == InitialWeights::Random) {
            let message =
                format!("the model {} begins with weights that know nothing", quoted(&name.0));
            let help = "give it published weights (`from: FOLDER`), or name a stage that trains it under `teacher`";
            self.error(codes::COUNTS, name.span, message).help(help);
        }
        Some(TeacherPlan { model, weights: WeightsFrom::Base })
    }

    fn model_plan(&self, name: &Option<String>) -> Option<&ModelPlan> {
        self.models.iter().find(|known| known.name == *name)?.plan.as_ref()
    }

    /// A teacher says which tokens are likely, of every sequence that the student reads.
    fn check_teacher(&mut self, plan: Option<&ModelPlan>, span: Span) {
        let Some(plan) = plan else { return };
        if plan.head == HeadPlan::Value {
            let message =
                "a model with a value head says no tokens, so nobody can learn them of it";
            let help = "name a teacher with `head: vocabulary`";
            self.error(codes::SHAPE, span, message.to_owned()).help(help);
        }
        if let Some(student) = self.context_length.filter(|length| *length > plan.context_length) {
            let message = format!(
                "the teacher reads {} tokens of a sequence, and the student {student}",
                plan.context_length
            );
            let help = "lower context_length of the student's model";
            self.error(codes::COUNTS, span, message).help(help);
        }
    }

    fn distilled_texts(&mut self, spec: &At<DistillSpec>) -> DistilledTexts {
        let Some(sampling) = &spec.sampling else {
            spec.data.names.iter().for_each(|name| self.check_solutions(name));
            if let Some(samples) = &spec.samples {
                let message = "`samples` says nothing without `sampling`".to_owned();
                let help = "take it out, or write how the student samples";
                self.error(codes::COUNTS, samples.span, message).help(help);
            }
            return DistilledTexts::Solutions;
        };
        let sampling = self.sampling(sampling);
        if spec.samples.is_none() {
            self.derived(&spec.path, "samples", json!(1));
        }
        DistilledTexts::Samples {
            per_problem: spec.samples.as_deref().copied().unwrap_or(1),
            sampling,
        }
    }

    fn divergence(&mut self, spec: &At<DistillSpec>) -> DivergencePlan {
        let beta = spec.beta.as_ref();
        if let Some(beta) = beta.filter(|_| *spec.divergence != DivergenceWord::JensenShannon) {
            let message = "`beta` says nothing without `divergence: jensen_shannon`".to_owned();
            let help = "take it out, or write the other too";
            self.error(codes::COUNTS, beta.span, message).help(help);
        }
        match *spec.divergence {
            DivergenceWord::ForwardKl => DivergencePlan::ForwardKl,
            DivergenceWord::ReverseKl => DivergencePlan::ReverseKl,
            DivergenceWord::JensenShannon => {
                if beta.is_none() {
                    self.derived(&spec.path, "beta", json!(BETA));
                }
                DivergencePlan::JensenShannon { beta: beta.map_or(BETA, |beta| **beta) }
            }
        }
    }
}
