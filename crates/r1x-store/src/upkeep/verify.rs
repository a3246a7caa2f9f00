//! Whether a store still holds what was written: SQLite's own checks, every hash that can be computed again, and
//! everything that was packed.
//!
//! What is found is a row with a place and a way to mend it, and never an error: the rest is looked at all the same.
//! Checkpoints are folders, which this crate cannot read; whoever can looks at them beside this.

use std::collections::BTreeMap;

use r1x_core::digest::{hex, sha256};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor, query_as};

use crate::digest;
use crate::error::StoreError;
use crate::packing::unpack;
use crate::read::Inner;
use crate::row_hash;
use crate::run_begin::hash_parts;
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Pages, keys between tables, and digests of runs over the hashes of their steps.
    Quick,
    /// Every row, text and component as well.
    Whole,
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Flaw {
    /// What is wrong.
    pub what: String,
    /// Where it is: a part of the store, of a run, or a file.
    pub place: String,
    /// How to mend it.
    pub mend: String,
}

/// What was compared, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Runs in the store.
    pub runs: u64,
    /// Digests of finished runs that were computed again.
    pub digests: u64,
    /// Steps and evaluations whose rows were hashed again.
    pub hashed: u64,
    /// Steps and evaluations of earlier versions, which have no hash over their rows.
    pub without_hash: u64,
    /// Specs and problems whose hashes were computed again.
    pub texts: u64,
    /// Components that were unpacked and hashed.
    pub plugins: u64,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
}

const FROM_COPY: &str = "put a copy of the store in its place (`r1x store backup` makes them), or save what can be read with `sqlite3 FILE .recover`";
const MADE_AGAIN: &str =
    "do not build on this run: take it from a copy of the store, or make it again from its spec";

/// Rows that are read at a time where there may be many.
const PAGE_ROWS: i64 = 1000;

/// SQLite says at most so many things about damaged pages.
const MOST_FLAWS: usize = 100;

/// What has totals, the table that they are in, and the view that says what they are.
const TOTALS: [(&str, &str, &str); 2] = [
    ("groups", "group_total", "computed_group_total"),
    ("rewards", "reward_total", "computed_reward_total"),
];

/// How many steps of a stage (1) have totals in a table that are not those of a view.
fn differing(table: &str, view: &str) -> String {
    format!(
        "WITH kept AS MATERIALIZED (SELECT * FROM {table} WHERE stage_id = ?1),
              computed AS MATERIALIZED (SELECT * FROM {view} WHERE stage_id = ?1)
         SELECT count(DISTINCT step) FROM (
             SELECT step FROM (SELECT * FROM kept EXCEPT SELECT * FROM computed)
              UNION ALL SELECT step FROM (SELECT * FROM computed EXCEPT SELECT * FROM kept))"
    )
}

impl Store {
    /// Compares what is in the store with what was written.
    ///
    /// # Errors
    /// When it cannot be read at all. What is wrong with it is none.
    pub fn verify(&self, depth: Depth) -> Result<Verified, StoreError> {
        let reader = self.reader()?;
        let mut inner = reader.lock();
        let Inner { runtime, conn } = &mut *inner;
        runtime.block_on(async {
            // One moment of the store: a run may be writing.
            let fail = |error| StoreError::from_sqlx(self.path(), error);
            conn.execute("BEGIN").await.map_err(fail)?;
            let verified = Verifying::new(conn).all(depth).await;
            // Nothing was written. In a damaged file, SQLite may have ended the transaction by itself.
            let _ = conn.execute("ROLLBACK").await;
            Ok(verified)
        })
    }
}

struct Verifying<'c> {
    conn: &'c mut SqliteConnection,
    found: Verified,
}

impl<'c> Verifying<'c> {
    fn new(conn: &'c mut SqliteConnection) -> Self {
        Self { conn, found: Verified::default() }
    }

    async fn all(mut self, depth: Depth) -> Verified {
        self.pages(depth).await;
        let read = self.runs().await;
        self.readable("the runs", read);
        if depth == Depth::Whole {
            let read = self.steps().await;
            self.readable("the steps", read);
            let read = self.totals().await;
            self.readable("the totals", read);
            let read = self.evaluations().await;
            self.readable("the evaluations", read);
            let read = self.specs().await;
            self.readable("the specs", read);
            let read = self.problems().await;
            self.readable("the problems", read);
            let read = self.plugins().await;
            self.readable("the components", read);
        }
        self.found
    }

    fn flaw(&mut self, place: impl Into<String>, what: impl Into<String>, mend: &str) {
        let (place, what, mend) = (place.into(), what.into(), mend.to_owned());
        self.found.flaws.push(Flaw { what, place, mend });
    }

    /// A part of the store that cannot be read is a flaw of it.
    fn readable(&mut self, part: &str, read: Result<(), sqlx::Error>) {
        if let Err(error) = read {
            self.flaw(part, format!("they cannot be read: {error}"), FROM_COPY);
        }
    }

    /// SQLite's own checks.
    async fn pages(&mut self, depth: Depth) {
        let check = match depth {
            Depth::Quick => format!("PRAGMA quick_check({MOST_FLAWS})"),
            Depth::Whole => format!("PRAGMA integrity_check({MOST_FLAWS})"),
        };
        let said: Result<Vec<(Text,)>, _> =
            query_as(AssertSqlSafe(check)).fetch_all(&mut *self.conn).await;
        match said {
            Err(error) => self.flaw("the file", format!("it is damaged: {error}"), FROM_COPY),
            Ok(rows) => {
                for (Text(what),) in rows.into_iter().filter(|(Text(what),)| what != "ok") {
                    self.flaw("the file", what, FROM_COPY);
                }
            }
        }
        type Row = (Text, Option<i64>, Text, i64);
        let lost: Result<Vec<Row>, _> =
            query_as("PRAGMA foreign_key_check").fetch_all(&mut *self.conn).await;
        let mut missing: BTreeMap<(String, String), u64> = BTreeMap::new();
        match lost {
            Err(error) => self.flaw("the keys", format!("they cannot be read: {error}"), FROM_COPY),
            Ok(rows) => rows.into_iter().for_each(|(Text(table), _, Text(parent), _)| {
                *missing.entry((table, parent)).or_default() += 1;
            }),
        }
        for ((table, parent), rows) in missing {
            let what = format!("rows of table {parent} are missing that {rows} rows here refer to");
            self.flaw(format!("table {table}"), what, FROM_COPY);
        }
    }

    /// Digests of finished runs, and hashes of plans.
    async fn runs(&mut self) -> Result<(), sqlx::Error> {
        type Row = (i64, Text, MaybeText, Text, Text, i64);
        let runs: Vec<Row> = query_as(
            "SELECT r.run_id, r.name, r.digest, r.plan_sha256, s.plan_json, r.seed FROM run r JOIN spec s USING (spec_id)
              ORDER BY r.run_id",
        )
        .fetch_all(&mut *self.conn)
        .await?;
        for (run_id, Text(name), MaybeText(recorded), Text(plan_sha256), Text(plan), seed) in runs {
            self.found.runs += 1;
            // What was imported has no plan, and no seed in its place.
            let planned =
                serde_json::from_str(&plan).unwrap_or(serde_json::Value::Null)["seed"].as_u64();
            if planned.is_some_and(|planned| planned.cast_signed() != seed) {
                self.flaw(format!("run {name}"), "its seed is not that of its plan", FROM_COPY);
            }
            if sha256(plan.as_bytes()) != plan_sha256 {
                self.flaw(format!("run {name}"), "its plan is not the one of its hash", MADE_AGAIN);
            }
            let Some(recorded) = recorded else { continue };
            let computed = digest::of_run(&mut *self.conn, run_id).await?;
            self.found.digests += 1;
            if computed != recorded {
                let what =
                    format!("its digest is recorded as {recorded}, and its facts give {computed}");
                self.flaw(format!("run {name}"), what, MADE_AGAIN);
            }
        }
        Ok(())
    }

    /// Rows of steps, of superseded ones as well: they stay.
    async fn steps(&mut self) -> Result<(), sqlx::Error> {
        type Row = (i64, i64, MaybeText, Text, Text);
        let stages: Vec<(i64,)> = query_as("SELECT stage_id FROM stage ORDER BY stage_id")
            .fetch_all(&mut *self.conn)
            .await?;
        for (stage_id,) in stages {
            let steps: Vec<Row> = query_as(
                "SELECT t.stage_id, t.step, t.rows_sha256, st.name, r.name
                   FROM step t JOIN stage st USING (stage_id) JOIN run r USING (run_id)
                  WHERE t.stage_id = ? ORDER BY t.step",
            )
            .bind(stage_id)
            .fetch_all(&mut *self.conn)
            .await?;
            for (stage_id, step, MaybeText(recorded), Text(stage), Text(run)) in steps {
                let Some(recorded) = recorded else {
                    self.found.without_hash += 1;
                    continue;
                };
                let computed = row_hash::step(&mut *self.conn, stage_id, step).await?;
                self.found.hashed += 1;
                if computed != recorded {
                    let place = format!("run {run}, stage {stage}, step {step}");
                    self.flaw(place, "its rows are not those that were recorded", MADE_AGAIN);
                }
            }
        }
        Ok(())
    }

    /// What is kept of groups and of the rewards of steps, beside what the rollouts give.
    async fn totals(&mut self) -> Result<(), sqlx::Error> {
        let stages: Vec<(i64, Text, Text)> = query_as(
            "SELECT st.stage_id, st.name, r.name FROM stage st JOIN run r USING (run_id) ORDER BY st.stage_id",
        )
        .fetch_all(&mut *self.conn)
        .await?;
        for (stage_id, Text(stage), Text(run)) in stages {
            for (of, table, view) in TOTALS {
                let query = query_as(AssertSqlSafe(differing(table, view))).bind(stage_id);
                let (steps,): (i64,) = query.fetch_one(&mut *self.conn).await?;
                if steps > 0 {
                    let place = format!("run {run}, stage {stage}");
                    let what = format!(
                        "at {} steps the totals of {of} are not what the rollouts come to",
                        steps
                    );
                    self.flaw(place, what, MADE_AGAIN);
                }
            }
        }
        Ok(())
    }

    async fn evaluations(&mut self) -> Result<(), sqlx::Error> {
        type Row = (i64, MaybeText, Text, i64, Text, Text);
        let evaluations: Vec<Row> = query_as(
            "SELECT e.eval_id, e.rows_sha256, e.label, e.step, e.suite, r.name
               FROM eval_run e JOIN run r USING (run_id) ORDER BY e.eval_id",
        )
        .fetch_all(&mut *self.conn)
        .await?;
        for (eval_id, MaybeText(recorded), Text(label), step, Text(suite), Text(run)) in evaluations
        {
            let Some(recorded) = recorded else {
                self.found.without_hash += 1;
                continue;
            };
            let computed = row_hash::evaluation(&mut *self.conn, eval_id).await?;
            self.found.hashed += 1;
            if computed != recorded {
                let place = format!("run {run}, evaluation {suite} after step {step} of {label}");
                self.flaw(place, "its rows are not those that were recorded", MADE_AGAIN);
            }
        }
        Ok(())
    }

    async fn specs(&mut self) -> Result<(), sqlx::Error> {
        type Row = (i64, Text, MaybeText, Text, Text, Text);
        let specs: Vec<Row> = query_as(
            "SELECT spec_id, sha256, source_path, source_text, overrides, plan_json FROM spec ORDER BY spec_id",
        )
        .fetch_all(&mut *self.conn)
        .await?;
        for (id, Text(recorded), MaybeText(path), Text(text), Text(overrides), Text(plan)) in specs
        {
            let parts = [path.as_deref(), Some(&text), Some(&overrides), Some(&plan)];
            let computed = hex(&hash_parts(parts.map(|part| part.map(str::as_bytes))));
            self.found.texts += 1;
            if computed != recorded {
                let place = format!("table spec, row {id}");
                self.flaw(place, "its text is not the one of its hash", FROM_COPY);
            }
        }
        Ok(())
    }

    async fn problems(&mut self) -> Result<(), sqlx::Error> {
        type Row = (i64, Vec<u8>, Text, Text, MaybeText, MaybeText, Text);
        let mut after = i64::MIN;
        loop {
            let rows: Vec<Row> = query_as(
                "SELECT prompt_id, sha256, key, text, answer, solution, columns FROM prompt
                  WHERE prompt_id > ? ORDER BY prompt_id LIMIT ?",
            )
            .bind(after)
            .bind(PAGE_ROWS)
            .fetch_all(&mut *self.conn)
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.0;
            for (id, recorded, Text(key), Text(text), answer, solution, Text(columns)) in rows {
                let parts = [
                    Some(key.as_str()),
                    Some(&text),
                    answer.0.as_deref(),
                    solution.0.as_deref(),
                    Some(&columns),
                ];
                self.found.texts += 1;
                if hash_parts(parts.map(|part| part.map(str::as_bytes)))[..] != recorded {
                    let place = format!("table prompt, row {id} ({key})");
                    self.flaw(place, "the problem is not the one of its hash", FROM_COPY);
                }
            }
        }
    }

    /// Components, one in memory at a time.
    async fn plugins(&mut self) -> Result<(), sqlx::Error> {
        let ids: Vec<(i64, Text, Text, i64)> =
            query_as("SELECT plugin_id, name, sha256, bytes FROM plugin ORDER BY plugin_id")
                .fetch_all(&mut *self.conn)
                .await?;
        for (id, Text(name), Text(recorded), length) in ids {
            let (kept, Text(packing)): (Vec<u8>, Text) =
                query_as("SELECT wasm, packing FROM plugin WHERE plugin_id = ?")
                    .bind(id)
                    .fetch_one(&mut *self.conn)
                    .await?;
            self.found.plugins += 1;
            let place = format!("table plugin, row {id} ({name})");
            match unpack(kept, &packing, usize::try_from(length).unwrap_or(0)) {
                Err(why) => self.flaw(place, format!("it cannot be unpacked: {why}"), FROM_COPY),
                Ok(bytes) if sha256(&bytes) != recorded => {
                    self.flaw(place, "its bytes are not those of its hash", FROM_COPY);
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
