-- Schema 7: words are open. Which kinds of stage, statuses, kinds of checkpoint and so on there are is known by the
-- program that writes them; a list of them in a CHECK made each new one a new schema. What a run reads may be
-- something else than a data set or a plugin.
--
-- What stays checked does not grow: 0 or 1, numbers that are not finite, text that is JSON. SQLite cannot alter a
-- CHECK; the text of the tables is edited instead, as its documentation describes for changes that leave all rows as
-- they are, so a large store is upgraded in a moment.

PRAGMA user_version = 7;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (relation IN (''reproduce'', ''fork'', ''sweep''))', '')
 WHERE type = 'table' AND name = 'run';
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (status IN (''running'', ''done'', ''gate missed'', ''failed'', ''interrupted'', ''crashed'', ''diverged''))', '')
 WHERE type = 'table' AND name = 'run';
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (status IN (''running'', ''done'', ''failed'', ''interrupted'', ''crashed'', ''diverged''))', '')
 WHERE type = 'table' AND name = 'stage';
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (kind IN (''sft'', ''grpo'', ''evaluate''))', '')
 WHERE type = 'table' AND name = 'stage';
UPDATE sqlite_schema
   SET sql = replace(sql, ',
    CHECK ((dataset_id IS NULL) <> (plugin_id IS NULL))', '')
 WHERE type = 'table' AND name = 'run_input';
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (finish IN (''stop'', ''length''))', '')
 WHERE type = 'table' AND name IN ('rollout', 'eval_sample');
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (status IN (''ok'', ''abstain'', ''timeout'', ''trap'', ''invalid''))', '')
 WHERE type = 'table' AND name IN ('reward', 'eval_sample', 'rescored', 'eval_reward');
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (gate IN (''open'', ''closed'', ''unknown''))', '')
 WHERE type = 'table' AND name IN ('reward', 'eval_sample');
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (kind IN (''step'', ''stage'', ''interrupt''))', '')
 WHERE type = 'table' AND name = 'checkpoint';
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (level IN (''info'', ''warn'', ''error''))', '')
 WHERE type = 'table' AND name = 'event';
UPDATE sqlite_schema
   SET sql = replace(sql, ' CHECK (packing IN (''none'', ''zstd''))', '')
 WHERE type = 'table' AND name = 'plugin';
PRAGMA writable_schema = RESET;
