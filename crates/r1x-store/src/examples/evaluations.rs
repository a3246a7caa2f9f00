//! Questions about evaluations.

use super::Example;

pub(super) const SCORES: Example = Example {
    name: "scores",
    question: "How did the evaluations come out?",
    reading: "Every figure of every suite in the order in which they were made; `change` is against the time before.",
    sql: "\
SELECT suite, metric, stage, step, round(value, 4) AS value, round(stderr, 4) AS stderr,
       round(value - lag(value) OVER (PARTITION BY suite, metric ORDER BY eval_id), 4) AS change, n_items, n_samples
  FROM v_evals
 WHERE run = :run
 ORDER BY suite, metric, eval_id",
};

pub(super) const UNLEARNT: Example = Example {
    name: "unlearnt",
    question: "Which problems of a suite were solved more often before than at the end?",
    reading: "Share of right samples in the best evaluation of each problem and in the last one; the largest losses first.",
    sql: "\
WITH last AS (SELECT suite, max(eval_id) AS eval_id FROM v_evals WHERE run = :run GROUP BY suite),
     said AS MATERIALIZED (
    SELECT suite, eval_id, item, gold, avg(correct) AS share, min(completion) AS completion
      FROM v_eval_samples WHERE run = :run GROUP BY suite, eval_id, item),
     best AS (SELECT suite, item, max(share) AS share FROM said GROUP BY suite, item)
SELECT suite, item, round(best.share, 3) AS at_best, round(said.share, 3) AS at_the_end, gold,
       substr(completion, 1, 80) AS for_example
  FROM last JOIN said USING (suite, eval_id) JOIN best USING (suite, item)
 WHERE said.share < best.share
 ORDER BY said.share - best.share, suite, item
 LIMIT 20",
};

pub(super) const UNSOLVED: Example = Example {
    name: "unsolved",
    question: "Which problems of a suite did no sample solve?",
    reading: "In the last evaluation of each suite, with the best score that any sample had.",
    sql: "\
WITH last AS (SELECT suite, max(eval_id) AS eval_id FROM v_evals WHERE run = :run GROUP BY suite)
SELECT suite, item, count(*) AS samples, round(max(score), 3) AS best_score, gold, prompt,
       substr(min(completion), 1, 80) AS for_example
  FROM last JOIN v_eval_samples USING (suite, eval_id)
 WHERE run = :run
 GROUP BY suite, item
HAVING max(correct) = 0
 ORDER BY suite, best_score DESC, item
 LIMIT 50",
};
