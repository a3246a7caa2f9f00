-- Schema 3: what becomes of a reward's value on its way into the total and the advantage.
--
-- A reward that does not judge a problem has no row. Rows of schema 2 and before have NULL in the new columns:
-- then a value was its own term, weighted as its key says; the views tell it so.

PRAGMA user_version = 3;

ALTER TABLE reward ADD COLUMN clipped REAL;                        -- the value inside the reward's bounds
ALTER TABLE reward ADD COLUMN gate TEXT CHECK (gate IN ('open', 'closed', 'unknown')); -- NULL without a gate
ALTER TABLE reward ADD COLUMN counted REAL;                        -- the clipped value, or what the gate makes of it
ALTER TABLE reward ADD COLUMN weight REAL;                         -- at this step
ALTER TABLE reward ADD COLUMN normalized REAL;                     -- counted, compared with the group; NULL where totals are

ALTER TABLE rollout ADD COLUMN unclipped REAL;                     -- weighted total before its bounds; `reward` is inside

ALTER TABLE rollout_group ADD COLUMN data TEXT;                    -- id of the data set in the plan

ALTER TABLE eval_sample ADD COLUMN value REAL;                     -- what the grade said; `score` is what counts of it
ALTER TABLE eval_sample ADD COLUMN gate TEXT CHECK (gate IN ('open', 'closed', 'unknown'));

DROP VIEW v_rollouts;
CREATE VIEW v_rollouts AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, o.step, o.grp, o.sample, o.rollout_id,
       o.prompt_id, p.key AS prompt_key, p.text AS prompt, p.answer AS gold, x.text AS completion,
       o.reward, o.advantage, o.n_tokens, o.finish, o.logp_sum, o.ref_diff, o.entropy_mean,
       coalesce(o.unclipped, o.reward) AS unclipped, g.data
  FROM run r JOIN stage st USING (run_id) JOIN rollout o USING (stage_id) JOIN prompt p USING (prompt_id)
       LEFT JOIN rollout_payload x USING (rollout_id)
       LEFT JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
 WHERE st.superseded_from IS NULL OR o.step < st.superseded_from;

-- `contribution` is the reward's share in the total, `push` its share in the advantage before that is divided by
-- the deviation of the step.
DROP VIEW v_rewards;
CREATE VIEW v_rewards AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, o.step, o.grp, o.sample, o.rollout_id,
       k.name AS reward, w.value, coalesce(w.weight, k.weight) AS weight, w.status, w.parts, w.info, k.plugin_id,
       iif(w.weight IS NULL, w.value, w.clipped) AS clipped, w.gate,
       iif(w.weight IS NULL, w.value, w.counted) AS counted,
       coalesce(w.weight, k.weight) * iif(w.weight IS NULL, w.value, w.counted) AS contribution,
       w.normalized, w.weight * w.normalized AS push
  FROM run r JOIN stage st USING (run_id) JOIN rollout o USING (stage_id) JOIN reward w USING (rollout_id)
       JOIN reward_key k USING (key_id)
 WHERE st.superseded_from IS NULL OR o.step < st.superseded_from;

DROP VIEW v_groups;
CREATE VIEW v_groups AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, g.step, g.grp, g.prompt_id,
       p.text AS prompt, p.answer AS gold, g.zero_signal,
       count(*) AS n, avg(o.reward) AS mean, min(o.reward) AS lowest, max(o.reward) AS highest,
       avg(o.n_tokens) AS mean_tokens, avg(o.finish = 'length') AS truncated, g.data
  FROM run r JOIN stage st USING (run_id) JOIN rollout_group g USING (stage_id)
       JOIN prompt p ON p.prompt_id = g.prompt_id
       JOIN rollout o ON o.stage_id = g.stage_id AND o.step = g.step AND o.grp = g.grp
 WHERE st.superseded_from IS NULL OR g.step < st.superseded_from
 -- All columns people filter by stand here, so that a filter reaches the indices instead of the result.
 GROUP BY r.run_id, r.name, st.idx, st.name, g.step, g.grp, g.prompt_id, g.data, g.group_id;

DROP VIEW v_eval_samples;
CREATE VIEW v_eval_samples AS
SELECT r.run_id, r.name AS run, e.eval_id, e.label AS stage, e.step, e.suite, s.item, s.sample,
       p.key AS prompt_key, p.text AS prompt, p.answer AS gold, s.text AS completion, s.score, s.status,
       s.correct, s.n_tokens, s.finish, coalesce(s.value, s.score) AS value, s.gate
  FROM run r JOIN eval_run e USING (run_id) JOIN eval_sample s USING (eval_id) JOIN prompt p USING (prompt_id)
 WHERE e.superseded = 0;
