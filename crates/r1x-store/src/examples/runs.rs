//! Questions about runs beside each other.

use super::Example;

pub(super) const SAME_PLUGIN: Example = Example {
    name: "same-plugin",
    question: "Which runs used the same plugin builds?",
    reading: "Equal sha256 means equal bytes: rewards of these runs can be compared.",
    sql: "\
SELECT own.reward, own.plugin, own.version, substr(own.sha256, 1, 12) AS build, other.run, other.status,
       other.weight
  FROM v_plugins own JOIN v_plugins other ON other.sha256 = own.sha256
 WHERE own.run = :run
 ORDER BY own.reward, other.run_id",
};

pub(super) const SEEDS: Example = Example {
    name: "seeds",
    question: "What do the runs of one plan with other seeds come to?",
    reading: "The last value of each figure, over all runs of the file that the run was made from, but for those that were made again to be \
              compared.",
    sql: "\
WITH own AS (SELECT spec FROM v_runs WHERE run = :run),
     last AS (
    SELECT run, suite, metric, value, row_number() OVER (PARTITION BY run, suite, metric ORDER BY eval_id DESC) AS back
      FROM v_evals WHERE run IN (
          SELECT run FROM v_runs WHERE spec IS (SELECT spec FROM own)
             AND run_id NOT IN (SELECT run_id FROM run WHERE relation = 'reproduce')))
SELECT suite, metric, count(*) AS runs, count(DISTINCT seed) AS seeds, round(avg(value), 4) AS mean,
       round(min(value), 4) AS lowest, round(max(value), 4) AS highest
  FROM last JOIN v_runs USING (run)
 WHERE back = 1
 GROUP BY suite, metric
 ORDER BY suite, metric",
};

pub(super) const REPEATED_RUNS: Example = Example {
    name: "repeated-runs",
    question: "Do runs of one plan have one digest?",
    reading: "Runs with the plan of the run: where builds, devices and kernels are equal, their digests have to be. A run \
              that has not ended has none.",
    sql: "\
SELECT other.run, other.status, substr(other.digest, 1, 12) AS digest, other.digest IS own.digest AS equal,
       other.r1x_version, substr(other.git_commit, 1, 8) AS git_commit, other.device, other.threads
  FROM v_runs own JOIN v_runs other USING (plan_sha256)
 WHERE own.run = :run
 ORDER BY other.run_id",
};

pub(super) const ORIGINS: Example = Example {
    name: "origins",
    question: "Where does each stage come from?",
    reading: "The stages of a run with what they left, and the run from which a stage was taken over.",
    sql: "\
SELECT s.stage, s.kind, s.status, s.steps, s.attempt AS attempts,
       coalesce(s.reused_from_run, s.reused_from) AS taken_over_from,
       substr(s.weights_sha256, 1, 12) AS weights,
       (SELECT count(*) FROM v_checkpoints c WHERE c.run = s.run AND c.stage_idx = s.stage_idx) AS checkpoints
  FROM v_stages s
 WHERE s.run = :run
 ORDER BY s.stage_idx",
};
