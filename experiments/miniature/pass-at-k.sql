WITH newest AS (
  SELECT run, seed, max(run_id) FROM v_runs WHERE status = 'done' AND spec LIKE '%miniature/pass-at-k.yaml' GROUP BY seed
),
arms(arm_place, stage, arm) AS (VALUES
  (1, 'start', 'before'),
  (2, 'grpo', 'GRPO'),
  (3, 'clip-higher', 'clip higher'),
  (4, 'large-groups', 'groups of 32')
),
figures(figure_place, suite, metric, figure) AS (VALUES
  (1, 'heldout', 'pass@1', 'right at one, %'),
  (2, 'heldout', 'pass@8', 'right among eight, %')
)
SELECT arm, figure, run, 100 * value AS value
  FROM newest JOIN v_evals USING (run) JOIN arms USING (stage) JOIN figures USING (suite, metric)
  ORDER BY arm_place, figure_place, seed;
