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

-- A sweep: several runs of one spec, one for each combination of the values that keys take.
CREATE TABLE sweep (
    sweep_id   INTEGER PRIMARY KEY,
    uid        TEXT NOT NULL UNIQUE,                               -- UUIDv7: sorts by time
    name       TEXT NOT NULL UNIQUE,                               -- experiment-sweep-adjective-animal
    experiment TEXT NOT NULL,                                      -- name of the experiment in the spec
    paths      TEXT NOT NULL CHECK (json_valid(paths)),            -- list of the paths that are varied
    started_ms INTEGER NOT NULL
) STRICT;

-- What a sweep is to run, whether or not it has begun.
CREATE TABLE sweep_member (
    member_id   INTEGER PRIMARY KEY,
    sweep_id    INTEGER NOT NULL REFERENCES sweep ON DELETE CASCADE,
    idx         INTEGER NOT NULL,                                  -- position in the sweep, from 0
    combination TEXT NOT NULL CHECK (json_valid(combination)),     -- object of a value for each path
    plan_sha256 TEXT NOT NULL,
    UNIQUE (sweep_id, idx),
    UNIQUE (sweep_id, plan_sha256)
) STRICT;

-- Which runs were begun for it; the last one counts.
CREATE TABLE sweep_run (
    run_id    INTEGER PRIMARY KEY REFERENCES run ON DELETE CASCADE,
    member_id INTEGER NOT NULL REFERENCES sweep_member ON DELETE CASCADE
) STRICT;
CREATE INDEX sweep_run_member ON sweep_run (member_id);

CREATE VIEW v_sweeps AS
SELECT w.sweep_id, w.name AS sweep, m.idx AS member, m.combination, m.plan_sha256, r.run_id, r.name AS run,
       r.status, r.seed, r.digest
  FROM sweep w JOIN sweep_member m USING (sweep_id)
       LEFT JOIN (SELECT member_id, max(run_id) AS run_id FROM sweep_run GROUP BY member_id) newest USING (member_id)
       LEFT JOIN run r ON r.run_id = newest.run_id;
