//! Facts of another store as rows of this one: inserted as they are there, with the numbers that rows have here.
//!
//! The other store is attached as `other`. What runs share is found by what it is (a hash, a name), or added; what a run
//! has alone gets numbers behind those that are taken. A new table, or a new column of one, has its place here.

use crate::error::StoreError;
use crate::writer::Tx;

/// What is the same in every store: rows that this one lacks.
const SHARED: [&str; 7] = [
    "INSERT INTO main.spec (sha256, source_path, source_text, overrides, plan_json)
     SELECT sha256, source_path, source_text, overrides, plan_json FROM other.spec
      WHERE spec_id IN (SELECT spec_id FROM other.run JOIN temp.taken USING (run_id)) ORDER BY spec_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.environment (sha256, r1x_version, git_commit, git_dirty, host, os, cpu, cores, ram_bytes, device,
            rustc, features, threads, kernels)
     SELECT sha256, r1x_version, git_commit, git_dirty, host, os, cpu, cores, ram_bytes, device, rustc, features,
            threads, kernels
       FROM other.environment
      WHERE env_id IN (SELECT env_id FROM other.run JOIN temp.taken USING (run_id)) ORDER BY env_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.metric_key (name) SELECT name FROM other.metric_key WHERE 1 ORDER BY key_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.dataset (name, split, sha256, rows, source)
     SELECT name, split, sha256, rows, source FROM other.dataset WHERE 1 ORDER BY dataset_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.plugin (sha256, name, version, wit_world, source_sha256, bytes, wasm, packing)
     SELECT sha256, name, version, wit_world, source_sha256, bytes, wasm, packing FROM other.plugin
      WHERE 1 ORDER BY plugin_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.reward_key (name, plugin_id, weight)
     SELECT k.name, here.plugin_id, k.weight
       FROM other.reward_key k LEFT JOIN other.plugin there USING (plugin_id)
            LEFT JOIN main.plugin here ON here.sha256 = there.sha256
      WHERE 1 ORDER BY k.key_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.prompt (sha256, key, text, answer, solution, columns)
     SELECT sha256, key, text, answer, solution, columns FROM other.prompt WHERE 1 ORDER BY prompt_id
     ON CONFLICT DO NOTHING",
];

/// The numbers here of rows of the other store, and what is added to numbers of rows that a run has alone.
const NUMBERS: [&str; 5] = [
    "CREATE TEMP TABLE prompt_here AS
     SELECT there.prompt_id AS there, here.prompt_id AS here
       FROM other.prompt there JOIN main.prompt here USING (sha256)",
    "CREATE UNIQUE INDEX temp.prompt_there ON prompt_here (there)",
    "CREATE TEMP TABLE reward_here AS
     SELECT k.key_id AS there, own.key_id AS here
       FROM other.reward_key k LEFT JOIN other.plugin p USING (plugin_id)
            LEFT JOIN main.plugin q ON q.sha256 = p.sha256
            JOIN main.reward_key own ON own.name = k.name AND own.plugin_id IS q.plugin_id AND own.weight IS k.weight",
    "CREATE UNIQUE INDEX temp.reward_there ON reward_here (there)",
    "CREATE TEMP TABLE shift AS
     SELECT (SELECT coalesce(max(stage_id), 0) FROM main.stage) AS stage,
            (SELECT coalesce(max(group_id), 0) FROM main.rollout_group) AS grp,
            (SELECT coalesce(max(rollout_id), 0) FROM main.rollout) AS rollout,
            (SELECT coalesce(max(eval_id), 0) FROM main.eval_run) AS eval,
            (SELECT coalesce(max(eval_sample_id), 0) FROM main.eval_sample) AS sample,
            (SELECT coalesce(max(checkpoint_id), 0) FROM main.checkpoint) AS checkpoint,
            (SELECT coalesce(max(event_id), 0) FROM main.event) AS event,
            (SELECT coalesce(max(rescore_id), 0) FROM main.rescore) AS rescore",
];

/// The runs themselves. `temp.taken` has the number of each in the other store, and its number and name here.
const RUNS: &str = "\
INSERT INTO main.run (run_id, uid, name, spec_id, env_id, plan_sha256, seed, status, exit_code, error, digest, machine,
       pid, pid_start, boot_id, heartbeat_ms, started_ms, ended_ms, note)
SELECT t.here, r.uid, t.name, s.spec_id, e.env_id, r.plan_sha256, r.seed, r.status, r.exit_code, r.error, r.digest,
       r.machine, r.pid, r.pid_start, r.boot_id, r.heartbeat_ms, r.started_ms, r.ended_ms, r.note
  FROM other.run r JOIN temp.taken t USING (run_id)
       JOIN other.spec USING (spec_id) JOIN main.spec s ON s.sha256 = other.spec.sha256
       JOIN other.environment USING (env_id) JOIN main.environment e ON e.sha256 = other.environment.sha256
 ORDER BY t.here";

/// What each run has alone, in an order in which nothing refers to what comes later.
const OWN: [&str; 24] = [
    // Both are empty where the run that is meant is not here.
    "UPDATE main.run SET (parent_run_id, relation) = (
         SELECT p.run_id, there.relation
           FROM other.run there JOIN other.run above ON above.run_id = there.parent_run_id
                JOIN main.run p ON p.uid = above.uid
          WHERE there.uid = main.run.uid)
      WHERE run_id IN (SELECT here FROM temp.taken)",
    "INSERT INTO main.sitting (run_id, number, folder, started_ms, ended_ms)
     SELECT t.here, x.number, x.folder, x.started_ms, x.ended_ms FROM other.sitting x JOIN temp.taken t USING (run_id)",
    "INSERT INTO main.run_tag (run_id, word, given)
     SELECT t.here, x.word, x.given FROM other.run_tag x JOIN temp.taken t USING (run_id)",
    // A sweep of another origin that has the name already leaves the runs without one.
    "INSERT INTO main.sweep (uid, name, experiment, paths, started_ms)
     SELECT uid, name, experiment, paths, started_ms FROM other.sweep
      WHERE sweep_id IN (SELECT m.sweep_id FROM other.sweep_run x JOIN temp.taken USING (run_id)
                           JOIN other.sweep_member m USING (member_id)) ORDER BY sweep_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.sweep_member (sweep_id, idx, combination, plan_sha256)
     SELECT here.sweep_id, m.idx, m.combination, m.plan_sha256
       FROM other.sweep_member m JOIN other.sweep there USING (sweep_id) JOIN main.sweep here ON here.uid = there.uid
      WHERE 1 ORDER BY m.member_id
     ON CONFLICT DO NOTHING",
    "INSERT INTO main.sweep_run (run_id, member_id)
     SELECT t.here, here.member_id
       FROM other.sweep_run x JOIN temp.taken t USING (run_id) JOIN other.sweep_member m USING (member_id)
            JOIN other.sweep there USING (sweep_id) JOIN main.sweep w ON w.uid = there.uid
            JOIN main.sweep_member here ON here.sweep_id = w.sweep_id AND here.plan_sha256 = m.plan_sha256",
    "INSERT INTO main.run_input (run_id, idx, role, dataset_id, plugin_id, weight, settings)
     SELECT t.here, x.idx, x.role, d.dataset_id, p.plugin_id, x.weight, x.settings
       FROM other.run_input x JOIN temp.taken t USING (run_id)
            LEFT JOIN other.dataset od USING (dataset_id)
            LEFT JOIN main.dataset d ON d.sha256 = od.sha256 AND d.split = od.split AND d.name = od.name
                  AND d.source = od.source
            LEFT JOIN other.plugin op USING (plugin_id) LEFT JOIN main.plugin p ON p.sha256 = op.sha256",
    "INSERT INTO main.stage (stage_id, run_id, idx, name, kind, status, attempt, start_step, superseded_from,
            weights_sha256, started_ms, ended_ms, key_sha256, reused_from)
     SELECT x.stage_id + shift.stage, t.here, x.idx, x.name, x.kind, x.status, x.attempt, x.start_step,
            x.superseded_from, x.weights_sha256, x.started_ms, x.ended_ms, x.key_sha256, x.reused_from
       FROM other.stage x JOIN temp.taken t USING (run_id), temp.shift ORDER BY x.stage_id",
    "INSERT INTO main.step (stage_id, step, facts_sha256, gen_ms, reward_ms, train_ms, store_ms, started_ms, ended_ms,
            rows_sha256, dropped)
     SELECT x.stage_id + shift.stage, x.step, x.facts_sha256, x.gen_ms, x.reward_ms, x.train_ms, x.store_ms,
            x.started_ms, x.ended_ms, x.rows_sha256, x.dropped
       FROM other.step x JOIN other.stage st USING (stage_id) JOIN temp.taken USING (run_id), temp.shift",
    "INSERT INTO main.metric (stage_id, key_id, step, idx, value, kind)
     SELECT x.stage_id + shift.stage, k.key_id, x.step, x.idx, x.value, x.kind
       FROM other.metric x JOIN other.stage st USING (stage_id) JOIN temp.taken USING (run_id)
            JOIN other.metric_key ok ON ok.key_id = x.key_id JOIN main.metric_key k ON k.name = ok.name, temp.shift",
    "INSERT INTO main.rollout_group (group_id, stage_id, step, grp, prompt_id, zero_signal, prompt_ids, data)
     SELECT x.group_id + shift.grp, x.stage_id + shift.stage, x.step, x.grp, p.here, x.zero_signal, x.prompt_ids, x.data
       FROM other.rollout_group x JOIN other.stage st USING (stage_id) JOIN temp.taken USING (run_id)
            JOIN temp.prompt_here p ON p.there = x.prompt_id, temp.shift ORDER BY x.group_id",
    "INSERT INTO main.rollout (rollout_id, stage_id, step, grp, sample, prompt_id, n_tokens, finish, reward, advantage,
            logp_sum, ref_diff, entropy_mean, unclipped)
     SELECT x.rollout_id + shift.rollout, x.stage_id + shift.stage, x.step, x.grp, x.sample, p.here, x.n_tokens,
            x.finish, x.reward, x.advantage, x.logp_sum, x.ref_diff, x.entropy_mean, x.unclipped
       FROM other.rollout x JOIN other.stage st USING (stage_id) JOIN temp.taken USING (run_id)
            JOIN temp.prompt_here p ON p.there = x.prompt_id, temp.shift ORDER BY x.rollout_id",
    "INSERT INTO main.rollout_payload (rollout_id, text, token_ids, logp, ref_logp, entropy)
     SELECT x.rollout_id + shift.rollout, x.text, x.token_ids, x.logp, x.ref_logp, x.entropy
       FROM other.rollout_payload x JOIN other.rollout o USING (rollout_id) JOIN other.stage st USING (stage_id)
            JOIN temp.taken USING (run_id), temp.shift ORDER BY x.rollout_id",
    "INSERT INTO main.selection (rollout_id, dropped_by)
     SELECT x.rollout_id + shift.rollout, x.dropped_by
       FROM other.selection x JOIN other.rollout o USING (rollout_id) JOIN other.stage st USING (stage_id)
            JOIN temp.taken USING (run_id), temp.shift ORDER BY x.rollout_id",
    "INSERT INTO main.reward (rollout_id, key_id, value, status, parts, info, clipped, gate, counted, weight, normalized)
     SELECT x.rollout_id + shift.rollout, k.here, x.value, x.status, x.parts, x.info, x.clipped, x.gate, x.counted,
            x.weight, x.normalized
       FROM other.reward x JOIN other.rollout o USING (rollout_id) JOIN other.stage st USING (stage_id)
            JOIN temp.taken USING (run_id) JOIN temp.reward_here k ON k.there = x.key_id, temp.shift",
    "INSERT INTO main.group_total (stage_id, step, grp, rollouts, mean, lowest, highest, tokens, truncated)
     SELECT x.stage_id + shift.stage, x.step, x.grp, x.rollouts, x.mean, x.lowest, x.highest, x.tokens, x.truncated
       FROM other.group_total x JOIN other.stage st USING (stage_id) JOIN temp.taken USING (run_id), temp.shift",
    "INSERT INTO main.reward_total (stage_id, step, key_id, status, weight, rollouts, judged, total, lowest, highest,
            adds, example)
     SELECT x.stage_id + shift.stage, x.step, k.here, x.status, x.weight, x.rollouts, x.judged, x.total, x.lowest,
            x.highest, x.adds, x.example
       FROM other.reward_total x JOIN other.stage st USING (stage_id) JOIN temp.taken USING (run_id)
            JOIN temp.reward_here k ON k.there = x.key_id, temp.shift",
    "INSERT INTO main.eval_run (eval_id, run_id, stage_id, label, step, suite, facts_sha256, superseded, ended_ms,
            rows_sha256)
     SELECT x.eval_id + shift.eval, t.here, x.stage_id + shift.stage, x.label, x.step, x.suite, x.facts_sha256,
            x.superseded, x.ended_ms, x.rows_sha256
       FROM other.eval_run x JOIN temp.taken t USING (run_id), temp.shift ORDER BY x.eval_id",
    "INSERT INTO main.eval_sample (eval_sample_id, eval_id, item, sample, prompt_id, score, status, correct, n_tokens,
            finish, text, token_ids, logp, value, gate)
     SELECT x.eval_sample_id + shift.sample, x.eval_id + shift.eval, x.item, x.sample, p.here, x.score, x.status,
            x.correct, x.n_tokens, x.finish, x.text, x.token_ids, x.logp, x.value, x.gate
       FROM other.eval_sample x JOIN other.eval_run e USING (eval_id) JOIN temp.taken USING (run_id)
            JOIN temp.prompt_here p ON p.there = x.prompt_id, temp.shift ORDER BY x.eval_sample_id",
    "INSERT INTO main.eval_reward (eval_sample_id, key_id, value, status, parts, info)
     SELECT x.eval_sample_id + shift.sample, k.here, x.value, x.status, x.parts, x.info
       FROM other.eval_reward x JOIN other.eval_sample s USING (eval_sample_id) JOIN other.eval_run e USING (eval_id)
            JOIN temp.taken USING (run_id) JOIN temp.reward_here k ON k.there = x.key_id, temp.shift",
    "INSERT INTO main.eval_result (eval_id, metric, idx, value, stderr, n_items, n_samples)
     SELECT x.eval_id + shift.eval, x.metric, x.idx, x.value, x.stderr, x.n_items, x.n_samples
       FROM other.eval_result x JOIN other.eval_run e USING (eval_id) JOIN temp.taken USING (run_id), temp.shift",
    "INSERT INTO main.checkpoint (checkpoint_id, stage_id, step, kind, path, sha256, bytes, created_ms, state_sha256)
     SELECT x.checkpoint_id + shift.checkpoint, x.stage_id + shift.stage, x.step, x.kind, x.path, x.sha256, x.bytes,
            x.created_ms, x.state_sha256
       FROM other.checkpoint x JOIN other.stage st USING (stage_id) JOIN temp.taken USING (run_id), temp.shift
      ORDER BY x.checkpoint_id",
    "INSERT INTO main.event (event_id, run_id, ts_ms, level, target, message)
     SELECT x.event_id + shift.event, t.here, x.ts_ms, x.level, x.target, x.message
       FROM other.event x JOIN temp.taken t USING (run_id), temp.shift ORDER BY x.event_id",
    "INSERT INTO main.rescore (rescore_id, run_id, reward, plugin_id, settings, scored_ms)
     SELECT x.rescore_id + shift.rescore, t.here, x.reward, p.plugin_id, x.settings, x.scored_ms
       FROM other.rescore x JOIN temp.taken t USING (run_id) JOIN other.plugin op USING (plugin_id)
            JOIN main.plugin p ON p.sha256 = op.sha256, temp.shift ORDER BY x.rescore_id",
];

/// What other builds said, which needs everything above.
const RESCORED: &str = "\
INSERT INTO main.rescored (rescore_id, rollout_id, value, status, parts, info)
SELECT x.rescore_id + shift.rescore, x.rollout_id + shift.rollout, x.value, x.status, x.parts, x.info
  FROM other.rescored x JOIN other.rescore s USING (rescore_id) JOIN temp.taken USING (run_id), temp.shift";

/// Helpers that go when everything is here.
const HELPERS: [&str; 4] = [
    "DROP TABLE temp.prompt_here",
    "DROP TABLE temp.reward_here",
    "DROP TABLE temp.shift",
    "DROP TABLE temp.taken",
];

/// A run that is taken in.
pub(crate) struct Taken {
    /// Number of the run in the other store.
    pub there: i64,
    /// The name that the run has here.
    pub name: String,
}

/// Takes runs in, and returns the number of each here.
pub(crate) async fn import(tx: &mut Tx<'_>, runs: &[Taken]) -> Result<Vec<i64>, StoreError> {
    tx.execute(
        "CREATE TEMP TABLE taken (run_id INTEGER PRIMARY KEY, here INTEGER NOT NULL, name TEXT NOT NULL)",
        [],
    )
    .await?;
    let last: Option<(i64,)> =
        tx.fetch("SELECT coalesce(max(run_id), 0) FROM main.run", []).await?;
    let mut numbers = Vec::new();
    for (here, run) in (last.map_or(0, |(last,)| last) + 1..).zip(runs) {
        tx.execute(
            "INSERT INTO temp.taken (run_id, here, name) VALUES (?, ?, ?)",
            [run.there.into(), here.into(), (&run.name).into()],
        )
        .await?;
        numbers.push(here);
    }
    let statements = SHARED.iter().chain(&NUMBERS).chain([&RUNS]).chain(&OWN).chain([&RESCORED]);
    for statement in statements.chain(&HELPERS).copied() {
        tx.execute(statement, []).await?;
    }
    Ok(numbers)
}
