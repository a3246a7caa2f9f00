WITH newest AS (
  SELECT run, seed, max(run_id) FROM v_runs WHERE status = 'done' AND spec LIKE '%miniature/balance.yaml' GROUP BY seed
),
arms(arm_place, stage, arm) AS (VALUES
  (1, 'start', 'nothing'),
  (2, 'with-loss', 'a loss'),
  (3, 'loss-free', 'a bias'),
  (4, 'start-rl', 'nothing, RL'),
  (5, 'with-loss-rl', 'a loss, RL'),
  (6, 'loss-free-rl', 'a bias, RL')
),
figures(figure_place, suite, metric, figure) AS (VALUES
  (1, 'heldout', 'pass@1', 'right at one, %'),
  (2, 'heldout', 'pass@8', 'right among eight, %')
),
loads(load_place, metric, load, factor) AS (VALUES
  (3, 'moe.max_vio.mean', 'largest load over the mean, less 1 (MaxVio)', 1),
  (4, 'moe.min_vio.mean', 'smallest load over the mean, less 1', 1),
  (5, 'moe.utilisation.mean', 'experts with any load, %', 100),
  (6, 'moe.dead.mean', 'experts below a tenth of the mean, %', 100)
)
SELECT arm, figure, run, value FROM (
  SELECT arm_place, arm, figure_place, figure, run, seed, 100 * value AS value
    FROM newest JOIN v_evals USING (run) JOIN arms USING (stage) JOIN figures USING (suite, metric)
  UNION ALL
  SELECT arm_place, arm, load_place, load, run, seed, factor * avg(value)
    FROM newest JOIN v_metrics USING (run) JOIN arms USING (stage) JOIN loads USING (metric)
   GROUP BY arm_place, arm, load_place, run, seed
)
  ORDER BY arm_place, figure_place, seed;
