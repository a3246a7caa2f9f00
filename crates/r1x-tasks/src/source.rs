//! All data sets of a plan, behind the `ProblemSource` port.

use std::collections::BTreeMap;

use r1x_core::plan::RunPlan;
use r1x_core::{Markup, PortError, Problem, ProblemSource, Split};

use crate::dataset::{DataSet, load};
use crate::error::TaskError;

/// The loaded data sets of a run.
#[derive(Clone, Debug)]
pub struct Problems {
    sets: BTreeMap<String, DataSet>,
}

impl Problems {
    /// Loads every data set of the plan, with the markup of its model.
    ///
    /// # Errors
    /// The first data set that cannot be generated or read.
    pub fn load(plan: &RunPlan, markup: &Markup) -> Result<Self, TaskError> {
        let sets = plan.data.iter().map(|(id, data)| Ok((id.clone(), load(id, data, markup)?)));
        Ok(Self { sets: sets.collect::<Result<_, TaskError>>()? })
    }

    /// The problems of data sets that are loaded already, by their ids.
    pub fn of(sets: BTreeMap<String, DataSet>) -> Self {
        Self { sets }
    }

    /// Data sets by id, in the order of their ids.
    pub fn sets(&self) -> impl Iterator<Item = (&str, &DataSet)> {
        self.sets.iter().map(|(id, set)| (id.as_str(), set))
    }
}

impl ProblemSource for Problems {
    fn problems(&self, data: &str, split: Split) -> Result<&[Problem], PortError> {
        let set = self.sets.get(data).ok_or_else(|| TaskError::UnknownData {
            id: data.to_owned(),
            known: self.sets.keys().cloned().collect(),
        })?;
        Ok(match split {
            Split::Train => &set.train,
            Split::Heldout => &set.heldout,
        })
    }

    fn origin(&self, problem: &Problem) -> String {
        let line = self.sets.get(&problem.data).and_then(|set| set.line_of(problem));
        line.unwrap_or_else(|| problem.shown())
    }
}

#[cfg(test)]
mod tests {
    use r1x_core::plan::{CountdownPlan, DataPlan, PromptPlan, SourcePlan};
    use r1x_core::testing;

    use super::*;

    fn plan(min_count: usize) -> RunPlan {
        let countdown = CountdownPlan {
            min_count,
            max_count: 3,
            train: 20,
            heldout: 5,
            ..testing::countdown()
        };
        let prompt = PromptPlan::text("{{ target }}");
        let data = DataPlan { source: SourcePlan::Countdown(countdown), prompt };
        RunPlan { data: BTreeMap::from([("game".to_owned(), data)]), ..testing::run(Vec::new()) }
    }

    #[test]
    fn problems_come_by_data_set_and_split() {
        let problems = Problems::load(&plan(2), &Markup::default()).unwrap();
        assert_eq!(problems.problems("game", Split::Train).unwrap().len(), 20);
        assert_eq!(problems.problems("game", Split::Heldout).unwrap().len(), 5);
        let sets: Vec<_> = problems.sets().map(|(id, set)| (id, set.sha256.len())).collect();
        assert_eq!(sets, [("game", 64)]);
        let error = problems.problems("games", Split::Train).unwrap_err();
        assert_eq!(error.message, "there is no data set `games`");
        assert_eq!(error.hint.as_deref(), Some("the plan has `game`"));
        assert_eq!(error.boundary, r1x_core::Boundary::Data);
    }

    #[test]
    fn an_error_names_the_data_set() {
        let error = Problems::load(&plan(1), &Markup::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the data `game` cannot be used: a problem cannot have 1 to 3 numbers"
        );
        assert_eq!(error.hint(), "choose counts from 2 to 6");
    }
}
