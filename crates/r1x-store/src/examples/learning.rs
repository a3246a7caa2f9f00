//! Questions about what was learnt, and from what.

use super::Example;

pub(super) const FORMAT_FIRST: Example = Example {
    name: "format-first",
    question: "Did format come before correctness?",
    reading: "Mean of each reward in every tenth of the training: the one that rises first was learnt first.",
    sql: "\
WITH span AS (SELECT max(step) / 10 + 1 AS width FROM v_reward_steps WHERE run = :run)
SELECT stage, step / width * width AS from_step,
       round(sum(total) FILTER (WHERE reward = 'format') / sum(judged) FILTER (WHERE reward = 'format'), 3) AS format,
       round(sum(total) FILTER (WHERE reward = 'equation') / sum(judged) FILTER (WHERE reward = 'equation'), 3)
           AS equation,
       round(sum(total) / sum(judged), 3) AS all_rewards
  FROM span, v_reward_steps
 WHERE run = :run
 GROUP BY stage_idx, from_step
 ORDER BY stage_idx, from_step",
};

pub(super) const NO_SIGNAL: Example = Example {
    name: "no-signal",
    question: "How much of the training taught nothing?",
    reading: "Groups whose rollouts all got the same total: too easy when it is the best one and above 0, else too hard.",
    sql: "\
WITH best AS (SELECT max(highest) AS reward, max(step) / 10 + 1 AS width FROM v_groups WHERE run = :run)
SELECT stage, step / width * width AS from_step, count(*) AS groups,
       sum(zero_signal) AS without_signal,
       sum(zero_signal AND highest >= best.reward AND highest > 0) AS too_easy,
       sum(zero_signal AND (highest < best.reward OR highest <= 0)) AS too_hard,
       round(avg(zero_signal), 3) AS share
  FROM best, v_groups
 WHERE run = :run
 GROUP BY stage_idx, from_step
 ORDER BY stage_idx, from_step",
};

pub(super) const ONE_PROMPT: Example = Example {
    name: "one-prompt",
    question: "How did the answers to one prompt change?",
    reading: "The prompt asked at the most steps: mean total, length and the best completion each time.",
    sql: "\
WITH chosen AS (
    SELECT prompt_id FROM v_groups WHERE run = :run
     GROUP BY prompt_id ORDER BY count(*) DESC, max(step) - min(step) DESC, prompt_id LIMIT 1)
SELECT stage, step, count(*) AS rollouts, round(avg(reward), 3) AS mean,
       round(avg(n_tokens), 1) AS tokens, max(reward) AS best, gold,
       substr(completion, 1, 80) AS best_completion, prompt
  FROM v_rollouts
 WHERE run = :run AND prompt_id = (SELECT prompt_id FROM chosen)
 GROUP BY stage_idx, step, grp
 ORDER BY stage_idx, step, grp",
};

pub(super) const COURSE: Example = Example {
    name: "course",
    question: "How did the numbers of training move?",
    reading: "A row for each tenth of a stage. An empty cell is a metric that the stage does not have, or that is not finite.",
    sql: "\
WITH span AS (SELECT stage_idx, max(step) / 10 + 1 AS width FROM v_steps WHERE run = :run GROUP BY stage_idx)
SELECT stage, step / width * width AS from_step,
       round(avg(value) FILTER (WHERE metric = 'reward.mean'), 3) AS reward,
       round(avg(value) FILTER (WHERE metric = 'loss'), 4) AS loss,
       round(avg(value) FILTER (WHERE metric = 'entropy'), 3) AS entropy,
       round(avg(value) FILTER (WHERE metric = 'tokens.mean'), 1) AS tokens,
       round(avg(value) FILTER (WHERE metric = 'truncated'), 3) AS truncated,
       round(avg(value) FILTER (WHERE metric = 'grad_norm'), 3) AS grad_norm
  FROM v_metrics JOIN span USING (stage_idx)
 WHERE run = :run AND metric IN ('reward.mean', 'loss', 'entropy', 'tokens.mean', 'truncated', 'grad_norm')
 GROUP BY stage_idx, from_step
 ORDER BY stage_idx, from_step",
};

pub(super) const NEVER_SOLVED: Example = Example {
    name: "never-solved",
    question: "Which problems were never solved?",
    reading: "No completion of these ever earned as much as the best one of the run, and more than 0; those tried most often \
              come first.",
    sql: "\
WITH best AS (SELECT max(highest) AS reward FROM v_groups WHERE run = :run)
SELECT stage, count(DISTINCT step) AS steps, sum(n) AS completions, round(max(highest), 3) AS best,
       round(sum(mean * n) / sum(n), 3) AS mean, gold, prompt
  FROM v_groups, best
 WHERE run = :run
 GROUP BY stage_idx, prompt_id
HAVING max(highest) < best.reward OR max(highest) <= 0
 ORDER BY completions DESC, mean, prompt_id
 LIMIT 20",
};

pub(super) const REPEATED: Example = Example {
    name: "repeated",
    question: "What does the model say again and again?",
    reading: "Completions that were written word for word most often among the newest 10 000 of each stage, with their share in \
              these.",
    sql: concat!(
        newest!(10000),
        "     said AS MATERIALIZED (
    SELECT o.stage_idx, o.stage, completion, count(*) AS times, count(DISTINCT prompt_id) AS prompts,
           round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY o.stage_idx), 2) AS percent,
           round(avg(reward), 3) AS mean_reward
      FROM newest CROSS JOIN v_rollouts o ON o.run = :run AND o.stage_idx = newest.stage_idx AND o.step >= newest.from_step
     WHERE completion IS NOT NULL
     GROUP BY o.stage_idx, completion)
SELECT stage, completion, times, prompts, percent, mean_reward
  FROM said
 WHERE times > 1
 ORDER BY times DESC, stage_idx, completion
 LIMIT 20"
    ),
};

pub(super) const SURPRISING: Example = Example {
    name: "surprising",
    question: "Which good completions did the model think unlikely?",
    reading: "What earned the most, and more than 0, while its tokens had the lowest log-prob on average: what reinforcement has to teach. \
              It is looked for among the newest 100 000 completions of each stage.",
    sql: concat!(
        newest!(100000),
        "     chosen AS MATERIALIZED (
    SELECT rollout_id, logp_sum / n_tokens AS logp_per_token
      FROM newest CROSS JOIN v_rollouts o ON o.run = :run AND o.stage_idx = newest.stage_idx AND o.step >= newest.from_step
     WHERE reward > 0 AND reward = (SELECT max(highest) FROM v_groups WHERE run = :run)
     ORDER BY logp_per_token, o.stage_idx, step, grp, sample LIMIT 20)
SELECT stage, step, grp, sample, round(reward, 3) AS reward, round(logp_per_token, 3) AS logp_per_token, n_tokens,
       substr(completion, 1, 80) AS completion
  FROM chosen JOIN v_rollouts USING (rollout_id)
 WHERE run = :run
 ORDER BY logp_per_token, stage_idx, step, grp, sample"
    ),
};

pub(super) const TIME: Example = Example {
    name: "time",
    question: "Where did the time go?",
    reading: "Seconds of each stage. A stage that was taken over has those of the run that computed it.",
    sql: "\
SELECT stage, kind, count(*) AS steps, round(total(gen_ms) / 1000, 1) AS sampling,
       round(total(reward_ms) / 1000, 1) AS rewards, round(total(train_ms) / 1000, 1) AS training,
       round(total(store_ms) / 1000, 1) AS store,
       round(1000.0 * (SELECT sum(n) FROM v_groups g WHERE g.run = :run AND g.stage_idx = t.stage_idx)
             / nullif(total(gen_ms), 0), 1) AS completions_per_second
  FROM v_steps t
 WHERE run = :run
 GROUP BY stage_idx
 ORDER BY stage_idx",
};
