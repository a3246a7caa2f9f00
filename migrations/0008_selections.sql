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
--
-- What the rollouts of a group and the rewards of a step come to is kept beside them: questions about a whole run read a
-- row for each group or step then, and no rollout. A view says what each of the two tables has to hold; the rows are
-- made from that view when a step is written, and compared with it when a store is verified.

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
ALTER TABLE step ADD COLUMN dropped TEXT CHECK (dropped IS NULL OR json_valid(dropped)); -- list of what a person removed of its rollouts
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

-- What the rollouts of a group come to.
CREATE TABLE group_total (
    stage_id  INTEGER NOT NULL REFERENCES stage ON DELETE CASCADE,
    step      INTEGER NOT NULL,
    grp       INTEGER NOT NULL,
    rollouts  INTEGER NOT NULL,
    mean      REAL,                                                -- of the totals that there are, as are the next two
    lowest    REAL,
    highest   REAL,
    tokens    INTEGER NOT NULL,
    truncated INTEGER NOT NULL,                                    -- rollouts that the limit ended
    PRIMARY KEY (stage_id, step, grp)
) STRICT, WITHOUT ROWID;

CREATE VIEW computed_group_total AS
SELECT stage_id, step, grp, count(*) AS rollouts, avg(reward) AS mean, min(reward) AS lowest, max(reward) AS highest,
       sum(n_tokens) AS tokens, sum(finish = 'length') AS truncated
  FROM rollout
 GROUP BY stage_id, step, grp;

INSERT INTO group_total (stage_id, step, grp, rollouts, mean, lowest, highest, tokens, truncated)
SELECT stage_id, step, grp, rollouts, mean, lowest, highest, tokens, truncated FROM computed_group_total;

-- What a reward said of the rollouts of a step, by how its calls ended.
CREATE TABLE reward_total (
    stage_id INTEGER NOT NULL REFERENCES stage ON DELETE CASCADE,
    step     INTEGER NOT NULL,
    key_id   INTEGER NOT NULL REFERENCES reward_key,
    status   TEXT NOT NULL,
    weight   REAL,                                                 -- at this step
    rollouts INTEGER NOT NULL,
    judged   INTEGER NOT NULL,                                     -- rollouts with a value
    total    REAL,                                                 -- of the values
    lowest   REAL,
    highest  REAL,
    adds     REAL,                                                 -- to the totals of the rollouts, together
    example  TEXT,                                                 -- the last of its sentences by the alphabet
    PRIMARY KEY (stage_id, step, key_id, status)
) STRICT, WITHOUT ROWID;

CREATE VIEW computed_reward_total AS
SELECT o.stage_id, o.step, w.key_id, w.status, max(coalesce(w.weight, k.weight)) AS weight, count(*) AS rollouts,
       count(w.value) AS judged, sum(w.value) AS total, min(w.value) AS lowest, max(w.value) AS highest,
       sum(coalesce(w.weight, k.weight) * iif(w.weight IS NULL, w.value, w.counted)) AS adds, max(w.info) AS example
  FROM rollout o JOIN reward w USING (rollout_id) JOIN reward_key k USING (key_id)
 GROUP BY o.stage_id, o.step, w.key_id, w.status;

INSERT INTO reward_total (stage_id, step, key_id, status, weight, rollouts, judged, total, lowest, highest, adds, example)
SELECT stage_id, step, key_id, status, weight, rollouts, judged, total, lowest, highest, adds, example
  FROM computed_reward_total;

-- As `v_rewards`, a row for each step, reward and way in which calls ended.
CREATE VIEW v_reward_steps AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, t.step, k.name AS reward, t.status, t.weight,
       t.rollouts, t.judged, t.total / t.judged AS mean, t.lowest, t.highest, t.total, t.adds, t.example, k.plugin_id
  FROM run r JOIN stage st USING (run_id) JOIN reward_total t USING (stage_id) JOIN reward_key k USING (key_id)
 WHERE st.superseded_from IS NULL OR t.step < st.superseded_from;

DROP VIEW v_groups;
CREATE VIEW v_groups AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, g.step, g.grp, g.prompt_id,
       p.text AS prompt, p.answer AS gold, g.zero_signal,
       t.rollouts AS n, t.mean, t.lowest, t.highest, 1.0 * t.tokens / t.rollouts AS mean_tokens,
       1.0 * t.truncated / t.rollouts AS truncated, g.data
  FROM run r JOIN stage st USING (run_id) JOIN rollout_group g USING (stage_id)
       JOIN group_total t ON t.stage_id = g.stage_id AND t.step = g.step AND t.grp = g.grp
       JOIN prompt p ON p.prompt_id = g.prompt_id
 WHERE st.superseded_from IS NULL OR g.step < st.superseded_from;

-- How well a stage did on each of its problems: a row for each problem and reward. `judged` rollouts have a value.
CREATE VIEW v_problems AS
SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, min(g.data) AS data, o.prompt_id,
       p.key AS prompt_key, p.text AS prompt, p.answer AS gold, k.name AS reward, count(*) AS rollouts,
       count(w.value) AS judged, avg(w.value) AS mean, min(w.value) AS lowest, max(w.value) AS highest,
       avg(o.reward) AS total
  FROM run r JOIN stage st USING (run_id) JOIN rollout o USING (stage_id) JOIN reward w USING (rollout_id)
       JOIN reward_key k USING (key_id) JOIN prompt p USING (prompt_id)
       LEFT JOIN rollout_group g ON g.stage_id = o.stage_id AND g.step = o.step AND g.grp = o.grp
 WHERE st.superseded_from IS NULL OR o.step < st.superseded_from
 GROUP BY r.run_id, st.idx, o.prompt_id, k.name;

-- The lists of numbers of a rollout as rows: tokens as whole numbers, the others as the exact values of their 32 bits. It
-- is SQL alone, so every program that reads the file has it. Positions are made of three digits to the base of 100, and
-- those that lie behind the end of a completion are left out digit by digit. No rows are alike; `DISTINCT` keeps SQLite from
-- merging the parts into one, which would read and decode every list many times for a row.
CREATE VIEW v_tokens AS
WITH RECURSIVE digit(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM digit WHERE value < 99),
     words AS (
        SELECT r.run_id, r.name AS run, st.idx AS stage_idx, st.name AS stage, o.step, o.grp, o.sample, o.rollout_id,
               a.value * 10000 + b.value * 100 + c.value AS position, x.token_ids, x.logp, x.ref_logp, x.entropy
          FROM run r JOIN stage st USING (run_id) JOIN rollout o USING (stage_id) JOIN rollout_payload x USING (rollout_id)
          CROSS JOIN digit a ON a.value * 10000 < o.n_tokens
          CROSS JOIN digit b ON a.value * 10000 + b.value * 100 < o.n_tokens
          CROSS JOIN digit c ON a.value * 10000 + b.value * 100 + c.value < o.n_tokens
         WHERE st.superseded_from IS NULL OR o.step < st.superseded_from),
     hexes AS (
        SELECT DISTINCT run_id, run, stage_idx, stage, step, grp, sample, rollout_id, position,
               hex(substr(x.token_ids, 4 * position + 1, 4)) AS ids_hex,
               hex(substr(x.logp, 4 * position + 1, 4)) AS lp_hex,
               hex(substr(x.ref_logp, 4 * position + 1, 4)) AS ref_hex,
               hex(substr(x.entropy, 4 * position + 1, 4)) AS ent_hex
          FROM words x),
     numbers AS (
        SELECT DISTINCT run_id, run, stage_idx, stage, step, grp, sample, rollout_id, position,
           iif(ids_hex = '', NULL,
               instr('123456789ABCDEF', substr(ids_hex, 1, 1)) * 16 + instr('123456789ABCDEF', substr(ids_hex, 2, 1))
               + (instr('123456789ABCDEF', substr(ids_hex, 3, 1)) * 16 + instr('123456789ABCDEF', substr(ids_hex, 4, 1))) * 256
               + (instr('123456789ABCDEF', substr(ids_hex, 5, 1)) * 16 + instr('123456789ABCDEF', substr(ids_hex, 6, 1))) * 65536
               + (instr('123456789ABCDEF', substr(ids_hex, 7, 1)) * 16 + instr('123456789ABCDEF', substr(ids_hex, 8, 1))) * 16777216) AS ids_bits,
           iif(lp_hex = '', NULL,
               instr('123456789ABCDEF', substr(lp_hex, 1, 1)) * 16 + instr('123456789ABCDEF', substr(lp_hex, 2, 1))
               + (instr('123456789ABCDEF', substr(lp_hex, 3, 1)) * 16 + instr('123456789ABCDEF', substr(lp_hex, 4, 1))) * 256
               + (instr('123456789ABCDEF', substr(lp_hex, 5, 1)) * 16 + instr('123456789ABCDEF', substr(lp_hex, 6, 1))) * 65536
               + (instr('123456789ABCDEF', substr(lp_hex, 7, 1)) * 16 + instr('123456789ABCDEF', substr(lp_hex, 8, 1))) * 16777216) AS lp_bits,
           iif(ref_hex = '', NULL,
               instr('123456789ABCDEF', substr(ref_hex, 1, 1)) * 16 + instr('123456789ABCDEF', substr(ref_hex, 2, 1))
               + (instr('123456789ABCDEF', substr(ref_hex, 3, 1)) * 16 + instr('123456789ABCDEF', substr(ref_hex, 4, 1))) * 256
               + (instr('123456789ABCDEF', substr(ref_hex, 5, 1)) * 16 + instr('123456789ABCDEF', substr(ref_hex, 6, 1))) * 65536
               + (instr('123456789ABCDEF', substr(ref_hex, 7, 1)) * 16 + instr('123456789ABCDEF', substr(ref_hex, 8, 1))) * 16777216) AS ref_bits,
           iif(ent_hex = '', NULL,
               instr('123456789ABCDEF', substr(ent_hex, 1, 1)) * 16 + instr('123456789ABCDEF', substr(ent_hex, 2, 1))
               + (instr('123456789ABCDEF', substr(ent_hex, 3, 1)) * 16 + instr('123456789ABCDEF', substr(ent_hex, 4, 1))) * 256
               + (instr('123456789ABCDEF', substr(ent_hex, 5, 1)) * 16 + instr('123456789ABCDEF', substr(ent_hex, 6, 1))) * 65536
               + (instr('123456789ABCDEF', substr(ent_hex, 7, 1)) * 16 + instr('123456789ABCDEF', substr(ent_hex, 8, 1))) * 16777216) AS ent_bits
          FROM hexes)
SELECT run_id, run, stage_idx, stage, step, grp, sample, rollout_id, position, ids_bits AS token_id,
       CASE (lp_bits >> 23) & 255
           WHEN 255 THEN iif(lp_bits & 8388607, NULL, iif(lp_bits >> 31, -9e999, 9e999))
           ELSE iif(lp_bits >> 31, -1.0, 1.0)
                * ((lp_bits & 8388607) + iif((lp_bits >> 23) & 255, 8388608, 0))
                * (1 << max(0, min(62, ((lp_bits >> 23) & 255) - 150))) * (1 << max(0, ((lp_bits >> 23) & 255) - 212))
                / (1 << max(0, min(62, 150 - max(1, (lp_bits >> 23) & 255))))
                / (1 << max(0, min(62, 88 - max(1, (lp_bits >> 23) & 255))))
                / (1 << max(0, 26 - max(1, (lp_bits >> 23) & 255)))
       END AS logp,
       CASE (ref_bits >> 23) & 255
           WHEN 255 THEN iif(ref_bits & 8388607, NULL, iif(ref_bits >> 31, -9e999, 9e999))
           ELSE iif(ref_bits >> 31, -1.0, 1.0)
                * ((ref_bits & 8388607) + iif((ref_bits >> 23) & 255, 8388608, 0))
                * (1 << max(0, min(62, ((ref_bits >> 23) & 255) - 150))) * (1 << max(0, ((ref_bits >> 23) & 255) - 212))
                / (1 << max(0, min(62, 150 - max(1, (ref_bits >> 23) & 255))))
                / (1 << max(0, min(62, 88 - max(1, (ref_bits >> 23) & 255))))
                / (1 << max(0, 26 - max(1, (ref_bits >> 23) & 255)))
       END AS ref_logp,
       CASE (ent_bits >> 23) & 255
           WHEN 255 THEN iif(ent_bits & 8388607, NULL, iif(ent_bits >> 31, -9e999, 9e999))
           ELSE iif(ent_bits >> 31, -1.0, 1.0)
                * ((ent_bits & 8388607) + iif((ent_bits >> 23) & 255, 8388608, 0))
                * (1 << max(0, min(62, ((ent_bits >> 23) & 255) - 150))) * (1 << max(0, ((ent_bits >> 23) & 255) - 212))
                / (1 << max(0, min(62, 150 - max(1, (ent_bits >> 23) & 255))))
                / (1 << max(0, min(62, 88 - max(1, (ent_bits >> 23) & 255))))
                / (1 << max(0, 26 - max(1, (ent_bits >> 23) & 255)))
       END AS entropy
  FROM numbers;
