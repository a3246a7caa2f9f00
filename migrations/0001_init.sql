-- The store of r1x, schema 1: one file for all runs of a project.
--
-- A run has stages, a stage has steps, a step of a GRPO stage has groups of rollouts, a rollout has one
-- reward row per reward. Rows are only ever added; a resumed run adds new attempts of its stages and marks
-- where the old attempt stops counting (`superseded_from`). The views leave out what no longer counts, so
-- questions are asked of views.
--
-- Times are milliseconds since 1970 (INTEGER) or durations in milliseconds (REAL). NULL is never 0:
-- a reward without a value has none.

PRAGMA application_id = 1915852849; -- the bytes 'r1x1'
PRAGMA user_version = 1;

-- What was asked for: the file as written and the plan it became.
CREATE TABLE spec (
    spec_id     INTEGER PRIMARY KEY,
    sha256      TEXT NOT NULL UNIQUE,                              -- over all other columns
    source_path TEXT,
    source_text TEXT NOT NULL,
    overrides   TEXT NOT NULL CHECK (json_valid(overrides)),       -- list of `path=value`
    plan_json   TEXT NOT NULL CHECK (json_valid(plan_json))
) STRICT;

-- Where it was computed and by which build.
CREATE TABLE environment (
    env_id      INTEGER PRIMARY KEY,
    sha256      TEXT NOT NULL UNIQUE,                              -- over all other columns
    r1x_version TEXT NOT NULL,
    git_commit  TEXT,
    git_dirty   INTEGER,
    host        TEXT,
    os          TEXT,
    cpu         TEXT,
    cores       INTEGER,
    ram_bytes   INTEGER,
    device      TEXT,
    rustc       TEXT,
    features    TEXT,
    threads     INTEGER
) STRICT;

CREATE TABLE run (
    run_id        INTEGER PRIMARY KEY,
    uid           TEXT NOT NULL UNIQUE,                            -- UUIDv7: sorts by time
    name          TEXT NOT NULL UNIQUE,                            -- experiment-adjective-animal
    spec_id       INTEGER NOT NULL REFERENCES spec,
    env_id        INTEGER NOT NULL REFERENCES environment,
    plan_sha256   TEXT NOT NULL,                                   -- equal plans, equal runs
    parent_run_id INTEGER REFERENCES run,
    relation      TEXT CHECK (relation IN ('reproduce', 'fork', 'sweep')),
    seed          INTEGER NOT NULL,                                -- the bits of a u64
    status        TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted', 'crashed', 'diverged')),
    exit_code     INTEGER,
    error         TEXT,
    digest        TEXT,                                            -- sha256 over the run's facts
    machine       TEXT,                                            -- with pid, pid_start and boot_id: who writes it
    pid           INTEGER,
    pid_start     INTEGER,
    boot_id       TEXT,
    heartbeat_ms  INTEGER NOT NULL,
    started_ms    INTEGER NOT NULL,
    ended_ms      INTEGER,
    CHECK ((parent_run_id IS NULL) = (relation IS NULL))
) STRICT;
CREATE INDEX run_started ON run (started_ms);
CREATE INDEX run_running ON run (status) WHERE status = 'running';

CREATE TABLE stage (
    stage_id        INTEGER PRIMARY KEY,
    run_id          INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    idx             INTEGER NOT NULL,                              -- position in the plan
    name            TEXT NOT NULL,                                 -- its id in the spec
    kind            TEXT NOT NULL CHECK (kind IN ('sft', 'grpo', 'evaluate')),
    status          TEXT NOT NULL CHECK (status IN ('running', 'done')),
    attempt         INTEGER NOT NULL,                              -- 1, then one more for each resume
    start_step      INTEGER NOT NULL,
    superseded_from INTEGER,                                       -- steps from here on were computed anew by a later attempt
    weights_sha256  TEXT,                                          -- of its output
    started_ms      INTEGER NOT NULL,
    ended_ms        INTEGER,
    UNIQUE (run_id, idx, attempt)
) STRICT;

CREATE TABLE step (
    stage_id   INTEGER NOT NULL REFERENCES stage ON DELETE CASCADE,
    step       INTEGER NOT NULL,
    facts_sha256 TEXT NOT NULL,                                    -- of its rollouts, rewards, advantages and metrics
    gen_ms     REAL,
    reward_ms  REAL,
    train_ms   REAL,
    store_ms   REAL,                                               -- known once the next fact is written
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER NOT NULL,
    PRIMARY KEY (stage_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric_key (
    key_id INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE metric (
    stage_id INTEGER NOT NULL REFERENCES stage ON DELETE CASCADE,
    key_id   INTEGER NOT NULL REFERENCES metric_key,
    step     INTEGER NOT NULL,
    idx      INTEGER NOT NULL,                                     -- position in the step's list
    value    REAL,
    kind     TEXT CHECK (kind IN ('nan', 'inf', '-inf')),          -- set when value is NULL
    PRIMARY KEY (stage_id, key_id, step),
    CHECK ((value IS NULL) = (kind IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE dataset (
    dataset_id INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,                                      -- its id in the spec
    split      TEXT NOT NULL,
    sha256     TEXT NOT NULL,                                      -- over the problems themselves
    rows       INTEGER NOT NULL,
    source     TEXT NOT NULL,
    UNIQUE (sha256, split, name, source)
) STRICT;

-- One row per build of a plugin, with the component itself: a run can be explained, and repeated, from the store.
CREATE TABLE plugin (
    plugin_id     INTEGER PRIMARY KEY,
    sha256        TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    version       TEXT NOT NULL,
    wit_world     TEXT NOT NULL,
    source_sha256 TEXT,
    bytes         INTEGER NOT NULL,
    wasm          BLOB NOT NULL
) STRICT;

-- What a run read: data sets and plugins.
CREATE TABLE run_input (
    run_id     INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    idx        INTEGER NOT NULL,
    role       TEXT NOT NULL,                                      -- id of the data set or reward in the spec
    dataset_id INTEGER REFERENCES dataset,
    plugin_id  INTEGER REFERENCES plugin,
    weight     REAL,
    settings   TEXT CHECK (settings IS NULL OR json_valid(settings)), -- JSON handed to the plugin
    PRIMARY KEY (run_id, idx),
    CHECK ((dataset_id IS NULL) <> (plugin_id IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX run_input_plugin ON run_input (plugin_id) WHERE plugin_id IS NOT NULL;

-- A problem as asked; shared by all runs that ask it.
CREATE TABLE prompt (
    prompt_id INTEGER PRIMARY KEY,
    sha256    BLOB NOT NULL UNIQUE,                                -- over all other columns
    key       TEXT NOT NULL,
    text      TEXT NOT NULL,
    answer    TEXT,
    solution  TEXT,
    columns   TEXT NOT NULL CHECK (json_valid(columns))            -- object of column name to JSON text
) STRICT;
CREATE INDEX prompt_key ON prompt (key);

CREATE TABLE rollout_group (
    group_id     INTEGER PRIMARY KEY,
    stage_id     INTEGER NOT NULL REFERENCES stage ON DELETE CASCADE,
    step         INTEGER NOT NULL,
    grp          INTEGER NOT NULL,
    prompt_id    INTEGER NOT NULL REFERENCES prompt,
    zero_signal  INTEGER NOT NULL CHECK (zero_signal IN (0, 1)),   -- all totals equal: nothing to learn
    prompt_ids   BLOB NOT NULL,                                    -- prompt tokens, u32 little endian
    UNIQUE (stage_id, step, grp)
) STRICT;

-- Narrow on purpose: scans over many rollouts read no text.
CREATE TABLE rollout (
    rollout_id   INTEGER PRIMARY KEY,
    stage_id     INTEGER NOT NULL REFERENCES stage ON DELETE CASCADE,
    step         INTEGER NOT NULL,
    grp          INTEGER NOT NULL,
    sample       INTEGER NOT NULL,
    prompt_id    INTEGER NOT NULL REFERENCES prompt,
    n_tokens     INTEGER NOT NULL,
    finish       TEXT NOT NULL CHECK (finish IN ('stop', 'length')),
    reward       REAL,                                             -- weighted total
    advantage    REAL,
    logp_sum     REAL,
    ref_diff     REAL,                                             -- mean over tokens of log-prob minus reference log-prob
    entropy_mean REAL,
    UNIQUE (stage_id, step, grp, sample)
) STRICT;
CREATE INDEX rollout_prompt ON rollout (prompt_id);

-- Wide: what a rollout said. A column is NULL when the plan does not record it.
CREATE TABLE rollout_payload (
    rollout_id INTEGER PRIMARY KEY REFERENCES rollout ON DELETE CASCADE,
    text       TEXT,
    token_ids  BLOB,                                               -- u32 little endian
    logp       BLOB,                                               -- f32 little endian, one per token
    ref_logp   BLOB,                                               -- likewise, under the reference
    entropy    BLOB                                                -- likewise, nats
) STRICT;

CREATE TABLE reward_key (
    key_id    INTEGER PRIMARY KEY,
    name      TEXT NOT NULL,                                       -- id of the reward in the spec
    plugin_id INTEGER REFERENCES plugin,
    weight    REAL
) STRICT;
CREATE UNIQUE INDEX reward_key_unique ON reward_key (name, coalesce(plugin_id, -1), coalesce(weight, 'none'));

CREATE TABLE reward (
    rollout_id INTEGER NOT NULL REFERENCES rollout ON DELETE CASCADE,
    key_id     INTEGER NOT NULL REFERENCES reward_key,
    value      REAL,
    status     TEXT NOT NULL CHECK (status IN ('ok', 'abstain', 'timeout', 'trap', 'invalid')),
    parts      TEXT CHECK (parts IS NULL OR json_valid(parts)),    -- object of named sub-scores
    info       TEXT,                                               -- a sentence for people
    PRIMARY KEY (rollout_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE eval_run (
    eval_id    INTEGER PRIMARY KEY,
    run_id     INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    stage_id   INTEGER REFERENCES stage ON DELETE CASCADE,         -- NULL before the first stage
    label      TEXT NOT NULL,                                      -- `start` or the stage's id
    step       INTEGER NOT NULL,                                   -- steps of the stage done
    suite      TEXT NOT NULL,
    facts_sha256 TEXT NOT NULL,                                    -- of its samples, scores and figures
    superseded INTEGER NOT NULL DEFAULT 0,                         -- 1 once it was run again
    ended_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX eval_run_run ON eval_run (run_id, suite, step);

CREATE TABLE eval_sample (
    eval_sample_id INTEGER PRIMARY KEY,
    eval_id   INTEGER NOT NULL REFERENCES eval_run ON DELETE CASCADE,
    item      INTEGER NOT NULL,
    sample    INTEGER NOT NULL,
    prompt_id INTEGER NOT NULL REFERENCES prompt,
    score     REAL,
    status    TEXT NOT NULL CHECK (status IN ('ok', 'abstain', 'timeout', 'trap', 'invalid')),
    correct   INTEGER NOT NULL CHECK (correct IN (0, 1)),
    n_tokens  INTEGER NOT NULL,
    finish    TEXT NOT NULL CHECK (finish IN ('stop', 'length')),
    text      TEXT,
    token_ids BLOB,                                                -- u32 little endian
    logp      BLOB,                                                -- f32 little endian
    UNIQUE (eval_id, item, sample)
) STRICT;

CREATE TABLE eval_result (
    eval_id   INTEGER NOT NULL REFERENCES eval_run ON DELETE CASCADE,
    metric    TEXT NOT NULL,
    idx       INTEGER NOT NULL,                                    -- position in the evaluation's list
    value     REAL,
    stderr    REAL,
    n_items   INTEGER NOT NULL,
    n_samples INTEGER NOT NULL,
    PRIMARY KEY (eval_id, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
    checkpoint_id INTEGER PRIMARY KEY,
    stage_id      INTEGER NOT NULL REFERENCES stage ON DELETE CASCADE,
    step          INTEGER NOT NULL,                                -- steps of the stage done
    kind          TEXT NOT NULL CHECK (kind IN ('step', 'stage', 'interrupt')),
    path          TEXT NOT NULL,                                   -- relative to the run's folder
    sha256        TEXT NOT NULL,
    bytes         INTEGER NOT NULL,
    created_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX checkpoint_stage ON checkpoint (stage_id, step);

-- Warnings and errors of a run.
CREATE TABLE event (
    event_id INTEGER PRIMARY KEY,
    run_id   INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    ts_ms    INTEGER NOT NULL,
    level    TEXT NOT NULL CHECK (level IN ('info', 'warn', 'error')),
    target   TEXT NOT NULL,
    message  TEXT NOT NULL
) STRICT;
CREATE INDEX event_run ON event (run_id, ts_ms);

CREATE VIEW v_runs AS
SELECT r.run_id, r.name AS run, r.uid, r.status,
       datetime(r.started_ms / 1000, 'unixepoch') AS started,
       (coalesce(r.ended_ms, r.heartbeat_ms) - r.started_ms) / 1000.0 AS seconds,
       s.source_path AS spec, r.seed, r.digest, r.plan_sha256, r.exit_code, r.error,
       e.r1x_version, e.git_commit, e.git_dirty, e.device, e.threads
  FROM run r JOIN spec s USING (spec_id) JOIN environment e USING (env_id);

CREATE VIEW v_steps AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, st.kind, t.step,
       t.gen_ms, t.reward_ms, t.train_ms, t.store_ms, t.started_ms, t.ended_ms
  FROM run r JOIN stage st USING (run_id) JOIN step t USING (stage_id)
 WHERE st.superseded_from IS NULL OR t.step < st.superseded_from;

CREATE VIEW v_metrics AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, m.step, k.name AS metric, m.value, m.kind
  FROM run r JOIN stage st USING (run_id) JOIN metric m USING (stage_id) JOIN metric_key k USING (key_id)
 WHERE st.superseded_from IS NULL OR m.step < st.superseded_from;

CREATE VIEW v_rollouts AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, o.step, o.grp, o.sample, o.rollout_id,
       o.prompt_id, p.key AS prompt_key, p.text AS prompt, p.answer AS gold, x.text AS completion,
       o.reward, o.advantage, o.n_tokens, o.finish, o.logp_sum, o.ref_diff, o.entropy_mean
  FROM run r JOIN stage st USING (run_id) JOIN rollout o USING (stage_id) JOIN prompt p USING (prompt_id)
       LEFT JOIN rollout_payload x USING (rollout_id)
 WHERE st.superseded_from IS NULL OR o.step < st.superseded_from;

CREATE VIEW v_rewards AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, o.step, o.grp, o.sample, o.rollout_id,
       k.name AS reward, w.value, k.weight, w.status, w.parts, w.info, k.plugin_id
  FROM run r JOIN stage st USING (run_id) JOIN rollout o USING (stage_id) JOIN reward w USING (rollout_id)
       JOIN reward_key k USING (key_id)
 WHERE st.superseded_from IS NULL OR o.step < st.superseded_from;

CREATE VIEW v_groups AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, g.step, g.grp, g.prompt_id,
       p.text AS prompt, p.answer AS gold, g.zero_signal,
       count(*) AS n, avg(o.reward) AS mean, min(o.reward) AS lowest, max(o.reward) AS highest,
       avg(o.n_tokens) AS mean_tokens, avg(o.finish = 'length') AS truncated
  FROM run r JOIN stage st USING (run_id) JOIN rollout_group g USING (stage_id)
       JOIN prompt p ON p.prompt_id = g.prompt_id
       JOIN rollout o ON o.stage_id = g.stage_id AND o.step = g.step AND o.grp = g.grp
 WHERE st.superseded_from IS NULL OR g.step < st.superseded_from
 -- All columns people filter by stand here, so that a filter reaches the indices instead of the result.
 GROUP BY r.run_id, r.name, st.idx, st.name, g.step, g.grp, g.prompt_id, g.group_id;

CREATE VIEW v_evals AS
SELECT r.run_id, r.name AS run, e.eval_id, e.label AS stage, e.step, e.suite, x.metric, x.value, x.stderr,
       x.n_items, x.n_samples
  FROM run r JOIN eval_run e USING (run_id) JOIN eval_result x USING (eval_id)
 WHERE e.superseded = 0;

CREATE VIEW v_eval_samples AS
SELECT r.run_id, r.name AS run, e.eval_id, e.label AS stage, e.step, e.suite, s.item, s.sample,
       p.key AS prompt_key, p.text AS prompt, p.answer AS gold, s.text AS completion, s.score, s.status,
       s.correct, s.n_tokens, s.finish
  FROM run r JOIN eval_run e USING (run_id) JOIN eval_sample s USING (eval_id) JOIN prompt p USING (prompt_id)
 WHERE e.superseded = 0;

-- A file may be replaced by a later checkpoint of the same path, or belong to steps computed anew.
CREATE VIEW v_checkpoints AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, c.step, c.kind, c.path, c.sha256, c.bytes,
       c.created_ms, c.checkpoint_id
  FROM run r JOIN stage st USING (run_id) JOIN checkpoint c USING (stage_id)
 WHERE (st.superseded_from IS NULL OR c.step <= st.superseded_from)
   AND NOT EXISTS (SELECT 1 FROM stage st2 JOIN checkpoint c2 USING (stage_id)
                    WHERE st2.run_id = st.run_id AND c2.path = c.path AND c2.checkpoint_id > c.checkpoint_id);

CREATE VIEW v_plugins AS
SELECT r.run_id, r.name AS run, r.status, i.role AS reward, i.weight, i.settings,
       p.name AS plugin, p.version, p.wit_world, p.sha256, p.source_sha256, p.bytes
  FROM run r JOIN run_input i USING (run_id) JOIN plugin p USING (plugin_id);

CREATE VIEW v_datasets AS
SELECT r.run_id, r.name AS run, i.role AS data, d.split, d.sha256, d.rows, d.source
  FROM run r JOIN run_input i USING (run_id) JOIN dataset d USING (dataset_id);
