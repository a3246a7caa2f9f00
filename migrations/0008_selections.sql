-- Schema 8: what rejection sampling kept, which stages are equal, sweeps, and what keeps a store in order.
--
-- A stage that makes data judges every rollout; the rollouts that it kept are the rows of the data, so the data is a
-- question to the store and has no copy.
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

-- Stages of equal keys leave equal facts, so a run may take a stage over that an earlier run has run. Its facts are copied:
-- a run is whole by itself.
ALTER TABLE stage ADD COLUMN key_sha256 TEXT;                      -- over all that its facts depend on; NULL where it was not known
ALTER TABLE stage ADD COLUMN reused_from TEXT;                     -- uid of the run whose stage it is a copy of; NULL where it was run
CREATE INDEX stage_key ON stage (key_sha256) WHERE key_sha256 IS NOT NULL;

CREATE VIEW v_stages AS
SELECT r.run_id, r.name AS run, st.stage_id, st.idx AS stage_idx, st.name AS stage, st.kind, st.status, st.attempt,
       (SELECT count(*) FROM v_steps t WHERE t.run_id = st.run_id AND t.stage_idx = st.idx) AS steps,
       st.weights_sha256, st.key_sha256, st.reused_from,
       (SELECT o.name FROM run o WHERE o.uid = st.reused_from) AS reused_from_run, st.started_ms, st.ended_ms
  FROM run r JOIN stage st USING (run_id)
 WHERE st.superseded_from IS NOT -1
   AND st.attempt = (SELECT max(l.attempt) FROM stage l WHERE l.run_id = st.run_id AND l.idx = st.idx);

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
