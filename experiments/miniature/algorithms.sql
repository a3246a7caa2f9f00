WITH newest AS (
  SELECT run, seed, max(run_id) FROM v_runs WHERE status = 'done' AND spec LIKE '%miniature/algorithms.yaml' GROUP BY seed
),
arms(arm_place, stage, arm) AS (VALUES
  (1, 'start', 'before'),
  (2, 'grpo', 'GRPO'),
  (3, 'dr-grpo', 'Dr.GRPO'),
  (4, 'dapo', 'DAPO'),
  (5, 'gspo', 'GSPO'),
  (6, 'cispo', 'CISPO'),
  (7, 'rloo', 'RLOO'),
  (8, 'reinforce-pp', 'REINFORCE++'),
  (9, 'ppo', 'PPO, lambda 1'),
  (10, 'ppo-095', 'PPO, lambda 0.95')
),
figures(figure_place, suite, metric, figure) AS (VALUES
  (1, 'heldout', 'pass@1', 'right at one, %'),
  (2, 'heldout', 'pass@8', 'right among eight, %'),
  (3, 'form', 'pass@1', 'form kept, %')
)
SELECT arm, figure, run, 100 * value AS value
  FROM newest JOIN v_evals USING (run) JOIN arms USING (stage) JOIN figures USING (suite, metric)
  ORDER BY arm_place, figure_place, seed;
