//! Sweeps: what several runs of one spec were begun for, which of them are there, and what is left to do.
//!
//! What a sweep is to run is written down before the first of its runs, so that a sweep that was stopped can be gone on
//! with, and a table of it shows what is missing.

use serde_json::{Map, Value as Json};
use sqlx::{FromRow, query_as};
use uuid::Uuid;

use crate::error::StoreError;
use crate::names;
use crate::read::summary::RunSummary;
use crate::run_resume::refuse_live_run;
use crate::sitting::now_ms;
use crate::store::Store;
use crate::text::Text;
use crate::writer::{Rows, Tx};

/// A sweep that is about to begin, or to go on.
#[derive(Clone, Debug)]
pub struct SweepStart {
    /// The experiment; the sweep is called `name-sweep-adjective-animal`.
    pub experiment: String,
    /// The paths that are varied, in order.
    pub paths: Vec<String>,
    /// What it is to run, in order.
    pub members: Vec<MemberStart>,
    /// Whether an earlier sweep may be gone on with.
    pub earlier: EarlierSweep,
}

/// A run that a sweep is to make: the values that it stands for, and its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStart {
    /// The value of each path.
    pub values: Map<String, Json>,
    /// sha256 of its plan, hex.
    pub plan_sha256: String,
}

/// What becomes of an earlier sweep over the same paths, whose plans are those of the new one as far as both have the
/// same values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlierSweep {
    /// The new members are added to the earlier sweep, and its runs count.
    GoOn,
    /// The earlier sweep stays as it is, and a sweep of its own begins.
    Leave,
}

/// A sweep with everything that it is to run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SweepCard {
    /// Name.
    pub name: String,
    /// Identity across stores.
    pub uid: String,
    /// The experiment.
    pub experiment: String,
    /// The paths that are varied, in order.
    pub paths: Vec<String>,
    /// Beginning, milliseconds since 1970.
    pub started_ms: i64,
    /// What it is to run, in order.
    pub members: Vec<SweepMember>,
}

/// A combination of values that a sweep stands for, with the run that was begun for it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SweepMember {
    /// Number in this store.
    pub member_id: i64,
    /// Position in the sweep, from 0.
    pub index: u64,
    /// The value of each path.
    pub values: Map<String, Json>,
    /// sha256 of its plan, hex.
    pub plan_sha256: String,
    /// The newest run that was begun for it.
    pub run: Option<RunSummary>,
}

#[derive(FromRow)]
struct SweepRow {
    sweep_id: i64,
    #[sqlx(try_from = "Text")]
    name: String,
    #[sqlx(try_from = "Text")]
    uid: String,
    #[sqlx(try_from = "Text")]
    experiment: String,
    #[sqlx(try_from = "Text")]
    paths: String,
    started_ms: i64,
}

#[derive(FromRow)]
struct MemberRow {
    member_id: i64,
    idx: i64,
    #[sqlx(try_from = "Text")]
    combination: String,
    #[sqlx(try_from = "Text")]
    plan_sha256: String,
    run_id: Option<i64>,
}

impl Store {
    /// Writes down what a sweep is to run, or adds what an earlier one does not have yet, and returns its name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn begin_sweep(&self, start: SweepStart) -> Result<String, StoreError> {
        self.writer()?.call(move |writer| {
            writer.lasting_transaction(async |tx| {
                let earlier = match start.earlier {
                    EarlierSweep::GoOn => earlier(tx, &start).await?,
                    EarlierSweep::Leave => None,
                };
                let sweep = match earlier {
                    Some(sweep) => sweep,
                    None => begin(tx, &start).await?,
                };
                add(tx, sweep.0, &start.members).await?;
                Ok(sweep.1)
            })
        })
    }

    /// The sweep that a reference means: `latest`, a name, a uid, or the beginning of one that fits a single sweep.
    ///
    /// # Errors
    /// When there is none, or the store cannot be read.
    pub fn sweep(&self, reference: &str) -> Result<SweepCard, StoreError> {
        let sweeps: Vec<SweepRow> = self.reader()?.all(query_as(
            "SELECT sweep_id, name, uid, experiment, paths, started_ms FROM sweep ORDER BY sweep_id DESC",
        ))?;
        let exact = |row: &SweepRow| row.name == reference || row.uid == reference;
        let begins = |row: &&SweepRow| {
            !reference.is_empty()
                && (row.name.starts_with(reference) || row.uid.starts_with(reference))
        };
        let found = match sweeps.iter().find(|row| exact(row)) {
            Some(row) => Some(row),
            None if reference == "latest" => sweeps.first(),
            None => {
                let mut fits = sweeps.iter().filter(begins);
                fits.next().filter(|_| fits.next().is_none())
            }
        };
        let Some(row) = found else {
            let near: Vec<String> =
                sweeps.iter().filter(begins).map(|row| row.name.clone()).collect();
            let all = || sweeps.iter().map(|row| row.name.clone()).collect();
            return Err(StoreError::UnknownSweep {
                path: self.path().to_owned(),
                reference: reference.to_owned(),
                names: if near.is_empty() { all() } else { near },
            });
        };
        Ok(SweepCard {
            name: row.name.clone(),
            uid: row.uid.clone(),
            experiment: row.experiment.clone(),
            paths: serde_json::from_str(&row.paths).unwrap_or_default(),
            started_ms: row.started_ms,
            members: self.members(row.sweep_id)?,
        })
    }

    fn members(&self, sweep_id: i64) -> Result<Vec<SweepMember>, StoreError> {
        let query = query_as::<_, MemberRow>(
            "SELECT m.member_id, m.idx, m.combination, m.plan_sha256,
                    (SELECT max(x.run_id) FROM sweep_run x WHERE x.member_id = m.member_id) AS run_id
               FROM sweep_member m WHERE m.sweep_id = ? ORDER BY m.idx",
        );
        let rows = self.reader()?.all(query.bind(sweep_id))?;
        let member = |row: MemberRow| {
            Ok(SweepMember {
                member_id: row.member_id,
                index: row.idx.cast_unsigned(),
                values: serde_json::from_str(&row.combination).unwrap_or_default(),
                plan_sha256: row.plan_sha256,
                run: row.run_id.map(|run_id| self.run_of_id(run_id)).transpose()?.flatten(),
            })
        };
        rows.into_iter().map(member).collect()
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The newest sweep that this one goes on with: of an equal experiment and over the same paths, with a plan in common,
/// and without other plans for values that both have.
async fn earlier(tx: &mut Tx<'_>, start: &SweepStart) -> Result<Option<(i64, String)>, StoreError> {
    let sweeps: Vec<(i64, Text)> = tx
        .fetch_all(
            "SELECT sweep_id, name FROM sweep WHERE experiment = ? AND paths = ? ORDER BY sweep_id DESC",
            [(&start.experiment).into(), json(&start.paths).into()],
        )
        .await?;
    for (sweep_id, Text(name)) in sweeps {
        let members: Vec<(Text, Text)> = tx
            .fetch_all(
                "SELECT combination, plan_sha256 FROM sweep_member WHERE sweep_id = ?",
                [sweep_id.into()],
            )
            .await?;
        let has_plan =
            |new: &MemberStart| members.iter().any(|(_, Text(plan))| *plan == new.plan_sha256);
        let has_values = |new: &MemberStart| {
            let values = json(&new.values);
            members.iter().any(|(Text(combination), _)| *combination == values)
        };
        let contradicts = |new: &MemberStart| has_values(new) && !has_plan(new);
        if start.members.iter().any(has_plan) && !start.members.iter().any(contradicts) {
            return Ok(Some((sweep_id, name)));
        }
    }
    Ok(None)
}

/// A sweep that has nothing to run yet.
async fn begin(tx: &mut Tx<'_>, start: &SweepStart) -> Result<(i64, String), StoreError> {
    let mut attempt = 0;
    let (uid, name) = loop {
        attempt += 1;
        let uid = Uuid::now_v7();
        let (_, bits) = uid.as_u64_pair();
        let mut name = names::run_name(&format!("{}-sweep", start.experiment), bits);
        if attempt > 32 {
            // The pairs of words are nearly used up for this experiment.
            name = format!("{name}-{:04x}", (bits >> 16) & 0xffff);
        }
        let taken: Option<(i64,)> =
            tx.fetch("SELECT sweep_id FROM sweep WHERE name = ?", [(&name).into()]).await?;
        if taken.is_none() {
            break (uid.hyphenated().to_string(), name);
        }
    };
    let sweep_id = tx
        .insert(
            "INSERT INTO sweep (uid, name, experiment, paths, started_ms) VALUES (?, ?, ?, ?, ?)",
            [
                uid.into(),
                (&name).into(),
                (&start.experiment).into(),
                json(&start.paths).into(),
                now_ms().into(),
            ],
        )
        .await?;
    Ok((sweep_id, name))
}

/// Adds the members that a sweep does not have yet, behind the others.
async fn add(tx: &mut Tx<'_>, sweep_id: i64, members: &[MemberStart]) -> Result<(), StoreError> {
    let known: Vec<(Text,)> = tx
        .fetch_all("SELECT plan_sha256 FROM sweep_member WHERE sweep_id = ?", [sweep_id.into()])
        .await?;
    let mut rows = Rows::new("INSERT INTO sweep_member (sweep_id, idx, combination, plan_sha256)");
    let is_new = |new: &&MemberStart| known.iter().all(|(Text(plan),)| *plan != new.plan_sha256);
    for (at, member) in members.iter().filter(is_new).enumerate() {
        rows.push([
            sweep_id.into(),
            (known.len() + at).into(),
            json(&member.values).into(),
            (&member.plan_sha256).into(),
        ]);
    }
    tx.insert_rows(rows).await
}

/// Records that a run was begun for a member of a sweep, unless another process is at work on a run of it: two of them may
/// have started the sweep at one time.
pub(crate) async fn begin_member(
    tx: &mut Tx<'_>,
    run_id: i64,
    member_id: i64,
) -> Result<(), StoreError> {
    let others: Vec<(i64, Text)> = tx
        .fetch_all(
            "SELECT r.run_id, r.name FROM sweep_run x JOIN run r USING (run_id) WHERE x.member_id = ?",
            [member_id.into()],
        )
        .await?;
    for (other, Text(name)) in others {
        refuse_live_run(tx, other, &name).await?;
    }
    tx.execute(
        "INSERT INTO sweep_run (run_id, member_id) VALUES (?, ?)",
        [run_id.into(), member_id.into()],
    )
    .await?;
    Ok(())
}
