-- Schema 8: what rejection sampling kept. A stage that makes data judges every rollout; the rollouts that it kept are
-- the rows of the data, so the data is a question to the store and has no copy.
--
-- A run that is made again is compared bit for bit with the earlier one, so what its kernels were is recorded with the
-- rest of its environment.
--
-- Rows can be compared with what was written: a step and an evaluation have a hash over their rows as SQLite gives them
-- back. (`facts_sha256` is over facts as they were computed, of which a plan may record less; and SQLite keeps no sign
-- of a zero.) Steps and evaluations of schema 7 and before have none.
--
-- What a person says about a run (tags, a note) stands beside its facts.

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

ALTER TABLE step ADD COLUMN rows_sha256 TEXT;                      -- of its rows, as they are read
ALTER TABLE eval_run ADD COLUMN rows_sha256 TEXT;                  -- likewise

ALTER TABLE run ADD COLUMN note TEXT;                              -- of a person

CREATE TABLE run_tag (
    run_id INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    word   TEXT NOT NULL,
    given  INTEGER NOT NULL CHECK (given IN (0, 1)),               -- 0 where a tag of the spec was taken away
    PRIMARY KEY (run_id, word)
) STRICT, WITHOUT ROWID;

-- Tags are those of the spec without the ones that were taken away, and the ones that were given later.
DROP VIEW v_runs;
CREATE VIEW v_runs AS
SELECT r.run_id, r.name AS run, r.uid, r.status,
       datetime(r.started_ms / 1000, 'unixepoch') AS started,
       (SELECT total(coalesce(t.ended_ms, r.heartbeat_ms) - t.started_ms) / 1000.0
          FROM sitting t WHERE t.run_id = r.run_id) AS seconds,
       s.source_path AS spec, r.seed, r.digest, r.plan_sha256, r.exit_code, r.error,
       e.r1x_version, e.git_commit, e.git_dirty, e.device, e.threads,
       (SELECT count(*) FROM sitting t WHERE t.run_id = r.run_id) AS sittings,
       (SELECT json_group_array(word) FROM (
            SELECT t.value AS word FROM json_each(s.plan_json, '$.tags') t
             WHERE NOT EXISTS (SELECT 1 FROM run_tag g WHERE g.run_id = r.run_id AND g.word = t.value)
             UNION ALL
            SELECT g.word FROM run_tag g WHERE g.run_id = r.run_id AND g.given = 1)) AS tags,
       s.overrides, r.note
  FROM run r JOIN spec s USING (spec_id) JOIN environment e USING (env_id);
