WITH newest AS (
  SELECT run, seed, max(run_id) FROM v_runs WHERE status = 'done' AND spec LIKE '%miniature/readable.yaml' GROUP BY seed
),
arms(arm_place, stage, arm) AS (VALUES
  (1, 'start', 'base'),
  (2, 'zero-rl', 'RL'),
  (3, 'zero-rl-language', 'RL, one language'),
  (4, 'cold-start', 'cold start'),
  (5, 'cold-rl', 'cold start, RL'),
  (6, 'cold-rl-language', 'cold start, RL, one language')
),
figures(figure_place, suite, metric, figure) AS (VALUES
  (1, 'letters', 'pass@1', 'right, %'),
  (2, 'one-language', 'pass@1', 'thoughts in the language asked, %')
)
SELECT arm, figure, run, 100 * value AS value
  FROM newest JOIN v_evals USING (run) JOIN arms USING (stage) JOIN figures USING (suite, metric)
  ORDER BY arm_place, figure_place, seed;
