//! Data that stages of the run make, beside the data that was there before it.
//!
//! A stage that makes data and a data set differ in nothing for whoever reads them: both have an id and problems. What a
//! stage has made so far is kept by whoever remembers ([`r1x_core::Recorder::made`]), so a run that goes on has it.

use std::collections::{BTreeMap, HashMap};

use r1x_core::plan::{RunPlan, StagePlan};
use r1x_core::{PortError, Problem, ProblemSource, Split};

use crate::draw::limited;
use crate::stage::stage_place;

/// All data of a run.
pub(crate) struct RunData<'a> {
    /// What was there before the run.
    given: &'a dyn ProblemSource,
    /// The rows that stages have made, by the id of the stage.
    made: BTreeMap<String, Vec<Problem>>,
}

impl<'a> RunData<'a> {
    /// Data of which no stage has made anything yet.
    pub(crate) fn new(plan: &RunPlan, given: &'a dyn ProblemSource) -> Self {
        let making = plan.stages.iter().filter(|stage| stage.kind.outline().makes.is_some());
        Self { given, made: making.map(|stage| (stage.id.clone(), Vec::new())).collect() }
    }

    /// Data as it may become: for the rows that a stage will make stand the problems that it makes them of, so that what
    /// depends on prompts and columns can be found out before the run. Their solutions are missing, because nobody has
    /// written them.
    ///
    /// # Errors
    /// When a stage has no problems to make anything of.
    pub(crate) fn foreseen(
        plan: &RunPlan,
        given: &'a dyn ProblemSource,
    ) -> Result<Self, PortError> {
        let mut data = Self::new(plan, given);
        for stage in &plan.stages {
            let outline = stage.kind.outline();
            if outline.makes.is_none() {
                continue;
            }
            let mut rows = Vec::new();
            for reference in outline.data {
                let problems = limited(&data, reference, &stage_place(&stage.id))?;
                let row = |problem: &Problem| Problem {
                    data: stage.id.clone(),
                    solution: None,
                    solution_tokens: Some(Vec::new()),
                    ..problem.clone()
                };
                rows.extend(problems.iter().map(row));
            }
            data.add(&stage.id, rows);
        }
        Ok(data)
    }

    /// Recorded rows of a stage with what their prompts were made of, which the problems that they were made of say.
    pub(crate) fn with_forms(&self, stage: &StagePlan, mut rows: Vec<Problem>) -> Vec<Problem> {
        let mut forms = HashMap::new();
        for reference in stage.kind.outline().data {
            // Where nothing is left to make rows of, none were made.
            let problems = limited(self, reference, &stage_place(&stage.id)).unwrap_or_default();
            forms.extend(problems.iter().map(|one| (one.prompt.as_str(), &one.form)));
        }
        for row in &mut rows {
            if let Some(form) = forms.get(row.prompt.as_str()) {
                row.form = (*form).clone();
            }
        }
        rows
    }

    /// Adds rows to what a stage has made.
    pub(crate) fn add(&mut self, stage: &str, rows: Vec<Problem>) {
        self.made.entry(stage.to_owned()).or_default().extend(rows);
    }
}

impl ProblemSource for RunData<'_> {
    fn problems(&self, data: &str, split: Split) -> Result<&[Problem], PortError> {
        match (self.made.get(data), split) {
            (Some(rows), Split::Train) => Ok(rows),
            (Some(_), Split::Heldout) => Ok(&[]),
            (None, _) => self.given.problems(data, split),
        }
    }

    fn origin(&self, problem: &Problem) -> String {
        match self.made.contains_key(&problem.data) {
            // The row that it was made of is not known by its place any more.
            true => {
                format!("a row that {} made of {}", stage_place(&problem.data), problem.shown())
            }
            false => self.given.origin(problem),
        }
    }
}

/// Whether a stage reads data that a stage of the run makes.
pub(crate) fn reads_made_data(plan: &RunPlan, stage: &StagePlan) -> bool {
    stage.kind.outline().data.iter().any(|reference| plan.maker(&reference.data).is_some())
}

#[cfg(test)]
mod tests {
    use r1x_core::PromptForm;
    use r1x_core::plan::{StageKind, WeightsFrom};
    use r1x_core::testing::{self, ListedProblems};

    use super::*;

    #[test]
    fn recorded_rows_are_asked_in_the_form_of_the_problems_they_were_made_of() {
        let form = PromptForm::Messages { prefill: "<think>".to_owned() };
        let asked = Problem { form: form.clone(), ..testing::problem("a", "2 + 2 <think>") };
        let given = ListedProblems(vec![asked, testing::problem("b", "3")]);
        let (kind, weights) = (StageKind::Reject(testing::reject(1)), WeightsFrom::Base);
        let stage = StagePlan { id: "harvest".to_owned(), weights, kind };
        let plan = RunPlan { stages: vec![stage.clone()], ..testing::run(Vec::new()) };
        let rows = ["2 + 2 <think>", "3", "4"].map(|prompt| testing::problem("x", prompt));
        let rows = RunData::new(&plan, &given).with_forms(&stage, rows.to_vec());
        let forms: Vec<&PromptForm> = rows.iter().map(|row| &row.form).collect();
        assert_eq!(forms, [&form, &PromptForm::Text, &PromptForm::Text]);
    }
}
