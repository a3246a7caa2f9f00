//! Six questions people ask of a training run first, with the queries that answer them.
//!
//! Each is one statement on the views, about the run `:run`.

/// A question and its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// Name on the command line.
    pub name: &'static str,
    /// The question.
    pub question: &'static str,
    /// How to read the answer.
    pub reading: &'static str,
    /// The query; `:run` is the name of a run.
    pub sql: &'static str,
}

/// The example of that name.
pub fn find(name: &str) -> Option<&'static Example> {
    EXAMPLES.iter().find(|example| example.name == name)
}

/// All examples.
pub const EXAMPLES: [Example; 6] = [
    Example {
        name: "format-first",
        question: "Did format come before correctness?",
        reading: "Mean of each reward in every tenth of the training: the one that rises first was learnt first.",
        sql: "\
WITH span AS (SELECT max(step) / 10 + 1 AS width FROM v_rollouts WHERE run = :run)
SELECT stage, step / width * width AS from_step,
       round(avg(value) FILTER (WHERE reward = 'format'), 3) AS format,
       round(avg(value) FILTER (WHERE reward = 'equation'), 3) AS equation,
       round(avg(value), 3) AS all_rewards
  FROM span, v_rewards
 WHERE run = :run
 GROUP BY stage_idx, from_step
 ORDER BY stage_idx, from_step",
    },
    Example {
        name: "hacking",
        question: "Which rollouts look like reward hacking?",
        reading: "Well-formed and paid for it, yet wrong, and longer than their group: the most stretched first.",
        sql: "\
WITH said AS (
    SELECT rollout_id,
           max(value) FILTER (WHERE reward = 'format') AS format,
           max(value) FILTER (WHERE reward = 'equation') AS equation,
           max(info) FILTER (WHERE reward = 'equation') AS why
      FROM v_rewards WHERE run = :run GROUP BY rollout_id),
     usual AS MATERIALIZED (SELECT stage_idx, step, grp, mean_tokens FROM v_groups WHERE run = :run)
SELECT o.step, o.grp, o.sample, round(o.reward, 3) AS reward, o.n_tokens,
       round(o.n_tokens / mean_tokens, 2) AS times_group, said.why, o.gold,
       substr(o.completion, 1, 80) AS completion
  FROM said JOIN v_rollouts o USING (rollout_id) JOIN usual USING (stage_idx, step, grp)
 WHERE o.reward > 0 AND said.format > 0 AND coalesce(said.equation, 0) <= 0 AND o.n_tokens > mean_tokens
 ORDER BY times_group DESC, o.step, o.grp, o.sample
 LIMIT 20",
    },
    Example {
        name: "no-signal",
        question: "How much of the training taught nothing?",
        reading: "Groups whose rollouts all got the same total: too easy when it is the best one, else too hard.",
        sql: "\
WITH best AS (SELECT max(reward) AS reward FROM v_rollouts WHERE run = :run),
     span AS (SELECT max(step) / 10 + 1 AS width FROM v_rollouts WHERE run = :run)
SELECT stage, step / width * width AS from_step, count(*) AS groups,
       sum(zero_signal) AS without_signal,
       sum(zero_signal AND highest >= best.reward) AS too_easy,
       sum(zero_signal AND highest < best.reward) AS too_hard,
       round(avg(zero_signal), 3) AS share
  FROM span, best, v_groups
 WHERE run = :run
 GROUP BY stage_idx, from_step
 ORDER BY stage_idx, from_step",
    },
    Example {
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
    },
    Example {
        name: "same-plugin",
        question: "Which runs used the same plugin builds?",
        reading: "Equal sha256 means equal bytes: rewards of these runs can be compared.",
        sql: "\
SELECT own.reward, own.plugin, own.version, substr(own.sha256, 1, 12) AS build, other.run, other.status,
       other.weight
  FROM v_plugins own JOIN v_plugins other ON other.sha256 = own.sha256
 WHERE own.run = :run
 ORDER BY own.reward, other.run_id",
    },
    Example {
        name: "plugin-failures",
        question: "How did scoring end, and where did plugins fail?",
        reading: "Anything but `ok` and `abstain` is a failure; a rollout without a value is not one with 0. \
                  `during` is the stage that trained on the rollouts, or the suite that evaluated them.",
        sql: "\
WITH said AS (
    SELECT reward, stage AS during, status, step, info FROM v_rewards WHERE run = :run
     UNION ALL
    SELECT reward, suite, status, step, info FROM v_eval_rewards WHERE run = :run)
SELECT reward, during, status, count(*) AS rollouts,
       round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY reward, during), 2) AS percent,
       min(step) AS first_step, max(step) AS last_step, max(info) AS for_example
  FROM said
 GROUP BY reward, during, status
 ORDER BY reward, during, rollouts DESC",
    },
];
