-- Schema 2: what other plugin builds say about a run's rollouts, beside what was said when it was trained.
--
-- Nothing of the run itself changes; its digest does not see these tables.

PRAGMA user_version = 2;

-- One scoring of a run's recorded rollouts with one build and configuration.
CREATE TABLE rescore (
    rescore_id INTEGER PRIMARY KEY,
    run_id     INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    reward     TEXT NOT NULL,                                      -- id of the reward it is compared with
    plugin_id  INTEGER NOT NULL REFERENCES plugin,
    settings   TEXT NOT NULL CHECK (json_valid(settings)),         -- JSON handed to the plugin
    scored_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX rescore_run ON rescore (run_id);

CREATE TABLE rescored (
    rescore_id INTEGER NOT NULL REFERENCES rescore ON DELETE CASCADE,
    rollout_id INTEGER NOT NULL REFERENCES rollout ON DELETE CASCADE,
    value      REAL,
    status     TEXT NOT NULL CHECK (status IN ('ok', 'abstain', 'timeout', 'trap', 'invalid')),
    parts      TEXT CHECK (parts IS NULL OR json_valid(parts)),    -- object of named sub-scores
    info       TEXT,                                               -- a sentence for people
    PRIMARY KEY (rescore_id, rollout_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rescored_rollout ON rescored (rollout_id);

-- Both judgements side by side; `change` is NULL where one of them has no value.
CREATE VIEW v_rescores AS
SELECT r.run_id, r.name AS run, s.rescore_id, s.reward, p.name AS plugin, p.version, p.sha256, s.settings,
       st.name AS stage, o.step, o.grp, o.sample, o.rollout_id,
       w.value AS original, w.status AS original_status, d.value, d.status, d.value - w.value AS change,
       d.parts, d.info
  FROM rescore s JOIN run r USING (run_id) JOIN plugin p USING (plugin_id) JOIN rescored d USING (rescore_id)
       JOIN rollout o USING (rollout_id) JOIN stage st USING (stage_id)
       LEFT JOIN reward w ON w.rollout_id = o.rollout_id
             AND w.key_id IN (SELECT k.key_id FROM reward_key k WHERE k.name = s.reward)
 WHERE st.superseded_from IS NULL OR o.step < st.superseded_from;
