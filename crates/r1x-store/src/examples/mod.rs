//! Questions that people ask of a training run, with the queries that answer them: those they ask first come first.
//!
//! Each is one statement on the views, about the run `:run`.

/// The beginning of a query: the first step of the newest completions of each stage, about so many of them, as the table
/// `newest` of `stage_idx` and `from_step`. Whole steps are counted, so there are a few more.
macro_rules! newest {
    ($completions:literal) => {
        concat!(
            "WITH newest AS MATERIALIZED (\n",
            "    SELECT stage_idx, min(step) AS from_step\n",
            "      FROM (SELECT stage_idx, step, sum(n) AS own, sum(sum(n)) OVER (PARTITION BY stage_idx ORDER BY step DESC) AS newer\n",
            "              FROM v_groups WHERE run = :run GROUP BY stage_idx, step)\n",
            "     WHERE newer - own < ",
            $completions,
            "\n     GROUP BY stage_idx),\n"
        )
    };
}

mod evaluations;
mod learning;
mod rewards;
mod runs;

/// A question and its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// Name on the command line.
    pub name: &'static str,
    /// The question.
    pub question: &'static str,
    /// How to read the answer.
    pub reading: &'static str,
    /// The query; `:run` is the name of a run.
    pub sql: &'static str,
}

/// The example of that name.
pub fn find(name: &str) -> Option<&'static Example> {
    EXAMPLES.iter().find(|example| example.name == name)
}

/// All examples.
pub const EXAMPLES: [Example; 20] = [
    learning::FORMAT_FIRST,
    rewards::HACKING,
    learning::NO_SIGNAL,
    learning::ONE_PROMPT,
    runs::SAME_PLUGIN,
    rewards::PLUGIN_FAILURES,
    learning::COURSE,
    learning::NEVER_SOLVED,
    learning::REPEATED,
    learning::SURPRISING,
    learning::TIME,
    rewards::TOTALS,
    rewards::DISAGREE,
    rewards::FILTERS,
    evaluations::SCORES,
    evaluations::UNLEARNT,
    evaluations::UNSOLVED,
    runs::SEEDS,
    runs::REPEATED_RUNS,
    runs::ORIGINS,
];
