-- Schema 4: how long a run was worked on, how each stage ended, and what every reward said in an evaluation.

PRAGMA user_version = 4;

-- One process that worked on a run. A run that was never interrupted has one; every resume adds one.
CREATE TABLE sitting (
    run_id     INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    number     INTEGER NOT NULL,                                   -- from 1
    folder     TEXT,                                               -- where it was started: relative paths of the plan begin here
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER,                                            -- NULL while it lasts
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;

-- Earlier schemas did not record when a process ended that was followed by another one: a sitting begins where a
-- stage was attempted again, and the one before it ended with the last fact before that.
INSERT INTO sitting (run_id, number, started_ms, ended_ms)
WITH begun AS (
         SELECT run_id, started_ms FROM run
          UNION SELECT run_id, started_ms FROM stage WHERE attempt > 1),
     numbered AS (
         SELECT run_id, started_ms, row_number() OVER runs AS number, lead(started_ms) OVER runs AS next
           FROM begun WINDOW runs AS (PARTITION BY run_id ORDER BY started_ms))
SELECT n.run_id, n.number, n.started_ms,
       CASE WHEN n.next IS NULL THEN r.ended_ms
            ELSE max(n.started_ms,
                 coalesce((SELECT max(t.ended_ms) FROM stage st JOIN step t USING (stage_id)
                            WHERE st.run_id = n.run_id AND t.ended_ms < n.next), 0),
                 coalesce((SELECT max(st.ended_ms) FROM stage st
                            WHERE st.run_id = n.run_id AND st.ended_ms < n.next), 0),
                 coalesce((SELECT max(e.ended_ms) FROM eval_run e
                            WHERE e.run_id = n.run_id AND e.ended_ms < n.next), 0),
                 coalesce((SELECT max(c.created_ms) FROM stage st JOIN checkpoint c USING (stage_id)
                            WHERE st.run_id = n.run_id AND c.created_ms < n.next), 0))
       END
  FROM numbered n JOIN run r USING (run_id);

-- A stage ends as its run does, and a run that missed a gate is not called done. SQLite cannot alter a CHECK; the
-- text of the table is edited instead, as its documentation describes for changes that leave all rows as they are.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
   SET sql = replace(sql, 'CHECK (status IN (''running'', ''done''))',
                          'CHECK (status IN (''running'', ''done'', ''failed'', ''interrupted'', ''crashed'', ''diverged''))')
 WHERE type = 'table' AND name = 'stage';
UPDATE sqlite_schema
   SET sql = replace(sql, 'CHECK (status IN (''running'', ''done'', ''failed''',
                          'CHECK (status IN (''running'', ''done'', ''gate missed'', ''failed''')
 WHERE type = 'table' AND name = 'run';
PRAGMA writable_schema = RESET;

UPDATE run SET status = 'gate missed' WHERE status = 'done' AND exit_code = 5;
-- Why an attempt ended that was followed by another one is not known; most were interrupted.
UPDATE stage SET status = 'interrupted' WHERE status = 'running' AND superseded_from IS NOT NULL;
UPDATE stage SET status = (SELECT r.status FROM run r WHERE r.run_id = stage.run_id)
 WHERE status = 'running'
   AND (SELECT r.status FROM run r WHERE r.run_id = stage.run_id)
       IN ('failed', 'interrupted', 'crashed', 'diverged');

-- What each reward said about a sample of an evaluation: the grade, and those that decide whether it counts.
CREATE TABLE eval_reward (
    eval_sample_id INTEGER NOT NULL REFERENCES eval_sample ON DELETE CASCADE,
    key_id INTEGER NOT NULL REFERENCES reward_key,
    value  REAL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'abstain', 'timeout', 'trap', 'invalid')),
    parts  TEXT CHECK (parts IS NULL OR json_valid(parts)),        -- object of named sub-scores
    info   TEXT,                                                   -- a sentence for people
    PRIMARY KEY (eval_sample_id, key_id)
) STRICT, WITHOUT ROWID;

-- Of earlier evaluations the grade's value and status are known, not its reason.
INSERT OR IGNORE INTO eval_reward (eval_sample_id, key_id, value, status)
SELECT s.eval_sample_id, k.key_id, coalesce(s.value, s.score), s.status
  FROM run r JOIN spec p USING (spec_id)
       JOIN json_each(p.plan_json, '$.evals') suite
       JOIN eval_run e ON e.run_id = r.run_id AND e.suite = suite.value ->> '$.id'
       JOIN run_input i ON i.run_id = r.run_id AND i.role = suite.value ->> '$.grade' AND i.plugin_id IS NOT NULL
       JOIN reward_key k ON k.name = i.role AND k.plugin_id = i.plugin_id AND k.weight = i.weight
       JOIN eval_sample s ON s.eval_id = e.eval_id;

CREATE VIEW v_eval_rewards AS
SELECT r.run_id, r.name AS run, e.eval_id, e.label AS stage, e.step, e.suite, s.item, s.sample, s.eval_sample_id,
       k.name AS reward, w.value, w.status, w.parts, w.info, k.plugin_id
  FROM run r JOIN eval_run e USING (run_id) JOIN eval_sample s USING (eval_id)
       JOIN eval_reward w USING (eval_sample_id) JOIN reward_key k USING (key_id)
 WHERE e.superseded = 0;

-- `seconds` is the time that was worked: pauses between sittings do not count.
DROP VIEW v_runs;
CREATE VIEW v_runs AS
SELECT r.run_id, r.name AS run, r.uid, r.status,
       datetime(r.started_ms / 1000, 'unixepoch') AS started,
       (SELECT total(coalesce(t.ended_ms, r.heartbeat_ms) - t.started_ms) / 1000.0
          FROM sitting t WHERE t.run_id = r.run_id) AS seconds,
       s.source_path AS spec, r.seed, r.digest, r.plan_sha256, r.exit_code, r.error,
       e.r1x_version, e.git_commit, e.git_dirty, e.device, e.threads,
       (SELECT count(*) FROM sitting t WHERE t.run_id = r.run_id) AS sittings,
       s.plan_json -> '$.tags' AS tags, s.overrides
  FROM run r JOIN spec s USING (spec_id) JOIN environment e USING (env_id);
