-- Schema 6: what a checkpoint's state must be. The hash of the weights was recorded from the beginning; this one is
-- of `state.json`, which names the place in the run and the hashes of all that is beside it.
--
-- Checkpoints of schema 5 and before have none, and are compared by their weights and their place alone.

PRAGMA user_version = 6;

ALTER TABLE checkpoint ADD COLUMN state_sha256 TEXT;

DROP VIEW v_checkpoints;
-- A file may be replaced by a later checkpoint of the same path, or belong to steps computed anew.
CREATE VIEW v_checkpoints AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, c.step, c.kind, c.path, c.sha256, c.bytes,
       c.created_ms, c.checkpoint_id, c.state_sha256
  FROM run r JOIN stage st USING (run_id) JOIN checkpoint c USING (stage_id)
 WHERE (st.superseded_from IS NULL OR c.step <= st.superseded_from)
   AND NOT EXISTS (SELECT 1 FROM stage st2 JOIN checkpoint c2 USING (stage_id)
                    WHERE st2.run_id = st.run_id AND c2.path = c.path AND c2.checkpoint_id > c.checkpoint_id);
