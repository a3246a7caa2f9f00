//! Questions about rewards and what they decide.

use super::Example;

pub(super) const HACKING: Example = Example {
    name: "hacking",
    question: "Which rollouts look like reward hacking?",
    reading: "Well-formed and paid for it, yet wrong, and longer than their group: the most stretched of the newest \
              100 000 completions of each stage first.",
    sql: concat!(
        newest!(100000),
        "     stretched AS MATERIALIZED (
    SELECT rollout_id, n_tokens / mean_tokens AS times_group
      FROM newest CROSS JOIN v_groups g ON g.stage_idx = newest.stage_idx AND g.step >= newest.from_step
           JOIN v_rollouts o ON o.run_id = g.run_id AND o.stage_idx = g.stage_idx AND o.step = g.step AND o.grp = g.grp
     WHERE g.run = :run AND highest > 0 AND o.reward > 0 AND n_tokens > mean_tokens
       AND EXISTS (SELECT 1 FROM v_rewards w
                    WHERE w.rollout_id = o.rollout_id AND w.reward = 'format' AND w.value > 0)
       AND NOT EXISTS (SELECT 1 FROM v_rewards w
                        WHERE w.rollout_id = o.rollout_id AND w.reward = 'equation' AND w.value > 0)
     ORDER BY times_group DESC, o.step, o.grp, sample
     LIMIT 20)
SELECT step, grp, sample, round(reward, 3) AS reward, n_tokens, round(times_group, 2) AS times_group,
       (SELECT max(w.info) FROM v_rewards w WHERE w.rollout_id = o.rollout_id AND w.reward = 'equation') AS why,
       gold, substr(completion, 1, 80) AS completion
  FROM stretched JOIN v_rollouts o USING (rollout_id)
 WHERE run = :run
 ORDER BY stretched.times_group DESC, step, grp, sample"
    ),
};

pub(super) const PLUGIN_FAILURES: Example = Example {
    name: "plugin-failures",
    question: "How did scoring end, and where did plugins fail?",
    reading: "Anything but `ok` and `abstain` is a failure; a rollout without a value is not one with 0. \
              `during` is the stage that trained on the rollouts, or the suite that evaluated them.",
    sql: "\
WITH said AS (
    SELECT reward, stage AS during, status, step, rollouts, example FROM v_reward_steps WHERE run = :run
     UNION ALL
    SELECT reward, suite, status, step, 1, info FROM v_eval_rewards WHERE run = :run)
SELECT reward, during, status, sum(rollouts) AS rollouts,
       round(100.0 * sum(rollouts) / sum(sum(rollouts)) OVER (PARTITION BY reward, during), 2) AS percent,
       min(step) AS first_step, max(step) AS last_step, max(example) AS for_example
  FROM said
 GROUP BY reward, during, status
 ORDER BY reward, during, rollouts DESC",
};

pub(super) const TOTALS: Example = Example {
    name: "totals",
    question: "What does each reward add to the total?",
    reading: "`adds` is what the total of a rollout gets from the reward, `value` the mean of its values, and `judged` the \
              share of rollouts that have one.",
    sql: "\
WITH span AS (SELECT max(step) / 10 + 1 AS width FROM v_reward_steps WHERE run = :run)
SELECT stage, step / width * width AS from_step, reward, round(total(adds) / sum(rollouts), 4) AS adds,
       round(sum(total) / sum(judged), 4) AS value, round(1.0 * sum(judged) / sum(rollouts), 4) AS judged
  FROM span, v_reward_steps
 WHERE run = :run
 GROUP BY stage_idx, from_step, reward
 ORDER BY stage_idx, from_step, reward",
};

pub(super) const DISAGREE: Example = Example {
    name: "disagree",
    question: "Where do two rewards disagree?",
    reading: "How often one reward was at its best while another one was at its worst, among the newest 20 000 completions \
              of each stage.",
    sql: concat!(
        newest!(20000),
        "     bounds AS MATERIALIZED (
    SELECT reward, min(lowest) AS worst, max(highest) AS best FROM v_reward_steps WHERE run = :run GROUP BY reward),
     said AS MATERIALIZED (
    SELECT rollout_id, reward, value <= worst AS low, value >= best AS high
      FROM newest CROSS JOIN v_rewards w ON w.run = :run AND w.stage_idx = newest.stage_idx AND w.step >= newest.from_step
           JOIN bounds USING (reward)
     WHERE value IS NOT NULL AND worst < best)
SELECT a.reward AS liked_by, b.reward AS not_by, count(*) AS rollouts_judged, sum(a.high AND b.low) AS disagree,
       round(100.0 * avg(a.high AND b.low), 2) AS percent, min(iif(a.high AND b.low, a.rollout_id, NULL)) AS for_example
  FROM said a JOIN said b USING (rollout_id)
 WHERE a.reward <> b.reward
 GROUP BY a.reward, b.reward
 ORDER BY disagree DESC, liked_by, not_by"
    ),
};

pub(super) const FILTERS: Example = Example {
    name: "filters",
    question: "What did rejection sampling keep, and what did each filter drop?",
    reading: "Completions by the first filter that they did not pass; `kept` are the rows of the data made.",
    sql: "\
SELECT stage, coalesce(dropped_by, 'kept') AS verdict, count(*) AS completions, count(DISTINCT prompt_id) AS prompts,
       round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY stage_idx), 2) AS percent,
       round(avg(n_tokens), 1) AS tokens
  FROM v_selections
 WHERE run = :run
 GROUP BY stage_idx, verdict
 ORDER BY stage_idx, completions DESC",
};
