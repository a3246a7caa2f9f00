-- Schema 8: what rejection sampling kept. A stage that makes data judges every rollout; the rollouts that it kept are
-- the rows of the data, so the data is a question to the store and has no copy.
--
-- A run that is made again is compared bit for bit with the earlier one, so what its kernels were is recorded with the
-- rest of its environment.

PRAGMA user_version = 8;

ALTER TABLE environment ADD COLUMN kernels TEXT;                   -- instructions of the kernels on the CPU

CREATE TABLE selection (
    rollout_id INTEGER PRIMARY KEY REFERENCES rollout ON DELETE CASCADE,
    dropped_by TEXT                                                -- the first filter it did not pass; NULL where it was kept
) STRICT;

CREATE VIEW v_selections AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, o.step, o.grp, o.sample, o.rollout_id,
       o.prompt_id, p.key AS prompt_key, p.text AS prompt, p.answer AS gold, x.text AS completion,
       o.reward, o.n_tokens, s.dropped_by IS NULL AS kept, s.dropped_by, g.data
  FROM run r JOIN stage st USING (run_id) JOIN rollout o USING (stage_id) JOIN selection s USING (rollout_id)
       JOIN prompt p USING (prompt_id) LEFT JOIN rollout_payload x USING (rollout_id)
       LEFT JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
 WHERE st.superseded_from IS NULL OR o.step < st.superseded_from;
