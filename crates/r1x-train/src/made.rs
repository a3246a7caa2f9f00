//! Data that stages of the run make, beside the data that was there before it.
//!
//! A stage that makes data and a data set differ in nothing for whoever reads them: both have an id and problems. What a
//! stage has kept so far is a fact, so whoever remembers gives it back ([`r1x_core::Recorder::kept`]) to a run that goes
//! on; what was asked is in the data that the stage reads.

use std::collections::{BTreeMap, HashMap};

use r1x_core::plan::{RunPlan, StagePlan};
use r1x_core::select::Kept;
use r1x_core::{PortError, Problem, ProblemSource, Split};

use crate::draw::limited;
use crate::error::TrainError;
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
                    rejected: None,
                    ..problem.clone()
                };
                rows.extend(problems.iter().map(row));
            }
            data.add(&stage.id, rows);
        }
        Ok(data)
    }

    /// Adds what a stage had kept when the run was interrupted.
    ///
    /// # Errors
    /// When a problem that was answered is not in the data that the stage reads.
    pub(crate) fn restore(&mut self, stage: &StagePlan, kept: Vec<Kept>) -> Result<(), PortError> {
        let place = stage_place(&stage.id);
        let mut asked = HashMap::new();
        for reference in stage.kind.outline().data {
            for problem in limited(self, reference, &place)? {
                asked.insert((problem.data.as_str(), problem.key.as_str()), problem);
            }
        }
        let row = |kept: Kept| match asked.get(&(kept.data.as_str(), kept.key.as_str())).copied() {
            Some(problem) => Ok(kept.worked(&stage.id, problem)),
            None => {
                let (place, data, key) = (place.clone(), kept.data, kept.key);
                Err(TrainError::AskedNoMore { place, data, key }.into())
            }
        };
        let rows = kept.into_iter().map(row).collect::<Result<Vec<_>, PortError>>()?;
        self.add(&stage.id, rows);
        Ok(())
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
    use r1x_core::plan::StageKind;
    use r1x_core::testing::{self, ListedProblems};

    use super::*;

    fn kept(data: &str, key: &str) -> Kept {
        let (data, key) = (data.to_owned(), key.to_owned());
        Kept { data, key, text: "<think>4".to_owned(), tokens: vec![4, 0] }
    }

    #[test]
    fn what_was_kept_answers_the_problem_that_was_asked() {
        let form = PromptForm::Messages { prefill: "<think>".to_owned() };
        let asked = Problem { form: form.clone(), ..testing::problem("a", "2 + 2 <think>") };
        let given = ListedProblems(vec![testing::problem("b", "3"), asked.clone()]);
        let stage = testing::stage("harvest", StageKind::Reject(testing::reject(1)));
        let plan = testing::run(vec![stage.clone()]);
        let mut data = RunData::new(&plan, &given);
        data.restore(&stage, vec![kept("", "a")]).unwrap();
        let expected = Problem {
            data: "harvest".to_owned(),
            solution: Some("<think>4".to_owned()),
            solution_tokens: Some(vec![4, 0]),
            ..asked
        };
        assert_eq!(data.problems("harvest", Split::Train).unwrap(), [expected]);
        let error = data.restore(&stage, vec![kept("", "c")]).unwrap_err();
        assert!(error.message.contains("stage `harvest`") && error.message.contains("key c"));
    }
}
