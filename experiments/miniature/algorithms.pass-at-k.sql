WITH newest AS (
  SELECT run, seed, max(run_id) FROM v_runs WHERE status = 'done' AND spec LIKE '%miniature/algorithms.yaml' GROUP BY seed
),
arms(arm_place, stage, arm) AS (VALUES
  (1, 'start', 'before'),
  (2, 'grpo', 'GRPO'),
  (3, 'clip-higher', 'upper bound of 0.28'),
  (4, 'large-groups', 'groups of 32'),
  (5, 'entropy-bonus', 'entropy bonus of 0.01')
),
figures(figure_place, suite, metric, figure) AS (VALUES
  (1, 'heldout', 'pass@1', 'right at one, %'),
  (2, 'heldout', 'pass@8', 'right among eight, %')
)
SELECT arm, figure, run, value FROM (
  SELECT arm_place, arm, figure_place, figure, run, seed, 100 * value AS value
    FROM newest JOIN v_evals USING (run) JOIN arms USING (stage) JOIN figures USING (suite, metric)
  UNION ALL
  SELECT arm_place, arm, 3, 'different right answers to a problem, of eight', run, seed, avg(answers)
    FROM (SELECT run, seed, stage, item, count(DISTINCT completion) AS answers
            FROM newest JOIN v_eval_samples USING (run) WHERE suite = 'heldout' AND correct GROUP BY run, seed, stage, item)
    JOIN arms USING (stage) GROUP BY arm_place, arm, run, seed
)
  ORDER BY arm_place, figure_place, seed;
