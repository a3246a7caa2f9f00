WITH newest AS (
  SELECT run, seed, max(run_id) FROM v_runs WHERE status = 'done' AND spec LIKE '%miniature/reasoning.yaml' GROUP BY seed
),
arms(arm_place, stage, arm) AS (VALUES
  (1, 'start', 'large, start'),
  (2, 'rl', 'large, RL'),
  (3, 'student-start', 'small, start'),
  (4, 'student-rl', 'small, start and RL'),
  (5, 'distilled', 'small, distilled')
),
figures(figure_place, suite, metric, figure) AS (VALUES
  (1, 'heldout', 'pass@1', 'right at one, %'),
  (2, 'heldout', 'pass@8', 'right among eight, %')
)
SELECT arm, figure, run, value FROM (
  SELECT arm_place, arm, figure_place, figure, run, seed, 100 * value AS value
    FROM newest JOIN v_evals USING (run) JOIN arms USING (stage) JOIN figures USING (suite, metric)
  UNION ALL
  SELECT arm_place, arm, 9, 'tokens learnt in the stage, thousands', run, seed, sum(value) / 1000
    FROM newest JOIN v_metrics USING (run) JOIN arms USING (stage)
   WHERE metric = 'tokens' GROUP BY arm_place, arm, run, seed
)
  ORDER BY arm_place, figure_place, seed;
